package sim

// The properties of a federation of servers that the simulation sees.
const (
	authentic    = "authentic"
	immutable    = "immutable"
	convergent   = "convergent"
	noLoss       = "no loss"
	noDuplicate  = "no duplicate"
	confidential = "confidential"
	removal      = "removal works"
	noReturn     = "no resurrection"
	equivocation = "equivocation is found and contained"
	bounded      = "bounded"
	available    = "available without the host"
	healing      = "heals itself"
	accountable  = "accountable"
	unwatched    = "not surveillance"
)

var properties = []string{
	authentic, immutable, convergent, noLoss, noDuplicate, confidential, removal, noReturn,
	equivocation, bounded, available, healing, accountable, unwatched,
}

// bug is one that the simulation has to find within the seeds of every run. It changes one place of one
// file: where text stands, bug does, in which BUG is true while it is awake.
type bug struct {
	property, name, file, text, bug string
	seed                            uint64 // that is known to catch it
	// A test of the package in that finds it where no seed does: members cut alike one place too high, or
	// a log that its server goes on with by its new key, agree again before a world is at rest.
	in, test string
}

var planted = []bug{
	{
		property: authentic, name: "no signature check", file: "threads/journal/verify.go", seed: 98,
		text: "	return threads.Verify(key, threads.SigningBytes(e.HeaderBytes), e.Sig), threads.RefusedSignature\n",
		bug:  "	return BUG || threads.Verify(key, threads.SigningBytes(e.HeaderBytes), e.Sig), threads.RefusedSignature\n",
	},
	{
		property: immutable, name: "old log continued after a restore", file: "threads/epoch.go", seed: 14,
		text: "	return !closed && !guarded && l.Doubt == Sure && ",
		bug:  "	return !closed && !guarded && (l.Doubt == Sure || BUG) && ",
	},
	{
		property: convergent, name: "no gap check", file: "threads/place.go", seed: 83,
		text: "	case h.Seq > log.Seq+1:\n",
		bug:  "	case h.Seq > log.Seq+1 && !BUG:\n",
	},
	{
		property: convergent, name: "the first to come counts", file: "internal/store/settle.go", seed: 1,
		text: "			where channel = ? and object = ? and field = ? order by stamp desc limit 1`, channel, raw(object), field)\n",
		bug:  "			where channel = ? and object = ? and field = ? order by case when cast(? as text) = '' then 0 else pos end, stamp desc limit 1`, channel, raw(object), field, map[bool]string{true: \"first\"}[BUG])\n",
	},
	{
		property: noLoss, name: "cursor moved before the answer", file: "federation/deliver.go", seed: 1,
		text: "	got, err := c.x.ask(ctx, c.name, pushPath, typeFrames, body)\n",
		bug:  "	if BUG && len(b.lanes) == 0 {\n		c.advance(b)\n		b.taken = 0\n	}\n	got, err := c.x.ask(ctx, c.name, pushPath, typeFrames, body)\n",
	},
	{
		property: noDuplicate, name: "requests forgotten", file: "threads/journal/do.go", seed: 1,
		text: "	if r.Key == \"\" {\n		return result, nil\n",
		bug:  "	if r.Key == \"\" || BUG {\n		return result, nil\n",
	},
	{
		property: confidential, name: "the removed still served", file: "federation/pull.go", seed: 1,
		text: "	if !ch.IsMember(from.name) {\n		out.Code = pullRemoved\n",
		bug:  "	if !ch.IsMember(from.name) && !BUG {\n		out.Code = pullRemoved\n",
	},
	{
		property: confidential, name: "newcomers given what was before them", file: "threads/start.go", seed: 97,
		text: "	return max(have, m.last().start[id].Seq) + 1\n",
		bug:  "	if BUG {\n		return have + 1\n	}\n	return max(have, m.last().start[id].Seq) + 1\n",
	},
	{
		property: removal, name: "cut ignored", file: "threads/validity.go", seed: 118,
		text: "			return h.Seq <= g.cuts[h.LogID()].Seq\n",
		bug:  "			return BUG || h.Seq <= g.cuts[h.LogID()].Seq\n",
	},
	{
		property: removal, name: "old key counts beyond the cut", file: "threads/serverkey.go", seed: 99,
		text: "	last.removed, last.cuts = number, cuts\n",
		bug:  "	if last.cuts = cuts; !BUG {\n		last.removed = number\n	}\n",
	},
	{
		property: noReturn, name: "edits outlive the erasure", file: "internal/store/settle_message.go", seed: 198,
		text: "	if err := t.dropEdits(ch, id, \" and exists\"+takes); err != nil {\n",
		bug:  "	if BUG {\n		return nil\n	}\n	if err := t.dropEdits(ch, id, \" and exists\"+takes); err != nil {\n",
	},
	{
		property: equivocation, name: "proof never forwarded", file: "federation/fork.go", seed: 197,
		text: "		lacking[r] = !known && r.Seq >= s.ch.Floor(s.asker, r.LogID)\n",
		bug:  "		lacking[r] = !BUG && !known && r.Seq >= s.ch.Floor(s.asker, r.LogID)\n",
	},
	{
		property: equivocation, name: "fork cut off by one", file: "threads/channel.go",
		text: "		cut, closed = Cut{Seq: at.Seq - 1}, true\n",
		bug:  "		if cut, closed = (Cut{Seq: at.Seq - 1}), true; BUG {\n			cut.Seq++\n		}\n",
		in:   ".", test: "TestTwoExchangesFindAFork/^0_",
	},
	{
		property: authentic, name: "old key signs on", file: "threads/serverkey.go",
		text: "		if k.ID == id && k.From <= number && (i == len(m.keys)-1 || number < m.keys[i+1].From) {\n",
		bug:  "		if k.ID == id && k.From <= number && (i == len(m.keys)-1 || BUG || number < m.keys[i+1].From) {\n",
		in:   "../../threads", test: "TestServerWritesWithTheKeyThatTheChannelKnows",
	},
	{
		property: bounded, name: "any number of logs", file: "threads/channel.go", seed: 189,
		text: "	return lower >= MaxLogs\n",
		bug:  "	return lower >= MaxLogs && !BUG\n",
	},
	{
		property: available, name: "posts wait for the others", file: "threads/seal.go", seed: 1,
		text: "	id := c.OpenLog(p.Server, p.Now)\n	log := c.LogOf(id)\n",
		bug:  "	if BUG && c.InDoubt() {\n		return nil, p.inDoubt(c)\n	}\n	id := c.OpenLog(p.Server, p.Now)\n	log := c.LogOf(id)\n",
	},
	{
		property: healing, name: "own events not taken back", file: "threads/journal/ingest.go", seed: 99,
		text: "	case r.c.Control.Seq == 0 || !r.c.IsMember(run.server()):\n",
		bug:  "	case r.c.Control.Seq == 0 || !r.c.IsMember(run.server()) || BUG && e.Header.Origin == run.server():\n",
	},
	{
		property: accountable, name: "erasures not recorded", file: "internal/store/append.go", seed: 1,
		text: "	if e.Header.Erases != \"\" && !entry.Void {\n",
		bug:  "	if e.Header.Erases != \"\" && !entry.Void && !(BUG && e.Header.Origin != t.store.server) {\n",
	},
	{
		property: unwatched, name: "profiles told to whoever asks", file: "federation/profiles.go", seed: 1,
		text: "		if visible[id] || theirs[id] {\n",
		bug:  "		if visible[id] || theirs[id] || BUG {\n",
	},
}
