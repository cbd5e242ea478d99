package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/internal/mbox"
)

// archive is n mails, each answering the one whose number is half its own, the
// newest first, and one of them twice.
func archive(n int) string {
	var mails []string
	for i := n; i >= 1; i-- {
		var b strings.Builder
		fmt.Fprintf(&b, "From m Tue Nov 17 10:00:00 2009\nFrom: Writer %d <w%d@list.example>\n", i%7, i%7)
		fmt.Fprintf(&b, "Date: Tue, 17 Nov 2009 %02d:%02d:00 +0000\nMessage-ID: <m%d@list.example>\n", 10+i/60, i%60, i)
		if i > 3 {
			fmt.Fprintf(&b, "Subject: Re: Topic\nIn-Reply-To: <m%d@list.example>\n", i/2)
		} else {
			fmt.Fprintf(&b, "Subject: Topic %d\n", i)
		}
		fmt.Fprintf(&b, "\nText of mail %d.\n\n", i)
		mails = append(mails, b.String())
	}
	return strings.Join(append(mails, mails[n/2]), "")
}

func (at *site) importArchive(a Archive, text string) Imported {
	at.t.Helper()
	o := at.options
	o.Registry = prometheus.NewRegistry()
	var made Imported
	err := Attach(at.t.Context(), o, func(client *http.Client) (err error) {
		last := 0
		a.Odd, a.Progress = func(mbox.Oddity) {}, func(done, _ int) { last = done }
		made, err = Import(at.t.Context(), client, a, strings.NewReader(text))
		if err == nil && last != made.Mails {
			at.t.Errorf("progress ended at %d of %d", last, made.Mails)
		}
		return err
	})
	if err != nil {
		at.t.Fatal(err)
	}
	return made
}

// tree is every message of a channel as "text <- text of its parent".
func (at *site) tree(token, channel string) []string {
	at.t.Helper()
	var found []string
	var all list
	at.must(token, http.MethodGet, "/channels/"+channel+"/threads?limit=200", nil, &all)
	for _, thread := range all.Items {
		var messages list
		at.must(token, http.MethodGet, "/threads/"+thread.ID+"/messages?limit=200", nil, &messages)
		bodies := map[string]string{}
		for _, m := range messages.Items {
			bodies[m.ID] = m.Body
		}
		for _, m := range messages.Items {
			found = append(found, strings.TrimSpace(m.Body)+" <- "+strings.TrimSpace(bodies[m.ReplyTo]))
		}
	}
	slices.Sort(found)
	return found
}

func TestAnImportedArchiveIsTheSameAtEveryMember(t *testing.T) {
	const n = 120
	var want []string
	for i := 1; i <= n; i++ {
		parent := ""
		if i > 3 {
			parent = fmt.Sprintf("Text of mail %d.", i/2)
		}
		want = append(want, fmt.Sprintf("Text of mail %d. <- %s", i, parent))
	}
	slices.Sort(want)
	for name, database := range databases(t) {
		t.Run(name, func(t *testing.T) {
			a, b := newSite(t, database()), newSite(t, "")
			a.start()
			b.start()
			ana, ben := a.person("ana"), b.person("ben")
			made := a.importArchive(Archive{Title: "List", As: "ana"}, archive(n))
			if made.Messages != n || made.Threads != 3 || made.Copies != 1 || made.Left != 0 {
				t.Errorf("%+v", made)
			}
			befriend(a, b)
			invite(a, ana, b, ben, "ben@"+b.name, made.Channel)
			b.eventually("holding all of it", func() bool { return len(b.tree(ben, made.Channel)) == n })
			for _, got := range [][]string{a.tree(ana, made.Channel), b.tree(ben, made.Channel)} {
				if !slices.Equal(got, want) {
					t.Errorf("the reply tree is %q", got)
				}
			}
			if hash := a.stateHash(ana, made.Channel); hash != b.stateHash(ben, made.Channel) {
				t.Error("the states differ")
			}
			again := a.importArchive(Archive{Channel: made.Channel, As: "ana"}, archive(n))
			if again.Messages != 0 || again.Already != n {
				t.Errorf("again: %+v", again)
			}
		})
	}
}
