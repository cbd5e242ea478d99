package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// OwnKey notes that a node of this server signs with the key of that fingerprint.
// Where the key was replaced, it changes nothing and returns the fingerprint of
// the newest one, else "".
func (s *Store) OwnKey(ctx context.Context, fingerprint string) (newest string, err error) {
	err = s.change(ctx, func(tx *sqlx.Tx) error {
		var number int64
		err := tx.QueryRowContext(ctx, "select number, fingerprint from own_key order by number desc limit 1").Scan(&number, &newest)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		var had int
		if err := tx.QueryRowContext(ctx, s.bind("select count(*) from own_key where fingerprint = ?"), fingerprint).Scan(&had); err != nil || had > 0 {
			return err
		}
		newest = fingerprint
		if err := s.tell(ctx, tx, News{Key: true}); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, s.bind("insert into own_key (number, fingerprint) values (?, ?)"), number+1, fingerprint)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("compare the server's key with those of its other nodes: %w", err)
	}
	if newest == fingerprint {
		newest = ""
	}
	return newest, nil
}
