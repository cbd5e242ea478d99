package sim

import (
	"database/sql"
	"testing"
	"time"

	"meridian/threads"
)

// The absence of T34, and how many threads are begun how often meanwhile.
const (
	absence   = 30 * 24 * time.Hour
	postEvery = 24 * time.Hour
	posted    = 18
)

// leap has time pass with the servers looked at only at its end, for a while.
func (l *living) leap(d time.Duration) {
	l.now = l.now.Add(d)
	l.chores = l.now
	l.live(l.now.Add(2 * time.Second))
}

// rows is how many rows each table of a server has.
func (w *world) rows(n *node) map[string]int {
	db, err := sql.Open("sqlite", n.path)
	w.must(err)
	defer db.Close()
	// What the search index keeps in its tables are pages, more or fewer as they were merged.
	tables, err := db.Query("select name from sqlite_schema where type = 'table' and name not like 'search_%'")
	w.must(err)
	defer tables.Close()
	rows := map[string]int{}
	for tables.Next() {
		var name string
		w.must(tables.Scan(&name))
		rows[name] = 0
	}
	w.must(tables.Err())
	for name := range rows {
		var n int
		w.must(db.QueryRow(`select count(*) from "` + name + `"`).Scan(&n))
		rows[name] = n
	}
	return rows
}

// month is thirty days of posts in two channels of three servers, of which one
// is dead all along if told so; with the rows of two others at the end.
func month(t *testing.T, dead bool) (*living, []map[string]int) {
	l := newLiving(t, 12) // four servers, none of which lies
	t.Cleanup(l.close)
	l.found()
	l.createChannel(l.nodes[0], "full")
	for _, n := range l.nodes[1:] {
		for n.channel(l.channels[1].id) == nil {
			l.inviteTo(l.channels[1], n, 0, threads.RoleMember)
			l.live(l.now.Add(10 * time.Second))
			l.answer(n, true)
			l.live(l.now.Add(10 * time.Second))
		}
	}
	if dead {
		l.nodes[1].crash()
	}
	writers := []*node{l.nodes[0], l.nodes[2]}
	for end := l.now.Add(absence); l.now.Before(end); {
		for i := range posted {
			l.postAs(writers[i%2], l.channels[i/2%2])
		}
		l.leap(postEvery)
	}
	l.live(l.now.Add(2 * time.Minute))
	return l, []map[string]int{l.rows(writers[0]), l.rows(writers[1])}
}

// postAs has a server's first person begin a thread, as everybody may who is in a channel.
func (l *living) postAs(n *node, ch *channel) {
	title, body := l.word(), l.word()
	for _, person := range n.people {
		if n.channel(ch.id).Role(person) != threads.RoleNone {
			c := threads.StartThread{Channel: ch.id, Content: threads.ThreadContent{Title: &title}, Body: body}
			l.try(n, person, c, func(ids []threads.Hash) {
				l.posts = append(l.posts, &post{channel: ch, thread: ids[0], id: ids[1], by: n, actor: person, texts: []string{body}})
			})
			return
		}
	}
	l.fail("nobody of %s is in %s", n.name, ch.id)
}

// T34: a partner that is dead for thirty days costs the others one row for each
// channel and nothing else, however much is written; when it is back it has all
// of it within a minute.
func TestAPartnerThatIsDeadForAMonthCostsARowAChannel(t *testing.T) {
	_, living := month(t, false)
	l, dead := month(t, true)
	for i := range living {
		more := 0
		for table, n := range dead[i] {
			if d := n - living[i][table]; d > 0 {
				t.Logf("%d rows more in %s", d, table)
				more += d
			}
		}
		if more > len(l.channels) {
			t.Errorf("%d rows more than with a living partner, in %d channels", more, len(l.channels))
		}
	}
	l.nodes[1].start()
	l.follow(l.nodes[1])
	if l.unequal() == "" {
		t.Fatal("the dead server lacks nothing")
	}
	took := l.converge()
	l.check()
	t.Logf("%d threads begun in %s; all are there %s after the return", len(l.posts), absence, took)
}
