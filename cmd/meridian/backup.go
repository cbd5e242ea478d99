package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"meridian/server"
)

func backupCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write all of an installation into one file, and verify it",
		Long: `Write all of an installation into one file: database, keys and files, as they
are at one instant, whether the server runs or not. The file is read back into a
database beside it, every event is checked and every channel compared, before it
gets its name; that takes about as much room again for a while.

Whoever has the file has the server's keys: it is made for its owner's eyes alone
(mode 0600), so keep it so. The configuration file is not in it.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			path, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			var made server.BackedUp
			err = attach(c, func(client *http.Client) (err error) {
				made, err = server.Backup(c.Context(), client, path)
				return err
			})
			if err == nil {
				err = report(c, made, func(w io.Writer) {
					backedUp(w, made)
					fmt.Fprintln(w, "it holds the server's keys: nobody else may read it")
				})
			}
			return errors.Join(err, damaged(made))
		},
	}
	configFlag(c)
	jsonFlag(c)
	return c
}

func backedUp(w io.Writer, b server.BackedUp) {
	for _, f := range b.Faults {
		fmt.Fprintln(w, f)
	}
	fmt.Fprintf(w, "%s: %d events of %d channels, %d keys, %d files; verified, contents sha256 %s\n",
		b.File, b.Events, b.Channels, b.Keys, b.Files, b.SHA256)
}

// damaged is an error where what was backed up was damaged before.
func damaged(b server.BackedUp) error {
	switch {
	case len(b.Faults) > 0:
		return fmt.Errorf("%d logs were damaged before, the first one in channel %s; a running server repairs them from partners", len(b.Faults), b.Faults[0].Channel)
	case b.Audit != nil:
		return errors.New(b.Audit.String())
	}
	return nil
}

func restoreCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "restore FILE",
		Short: "Fill an empty installation from a backup, and verify it",
		Long: `Fill an empty installation from a backup of the same server: the database that
the configuration names, keys and files. What holds anything already is refused.

Never start the old installation again beside the restored one. A server that was
restored asks its partners for what it wrote after the backup before it writes on.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			settings, err := loadConfig(c)
			if err != nil {
				return err
			}
			done, err := server.Restore(c.Context(), settings, args[0], time.Now())
			if err == nil {
				err = report(c, done, func(w io.Writer) { backedUp(w, done) })
			}
			return errors.Join(err, damaged(done))
		},
	}
	configFlag(c)
	jsonFlag(c)
	return c
}

func dbCommand() *cobra.Command {
	c := &cobra.Command{Use: "db", Short: "Move between SQLite and PostgreSQL"}
	var from, to string
	copying := &cobra.Command{
		Use:   "copy --from URL --to URL",
		Short: "Copy a stopped server's database into an empty one of either kind",
		Long: `Copy a stopped server's database into an empty one of either kind, sqlite:PATH or
postgres://…, and compare the state of every channel. Afterwards name the new one
in the configuration; never run servers on both.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			done, err := server.CopyDatabase(c.Context(), from, to)
			if err != nil {
				return err
			}
			return report(c, done, func(w io.Writer) {
				for _, id := range slices.Sorted(maps.Keys(done.Channels)) {
					fmt.Fprintf(w, "channel %s  state %s  equal\n", id, done.Channels[id])
				}
				fmt.Fprintf(w, "%d rows copied, %d channels equal\n", done.Rows, len(done.Channels))
			})
		},
	}
	jsonFlag(copying)
	copying.Flags().StringVar(&from, "from", "", "database to copy")
	copying.Flags().StringVar(&to, "to", "", "empty database to fill")
	_ = errors.Join(copying.MarkFlagRequired("from"), copying.MarkFlagRequired("to")) // both are there
	c.AddCommand(copying)
	return c
}
