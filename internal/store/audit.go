package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"github.com/jmoiron/sqlx"

	"meridian/threads"
)

// Audit writes an entry at the end of the audit log; its Seq and Hash are given
// here. What is recorded together with what it records needs no call of this.
func (s *Store) Audit(ctx context.Context, entry threads.AuditEntry) error {
	return s.change(ctx, func(tx *sqlx.Tx) error { return s.audit(ctx, tx, entry) })
}

// execer is a connection or a transaction.
type execer interface {
	querier
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// audit writes entries in the transaction that does what they record. It comes
// last there: on PostgreSQL it waits for other transactions that write entries.
func (s *Store) audit(ctx context.Context, tx execer, entries ...threads.AuditEntry) error {
	if len(entries) == 0 {
		return nil
	}
	head := "select seq, hash from audit_head where id = 1"
	if s.postgres {
		head += " for update"
	}
	var seq int64
	var hash []byte
	if err := tx.QueryRowContext(ctx, head).Scan(&seq, &hash); err != nil {
		return fmt.Errorf("read the head of the audit log: %w", err)
	}
	for _, entry := range entries {
		e := entry.Storable()
		seq++
		e.Seq = seq
		hash = raw(e.Chain(hashOf(hash)))
		_, err := tx.ExecContext(ctx, s.bind("insert into audit (seq, at, who, what, object, detail, hash) values (?, ?, ?, ?, ?, ?, ?)"),
			e.Seq, e.At.UnixMilli(), e.Who, e.What, e.Object, e.Detail, hash)
		if err != nil {
			return fmt.Errorf("write audit entry %s: %w", e.What, err)
		}
	}
	_, err := tx.ExecContext(ctx, s.bind("update audit_head set seq = ?, hash = ? where id = 1"), seq, hash)
	return err
}

// auditRow is an entry as it lies in the database.
type auditRow struct {
	Seq, At                   int64
	Who, What, Object, Detail string
	Hash                      []byte
}

func (r *auditRow) entry() threads.AuditEntry {
	return threads.AuditEntry{
		Seq: r.Seq, Act: threads.Act{Who: r.Who, At: instant(r.At)},
		What: r.What, Object: r.Object, Detail: r.Detail, Hash: hashOf(r.Hash),
	}
}

// AuditLog lists the audit log, newest first.
func (s *Store) AuditLog(ctx context.Context, page threads.Page) ([]threads.AuditEntry, string, error) {
	after, err := numbersOf(page, 1)
	if err != nil {
		return nil, "", err
	}
	before := int64(1) << 62
	if after != nil {
		before = after[0]
	}
	var rows []auditRow
	err = s.list(ctx, &rows, "select seq, at, who, what, object, detail, hash from audit where seq < ? order by seq desc limit ?", before, page.Size()+1)
	if err != nil {
		return nil, "", fmt.Errorf("list the audit log: %w", err)
	}
	entries := make([]threads.AuditEntry, len(rows))
	for i := range rows {
		entries[i] = rows[i].entry()
	}
	entries, next := cut(entries, page, func(e *threads.AuditEntry) string { return cursorAfter(strconv.FormatInt(e.Seq, 10)) })
	return entries, next, nil
}

// AuditFault is the first entry of the audit log that is not as it was written.
type AuditFault struct {
	Seq  int64  `json:"seq"`
	What string `json:"what"`
}

func (f AuditFault) String() string { return fmt.Sprintf("audit log, entry %d: %s", f.Seq, f.What) }

// VerifyAudit walks the chain of the audit log and names its first entry that is
// missing or altered, nil when all are as they were written. entries is how many
// it looked at.
func (s *Store) VerifyAudit(ctx context.Context) (entries int64, fault *AuditFault, err error) {
	err = s.view(ctx, func(q *sqlx.Tx) error {
		entries, fault, err = s.verifyAudit(ctx, q)
		return err
	})
	if err != nil {
		return entries, nil, fmt.Errorf("verify the audit log: %w", err)
	}
	return entries, fault, nil
}

func (s *Store) verifyAudit(ctx context.Context, q *sqlx.Tx) (int64, *AuditFault, error) {
	var last int64
	prev := threads.Hash("")
	for {
		var rows []auditRow
		err := q.SelectContext(ctx, &rows, s.bind("select seq, at, who, what, object, detail, hash from audit where seq > ? order by seq limit ?"), last, verifyPage)
		if err != nil {
			return last, nil, err
		}
		if len(rows) == 0 {
			fault, err := s.auditEnd(ctx, q, last, prev)
			return last, fault, err
		}
		for i := range rows {
			e := rows[i].entry()
			switch {
			case e.Seq != last+1:
				return last, &AuditFault{last + 1, fmt.Sprintf("the entry is missing: the next is %d", e.Seq)}, nil
			case e.Chain(prev) != e.Hash:
				return last, &AuditFault{e.Seq, "the entry is not as it was written"}, nil
			}
			last, prev = e.Seq, e.Hash
		}
	}
}

// auditEnd says what is wrong when the log ends with an entry of this hash.
func (s *Store) auditEnd(ctx context.Context, q querier, last int64, hash threads.Hash) (*AuditFault, error) {
	var seq int64
	var head []byte
	err := q.QueryRowContext(ctx, "select seq, hash from audit_head where id = 1").Scan(&seq, &head)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return &AuditFault{last + 1, "the head of the log is missing"}, nil
	case err != nil:
		return nil, err
	case seq > last:
		return &AuditFault{last + 1, fmt.Sprintf("the entry is missing: the log should go on to %d", seq)}, nil
	case seq < last || hashOf(head) != hash:
		return &AuditFault{last, "the entry is not the one that was written last"}, nil
	}
	return nil, nil
}
