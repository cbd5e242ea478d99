package threads

import (
	"strings"
	"time"
	"unicode/utf8"
)

// Who did something, where it was no person.
const (
	ByServer = "server" // by itself, by its rules
	ByAdmin  = "admin"  // who commands the program on its machine
)

// What the audit log records. Signing in, reading and writing are not among it.
const (
	AuditPartnerAdded    = "partner.added"
	AuditPartnerAllowed  = "partner.allowed"
	AuditPartnerBlocked  = "partner.blocked"
	AuditPartnerHeld     = "partner.held"   // put on hold, or let go on
	AuditPartnerPaused   = "partner.paused" // by an administrator, or resumed
	AuditPartnerRetried  = "partner.retried"
	AuditPartnerResynced = "partner.resynced"
	AuditKeyPinned       = "key.pinned"       // another key of a partner counts from now on
	AuditKeyChanged      = "key.changed"      // of this server
	AuditWithdrawn       = "events.withdrawn" // what had counted is void since a removal
	AuditErased          = "content.erased"
	AuditPersonAdded     = "person.added"
	AuditPersonChanged   = "person.changed" // disabled, enabled, or given another role
	AuditTokenMade       = "token.made"
	AuditTokenRevoked    = "token.revoked"
	AuditBackup          = "backup.made"
	AuditRestore         = "backup.restored"
	AuditDamage          = "damage.found"
	AuditRepair          = "damage.repaired"
	AuditFork            = "log.forked"
	AuditFreeze          = "log.frozen"
)

// MaxDetail is how long the detail of an audit entry may be, in bytes.
const MaxDetail = 1000

// Act is who does something, and when.
type Act struct {
	Who string // a person's id, ByServer or ByAdmin
	At  time.Time
}

// AuditEntry is one entry of a server's audit log. It names people by their ids
// alone, so that erasing a person leaves nothing of them in it.
type AuditEntry struct {
	Seq int64 // 1, 2, 3 …; given when it is written
	Act
	What   string
	Object string // what it was done to: a person, a server, a channel, an event, a token
	Detail string // in plain words, at most MaxDetail bytes
	Hash   Hash   // see Chain; given when it is written
}

// Chain is the hash of the entry after one with the hash prev, "" for the first:
// that of its canonical JSON, so that no entry can be changed, dropped or put
// between two others without every later hash changing.
func (e *AuditEntry) Chain(prev Hash) Hash {
	b := append([]byte{}, `{"at":`...)
	b = AppendInt(b, e.At.UnixMilli())
	b = appendField(b, "detail", e.Detail)
	b = appendField(b, "object", e.Object)
	b = appendField(b, "prev", prev)
	b = appendIntField(b, "seq", e.Seq)
	b = appendField(b, "what", e.What)
	b = appendField(b, "who", e.Who)
	return HashOf(append(b, '}'))
}

// Storable is the entry with texts that every database takes, cut to their
// bounds, and its time in whole milliseconds.
func (e AuditEntry) Storable() AuditEntry {
	e.At = time.UnixMilli(e.At.UnixMilli()).UTC()
	for _, text := range []*string{&e.Who, &e.What, &e.Object, &e.Detail} {
		*text = strings.ReplaceAll(strings.ToValidUTF8(*text, "?"), "\x00", "?")
		if len(*text) > MaxDetail {
			end := MaxDetail
			for !utf8.RuneStart((*text)[end]) {
				end--
			}
			*text = (*text)[:end]
		}
	}
	return e
}
