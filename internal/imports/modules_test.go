package imports

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// chosen are the modules that go.mod requires directly, and those of its tools.
func chosen(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Require []struct {
			Path     string
			Indirect bool
		}
		Tool []struct{ Path string }
	}
	if err := json.Unmarshal(out, &file); err != nil {
		t.Fatal(err)
	}
	var modules []string
	for _, r := range file.Require {
		isTool := slices.ContainsFunc(file.Tool, func(tool struct{ Path string }) bool {
			return tool.Path == r.Path || strings.HasPrefix(tool.Path, r.Path+"/")
		})
		if !r.Indirect || isTool {
			modules = append(modules, r.Path)
		}
	}
	return modules
}

const dependencies = "docs/decisions/0002-dependencies.md"

// listing is what is written of a dependency.
type listing struct {
	licences string
	direct   bool
}

// listings are the rows of both tables, by module. A row without a reason is none.
func listings(t *testing.T) map[string]listing {
	t.Helper()
	text, err := os.ReadFile("../../" + dependencies)
	if err != nil {
		t.Fatal(err)
	}
	direct, indirect, found := strings.Cut(string(text), "These bring along")
	if !found {
		t.Fatalf("%s has no list of what the dependencies bring along", dependencies)
	}
	listed := map[string]listing{}
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (\\S[^|]*) \\| (\\S.*) \\|.*\\|$")
	for i, table := range []string{direct, indirect} {
		for _, r := range row.FindAllStringSubmatch(table, -1) {
			listed[r[1]] = listing{licences: r[2], direct: i == 0}
		}
	}
	return listed
}

func TestEveryDependencyIsListedWithAReason(t *testing.T) {
	modules, listed := chosen(t), listings(t)
	for _, module := range modules {
		if !listed[module].direct {
			t.Errorf("go.mod requires %s: say in %s what it is for", module, dependencies)
		}
	}
	for module, l := range listed {
		if l.direct && !slices.Contains(modules, module) {
			t.Errorf("%s names %s, which go.mod does not require: take the row out", dependencies, module)
		}
	}
}

// built are the modules whose code is in the program, for Linux, and their folders.
func built(t *testing.T) map[string]string {
	t.Helper()
	list := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}", module+"cmd/meridian")
	list.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	dirs := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, dir, _ := strings.Cut(strings.TrimSpace(line), " ")
		if path != "" {
			dirs[path] = dir
		}
	}
	return dirs
}

// licencesIn reads, from the text that a module carries, under which licences it is.
func licencesIn(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "LICENSE*"))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range files {
		if base := filepath.Base(file); base != "LICENSE" && base != "LICENSE.md" && base != "LICENSE.txt" {
			continue // of parts
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(strings.Fields(string(raw)), " ")
		for _, mark := range []struct{ licence, text, without string }{
			{"Apache-2.0", "Apache License", ""},
			{"BSD-2-Clause", "Redistribution and use in source and binary forms", "either the name"},
			{"BSD-3-Clause", "either the name", ""},
			{"MIT", "Permission is hereby granted, free of charge", ""},
			{"MPL-2.0", "Mozilla Public License", ""},
		} {
			if strings.Contains(text, mark.text) && (mark.without == "" || !strings.Contains(text, mark.without)) {
				found = append(found, mark.licence)
			}
		}
	}
	return strings.Join(found, ", ")
}

// T82: what the program is built from is known, with reason and licence.
func TestEveryModuleInTheProgramIsListedWithItsLicence(t *testing.T) {
	modules, listed := built(t), listings(t)
	if len(modules) < 20 {
		t.Fatalf("only %v", modules)
	}
	for module, dir := range modules {
		if l, ok := listed[module]; !ok {
			t.Errorf("the program holds code of %s: say in %s why, and under which licence", module, dependencies)
		} else if real := licencesIn(t, dir); l.licences != real {
			t.Errorf("%s says that %s is under %s; it carries %q", dependencies, module, l.licences, real)
		}
	}
	for module, l := range listed {
		if !l.direct && modules[module] == "" {
			t.Errorf("%s names %s, of which nothing is in the program: take the row out", dependencies, module)
		}
	}
}
