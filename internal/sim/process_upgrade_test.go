package sim_test

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"meridian/internal/store/pgtest"
	"meridian/threads"
)

var upgradeFrom = flag.String("process.upgrade", "", "the commit whose program is upgraded to this one; left out when empty")

// killsAtStart is how often each server is killed while it starts with the new program.
const killsAtStart = 5

// T64: three organisations run the program of an earlier commit under load. One after the other is
// killed and goes on with the new program, itself killed while it migrates; in between both programs
// federate, and the new one writes events of a type that the old one does not know.
func TestARollingUpgradeLosesNothing(t *testing.T) {
	if *upgradeFrom == "" {
		t.Skip("a campaign: make upgrade")
	}
	before := programOf(t, *upgradeFrom)
	log := newHistory()
	houses := make([]*house, 3)
	for i, database := range []string{"", pgtest.URL(t), ""} {
		dir := shortDir(t)
		houses[i] = newInstallation(t, dir, freeAddress(t))
		houses[i].built = before
		houses[i].initialise(database)
		houses[i].open(log)
	}
	befriend(houses...)
	members := []person{houses[0].owner, houses[1].owner, houses[2].owner}
	channel, side := members[0].newChannel("Load"), members[0].newChannel("Side")
	for _, id := range []string{channel, side} {
		members[0].bring(id, members[1:]...)
	}
	l := &load{t: t, log: log, houses: houses, inFlight: make([]atomic.Int64, len(houses)), ended: make(chan struct{}), pause: 30 * time.Millisecond}
	l.begin(channel)
	message := leaverOf(members, side)
	for i, h := range houses {
		l.enough(150)
		h.kill()
		h.built = ""
		for range killsAtStart {
			h.launch()
			time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond)
			h.kill()
		}
		t.Logf("T64: %s runs the new program, %d of 3; ready after %s", h.name, i+1, h.start().Round(time.Millisecond))
		h.goesBack(before)
		l.enough(150)
		if i == 0 {
			h.mustRun("", "user", "erase", "leaver")
			keptInBytes(houses)
		}
	}
	l.enough(150)
	close(l.ended)
	l.all.Wait()

	state := settled(t, channel, members...)
	sideState := settled(t, side, members...)
	var replicas []replica
	for _, p := range members {
		replicas = append(replicas, p.replica(channel))
		p.house.eventually("without what was erased while it ran the old program", func() bool {
			_, status := p.do(http.MethodGet, "/messages/"+message, "", nil, nil)
			return status == http.StatusNotFound
		})
	}
	sum := log.check(t, replicas...)
	events := verify(houses...)
	t.Logf("T64: from %s: %d acknowledged, %d of unknown outcome repeated by key, %d lost, %d duplicated; %d events at each of 3 servers, states %s and %s",
		*upgradeFrom, sum.acknowledged, sum.unknown, sum.lost, sum.duplicated, events, state, sideState)
}

// programOf builds the program of a commit of this repository, in a worktree of its own.
func programOf(t *testing.T, commit string) string {
	t.Helper()
	dir := t.TempDir()
	tree, path := filepath.Join(dir, "tree"), filepath.Join(dir, "meridian")
	if said, err := exec.Command("git", "worktree", "add", "--detach", tree, commit).CombinedOutput(); err != nil {
		t.Fatalf("check out %s: %v\n%s", commit, err, said)
	}
	build := exec.Command("go", "build", "-o", path, "./cmd/meridian")
	build.Dir = tree
	said, err := build.CombinedOutput()
	if removed, failed := exec.Command("git", "worktree", "remove", "--force", tree).CombinedOutput(); failed != nil {
		t.Errorf("remove the worktree: %v\n%s", failed, removed)
	}
	if err != nil {
		t.Fatalf("build %s: %v\n%s", commit, err, said)
	}
	return path
}

// enough waits until so many posts more are acknowledged.
func (l *load) enough(posts int64) {
	l.t.Helper()
	from := l.acknowledged.Load()
	l.houses[0].eventually("under load", func() bool { return l.acknowledged.Load()-from >= posts })
}

// goesBack tries an older program on what this one has migrated: it works, or says in one line why not.
func (h *house) goesBack(older string) {
	h.t.Helper()
	h.kill()
	h.built = older
	_, err := h.run("", "verify")
	if err != nil && strings.Contains(strings.TrimSpace(err.Error()), "\n") {
		h.t.Errorf("%s: the older program refuses in more than a line: %v", h.name, err)
	}
	h.t.Logf("T64: the older program on the migrated database: %v", err)
	h.built = ""
	h.start()
}

// leaverOf makes somebody of the first server who writes a message that all hold, and returns it. Their
// erasure is an event that an older program has no word for.
func leaverOf(members []person, channel string) (message string) {
	h := members[0].house
	h.t.Helper()
	by := h.person("leaver")
	members[0].bring(channel, by)
	var thread, said named
	by.must(http.MethodPost, "/channels/"+channel+"/threads", map[string]string{"title": "Goodbye"}, &thread)
	by.must(http.MethodPost, "/threads/"+thread.ID+"/messages", map[string]string{"body": "I leave."}, &said)
	for _, p := range members {
		p.house.eventually("told of the message", func() bool { return p.reads("/messages/"+said.ID, nil) })
	}
	return said.ID
}

// keptInBytes waits until every server holds the event of the unknown type, byte for byte.
func keptInBytes(houses []*house) {
	t := houses[0].t
	t.Helper()
	var first []byte
	for _, h := range houses {
		var held []byte
		h.eventually("holding the event of a type that it may not know", func() bool {
			held = h.header(`"type":"` + threads.TypePersonErased + `"`)
			return held != nil
		})
		if first == nil {
			first = held
		}
		if !bytes.Equal(held, first) {
			t.Errorf("%s holds %s, %s holds %s", h.name, held, houses[0].name, first)
		}
	}
	var header struct{ Actor string }
	if err := json.Unmarshal(first, &header); err != nil || threads.ServerOf(header.Actor) != houses[0].name {
		t.Errorf("%s, %v", first, err)
	}
}

// header is that of an event of the house's database that contains a text, nil when there is none.
func (h *house) header(text string) (header []byte) {
	h.t.Helper()
	db, postgres := h.database()
	defer db.Close()
	query := "select header from event where instr(header, cast(? as blob)) > 0"
	if postgres {
		query = "select header from event where position(convert_to($1, 'UTF8') in header) > 0"
	}
	if err := db.QueryRow(query, text).Scan(&header); err != nil && err != sql.ErrNoRows {
		h.t.Fatal(fmt.Errorf("look into the database: %w", err))
	}
	return header
}
