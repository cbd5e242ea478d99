package store

import (
	"fmt"

	"meridian/threads"
)

// mention notes whom of this server's people a message mentions; they follow
// its thread while it stands.
func (t *tx) mention(pos, thread int64, mentions []string) error {
	for _, person := range mentions[:min(len(mentions), threads.MaxMentions)] {
		if threads.ServerOf(person) != t.store.server {
			continue
		}
		err := t.exec(`insert into mention (person, thread, pos)
			select id, cast(? as bigint), cast(? as bigint) from person where uri = ? on conflict do nothing`, thread, pos, person)
		if err != nil {
			return fmt.Errorf("note mention: %w", err)
		}
	}
	return nil
}
