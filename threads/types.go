package threads

// Types of events. Each has its row in the table below and in docs/protocol.md;
// a type without one fails the build.
const (
	TypeChannelCreated  = "channel.created"
	TypeChannelSettings = "channel.settings"
	TypeMemberJoined    = "member.joined"
	TypeMemberRole      = "member.role"
	TypeMemberRemoved   = "member.removed"
	TypeServerRemoved   = "server.removed"
	TypeServerKey       = "server.key"
	TypeHeadsNamed      = "heads.named"
	TypeLogFrozen       = "log.frozen"
	TypeChannelArchived = "channel.archived"
	TypeChannelHost     = "channel.host"

	TypeThreadCreated = "thread.created"
	TypeThreadChanged = "thread.changed"
	TypeMessagePosted = "message.posted"
	TypeMessageEdited = "message.edited"
	TypeMessageErased = "message.erased"
	TypePersonErased  = "person.erased"
	TypeReactionSet   = "reaction.set"
	TypeAskDeclined   = "ask.declined"
	TypeAskWithdrawn  = "ask.withdrawn"
)

// Role is what a person is in a channel.
type Role string

// Roles, as product.md gives them; RoleNone is that of whom it removed.
const (
	RoleNone   Role = ""
	RoleReader Role = "reader"
	RoleGuest  Role = "guest"
	RoleMember Role = "member"
	RoleOwner  Role = "owner"
)

// Right is what a type of event needs of its actor.
type Right int

// Rights, and the roles that give them.
const (
	RightNone  Right = iota // unknown types and control events: the host decides
	RightReact              // every role: reactions, and erasing what is one's own
	RightPost               // guest, member, owner: messages and edits
	RightWork               // member, owner: threads and all other work
	RightOwn                // owner: requests for control events, erasing for others
)

// Gives reports whether the role gives the right.
func (r Role) Gives(right Right) bool {
	switch r {
	case RoleOwner:
		return true
	case RoleMember:
		return right <= RightWork
	case RoleGuest:
		return right <= RightPost
	case RoleReader:
		return right <= RightReact
	}
	return false
}

// IsRole reports whether s is a role that a person can be given.
func IsRole(s string) bool {
	switch Role(s) {
	case RoleReader, RoleGuest, RoleMember, RoleOwner:
		return true
	}
	return false
}

// Type is the row of an event type.
type Type struct {
	Name string
	Log  string // the log it stands in
	Who  Right  // what its actor needs, in data logs
	// Changes names the one set or register that the event changes.
	Changes string

	erases  bool
	control func(*Channel, *Event, Object) error
	effects func(*Event, Object, *Effects) error
}

func (t Type) known() bool { return t.Name != "" }

// Types is the table of all event types.
func Types() []Type { return typeTable[:] }

var typeTable = [...]Type{
	{Name: TypeChannelCreated, Log: LogControl, Changes: "the channel: its settings, its host, its first owner", control: applyCreated},
	{Name: TypeChannelSettings, Log: LogControl, Changes: "one register for each setting named", control: applySettings},
	{Name: TypeMemberJoined, Log: LogControl, Changes: "the grants of a person; the admissions and keys of a server", control: applyJoined},
	{Name: TypeMemberRole, Log: LogControl, Changes: "the grants of a person", control: applyRole},
	{Name: TypeMemberRemoved, Log: LogControl, Changes: "the grants of a person, with cuts", control: applyMemberRemoved},
	{Name: TypeServerRemoved, Log: LogControl, Changes: "the grants of all persons of a server, with cuts", control: applyServerRemoved},
	{Name: TypeServerKey, Log: LogControl, Changes: "the keys of a server; with cuts, its admissions", control: applyServerKey},
	{Name: TypeHeadsNamed, Log: LogControl, Changes: "the final heads", control: applyHeadsNamed},
	{Name: TypeLogFrozen, Log: LogControl, Changes: "the cut of a log", control: applyFrozen},
	{Name: TypeChannelArchived, Log: LogControl, Changes: "the register that says whether the channel is archived", control: applyArchived},
	{Name: TypeChannelHost, Log: LogControl, Changes: "the register that names the host", control: applyHost},

	{Name: TypeThreadCreated, Log: LogData, Who: RightWork, Changes: "the set of threads, and one register for each field named", effects: threadCreated},
	{Name: TypeThreadChanged, Log: LogData, Who: RightWork, Changes: "one register of the thread for each field named", effects: threadChanged},
	{Name: TypeMessagePosted, Log: LogData, Who: RightPost, Changes: "the set of messages", effects: messagePosted},
	{Name: TypeMessageEdited, Log: LogData, Who: RightPost, Changes: "the body register of a message of the same actor", effects: messageEdited},
	{Name: TypeMessageErased, Log: LogData, Who: RightReact, Changes: "the set of erased messages", erases: true, effects: messageErased},
	{Name: TypePersonErased, Log: LogData, Changes: "the set of erased persons", effects: personErased},
	{Name: TypeReactionSet, Log: LogData, Who: RightReact, Changes: "the register of (message, person, emoji)", effects: reactionSet},
	{Name: TypeAskDeclined, Log: LogData, Who: RightReact, Changes: "the register of (message, person) that says that they will not answer", effects: askDeclined},
	{Name: TypeAskWithdrawn, Log: LogData, Who: RightReact, Changes: "the register that says whether what a message of the same actor asks is withdrawn", effects: askWithdrawn},
}

// TypeOf is the row of the named type; the zero row for an unknown type, which
// is kept, relayed and shown as unsupported.
func TypeOf(name string) Type {
	for i := range typeTable {
		if typeTable[i].Name == name {
			return typeTable[i]
		}
	}
	return Type{}
}
