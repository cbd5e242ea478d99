package main

import (
	"encoding/json"
	"errors"
	"io"
	"runtime/debug"
)

// bill says what a program was built from, in the form of CycloneDX 1.5. It is the same for the same program.
type bill struct {
	Format     string      `json:"bomFormat"`
	Spec       string      `json:"specVersion"`
	Version    int         `json:"version"`
	Metadata   billed      `json:"metadata"`
	Components []component `json:"components"`
}

type billed struct {
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	URL        string     `json:"purl,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// writeBill writes the bill of this program: each module with the sum by which Go's checksum database knows it.
func writeBill(w io.Writer) error {
	built, ok := debug.ReadBuildInfo()
	if !ok {
		return errors.New("this program does not know what it was built from: it was not built from a module")
	}
	b := bill{Format: "CycloneDX", Spec: "1.5", Version: 1, Metadata: billed{component{Type: "application", Name: "meridian", Version: version()}}}
	b.Components = append(b.Components, component{Type: "platform", Name: "go", Version: built.GoVersion})
	for _, m := range built.Deps {
		for m.Replace != nil {
			m = m.Replace
		}
		b.Components = append(b.Components, component{
			Type: "library", Name: m.Path, Version: m.Version, URL: "pkg:golang/" + m.Path + "@" + m.Version,
			Properties: []property{{"go:sum", m.Sum}},
		})
	}
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(b)
}
