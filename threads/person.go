package threads

import (
	"encoding/base64"
	"strings"
)

// A person is named to machines by an opaque id, "https://acme.example/people/"
// followed by 128 random bits in base64url. Names and addresses stand in the
// erasable profile alone; no header and no control content holds one.

const peoplePath = "/people/"

// PersonID makes the id of a person of server from 16 random bytes.
func PersonID(server string, random [16]byte) string {
	return "https://" + server + peoplePath + base64.RawURLEncoding.EncodeToString(random[:])
}

// ServerOf is the server whose person id names, or "" when id is not the id of
// a person.
func ServerOf(id string) string {
	rest, ok := strings.CutPrefix(id, "https://")
	if !ok {
		return ""
	}
	server, tail, ok := strings.Cut(rest, peoplePath)
	if !ok || len(tail) != 22 || !isBase64URL(tail) || !isServerName(server) {
		return ""
	}
	return server
}

// isServerName refuses what no canonical server name can hold; which of the
// remaining spellings is the canonical one is checked where servers are dialled.
func isServerName(s string) bool {
	if s == "" || len(s) > 255 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		ok := c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte(".-:[]", c) >= 0
		if !ok {
			return false
		}
	}
	return true
}

func isBase64URL(s string) bool {
	for i := range len(s) {
		c := s[i]
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
		if !ok {
			return false
		}
	}
	return true
}
