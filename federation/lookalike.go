package federation

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"

	"meridian/threads"
)

//go:embed confusables.txt
var confusablesText string

// lookalikes are what people see in characters that they take for others.
type lookalikes map[rune]string

// readLookalikes reads the table of docs/decisions/0029-names-that-look-alike.md.
func readLookalikes() (lookalikes, error) {
	looks := lookalikes{}
	for line := range strings.Lines(confusablesText) {
		seen, points, _ := strings.Cut(strings.TrimSpace(line), " ")
		if seen == "#" {
			continue
		}
		for _, point := range strings.Fields(points) {
			r, err := strconv.ParseUint(point, 16, 32)
			if err != nil {
				return nil, fmt.Errorf("read confusables.txt: %w", err)
			}
			looks[rune(r)] = seen
		}
	}
	return looks, nil
}

// folded are the characters that IDNA 2008 allows although older software writes them otherwise or not at all
// (UTS 46 §4: deviations).
func folded() *strings.Replacer {
	return strings.NewReplacer("ß", "ss", "ς", "σ", "\u200c", "", "\u200d", "")
}

// skeleton is equal for two hosts that people can take for each other, after UTS 39 §4: international names
// as they are shown, without case, compatibility forms and accents, and each character as what it is taken
// for. Here, where an administrator can say otherwise, i is taken for l too.
func (l lookalikes) skeleton(host string) string {
	shown, err := idna.Punycode.ToUnicode(host)
	if err != nil {
		shown = host
	}
	var seen strings.Builder
	for _, r := range norm.NFKD.String(folded().Replace(strings.ToLower(shown))) {
		if as, ok := l[r]; ok {
			seen.WriteString(as)
		} else if !unicode.Is(unicode.Mn, r) {
			seen.WriteRune(unicode.ToLower(r))
		}
	}
	return strings.ReplaceAll(threads.Skeleton(seen.String()), "i", "l")
}

// alike reports whether people can take one server's name for another's: the ports tell them nothing, and two
// on one host are one house.
func (l lookalikes) alike(one, other string) bool {
	a, _, _ := splitPort(one)
	b, _, _ := splitPort(other)
	return a != b && l.skeleton(a) == l.skeleton(b)
}

// Resembles is this server, or one that an administrator has decided about, whose name people can take for
// the one given; "" for none.
func (x *Exchange) Resembles(ctx context.Context, name string) (string, error) {
	looks, err := readLookalikes()
	if err != nil {
		return "", err
	}
	if looks.alike(name, x.Server) {
		return x.Server, nil
	}
	for _, state := range []threads.PartnerState{threads.PartnerAllowed, threads.PartnerBlocked} {
		for page := (threads.Page{Limit: threads.MaxPage}); ; {
			some, next, err := x.Options.Partners.Partners(ctx, state, page)
			if err != nil {
				return "", fmt.Errorf("list partners: %w", err)
			}
			for _, p := range some {
				if looks.alike(name, p.Name) {
					return p.Name, nil
				}
			}
			if page.After = next; next == "" {
				break
			}
		}
	}
	return "", nil
}

// unmistakable refuses a name that resembles another's.
func (x *Exchange) unmistakable(ctx context.Context, name string) error {
	other, err := x.Resembles(ctx, name)
	if err != nil || other == "" {
		return err
	}
	return threads.Refuse(threads.Conflict, "confusable", "/name", fmt.Sprintf(
		"looks like %s, which is another server: people could take one for the other. If it is meant, allow it as confusable", other))
}
