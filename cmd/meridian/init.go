package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"meridian/config"
	"meridian/federation"
	"meridian/server"
)

func initCommand() *cobra.Command {
	var publicURL, dataDir string
	c := &cobra.Command{
		Use:   "init --url URL",
		Short: "Write the configuration and the key of a new server",
		Long: `Write the configuration and the key of a new server. Nothing is overwritten.

The key signs everything that the server's people write: keep a backup of it.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			path, _ := c.Flags().GetString("config")
			if path == "" {
				path = defaultConfig
			}
			made, err := initialise(path, publicURL, dataDir)
			if err != nil {
				return err
			}
			return report(c, made, made.words)
		},
	}
	configFlag(c)
	jsonFlag(c)
	c.Flags().StringVar(&publicURL, "url", "", "URL that people and partners will use, such as https://meridian.acme.example")
	c.Flags().StringVar(&dataDir, "data-dir", "", "directory for key, database and files (default \"data\" beside the configuration)")
	return c
}

// installation is what init made.
type installation struct {
	Config      string `json:"config"`
	DataDir     string `json:"data_dir"`
	Key         string `json:"key"`
	Fingerprint string `json:"fingerprint"`
}

func (i installation) words(w io.Writer) {
	fmt.Fprintf(w, `configuration  %s
data           %s
key            %s (back it up; nobody else may have it)
fingerprint    %s

Next:  meridian user add NAME --admin --config %s
       meridian serve --config %s
`, i.Config, i.DataDir, i.Key, i.Fingerprint, i.Config, i.Config)
}

// initialise makes all of an installation or leaves things as they were.
func initialise(path, publicURL, dataDir string) (made installation, err error) {
	if path, err = filepath.Abs(path); err != nil {
		return made, err
	}
	if dataDir == "" {
		dataDir = filepath.Join(filepath.Dir(path), "data")
	}
	if dataDir, err = filepath.Abs(dataDir); err != nil {
		return made, err
	}
	var file bytes.Buffer
	if err := config.WriteDefault(&file, publicURL, dataDir); err != nil {
		return made, err
	}
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return made, fmt.Errorf("data_dir: %w", err)
	}
	if err := writeNew(path, file.Bytes()); err != nil {
		return made, err
	}
	keyPath := server.KeyFile(dataDir)
	key, err := federation.CreateKey(keyPath, rand.Reader)
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("%s exists already and is not overwritten; choose another --data-dir, or move the key away", keyPath)
	}
	if err != nil {
		return made, errors.Join(err, os.Remove(path))
	}
	fingerprint := federation.Fingerprint(key.Public().(ed25519.PublicKey))
	return installation{Config: path, DataDir: dataDir, Key: keyPath, Fingerprint: fingerprint}, nil
}

// writeNew refuses to overwrite. The file may come to hold a password, so it is
// its owner's alone.
func writeNew(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already and is not overwritten; name another file with --config", path)
	}
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("write configuration: %w", err), os.Remove(path))
	}
	return nil
}
