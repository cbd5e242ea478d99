package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// answered is an answer to a transfer of bytes.
type answered struct {
	status int
	header http.Header
	body   []byte
}

func (a answered) code(t *testing.T) string {
	t.Helper()
	var p struct{ Code string }
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatalf("%v in %.200q", err, a.body)
	}
	return p.Code
}

// transfer does a request whose body, or whose answer, is a file.
func (at *site) transfer(token, method, path string, header map[string]string, body io.Reader) answered {
	at.t.Helper()
	r, err := http.NewRequest(method, at.url+"/api/v1"+path, body)
	if err != nil {
		at.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	for name, value := range header {
		r.Header.Set(name, value)
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		at.t.Fatal(err)
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err != nil {
		at.t.Fatal(err)
	}
	return answered{answer.StatusCode, answer.Header, got}
}

func (at *site) upload(token, name, kind string, content []byte) answered {
	at.t.Helper()
	return at.transfer(token, http.MethodPost, "/files?name="+url.QueryEscape(name), map[string]string{"Content-Type": kind}, bytes.NewReader(content))
}

func (at *site) download(token, digest string) answered {
	at.t.Helper()
	return at.transfer(token, http.MethodGet, "/files/"+digest, nil, nil)
}

// attached is a file of a message as clients see it.
type attached struct {
	Digest, Type, Name, Summary, State string
	Size                               int64
}

// post writes a message with files and returns its id.
func (at *site) post(token, thread string, files ...map[string]string) string {
	at.t.Helper()
	var made item
	at.must(token, http.MethodPost, "/threads/"+thread+"/messages", map[string]any{"body": "see the files", "attachments": files}, &made)
	return made.ID
}

// files are those of a message; nil while the message is not there.
func (at *site) files(token, message string) []attached {
	at.t.Helper()
	if at.status(at.url+"/api/v1/messages/"+message, token) != http.StatusOK {
		return nil
	}
	var m struct{ Attachments []attached }
	at.must(token, http.MethodGet, "/messages/"+message, nil, &m)
	return m.Attachments
}

// thread begins one in a channel.
func (at *site) thread(token, channel string) string {
	at.t.Helper()
	var made item
	at.must(token, http.MethodPost, "/channels/"+channel+"/threads", map[string]string{"title": "Files"}, &made)
	return made.ID
}

func (at *site) eventuallyHeld(token, message string) {
	at.t.Helper()
	at.eventually("held", func() bool {
		found := at.files(token, message)
		for _, f := range found {
			if f.State != "held" {
				return false
			}
		}
		return len(found) > 0
	})
}

// onDisk are the files in the site's directory, those on their way in excepted.
func (at *site) onDisk() []string {
	at.t.Helper()
	var found []string
	root := FilesDir(at.options.Config.DataDir)
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && filepath.Base(filepath.Dir(path)) != "tmp" {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		at.t.Fatal(err)
	}
	return found
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// noise is a content that nothing else has, of that many bytes.
func noise(seed string, n int) []byte {
	out := make([]byte, 0, n+sha256.Size)
	for i := 0; len(out) < n; i++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", seed, i))
		out = append(out, sum[:]...)
	}
	return out[:n]
}

// onBothSites runs a test with two partners, on SQLite and each kind of database.
func onBothSites(t *testing.T, test func(t *testing.T, a, b *site)) {
	for name, database := range databases(t) {
		t.Run(name, func(t *testing.T) {
			a, b := newSite(t, ""), newSite(t, database())
			a.start()
			b.start()
			befriend(a, b)
			test(t, a, b)
		})
	}
}

func TestAFileIsAtEveryMemberAndReadByWhoMayReadItsMessage(t *testing.T) {
	onBothSites(t, func(t *testing.T, a, b *site) {
		ana, ben, bob := a.person("ana"), b.person("ben"), b.person("bob")
		channel := share(a, ana, b, ben, "ben@"+b.name)
		thread := a.thread(ana, channel)
		content := noise("plan", 9<<20) // more than two pieces
		up := a.upload(ana, "Plan für Süd.pdf", "application/octet-stream", content)
		var file attached
		if err := json.Unmarshal(up.body, &file); err != nil || up.status != http.StatusCreated || file.Digest != digestOf(content) || file.Size != 9<<20 {
			t.Fatalf("uploaded: %d %s, %v", up.status, up.body, err)
		}
		if got := a.download(ana, file.Digest); got.status != http.StatusNotFound {
			t.Errorf("before a message names it: %d", got.status)
		}
		message := a.post(ana, thread, map[string]string{"digest": file.Digest, "summary": "floor plan of the south wing"})
		want := attached{Digest: file.Digest, Type: "application/octet-stream", Name: "Plan für Süd.pdf", Summary: "floor plan of the south wing", State: "held", Size: 9 << 20}
		b.eventuallyHeld(ben, message)
		for at, token := range map[*site]string{a: ana, b: ben} {
			if got := at.files(token, message); len(got) != 1 || got[0] != want {
				t.Errorf("shown as %+v", got)
			}
			if got := at.download(token, file.Digest); got.status != http.StatusOK || !bytes.Equal(got.body, content) {
				t.Errorf("read: %d, %d bytes", got.status, len(got.body))
			}
			if n := len(at.onDisk()); n != 1 {
				t.Errorf("%d files on disk", n)
			}
			var found struct {
				Items []struct{ Message item }
			}
			at.must(token, http.MethodGet, "/search?q="+url.QueryEscape("has:file süd wing"), nil, &found)
			if len(found.Items) != 1 || found.Items[0].Message.ID != message {
				t.Errorf("found %+v", found)
			}
		}
		if got := b.download(bob, file.Digest); got.status != http.StatusNotFound {
			t.Errorf("who is no member: %d", got.status)
		}
		a.stop() // the partner is gone for good
		if got := b.download(ben, file.Digest); got.status != http.StatusOK || digestOf(got.body) != file.Digest {
			t.Errorf("once the partner is gone: %d", got.status)
		}
	})
}

func TestErasingAMessageTakesTheFilesThatNothingElseNames(t *testing.T) {
	onBothSites(t, func(t *testing.T, a, b *site) {
		ana, ben := a.person("ana"), b.person("ben")
		thread := a.thread(ana, share(a, ana, b, ben, "ben@"+b.name))
		for _, name := range []string{"one", "two"} {
			a.upload(ana, name, "", []byte(name))
		}
		one, two := map[string]string{"digest": digestOf([]byte("one"))}, map[string]string{"digest": digestOf([]byte("two"))}
		both, again := a.post(ana, thread, one, two), a.post(ana, thread, two)
		b.eventuallyHeld(ben, both)
		b.eventuallyHeld(ben, again)
		a.must(ana, http.MethodDelete, "/messages/"+both, nil, nil)
		for at, token := range map[*site]string{a: ana, b: ben} {
			at.eventually("without the file of the erased message", func() bool {
				return len(at.onDisk()) == 1 && at.download(token, one["digest"]).status == http.StatusNotFound
			})
			if got := at.download(token, two["digest"]); got.status != http.StatusOK || string(got.body) != "two" {
				t.Errorf("the file of the other message: %d", got.status)
			}
		}
		if status := a.call(ana, http.MethodPost, "/threads/"+thread+"/messages", map[string]any{"body": "again", "attachments": []any{one}}, nil); status != http.StatusUnprocessableEntity {
			t.Errorf("attached after it went: %d", status)
		}
	})
}

func TestRangesAndConditionsOfFilesAreUnderstood(t *testing.T) {
	at := newSite(t, "")
	at.start()
	token, thread := conversation(at)
	content := noise("ranges", 1000)
	digest := digestOf(content)
	at.upload(token, "n", "image/png", content)
	at.post(token, thread, map[string]string{"digest": digest})
	for _, c := range []struct {
		header, value string
		status        int
		want          []byte
	}{
		{"Range", "bytes=0-9", 206, content[:10]},
		{"Range", "bytes=990-", 206, content[990:]},
		{"Range", "bytes=-5", 206, content[995:]},
		{"If-None-Match", `"` + digest + `"`, 304, nil},
		{"If-Range", `"other"`, 200, content},
	} {
		got := at.transfer(token, http.MethodGet, "/files/"+digest, map[string]string{c.header: c.value}, nil)
		if got.status != c.status || !bytes.Equal(got.body, c.want) || got.header.Get("ETag") != `"`+digest+`"` {
			t.Errorf("%s %s: %d, %d bytes, ETag %s", c.header, c.value, got.status, len(got.body), got.header.Get("ETag"))
		}
	}
	beyond := at.transfer(token, http.MethodGet, "/files/"+digest, map[string]string{"Range": "bytes=1000-"}, nil)
	if beyond.status != 416 || beyond.code(t) != "range" || beyond.header.Get("Content-Range") != "bytes */1000" {
		t.Errorf("beyond the end: %d %s %s", beyond.status, beyond.header.Get("Content-Range"), beyond.body)
	}
	if head := at.transfer(token, http.MethodHead, "/files/"+digest, nil, nil); head.status != 200 || head.header.Get("Content-Length") != "1000" {
		t.Errorf("HEAD: %d %v", head.status, head.header)
	}
}

func TestALostOrSpoiltFileIsFetchedAgain(t *testing.T) {
	onBothSites(t, func(t *testing.T, a, b *site) {
		ana, ben := a.person("ana"), b.person("ben")
		thread := a.thread(ana, share(a, ana, b, ben, "ben@"+b.name))
		a.upload(ana, "n", "", []byte("as it was"))
		digest := digestOf([]byte("as it was"))
		message := a.post(ana, thread, map[string]string{"digest": digest})
		b.eventuallyHeld(ben, message)
		if err := os.Remove(b.onDisk()[0]); err != nil {
			t.Fatal(err)
		}
		if got := b.download(ben, digest); got.status != http.StatusServiceUnavailable || got.code(t) != "file_fetching" || got.header.Get("Retry-After") == "" {
			t.Errorf("lost: %d %s", got.status, got.body)
		}
		b.eventually("fetched again", func() bool { return b.download(ben, digest).status == http.StatusOK })
		if err := os.WriteFile(a.onDisk()[0], []byte("as it vas"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := a.running.files.scrubStep(t.Context(), a.options.Clock()); err != nil {
			t.Fatal(err)
		}
		a.eventually("repaired", func() bool { return string(a.download(ana, digest).body) == "as it was" })
	})
}

func TestUploadsKeepToTheirBounds(t *testing.T) {
	at := newSite(t, "")
	at.options.Config.Files.MaxBytes = 1000
	at.options.Config.Files.PersonQuota = 2500
	at.options.Config.Files.Quota = 4000
	at.start()
	ana, ben := at.person("ana"), at.person("ben")
	if got := at.upload(ana, "n", "", noise("large", 1001)); got.status != http.StatusRequestEntityTooLarge || got.code(t) != "too_large" {
		t.Errorf("too large: %d %s", got.status, got.body)
	}
	streamed := at.transfer(ana, http.MethodPost, "/files?name=n", nil, io.MultiReader(bytes.NewReader(noise("chunked", 1001)))) // without a length
	if streamed.status != http.StatusRequestEntityTooLarge || streamed.code(t) != "too_large" {
		t.Errorf("too large, chunked: %d %s", streamed.status, streamed.body)
	}
	for i, want := range []int{201, 201, 413} {
		if got := at.upload(ana, "n", "", noise(fmt.Sprint(i), 1000)); got.status != want {
			t.Errorf("upload %d: %d %s", i, got.status, got.body)
		}
	}
	if got := at.upload(ana, "n", "", noise("1", 1000)); got.status != http.StatusCreated {
		t.Errorf("one's own again: %d %s", got.status, got.body)
	}
	for i, want := range []int{201, 201} { // which make four of four thousand
		if got := at.upload(ben, "n", "", noise(fmt.Sprint("ben", i), 1000)); got.status != want {
			t.Errorf("another person's %d: %d %s", i, got.status, got.body)
		}
	}
	for _, content := range []string{"0", "nobody has it"} { // what is here counts like what is not
		if got := at.upload(at.person("eva-"+content[:1]), "n", "", noise(content, 1000)); got.status != 503 || got.code(t) != "storage_full" {
			t.Errorf("beyond files.quota: %d %s", got.status, got.body)
		}
	}
	if left, err := os.ReadDir(filepath.Join(FilesDir(at.options.Config.DataDir), "tmp")); err != nil || len(left) > 0 {
		t.Errorf("left of what was refused: %v, %v", left, err)
	}
}

// T79: the answer, and what is done for it, is the same whether or not the bytes are here.
func TestUploadingAFileThatIsHereAlreadyTellsNothing(t *testing.T) {
	at := newSite(t, "")
	at.start()
	ana, thread := conversation(at)
	eve := at.person("eve")
	secret, fresh := noise("secret", 5000), noise("fresh", 5000)
	at.upload(ana, "s", "", secret)
	at.post(ana, thread, map[string]string{"digest": digestOf(secret)})
	var own item
	at.must(eve, http.MethodPost, "/channels", map[string]string{"name": "Eve's"}, &own)
	hers := at.thread(eve, own.ID)
	for _, digest := range []string{digestOf(secret), digestOf(fresh)} {
		here := at.transfer(eve, http.MethodGet, "/files/"+digest, nil, nil)
		if here.status != http.StatusNotFound || here.code(t) != "not_found" {
			t.Errorf("read by its digest: %d %s", here.status, here.body)
		}
		status := at.call(eve, http.MethodPost, "/threads/"+hers+"/messages", map[string]any{"body": "x", "attachments": []any{map[string]string{"digest": digest}}}, nil)
		if status != http.StatusUnprocessableEntity {
			t.Errorf("attached by its digest: %d", status)
		}
	}
	known, unknown := at.upload(eve, "n", "text/plain", secret), at.upload(eve, "n", "text/plain", fresh)
	same := strings.ReplaceAll(string(known.body), digestOf(secret), digestOf(fresh))
	if known.status != unknown.status || same != string(unknown.body) {
		t.Errorf("%d %s and %d %s", known.status, known.body, unknown.status, unknown.body)
	}
	for _, answer := range []answered{known, unknown} {
		for _, name := range []string{"Date", "X-Request-Id"} {
			answer.header.Del(name)
		}
	}
	if fmt.Sprint(known.header) != fmt.Sprint(unknown.header) {
		t.Errorf("headers differ: %v, %v", known.header, unknown.header)
	}
}

func TestBytesThatACrashLeftBehindAreDeleted(t *testing.T) {
	at := newSite(t, "")
	at.start()
	token, thread := conversation(at)
	at.upload(token, "n", "", []byte("known"))
	at.post(token, thread, map[string]string{"digest": digestOf([]byte("known"))})
	left, err := at.running.files.dir.Receive(strings.NewReader("left behind"), 100)
	if err != nil {
		t.Fatal(err)
	}
	if err := left.Keep(); err != nil { // visible, and then the transaction failed
		t.Fatal(err)
	}
	for _, c := range []struct {
		later time.Duration
		want  int
	}{{0, 2}, {keepUploads + time.Minute, 1}} { // it may belong to a transaction under way
		for range 2 { // each file is read, then all are listed
			if _, err := at.running.files.scrubStep(t.Context(), time.Now().Add(c.later)); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(at.onDisk()); n != c.want {
			t.Errorf("%s later: %d files, want %d", c.later, n, c.want)
		}
	}
	if got := at.download(token, digestOf([]byte("known"))); got.status != http.StatusOK {
		t.Errorf("what is known: %d", got.status)
	}
}

// happening is an event about a message.
type happening struct {
	Type string
	Data struct {
		ID          string
		Attachments []attached
	}
}

// happened are the events after a cursor, and the cursor after them.
func (at *site) happened(token, after string) ([]happening, string) {
	at.t.Helper()
	var page struct {
		Items      []happening
		NextCursor string `json:"next_cursor"`
	}
	at.must(token, http.MethodGet, "/events?wait=5&after="+after, nil, &page)
	return page.Items, page.NextCursor
}

func TestALargeFileComesWhenSomebodyAsksForItAndClientsAreTold(t *testing.T) {
	for name, database := range databases(t) {
		t.Run(name, func(t *testing.T) {
			a, b := newSite(t, ""), newSite(t, database())
			b.options.Config.Files.FetchBelow = 1000
			a.start()
			b.start()
			befriend(a, b)
			ana, ben := a.person("ana"), b.person("ben")
			thread := a.thread(ana, share(a, ana, b, ben, "ben@"+b.name))
			a.upload(ana, "small", "", noise("small", 1000))
			a.upload(ana, "large", "", noise("large", 1001))
			var now struct {
				NextCursor string `json:"next_cursor"`
			}
			b.must(ben, http.MethodGet, "/events", nil, &now)
			cursor := now.NextCursor
			small, large := digestOf(noise("small", 1000)), digestOf(noise("large", 1001))
			message := a.post(ana, thread, map[string]string{"digest": small}, map[string]string{"digest": large})
			b.eventually("one is held, one is not", func() bool {
				got := b.files(ben, message)
				return len(got) == 2 && got[0].State == "held" && got[1].State == "remote"
			})
			if got := b.download(ben, large); got.status != http.StatusServiceUnavailable || got.code(t) != "file_fetching" {
				t.Errorf("asked for the first time: %d %s", got.status, got.body)
			}
			b.eventually("told that it is held", func() bool {
				events, next := b.happened(ben, cursor)
				cursor = next
				for _, e := range events {
					if e.Type == "message.posted" && e.Data.ID == message && e.Data.Attachments[1].State == "held" {
						return true
					}
				}
				return false
			})
			if got := b.download(ben, large); got.status != http.StatusOK {
				t.Errorf("asked again: %d %s", got.status, got.body)
			}
		})
	}
}
