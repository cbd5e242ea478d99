package imports

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// predictable are the files of the program that may use random numbers which
// could be foreseen, and why that harms nobody there.
var predictable = map[string]string{
	"server/exchange.go":            "spreads attempts in time",
	"api/edge.go":                   "tells the requests of one run from those of another in a log",
	"internal/loopback/loopback.go": "spreads addresses of demonstrations",
	"internal/bench/prose.go":       "writes the texts of a benchmark",
}

// T24: nothing that grants access, and no id, is made of numbers that could be
// foreseen: only tests and what is listed import math/rand.
func TestNothingThatMustNotBeGuessedIsMadeOfForeseeableNumbers(t *testing.T) {
	root, seen := filepath.Join("..", ".."), map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		for _, i := range file.Imports {
			if name := filepath.ToSlash(name); strings.HasPrefix(i.Path.Value, `"math/rand`) {
				seen[name] = true
				if predictable[name] == "" {
					t.Errorf("%s imports %s", name, i.Path.Value)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range predictable {
		if !seen[name] {
			t.Errorf("%s does not import math/rand any more", name)
		}
	}
}
