// Package imports holds the tests of what may be imported: which package which other, along the
// table of docs/architecture.md, and which modules, along docs/decisions. It has no code of
// its own and nothing imports it.
package imports

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "meridian/"

// row says what of ours a package, and what lies below it, may import beside itself, and why nothing else.
type row struct {
	may    []string // "*" is everything that onlyFor leaves open
	reason string
}

var table = map[string]row{
	"cmd":                   {[]string{"*"}, ""},
	"server":                {[]string{"*"}, ""},
	"config":                {nil, "settings are values: what they mean is decided by who is given them"},
	"threads":               {[]string{"threads/worktime"}, "the rules are pure, so that every replica decides alike and they can be read first"},
	"threads/worktime":      {nil, "a calendar knows no conversations"},
	"threads/journal":       {[]string{"threads"}, "the one pen knows the rules and nothing of who calls it or where it is kept"},
	"threads/notify":        {[]string{"threads", "threads/worktime"}, "a follower reads the log and never writes round the journal"},
	"threads/schedule":      {[]string{"threads", "threads/worktime"}, "what falls due is handed to the journal by its owner, through an interface declared here"},
	"internal/store":        {[]string{"threads", "threads/journal"}, "the store keeps and finds; it knows neither people's clients nor partners"},
	"internal/store/pgtest": {[]string{"internal/loopback"}, "a test database knows nothing of what is stored in it"},
	"internal/backup":       {[]string{"internal/store"}, "an archive holds rows and bytes; what belongs into it and where it goes is server's to say"},
	"internal/blobs":        {nil, "bytes under their hash mean nothing here"},
	"internal/mbox":         {nil, "reading a mail archive is done before anything of ours is written"},
	"internal/limit":        {nil, "counting knows neither who is counted nor what for"},
	"internal/loopback":     {nil, "an address knows no server"},
	"internal/cost":         {nil, "what a test costs is measured without knowing the test"},
	"internal/bench":        {[]string{"config", "internal/loopback"}, "figures are measured from outside, through what clients and partners reach"},
	"internal/sim":          {[]string{"*"}, ""},
	"federation":            {[]string{"threads", "internal/limit"}, "it declares the few methods it needs, and server passes them; so partners reach nothing that people's clients do, nor the store"},
	"api":                   {[]string{"threads", "threads/worktime", "internal/limit"}, "it declares the few methods it needs, and server passes them; so people's clients reach nothing that partners do, nor the store"},
}

// onlyFor names what only some may import, beside tests; nobody is "".
var onlyFor = map[string]struct{ who, reason string }{
	"cmd":                   {"", "a command line is started, not called"},
	"internal/bench":        {"cmd", "a server must not carry the means to measure itself"},
	"internal/sim":          {"", "lying networks and partners stay out of the binary"},
	"internal/cost":         {"", "only tests are measured"},
	"internal/store/pgtest": {"", "a test database stays out of the binary"},
}

// impure are the standard packages that the rule book and the calendar do without, and why.
var impure = map[string]string{
	"context":      "nothing here can wait, so there is nothing to cancel",
	"net":          "rules do not talk to anyone",
	"os":           "the same input gives the same answer on every machine",
	"database/sql": "state is passed in and events are passed out; the journal keeps them",
	"log/slog":     "what happened is returned, and the edge decides whether to log it",
	"sync":         "values are not shared; the journal runs one command after another",
	"math/rand":    "replicas must come to equal results, and salts need real randomness from the edge",
	"math/rand/v2": "replicas must come to equal results, and salts need real randomness from the edge",
}

// listed is what `go list` says of a package.
type listed struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	list := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,Imports", module+"...")
	var stderr bytes.Buffer
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var all []listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// ruled is the key of the table that governs a package path: the longest that it lies at or below.
func ruled[V any](table map[string]V, name string) (string, bool) {
	for ; name != "." && name != "/"; name = path.Dir(name) {
		if _, ok := table[name]; ok {
			return name, true
		}
	}
	return "", false
}

// broken says which import rules a package breaks outside its tests.
func broken(p listed) []string {
	name := strings.TrimPrefix(p.ImportPath, module)
	from, known := ruled(table, name)
	var faults []string
	for _, imported := range p.Imports {
		if reason, ok := impure[imported]; ok && (name == "threads" || name == "threads/worktime") {
			faults = append(faults, fmt.Sprintf("%s must not import %s: %s", name, imported, reason))
		}
		target, ours := strings.CutPrefix(imported, module)
		if !ours {
			continue
		}
		if !known {
			faults = append(faults, fmt.Sprintf("%s imports %s and has no row: say in docs/architecture.md and here what it is for and what it may import", name, target))
			continue
		}
		faults = append(faults, arrow(from, target)...)
	}
	return faults
}

// arrow says which rules are broken when a package governed by from imports target.
func arrow(from, target string) []string {
	var faults []string
	to, ok := ruled(table, target)
	if !ok {
		to = target
	}
	r := table[from]
	if to != from && !slices.Contains(r.may, "*") && !slices.Contains(r.may, to) {
		faults = append(faults, fmt.Sprintf("%s must not import %s: %s", from, target, r.reason))
	}
	if key, ok := ruled(onlyFor, target); ok && from != key && from != onlyFor[key].who {
		faults = append(faults, fmt.Sprintf("%s must not import %s outside its tests: %s", from, target, onlyFor[key].reason))
	}
	return faults
}

func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	all := packages(t)
	if len(all) < 2 {
		t.Fatalf("go list found %d packages", len(all))
	}
	for _, p := range all {
		for _, fault := range broken(p) {
			t.Error(fault)
		}
	}
}

func TestForbiddenArrowsAreFound(t *testing.T) {
	for _, arrow := range []struct{ from, to string }{
		{"api", "federation"},
		{"api", "internal/store"},
		{"api/openapi", "threads/journal"},
		{"federation", "api"},
		{"federation", "internal/store/sqlite"},
		{"federation", "threads/worktime"},
		{"threads", "threads/journal"},
		{"threads/worktime", "threads"},
		{"threads/journal", "internal/store"},
		{"threads/notify", "threads/journal"},
		{"threads/schedule", "threads/journal"},
		{"internal/store", "server"},
		{"internal/blobs", "threads"},
		{"internal/mbox", "threads"},
		{"internal/bench", "server"},
		{"config", "threads"},
		{"server", "internal/bench"},
		{"server", "internal/sim"},
		{"cmd/meridian", "internal/sim"},
		{"cmd/meridian", "internal/store/pgtest"},
		{"server", "cmd/meridian"},
		{"internal/unheard", "threads"},
	} {
		p := listed{ImportPath: module + arrow.from, Imports: []string{module + arrow.to}}
		if len(broken(p)) == 0 {
			t.Errorf("%s → %s is not found", arrow.from, arrow.to)
		}
	}
	for forbidden := range impure {
		for _, from := range []string{"threads", "threads/worktime"} {
			if len(broken(listed{ImportPath: module + from, Imports: []string{forbidden}})) != 1 {
				t.Errorf("%s → %s is not found", from, forbidden)
			}
		}
	}
}

func TestAllowedArrowsAreLeftAlone(t *testing.T) {
	for _, arrow := range []struct{ from, to string }{
		{"cmd/meridian", "internal/bench"},
		{"cmd/meridian", "internal/mbox"},
		{"server", "api"},
		{"server", "federation"},
		{"internal/sim", "server"},
		{"internal/store/postgres", "internal/store"},
		{"threads", "threads/worktime"},
		{"api", "threads"},
	} {
		p := listed{ImportPath: module + arrow.from, Imports: []string{module + arrow.to, "time"}}
		if faults := broken(p); len(faults) > 0 {
			t.Error(faults)
		}
	}
}
