package main

import (
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"meridian/server"
)

func partnerDoctorCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "doctor DOMAIN",
		Short: "Look at all that can stand between this server and another, both ways, and say what helps",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var found server.Examination
			err := attach(c, func(client *http.Client) error {
				return server.Call(c.Context(), client, "partners.examine", server.PartnerChange{Name: args[0]}, &found)
			})
			if err != nil {
				return err
			}
			if err := report(c, found, func(w io.Writer) { findingWords(w, found) }); err != nil || found.Healthy {
				return err
			}
			return fmt.Errorf("something stands between this server and %s", found.Partner)
		},
	}
	configFlag(c)
	jsonFlag(c)
	return c
}

func findingWords(w io.Writer, found server.Examination) {
	for _, f := range found.Findings {
		fmt.Fprintf(w, "%-7s %-16s %s\n", f.Result, f.Check, f.Detail)
		if f.Remedy != "" {
			fmt.Fprintf(w, "%-24s → %s\n", "", f.Remedy)
		}
	}
}
