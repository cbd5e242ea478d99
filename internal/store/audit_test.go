package store

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"meridian/threads"
)

func audited(t *testing.T, s *Store) []string {
	t.Helper()
	entries, _, err := s.AuditLog(context.Background(), threads.Page{Limit: threads.MaxPage})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, e := range entries {
		lines = append(lines, fmt.Sprintf("%d %s %s %s: %s", e.Seq, e.Who, e.What, e.Object, e.Detail))
	}
	return lines
}

func verifyAudit(t *testing.T, s *Store) string {
	t.Helper()
	_, fault, err := s.VerifyAudit(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if fault == nil {
		return ""
	}
	return fault.String()
}

func TestWhatIsDecidedIsAudited(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		ana := createPerson(t, s, "ana", 1)
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(s.Disable(ctx, ana.ID, testAct))
		must(s.Enable(ctx, ana.ID, threads.Act{Who: ana.ID, At: testNow}))
		must(s.AddToken(ctx, threads.Token{ID: "t1", Person: ana.ID, Created: testNow, By: threads.ByAdmin}, "one"))
		must(s.AddToken(ctx, threads.Token{ID: "t2", Person: ana.ID, Created: testNow}, "two")) // by signing in
		must(s.RevokeToken(ctx, ana.ID, "t2", threads.Act{}))
		must(s.RevokeToken(ctx, ana.ID, "t1", testAct))
		p := threads.Partner{Name: "havel.example", State: threads.PartnerPending, Fingerprint: "ab", Added: testNow}
		must(s.SavePartner(ctx, p, testAct))
		must(s.SavePartner(ctx, p, testAct)) // which changes nothing
		p.State, p.Key = threads.PartnerAllowed, threads.Key{ID: "k", Public: make([]byte, 32)}
		must(s.SavePartner(ctx, p, testAct))
		p.Hold = "another key"
		must(s.SavePartner(ctx, p, threads.Act{Who: threads.ByServer, At: testNow}))
		must(s.Audit(ctx, threads.AuditEntry{Act: testAct, What: threads.AuditBackup, Object: "f", Detail: strings.Repeat("é", 600) + "\x00\xff"}))
		got := audited(t, s)
		want := []string{
			"10 admin backup.made f: " + strings.Repeat("é", 500),
			"9 server partner.held havel.example: another key",
			"8 admin key.pinned havel.example: ab",
			"7 admin partner.allowed havel.example: ab",
			"6 admin partner.added havel.example: ab",
			"5 admin token.revoked t1: of " + ana.ID,
			"4 admin token.made t1: of " + ana.ID,
			"3 " + ana.ID + " person.changed " + ana.ID + ": enabled",
			"2 admin person.changed " + ana.ID + ": disabled",
		}
		if diff := cmp.Diff(want, got[:min(len(got), len(want))]); diff != "" {
			t.Error(diff)
		}
		if fault := verifyAudit(t, s); fault != "" {
			t.Error(fault)
		}
	})
}

func TestWithdrawalsAndErasuresAreAuditedWithTheirCause(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		w, kept, cut := removed(t, removeJan)
		removal := w.all[len(w.all)-1]
		feed(t, s, w.c.ID, w.all[:len(w.all)-1]...)
		feed(t, s, w.c.ID, removal)
		e := w.do(w.kobo, w.ana, threads.Erase{Channel: w.c.ID, Target: kept.ID})[0]
		feed(t, s, w.c.ID, e)
		want := []string{
			fmt.Sprintf("2 %s content.erased %s: by event %s", w.ana, kept.ID, e.ID),
			fmt.Sprintf("1 server events.withdrawn %s: 1 events of the log of havel.example, epoch %d, from %d to %d, are void since control event %d",
				w.c.ID, cut.Header.Epoch, cut.Header.Seq, cut.Header.Seq, removal.Header.Seq),
		}
		if diff := cmp.Diff(want, audited(t, s)); diff != "" {
			t.Error(diff)
		}
	})
}

// T81: rows of the audit log that somebody deleted, changed or swapped by hand
// are found, and the first of them is named.
func TestVerifyNamesTheFirstMissingOrAlteredAuditEntry(t *testing.T) {
	damages := map[string]string{
		"update audit set detail = 'nothing' where seq = 3":                                        "entry 3: the entry is not as it was written",
		"update audit set at = at + 1 where seq = 2":                                               "entry 2: the entry is not as it was written",
		"delete from audit where seq = 2":                                                          "entry 2: the entry is missing: the next is 3",
		"delete from audit where seq = 1":                                                          "entry 1: the entry is missing",
		"delete from audit where seq = 4; update audit set seq = 4 where seq = 5":                  "entry 4: the entry is not",
		"delete from audit where seq > 3":                                                          "entry 4: the entry is missing: the log should go on to 5",
		"delete from audit":                                                                        "entry 1: the entry is missing",
		"delete from audit where seq > 3; update audit_head set seq = 3":                           "entry 3: the entry is not the one that was written last",
		"delete from audit_head":                                                                   "entry 6: the head of the log is missing",
		"insert into audit select 6, at, who, what, object, detail, hash from audit where seq = 5": "entry 6: the entry is not",
	}
	onEach(t, func(t *testing.T, s *Store) {
		for range 5 {
			if err := s.Audit(context.Background(), threads.AuditEntry{Act: testAct, What: threads.AuditBackup}); err != nil {
				t.Fatal(err)
			}
		}
		breakIt(t, s, "create table kept as select * from audit; create table kept_head as select * from audit_head")
		for damage, want := range damages {
			if fault := verifyAudit(t, s); fault != "" {
				t.Fatal(fault)
			}
			breakIt(t, s, damage)
			if fault := verifyAudit(t, s); !strings.Contains(fault, want) {
				t.Errorf("%s: got %q, want %q", damage, fault, want)
			}
			breakIt(t, s, "delete from audit; insert into audit select * from kept; delete from audit_head; insert into audit_head select * from kept_head")
		}
	})
}

func TestAuditEntriesOfManyAtOnceAreOneChain(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				for range 5 {
					act := threads.Act{Who: threads.ByServer, At: testNow.Add(time.Duration(i))}
					if err := s.Audit(context.Background(), threads.AuditEntry{Act: act, What: threads.AuditBackup}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		if n, fault, err := s.VerifyAudit(context.Background()); n != 40 || fault != nil || err != nil {
			t.Errorf("%d entries, %v, %v", n, fault, err)
		}
	})
}
