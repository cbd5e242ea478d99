package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations
var migrations embed.FS

// migrate brings the schema up to date, or up to a step where that is not 0, each
// step in a transaction of its own. Several nodes that start at once on one
// PostgreSQL wait for the first. A database that a newer program has migrated is
// refused.
func migrate(ctx context.Context, db *sql.DB, postgres bool, upTo int64) error {
	newest, err := newestStep()
	if err != nil {
		return err
	}
	applied, err := appliedStep(ctx, db, postgres)
	if err != nil {
		return fmt.Errorf("read which migrations were applied: %w", err)
	}
	if most := max(applied, upTo); most > newest {
		return fmt.Errorf("its tables are those of a newer version of this program (migration %d, and this one knows %d): start that version, or restore a backup made before it",
			most, newest)
	}
	provider, err := migrator(db, postgres)
	if err != nil {
		return err
	}
	if upTo == 0 {
		upTo = newest
	}
	if _, err := provider.UpTo(ctx, upTo); err != nil {
		return fmt.Errorf("migrate the database: %w", err)
	}
	return nil
}

// newestStep is the newest migration of either kind of database: they are
// numbered together.
func newestStep() (int64, error) {
	files, err := fs.Glob(migrations, "migrations/*/*.sql")
	newest := int64(0)
	for _, file := range files {
		version, err := goose.NumericComponent(file)
		if err != nil {
			return 0, err
		}
		newest = max(newest, version)
	}
	return newest, err
}

func migrator(db *sql.DB, postgres bool) (*goose.Provider, error) {
	dialect, folder := goose.DialectSQLite3, "migrations/sqlite"
	var options []goose.ProviderOption
	if postgres {
		dialect, folder = goose.DialectPostgres, "migrations/postgres"
		locker, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return nil, err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	steps, err := fs.Sub(migrations, folder)
	if err != nil {
		return nil, err
	}
	options = append(options, goose.WithDisableGlobalRegistry(true), goose.WithAllowOutofOrder(true))
	return goose.NewProvider(dialect, db, steps, options...)
}

// appliedStep is the newest migration that the database has, 0 where it is new.
func appliedStep(ctx context.Context, db *sql.DB, postgres bool) (int64, error) {
	exists := "select count(*) from sqlite_master where name = 'goose_db_version'"
	if postgres {
		exists = "select count(*) from information_schema.tables where table_schema = current_schema() and table_name = 'goose_db_version'"
	}
	var tables int
	if err := db.QueryRowContext(ctx, exists).Scan(&tables); err != nil || tables == 0 {
		return 0, err
	}
	var newest int64
	err := db.QueryRowContext(ctx, "select coalesce(max(version_id), 0) from goose_db_version").Scan(&newest)
	return newest, err
}

// Schema is the newest migration of the program: Export gives rows of that
// schema.
func (s *Store) Schema() (int64, error) { return newestStep() }
