package federation

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

const (
	keyBlock   = "PRIVATE KEY" // PKCS#8 (RFC 5958) in PEM (RFC 7468)
	maxKeyFile = 64 << 10
)

// CreateKey makes an Ed25519 key from random (crypto/rand.Reader, but for tests) and keeps it in a
// new file, which its owner alone can read. It never overwrites: where path exists, the error
// satisfies errors.Is(err, fs.ErrExist). When it returns a key, file and name are on disk.
func CreateKey(path string, random io.Reader) (ed25519.PrivateKey, error) {
	key, err := drawKey(random)
	if err != nil {
		return nil, fmt.Errorf("create server key %s: %w", path, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("create server key %s: %w", path, err)
	}
	if err := writeNewFile(path, pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der})); err != nil {
		return nil, fmt.Errorf("create server key: %w", err)
	}
	return key, nil
}

func drawKey(random io.Reader) (ed25519.PrivateKey, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return nil, fmt.Errorf("draw random bytes: %w", err)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// writeNewFile leaves either the whole file, durable, or none.
func writeNewFile(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// readKeyFile refuses a file that anyone but its owner may read or write.
func readKeyFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s: others than its owner have access (mode %04o): run chmod 600 %s", path, mode, path)
	}
	return io.ReadAll(io.LimitReader(file, maxKeyFile))
}

func parseKey(der []byte) (ed25519.PrivateKey, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("the key is damaged: %w", err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the key is a %T, and not an Ed25519 key", parsed)
	}
	return key, nil
}
