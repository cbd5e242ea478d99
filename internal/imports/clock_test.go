package imports

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"testing"
)

// clocks are the names of package time that read the clock or wait for it.
var clocks = map[string]bool{
	"Now": true, "Since": true, "Until": true, "Sleep": true, "After": true, "AfterFunc": true,
	"Tick": true, "NewTicker": true, "NewTimer": true, "Local": true,
}

// readsClock names each place in a file that reads a clock, or imports time so that it could do so unseen.
func readsClock(files *token.FileSet, file *ast.File) []string {
	name := ""
	var found []string
	for _, i := range file.Imports {
		if p, err := strconv.Unquote(i.Path.Value); err != nil || p != "time" {
			continue
		}
		name = "time"
		if i.Name != nil {
			name = i.Name.Name
		}
		if name == "." {
			found = append(found, fmt.Sprintf("%s: imports time by a dot, which hides its clock", files.Position(i.Pos())))
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := selector.X.(*ast.Ident); ok && name != "" && x.Name == name && clocks[selector.Sel.Name] {
			found = append(found, fmt.Sprintf("%s: time.%s", files.Position(n.Pos()), selector.Sel.Name))
		}
		return true
	})
	return found
}

func TestRulesReadNoClock(t *testing.T) {
	for _, p := range packages(t) {
		if p.ImportPath != module+"threads" && p.ImportPath != module+"threads/worktime" {
			continue
		}
		for _, name := range p.GoFiles {
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, place := range readsClock(files, file) {
				t.Errorf("%s: rules are given the time, or replicas and replays would decide differently", place)
			}
		}
	}
}

func TestAClockIsFoundUnderAnyName(t *testing.T) {
	for _, source := range []string{
		`package p; import "time"; var now = time.Now`,
		`package p; import t "time"; func f() { t.Sleep(1) }`,
		`package p; import . "time"; var now = Now`,
		`package p; import "time"; var zone = time.Local`,
	} {
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, "p.go", source, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(readsClock(files, file)) != 1 {
			t.Errorf("no clock found in %s", source)
		}
	}
}
