package threads

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestEveryTypeHasItsRowInTheProtocol(t *testing.T) {
	text, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z]+\\.[a-z]+)` \\|(.*)\\|$").FindAllStringSubmatch(string(text), -1) {
		rows[m[1]] = strings.Split(m[2], " | ")
	}
	for _, row := range Types() {
		cells := rows[row.Name]
		if len(cells) != 4 {
			t.Errorf("%s has no row in docs/protocol.md", row.Name)
			continue
		}
		if strings.TrimSpace(cells[0]) != row.Log || strings.TrimSpace(cells[3]) != row.Changes {
			t.Errorf("%s: the row in docs/protocol.md says %q, the table %q and %q", row.Name, cells, row.Log, row.Changes)
		}
		delete(rows, row.Name)
	}
	for name := range rows {
		t.Errorf("docs/protocol.md has a row for %s, which is no type", name)
	}
}

func TestEveryTypeSaysWhatItChangesAndHow(t *testing.T) {
	source, err := os.ReadFile("types.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^\tType\w+ += "([a-z.]+)"$`).FindAllStringSubmatch(string(source), -1) {
		row := TypeOf(m[1])
		if row.Name == "" || row.Changes == "" {
			t.Errorf("%s has no row in the table of types", m[1])
			continue
		}
		if (row.Log == LogControl) != (row.control != nil) || (row.Log == LogData) != (row.effects != nil) {
			t.Errorf("%s has not the one function that its log needs", m[1])
		}
	}
}
