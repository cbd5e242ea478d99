package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"meridian/federation"
	"meridian/server"
)

func keysCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "keys",
		Short: "Change the key by which this server is known",
	}
	c.AddCommand(
		keyChange("rotate", "Take a new key, signed by the present one; nothing is lost and nobody has to be told", server.KeyChange{}),
		keyChange("revoke", "Take a new key because the present one was lost or stolen", server.KeyChange{Revoke: true}),
		keyListCommand(),
	)
	return c
}

func keyChange(verb, short string, in server.KeyChange) *cobra.Command {
	c := &cobra.Command{
		Use:   verb,
		Short: short,
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			operation := "keys.rotate"
			made, err := remakeKey(c, in)
			if err != nil {
				return err
			}
			if made {
				operation = "keys.list"
			}
			var list server.HeldKeys
			err = attach(c, func(client *http.Client) error {
				return server.Call(c.Context(), client, operation, in, &list)
			})
			if err != nil {
				return err
			}
			return report(c, list, func(w io.Writer) { keyTable(w, list) })
		},
	}
	if in.Revoke {
		c.Long = short + `.

What the old key signed counts up to where the hosts of the channels had it;
what others sign with it counts nowhere. Tell the administrators of your partners
the new fingerprint all the same: whoever has the old key can take their next
step as well, until they have allowed the new one:
  meridian partner allow YOUR.SERVER --fingerprint FINGERPRINT

Where the key file is gone, a new one is made, and your partners exchange nothing
with this server before they have allowed it.`
	}
	configFlag(c)
	jsonFlag(c)
	return c
}

// remakeKey makes a first key again where the file is gone: no server can run
// without.
func remakeKey(c *cobra.Command, in server.KeyChange) (made bool, err error) {
	settings, err := loadConfig(c)
	if err != nil {
		return false, err
	}
	path := server.KeyFile(settings.DataDir)
	if _, err := os.Stat(path); !in.Revoke || !errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if _, err := federation.CreateKey(path, rand.Reader); err != nil {
		return false, err
	}
	fmt.Fprintln(c.ErrOrStderr(), "the key file was gone; restart the server if it runs, and have your partners allow the new key")
	return true, nil
}

func keyListCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "List this server's keys, the present one first",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var list server.HeldKeys
			err := attach(c, func(client *http.Client) error {
				return server.Call(c.Context(), client, "keys.list", server.KeyChange{}, &list)
			})
			if err != nil {
				return err
			}
			return report(c, list, func(w io.Writer) { keyTable(w, list) })
		},
	}
	configFlag(c)
	jsonFlag(c)
	return c
}

func keyTable(w io.Writer, list server.HeldKeys) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "FINGERPRINT\tFROM\tUNTIL")
	for _, k := range list.Keys {
		until := day(k.Until, "now")
		if k.Revoked {
			until += ", revoked"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", k.Fingerprint, day(k.From, "the beginning"), until)
	}
	_ = table.Flush() // standard output is gone: nobody to tell
}

func day(t *time.Time, never string) string {
	if t == nil {
		return never
	}
	return t.Local().Format(time.DateTime)
}
