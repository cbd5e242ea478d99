package sim_test

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// marked stands in everything that people write in these tests.
const marked = "canary"

// markup are texts with which people try to have a browser run something, or ask somebody for something: each is
// told apart by its number, at the address that it would ask.
func markup(canary string) []string {
	call := func(n int) string { return fmt.Sprintf("fetch('%s/%d')", canary, n) }
	var all []string
	add := func(format string) {
		n := len(all)
		text := strings.NewReplacer("CALL", call(n), "URL", fmt.Sprintf("%s/%d", canary, n)).Replace(format)
		all = append(all, text)
	}
	for _, tag := range []string{"img src=x", "svg", "body", "video src=x", "audio src=x", "iframe", "input autofocus", "select autofocus", "textarea autofocus", "details open", "marquee", "object data=x", "embed src=x", "math", "style", "a href=# tabindex=1 autofocus"} {
		for _, event := range []string{"onerror", "onload", "onfocus", "ontoggle", "onpointerrawupdate", "onanimationstart", "onbegin", "onstart"} {
			for _, form := range []string{`<%s %s="CALL">`, `<%s %s=CALL>`, "<%s\n%s\n=\n'CALL' >", `<%s/%s=CALL//`, `"><%s %s=CALL>`, `'--></title><%s %s=CALL>`, `<%s %s="CALL"`} {
				add(fmt.Sprintf(form, tag, event))
			}
		}
	}
	schemes := []string{"javascript:CALL", "JaVaScRiPt:CALL", "java\tscript:CALL", "java&#x0A;script:CALL", "&#106;avascript:CALL", "vbscript:CALL", "data:text/html,<script>CALL</script>", "data:image/svg+xml,<svg onload=CALL>", "\x01javascript:CALL", "//example.org@URL", "URL"}
	for _, scheme := range schemes {
		for _, form := range []string{
			"[x](%s)", "[x](<%s>)", "![x](%s)", "[x][1]\n\n[1]: %s", "<%s>", "[https://bank.example](%s)", `<a href="%s">https://bank.example</a>`, `<img src="%s">`, `<iframe src="%s">`,
			`<form action="%s"><button autofocus>`, `<object data="%s">`, `<embed src="%s">`, `<base href="%s">`, `<link rel=stylesheet href="%s">`, `<meta http-equiv=refresh content="0;url=%s">`,
			`<svg><use href="%s"/></svg>`, `<svg><a xlink:href="%s"><text>x`, `<math href="%s">x`, `<video poster="%s">`, `<style>@import '%s';</style>`, `<div style="background:url(%s)">`, `<body background="%s">`,
		} {
			add(fmt.Sprintf(form, scheme))
		}
	}
	for _, form := range []string{
		"<script>CALL</script>", "<script src=URL></script>", "</script><script>CALL</script>", "<scr<script>ipt>CALL</scr</script>ipt>", "<SCRIPT\x0c>CALL</SCRIPT>", "<script>CALL//", "<<script>CALL</script>",
		"</pre><script>CALL</script>", "</textarea><script>CALL</script>", "</style><script>CALL</script>", "</title><script>CALL</script>", "</noscript><script>CALL</script>", "<!--><script>CALL</script>-->", "<![CDATA[<script>CALL</script>]]>",
		"<svg><script>CALL</script></svg>", "<svg><script href=URL /></svg>", "<svg><animate onbegin=CALL attributeName=x dur=1s>", "<svg><set attributeName=href to=javascript:CALL>", "<math><mtext><table><mglyph><style><img src=x onerror=CALL>",
		"<noscript><p title=\"</noscript><img src=x onerror=CALL>\">", "<template><script>CALL</script></template>", "<iframe srcdoc=\"<script>CALL</script>\">", "<?xml-stylesheet href=\"URL\"?>", "<!DOCTYPE x SYSTEM \"URL\"><x/>", "<x:script xmlns:x=\"http://www.w3.org/1999/xhtml\">CALL</x:script>",
		"+ADw-script+AD4-CALL+ADw-/script+AD4-", "\ufeff<script>CALL</script>", "\u2028</script><script>CALL</script>", "＜script＞CALL＜/script＞", "%3Cscript%3ECALL%3C/script%3E", "&lt;script&gt;CALL&lt;/script&gt;", "\\u003cscript\\u003eCALL\\u003c/script\\u003e",
		"```html\n<script>CALL</script>\n```", "`<img src=x onerror=CALL>`", "> <script>CALL</script>", "- <img src=x onerror=CALL>", "| a |\n|---|\n| <svg onload=CALL> |", "[x]: URL '<script>CALL</script>'", "{{constructor.constructor('CALL')()}}", "${CALL}", "<%= CALL %>", "#{CALL}",
	} {
		for _, around := range []string{"%s", "a %s b", "\"%s\"", "'%s'", "--> %s <!--", "]]> %s", "*/ %s /*", "\n\n%s\n\n", "<div>%s", "<b title=\"%s\">"} {
			add(strings.Replace(around, "%s", form, 1)) // in what a page might put around it
		}
	}
	return all
}

// written by people: the corpus, in every place of the client interface that takes their text.
func (s *scene) writeMarkup(canary string) (cases int) {
	s.t.Helper()
	all := markup(canary)
	short := func(i, most int) string {
		text := strings.Map(func(r rune) rune {
			if r < ' ' {
				return ' '
			}
			return r
		}, marked+" "+all[i*37%len(all)])
		return strings.ToValidUTF8(text[:min(len(text), most)], "")
	}
	for part := range slices.Chunk(all, 40) {
		s.must(s.ana, http.MethodPost, "/threads/"+s.thread+"/messages", map[string]any{"body": marked + "\n\n" + strings.Join(part, "\n\n")}, nil)
	}
	for i := range 20 {
		var thread shown
		s.must(s.ana, http.MethodPost, "/channels/"+s.channel+"/threads", map[string]any{
			"title": short(i, 100), "objective": short(i+100, 200), "labels": []string{short(i+200, 60)}, "body": short(i+300, 500),
		}, &thread)
		s.must(s.ana, http.MethodPost, "/channels", map[string]string{"name": short(i+400, 100), "purpose": short(i+500, 200)}, nil)
		name := strings.Map(func(r rune) rune {
			if strings.ContainsRune("/\\", r) {
				return '_'
			}
			return r
		}, short(i+600, 100))
		status, raw := s.send(s.ana, upload{name: strings.TrimRight(name, " .") + ".html", kind: "text/html", content: []byte(marked + all[i*41%len(all)])})
		var file struct{ Digest string }
		if err := json.Unmarshal(raw, &file); err != nil || status != http.StatusCreated {
			s.t.Fatalf("%q: %d %s", name, status, raw)
		}
		s.must(s.ana, http.MethodPost, "/threads/"+s.thread+"/messages", map[string]any{
			"body": marked, "attachments": []any{map[string]string{"digest": file.Digest, "summary": short(i+700, 200)}},
		}, nil)
		s.must(s.ana, http.MethodPut, "/messages/"+s.message+"/reactions/"+url.PathEscape(strings.ReplaceAll(short(i+800, 60), " ", "")), nil, nil)
	}
	s.must(s.ana, http.MethodPatch, "/me", map[string]string{"name": marked + " <img src=x onerror=alert(1)>"}, nil)
	return len(all) + 20*10 + 1
}

// pages are where a browser could be led by somebody who is signed in: every path that can be read, the lists in full,
// each file, and paths and queries that are made of markup themselves.
func (s *scene) pages(canary string) []string {
	s.t.Helper()
	ids := s.ids()
	var pages []string
	for _, r := range s.routes() {
		if r.method != http.MethodGet || r.id == "stream" {
			continue
		}
		pages = append(pages, r.fill(ids, ""))
		if slices.Contains(r.parameters, "limit") {
			pages = append(pages, r.fill(ids, "")+"?limit=200")
		}
	}
	pages = append(pages, "/api/v1/search?limit=200&q="+marked, "/")
	var list struct {
		Items []struct {
			Attachments []struct{ Digest string }
		}
	}
	s.must(s.ana, http.MethodGet, "/threads/"+s.thread+"/messages?limit=200", nil, &list)
	for _, m := range list.Items {
		for _, f := range m.Attachments {
			pages = append(pages, "/api/v1/files/"+f.Digest)
		}
	}
	for i, text := range markup(canary) {
		if i%60 == 0 {
			pages = append(pages, "/"+url.PathEscape(text), "/api/v1/"+url.PathEscape(text), "/api/v1/channels/"+url.PathEscape(text), "/federation/v1/"+url.PathEscape(text),
				"/api/v1/search?q="+url.QueryEscape(text), "/api/v1/channels?cursor="+url.QueryEscape(text)[:min(400, len(url.QueryEscape(text)))]+"&"+url.QueryEscape(text)+"=1")
		}
	}
	return pages
}

// T50: 1,500 cases of markup in all that people write, and in paths and queries. Whatever gives it back says that it is
// JSON, or a file to be saved, may not be taken for anything else, and may do nothing in a browser.
func TestNoAnswerWithPeoplesTextIsADocument(t *testing.T) {
	s := newScene(t, "")
	canary := "http://127.0.0.1:9/" + marked
	cases, given := s.writeMarkup(canary), map[string]bool{}
	for _, page := range s.pages(canary) {
		if s.inert(page) {
			given[strings.SplitN(page, "?", 2)[0]] = true
		}
	}
	if cases < 1500 || len(given) < 25 {
		t.Errorf("%d cases, given back by %d paths", cases, len(given))
	}
}

// inert holds an answer to what keeps a browser from taking it for a document of this server's, and reports whether
// it has people's text.
func (s *scene) inert(page string) bool {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodGet, s.url+page, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.ana)
	answer, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	h := answer.Header
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	people := strings.Contains(string(raw), marked)
	disposition, _, _ := mime.ParseMediaType(h.Get("Content-Disposition"))
	policy := h.Get("Content-Security-Policy")
	switch {
	case h.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(policy, "default-src 'none'"):
		s.t.Errorf("%s: %v", page, h)
	case kind == "text/html" && (people || strings.Contains(policy, "script")):
		s.t.Errorf("%s is a document with people's text, or may run something: %s", page, policy)
	case kind == "text/html" && (strings.HasSuffix(page, "/docs") || page == "/"):
	case !strings.Contains(policy, "sandbox"):
		s.t.Errorf("%s may be a document: %s", page, policy)
	case kind == "application/json", kind == "application/problem+json", kind == "text/plain":
	case disposition != "attachment":
		s.t.Errorf("%s (%d) is %q, %v: %.100s", page, answer.StatusCode, h.Get("Content-Type"), err, raw)
	}
	return people
}
