package sim

import (
	"os"
	"slices"
	"time"

	"meridian/threads"
)

// maxMarks is how many earlier marks a server may find beside its database after
// a loss of power: the mark waits for no disk.
const maxMarks = 5

// files are a server's database and what was appended to it since, as they lie
// there while it runs.
type files struct {
	database, appended []byte
	changed            time.Time // of the database
}

func (n *node) files() (f files) {
	w := n.world
	var err error
	f.database, err = os.ReadFile(n.path)
	w.must(err)
	if f.appended, err = os.ReadFile(n.path + "-wal"); !os.IsNotExist(err) {
		w.must(err)
	}
	f.changed = n.changed()
	return f
}

// changed is when the database was last written, which is not at every commit.
func (n *node) changed() time.Time {
	info, err := os.Stat(n.path)
	n.world.must(err)
	return info.ModTime()
}

// put lays the files where the server finds them.
func (f files) put(n *node) {
	n.world.must(os.WriteFile(n.path, f.database, 0o600))
	n.world.must(os.WriteFile(n.path+"-wal", f.appended, 0o600))
}

// cutPower ends a server as a loss of power does. Of the write that is under way
// any part is in the files, all that was confirmed is, and the mark beside the
// database is some commits old. Nothing is lost.
func (w *world) cutPower() bool {
	n := w.pick()
	if !n.up() {
		return false
	}
	f := n.files()
	torn := w.rng.IntN(8 << 10)
	for range torn {
		f.appended = append(f.appended, byte(w.rng.Uint32()))
	}
	n.crash()
	f.put(n)
	n.mark = n.marks[w.rng.IntN(len(n.marks))]
	w.note("%s lost power; %d bytes of a write are there", n.name, torn)
	n.start()
	return true
}

// loseCommits ends a server whose disk had not kept what it confirmed: the
// database goes back to an earlier commit, with the mark that shows it.
func (w *world) loseCommits() bool { return w.tear(false) }

// loseCommitsAndMark has the mark go back too, so that nothing shows it but what
// partners hold. A host that was put back like this would give out numbers of the
// control log again, which no rule mends: see decision 0027.
func (w *world) loseCommitsAndMark() bool { return w.tear(true) }

func (w *world) tear(mark bool) bool {
	n := w.pick()
	if !n.up() || n.liar != nil || mark && n.hosts() {
		return false
	}
	f := n.files()
	if !f.changed.Equal(n.opened) || len(f.appended) == 0 {
		return false // what was appended is in the database already
	}
	f.appended = f.appended[:w.rng.IntN(len(f.appended))]
	n.crash()
	f.put(n)
	if n.setBack = true; mark {
		n.marks, n.unaware = nil, true
	}
	n.start()
	w.forgetLost(n)
	w.note("%s lost commits down to position %d, the mark too: %v", n.name, w.newest(n).Pos, mark)
	return true
}

// hosts reports whether the server wrote to the control log of a channel: set
// back, it may be the host again.
func (n *node) hosts() bool {
	return slices.ContainsFunc(n.entries(), func(e threads.Entry) bool {
		return e.Event.Header.Log == threads.LogControl && e.Event.Header.Origin == n.name
	})
}
