package threads

import "fmt"

// Kind says what sort of refusal an error is; the edges map kinds to answers.
type Kind int

// Kinds of refusals.
const (
	Internal    Kind = iota // not the caller's doing
	Invalid                 // a value that cannot be taken
	NotFound                // nothing there, or nothing that the caller may see
	Forbidden               // there, but not the caller's to do
	Conflict                // against the present state
	TooLarge                // beyond a limit of size
	TooMany                 // beyond a limit of rate or number; later it may pass
	Unavailable             // a server or store that is needed does not answer now
	Elsewhere               // the host alone can do this, and this server is not it
)

// Error is a refusal in words for people, with a stable code.
type Error struct {
	Kind  Kind
	Code  string // stable, snake case
	Field string // JSON pointer into the command, "" where no field is at fault
	Text  string // what is wrong and what helps
	Cause error  // for the log, never for people
}

func (e *Error) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Text, e.Cause)
	}
	return e.Code + ": " + e.Text
}

func (e *Error) Unwrap() error { return e.Cause }

// Refuse makes an Error.
func Refuse(kind Kind, code, field, text string) *Error {
	return &Error{Kind: kind, Code: code, Field: field, Text: text}
}
