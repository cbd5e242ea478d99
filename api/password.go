package api

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Argon2id as RFC 9106 advises where memory is dear: 19 MiB, two passes.
const (
	argonTime    = 2
	argonMemory  = 19 * 1024 // KiB
	argonThreads = 1
	argonSalt    = 16
	argonKey     = 32
)

// Bounds of a password, in bytes.
const (
	MinPassword = 8
	MaxPassword = 1024
)

// HashPassword is the Argon2id hash of a password as a PHC string. It refuses
// one that is too short or too long to be taken.
func HashPassword(password string) (string, error) {
	if len(password) < MinPassword || len(password) > MaxPassword {
		return "", fmt.Errorf("a password has %d to %d bytes", MinPassword, MaxPassword)
	}
	salt := random(argonSalt)
	return writePHC(salt, argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, argonKey)), nil
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails (crypto/rand)
	return b
}

func writePHC(salt, key []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, argonMemory, argonTime, argonThreads, b64.EncodeToString(salt), b64.EncodeToString(key))
}

// phc is a parsed PHC string.
type phc struct {
	memory, time uint32
	threads      uint8
	salt, key    []byte
}

func parsePHC(s string) (phc, error) {
	var p phc
	bad := errors.New("not an Argon2id hash in PHC form")
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, bad
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.threads); err != nil {
		return p, bad
	}
	var errs [2]error
	p.salt, errs[0] = base64.RawStdEncoding.DecodeString(parts[4])
	p.key, errs[1] = base64.RawStdEncoding.DecodeString(parts[5])
	if errs != [2]error{} || p.memory > 1<<20 || p.time < 1 || p.time > 16 || p.threads < 1 || len(p.key) < 16 {
		return p, bad
	}
	return p, nil
}

// verifier checks passwords, a few at a time: each check costs memory and 45 ms
// of a core.
type verifier struct {
	slots chan struct{}
	decoy string // checked for names that do not exist, so that they take as long
}

func newVerifier(atOnce int) *verifier {
	return &verifier{slots: make(chan struct{}, atOnce), decoy: writePHC(random(argonSalt), random(argonKey))}
}

// matches reports whether the password has the hash; an empty hash matches
// nothing, in the same time.
func (v *verifier) matches(ctx context.Context, password, hash string) (bool, error) {
	select {
	case v.slots <- struct{}{}:
		defer func() { <-v.slots }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	known := hash != ""
	if !known {
		hash = v.decoy
	}
	p, err := parsePHC(hash)
	if err != nil {
		return false, fmt.Errorf("read password hash: %w", err)
	}
	key := argon2.IDKey([]byte(password), p.salt, p.time, p.memory, p.threads, uint32(len(p.key)))
	return subtle.ConstantTimeCompare(key, p.key) == 1 && known, nil
}

// hash is the hash of a new password, made within the same bound.
func (v *verifier) hash(ctx context.Context, password string) (string, error) {
	select {
	case v.slots <- struct{}{}:
		defer func() { <-v.slots }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	hash, err := HashPassword(password)
	if err != nil {
		return "", invalid("/password", fmt.Sprintf("must have %d to %d bytes", MinPassword, MaxPassword))
	}
	return hash, nil
}
