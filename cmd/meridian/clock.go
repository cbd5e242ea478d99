package main

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"meridian/server"
)

func clockCommand() *cobra.Command {
	c := &cobra.Command{Use: "clock", Short: "Overrule what partners' clocks say of this server's"}
	var in server.TrustedClock
	trust := &cobra.Command{
		Use:   "trust",
		Short: "Have the server write for a while though its clock seems wrong; set the clock right instead wherever that is possible",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var done server.TrustedClock
			err := attach(c, func(client *http.Client) error {
				return server.Call(c.Context(), client, "clock.trust", in, &done)
			})
			if err != nil {
				return err
			}
			return report(c, done, func(w io.Writer) {
				fmt.Fprintln(w, "the clock counts as right until", done.Until.Local().Format(time.DateTime))
			})
		},
	}
	configFlag(trust)
	jsonFlag(trust)
	trust.Flags().IntVar(&in.Minutes, "minutes", 60, "for how long, at most 1440; 0 ends it")
	c.AddCommand(trust)
	return c
}
