package store

import (
	"context"
	"strings"

	"meridian/threads"
)

// reactions reads who reacted to the messages, by emoji, then by person.
func (s *Store) reactions(ctx context.Context, messages []object) (map[object][]threads.Reaction, error) {
	set, err := s.flags(ctx, messages, threads.FieldReaction)
	if err != nil {
		return nil, err
	}
	reactions := make(map[object][]threads.Reaction, len(set))
	for message, fields := range set {
		var all []threads.Reaction
		for _, field := range fields {
			emoji, person, _ := strings.Cut(strings.TrimPrefix(field, threads.FieldReaction), " ")
			if len(all) == 0 || all[len(all)-1].Emoji != emoji {
				all = append(all, threads.Reaction{Emoji: emoji})
			}
			last := &all[len(all)-1]
			last.People = append(last.People, person)
		}
		reactions[message] = all
	}
	return reactions, nil
}
