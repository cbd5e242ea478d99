package federation

import (
	"bytes"
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
	maxKeyFile = 16 << 10
)

// CreateKey makes an Ed25519 key from random (crypto/rand.Reader, but for tests) and keeps it in a
// new file, which its owner alone can read. It never overwrites: where path exists, the error
// satisfies errors.Is(err, fs.ErrExist). When it returns a key, file and name are on disk.
func CreateKey(path string, random io.Reader) (ed25519.PrivateKey, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return nil, fmt.Errorf("create server key %s: draw random bytes: %w", path, err)
	}
	key := ed25519.NewKeyFromSeed(seed)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("create server key %s: %w", path, err)
	}
	if err := writeNewFile(path, pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der})); err != nil {
		return nil, fmt.Errorf("create server key: %w", err)
	}
	return key, nil
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

// LoadKey reads a key that [CreateKey] made. It refuses a file that anyone but its owner may read
// or write, and anything that is not exactly one Ed25519 private key; each error names the file and
// what to do.
func LoadKey(path string) (ed25519.PrivateKey, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("load server key: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("load server key: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("load server key %s: not a regular file", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("load server key %s: others than its owner have access (mode %04o): run chmod 600 %s", path, mode, path)
	}
	content, err := io.ReadAll(io.LimitReader(file, maxKeyFile))
	if err != nil {
		return nil, fmt.Errorf("load server key: %w", err)
	}
	key, err := parseKey(content)
	if err != nil {
		return nil, fmt.Errorf("load server key %s: %w; put back the file that was created, or its backup", path, err)
	}
	return key, nil
}

func parseKey(content []byte) (ed25519.PrivateKey, error) {
	block, rest := pem.Decode(content)
	if block == nil || block.Type != keyBlock || len(block.Headers) > 0 || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("the file must hold one PEM block, PRIVATE KEY, and nothing after it")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the key is damaged: %w", err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the key is a %T, and not an Ed25519 key", parsed)
	}
	return key, nil
}
