package api

import (
	"bytes"
	"html/template"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// docsTemplate shows the OpenAPI document without a script and without
// anything from elsewhere.
const docsTemplate = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}} client interface</title>
<style>
body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;padding:1rem;max-width:60rem}
code,pre{font-family:ui-monospace,monospace;font-size:.9em}
section{border-top:1px solid #8886;padding:.5rem 0}
h2{margin:2rem 0 .5rem}h3{font-size:1rem;margin:.5rem 0}
.m{display:inline-block;min-width:4.5rem;font-weight:bold}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0}
summary{cursor:pointer}
@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}a{color:#8cf}}
</style></head><body>
<h1>{{.Title}} <small>{{.Version}}</small></h1>
<p>{{.Description}}</p>
<p>The whole of it for programs: <a href="openapi.json">openapi.json</a> (OpenAPI 3.1).</p>
{{range .Tags}}<h2 id="{{.Name}}">{{.Name}}</h2>
{{range .Operations}}<section id="{{.ID}}"><h3><span class="m">{{.Method}}</span> <code>{{.Path}}</code></h3>
<p>{{.Summary}}</p>{{with .Description}}<p>{{.}}</p>{{end}}
<details><summary>details</summary><table>
{{range .Fields}}<tr><td><code>{{.Name}}</code></td><td>{{.Where}}</td><td>{{.Type}}</td><td>{{.Doc}}</td></tr>
{{end}}</table></details></section>
{{end}}{{end}}</body></html>`

type docsOperation struct {
	ID, Method, Path, Summary, Description string
	Fields                                 []docsField
}

type docsField struct{ Name, Where, Type, Doc string }

type docsTag struct {
	Name       string
	Operations []docsOperation
}

// docsPage is the page that shows the document.
func docsPage(doc *huma.OpenAPI) ([]byte, error) {
	page, err := template.New("docs").Parse(docsTemplate)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = page.Execute(&out, struct {
		Title, Version, Description string
		Tags                        []docsTag
	}{doc.Info.Title, doc.Info.Version, doc.Info.Description, docsTags(doc)})
	return out.Bytes(), err
}

func docsTags(doc *huma.OpenAPI) []docsTag {
	var tags []docsTag
	for _, path := range sortedPaths(doc) {
		item := doc.Paths[path]
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			at := slices.IndexFunc(tags, func(t docsTag) bool { return t.Name == op.Tags[0] })
			if at < 0 {
				tags = append(tags, docsTag{Name: op.Tags[0]})
				at = len(tags) - 1
			}
			tags[at].Operations = append(tags[at].Operations, docsOperation{
				ID: op.OperationID, Method: op.Method, Path: path, Summary: op.Summary, Description: op.Description,
				Fields: docsFields(doc, op),
			})
		}
	}
	return tags
}

func sortedPaths(doc *huma.OpenAPI) []string {
	paths := make([]string, 0, len(doc.Paths))
	for path := range doc.Paths {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

func docsFields(doc *huma.OpenAPI, op *huma.Operation) []docsField {
	var fields []docsField
	for _, p := range op.Parameters {
		fields = append(fields, docsField{p.Name, p.In, docsType(p.Schema), p.Description})
	}
	if op.RequestBody != nil {
		fields = append(fields, docsBody(doc, "body", op.RequestBody.Content["application/json"])...)
	}
	statuses := make([]string, 0, len(op.Responses))
	for status := range op.Responses {
		statuses = append(statuses, status)
	}
	slices.Sort(statuses)
	for _, status := range statuses {
		if status != "default" {
			fields = append(fields, docsBody(doc, status, op.Responses[status].Content["application/json"])...)
		}
	}
	return fields
}

func docsBody(doc *huma.OpenAPI, where string, media *huma.MediaType) []docsField {
	if media == nil || media.Schema == nil {
		return nil
	}
	s := media.Schema
	if s.Ref != "" {
		s = doc.Components.Schemas.SchemaFromRef(s.Ref)
	}
	if s == nil || len(s.Properties) == 0 {
		return []docsField{{"", where, docsType(media.Schema), ""}}
	}
	names := make([]string, 0, len(s.Properties))
	for name := range s.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	fields := make([]docsField, len(names))
	for i, name := range names {
		p := s.Properties[name]
		fields[i] = docsField{name, where, docsType(p), p.Description}
		if slices.Contains(s.Required, name) {
			fields[i].Type += ", required"
		}
	}
	return fields
}

func docsType(s *huma.Schema) string {
	switch {
	case s == nil:
		return ""
	case s.Ref != "":
		return s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]
	case s.Items != nil:
		return "list of " + docsType(s.Items)
	case s.Format != "":
		return s.Format
	}
	return s.Type
}
