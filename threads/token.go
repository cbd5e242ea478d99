package threads

import "time"

// Token is what lets a client act for a person. The secret itself is known to
// the client alone.
type Token struct {
	ID       string // UUIDv7
	Person   string
	Label    string // what the person calls it
	Bot      bool   // made for a program rather than by signing in
	Created  time.Time
	LastUsed time.Time // to the day; zero for never
	Expires  time.Time // zero for never
	By       string    // who makes it, for the audit log alone; "" for signing in, which is not recorded
}
