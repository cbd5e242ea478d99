package threads

import (
	"strings"
	"time"
)

// MaxSignIn is how long the name by which a person signs in may be, in bytes.
const MaxSignIn = 64

// NewPerson is a person to be made on this server.
type NewPerson struct {
	ID       string // made by PersonID
	Name     string // the part of the address before the @, as CheckName allows it
	Shown    string // what others see; Name where it is empty
	Password string // Argon2id hash as a PHC string, "" for a person who cannot sign in with one
	Zone     string // IANA time zone, "" for the organisation's
	Admin    bool
	Bot      bool
	Created  time.Time
	By       string // who makes them, for the audit log; ByServer where it is empty
}

// ProfileChange sets fields of a profile; nil ones stay as they are.
type ProfileChange struct {
	Person  string
	Version int64 // of the profile that the change was made to; 0 takes any
	Shown   *string
	Zone    *string
	Hours   *string // JSON
	Digest  *string // JSON
	Now     time.Time
}

// Skeleton is equal for two names that people can take for each other: for those of people, which are of
// lower-case ASCII, it is all of UTS 39 that concerns them and vv, which looks like w. i and l differ, as in
// elia and ella.
func Skeleton(name string) string {
	return strings.NewReplacer("0", "o", "1", "l", "m", "rn", "w", "vv").Replace(name)
}

// CheckName refuses a name that cannot stand in an address: it has 1 to 64
// lower-case letters of ASCII, digits, dots, underscores and hyphens, and a
// letter or digit at both ends, so that it has one spelling.
func CheckName(name string) error {
	bad := Refuse(Invalid, "invalid", "/name", "must be 1 to 64 of a-z, 0-9, dot, underscore and hyphen, with a letter or digit at both ends")
	if name == "" || len(name) > MaxSignIn {
		return bad
	}
	for i := range len(name) {
		c := name[i]
		plain := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		inner := i > 0 && i < len(name)-1 && (c == '.' || c == '_' || c == '-')
		if !plain && !inner {
			return bad
		}
	}
	return nil
}
