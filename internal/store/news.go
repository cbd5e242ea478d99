package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"meridian/threads"
	"meridian/threads/journal"
)

// News is what one node of an organisation tells the others. It carries no
// state: whoever hears it reads anew. One of its parts is set.
type News struct {
	// Commit is a transaction of the journal.
	Commit *Commit `json:"commit,omitempty"`
	// Person is one of this server whose account, tokens or profile changed.
	Person string `json:"person,omitempty"`
	// Partner is a server about which something was decided, or, with a Hint,
	// whose courier is to hear that.
	Partner string          `json:"partner,omitempty"`
	Hint    json.RawMessage `json:"hint,omitempty"`
	// Fates are what became of messages of this server's people.
	Fates []threads.Fate `json:"fates,omitempty"`
	// Key says that this server has another key since.
	Key bool `json:"key,omitempty"`
	// Lost says that some news may not have arrived.
	Lost bool `json:"-"`
}

// Commit says how far a transaction brought the journal.
type Commit struct {
	After    int64          `json:"after"` // newest position before
	Last     int64          `json:"last"`
	Channels []threads.Hash `json:"channels,omitempty"` // changed; none when they are too many to name
	// Newest is the newest event of it, zero where it appended none.
	Newest journal.Mark `json:"newest"`
	Files  bool         `json:"files,omitempty"` // it named files, whose bytes may be lacking
}

// told is News as it crosses the database.
type told struct {
	Node string `json:"node"`
	News
}

// newsChannel is the PostgreSQL channel of all news.
const newsChannel = "meridian"

// maxNews is how long news may be; PostgreSQL takes less than 8,000 bytes.
const maxNews = 7900

// Tell tells the other nodes, at once and at most once. On SQLite there are none.
func (s *Store) Tell(ctx context.Context, news ...News) error {
	return s.tell(ctx, s.writers, news...)
}

// tell has the other nodes hear of what a transaction did, once it is committed.
// News that is too long is refused.
func (s *Store) tell(ctx context.Context, in sqlx.ExecerContext, news ...News) error {
	if !s.postgres || len(news) == 0 {
		return nil
	}
	texts := make([]string, len(news))
	for i, n := range news {
		var err error
		if texts[i], err = s.written(n); err != nil {
			return err
		}
	}
	if _, err := in.ExecContext(ctx, "select pg_notify($1, t) from unnest($2::text[]) as t", newsChannel, pq.Array(texts)); err != nil {
		return fmt.Errorf("tell other nodes: %w", err)
	}
	return nil
}

func (s *Store) written(n News) (string, error) {
	text, err := json.Marshal(told{s.node, n})
	if err == nil && len(text) > maxNews {
		err = fmt.Errorf("is longer than %d bytes", maxNews)
	}
	if err != nil {
		return "", fmt.Errorf("write news: %w", err)
	}
	return string(text), nil
}

// commitQuery commits what the transaction did and tells the other nodes of it
// in the same breath.
func (t *tx) commitQuery() (string, error) {
	if !t.store.postgres || len(t.channels) == 0 && !t.doubted {
		return "commit", nil
	}
	c := &Commit{After: t.last, Last: t.last, Newest: t.newest, Files: t.files}
	for id, ch := range t.channels {
		c.Last = max(c.Last, ch.version)
		c.Channels = append(c.Channels, id)
	}
	text, err := t.store.written(News{Commit: c})
	if err != nil {
		c.Channels = nil
		if text, err = t.store.written(News{Commit: c}); err != nil {
			return "", err
		}
	}
	t.w.last = c.Last
	return fmt.Sprintf("select pg_notify(%s, %s); commit", pq.QuoteLiteral(newsChannel), pq.QuoteLiteral(text)), nil
}
