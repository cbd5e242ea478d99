package server

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/internal/store"
	"meridian/internal/store/pgtest"
	"meridian/threads"
)

// audiences are whom a line of docs/disclosures may name.
var audiences = []string{"self", "members", "partners", "admins", "operator", "anyone"}

// T83: whatever there is to be learnt from a server has a line that says whom it tells what, and nothing
// else has one: routes, types of events, fields of what is signed and exchanged, metrics, columns.
func TestEverythingThatTellsSomethingHasALine(t *testing.T) {
	at := newSite(t, "")
	at.start()
	for file, present := range map[string][]string{
		"routes": routesOf(t, at), "events": typesOfEvents(), "exchanges": fieldsExchanged(t),
		"metrics": metricsTold(at.options.Registry), "columns": columnsOf(t),
	} {
		t.Run(file, func(t *testing.T) {
			lines := disclosed(t, file)
			for _, name := range present {
				if _, ok := lines[name]; !ok {
					t.Errorf("%s has no line in docs/disclosures/%s.tsv: add, in the order of names, %q, where WHO is of %v and WHAT says what it tells them",
						name, file, name+"\tWHO\tWHAT", audiences)
				}
				delete(lines, name)
			}
			for name := range lines {
				t.Errorf("%s is gone: remove its line from docs/disclosures/%s.tsv", name, file)
			}
		})
	}
}

// disclosed are the lines of one table, by name; each is well-formed and in its place.
func disclosed(t *testing.T, file string) map[string]string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "docs", "disclosures", file+".tsv"))
	if err != nil {
		t.Fatal(err)
	}
	lines, before := map[string]string{}, ""
	for line := range strings.Lines(string(raw)) {
		name, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		who, what, _ := strings.Cut(rest, "\t")
		if name <= before {
			t.Errorf("%s.tsv: %q stands behind %q: lines are in the order of names, each once", file, name, before)
		}
		for _, one := range strings.Split(who, ",") {
			if !slices.Contains(audiences, one) {
				t.Errorf("%s.tsv: %q tells %q; WHO is of %v, with commas between", file, name, one, audiences)
			}
		}
		if what == "" || len(line) > 200 || strings.Contains(what, "\t") {
			t.Errorf("%s.tsv: the line of %q is to say WHAT, in at most 200 bytes", file, name)
		}
		lines[name], before = rest, name
	}
	return lines
}

// routesOf are all of a server: those of people's clients by its document, all others by the source.
func routesOf(t *testing.T, at *site) []string {
	t.Helper()
	var all []string
	for path, methods := range at.document() {
		for method := range methods {
			all = append(all, strings.ToUpper(method)+" "+path)
		}
	}
	pattern := regexp.MustCompile(`^(GET|POST|PUT|PATCH|DELETE) /`)
	for _, dir := range []string{".", "../federation"} {
		for _, text := range textsOf(t, dir) {
			if pattern.MatchString(text) {
				all = append(all, text)
			}
		}
	}
	return all
}

func typesOfEvents() (names []string) {
	for _, row := range threads.Types() {
		names = append(names, row.Name)
	}
	return names
}

var (
	jsonMember = regexp.MustCompile(`[{,"]"([a-z_]+)":`)
	memberName = regexp.MustCompile(`^[a-zA-Z_]+$`)
	writesOne  = []string{"text", "nonEmpty", "optional", "flags", "key", "integer", "boolean", "appendField", "appendIntField"}
)

// fieldsExchanged are the members of what servers sign, "event x", and of the bodies of exchanges, "Type.x".
func fieldsExchanged(t *testing.T) []string {
	t.Helper()
	found := map[string]bool{}
	constants := constantsOf(t, "../threads")
	for _, file := range sourcesOf(t, "../threads") {
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && slices.Contains(writesOne, nameOf(call.Fun)) {
				for _, argument := range call.Args {
					if text, ok := textOf(argument, constants); ok && memberName.MatchString(text) {
						found["event "+text] = true
						break
					}
				}
			}
			return true
		})
	}
	for dir, prefix := range map[string]string{"../threads": "event ", "../federation": "frame."} {
		for _, text := range textsOf(t, dir) {
			for _, member := range jsonMember.FindAllStringSubmatch(text, -1) {
				found[prefix+member[1]] = true
			}
		}
	}
	for _, file := range sourcesOf(t, "../federation") {
		ast.Inspect(file, func(n ast.Node) bool {
			if declared, ok := n.(*ast.TypeSpec); ok {
				for _, member := range membersOf(declared) {
					found[declared.Name.Name+"."+member] = true
				}
			}
			return true
		})
	}
	var all []string
	for name := range found {
		all = append(all, name)
	}
	return all
}

// membersOf are the names by which the fields of a type stand in JSON.
func membersOf(declared *ast.TypeSpec) (names []string) {
	of, ok := declared.Type.(*ast.StructType)
	if !ok {
		return nil
	}
	for _, field := range of.Fields.List {
		if field.Tag == nil {
			continue
		}
		tag, _ := strconv.Unquote(field.Tag.Value)
		if name, _, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ","); name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// metricsTold are the metrics that a server has registered, with their labels.
func metricsTold(registry *prometheus.Registry) []string {
	described := make(chan *prometheus.Desc)
	go func() { registry.Describe(described); close(described) }()
	parts := regexp.MustCompile(`fqName: "([^"]*)".*variableLabels: (\{.*\})\}$`)
	library := regexp.MustCompile(`^(go|process|meridian_go_sql)_.*`)
	found := map[string]bool{}
	for d := range described {
		of := parts.FindStringSubmatch(d.String())
		found[strings.TrimSuffix(library.ReplaceAllString(of[1], "${1}_*")+of[2], "{}")] = true
	}
	var all []string
	for name := range found {
		all = append(all, name)
	}
	return all
}

// columnsOf are the columns of all tables, after all migrations, of either database.
func columnsOf(t *testing.T) []string {
	t.Helper()
	found := map[string]bool{}
	for url, query := range map[string]string{
		"sqlite:" + filepath.Join(t.TempDir(), "columns.db"): `SELECT m.name || '.' || c.name FROM sqlite_master m, pragma_table_info(m.name) c
			WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\_%' ESCAPE '\'
			AND m.name NOT IN ('search_data', 'search_idx', 'search_docsize', 'search_config', 'search_word')`,
		pgtest.URL(t): `SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = current_schema()`,
	} {
		s, err := store.Open(t.Context(), store.Options{URL: url, Server: "kobo.example"})
		if err != nil {
			t.Fatal(err)
		}
		for _, db := range s.Databases() {
			rows, err := db.QueryContext(t.Context(), query)
			if err != nil {
				t.Fatal(err)
			}
			for rows.Next() {
				var name string
				if err := rows.Scan(&name); err != nil {
					t.Fatal(err)
				}
				found[name] = true
			}
			if err := rows.Err(); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var all []string
	for name := range found {
		all = append(all, name)
	}
	return all
}

// sourcesOf are the files of a package, tests aside.
func sourcesOf(t *testing.T, dir string) []*ast.File {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(paths) < 5 {
		t.Fatalf("only %v in %s: %v", paths, dir, err)
	}
	var files []*ast.File
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// constantsOf are the texts of a package that have names.
func constantsOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	named := map[string]string{}
	files := sourcesOf(t, dir)
	for _, file := range append(files, files...) { // a second time for those that stand on later ones
		ast.Inspect(file, func(n ast.Node) bool {
			value, ok := n.(*ast.ValueSpec)
			for i := 0; ok && i < len(value.Values); i++ {
				if text, ok := textOf(value.Values[i], named); ok {
					named[value.Names[i].Name] = text
				}
			}
			return true
		})
	}
	return named
}

// textsOf are all texts that stand in the source of a package, named ones put in.
func textsOf(t *testing.T, dir string) (all []string) {
	t.Helper()
	constants := constantsOf(t, dir)
	for _, file := range sourcesOf(t, dir) {
		ast.Inspect(file, func(n ast.Node) bool {
			e, ok := n.(ast.Expr)
			if !ok {
				return true
			}
			text, ok := textOf(e, constants)
			if ok {
				all = append(all, text)
			}
			return !ok
		})
	}
	return all
}

// textOf is what an expression of texts and names of texts comes to.
func textOf(e ast.Expr, named map[string]string) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && e.Kind == token.STRING
	case *ast.Ident:
		text, ok := named[e.Name]
		return text, ok
	case *ast.BinaryExpr:
		left, ok := textOf(e.X, named)
		right, also := textOf(e.Y, named)
		return left + right, ok && also
	}
	return "", false
}

func nameOf(called ast.Expr) string {
	switch called := called.(type) {
	case *ast.Ident:
		return called.Name
	case *ast.SelectorExpr:
		return called.Sel.Name
	}
	return fmt.Sprintf("%T", called)
}
