package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"github.com/jmoiron/sqlx"

	"meridian/threads"
)

// Rules is the version of the rules by which states are derived: only states of
// equal versions are compared.
const Rules = 1

// StateHash stands for the state of a channel: equal at replicas with equal
// frontiers, equal control head, equal start and equal rules. It covers
// headers, validity and erasures, and not which contents are at hand.
type StateHash struct {
	Hash     threads.Hash
	Frontier []threads.Head // the newest event of each data log
	Control  threads.Head
	Start    []threads.Head // of each data log that is not held from its first event: the one before
	Rules    int
}

// StateHash reads all headers of the channel. *threads.Error of kind NotFound
// when the channel is unknown here.
func (s *Store) StateHash(ctx context.Context, channel threads.Hash) (StateHash, error) {
	var state StateHash
	err := s.view(ctx, func(q *sqlx.Tx) (err error) {
		state, err = s.stateHash(ctx, q, channel)
		return err
	})
	var refused *threads.Error
	if err != nil && !errors.As(err, &refused) {
		err = fmt.Errorf("hash the state of %s: %w", channel, err)
	}
	return state, err
}

func (s *Store) stateHash(ctx context.Context, q *sqlx.Tx, channel threads.Hash) (StateHash, error) {
	loaded, err := s.load(ctx, q, channel, known{})
	if err != nil {
		return StateHash{}, err
	}
	if loaded.channel == nil {
		return StateHash{}, threads.Refuse(threads.NotFound, "not_found", "", "there is no such channel")
	}
	state := stateOf(loaded.channel)
	return state, s.hashState(ctx, q, channel, &state)
}

func stateOf(c *threads.Channel) StateHash {
	state := StateHash{Frontier: c.Frontier(), Control: c.Control, Rules: Rules}
	for _, head := range state.Frontier {
		if l := c.LogOf(head.LogID); l.From > 1 {
			state.Start = append(state.Start, threads.Head{LogID: l.LogID, Seq: l.From - 1, Hash: l.Before})
		}
	}
	return state
}

// hashState hashes the listing: the rules, the control head, the start, then
// every event in the order of the logs.
func (s *Store) hashState(ctx context.Context, q querier, channel threads.Hash, state *StateHash) error {
	sum := sha256.New()
	line := strconv.AppendInt(nil, Rules, 10)
	line = append(append(append(line, ' '), state.Control.Hash...), '\n')
	line = append(threads.AppendHeads(line, state.Start), '\n')
	sum.Write(line)
	err := eachOf(ctx, q, func(rows *sql.Rows) error {
		var origin string
		var epoch, seq, flags int64
		var header sql.RawBytes
		if err := rows.Scan(&origin, &epoch, &seq, &flags, &header); err != nil {
			return err
		}
		line = append(append(line[:0], origin...), ' ')
		line = append(strconv.AppendInt(line, epoch, 10), ' ')
		line = append(strconv.AppendInt(line, seq, 10), ' ')
		line = append(append(line, threads.HashOf(header)...), ' ')
		line = append(strconv.AppendInt(line, flags&(eventVoid|eventErased), 10), '\n')
		sum.Write(line)
		return nil
	}, s.bind(`select s.name, l.epoch, e.seq, e.flags, e.header from log l join server s on s.id = l.origin
		join event e on e.log = l.id where l.channel = (select id from channel where hash = ?) and e.seq >= l.from_seq
		order by s.name, l.epoch, e.seq`), raw(channel))
	state.Hash = hashOf(sum.Sum(nil))
	return err
}
