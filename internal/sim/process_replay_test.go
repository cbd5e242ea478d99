package sim_test

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// replay is an archive as a living conversation: people of three servers post
// their own replies there while each server is away a third of the time.
type replay struct {
	t       *testing.T
	archive archive
	log     *history
	houses  []*house
	channel string
	letters []*letter // that are no copies, the oldest first
	of      map[int]*letter

	mu     sync.Mutex
	away   *house
	budget int           // posts until the next server goes
	posted map[int]named // by mail
	counts map[*house]int
}

// letter is a mail that somebody has to post.
type letter struct {
	mail   int
	author person
	post   *post // once its parent is there
}

// least is how many messages have to be posted elsewhere while a server is away.
const least = 5

func TestAReplayedArchiveIsTheSameThoughServersWereAway(t *testing.T) {
	if testing.Short() {
		t.Skip("runs real servers")
	}
	t.Parallel()
	r := &replay{
		t: t, archive: readArchive(t, "testdata/conversation.mbox"), log: newHistory(),
		of: map[int]*letter{}, posted: map[int]named{}, counts: map[*house]int{},
	}
	away := 1500 * time.Millisecond
	if *archivePath != "" {
		away = 15 * time.Second
	}
	r.houses = threeHouses(t, r.log)
	everybody := []person{r.houses[0].owner, r.houses[1].owner, r.houses[2].owner}
	none := r.houses[2].outsider()
	r.channel = everybody[0].newChannel("List")
	r.settle(r.people())
	everybody[0].bring(r.channel, everybody[1:]...)

	shares := r.live(away)
	state := settled(t, r.channel, everybody...)
	first := everybody[0].replica(r.channel)
	for _, p := range everybody {
		got := p.replica(r.channel)
		got.equals(t, first)
		r.archive.compare(t, got, r.became(got))
	}
	sum := r.log.check(t, first)
	none.seesNothing(r.channel, first)
	verify(r.houses...)
	t.Logf("replay: %d messages, %d acknowledged, %d of unknown outcome repeated, %d lost, %d duplicated; away %s; state %s at 3 servers",
		len(first.messages), sum.acknowledged, sum.unknown, sum.lost, sum.duplicated, strings.Join(shares, ", "), state)
}

// people gives every mail domain to a server, the largest first to the one with
// the fewest mails, and returns the people of each server by mail address.
func (r *replay) people() map[string]*house {
	sizes, of := map[string]int{}, map[string]map[string]bool{}
	for _, i := range r.archive.messages() {
		address := r.address(i)
		_, domain, _ := strings.Cut(address, "@")
		if sizes[domain]++; of[domain] == nil {
			of[domain] = map[string]bool{}
		}
		of[domain][address] = true
	}
	domains := slices.SortedFunc(maps.Keys(sizes), func(a, b string) int {
		return cmp.Or(cmp.Compare(sizes[b], sizes[a]), strings.Compare(a, b))
	})
	mails, at := make([]int, len(r.houses)), map[string]*house{}
	for _, domain := range domains {
		fewest := 0
		for i := range mails {
			if mails[i] < mails[fewest] {
				fewest = i
			}
		}
		mails[fewest] += sizes[domain]
		for address := range of[domain] {
			at[address] = r.houses[fewest]
		}
	}
	return at
}

func (r *replay) address(mail int) string { return strings.ToLower(r.archive.mails[mail].From.Addr) }

// settle makes the people's accounts, brings them into the channel and hands the
// letters out.
func (r *replay) settle(at map[string]*house) {
	r.t.Helper()
	people := map[string]person{}
	for i, address := range slices.Sorted(maps.Keys(at)) {
		people[address] = at[address].person(fmt.Sprint("writer", i+1))
	}
	r.houses[0].owner.bring(r.channel, slices.Collect(maps.Values(people))...)
	for _, i := range r.archive.messages() {
		l := &letter{mail: i, author: people[r.address(i)]}
		r.letters = append(r.letters, l)
		r.of[i] = l
	}
	slices.SortStableFunc(r.letters, func(a, b *letter) int {
		return r.archive.mails[a.mail].Date.Compare(r.archive.mails[b.mail].Date)
	})
}

// live has everybody post while one server after the other is away, and says how
// long each was and what was posted elsewhere meanwhile.
func (r *replay) live(away time.Duration) (shares []string) {
	done := make(chan struct{})
	var writers sync.WaitGroup
	for _, h := range r.houses {
		writers.Go(func() { r.write(h, away, done) })
	}
	begun := time.Now()
	gone, elsewhere := map[*house]time.Duration{}, map[*house]int{}
	for stops := 0; !r.finished() || stops%len(r.houses) != 0; stops++ {
		h := r.houses[stops%len(r.houses)]
		n, took := r.without(h, stops, away)
		gone[h] += took
		elsewhere[h] = max(elsewhere[h], n)
		if time.Since(begun) > 10*patience {
			r.t.Fatal("the conversation does not end")
		}
	}
	close(done)
	writers.Wait()
	for _, h := range r.houses {
		share := gone[h].Seconds() / time.Since(begun).Seconds()
		shares = append(shares, fmt.Sprintf("%.0f %% with %d posted elsewhere", 100*share, elsewhere[h]))
		if elsewhere[h] < least {
			r.t.Errorf("only %d messages were posted elsewhere while %s was away", elsewhere[h], h.name)
		}
	}
	return shares
}

// without stops a server, or kills it every other time, for a while; the first
// time until enough was posted elsewhere.
func (r *replay) without(h *house, stops int, away time.Duration) (elsewhere int, took time.Duration) {
	before := r.leave(h, stops)
	if stops%2 == 0 {
		h.kill()
	} else {
		h.stop()
	}
	begun := time.Now()
	short := func() bool { return stops < len(r.houses) && r.total()-before < least && time.Since(begun) < patience }
	for time.Since(begun) < away || short() {
		time.Sleep(20 * time.Millisecond)
	}
	elsewhere = r.total() - before
	h.start()
	took = time.Since(begun)
	r.mu.Lock()
	r.away = nil
	r.mu.Unlock()
	return elsewhere, took
}

// leave has nobody post at the server any more. In the first round only a third
// of the letters is posted each time, so that all servers miss some.
func (r *replay) leave(h *house, stops int) (posted int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away, r.budget = h, len(r.letters)
	if stops < len(r.houses) {
		r.budget = (len(r.letters) + 2) / 3
	}
	return len(r.posted)
}

func (r *replay) total() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.posted)
}

func (r *replay) finished() bool { return r.total() == len(r.letters) }

// write posts the letters of a server's people, each as soon as its parent is
// readable there.
func (r *replay) write(h *house, away time.Duration, done <-chan struct{}) {
	pause := away / time.Duration(len(r.letters)/2)
	for {
		for _, l := range r.letters {
			if l.author.house == h && r.ready(l) && r.send(l) {
				time.Sleep(pause)
			}
		}
		select {
		case <-done:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// ready reports whether a letter can be posted now.
func (r *replay) ready(l *letter) bool {
	parent := r.archive.places[l.mail].Parent
	r.mu.Lock()
	_, posted := r.posted[l.mail]
	answered, there := r.posted[parent]
	free := !posted && r.away != l.author.house && r.budget > 0 && (parent < 0 || there)
	r.mu.Unlock()
	return free && (parent < 0 || l.author.reads("/messages/"+answered.ID, nil))
}

// send posts a letter, or repeats that while the outcome is unknown, and reports
// whether it is stored.
func (r *replay) send(l *letter) bool {
	mail := r.archive.mails[l.mail]
	if l.post == nil {
		thread := r.thread(l)
		if thread == "" {
			return false
		}
		l.post = &post{
			by: l.author, client: l.author.address, thread: thread, replyTo: r.parent(l),
			text: strings.TrimSpace(cmp.Or(mail.Body, "(no text)")) + "\n" + mail.Key(), key: mail.Key(),
		}
		r.log.wants(l.post)
	}
	if l.post.try() != acknowledged {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.posted[l.mail] = named{l.post.id}
	r.budget--
	return true
}

func (r *replay) parent(l *letter) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.posted[r.archive.places[l.mail].Parent].ID
}

// thread is the one of the letter that this one answers; one that answers none
// begins its own. It is "" while that is not known.
func (r *replay) thread(l *letter) string {
	if p := r.archive.places[l.mail].Parent; p >= 0 {
		return r.of[p].post.thread
	}
	mail := r.archive.mails[l.mail]
	title := strings.ToValidUTF8(mail.Subject[:min(len(mail.Subject), 400)], "")
	var made named
	in := map[string]string{"title": cmp.Or(title, "(no subject)")}
	l.author.do(http.MethodPost, "/channels/"+r.channel+"/threads", "thread "+mail.Key(), in, &made)
	return made.ID
}

// became finds the message that each mail became.
func (r *replay) became(replica replica) map[int]message {
	of := map[int]message{}
	for mail, m := range r.posted {
		of[mail] = replica.byID[m.ID]
	}
	return of
}
