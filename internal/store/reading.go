package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"meridian/threads"
)

// Reading finds for people what they may see: what stands in channels of which
// they are members now. What they may not see is NotFound to them, like what
// does not exist.
type Reading struct{ s *Store }

// Reading is how people read this store.
func (s *Store) Reading() Reading { return Reading{s} }

// number is that of a person, 0 for one who is unknown and so sees nothing.
func (r Reading) number(ctx context.Context, person string) (int64, error) {
	var number int64
	if threads.CheckText(person) != nil {
		return 0, nil
	}
	err := r.s.one(ctx, &number, `SELECT id FROM person WHERE uri = ? LIMIT 1`, person)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("look up person: %w", err)
	}
	return number, nil
}

// standpoint is where a person reads: the number of the person, and that of the
// channel or thread, which they may see.
type standpoint struct{ Person, Number int64 }

// member is where the person reads in a channel; NotFound for who is no member.
func (r Reading) member(ctx context.Context, person string, channel threads.Hash) (standpoint, error) {
	return r.stand(ctx, "channel", `
		SELECT mb.person, c.id AS number FROM channel c JOIN membership mb ON mb.channel = c.id
		JOIN person p ON p.id = mb.person WHERE p.uri = ? AND c.hash = ? LIMIT 1`, person, channel)
}

// reader is where the person reads in a thread; NotFound for who may not see it.
func (r Reading) reader(ctx context.Context, person string, thread threads.Hash) (standpoint, error) {
	return r.stand(ctx, "thread", `
		SELECT mb.person, t.id AS number FROM person p JOIN membership mb ON mb.person = p.id
		JOIN thread t ON t.channel = mb.channel WHERE p.uri = ? AND t.hash = ? AND `+shownThread+` LIMIT 1`, person, thread)
}

func (r Reading) stand(ctx context.Context, what, query, person string, id threads.Hash) (standpoint, error) {
	var at standpoint
	if !threads.IsHash(id) || threads.CheckText(person) != nil {
		return at, notFound(what)
	}
	err := r.s.one(ctx, &at, query, person, raw(id))
	if errors.Is(err, sql.ErrNoRows) {
		return at, notFound(what)
	}
	if err != nil {
		return at, fmt.Errorf("look up %s: %w", what, err)
	}
	return at, nil
}

// selectIn reads rows by a query in which an argument that is a list, never an
// empty one, stands for all its elements.
func (s *Store) selectIn(ctx context.Context, rows any, query string, args ...any) error {
	query, args, err := sqlx.In(query, args...)
	if err != nil {
		return err
	}
	return s.readers.SelectContext(ctx, rows, s.bind(query), args...)
}

// register is the value of a register that is true.
type register struct {
	Channel int64
	Object  []byte
	Field   string
}

// object names what a register belongs to.
type object struct {
	channel int64
	id      threads.Hash
}

// maxRegisters bounds the registers read for one page.
const maxRegisters = 20_000

// flags reads which registers of each object are set to true, in order, of the
// fields that begin with one of the prefixes, which are named in order.
func (s *Store) flags(ctx context.Context, objects []object, prefixes ...string) (map[object][]string, error) {
	set := map[object][]string{}
	if len(objects) == 0 {
		return set, nil
	}
	channels, ids := keysOf(objects)
	var rows []register
	err := s.selectIn(ctx, &rows, `
		SELECT w.channel, w.object, w.field FROM write w
		WHERE w.channel IN (?) AND w.object IN (?) AND w.field >= ? AND w.field < ? AND w.value = 'true'
			AND NOT EXISTS (SELECT 1 FROM write n WHERE n.channel = w.channel AND n.object = w.object
				AND n.field = w.field AND n.stamp > w.stamp)
		ORDER BY w.channel, w.object, w.field LIMIT ?`,
		channels, ids, prefixes[0], prefixes[len(prefixes)-1]+"\U0010ffff", maxRegisters)
	if err != nil {
		return nil, fmt.Errorf("read registers: %w", err)
	}
	for _, r := range rows {
		for _, prefix := range prefixes {
			if strings.HasPrefix(r.Field, prefix) {
				key := object{r.Channel, hashOf(r.Object)}
				set[key] = append(set[key], r.Field)
			}
		}
	}
	return set, nil
}

// keysOf parts objects into their channels, each once, and their ids.
func keysOf(objects []object) (channels []int64, ids [][]byte) {
	seen := map[int64]bool{}
	for _, o := range objects {
		if !seen[o.channel] {
			seen[o.channel] = true
			channels = append(channels, o.channel)
		}
		ids = append(ids, raw(o.id))
	}
	return channels, ids
}
