package federation

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"meridian/threads"
)

// profilePrefix keeps a signature over a profile from meaning anything else.
const profilePrefix = "meridian-profile-v1\x00"

// maxProfiles is how many people one exchange is about at most.
const maxProfiles = 200

// wireProfile is what a server tells of a person of its own.
type wireProfile struct {
	Address string          `json:"address"`
	Hours   json.RawMessage `json:"hours,omitempty"` // as its server keeps them, canonical
	Name    string          `json:"name"`
	Person  string          `json:"person"`
	Version int64           `json:"version"`
	Zone    string          `json:"zone"`
}

// signedProfile is a profile in its exact bytes, signed by the person's server.
type signedProfile struct {
	Profile json.RawMessage `json:"profile"`
	Sig     string          `json:"sig"`
}

type profilesRequest struct {
	Known  map[string]int64 `json:"known,omitempty"` // versions that the asker has, by person
	People []string         `json:"people"`
}

type profilesAnswer struct {
	Profiles []signedProfile `json:"profiles"`
}

// answerProfiles tells of those people of this server who share a channel with the asker as of now,
// and of whom the asker does not have the newest.
func (x *Exchange) answerProfiles(ctx context.Context, from caller) (reply, error) {
	var request profilesRequest
	if err := decodeBody(from.body, &request); err != nil {
		return reply{}, malformed(err)
	}
	if len(request.People) > maxProfiles {
		return reply{}, refuseExchange(http.StatusRequestEntityTooLarge, "too_many_people", fmt.Sprintf("at most %d people can be asked about at a time", maxProfiles))
	}
	sums, err := x.sums(ctx, from.name, from.keys)
	if err != nil {
		return reply{}, err
	}
	shared := listed(sums)
	visible, err := x.peopleOf(ctx, x.Server, shared)
	if err != nil {
		return reply{}, err
	}
	former, err := x.endedWith(ctx, from.name, from.keys, from.name, x.Server)
	if err != nil {
		return reply{}, err
	}
	theirs, err := x.peopleOf(ctx, from.name, append(shared, former...))
	if err != nil {
		return reply{}, err
	}
	var ids []string
	for _, id := range request.People {
		if visible[id] || theirs[id] {
			ids = append(ids, id)
		}
	}
	people, err := x.People.PeopleByID(ctx, ids)
	if err != nil {
		return reply{}, fmt.Errorf("look up people: %w", err)
	}
	answer := profilesAnswer{Profiles: []signedProfile{}}
	for _, id := range slices.Sorted(maps.Keys(people)) {
		p := people[id]
		if kept := keptProfile(p); theirs[id] && kept != nil && request.Known[id] == 0 { // it lost its own
			answer.Profiles = append(answer.Profiles, *kept)
		}
		if p.Local && p.Address != "" && p.Version > request.Known[id] {
			signed, err := x.signProfile(p)
			if err != nil {
				return reply{}, err
			}
			answer.Profiles = append(answer.Profiles, signed)
		}
	}
	return answerJSON(answer)
}

// keep is the profile as it is stored: the signature, and on the next line the bytes that it is over.
func (s signedProfile) keep() []byte { return append([]byte(s.Sig+"\n"), s.Profile...) }

// keptProfile is a profile as its server signed it, nil where that is not at hand.
func keptProfile(p threads.PersonRecord) *signedProfile {
	sig, raw, ok := bytes.Cut(p.Signed, []byte{'\n'})
	if !ok {
		return nil
	}
	return &signedProfile{Profile: raw, Sig: string(sig)}
}

func (x *Exchange) signProfile(p threads.PersonRecord) (signedProfile, error) {
	raw, err := marshal(wireProfile{Address: p.Address, Hours: json.RawMessage(p.Hours), Name: p.Name, Person: p.ID, Version: p.Version, Zone: p.Zone})
	if err != nil {
		return signedProfile{}, fmt.Errorf("write profile: %w", err)
	}
	sig := x.sign(append([]byte(profilePrefix), raw...))
	return signedProfile{raw, base64.RawURLEncoding.EncodeToString(sig)}, nil
}

// peopleOf are the members that a server has in some channels.
func (x *Exchange) peopleOf(ctx context.Context, server string, channels []threads.Hash) (map[string]bool, error) {
	people := map[string]bool{}
	for _, id := range channels {
		ch, err := x.Journal.Channel(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("load channel %s: %w", id, err)
		}
		for _, p := range ch.People() {
			if threads.ServerOf(p.ID) == server {
				people[p.ID] = true
			}
		}
	}
	return people, nil
}

// learn has the profiles of the server's people asked for.
func (c *Courier) learn() { c.hint(Hint{Unknown: true}) }

// learnProfiles asks the server for the newest profiles of its people in shared channels, when that is
// due. It may not know yet that a channel is shared: then it is asked again soon, and later less
// often. While it is down the profiles known stay.
func (c *Courier) learnProfiles(ctx context.Context, now time.Time) error {
	if c.unknown {
		c.unknown, c.people, c.strange = false, now, 0
	}
	if now.Before(c.people) {
		return nil
	}
	sums, err := c.x.sums(ctx, c.name, nil)
	if err != nil {
		return err
	}
	people, err := c.x.peopleOf(ctx, c.name, listed(sums))
	if err != nil {
		return err
	}
	lacking := false
	for ids := range slices.Chunk(slices.Sorted(maps.Keys(people)), maxProfiles) {
		some, err := c.askProfiles(ctx, ids)
		if err != nil {
			return err
		}
		lacking = lacking || some
	}
	if err := c.askOwnProfiles(ctx, listed(sums)); err != nil {
		return err
	}
	c.people = now.Add(c.x.spread(profilesEvery))
	if lacking {
		c.people = now.Add(c.x.spread(min(100*time.Millisecond<<min(c.strange, 12), profilesEvery)))
		c.strange++
	}
	return nil
}

// askOwnProfiles asks for those of this server's own people of whom only the id is known: they had
// accounts here before this server lost them.
func (c *Courier) askOwnProfiles(ctx context.Context, shared []threads.Hash) error {
	former, err := c.x.endedWith(ctx, c.name, nil, c.x.Server, c.name)
	if err != nil {
		return err
	}
	own, err := c.x.peopleOf(ctx, c.x.Server, append(shared, former...))
	if err != nil {
		return err
	}
	known, err := c.x.People.PeopleByID(ctx, slices.Sorted(maps.Keys(own)))
	if err != nil {
		return fmt.Errorf("look up people: %w", err)
	}
	var lost []string
	for _, id := range slices.Sorted(maps.Keys(own)) {
		if p := known[id]; !p.Local && p.Version == 0 {
			lost = append(lost, id)
		}
	}
	for ids := range slices.Chunk(lost, maxProfiles) {
		if _, err := c.askProfiles(ctx, ids); err != nil {
			return err
		}
	}
	return nil
}

// askProfiles asks about some people, and reports whether there is one of whom nothing is known yet.
func (c *Courier) askProfiles(ctx context.Context, ids []string) (lacking bool, err error) {
	known, err := c.x.People.PeopleByID(ctx, ids)
	if err != nil {
		return false, fmt.Errorf("look up people: %w", err)
	}
	request := profilesRequest{People: ids, Known: map[string]int64{}}
	for id, p := range known {
		if p.Version > 0 {
			request.Known[id] = p.Version
		}
	}
	body, err := marshal(request)
	if err != nil {
		return false, fmt.Errorf("write a request for profiles: %w", err)
	}
	got, err := c.x.ask(ctx, c.name, profilesPath, typeJSON, body)
	if err != nil {
		return false, err
	}
	var answer profilesAnswer
	if err := json.Unmarshal(got, &answer); err != nil { // the profiles are checked one by one, in their exact bytes
		return false, &Unreached{fmt.Errorf("read the profiles of %s: %w", c.name, err)}
	}
	told := map[string]bool{}
	for _, signed := range answer.Profiles {
		person, err := c.takeProfile(ctx, signed, ids)
		if err != nil {
			return false, err
		}
		told[person] = true
	}
	return slices.ContainsFunc(ids, func(id string) bool { return !told[id] && request.Known[id] == 0 }), nil
}

// takeProfile stores a profile that was asked for, if its server signed it, and says whose it is.
func (c *Courier) takeProfile(ctx context.Context, signed signedProfile, asked []string) (string, error) {
	var p wireProfile
	sig, err := base64.RawURLEncoding.Strict().DecodeString(signed.Sig)
	if err == nil {
		err = decodeBody(signed.Profile, &p)
	}
	server := threads.ServerOf(p.Person)
	if err != nil || !slices.Contains(asked, p.Person) || !strings.HasSuffix(p.Address, "@"+server) || !c.vouched(ctx, server, append([]byte(profilePrefix), signed.Profile...), sig) {
		c.x.Log.Info("profile refused", "partner", c.name)
		return "", nil
	}
	_, err = c.x.People.LearnProfile(ctx, threads.PersonRecord{
		ID: p.Person, Address: p.Address, Name: p.Name, Zone: p.Zone, Hours: string(p.Hours), Server: server, Version: p.Version, Signed: signed.keep(),
	})
	var refused *threads.Error
	if errors.As(err, &refused) && refused.Kind != threads.Internal && refused.Kind != threads.Unavailable {
		c.x.Log.Info("profile refused", "partner", c.name, "error", err)
		return "", nil
	}
	return p.Person, err
}

// vouched reports whether a profile bears the signature of the person's server: the one that is asked,
// or this one itself, by a key that it has or had.
func (c *Courier) vouched(ctx context.Context, server string, message, sig []byte) bool {
	if server != c.x.Server {
		return server == c.name && c.signed(ctx, message, sig)
	}
	return len(sig) == ed25519.SignatureSize && slices.ContainsFunc(c.x.ownKeys().ring.Signed(server), func(k threads.SignedKey) bool {
		return threads.Verify(k.Public, message, sig)
	})
}

// signed reports whether the server signed a message with the pinned key, or with one by which a
// shared channel knows it.
func (c *Courier) signed(ctx context.Context, message, sig []byte) bool {
	a, err := c.x.acquaintance(ctx, c.name)
	if err != nil || len(sig) != ed25519.SignatureSize {
		return false
	}
	if a.partner.State == threads.PartnerAllowed {
		return threads.Verify(a.partner.Key.Public, message, sig)
	}
	return slices.ContainsFunc(a.members, func(k threads.Key) bool { return threads.Verify(k.Public, message, sig) })
}

// profilesEvery is how often a live server is asked for changed profiles.
const profilesEvery = 5 * time.Minute
