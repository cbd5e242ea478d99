package federation

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/net/idna"
)

// T71: which names people can take for each other. What is a valid name of a server is that in its one
// spelling; the others are refused before anybody compares them (TestServerNameHasOneSpelling).
func TestNamesThatPeopleTakeForEachOtherAreFound(t *testing.T) {
	looks, err := readLookalikes()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ name, others string }{
		{"acme.example", "аcme.example ɑcme.example acmé.example ạcme.example ąсmе.example acrne.example аcme.example:8443"},
		{"paypal.example", "pаypаl.example paypa1.example paypai.example раураӏ.example pаypa1.example"},
		{"modern.example", "mоdern.example modem.example rnodern.example"},
		{"www.example", "vvww.example vvvvvv.example"},
		{"oslo.example", "0slo.example οslo.example osio.example øslo.example ősló.example os1ο.example"},
		{"ibis.example", "ıbis.example іbіs.example lbls.example ïbis.example"},
		{"strasse.example", "straße.example"},
		{"sava.example", "ѕаvа.example sаvа.example"},
		{"中文.example", "中文.examp1e"},
		{"havel.example", "havel.exarnple"},
		{"10.0.0.1", "10.0.0.l"},
	} {
		for other := range strings.FieldsSeq(row.others) {
			one, two := canonical(t, row.name), canonical(t, other)
			if !looks.alike(one, two) || !looks.alike(two, one) {
				t.Errorf("%s and %s (%s) look alike and are told apart", row.name, other, two)
			}
		}
	}
	for _, row := range []struct{ name, other string }{
		{"acme.example", "acme.example"},
		{"acme.example", "acme.example:8443"},
		{"127.0.0.1:8001", "127.0.0.1:8007"},
		{"127.0.0.1:8001", "127.0.0.2:8001"},
		{"kobo.example", "havel.example"},
		{"acme.example", "acme-works.example"},
		{"中文.example", "中立.example"},
		{"москва.example", "минск.example"},
		{"[2001:db8::1]", "[2001:db8::11]"},
	} {
		if one, two := canonical(t, row.name), canonical(t, row.other); looks.alike(one, two) {
			t.Errorf("%s and %s are taken for each other", row.name, row.other)
		}
	}
}

// canonical is a name as servers have it.
func canonical(t *testing.T, name string) string {
	t.Helper()
	host, port, hasPort := splitPort(name)
	ascii, err := idna.Punycode.ToASCII(host)
	if hasPort {
		ascii = fmt.Sprintf("%s:%s", ascii, port)
	}
	if err == nil {
		_, err = ParseServerName(ascii)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return ascii
}

// Each entry of the table is a character that a name of a server can hold.
func TestTheTableOfLookalikesHoldsWhatNamesHold(t *testing.T) {
	looks, err := readLookalikes()
	if err != nil || len(looks) < 400 {
		t.Fatalf("%d entries, %v", len(looks), err)
	}
	for r, seen := range looks {
		if r < 0x80 || seen == "" || strings.Trim(seen, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			t.Errorf("%U is taken for %q", r, seen)
		}
	}
}
