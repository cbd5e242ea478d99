package store

import (
	"context"
	"fmt"
	"strings"
)

// scope is a query with the names in it looked up.
type scope struct {
	query
	me       int64
	channels []int64 // of in:
	authors  []author
}

// author is whom from: or org: means: a condition on the column of an author,
// and the words of an attribution by an archive that are meant too.
type author struct {
	condition string // begins behind the column
	args      []any
	words     string
}

func (s *scope) nowhere() bool {
	return len(s.in) > 0 && len(s.channels) == 0 ||
		len(s.phrases)+len(s.in)+len(s.authors)+len(s.labels)+len(s.states) == 0 && !s.file && s.before.IsZero() && s.after.IsZero()
}

// Bounds of the names that are compared with those in a query, and of the
// people whom one name can mean.
const (
	maxNames    = 20_000
	maxNamesake = 1000
)

// scope looks up channels and people by the names that stand in the query.
func (r Reading) scope(ctx context.Context, me int64, q query) (*scope, error) {
	s := &scope{query: q, me: me}
	if err := r.namedChannels(ctx, s); err != nil {
		return nil, fmt.Errorf("look up channels: %w", err)
	}
	if err := r.namedPeople(ctx, s); err != nil {
		return nil, fmt.Errorf("look up people: %w", err)
	}
	for _, org := range q.org {
		s.authors = append(s.authors, author{
			// A name with a dot behind it begins those of the servers below it.
			condition: `IN (SELECT p.id FROM person p JOIN server s ON s.id = p.server WHERE s.name = ? OR s.name > ? AND s.name < ?)`,
			args:      []any{org, org + ".", org + "/"}, words: searchText(org),
		})
	}
	return s, nil
}

func (r Reading) namedChannels(ctx context.Context, s *scope) error {
	if len(s.in) == 0 {
		return nil
	}
	var rows []struct {
		ID   int64
		Hash []byte
		Name string
	}
	err := r.s.list(ctx, &rows, `
		SELECT c.id, c.hash, c.name FROM membership mb JOIN channel c ON c.id = mb.channel
		WHERE mb.person = ? ORDER BY c.id LIMIT ?`, s.me, maxNames)
	for _, c := range rows {
		meant := true
		for _, in := range s.in {
			meant = meant && (hashOf(c.Hash) == in || holds(c.Name, searchText(in)))
		}
		if meant {
			s.channels = append(s.channels, c.ID)
		}
	}
	return err
}

// namedPeople finds whom from: means: by address, by the part of it before the
// @, or by words of the name that they show.
func (r Reading) namedPeople(ctx context.Context, s *scope) error {
	if len(s.from) == 0 {
		return nil
	}
	var people []struct {
		Person         int64
		Address, Shown string
	}
	err := r.s.list(ctx, &people, `
		SELECT person, COALESCE(address, '') AS address, shown FROM profile ORDER BY person LIMIT ?`, maxNames)
	if err != nil {
		return err
	}
	for _, name := range s.from {
		numbers, words := []int64{0}, searchText(name)
		for _, p := range people {
			local, _, _ := strings.Cut(p.Address, "@")
			meant := p.Address != "" && (p.Address == name || local == name) || !strings.Contains(name, "@") && holds(p.Shown, words)
			if meant && len(numbers) < maxNamesake {
				numbers = append(numbers, p.Person)
			}
		}
		s.authors = append(s.authors, author{condition: `IN (?)`, args: []any{numbers}, words: words})
	}
	return nil
}

// holds reports whether the words of name hold the phrase.
func holds(name, phrase string) bool {
	return phrase != "" && strings.Contains(" "+searchText(name)+" ", " "+phrase+" ")
}
