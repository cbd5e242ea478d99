package api

import (
	"context"
	"net/http"
	"time"

	"meridian/threads"
)

// AuditEntry is one entry of the audit log.
type AuditEntry struct {
	Seq    int64     `json:"seq" doc:"1, 2, 3 … without a gap."`
	At     time.Time `json:"at"`
	Who    string    `json:"who" doc:"A person's id; server for what it did by its rules; admin for who commands the program on its machine."`
	What   string    `json:"what" doc:"Like partner.allowed."`
	Object string    `json:"object" doc:"What it was done to: a person, a server, a channel, an event, a token."`
	Detail string    `json:"detail,omitempty" doc:"In plain words."`
	Hash   string    `json:"hash" doc:"SHA-256 over this entry and the hash of the one before, so that none can be changed or dropped unseen."`
}

func auditEntryOf(e threads.AuditEntry) AuditEntry {
	return AuditEntry{Seq: e.Seq, At: e.At.UTC(), Who: e.Who, What: e.What, Object: e.Object, Detail: e.Detail, Hash: e.Hash}
}

func (a *API) auditRoutes() {
	register(a, operation{
		method: http.MethodGet, path: "/admin/audit", id: "audit", tag: "admin",
		summary: "What was decided and found on this server, newest first",
	}, func(ctx context.Context, c *caller, in *Paged) (*listed[AuditEntry], error) {
		if err := needAdmin(c); err != nil {
			return nil, err
		}
		entries, next, err := a.AuditLog.AuditLog(ctx, in.page())
		if err != nil {
			return nil, err
		}
		return listOf(ctx, entries, next, auditEntryOf), nil
	})
}
