package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"meridian/server"
)

func rebuildCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "rebuild",
		Short: "Make everything that is derived from the logs anew; nobody can write meanwhile",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var done server.Rebuilt
			err := attach(c, func(client *http.Client) error {
				return server.Call(c.Context(), client, "rebuild", struct{}{}, &done)
			})
			if err != nil {
				return err
			}
			return report(c, done, func(w io.Writer) { fmt.Fprintf(w, "rebuilt from the journal up to position %d\n", done.Position) })
		},
	}
	configFlag(c)
	jsonFlag(c)
	return c
}

func verifyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "verify",
		Short: "Check every stored event, hashes, chains, signatures, contents, validity, and the audit log",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var done server.Verified
			err := attach(c, func(client *http.Client) error {
				return server.Call(c.Context(), client, "verify", struct{}{}, &done)
			})
			if err == nil {
				err = report(c, done, func(w io.Writer) {
					for _, f := range done.Faults {
						fmt.Fprintln(w, f)
					}
					if done.Audit != nil {
						fmt.Fprintln(w, done.Audit)
					}
					fmt.Fprintf(w, "%d events checked, %d logs damaged; %d entries of the audit log checked\n", done.Events, len(done.Faults), done.Audited)
				})
			}
			if err == nil && len(done.Faults) > 0 {
				err = fmt.Errorf("%d logs are damaged, the first one in channel %s", len(done.Faults), done.Faults[0].Channel)
			} else if err == nil && done.Audit != nil {
				err = errors.New(done.Audit.String())
			}
			return err
		},
	}
	configFlag(c)
	jsonFlag(c)
	return c
}
