package sim_test

import (
	zipped "archive/zip"
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// upload is a file that somebody tries to make harm with.
type upload struct {
	name, kind string
	content    []byte
	refused    bool   // it is no file to be taken
	shown      string // the media type that it is said to have; "" for application/octet-stream
}

// linked is a zip archive in which a symbolic link leads out of it.
func linked() []byte {
	var out bytes.Buffer
	z := zipped.NewWriter(&out)
	h := &zipped.FileHeader{Name: "../../../../etc/passwd"}
	h.SetMode(fs.ModeSymlink | 0o777)
	if f, err := z.CreateHeader(h); err == nil {
		_, _ = f.Write([]byte("/etc/passwd"))
	}
	_ = z.Close()
	return out.Bytes()
}

var (
	pngBytes  = []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")
	jpegBytes = []byte("\xff\xd8\xff\xe0\x00\x10JFIF")
	page      = []byte("<!DOCTYPE html><script>alert(document.domain)</script>")
	drawing   = []byte(`<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script></svg>`)
	polyglot  = []byte("GIF89a/*\x00\x00*/=1;alert(document.domain);")
)

// contents are files whose bytes are the attack, under harmless names.
func attackingContents(actor string) []upload {
	return []upload{
		{name: "drawing.svg", kind: "image/svg+xml", content: append([]byte(`<?xml version="1.0"?>`), drawing...), shown: "image/svg+xml"},
		{name: "bare.svg", kind: "image/svg+xml", content: drawing, shown: "image/svg+xml"},
		{name: "drawing.png", kind: "image/png", content: drawing},
		{name: "page.png", kind: "image/png", content: page},
		{name: "page.jpg", kind: "image/jpeg", content: page},
		{name: "page.gif", kind: "image/gif", content: page},
		{name: "page.webp", kind: "image/webp", content: page},
		{name: "page.pdf", kind: "application/pdf", content: page},
		{name: "page.mp4", kind: "video/mp4", content: page},
		{name: "page.mp3", kind: "audio/mpeg", content: page},
		{name: "page.txt", kind: "text/plain", content: page},
		{name: "page.html", kind: "text/html", content: page, shown: "text/html"},
		{name: "page.xhtml", kind: "application/xhtml+xml", content: append([]byte(`<?xml version="1.0"?>`), page...), shown: "application/xhtml+xml"},
		{name: "late.html", kind: "image/png", content: append(bytes.Repeat([]byte(" "), 600), page...)},
		{name: "sheet.xml", kind: "text/xml", content: []byte(`<?xml version="1.0"?><?xml-stylesheet href="javascript:alert(1)"?><a/>`), shown: "text/xml"},
		{name: "entity.xml", kind: "application/xml", content: []byte(`<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>`), shown: "application/xml"},
		{name: "script.js", kind: "text/javascript", content: []byte("alert(1)"), shown: "text/javascript"},
		{name: "script.png", kind: "image/png", content: []byte("alert(1)")},
		{name: "polyglot.gif", kind: "image/gif", content: polyglot, shown: "image/gif"},
		{name: "polyglot.js", kind: "text/javascript", content: polyglot},
		{name: "polyglot.html", kind: "text/html", content: append(bytes.Clone(jpegBytes), page...)},
		{name: "form.pdf", kind: "application/pdf", content: []byte("%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>"), shown: "application/pdf"},
		{name: "macro.docm", kind: "application/vnd.ms-word.document.macroenabled.12", content: linked(), shown: "application/vnd.ms-word.document.macroenabled.12"},
		{name: "link.zip", kind: "application/zip", content: linked(), shown: "application/zip"},
		{name: "link.png", kind: "image/png", content: linked()},
		{name: "flash.swf", kind: "application/x-shockwave-flash", content: []byte("CWS\x0d"), shown: "application/x-shockwave-flash"},
		{name: "applet.jar", kind: "application/java-archive", content: linked(), shown: "application/java-archive"},
		{name: "program.exe", kind: "application/octet-stream", content: []byte("MZ\x90\x00")},
		{name: "program.png", kind: "image/png", content: []byte("MZ\x90\x00")},
		{name: "actor.json", kind: "application/activity+json", content: []byte(actor), shown: "application/activity+json"},
		{name: "actor.jsonld", kind: "application/ld+json; profile=\"https://www.w3.org/ns/activitystreams\"", content: []byte(actor), shown: "application/ld+json"},
		{name: "meridian", kind: "application/json", content: []byte(actor), shown: "application/json"},
		{name: "frames.ndjson", kind: "application/x-ndjson", content: []byte(actor + "\n"), shown: "application/x-ndjson"},
		{name: "problem.json", kind: "application/problem+json", content: []byte(`{"status":401}`), shown: "application/problem+json"},
		{name: "worker.webmanifest", kind: "application/manifest+json", content: []byte("{}"), shown: "application/manifest+json"},
		{name: "real.png", kind: "image/png", content: pngBytes, shown: "image/png"},
		{name: "nothing", kind: "", content: []byte{}},
		{name: "form", kind: "multipart/form-data; boundary=x", content: []byte("--x--"), refused: true},
		{name: "type", kind: "text/html\"><script>", content: page, refused: true},
		{name: "type2", kind: strings.Repeat("a", 70) + "/" + strings.Repeat("b", 70), content: page, refused: true},
	}
}

// attackingNames are names that are the attack.
func attackingNames() []upload {
	var all []upload
	for _, name := range []string{
		"", ".", "..", "../../x", "/etc/passwd", `..\..\x`, `C:\x`, "a/b", "nul\x00.png", "line\r\nX-Injected: 1", "tab\tname", "del\x7f",
		"photo\u202egnp.exe", "a\u2066b", "a\u2028b", "invoice.pdf ", " invoice.pdf", "invoice.pdf.", "CON", "con.txt", "LPT1", "com¹.log", "NUL.tar.gz",
		"aux ", strings.Repeat("x", 256), strings.Repeat("ü", 500), "bad \xff utf8", "\ufeffx",
	} {
		all = append(all, upload{name: name, kind: "text/plain", content: []byte("x"), refused: true})
	}
	for _, name := range []string{
		`"quoted".txt`, "semi;colon.txt", "percent%0d%0aX: 1.txt", "<img src=x onerror=alert(1)>.html", "日本語の図面.pdf", "emoji 🌊.txt", strings.Repeat("x", 255),
		"-rf", "$(reboot)", "`id`", "%2e%2e%2fx", "file.txt:stream", "console.log", "..hidden", "name=x'; filename*=UTF-8''y",
	} {
		all = append(all, upload{name: name, kind: "text/plain", content: []byte("x " + name), shown: "text/plain"})
	}
	return all
}

// send uploads a file as its sender declares it.
func (h *victim) send(token string, u upload) (int, []byte) {
	h.t.Helper()
	r, err := http.NewRequest(http.MethodPost, h.url+"/api/v1/files?name="+url.QueryEscape(u.name), bytes.NewReader(u.content))
	if err != nil {
		h.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if u.kind != "" {
		r.Header["Content-Type"] = []string{u.kind}
	}
	answer, err := client.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return answer.StatusCode, raw
}

// tree are the files below the victim's data_dir that are no database.
func (h *victim) tree() (all []string) {
	h.t.Helper()
	root := h.options.Config.DataDir
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && !strings.Contains(e.Name(), "meridian.db") {
			relative, _ := filepath.Rel(root, path)
			all = append(all, relative)
		}
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

// passive types are served as what they are; everything else as octets.
var passive = []string{"image/png", "image/gif", "text/plain; charset=utf-8", "application/zip", "application/octet-stream"}

// T47: 83 uploads that mean harm. What is taken is served as an attachment, unsniffed, sandboxed, from
// the path of files alone, and lies under its digest; no name makes a path.
func TestWhateverIsUploadedIsServedAsAnAttachmentFromThePathOfFilesAlone(t *testing.T) {
	onBoth(t, func(t *testing.T, s *scene) {
		actor := fmt.Sprintf(`{"@context":"https://www.w3.org/ns/activitystreams","endpoints":{},"id":"https://%s/people/x","keys":[{"algorithm":"ed25519","id":%q,"public":%q}],"server":%q,"software":"x","type":"Person","versions":[1]}`,
			s.name, s.mal.keyID(), base64.RawURLEncoding.EncodeToString(s.mal.public()), s.mal.name)
		before := s.tree()
		corpus := append(attackingContents(actor), attackingNames()...)
		taken := map[string]bool{}
		for i, u := range corpus {
			if len(u.content) > 0 && u.name != "meridian" { // equal bytes would be one file
				u.content = fmt.Appendf(bytes.Clone(u.content), " %d", i)
			}
			status, body := s.send(s.ana, u)
			if u.refused {
				if status != http.StatusUnprocessableEntity && status != http.StatusUnsupportedMediaType {
					t.Errorf("%q as %q: %d %s", u.name, u.kind, status, body)
				}
				continue
			}
			var file struct{ Digest, Type, Name string }
			if err := json.Unmarshal(body, &file); err != nil || status != http.StatusCreated || file.Name != u.name {
				t.Errorf("%q as %q: %d %s", u.name, u.kind, status, body)
				continue
			}
			if want := cmp.Or(u.shown, "application/octet-stream"); file.Type != want {
				t.Errorf("%q as %q is said to be %q, want %q", u.name, u.kind, file.Type, want)
			}
			taken[file.Digest] = true
			s.must(s.ana, http.MethodPost, "/threads/"+s.thread+"/messages", map[string]any{"body": "x", "attachments": []any{map[string]string{"digest": file.Digest}}}, nil)
			s.servedSafely(u, file.Digest)
		}
		if len(corpus) < 60 || len(taken) < 30 {
			t.Errorf("%d uploads, %d taken", len(corpus), len(taken))
		}
		s.sound()
		for _, path := range s.tree() {
			parts := strings.Split(path, "/")
			inside := len(parts) == 3 && parts[0] == "files" && len(parts[1]) == 2 && len(parts[2]) == 64
			if !inside && !slices.Contains(before, path) {
				t.Errorf("an upload made %s", path)
			}
		}
		s.noActor(digestOf([]byte(actor)))
	})
}

// servedSafely reads an upload back as its uploader.
func (s *scene) servedSafely(u upload, digest string) {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodGet, s.url+"/api/v1/files/"+digest, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.ana)
	answer, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	h := answer.Header
	disposition, params, parsed := mime.ParseMediaType(h.Get("Content-Disposition"))
	switch {
	case err != nil || answer.StatusCode != http.StatusOK || !bytes.Equal(body, u.content):
		s.t.Errorf("%q: %d, %d bytes, %v", u.name, answer.StatusCode, len(body), err)
	case h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" || h.Get("X-Injected") != "":
		s.t.Errorf("%q: %v", u.name, h)
	case !strings.HasPrefix(h.Get("Content-Security-Policy"), "sandbox; default-src 'none'"):
		s.t.Errorf("%q: Content-Security-Policy %q", u.name, h.Get("Content-Security-Policy"))
	case disposition != "attachment" || parsed != nil || params["filename"] != u.name:
		s.t.Errorf("%q: Content-Disposition %q is %s %v, %v", u.name, h.Get("Content-Disposition"), disposition, params, parsed)
	case !slices.Contains(passive, h.Get("Content-Type")):
		s.t.Errorf("%q as %q is served as %q", u.name, u.kind, h.Get("Content-Type"))
	case h.Get("Access-Control-Allow-Origin") != "":
		s.t.Errorf("%q: other origins may read it", u.name)
	}
	for _, path := range []string{"/" + digest, "/files/" + digest, "/api/v1/" + digest, "/federation/v1/" + digest, "/.well-known/" + digest} {
		answer, err := client.Get(s.url + path)
		if err != nil {
			s.t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			s.t.Errorf("%s answers %d", path, answer.StatusCode)
		}
	}
}

// noActor tries to have an upload taken for a server or a key.
func (s *scene) noActor(digest string) {
	s.t.Helper()
	for _, name := range []string{s.name + "/api/v1/files/" + digest, s.name + "/api/v1/files/" + digest + "?", "http://" + s.name + "/api/v1/files/" + digest} {
		if status, body := s.call(s.ana, http.MethodPost, "/channels/"+s.channel+"/members", map[string]string{"address": "x@" + name}); status < 400 {
			s.t.Errorf("a member at %s: %d %s", name, status, body)
		}
	}
	forged := s.mal.request(s.victim, toDigest, `{"buckets":{}}`, s.url+"/api/v1/files/"+digest+"/keys/0000000000000000", s.now())
	if got := s.mal.send(forged); got.status != http.StatusForbidden && got.status != http.StatusUnauthorized {
		s.t.Errorf("a key in an upload: %d %s", got.status, got.body)
	}
	unread, err := client.Get(s.url + "/api/v1/files/" + digest)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = unread.Body.Close()
	if unread.StatusCode != http.StatusUnauthorized {
		s.t.Errorf("without a token: %d", unread.StatusCode)
	}
}
