package sim_test

import (
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"meridian/internal/mbox"
)

var archivePath = flag.String("process.mbox", "", "mailing-list archive for the import and the replay")

// archive is a mailing list as it was, without copies.
type archive struct {
	path   string
	mails  []mbox.Mail
	places []mbox.Place
}

// readArchive reads the archive that the command line names, else the one at path.
func readArchive(t *testing.T, path string) archive {
	t.Helper()
	if *archivePath != "" {
		path = *archivePath
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	a := archive{path: path}
	err = mbox.Read(file, func(m mbox.Mail) error {
		a.mails = append(a.mails, m)
		return nil
	}, func(mbox.Oddity) {})
	if err != nil {
		t.Fatal(err)
	}
	a.places = mbox.Thread(a.mails)
	return a
}

// messages are the indices of the mails that are no copies.
func (a archive) messages() (all []int) {
	for i := range a.mails {
		if a.places[i].CopyOf < 0 {
			all = append(all, i)
		}
	}
	return all
}

// compare holds a replica's reply trees against the archive's. of is the message
// that each mail, by index, became.
func (a archive) compare(t *testing.T, r replica, of map[int]message) {
	t.Helper()
	if len(r.messages) != len(a.messages()) {
		t.Errorf("%s has %d messages, the archive %d", r.at.house.name, len(r.messages), len(a.messages()))
	}
	roots := map[string]string{} // thread by the id of its first message
	for _, i := range a.messages() {
		m, parent := of[i], ""
		if p := a.places[i].Parent; p >= 0 {
			parent = of[p].ID
		}
		if m.ID == "" || m.ReplyTo != parent {
			t.Errorf("%s: mail %s is message %q and answers %q, not %q", r.at.house.name, a.mails[i].Key(), m.ID, m.ReplyTo, parent)
		}
		root := of[a.places[i].Root].ID
		if known, ok := roots[root]; ok && known != m.Thread {
			t.Errorf("%s: mail %s is in thread %s, what it answers in %s", r.at.house.name, a.mails[i].Key(), m.Thread, known)
		}
		roots[root] = m.Thread
	}
	threads := map[string]bool{}
	for _, thread := range roots {
		threads[thread] = true
	}
	if len(threads) != len(roots) {
		t.Errorf("%s: %d conversations are in %d threads", r.at.house.name, len(roots), len(threads))
	}
}

// imported finds what each mail became by its Message-ID.
func (a archive) imported(r replica) map[int]message {
	byKey := map[string]message{}
	for _, m := range r.messages {
		byKey[m.MessageID] = m
	}
	of := map[int]message{}
	for i, mail := range a.mails {
		of[i] = byKey[mail.Key()]
	}
	return of
}

// importsKilled has the server killed while it imports, until something but not
// all may be there, and returns how much is.
func (p person) importsKilled(a archive, channel string) (imported int) {
	for n := range 20 {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = p.house.run("", "import", "mbox", a.path, "--channel", channel) // broken off, or not
		}()
		p.house.eventually("importing", func() bool {
			imported = len(p.replica(channel).messages)
			select {
			case <-ended:
				return true
			default:
				return imported > n/4
			}
		})
		p.house.kill()
		<-ended
		p.house.start()
		imported = len(p.replica(channel).messages)
		p.house.t.Logf("killed after %d of %d messages", imported, len(a.messages()))
		if imported > len(a.messages())/2 {
			break
		}
	}
	return imported
}

// imports has the owner's server take the archive in by the command line, where
// some is there already, and returns the channel.
func (p person) imports(t *testing.T, a archive, already int, into ...string) (channel string) {
	t.Helper()
	var done struct {
		Channel                         string
		Messages, Already, Left, Copies int
	}
	out := p.house.mustRun("", append([]string{"import", "mbox", a.path, "--json"}, into...)...)
	if err := json.Unmarshal(out, &done); err != nil {
		t.Fatal(err)
	}
	if want := len(a.messages()); done.Messages != want-already || done.Already != already || done.Left != 0 || done.Copies != len(a.mails)-want {
		t.Errorf("import of %d mails, %d copies: %s", len(a.mails), len(a.mails)-want, out)
	}
	return done.Channel
}

// An archive that one server imports is the same at every member, whether they
// were there before or got the history when they joined.
func TestAnImportedArchiveIsTheSameAtEveryMember(t *testing.T) {
	if testing.Short() {
		t.Skip("runs real servers")
	}
	t.Parallel()
	a := readArchive(t, "testdata/conversation.mbox")
	for _, name := range []string{"members before", "members after", "server killed meanwhile"} {
		t.Run(name, func(t *testing.T) {
			log := newHistory()
			houses := threeHouses(t, log)
			everybody := []person{houses[0].owner, houses[1].owner, houses[2].owner}
			none := houses[1].outsider()
			importer := everybody[0]
			var channel string
			if name == "members after" {
				channel = importer.imports(t, a, 0, "--title", "List")
				importer.bring(channel, everybody[1:]...)
			} else {
				channel = importer.newChannel("List")
				importer.bring(channel, everybody[1:]...)
				before := 0
				if name == "server killed meanwhile" {
					before = importer.importsKilled(a, channel)
				}
				importer.imports(t, a, before, "--channel", channel)
			}
			state := settled(t, channel, everybody...)
			first := importer.replica(channel)
			for _, p := range everybody {
				r := p.replica(channel)
				r.equals(t, first)
				a.compare(t, r, a.imported(r))
			}
			none.seesNothing(channel, first)
			events := verify(houses...)
			t.Logf("%s: %d messages in %d threads at 3 servers, %d events verified, state %s",
				name, len(first.messages), len(pages[named](importer, "/channels/"+channel+"/threads")), events, state)
		})
	}
}

// word is one that a search for the text finds.
func word(text string) (longest string) {
	for _, w := range strings.FieldsFunc(text, func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') }) {
		if len(w) > len(longest) {
			longest = w
		}
	}
	return longest
}
