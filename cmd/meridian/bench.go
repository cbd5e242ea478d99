package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"meridian/internal/bench"
)

func benchCommand() *cobra.Command {
	o := bench.Options{}
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure real servers on this machine, each figure beside its floor",
		Long: `Run real servers as child processes over loopback, drive them as clients do and
print each figure beside its floor, measured in the same run. It takes a while;
nothing else should run meanwhile.

Figures: ` + strings.Join(bench.Names(), ", "),
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if o.Program, err = os.Executable(); err != nil {
				return fmt.Errorf("find the program to measure: %w", err)
			}
			o.Progress = c.ErrOrStderr()
			measured, err := bench.Run(c.Context(), o)
			if err != nil {
				return err
			}
			if asJSON, _ := c.Flags().GetBool("json"); !asJSON {
				return measured.WriteTable(c.OutOrStdout())
			}
			return report(c, measured, nil)
		},
	}
	jsonFlag(c)
	c.Flags().StringSliceVar(&o.Only, "only", nil, "measure these figures alone, separated by commas")
	c.Flags().StringVar(&o.Database, "database", "", "a postgres:// URL under which databases may be created (default: SQLite)")
	c.Flags().DurationVar(&o.Duration, "duration", 10*time.Second, "how long each round posts")
	c.AddCommand(benchHubCommand())
	return c
}

// benchHubCommand is the bare socket hub that bench starts as a child process.
func benchHubCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "hub",
		Short:  "Serve the floor of figures about sockets",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return bench.ServeHub(c.Context(), c.OutOrStdout())
		},
	}
}
