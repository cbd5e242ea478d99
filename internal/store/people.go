package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"meridian/threads"
)

// personRow is a row of personSelect.
type personRow struct {
	ID, Address, Shown, Zone, Server string
	Hours, Digest                    string
	Local, Admin, Bot, Disabled      bool
	Created, Version                 int64
	Signed                           []byte
}

// personSelect reads people; conditions follow it.
const personSelect = `
SELECT p.uri AS id, s.name AS server, COALESCE(f.address, '') AS address, COALESCE(f.shown, '') AS shown,
    COALESCE(f.zone, '') AS zone, COALESCE(f.hours, '') AS hours, COALESCE(a.digest, '') AS digest,
    a.person IS NOT NULL AS local, COALESCE(a.admin, FALSE) AS admin, COALESCE(a.bot, FALSE) AS bot,
    COALESCE(a.disabled, FALSE) AS disabled, COALESCE(a.created, 0) AS created, COALESCE(f.version, 0) AS version, f.signed
FROM person p
JOIN server s ON s.id = p.server
LEFT JOIN profile f ON f.person = p.id
LEFT JOIN account a ON a.person = p.id
`

func (r *personRow) record() threads.PersonRecord {
	return threads.PersonRecord{
		ID: r.ID, Address: r.Address, Name: r.Shown, Zone: r.Zone, Server: r.Server,
		Local: r.Local, Admin: r.Admin, Bot: r.Bot, Disabled: r.Disabled,
		Hours: r.Hours, Digest: r.Digest, Created: instant(r.Created), Version: r.Version, Signed: r.Signed,
	}
}

// CreatePerson makes a person of this server, of one of whom partners gave back
// the profile too. Conflict where the name is taken, Invalid where it cannot be one.
func (s *Store) CreatePerson(ctx context.Context, n threads.NewPerson) (threads.PersonRecord, error) {
	if err := checkNewPerson(&n); err != nil {
		return threads.PersonRecord{}, err
	}
	err := s.change(ctx, func(tx *sqlx.Tx) error {
		id, err := s.internPerson(ctx, tx, n.ID)
		if err != nil {
			return err
		}
		if err := s.neverHeld(ctx, tx, n.Name+"@"+threads.ServerOf(n.ID)); err != nil {
			return err
		}
		done, err := tx.ExecContext(ctx, s.bind(`
			INSERT INTO account (person, name, password, admin, bot, disabled, digest, created)
			VALUES (?, ?, ?, ?, ?, FALSE, '', ?) ON CONFLICT DO NOTHING`),
			id, n.Name, n.Password, n.Admin, n.Bot, millis(n.Created))
		if err != nil {
			return err
		}
		if made, err := done.RowsAffected(); err != nil || made == 0 {
			return errors.Join(err, threads.Refuse(threads.Conflict, "name_taken", "/name", "is taken on this server; choose another"))
		}
		_, err = tx.ExecContext(ctx, s.bind(`
			INSERT INTO profile (person, address, shown, zone, hours, version) VALUES (?, ?, ?, ?, '', ?)
			ON CONFLICT (person) DO UPDATE SET address = excluded.address, shown = excluded.shown, zone = excluded.zone,
				version = CASE WHEN profile.version < excluded.version THEN excluded.version ELSE profile.version + 1 END`),
			id, n.Name+"@"+threads.ServerOf(n.ID), n.Shown, n.Zone, millis(n.Created))
		if err != nil {
			return err
		}
		if err := s.audit(ctx, tx, personAdded(&n)); err != nil {
			return err
		}
		return s.unmistakable(ctx, tx, n.Name) // last: who writes to the audit log at the same time has committed then
	})
	if err != nil {
		return threads.PersonRecord{}, fmt.Errorf("create person: %w", err)
	}
	return s.Person(ctx, n.ID)
}

// unmistakable refuses a name that people can take for somebody else's here.
func (s *Store) unmistakable(ctx context.Context, tx *sqlx.Tx, name string) error {
	var other string
	err := tx.GetContext(ctx, &other, s.bind(`
		SELECT name FROM account WHERE name <> ?
			AND REPLACE(REPLACE(REPLACE(REPLACE(name, '0', 'o'), '1', 'l'), 'm', 'rn'), 'w', 'vv') = ?
		ORDER BY name LIMIT 1`), name, threads.Skeleton(name))
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for names like it: %w", err)
	}
	return threads.Refuse(threads.Conflict, "confusable", "/name", fmt.Sprintf("looks like %s, who is somebody else on this server; choose another", other))
}

func personAdded(n *threads.NewPerson) threads.AuditEntry {
	e := threads.AuditEntry{Act: threads.Act{Who: n.By, At: n.Created}, What: threads.AuditPersonAdded, Object: n.ID}
	if e.Who == "" {
		e.Who = threads.ByServer
	}
	switch {
	case n.Admin:
		e.Detail = "as an administrator"
	case n.Bot:
		e.Detail = "as a bot"
	}
	return e
}

func checkNewPerson(n *threads.NewPerson) error {
	if err := threads.CheckName(n.Name); err != nil {
		return err
	}
	if threads.ServerOf(n.ID) == "" {
		return fmt.Errorf("%q is not the id of a person", n.ID)
	}
	if n.Shown == "" {
		n.Shown = n.Name
	}
	return checkProfile(&n.Shown, &n.Zone, nil)
}

// Longest texts of a profile, in bytes of UTF-8.
const (
	maxShown = 200
	maxZone  = 64
	maxHours = 8 << 10
)

// checkProfile refuses texts that no profile can hold on some server; nil ones pass.
func checkProfile(shown, zone, hours *string) error {
	for _, f := range []struct {
		text  *string
		field string
		most  int
	}{{shown, "/name", maxShown}, {zone, "/zone", maxZone}, {hours, "/hours", maxHours}} {
		switch {
		case f.text == nil:
		case len(*f.text) > f.most:
			return threads.Refuse(threads.TooLarge, "too_large", f.field, fmt.Sprintf("is too long; at most %d bytes are possible", f.most))
		case threads.CheckText(*f.text) != nil:
			return threads.Refuse(threads.Invalid, "invalid", f.field, "must be valid UTF-8 without the character U+0000")
		}
	}
	if shown != nil && strings.TrimSpace(*shown) == "" {
		return threads.Refuse(threads.Invalid, "required", "/name", "is required")
	}
	return nil
}

// Person is the person with that id, known at least by it. NotFound else.
func (s *Store) Person(ctx context.Context, id string) (threads.PersonRecord, error) {
	return s.onePerson(ctx, "p.uri = ?", id)
}

// PersonByAddress is the person whom name@server names, of this server or
// another whose profile is known here. NotFound else.
func (s *Store) PersonByAddress(ctx context.Context, address string) (threads.PersonRecord, error) {
	return s.onePerson(ctx, "f.address = ?", strings.ToLower(address))
}

func (s *Store) onePerson(ctx context.Context, where, value string) (threads.PersonRecord, error) {
	if threads.CheckText(value) != nil {
		return threads.PersonRecord{}, notFound("person")
	}
	var r personRow
	err := s.one(ctx, &r, personSelect+"WHERE "+where+" LIMIT 1", value)
	if errors.Is(err, sql.ErrNoRows) {
		return threads.PersonRecord{}, notFound("person")
	}
	if err != nil {
		return threads.PersonRecord{}, fmt.Errorf("read person: %w", err)
	}
	return r.record(), nil
}

// PeopleByID reads those of the people that are known here, by id; at most
// threads.MaxPage ids are looked up in one query.
func (s *Store) PeopleByID(ctx context.Context, ids []string) (map[string]threads.PersonRecord, error) {
	people := make(map[string]threads.PersonRecord, len(ids))
	for len(ids) > 0 {
		some := ids[:min(len(ids), threads.MaxPage)]
		ids = ids[len(some):]
		var rows []personRow
		if err := s.selectIn(ctx, &rows, personSelect+"WHERE p.uri IN (?) LIMIT ?", some, len(some)); err != nil {
			return nil, fmt.Errorf("read people: %w", err)
		}
		for i := range rows {
			people[rows[i].ID] = rows[i].record()
		}
	}
	return people, nil
}

// People lists the people of this server by name, the disabled among them.
func (s *Store) People(ctx context.Context, page threads.Page) ([]threads.PersonRecord, string, error) {
	after, err := keyOf(page, 1)
	if err != nil {
		return nil, "", err
	}
	var rows []struct {
		personRow
		Account string
	}
	query := strings.Replace(personSelect, "SELECT", "SELECT a.name AS account,", 1) + "WHERE a.name > ? ORDER BY a.name LIMIT ?"
	if err := s.list(ctx, &rows, query, strings.Join(after, ""), page.Size()+1); err != nil {
		return nil, "", fmt.Errorf("list people: %w", err)
	}
	names := make(map[string]string, len(rows))
	people := make([]threads.PersonRecord, len(rows))
	for i := range rows {
		people[i] = rows[i].record()
		names[people[i].ID] = rows[i].Account
	}
	people, next := cut(people, page, func(p *threads.PersonRecord) string { return cursorAfter(names[p.ID]) })
	return people, next, nil
}

// Credentials are what a person of this server signs in against: the record and
// the PHC string of the password, "" for none. NotFound for an unknown name;
// the disabled are found.
func (s *Store) Credentials(ctx context.Context, name string) (threads.PersonRecord, string, error) {
	name = strings.ToLower(name)
	if threads.CheckName(name) != nil {
		return threads.PersonRecord{}, "", notFound("person")
	}
	var r struct {
		personRow
		Password string
	}
	query := strings.Replace(personSelect, "SELECT", "SELECT a.password AS password,", 1) + "WHERE a.name = ? LIMIT 1"
	err := s.one(ctx, &r, query, name)
	if errors.Is(err, sql.ErrNoRows) {
		return threads.PersonRecord{}, "", notFound("person")
	}
	if err != nil {
		return threads.PersonRecord{}, "", fmt.Errorf("read credentials: %w", err)
	}
	return r.record(), r.Password, nil
}

// SetPassword replaces the PHC string of a person of this server and revokes
// every token of theirs.
func (s *Store) SetPassword(ctx context.Context, person, phc string) error {
	return s.changeAccount(ctx, accountChange{person: person, set: "password = ?", value: phc})
}

// ChangePassword replaces the PHC string of a person of this server and ends
// their sessions, but not the one whose token has the id keep, nor programs.
func (s *Store) ChangePassword(ctx context.Context, person, phc, keep string) error {
	return s.changeAccount(ctx, accountChange{person: person, set: "password = ?", value: phc, keep: keep})
}

// Disable keeps a person of this server from signing in and revokes every token
// of theirs.
func (s *Store) Disable(ctx context.Context, person string, by threads.Act) error {
	return s.changeAccount(ctx, accountChange{person: person, set: "disabled = ?", value: true}, personChanged(person, by, "disabled"))
}

// Enable lets a disabled person sign in again.
func (s *Store) Enable(ctx context.Context, person string, by threads.Act) error {
	return s.changeAccount(ctx, accountChange{person: person, set: "disabled = ?", value: false}, personChanged(person, by, "enabled"))
}

func personChanged(person string, by threads.Act, how string) threads.AuditEntry {
	return threads.AuditEntry{Act: by, What: threads.AuditPersonChanged, Object: person, Detail: how}
}

// accountChange sets a column and revokes every token of the person; where one
// is to be kept, that and those of programs stay.
type accountChange struct {
	person, set string
	value       any
	keep        string
}

func (s *Store) changeAccount(ctx context.Context, c accountChange, record ...threads.AuditEntry) error {
	err := s.change(ctx, func(tx *sqlx.Tx) error {
		var id int64
		err := tx.GetContext(ctx, &id, s.bind(`
			UPDATE account SET `+c.set+` WHERE person = (SELECT id FROM person WHERE uri = ?) RETURNING person`), c.value, c.person)
		if errors.Is(err, sql.ErrNoRows) {
			return notFound("person of this server")
		}
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, s.bind(`
			DELETE FROM token WHERE person = ? AND id <> ? AND NOT (bot AND CAST(? AS text) <> '')`), id, c.keep, c.keep)
		if err != nil {
			return err
		}
		if err := s.tell(ctx, tx, News{Person: c.person}); err != nil {
			return err
		}
		return s.audit(ctx, tx, record...)
	})
	if err != nil {
		return fmt.Errorf("change account: %w", err)
	}
	return nil
}

// internPerson is the number under which the database knows the person of that
// id, making it known.
func (s *Store) internPerson(ctx context.Context, tx *sqlx.Tx, id string) (int64, error) {
	server := threads.ServerOf(id)
	_, err := tx.ExecContext(ctx, s.bind(`INSERT INTO server (name) VALUES (?) ON CONFLICT DO NOTHING`), server)
	if err != nil {
		return 0, fmt.Errorf("intern server: %w", err)
	}
	_, err = tx.ExecContext(ctx, s.bind(`
		INSERT INTO person (uri, server) SELECT ?, id FROM server WHERE name = ? ON CONFLICT DO NOTHING`), id, server)
	if err != nil {
		return 0, fmt.Errorf("intern person: %w", err)
	}
	var number int64
	err = tx.GetContext(ctx, &number, s.bind(`SELECT id FROM person WHERE uri = ? LIMIT 1`), id)
	return number, err
}
