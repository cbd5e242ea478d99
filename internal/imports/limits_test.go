package imports

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// turning are the files that may make a limiter, or speak of 429, and why: elsewhere
// it could be forgotten in the tables that tests and docs/limits.md are made from.
var turning = map[string]string{
	"internal/limit/limit.go": "makes the buckets of a row",
	"api/limit.go":            "has the table of what clients are turned away by",
	"api/problem.go":          "maps refusals of the rules",
	"federation/limit.go":     "has the table of what partners are turned away by, and reads theirs",
	"federation/handler.go":   "maps refusals of the rules",
	"federation/command.go":   "maps what a host answers",
	"federation/client.go":    "tells what a partner answers",
	"federation/trouble.go":   "tells what a partner answers",
	"federation/courier.go":   "paces what this server sends itself",
	"federation/exchange.go":  "paces what this server sends itself",
	"internal/bench/posts.go": "is a client",
}

// T35: a new limiter has a row in one of the two tables, from which the limiter, its test and its
// documentation are made.
func TestWhoeverIsTurnedAwayIsSoByATable(t *testing.T) {
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			what := s.Sel.Name
			if of, ok := s.X.(*ast.Ident); ok {
				what = of.Name + "." + what
			}
			if (what == "http.StatusTooManyRequests" || what == "rate.NewLimiter") && turning[filepath.ToSlash(name)] == "" {
				t.Errorf("%s has %s: give it a row in the table of api/limit.go or federation/limit.go", name, what)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
