package store

import (
	"database/sql"
	"fmt"

	"meridian/threads"
)

// Revoid takes up removals and forks: every event of the logs beyond their cuts
// is judged again by c, and what people see is made anew without those that are
// void now. A log that was closed, or is forked, ends where it is bounded, in c
// too: what lies beyond is kept as evidence, apart from the journal.
func (t *tx) Revoid(c *threads.Channel, pos int64, logs []threads.LogID) error {
	ch, err := t.touch(c, pos)
	if err != nil {
		return fmt.Errorf("revoid in channel %s: %w", c.ID, err)
	}
	if err := t.flush(); err != nil {
		return err
	}
	for _, id := range logs {
		if err := t.rejudge(ch, id); err != nil {
			return fmt.Errorf("revoid log %v: %w", id, err)
		}
	}
	t.w.names.targets.Purge()
	if err := t.settleAll(ch); err != nil {
		return err
	}
	for _, id := range logs {
		if err := t.clip(ch, id); err != nil {
			return fmt.Errorf("close log %v: %w", id, err)
		}
	}
	return nil
}

// rejudge marks the events of a log that are void now.
func (t *tx) rejudge(ch *touched, id threads.LogID) error {
	log, err := t.logNumber(ch, id)
	if err != nil {
		return err
	}
	var judged int64
	if _, err := t.row([]any{&judged}, "select judged from log where id = ?", log); err != nil {
		return err
	}
	cut, reached := ch.channel.LowestCut(id, judged)
	var gone withdrawn
	for after := cut; reached; {
		var page []*stored
		err := t.each(func(rows *sql.Rows) error {
			row := &stored{log: log}
			var err error
			if row.event, err = scanEvent(rows, &row.pos, &row.flags); err == nil {
				page = append(page, row)
			}
			return err
		}, "select header, sig, content, pos, flags from event where log = ? and seq > ? order by seq limit 500", log, after)
		if err != nil {
			return err
		}
		for _, row := range page {
			was := row.flags & eventVoid
			if err := t.judge(ch, row); err != nil {
				return fmt.Errorf("judge %s: %w", row.event.ID, err)
			}
			if row.flags&eventVoid != was {
				gone.add(row.event.Header.Seq)
			}
			after = row.event.Header.Seq
		}
		reached = len(page) > 0
	}
	if gone.events > 0 {
		t.record(threads.ByServer, threads.AuditWithdrawn, ch.channel.ID, fmt.Sprintf(
			"%d events of the log of %s, epoch %d, from %d to %d, are void since control event %d",
			gone.events, id.Origin, id.Epoch, gone.first, gone.last, ch.channel.Control.Seq))
	}
	return t.exec("update log set judged = ? where id = ?", ch.channel.Control.Seq, log)
}

// withdrawn counts the events of a log that turned void at once.
type withdrawn struct{ events, first, last int64 }

func (w *withdrawn) add(seq int64) {
	if w.events == 0 {
		w.first = seq
	}
	w.events, w.last = w.events+1, seq
}

// judge takes back what an event did when it is void now, and lets an erasure
// of others' messages count no longer than its actor's right does.
func (t *tx) judge(ch *touched, row *stored) error {
	if row.flags&eventVoid != 0 {
		return nil
	}
	h := &row.event.Header
	bound, bounded := ch.channel.Bound(h.LogID())
	if !ch.channel.Void(h) && (!bounded || h.Seq <= bound.Seq) {
		if h.Erases == "" {
			return nil
		}
		ch.dirty[h.Erases] = true
		return t.exec("update erasure set owner = ? where pos = ?", number(ch.channel.May(h, threads.RightOwn)), row.pos)
	}
	row.flags |= eventVoid
	row.flags &^= eventGone
	if h.Origin != t.store.server {
		t.dropped = t.dropped || row.event.Content != nil
		row.event.Content = nil
	}
	if err := t.setEvent(row); err != nil {
		return err
	}
	ch.dirty[row.event.ID] = true
	if h.Erasing() {
		if h.Erases != "" {
			ch.dirty[h.Erases] = true
		}
		if err := t.exec("delete from erasure where pos = ?", row.pos); err != nil || h.Erases != "" {
			return err
		}
		return t.settleWritten(ch, h.Actor)
	}
	return t.dropWrites(ch, row.pos)
}

// clip ends a log where it is bounded. Should what goes come back, by way of a
// branch that counts, it is looked for among what others referred to.
func (t *tx) clip(ch *touched, id threads.LogID) error {
	cut, closed := ch.channel.Bound(id)
	l := ch.channel.Logs[id]
	if !closed || l == nil || l.Seq < cut.Seq {
		return nil
	}
	ch.orphans = true
	log, err := t.logNumber(ch, id)
	if err != nil {
		return err
	}
	ch.logs[id] = true
	beyond := []any{log, cut.Seq}
	const these = " where log = ? and seq > ?"
	for _, query := range []string{
		"delete from message where pos in (select pos from event" + these + ")",
		"update thread set " + unknownThread + " where pos in (select pos from event" + these + ")",
		"insert into evidence (pos, log, seq, header, sig, content) select pos, log, seq, header, sig, content from event" + these,
		"delete from event" + these,
	} {
		if err := t.exec(query, beyond...); err != nil {
			return err
		}
	}
	return t.endAt(ch.channel, l, log, cut)
}

// endAt makes the event at the cut the head of the log; of a log of which
// nothing is left nothing is known.
func (t *tx) endAt(c *threads.Channel, l *threads.Log, log int64, cut threads.Cut) error {
	var header []byte
	found, err := t.row([]any{&header}, "select header from event where log = ? and seq = ?", log, cut.Seq)
	if err != nil {
		return err
	}
	if cut.Seq == 0 || l.From > cut.Seq+1 {
		delete(c.Logs, l.LogID)
		return nil
	}
	l.Seq, l.Hash, l.Time, l.Contradicted = cut.Seq, cut.Hash, 0, false
	if !found { // the copy starts just above the cut
		if l.From > cut.Seq {
			l.Hash = l.Before
		}
		if start := c.Start(t.store.server)[l.LogID]; start.Seq == cut.Seq {
			l.Time, l.Control = start.Time, start.Control
		}
		return nil
	}
	h, err := threads.DecodeHeader(header)
	if err != nil {
		return err
	}
	l.Hash, l.Time, l.Control = threads.HashOf(header), h.Time, h.Control.Number
	return nil
}
