package federation

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

func TestCreatedKeyIsPrivateAndLoads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server.key")
	created, err := CreateKey(path, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	if loaded, err := LoadKeyring(path); err != nil || len(loaded) != 1 || !loaded.Present().Equal(created) {
		t.Errorf("LoadKeyring: %v", err)
	}
}

func TestTwoFreshKeysDiffer(t *testing.T) {
	dir := t.TempDir()
	first, err1 := CreateKey(filepath.Join(dir, "a.key"), rand.Reader)
	second, err2 := CreateKey(filepath.Join(dir, "b.key"), rand.Reader)
	if err1 != nil || err2 != nil || first.Equal(second) {
		t.Errorf("%v, %v, equal: %t", err1, err2, first.Equal(second))
	}
}

func TestCreateKeyNeverOverwrites(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "server.key"), filepath.Join(dir, "link.key")
	if _, err := CreateKey(path, rand.Reader); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), link); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	for _, taken := range []string{path, link} {
		if _, err := CreateKey(taken, rand.Reader); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), taken) {
			t.Errorf("CreateKey over %s: %v", taken, err)
		}
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the first key was changed")
	}
}

func TestNoKeyFileIsLeftWithoutRandomness(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server.key")
	if _, err := CreateKey(path, iotest.ErrReader(errors.New("no entropy"))); err == nil {
		t.Error("a key without random bytes")
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file was left: %v", err)
	}
}

func TestKeyFileThatOthersMayReadIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server.key")
	if _, err := CreateKey(path, rand.Reader); err != nil {
		t.Fatal(err)
	}
	for mode, readable := range map[fs.FileMode]bool{0o600: true, 0o400: true, 0o640: false, 0o604: false, 0o644: false, 0o620: false, 0o602: false, 0o610: false, 0o666: false, 0o777: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := LoadKeyring(path)
		if readable && err != nil {
			t.Errorf("mode %v: %v", mode, err)
		}
		if !readable && (err == nil || !strings.Contains(err.Error(), "chmod 600 "+path)) {
			t.Errorf("mode %v: %v; want a refusal that names the file and the remedy", mode, err)
		}
	}
}

func TestWhatIsNotOneKeyIsRefused(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good.key")
	if _, err := CreateKey(good, rand.Reader); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(curve)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"empty":         nil,
		"no PEM":        []byte("secret\n"),
		"half a file":   text[:len(text)/2],
		"two keys":      append(bytes.Clone(text), text...),
		"text after it": append(bytes.Clone(text), "x"...),
		"other block":   bytes.ReplaceAll(text, []byte("PRIVATE KEY"), []byte("PUBLIC KEY")),
		"damaged":       pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: []byte("damaged")}),
		"other kind":    pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der}),
		"very long":     append(bytes.Repeat([]byte("x"), maxKeyFile), text...),
	} {
		path := filepath.Join(dir, "bad.key")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadKeyring(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v; want a refusal that names the file", name, err)
		}
	}
	for _, path := range []string{filepath.Join(dir, "absent"), dir} {
		if _, err := LoadKeyring(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
