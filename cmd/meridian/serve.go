package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"meridian/server"
)

func serveCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the server until SIGTERM or Ctrl-C",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			settings, err := loadConfig(c)
			if err != nil {
				return err
			}
			for {
				s, err := server.New(c.Context(), serverOptions(settings, newLog(settings.Log, c.ErrOrStderr())))
				if err != nil {
					return err
				}
				if err := s.Run(c.Context()); !errors.Is(err, server.ErrWentBack) {
					return err
				}
			}
		},
	}
	configFlag(c)
	return c
}

func versionCommand() *cobra.Command {
	var whole bool
	c := &cobra.Command{
		Use:   "version",
		Short: "Print what this program was built from",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if whole {
				return writeBill(c.OutOrStdout())
			}
			v := map[string]string{"version": version(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH}
			return report(c, v, func(w io.Writer) {
				fmt.Fprintf(w, "meridian %s (%s, %s)\n", v["version"], v["go"], v["platform"])
			})
		},
	}
	jsonFlag(c)
	c.Flags().BoolVar(&whole, "sbom", false, "print every module that is in it, as CycloneDX JSON")
	return c
}

func healthcheckCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask the running server whether it lives; for containers",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			settings, err := loadConfig(c)
			if err != nil {
				return err
			}
			return checkHealth(c.Context(), settings.AdminListen)
		},
	}
	configFlag(c)
	return c
}

// healthTimeout lies within the patience of container runtimes.
const healthTimeout = 4 * time.Second

func checkHealth(ctx context.Context, adminListen string) error {
	address := netip.MustParseAddrPort(adminListen) // checked with the configuration
	if address.Addr().IsUnspecified() {
		address = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), address.Port())
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address.String()+"/livez", nil)
	if err != nil {
		return err
	}
	answer, err := (&http.Client{Transport: &http.Transport{Proxy: nil}}).Do(request)
	if err != nil {
		return fmt.Errorf("no answer on admin_listen: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("admin_listen answers %s", answer.Status)
	}
	return nil
}
