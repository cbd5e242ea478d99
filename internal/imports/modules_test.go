package imports

import (
	"encoding/json"
	"os"
	"os/exec"
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

func TestEveryDependencyIsListedWithAReason(t *testing.T) {
	const list = "docs/decisions/0002-dependencies.md"
	text, err := os.ReadFile("../../" + list)
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (\\S.*) \\|.*\\|$").FindAllStringSubmatch(string(text), -1) {
		listed[row[1]] = true
	}
	modules := chosen(t)
	for _, module := range modules {
		if !listed[module] {
			t.Errorf("go.mod requires %s: say in %s what it is for", module, list)
		}
	}
	for module := range listed {
		if !slices.Contains(modules, module) {
			t.Errorf("%s names %s, which go.mod does not require: take the row out", list, module)
		}
	}
}
