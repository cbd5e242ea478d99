package sim_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian/server"
	"meridian/threads"
)

// fileAsked is what a server asks for at /federation/v1/file.
type fileAsked struct {
	Channel, Digest string
	From            int64
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// noise is a content that nothing else has.
func noise(seed string, n int) []byte {
	out := make([]byte, 0, n+sha256.Size)
	for i := 0; len(out) < n; i++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", seed, i))
		out = append(out, sum[:]...)
	}
	return out[:n]
}

// shelf answers requests for files honestly, and notes from where on each was
// asked for.
type shelf struct {
	mu    sync.Mutex
	files map[string][]byte
	from  map[string][]int64
}

func newShelf(e *enemy) *shelf {
	s := &shelf{files: map[string][]byte{}, from: map[string][]int64{}}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.files = s.serve
	return s
}

func (s *shelf) put(content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[digestOf(content)] = content
}

func (s *shelf) asked(digest string) []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]int64(nil), s.from[digest]...)
}

func (s *shelf) serve(w http.ResponseWriter, asked fileAsked) {
	s.mu.Lock()
	content, ok := s.files[asked.Digest]
	s.from[asked.Digest] = append(s.from[asked.Digest], asked.From)
	s.mu.Unlock()
	if !ok {
		notThere(w, asked)
		return
	}
	piece(w, int64(len(content)), content[min(asked.From, int64(len(content))):])
}

func notThere(w http.ResponseWriter, _ fileAsked) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusNotFound)
	fmt.Fprint(w, `{"status":404,"code":"not_found","title":"Not Found"}`)
}

// piece answers with a size and at most 4 MiB of what is left.
func piece(w http.ResponseWriter, size int64, left []byte) {
	w.Header().Set("Content-Type", "application/octet-stream")
	fmt.Fprintf(w, "{\"size\":%d}\n", size)
	_, _ = w.Write(left[:min(len(left), 4<<20)])
}

// cut breaks the answer off after what was written.
func cut(w http.ResponseWriter) {
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// attaching is a message of the enemy's that names a file.
func (e *enemy) attaching(thread, digest string, size int64) *threads.Event {
	e.t.Helper()
	content := fmt.Appendf(nil, `{"attachment":[{"digest":%q,"mediaType":"image/png","name":"n","size":%d,"type":"Document"}],"content":"a file","context":%q,"mediaType":"text/markdown","salt":%q,"type":"Note"}`,
		digest, size, thread, salt())
	return e.write(threads.Draft{Type: threads.TypeMessagePosted, Content: content})
}

// named has the enemy post a message with the file and returns the message's id.
func (s *scene) named(e *enemy, digest string, size int64) string {
	s.t.Helper()
	event := e.attaching(s.thread, digest, size)
	if got := e.push(s.victim, event); got.status != http.StatusOK || len(got.Refusals) > 0 {
		s.t.Fatalf("push: %+v", got)
	}
	return event.ID
}

// fileState is that of the first file of a message.
func (s *scene) fileState(token, message string) string {
	s.t.Helper()
	var m struct{ Attachments []struct{ State string } }
	s.must(token, http.MethodGet, "/messages/"+message, nil, &m)
	if len(m.Attachments) == 0 {
		return ""
	}
	return m.Attachments[0].State
}

// read is a file as a person gets it.
func (h *victim) read(token, digest string) (int, []byte) {
	h.t.Helper()
	return h.call(token, http.MethodGet, "/files/"+digest, nil)
}

// sound fails the test where a file lies under a digest that is not its own.
func (h *victim) sound() (bytesHeld, bytesPending int64) {
	h.t.Helper()
	root := server.FilesDir(h.options.Config.DataDir)
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if filepath.Base(filepath.Dir(path)) == "tmp" {
			bytesPending += int64(len(content))
			return nil
		}
		bytesHeld += int64(len(content))
		if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != e.Name() {
			h.t.Errorf("%s holds other bytes than its name says", path)
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return bytesHeld, bytesPending
}

// lie is how a server that brought a file answers when it is asked for it.
type lie struct {
	name   string
	serve  func(w http.ResponseWriter, content []byte, asked fileAsked)
	goesOn int64 // the byte from which on the honest member is asked
}

func lies() []lie {
	const cutAt = 300_000
	first := func(b []byte) []byte { return b[:min(cutAt, len(b))] }
	return []lie{
		{name: "it has none", serve: func(w http.ResponseWriter, _ []byte, a fileAsked) { notThere(w, a) }},
		{name: "wrong bytes", serve: func(w http.ResponseWriter, c []byte, a fileAsked) {
			piece(w, int64(len(c)), noise("wrong", len(c))[a.From:])
		}},
		{name: "one bit is wrong", serve: func(w http.ResponseWriter, c []byte, a fileAsked) {
			c = bytes.Clone(c)
			c[len(c)/2] ^= 1
			piece(w, int64(len(c)), c[a.From:])
		}},
		{name: "truncated, and said so", serve: func(w http.ResponseWriter, c []byte, a fileAsked) {
			piece(w, int64(len(c)-1), c[min(a.From, int64(len(c)-1)):len(c)-1])
		}},
		{name: "truncated, and not said", goesOn: 599_999, serve: func(w http.ResponseWriter, c []byte, a fileAsked) {
			piece(w, int64(len(c)), c[min(a.From, int64(len(c)-1)):len(c)-1])
		}},
		{name: "a byte too many", serve: func(w http.ResponseWriter, c []byte, a fileAsked) {
			piece(w, int64(len(c)+1), append(bytes.Clone(c), 'x')[a.From:])
		}},
		{name: "cut off, then gone", goesOn: 300_000, serve: func(w http.ResponseWriter, c []byte, a fileAsked) {
			if a.From > 0 {
				cut(w)
			}
			piece(w, int64(len(c)), first(c))
			cut(w)
		}},
		{name: "wrong bytes, cut off, then gone", serve: func(w http.ResponseWriter, c []byte, a fileAsked) {
			if a.From > 0 {
				cut(w)
			}
			piece(w, int64(len(c)), first(noise("wrong", len(c))))
			cut(w)
		}},
		{name: "a few bytes at a time", goesOn: 10, serve: func(w http.ResponseWriter, c []byte, a fileAsked) {
			piece(w, int64(len(c)), c[a.From:a.From+10])
		}},
		{name: "5 GiB of nothing", serve: func(w http.ResponseWriter, c []byte, a fileAsked) {
			piece(w, 5<<30, make([]byte, 4<<20))
		}},
		{name: "no size", serve: func(w http.ResponseWriter, c []byte, a fileAsked) { _, _ = w.Write(c) }},
		{name: "a size below 0", serve: func(w http.ResponseWriter, c []byte, a fileAsked) { piece(w, -1, c) }},
		{name: "a size beyond numbers", serve: func(w http.ResponseWriter, c []byte, a fileAsked) {
			fmt.Fprintf(w, "{\"size\":1%s}\n", strings.Repeat("0", 30))
		}},
		{name: "a line without an end", serve: func(w http.ResponseWriter, c []byte, a fileAsked) {
			_, _ = w.Write(bytes.Repeat([]byte("a"), 1<<20))
		}},
		{name: "a redirect", serve: func(w http.ResponseWriter, c []byte, a fileAsked) {
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(http.StatusFound)
		}},
		{name: "nothing at all", serve: func(http.ResponseWriter, []byte, fileAsked) {}},
	}
}

// T79: whatever the server that brought a file answers, what becomes visible are the bytes of the
// digest, given by another member, from the byte where an honest answer stopped.
func TestLiesAboutAFileEndInTheRightBytesOfAnotherMember(t *testing.T) {
	onBoth(t, func(t *testing.T, s *scene) {
		honest := newShelf(s.carol)
		all := lies()
		contents, messages := make([][]byte, len(all)), make([]string, len(all))
		kinds := map[string]int{}
		for i, l := range all {
			contents[i] = noise(l.name, 600_000)
			honest.put(contents[i])
			kinds[digestOf(contents[i])] = i
		}
		s.mal.mu.Lock()
		s.mal.files = func(w http.ResponseWriter, asked fileAsked) {
			i := kinds[asked.Digest]
			all[i].serve(w, contents[i], asked)
		}
		s.mal.mu.Unlock()
		for i := range all {
			messages[i] = s.named(s.mal, digestOf(contents[i]), int64(len(contents[i])))
		}
		for i, l := range all {
			digest := digestOf(contents[i])
			s.eventually(l.name+": held", func() bool { return s.fileState(s.ana, messages[i]) == "held" })
			if status, got := s.read(s.ana, digest); status != http.StatusOK || !bytes.Equal(got, contents[i]) {
				t.Errorf("%s: %d, %d bytes", l.name, status, len(got))
			}
			from := honest.asked(digest)
			if len(from) == 0 || from[len(from)-1] != l.goesOn {
				t.Errorf("%s: the honest member was asked from %v", l.name, from)
			}
		}
		s.sound()
		fetches := s.scrape()
		if n := fetches[`meridian_file_fetches_total{result="held"}`]; n < float64(len(all)) {
			t.Errorf("%v fetches counted for %d files", n, len(all))
		}
	})
}

// T79: where nobody gives the right bytes nothing is visible, wrong ones are counted, and it is tried again.
func TestAFileThatNobodyGivesIsMissingUntilSomebodyDoes(t *testing.T) {
	onBoth(t, func(t *testing.T, s *scene) {
		content := noise("late", 100_000)
		digest := digestOf(content)
		wrong := func(w http.ResponseWriter, asked fileAsked) { piece(w, 100_000, noise("lie", 100_000)[asked.From:]) }
		for _, e := range []*enemy{s.mal, s.carol} {
			e.mu.Lock()
			e.files = wrong
			e.mu.Unlock()
		}
		message := s.named(s.mal, digest, 100_000)
		s.eventually("missing", func() bool { return s.fileState(s.ana, message) == "missing" })
		status, body := s.read(s.ana, digest)
		var p struct{ Code string }
		if err := json.Unmarshal(body, &p); err != nil || status != http.StatusServiceUnavailable || p.Code != "file_missing" {
			t.Errorf("read: %d %s", status, body)
		}
		if held, pending := s.sound(); held+pending != 0 {
			t.Errorf("%d wrong bytes are kept, %d visible", pending, held)
		}
		if n := s.scrape()[`meridian_file_fetches_total{result="wrong"}`]; n < 1 {
			t.Errorf("%v rounds with wrong bytes counted", n)
		}
		newShelf(s.carol).put(content)
		s.ahead.Add(int64(time.Minute))
		s.restart()
		s.eventually("held", func() bool { return s.fileState(s.ana, message) == "held" })
	})
}

// T79: a digest opens nothing. What one channel has, another that names it neither shows nor gives, and
// answers are those for a digest that nobody has.
func TestNamingADigestOpensNothingThatAnotherChannelHas(t *testing.T) {
	onBoth(t, func(t *testing.T, s *scene) {
		secret, nobodys := noise("secret", 50_000), noise("nobody's", 50_000)
		_, bob := s.person("bob")
		s.must(s.ana, http.MethodPost, "/channels/"+s.channel+"/members", map[string]string{"address": "bob@" + s.name, "role": "member"}, nil)
		_, thread, _ := s.found("Private", "Only ana is here.")
		r, err := http.NewRequest(http.MethodPost, s.url+"/api/v1/files?name=s", bytes.NewReader(secret))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+s.ana)
		up, err := client.Do(r)
		if err != nil || up.Body.Close() != nil || up.StatusCode != http.StatusCreated {
			t.Fatalf("upload: %v %v", up, err)
		}
		s.must(s.ana, http.MethodPost, "/threads/"+thread+"/messages", map[string]any{"body": "x", "attachments": []any{map[string]string{"digest": digestOf(secret)}}}, nil)

		s.mal.catchUp(s.victim)
		var told [2][]string
		for i, digest := range []string{digestOf(secret), digestOf(nobodys)} {
			message := s.named(s.mal, digest, 50_000)
			s.eventually("missing", func() bool { return s.fileState(bob, message) == "missing" })
			status, body := s.read(bob, digest)
			var p struct{ Status, Code, Detail string }
			_ = json.Unmarshal(body, &p)
			told[i] = append(told[i], fmt.Sprint(status, p.Code, p.Detail))
			attach, body := s.call(bob, http.MethodPost, "/threads/"+s.thread+"/messages", map[string]any{"body": "x", "attachments": []any{map[string]string{"digest": digest}}})
			_ = json.Unmarshal(body, &p)
			told[i] = append(told[i], fmt.Sprint(attach, p.Code, p.Detail))
			for _, e := range []*enemy{s.mal, s.carol, s.stranger} {
				got := e.ask(s.victim, toFile, fmt.Sprintf(`{"channel":%q,"digest":%q,"from":0}`, s.channel, digest))
				told[i] = append(told[i], fmt.Sprint(got.status, got.code, got.text))
			}
		}
		if fmt.Sprint(told[0]) != fmt.Sprint(told[1]) {
			t.Errorf("of the secret: %q\nof nothing: %q", told[0], told[1])
		}
		if !strings.HasPrefix(told[0][2], "404not_found") && !strings.HasPrefix(told[0][2], "404 not_found") {
			t.Errorf("who named it is told %q", told[0][2])
		}
		if status, got := s.read(s.ana, digestOf(secret)); status != http.StatusOK || !bytes.Equal(got, secret) {
			t.Errorf("who may read it: %d", status)
		}
	})
}

// T79: a file is given to members of the channel, as long as they are members and a message names it.
func TestAFileIsGivenToMembersAloneAndWhileAMessageNamesIt(t *testing.T) {
	onBoth(t, func(t *testing.T, s *scene) {
		content := noise("plan", 5<<20)
		digest := digestOf(content)
		newShelf(s.mal).put(content)
		message := s.named(s.mal, digest, int64(len(content)))
		s.eventually("held", func() bool { return s.fileState(s.ana, message) == "held" })
		ask := func(e *enemy, from int) said {
			return e.ask(s.victim, toFile, fmt.Sprintf(`{"channel":%q,"digest":%q,"from":%d}`, s.channel, digest, from))
		}
		whole := ask(s.carol, 0)
		rest := ask(s.carol, 4<<20)
		line := fmt.Sprintf("{\"size\":%d}\n", len(content))
		if got := strings.TrimPrefix(whole.body, line) + strings.TrimPrefix(rest.body, line); digestOf([]byte(got)) != digest {
			t.Errorf("two pieces: %d, %d bytes", whole.status, len(got))
		}
		if got := ask(s.carol, 99<<20); got.status != http.StatusOK || got.body != line {
			t.Errorf("beyond the end: %d %.100s", got.status, got.body)
		}
		for name, body := range map[string]string{
			"a place below 0": fmt.Sprintf(`{"channel":%q,"digest":%q,"from":-1}`, s.channel, digest), "no JSON": "x", "a path": `{"channel":"../..","digest":"../../server.key","from":0}`,
			"another channel": fmt.Sprintf(`{"channel":%q,"digest":%q,"from":0}`, s.thread, digest), "another digest": fmt.Sprintf(`{"channel":%q,"digest":%q,"from":0}`, s.channel, s.thread),
		} {
			if got := s.carol.ask(s.victim, toFile, body); !got.refusedWhole() {
				t.Errorf("%s: %d %s", name, got.status, got.body)
			}
		}
		if got := ask(s.stranger, 0); got.status != http.StatusForbidden {
			t.Errorf("a stranger: %d %s", got.status, got.body)
		}
		s.must(s.ana, http.MethodPatch, "/channels/"+s.channel, map[string]string{"history": "joined"}, nil)
		late := newEnemy(t)
		s.befriend(late.name)
		s.admit(late, s.channel)
		if got := ask(late, 0); got.status != http.StatusNotFound {
			t.Errorf("a newcomer who sees nothing of before: %d", got.status)
		}
		s.must(s.ana, http.MethodDelete, "/channels/"+s.channel+"/servers/"+s.carol.name, nil, nil)
		if got := ask(s.carol, 0); got.status != http.StatusNotFound {
			t.Errorf("a removed member: %d", got.status)
		}
		s.must(s.ana, http.MethodDelete, "/messages/"+message, nil, nil)
		if got := ask(s.mal, 0); got.status != http.StatusNotFound {
			t.Errorf("once it is erased: %d", got.status)
		}
		s.eventually("deleted", func() bool {
			held, pending := s.sound()
			return held+pending == 0
		})
	})
}

// T79: what is offered beyond limits and quotas takes no room, however much is said of it.
func TestOfferedFilesTakeNoMoreRoomThanQuotasLeave(t *testing.T) {
	s := newScene(t, "")
	s.stop()
	files := &s.options.Config.Files
	files.MaxBytes, files.FetchBelow, files.PartnerQuota, files.Quota = 3<<20, 2<<20, 4<<20, 20<<20
	s.start()
	shelf := newShelf(s.mal)
	sparse := digestOf([]byte("five gigabytes"))
	huge := s.named(s.mal, sparse, 5<<30)
	s.eventually("left where it is", func() bool { return s.fileState(s.ana, huge) == "remote" })
	if asked := shelf.asked(sparse); len(asked) > 0 {
		t.Errorf("5 GiB were asked for unasked: %v", asked)
	}
	s.mal.mu.Lock()
	s.mal.files = func(w http.ResponseWriter, asked fileAsked) {
		if asked.Digest == sparse {
			piece(w, 5<<30, make([]byte, 4<<20))
			return
		}
		shelf.serve(w, asked)
	}
	s.mal.mu.Unlock()
	if status, _ := s.read(s.ana, sparse); status != http.StatusServiceUnavailable {
		t.Errorf("5 GiB, wanted: %d", status)
	}
	s.eventually("refused for its size", func() bool {
		return s.fileState(s.ana, huge) == "missing" && s.scrape()[`meridian_file_fetches_total{result="too_large"}`] >= 1
	})
	// Six files of 1 MiB, of which four fit; then many that break off.
	for i := range 6 {
		content := noise(fmt.Sprint("many ", i), 1<<20)
		shelf.put(content)
		s.named(s.mal, digestOf(content), 1<<20)
	}
	s.eventually("full", func() bool { return s.scrape()[`meridian_file_fetches_total{result="quota"}`] >= 2 })
	if held, _ := s.sound(); held > 4<<20 {
		t.Errorf("%d bytes of a quota of 4 MiB are held", held)
	}
	if n := s.scrape()["meridian_federation_file_bytes_total{direction=\"received\"}"]; n > 8<<20 {
		t.Errorf("%v bytes were received for 4 MiB", n)
	}
	s.mal.mu.Lock()
	s.mal.files = func(w http.ResponseWriter, asked fileAsked) {
		piece(w, 2<<20, make([]byte, 1900<<10))
		cut(w)
	}
	s.mal.mu.Unlock()
	files.PartnerQuota = 20 << 20
	s.restart()
	for i := range 12 {
		s.named(s.mal, digestOf(fmt.Appendf(nil, "cut %d", i)), 2<<20)
	}
	s.eventually("given up", func() bool { return sum(s.scrape(), "meridian_file_fetches_total") >= 12 })
	if held, pending := s.sound(); held+pending > 20<<20 {
		t.Errorf("%d bytes held and %d pending of a quota of 20 MiB", held, pending)
	}
}
