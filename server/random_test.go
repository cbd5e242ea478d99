package server

import (
	"crypto/rand"
	"math/bits"
	"testing"

	"meridian/threads"
)

// T24: of 100,000 ids, salts and secrets no two are equal, and each bit of them
// is as often set as not.
func TestIdsAndSecretsAreNotGuessed(t *testing.T) {
	const many = 100_000
	var ones [16]int
	seen := make(map[string]bool, 2*many)
	for range many {
		random := random16()
		for i, b := range random {
			ones[i] += bits.OnesCount8(b)
		}
		id, secret := threads.PersonID("acme.example", random), rand.Text()
		if seen[id] || seen[secret] || len(secret)*5 < 128 {
			t.Fatalf("%s or %s came twice, or is short", id, secret)
		}
		seen[id], seen[secret] = true, true
	}
	for i, n := range ones { // a deviation of 1 % of 800,000 bits is one of 18 standard deviations
		if n < 396_000 || n > 404_000 {
			t.Errorf("byte %d has %d bits set of %d", i, n, 8*many)
		}
	}
}
