package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"meridian/threads"
)

// NewAccount is the input of people.add.
type NewAccount struct {
	Name  string `json:"name"`
	Shown string `json:"shown,omitempty"` // what others see; Name where it is empty
	Zone  string `json:"zone,omitempty"`  // IANA time zone
	// Hash is the password's, made by the asker with api.HashPassword: so the
	// password stays there, and the server's memory small. "" is for a person who
	// cannot sign in with one.
	Hash  string `json:"hash,omitempty"`
	Admin bool   `json:"admin,omitempty"`
	Bot   bool   `json:"bot,omitempty"`
}

// Account is a person of this server, as people.add and people.disable answer.
type Account struct {
	ID       string `json:"id"`
	Address  string `json:"address"`
	Admin    bool   `json:"admin"`
	Bot      bool   `json:"bot"`
	Disabled bool   `json:"disabled"`
}

func accountOf(p threads.PersonRecord) Account {
	return Account{ID: p.ID, Address: p.Address, Admin: p.Admin, Bot: p.Bot, Disabled: p.Disabled}
}

// addPerson makes a person, or gives one an account again whose profile partners
// gave back after this server had lost its accounts: then events and memberships
// are theirs as before.
func (s *Server) addPerson(ctx context.Context, in NewAccount) (Account, error) {
	id := threads.PersonID(s.config.Server(), random16())
	former, err := s.store.PersonByAddress(ctx, in.Name+"@"+s.config.Server())
	var refused *threads.Error
	switch {
	case err == nil && !former.Local:
		id = former.ID
		in.Shown, in.Zone = cmp.Or(in.Shown, former.Name), cmp.Or(in.Zone, former.Zone)
		s.log.Info("a person of this server is given an account again", "person", id)
	case err != nil && (!errors.As(err, &refused) || refused.Kind != threads.NotFound):
		return Account{}, err
	}
	person, err := s.store.CreatePerson(ctx, threads.NewPerson{
		ID: id, Name: in.Name, Shown: in.Shown, Password: in.Hash,
		Zone: in.Zone, Admin: in.Admin, Bot: in.Bot, Created: s.clock(), By: threads.ByAdmin,
	})
	if err == nil {
		s.log.Info("person added", "person", person.ID, "admin", person.Admin, "bot", person.Bot)
	}
	return accountOf(person), err
}

// Named is the input of operations on one person of this server.
type Named struct {
	Name string `json:"name"`
}

func (s *Server) disablePerson(ctx context.Context, in Named) (Account, error) {
	person, err := s.localPerson(ctx, in.Name)
	if err != nil {
		return Account{}, err
	}
	if err := s.store.Disable(ctx, person.ID, threads.Act{Who: threads.ByAdmin, At: s.clock()}); err != nil {
		return Account{}, err
	}
	s.api.Revoked(person.ID)
	s.log.Info("person disabled", "person", person.ID)
	person.Disabled = true
	return accountOf(person), nil
}

// NewPassword is the input of people.password.
type NewPassword struct {
	Name string `json:"name"`
	Hash string `json:"hash"` // made by the asker with api.HashPassword
}

// setPassword ends every session of the person and every token of theirs.
func (s *Server) setPassword(ctx context.Context, in NewPassword) (Account, error) {
	person, err := s.localPerson(ctx, in.Name)
	if err != nil {
		return Account{}, err
	}
	if err := s.store.SetPassword(ctx, person.ID, in.Hash); err != nil {
		return Account{}, err
	}
	s.api.Revoked(person.ID)
	s.log.Info("password replaced", "person", person.ID)
	return accountOf(person), nil
}

func (s *Server) localPerson(ctx context.Context, name string) (threads.PersonRecord, error) {
	person, _, err := s.store.Credentials(ctx, name)
	var refused *threads.Error
	if errors.As(err, &refused) && refused.Kind == threads.NotFound {
		err = threads.Refuse(threads.NotFound, "not_found", "", fmt.Sprintf("there is nobody named %.64q on this server; meridian user add makes people", name))
	}
	return person, err
}

// TokenFor is the input of tokens.create.
type TokenFor struct {
	Name string `json:"name"`
	// Bot makes the token a program's. Where nobody has the name, a bot account
	// is made that cannot sign in otherwise.
	Bot   bool   `json:"bot,omitempty"`
	Label string `json:"label,omitempty"`
}

// IssuedToken is a token with its secret, which is shown this once.
type IssuedToken struct {
	ID      string `json:"id"`
	Address string `json:"address"`
	Token   string `json:"token"`
}

func (s *Server) createToken(ctx context.Context, in TokenFor) (IssuedToken, error) {
	person, err := s.localPerson(ctx, in.Name)
	var refused *threads.Error
	if in.Bot && errors.As(err, &refused) && refused.Kind == threads.NotFound {
		if _, err = s.addPerson(ctx, NewAccount{Name: in.Name, Bot: true}); err == nil {
			person, err = s.localPerson(ctx, in.Name)
		}
	}
	if err != nil {
		return IssuedToken{}, err
	}
	if person.Disabled {
		return IssuedToken{}, threads.Refuse(threads.Conflict, "disabled", "", person.Address+" is disabled and gets no token")
	}
	id, err := uuid.NewV7()
	if err != nil {
		return IssuedToken{}, fmt.Errorf("name token: %w", err)
	}
	secret := rand.Text() // 130 bits
	t := threads.Token{ID: id.String(), Person: person.ID, Label: in.Label, Bot: in.Bot, Created: s.clock(), By: threads.ByAdmin}
	if err := s.store.AddToken(ctx, t, secret); err != nil {
		return IssuedToken{}, err
	}
	s.log.Info("token created", "person", person.ID, "token", t.ID)
	return IssuedToken{ID: t.ID, Address: person.Address, Token: secret}, nil
}

// random16 never fails: the process ends where the system has no randomness.
func random16() (b [16]byte) {
	rand.Read(b[:])
	return b
}
