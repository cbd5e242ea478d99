package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"unicode/utf8"

	"meridian/internal/mbox"
	"meridian/threads"
	"meridian/threads/journal"
)

// Archive says what is to become of a mailing-list archive.
type Archive struct {
	// Channel takes its mails, or a new one named Title does; one of the two is "".
	Channel string
	Title   string
	// As is the name of the person of this server who imports; "" is the only
	// administrator.
	As string
	// Odd is told of everything in the archive that was not as it should be,
	// Progress how many mails of how many are done.
	Odd      func(mbox.Oddity)
	Progress func(done, total int)
}

// Imported is what an import came to.
type Imported struct {
	Channel  string `json:"channel"`
	Mails    int    `json:"mails"`    // in the archive
	Messages int    `json:"messages"` // posted now
	Threads  int    `json:"threads"`  // begun now
	Already  int    `json:"already"`  // imported before
	Copies   int    `json:"copies"`   // of a mail that stands earlier in the archive
	Left     int    `json:"left"`     // mails that cannot be a message, each reported
	Oddities int    `json:"oddities"`
}

// importLine is one line of the answer to an import.
type importLine struct {
	Oddity  *mbox.Oddity `json:"oddity,omitempty"`
	Done    int          `json:"done,omitempty"`
	Total   int          `json:"total,omitempty"`
	Result  *Imported    `json:"result,omitempty"`
	Refused *refusal     `json:"refused,omitempty"`
}

// Import has a server take in an archive, through a client that [Attach] gave.
// Mails imported before are left as they are, so an import that was interrupted
// is simply repeated.
func Import(ctx context.Context, client *http.Client, a Archive, mails io.Reader) (Imported, error) {
	query := url.Values{"channel": {a.Channel}, "title": {a.Title}, "as": {a.As}}
	var result *Imported
	err := send(ctx, client, "import?"+query.Encode(), mails, func(answer io.Reader) error {
		lines := json.NewDecoder(answer)
		for result == nil {
			var line importLine
			if err := lines.Decode(&line); err != nil {
				return fmt.Errorf("the server broke off the import, repeat it: %w", err)
			}
			switch {
			case line.Oddity != nil:
				a.Odd(*line.Oddity)
			case line.Refused != nil:
				return line.Refused.error()
			case line.Result != nil:
				result = line.Result
			default:
				a.Progress(line.Done, line.Total)
			}
		}
		return nil
	})
	if err != nil {
		return Imported{}, err
	}
	return *result, nil
}

// serveImport reads the whole archive first: replies stand before what they
// answer in some.
func (s *Server) serveImport(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	run := &intake{Server: s, archive: Archive{Channel: q.Get("channel"), Title: q.Get("title"), As: q.Get("as")}}
	var lines []importLine
	err := mbox.Read(r.Body, func(m mbox.Mail) error {
		run.mails = append(run.mails, m)
		return nil
	}, func(o mbox.Oddity) { lines = append(lines, importLine{Oddity: &o}) })
	if err != nil {
		refuse(w, threads.Refuse(threads.Invalid, "archive", "", err.Error()))
		return
	}
	if err := run.begin(r.Context()); err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(w)
	run.tell = func(l importLine) {
		if l.Oddity != nil {
			run.result.Oddities++
		}
		_ = out.Encode(l) // an asker who is gone ends the request's context
	}
	for _, line := range lines {
		run.tell(line)
	}
	if err := run.all(r.Context(), func() { _ = http.NewResponseController(w).Flush() }); err != nil {
		refused := refusalOf(err)
		run.tell(importLine{Refused: &refused})
		return
	}
	run.tell(importLine{Result: &run.result})
}

// intake is one import on its way in.
type intake struct {
	*Server
	archive Archive
	mails   []mbox.Mail
	places  []mbox.Place
	actor   string
	channel threads.Hash
	done    []bool
	posted  map[string]posted // by Message-ID, or what stands for it
	tell    func(importLine)
	result  Imported
}

// posted is where a mail stands; ID is "" where the mail could not be a message.
type posted struct{ Thread, ID threads.Hash }

// progressEvery is after how many mails the asker is told.
const progressEvery = 25

func (run *intake) all(ctx context.Context, flush func()) error {
	run.places, run.done, run.result.Mails = mbox.Thread(run.mails), make([]bool, len(run.mails)), len(run.mails)
	order := make([]int, len(run.mails))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return run.mails[a].Date.Compare(run.mails[b].Date) })
	for done, i := range order {
		if err := run.mail(ctx, i); err != nil {
			return err
		}
		if done%progressEvery == 0 || done == len(order)-1 {
			run.tell(importLine{Done: done + 1, Total: len(order)})
			flush()
		}
	}
	return nil
}

// begin finds who imports, into which channel, and what of it is there.
func (run *intake) begin(ctx context.Context) error {
	person, err := run.importer(ctx)
	if err != nil {
		return err
	}
	run.actor, run.channel = person.ID, run.archive.Channel
	if run.channel == "" {
		settings := threads.Settings{Name: run.archive.Title, Kind: "work", History: "full"}
		made, err := run.do(ctx, threads.CreateChannel{Settings: settings}, "channel "+run.archive.Title)
		if err != nil {
			return err
		}
		run.channel = made[0]
	}
	run.result.Channel = run.channel
	run.posted, err = run.importedBefore(ctx)
	return err
}

// importer is who --as names, or the only administrator.
func (run *intake) importer(ctx context.Context) (threads.PersonRecord, error) {
	if run.archive.As != "" {
		return run.localPerson(ctx, run.archive.As)
	}
	people, _, err := run.store.People(ctx, threads.Page{Limit: threads.MaxPage})
	if err != nil {
		return threads.PersonRecord{}, err
	}
	people = slices.DeleteFunc(people, func(p threads.PersonRecord) bool { return !p.Admin || p.Disabled })
	if len(people) != 1 {
		return threads.PersonRecord{}, threads.Refuse(threads.Invalid, "required", "", "say who imports with --as NAME: there is not exactly one administrator")
	}
	return people[0], nil
}

// importedBefore finds the messages of the channel that have a Message-ID.
func (run *intake) importedBefore(ctx context.Context) (map[string]posted, error) {
	found := map[string]posted{}
	var list []threads.ThreadRecord
	var err error
	for page := (threads.Page{Limit: threads.MaxPage}); ; {
		if list, page.After, err = run.store.Reading().Threads(ctx, run.actor, run.channel, page); err != nil {
			return nil, err
		}
		for _, t := range list {
			if err := run.importedInto(ctx, t.ID, found); err != nil {
				return nil, err
			}
		}
		if page.After == "" {
			return found, nil
		}
	}
}

func (run *intake) importedInto(ctx context.Context, thread threads.Hash, found map[string]posted) error {
	var list []threads.MessageRecord
	var err error
	for page := (threads.Page{Limit: threads.MaxPage}); ; {
		if list, page.After, err = run.store.Reading().Messages(ctx, run.actor, thread, page); err != nil {
			return err
		}
		for _, m := range list {
			if m.OriginalID != "" {
				found[m.OriginalID] = posted{Thread: thread, ID: m.ID}
			}
		}
		if page.After == "" {
			return nil
		}
	}
}

// mail posts a mail, after what it answers, unless that was done before.
func (run *intake) mail(ctx context.Context, i int) error {
	if run.done[i] {
		return nil
	}
	run.done[i] = true
	m := run.mails[i]
	if run.places[i].CopyOf >= 0 {
		run.result.Copies++
		return nil
	}
	if _, before := run.posted[m.Key()]; before {
		run.result.Already++
		return nil
	}
	parent, inReplyTo, err := run.parent(ctx, i)
	if err != nil {
		return err
	}
	at, err := run.post(ctx, m, inReplyTo, parent)
	var refused *threads.Error
	if errors.As(err, &refused) && (refused.Kind == threads.Invalid || refused.Kind == threads.TooLarge) {
		run.result.Left++
		run.tell(importLine{Oddity: &mbox.Oddity{Line: m.Line, What: "left out: " + refused.Text}})
		at, err = posted{Thread: parent.Thread}, nil
	}
	run.posted[m.Key()] = at
	return err
}

// parent is what a mail answers, in this archive or imported before, or else the
// id that it names. Its own parents come first.
func (run *intake) parent(ctx context.Context, i int) (parent posted, inReplyTo string, err error) {
	m, place := run.mails[i], run.places[i]
	if place.Parent >= 0 {
		err = run.mail(ctx, place.Parent)
		return run.posted[run.mails[place.Parent].Key()], place.InReplyTo, err
	}
	named := slices.Clone(m.References)
	slices.Reverse(named)
	for _, id := range slices.Concat(m.InReplyTo, named) {
		if at, here := run.posted[id]; here && at.ID != "" {
			return at, "", nil
		}
	}
	return posted{}, place.InReplyTo, nil
}

// post begins a thread where the mail answers none that is there.
func (run *intake) post(ctx context.Context, m mbox.Mail, inReplyTo string, parent posted) (at posted, err error) {
	at.Thread = parent.Thread
	if at.Thread == "" {
		title := cmp.Or(firstBytes(m.Subject, threads.MaxTitle), "(no subject)")
		made, err := run.do(ctx, threads.StartThread{Channel: run.channel, Content: threads.ThreadContent{Title: &title}}, "thread "+m.Key())
		if err != nil {
			return at, err
		}
		at.Thread = made[0]
		run.result.Threads++
	}
	message := threads.Message{
		Thread: at.Thread, ReplyTo: parent.ID, Body: cmp.Or(m.Body, "(no text)"),
		AttributedTo: attribution(m.From), OriginalID: m.Key(), InReplyTo: inReplyTo,
	}
	if !m.Date.IsZero() {
		message.Published = threads.TimeOf(m.Date)
	}
	made, err := run.do(ctx, threads.Post{Channel: run.channel, Message: message}, "message "+m.Key())
	if err != nil {
		return at, err
	}
	at.ID = made[0]
	run.result.Messages++
	return at, nil
}

// do runs a command of the importer. What names it within the channel keeps an
// interrupted import from doing it again.
func (run *intake) do(ctx context.Context, c threads.Command, what string) ([]threads.Hash, error) {
	key := "import " + string(run.channel) + " " + what
	result, err := run.journal.Do(ctx, journal.Request{
		Actor: run.actor, Command: c, Now: run.clock(), Key: key, Digest: threads.HashOf([]byte(key)),
	})
	return result.IDs, err
}

// attribution is an author as the archive names them.
func attribution(from mbox.Address) string {
	switch {
	case from.Name == "":
		return from.Addr
	case from.Addr == "":
		return from.Name
	}
	return from.Name + " <" + from.Addr + ">"
}

// firstBytes cuts s to at most n bytes between two characters.
func firstBytes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
