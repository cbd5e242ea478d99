package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

const prefix = "MERIDIAN_"

// maxFile bounds the configuration file, in bytes.
const maxFile = 1 << 20

// reader fills a Config from several sources and remembers where each setting came from.
type reader struct {
	fields map[string]field
	where  map[string]string
}

func newReader(c *Config) *reader {
	r := &reader{fields: map[string]field{}, where: map[string]string{}}
	for _, s := range c.settings() {
		r.fields[s.key] = s.field
	}
	return r
}

// located puts the place a setting was read at before what is wrong with it.
func (r *reader) located(f *fault) error {
	if at := r.where[f.key]; at != "" {
		return fmt.Errorf("%s: %w", at, f)
	}
	return f
}

func (r *reader) set(key, at string, values []string) error {
	r.where[key] = at
	if slices.Contains(values, "") {
		return r.located(faultf(key, "empty; give a value or leave it out"))
	}
	if err := r.fields[key].set(values); err != nil {
		return r.located(faultf(key, "%s", err))
	}
	return nil
}

func (r *reader) file(path string) error {
	if path == "" {
		return nil
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: no such configuration file; name it with --config, or write one with meridian init", path)
	}
	if err == nil && info.Size() > maxFile {
		return fmt.Errorf("%s: too large for a configuration file; keep it under 1 MiB", path)
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return fmt.Errorf("read configuration: %w; let the server's user read it", err)
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return syntaxError(path, err)
	}
	if len(file.Docs) > 1 {
		return fmt.Errorf("%s: has several YAML documents; keep one", path)
	}
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType {
			continue
		}
		if err := r.mapping(path, "", doc.Body); err != nil {
			return err
		}
	}
	return nil
}

// syntaxError leaves out the source lines that the YAML package would print: they may hold a password.
func syntaxError(path string, err error) error {
	var at yaml.Error
	if !errors.As(err, &at) {
		return fmt.Errorf("%s: not YAML; compare it with what meridian init writes", path)
	}
	line := 0
	if token := at.GetToken(); token != nil && token.Position != nil {
		line = token.Position.Line
	}
	return fmt.Errorf("%s:%d: not YAML: %s; compare it with what meridian init writes", path, line, at.GetMessage())
}

// mapping reads one level of the file; parent is "" or ends in a dot.
func (r *reader) mapping(path, parent string, node ast.Node) error {
	level, ok := node.(ast.MapNode)
	switch {
	case node.Type() == ast.NullType: // every key of the section is commented out
		return nil
	case !ok:
		return fmt.Errorf("%s:%d: %smust hold keys and values", path, line(node), label(parent))
	}
	for it := level.MapRange(); it.Next(); {
		key := parent + it.Key().GetToken().Value
		at := fmt.Sprintf("%s:%d", path, line(it.Key()))
		_, known := r.fields[key]
		_, seen := r.where[key]
		var err error
		switch {
		case seen:
			err = fmt.Errorf("%s: %s: given twice; keep one", at, key)
		case known:
			err = r.value(key, at, it.Value())
		case r.section(key):
			err = r.mapping(path, key+".", it.Value())
		default:
			err = fmt.Errorf("%s: %s: unknown setting%s", at, quotedKey(key), r.suggestion(key))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) value(key, at string, node ast.Node) error {
	r.where[key] = at
	sequence, isList := node.(*ast.SequenceNode)
	if isList != r.fields[key].list {
		want := "one value"
		if !isList {
			want = "a list, [one, another]"
		}
		return r.located(faultf(key, "must be %s", want))
	}
	items := []ast.Node{node}
	if isList {
		items = sequence.Values
	}
	var values []string
	for _, item := range items {
		v, ok := scalar(item)
		if !ok {
			return r.located(faultf(key, "must be plain text or a number, without anchors, tags or nesting"))
		}
		values = append(values, v)
	}
	return r.set(key, at, values)
}

// scalar is the text of a plain value; a null is empty text.
func scalar(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.NullNode:
		return "", true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return node.GetToken().Value, true
	}
	return "", false
}

func (r *reader) environment(environ []string) error {
	keys := map[string]string{}
	for key := range r.fields {
		keys[variable(key)] = key
	}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		key, ok := keys[name]
		if !ok {
			return fmt.Errorf("environment %s: unknown setting%s", quotedKey(name), nearest(name, slices.Collect(maps.Keys(keys))))
		}
		if err := r.set(key, "environment "+name, r.split(key, value)); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) flags(flags map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(flags)) {
		if _, ok := r.fields[key]; !ok {
			return fmt.Errorf("flag %s: unknown setting%s", quotedKey(key), r.suggestion(key))
		}
		if err := r.set(key, "flag", r.split(key, flags[key])); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) split(key, value string) []string {
	if !r.fields[key].list {
		return []string{value}
	}
	values := strings.Split(value, ",")
	for i := range values {
		values[i] = strings.TrimSpace(values[i])
	}
	return values
}

func (r *reader) section(key string) bool {
	for known := range r.fields {
		if strings.HasPrefix(known, key+".") {
			return true
		}
	}
	return false
}

func (r *reader) suggestion(key string) string {
	return nearest(key, slices.Collect(maps.Keys(r.fields)))
}

func line(node ast.Node) int {
	if node == nil || node.GetToken() == nil {
		return 0
	}
	return node.GetToken().Position.Line
}

func label(parent string) string {
	if parent == "" {
		return ""
	}
	return strings.TrimSuffix(parent, ".") + ": "
}

// quotedKey shows a key nobody knows: bare when it is a plain word, so that it reads like the others.
func quotedKey(key string) string {
	if len(key) > 80 || strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return quoted(key)
	}
	return key
}
