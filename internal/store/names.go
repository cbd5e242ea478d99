package store

import (
	"encoding/base64"
	"encoding/binary"

	lru "github.com/hashicorp/golang-lru/v2"

	"meridian/threads"
)

// names are the numbers that the writer knows for servers, people, logs and
// threads, and the targets that it looked up last. What a failed transaction
// had made of them is forgotten with all the rest.
type names struct {
	servers  *lru.Cache[string, int64]
	people   *lru.Cache[string, int64]
	channels *lru.Cache[threads.Hash, int64]
	logs     *lru.Cache[logKey, int64]
	threads  *lru.Cache[objectKey, int64]
	targets  *lru.Cache[objectKey, threads.Target]
}

type logKey struct {
	channel int64
	id      threads.LogID
}

type objectKey struct {
	channel int64
	id      threads.Hash
}

func newNames() *names {
	return &names{
		servers:  newLRU[string, int64](1024),
		people:   newLRU[string, int64](16_384),
		channels: newLRU[threads.Hash, int64](4096),
		logs:     newLRU[logKey, int64](4096),
		threads:  newLRU[objectKey, int64](8192),
		targets:  newLRU[objectKey, threads.Target](4096),
	}
}

func newLRU[K comparable, V any](size int) *lru.Cache[K, V] {
	cache, err := lru.New[K, V](size)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return cache
}

// raw are the 32 bytes of a hash, nil for "".
func raw(h threads.Hash) []byte {
	b, _ := base64.RawURLEncoding.DecodeString(h)
	if len(b) == 0 {
		return nil
	}
	return b
}

// hashOf is the hash with these bytes.
func hashOf(b []byte) threads.Hash { return base64.RawURLEncoding.EncodeToString(b) }

// hash8 are the first 8 bytes of a hash: enough to find an event by, and to be
// confirmed by its header.
func hash8(b []byte) int64 { return int64(binary.BigEndian.Uint64(b)) }
