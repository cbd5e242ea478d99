package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"meridian/server"
)

func partnerCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "partner",
		Short: "Decide which servers this one exchanges with",
		Long: `Two administrators make their servers partners in three steps:
  both     meridian partner add DOMAIN         shows the other's key fingerprint
  both     compare the fingerprints by another way, such as the telephone
  both     meridian partner allow DOMAIN --fingerprint FINGERPRINT`,
	}
	c.AddCommand(
		partnerChange("add", "Make a server known and show the fingerprint of its key"),
		partnerChange("allow", "Pin the server's key and exchange with it"),
		partnerChange("block", "End all exchange with a server; what is here stays"),
		partnerChange("pause", "Stop the exchange with a partner: nothing is sent or fetched until it is resumed"),
		partnerChange("resume", "End a pause"),
		partnerChange("retry", "Try a partner again now, and what was parked for it"),
		partnerChange("resync", "Compare all shared channels with a partner again, both ways, and exchange what is lacking"),
		partnerGiveUpCommand(),
		partnerListCommand(),
		partnerDoctorCommand(),
	)
	return c
}

func partnerGiveUpCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "give-up DOMAIN",
		Short: "After a restore, wait no longer for what a server that is gone may hold of this one's own decisions",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var done server.GaveUp
			err := attach(c, func(client *http.Client) error {
				return server.Call(c.Context(), client, "partners.give-up", server.PartnerChange{Name: args[0]}, &done)
			})
			if err != nil {
				return err
			}
			return report(c, done, func(w io.Writer) {
				fmt.Fprintln(w, done.Name, "is not waited for until this server starts again")
				for _, id := range slices.Sorted(maps.Keys(done.Awaited)) {
					fmt.Fprintf(w, "channel %s still waits for %s\n", id, strings.Join(done.Awaited[id], ", "))
				}
			})
		},
	}
	configFlag(c)
	jsonFlag(c)
	return c
}

func partnerChange(verb, short string) *cobra.Command {
	var in server.PartnerChange
	c := &cobra.Command{
		Use:   verb + " DOMAIN",
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			in.Name = args[0]
			var partner server.Partner
			err := attach(c, func(client *http.Client) error {
				return server.Call(c.Context(), client, "partners."+verb, in, &partner)
			})
			if err != nil {
				return err
			}
			return report(c, partner, func(w io.Writer) { partnerWords(w, partner) })
		},
	}
	configFlag(c)
	jsonFlag(c)
	if verb == "allow" {
		c.Flags().StringVar(&in.Fingerprint, "fingerprint", "", "of the key, as its administrators told you (default: as partner add showed it)")
		c.Flags().BoolVar(&in.Confusable, "confusable", false, "it is this server that is meant, although its name looks like another's")
	}
	return c
}

func partnerWords(w io.Writer, p server.Partner) {
	fmt.Fprintln(w, p.Name, "is", stateOf(p))
	if p.Fingerprint != "" {
		fmt.Fprintln(w, "fingerprint:", p.Fingerprint)
	}
	if p.Resembles != "" {
		fmt.Fprintf(w, "careful: the name looks like %s, which is another server\n", p.Resembles)
	}
	if t := trouble(p); t != "" {
		fmt.Fprintln(w, t)
	}
	if p.State == "blocked" {
		for _, c := range p.Channels {
			fmt.Fprintf(w, "it holds channel %s (%s), and stays a member until the host removes it\n", c.Name, c.Channel)
		}
	}
	for _, c := range p.Parked {
		fmt.Fprintf(w, "channel %s is %s there: %s; %s\n", c.Channel, c.State, c.Error, c.Remedy)
	}
}

// stateOf is a partner's state in a word or two.
func stateOf(p server.Partner) string {
	if p.Paused {
		return p.State + ", paused"
	}
	return p.State
}

func partnerListCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "List the servers that this one knows, and how it goes with them",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var list server.PartnerList
			err := attach(c, func(client *http.Client) error {
				return server.Call(c.Context(), client, "partners.list", struct{}{}, &list)
			})
			if err != nil {
				return err
			}
			return report(c, list, func(w io.Writer) { partnerTable(w, list) })
		},
	}
	configFlag(c)
	jsonFlag(c)
	return c
}

func partnerTable(w io.Writer, list server.PartnerList) {
	for _, name := range list.Strangers {
		fmt.Fprintf(w, "%s asked lately; meridian partner add %s shows who it is\n", name, name)
	}
	if len(list.Partners) == 0 {
		fmt.Fprintln(w, "no partners yet; meridian partner add DOMAIN")
		return
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SERVER\tSTATE\tLAST CONTACT\tBACKLOG\tOLDEST\tPARKED\tCLOCK\tCERTIFICATE\tFINGERPRINT\tTROUBLE")
	for _, p := range list.Partners {
		oldest := (time.Duration(p.OldestSeconds) * time.Second).String()
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%d\t%+.0f s\t%s\t%s\t%s\n", p.Name, stateOf(p), lastContact(p), p.Backlog, oldest,
			len(p.Parked), p.ClockDiff, certificateDays(p), p.Fingerprint, trouble(p))
	}
	_ = table.Flush() // standard output is gone: nobody to tell
}

// certificateDays are those left of the certificate that the partner showed.
func certificateDays(p server.Partner) string {
	if p.CertDays == nil {
		return "none"
	}
	return fmt.Sprintf("%d days", *p.CertDays)
}

// lastContact is the newer of the last contacts either way.
func lastContact(p server.Partner) string {
	last := p.ContactIn
	if p.ContactOut != nil && (last == nil || p.ContactOut.After(*last)) {
		last = p.ContactOut
	}
	if last == nil {
		return "never"
	}
	return last.Local().Format(time.DateTime)
}

// trouble is what stands in the way of exchange, and what helps.
func trouble(p server.Partner) string {
	var parts []string
	for _, part := range []string{p.Hold, p.Error, p.Remedy} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "; ")
}
