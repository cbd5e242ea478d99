package main

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"meridian/config"
	"meridian/server"
)

// defaultConfig is the configuration file when --config names none.
const defaultConfig = "meridian.yaml"

// configFlag gives a command --config.
func configFlag(c *cobra.Command) {
	c.Flags().String("config", "", "configuration file (default "+defaultConfig+", where there is one)")
}

// configPath is the file to read, "" for the environment alone.
func configPath(c *cobra.Command) string {
	path, _ := c.Flags().GetString("config")
	if path != "" {
		return path
	}
	if _, err := os.Stat(defaultConfig); errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return defaultConfig
}

func loadConfig(c *cobra.Command) (config.Config, error) {
	return config.Load(configPath(c), os.Environ(), nil)
}

// newLog writes structured records to w.
func newLog(c config.Log, w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.Level}
	if c.Format == config.Text {
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}

// serverOptions are those of a server of this configuration in this process.
func serverOptions(c config.Config, log *slog.Logger) server.Options {
	return server.Options{
		Config: c, Log: log, Clock: time.Now, Registry: prometheus.NewRegistry(), Version: version(),
	}
}

// attach runs f against the server of the command's configuration, whether it
// runs now or not. Of a server opened for it only warnings are shown.
func attach(c *cobra.Command, f func(*http.Client) error) error {
	settings, err := loadConfig(c)
	if err != nil {
		return err
	}
	log := newLog(config.Log{Level: slog.LevelWarn, Format: config.Text}, c.ErrOrStderr())
	return server.Attach(c.Context(), serverOptions(settings, log), f)
}

// jsonFlag gives a command --json.
func jsonFlag(c *cobra.Command) {
	c.Flags().Bool("json", false, "print one JSON object")
}

// report prints v as JSON where --json asks for it, else in words.
func report(c *cobra.Command, v any, words func(w io.Writer)) error {
	if asJSON, _ := c.Flags().GetBool("json"); asJSON {
		out := json.NewEncoder(c.OutOrStdout())
		out.SetEscapeHTML(false)
		return out.Encode(v)
	}
	words(c.OutOrStdout())
	return nil
}

// version is what this binary was built from, as the Go tools stamped it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "development"
	}
	return info.Main.Version
}
