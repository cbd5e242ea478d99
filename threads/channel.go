package threads

import (
	"crypto/ed25519"
	"maps"
	"slices"
	"sort"
	"strings"
)

// Channel is what the control log of one channel says, and how far each of its
// logs has been applied here. It is built by applying control events in order
// and is the same at every replica that applied the same ones. A published
// channel never changes: writers change a Clone and publish that.
type Channel struct {
	ID   Hash
	Logs map[LogID]*Log
	// ControlDoubt is Doubtful while a host may have lost some of the control log.
	ControlDoubt Doubt
	*control
	owned bool // control is this value's alone and may change in place

	forks    map[LogID]ForkAt // the proof kept of each forked log; never changed in place
	disputes map[LogID]int64  // forks below what is final, as long as that is not reached; likewise
}

// control is the part that control events alone change.
type control struct {
	Host     string
	Settings Settings
	Archived bool
	Created  Time
	Control  Head
	Named    Time // of the newest heads.named, 0 before the first

	follows  *Citation // nil where it goes on from no other channel
	people   map[string][]grant
	servers  map[string]*member
	numbers  []Hash // hash of control event n at n-1
	times    []Time // and its time
	final    map[Ref]Hash
	frozen   map[LogID]Cut
	hosts    []hosting        // one after another
	requests map[string]int64 // request → number of the event it caused
}

// Settings are the registers that channel.settings changes.
type Settings struct {
	Name, Purpose string
	Kind          string // work or social
	History       string // full or joined
}

// Log is how far one data log has been applied here.
type Log struct {
	Head
	From    int64 // seq of the oldest event held
	Before  Hash  // what stands in prev of that event
	Control int64 // control number of the newest event: it never decreases
	Doubt   Doubt // of own logs
	// Contradicted says that the control log names another event for a place than
	// this one holds: it has to end below.
	Contradicted bool

	named map[LogID]int64 // in own logs: the newest entries of others named so far
}

// grant is one entry in the history of a person's role.
type grant struct {
	number  int64
	role    Role
	removal bool // a removal binds beyond its cuts; a lesser role only from its number on
	cuts    map[LogID]Cut
}

// Cut is where a removal ends a log: events beyond Seq are void.
type Cut struct {
	Seq  int64
	Hash Hash
}

// member is what the control log says of a member server.
type member struct {
	admissions []admission
	keys       []knownKey // one after another, the newest last
}

type admission struct {
	number  int64
	joined  int64 // of the event by which the server came in; less than number where a key was revoked since
	removed int64 // number of server.removed, 0 while it lasts
	cuts    map[LogID]Cut
	start   map[LogID]Start // heads named when it was admitted
	full    bool            // newcomers saw all history then
}

// hosting says who writes the control log from a number on.
type hosting struct {
	from   int64
	server string
}

// Key is a server's signing key as the control log records it.
type Key struct {
	ID     string
	Public ed25519.PublicKey
	From   int64 // number of the control event that made it known
}

// NewChannel is a channel of which nothing is known yet but its id.
func NewChannel(id Hash) *Channel {
	return &Channel{ID: id, Logs: map[LogID]*Log{}, owned: true, control: &control{
		people: map[string][]grant{}, servers: map[string]*member{},
		final: map[Ref]Hash{}, frozen: map[LogID]Cut{}, requests: map[string]int64{},
	}}
}

// Clone is a copy that may be changed without changing c.
func (c *Channel) Clone() *Channel {
	d := &Channel{ID: c.ID, Logs: make(map[LogID]*Log, len(c.Logs)), ControlDoubt: c.ControlDoubt, control: c.control}
	d.forks, d.disputes = c.forks, c.disputes
	for id, l := range c.Logs {
		copied := *l
		copied.named = maps.Clone(l.named)
		d.Logs[id] = &copied
	}
	return d
}

// own makes the control part this value's alone.
func (c *Channel) own() {
	if c.owned {
		return
	}
	old := c.control
	fresh := *old
	fresh.people = maps.Clone(old.people)
	for id, grants := range fresh.people {
		fresh.people[id] = slices.Clip(grants)
	}
	fresh.servers = make(map[string]*member, len(old.servers))
	for name, m := range old.servers {
		fresh.servers[name] = &member{slices.Clone(m.admissions), slices.Clip(m.keys)}
	}
	fresh.hosts = slices.Clip(old.hosts)
	fresh.numbers, fresh.times = slices.Clip(old.numbers), slices.Clip(old.times)
	fresh.final, fresh.frozen, fresh.requests = maps.Clone(old.final), maps.Clone(old.frozen), maps.Clone(old.requests)
	c.control, c.owned = &fresh, true
}

// Role is what the person is now.
func (c *Channel) Role(person string) Role {
	grants := c.people[person]
	if len(grants) == 0 {
		return RoleNone
	}
	return grants[len(grants)-1].role
}

// RoleSince is the number of the control event that made the person what they
// are now, 0 for who was never a member.
func (c *Channel) RoleSince(person string) int64 {
	grants := c.people[person]
	if len(grants) == 0 {
		return 0
	}
	return grants[len(grants)-1].number
}

// Person is one member of a channel.
type Person struct {
	ID    string
	Role  Role
	Since int64 // number of the control event that made them one; later changes of role do not count
}

// People lists the members now, by id.
func (c *Channel) People() []Person {
	var people []Person
	for id, grants := range c.people {
		if role := grants[len(grants)-1].role; role != RoleNone {
			people = append(people, Person{id, role, memberSince(grants)})
		}
	}
	slices.SortFunc(people, func(a, b Person) int { return strings.Compare(a.ID, b.ID) })
	return people
}

// memberSince is the number of the first grant after the last removal.
func memberSince(grants []grant) int64 {
	since := int64(0)
	for i := len(grants) - 1; i >= 0 && grants[i].role != RoleNone; i-- {
		since = grants[i].number
	}
	return since
}

// Servers lists the member servers now, by name.
func (c *Channel) Servers() []string {
	var names []string
	for name := range c.servers {
		if c.IsMember(name) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

// IsMember reports whether the server is a member now.
func (c *Channel) IsMember(server string) bool { return c.Admission(server) != 0 }

// WasMember reports whether the server ever was a member.
func (c *Channel) WasMember(server string) bool { return c.servers[server] != nil }

// Admission is the number of the control event that admitted the server as it
// is a member now, 0 when it is none.
func (c *Channel) Admission(server string) int64 {
	m := c.servers[server]
	if m == nil || m.last().removed != 0 {
		return 0
	}
	return m.last().number
}

// Readmitted reports whether the server was admitted more than once.
func (c *Channel) Readmitted(server string) bool {
	m := c.servers[server]
	return m != nil && len(m.admissions) > 1
}

// JoinedAt is the number of the control event by which the server came in as it
// is a member now, which bears its word for it; 0 when it is none.
func (c *Channel) JoinedAt(server string) int64 {
	if !c.IsMember(server) {
		return 0
	}
	return c.servers[server].last().joined
}

// RemovedAt is the number of the control event that ended the server's latest
// membership, 0 while it lasts or when there never was one.
func (c *Channel) RemovedAt(server string) int64 {
	if m := c.servers[server]; m != nil {
		return m.last().removed
	}
	return 0
}

// Admitted is the latest admission of a server that is or was a member.
type Admitted struct {
	Server  string
	Number  int64 // of the control event that admitted it
	Removed int64 // likewise, 0 while it is a member
}

// Admissions lists the latest admission of every server that is or was a
// member, by name.
func (c *Channel) Admissions() []Admitted {
	all := make([]Admitted, 0, len(c.servers))
	for name, m := range c.servers {
		all = append(all, Admitted{name, m.last().number, m.last().removed})
	}
	slices.SortFunc(all, func(a, b Admitted) int { return strings.Compare(a.Server, b.Server) })
	return all
}

// Start is the frontier that was named when the server was last admitted: what
// lies at or below it is history to the newcomer.
func (c *Channel) Start(server string) map[LogID]Start {
	if m := c.servers[server]; m != nil {
		return m.last().start
	}
	return nil
}

func (m *member) last() *admission { return &m.admissions[len(m.admissions)-1] }

// HashAt is the hash of the control event with that number, "" when it is not
// applied here.
func (c *Channel) HashAt(number int64) Hash {
	if number < 1 || number > int64(len(c.numbers)) {
		return ""
	}
	return c.numbers[number-1]
}

// TimeAt is the time of the control event with that number, 0 when it is not
// applied here.
func (c *Channel) TimeAt(number int64) Time {
	if number < 1 || number > int64(len(c.times)) {
		return 0
	}
	return c.times[number-1]
}

// Requested is the number of the control event that the request caused, 0 when
// none did: a request repeated causes no second event.
func (c *Channel) Requested(by, id string) int64 { return c.requests[by+" "+id] }

// MaxLogs is how many logs of one admission count: the lowest.
const MaxLogs = 16

// surplus reports whether so many lower logs of its admission are held that the
// log does not count.
func (c *Channel) surplus(id LogID) bool {
	if len(c.Logs) < MaxLogs {
		return false
	}
	lower := 0
	for other := range c.Logs {
		if other.Origin == id.Origin && other.Epoch>>32 == id.Epoch>>32 && other.Epoch < id.Epoch {
			lower++
		}
	}
	return lower >= MaxLogs
}

// CutOf is where the log is closed: by the removal of its server, by the host's
// freeze, or below a fork of which the proof is held; the lowest counts. A log
// that belongs to no admission, or lies above the 16 lowest of its own, is
// closed at 0.
func (c *Channel) CutOf(id LogID) (Cut, bool) {
	cut, closed := c.removalCut(id)
	if frozen, ok := c.frozen[id]; ok && (!closed || frozen.Seq < cut.Seq) {
		cut, closed = frozen, true
	}
	if at, ok := c.forks[id]; ok && (!closed || at.Seq <= cut.Seq) && c.cutsAt(Ref{id, at.Seq}) {
		cut, closed = Cut{Seq: at.Seq - 1}, true
	}
	return cut, closed
}

func (c *Channel) removalCut(id LogID) (Cut, bool) {
	if c.surplus(id) {
		return Cut{}, true
	}
	m := c.servers[id.Origin]
	if m == nil {
		return Cut{}, true
	}
	for _, a := range m.admissions {
		if a.number == id.Epoch>>32 {
			if a.removed == 0 {
				return Cut{}, false
			}
			return a.cuts[id], true
		}
	}
	return Cut{}, true
}

// LogOf is the state of a log, empty when nothing of it is held.
func (c *Channel) LogOf(id LogID) *Log {
	if l := c.Logs[id]; l != nil {
		return l
	}
	return &Log{Head: Head{LogID: id}, From: 1}
}

// Frontier is the heads of all data logs of which something is held, in the
// order of (origin, epoch). Where newcomers see history only from their start on,
// the start counts as held; where they see all of it, what lies before the start
// may be lost to everybody, and is not claimed by who never had it.
func (c *Channel) Frontier() []Head {
	heads := make([]Head, 0, len(c.Logs))
	for _, l := range c.Logs {
		if l.Seq >= l.From || l.Seq > 0 && c.Settings.History != "full" {
			heads = append(heads, l.Head)
		}
	}
	slices.SortFunc(heads, func(a, b Head) int { return compareLogs(a.LogID, b.LogID) })
	return heads
}

func sortRefs(refs []Ref) {
	slices.SortFunc(refs, func(a, b Ref) int { return compareLogs(a.LogID, b.LogID) })
}

func compareLogs(a, b LogID) int {
	if d := strings.Compare(a.Origin, b.Origin); d != 0 {
		return d
	}
	switch {
	case a.Epoch < b.Epoch:
		return -1
	case a.Epoch > b.Epoch:
		return 1
	}
	return 0
}
