package store

import (
	"database/sql"
	"strings"
	"testing"
)

// TestNoLookUpReadsAWholeTable holds the statements of every transaction and
// every reading against SQLite's plans.
func TestNoLookUpReadsAWholeTable(t *testing.T) {
	s := openTest(t, "sqlite:"+t.TempDir()+"/plans.db", testServer)
	for _, query := range []string{
		lastQuery,
		entriesQuery,
		"select header, sig, content, pos, log, flags from event where hash8 = ? limit 16",
		upwardsQuery,
		missingQuery,
		"select header, sig, content, pos, flags from event where log = ? and seq > ? order by seq limit 500",
		`select value from write where channel = ? and object = ? and field = ? order by stamp desc limit 1`,
		"select object from write where pos = ?",
		erasedQuery,
		placeQuery,
		"select sort from message where thread = ? and (flags & 3) = 0 order by sort desc limit 1",
		"delete from message where pos in (select pos from event where log = ? and seq > ?)",
		sharedQuery,
		forgetQuery,
	} {
		var plan []string
		err := s.each(t.Context(), func(rows *sql.Rows) error {
			var id, parent, unused int
			var step string
			err := rows.Scan(&id, &parent, &unused, &step)
			plan = append(plan, step)
			return err
		}, "explain query plan "+query, make([]any, strings.Count(query, "?"))...)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		for _, step := range plan {
			sorts := strings.Contains(step, "TEMP B-TREE") && query != sharedQuery // which sorts one server's channels
			if strings.HasPrefix(step, "SCAN") && !strings.Contains(step, "SCAN newest") || sorts {
				t.Errorf("%s\n%s", query, strings.Join(plan, "\n"))
				break
			}
		}
	}
}
