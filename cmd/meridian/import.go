package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"meridian/internal/mbox"
	"meridian/server"
)

func importCommand() *cobra.Command {
	c := &cobra.Command{Use: "import", Short: "Bring conversations in from elsewhere"}
	c.AddCommand(importMboxCommand())
	return c
}

func importMboxCommand() *cobra.Command {
	var into server.Archive
	c := &cobra.Command{
		Use:   "mbox FILE (--channel ID | --title T)",
		Short: "Turn a mailing-list archive into threads of a channel",
		Long: `Turn a mailing-list archive into threads of a channel, authors and dates as
the archive states them. What is odd in it is reported with its line on standard
error and does not stop the import; a mail is imported once in a channel, so an
import can be repeated.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if (into.Channel == "") == (into.Title == "") {
				return errors.New("give either --channel ID or --title T")
			}
			archive, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer archive.Close()
			return importMbox(c, into, archive)
		},
	}
	configFlag(c)
	jsonFlag(c)
	c.Flags().StringVar(&into.Channel, "channel", "", "id of the channel that takes the mails")
	c.Flags().StringVar(&into.Title, "title", "", "name of a new channel for them")
	c.Flags().StringVar(&into.As, "as", "", "who imports (default: the only administrator)")
	return c
}

func importMbox(c *cobra.Command, into server.Archive, archive io.Reader) error {
	into.Progress = terminalProgress(c.ErrOrStderr())
	into.Odd = func(o mbox.Oddity) { fmt.Fprintln(c.ErrOrStderr(), o) }
	var made server.Imported
	err := attach(c, func(client *http.Client) (err error) {
		made, err = server.Import(c.Context(), client, into, archive)
		return err
	})
	if err != nil {
		return err
	}
	return report(c, made, func(w io.Writer) {
		fmt.Fprintf(w, "channel %s\n%d mails: %d messages in %d new threads", made.Channel, made.Mails, made.Messages, made.Threads)
		for _, rest := range []struct {
			n    int
			what string
		}{{made.Already, "imported before"}, {made.Copies, "copies"}, {made.Left, "left out"}} {
			if rest.n > 0 {
				fmt.Fprintf(w, ", %d %s", rest.n, rest.what)
			}
		}
		fmt.Fprintln(w)
	})
}

// terminalProgress draws a bar on a terminal and nothing elsewhere.
func terminalProgress(w io.Writer) func(done, total int) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func(int, int) {}
	}
	var bar *progressbar.ProgressBar
	return func(done, total int) {
		if bar == nil {
			bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(f), progressbar.OptionSetDescription("mails"),
				progressbar.OptionShowCount(), progressbar.OptionClearOnFinish())
		}
		_ = bar.Set(done) // a bar that cannot be drawn stops no import
	}
}
