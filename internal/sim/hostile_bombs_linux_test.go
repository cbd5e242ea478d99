package sim_test

import (
	zipped "archive/zip"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// zeros yields n bytes of nothing.
func zeros(n int64) io.Reader { return io.LimitReader(nothing{}, n) }

type nothing struct{}

func (nothing) Read(p []byte) (int, error) { clear(p); return len(p), nil }

const bombSize = 128 << 20 // bytes of each bomb once it is undone

// packed is what a packer makes of nothing, n bytes of it.
func packed(n int64, packer func(io.Writer) io.WriteCloser) []byte {
	var out bytes.Buffer
	w := packer(&out)
	_, _ = io.Copy(w, zeros(n))
	_ = w.Close()
	return out.Bytes()
}

func gzipBomb() []byte {
	return packed(bombSize, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
}

func zstdBomb() []byte {
	return packed(bombSize, func(w io.Writer) io.WriteCloser {
		z, _ := zstd.NewWriter(w, zstd.WithWindowSize(1<<20))
		return z
	})
}

// zipBomb holds itself in itself, three deep.
func zipBomb() []byte {
	inner := zeros(bombSize)
	var out bytes.Buffer
	for range 3 {
		out = bytes.Buffer{}
		z := zipped.NewWriter(&out)
		for i := range 4 {
			f, _ := z.Create(fmt.Sprint(i))
			if i == 0 {
				_, _ = io.Copy(f, inner)
			}
		}
		_ = z.Close()
		inner = bytes.NewReader(out.Bytes())
	}
	return out.Bytes()
}

// imageBomb is a PNG of 50,000 by 50,000 pixels in few bytes.
func imageBomb() []byte {
	out := bytes.NewBufferString("\x89PNG\r\n\x1a\n")
	chunk := func(kind string, data []byte) {
		_ = binary.Write(out, binary.BigEndian, uint32(len(data)))
		sum := crc32.NewIEEE()
		_, _ = io.MultiWriter(out, sum).Write(append([]byte(kind), data...))
		_ = binary.Write(out, binary.BigEndian, sum.Sum32())
	}
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 50_000), 50_000)
	chunk("IHDR", append(head, 1, 0, 0, 0, 0))
	chunk("IDAT", packed(50_000*(50_000/8+1), func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }))
	chunk("IEND", nil)
	return out.Bytes()
}

// memory reads a line of the process's status, in bytes.
func (h *house) memory(line string) int64 {
	h.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.process.Process.Pid))
	if err != nil {
		h.t.Fatal(err)
	}
	for text := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(text, line+":"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			if err != nil {
				h.t.Fatal(err)
			}
			return n << 10
		}
	}
	h.t.Fatalf("no %s in the status of the process", line)
	return 0
}

// forgetPeak has the process's greatest memory counted anew.
func (h *house) forgetPeak() {
	h.t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", h.process.Process.Pid), []byte("5"), 0); err != nil {
		h.t.Skipf("the greatest memory of a process cannot be counted anew here: %v", err)
	}
}

// T48: whatever is packed into requests, answers and files is refused, bounded at its limit or left as
// it is: the real program's memory does not follow what the bombs hold.
func TestBombsAreRefusedOrLeftAsTheyAre(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector's memory is not the program's")
	}
	h := newHouse(t, "", false)
	h.open(nil)
	at := &victim{t: t, name: h.name, url: "http://" + h.name}
	mal := newEnemy(t)
	h.mustRun("", "partner", "add", mal.name)
	h.mustRun("", "partner", "allow", mal.name)
	packs := map[string][]byte{"gzip": gzipBomb(), "zstd": zstdBomb()}
	largest := `{"buckets":{}` + strings.Repeat(" ", 4<<20-14) + `}`
	honest := func() {
		for name, packer := range map[string]func(io.Writer) io.WriteCloser{
			"gzip": func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
			"zstd": func(w io.Writer) io.WriteCloser { z, _ := zstd.NewWriter(w, zstd.WithWindowSize(1<<20)); return z },
		} {
			var body bytes.Buffer
			w := packer(&body)
			_, _ = io.WriteString(w, largest)
			_ = w.Close()
			if got := mal.packed(at, name, body.Bytes()); got.status != http.StatusOK {
				t.Fatalf("an honest %s of 4 MiB: %d %.200s", name, got.status, got.body)
			}
		}
		at.send(h.owner.token, upload{name: "n", content: noise("honest", 4<<20)})
	}
	for range 5 {
		honest()
	}
	h.forgetPeak()
	for range 5 {
		honest()
	}
	before := h.memory("VmHWM")
	h.forgetPeak()

	for name, bomb := range packs {
		if got := mal.packed(at, name, bomb); got.status != http.StatusRequestEntityTooLarge {
			t.Errorf("a partner's %s bomb: %d %.200s", name, got.status, got.body)
		}
		mal.answer(toDigest, func([]byte) (int, string, []byte) { return 200, "application/json", bomb })
		status, body := at.packed(h.owner.token, name, bomb)
		if status != http.StatusUnsupportedMediaType {
			t.Errorf("a client's %s bomb: %d %.200s", name, status, body)
		}
	}
	for _, name := range []string{"br", "deflate", "gzip, gzip", "gzip,zstd", "x-gzip"} {
		if got := mal.packed(at, name, packs["gzip"]); got.status != http.StatusUnsupportedMediaType {
			t.Errorf("a partner's %s: %d %.200s", name, got.status, got.body)
		}
		if status, body := at.packed(h.owner.token, name, packs["gzip"]); status != http.StatusUnsupportedMediaType {
			t.Errorf("a client's %s: %d %.200s", name, status, body)
		}
	}
	thread := at.conversation(h.owner.token)
	for _, u := range []upload{
		{name: "a.gz", kind: "application/gzip", content: packs["gzip"]},
		{name: "a.zst", content: packs["zstd"]},
		{name: "a.zip", kind: "application/zip", content: zipBomb()},
		{name: "a.png", kind: "image/png", content: imageBomb()},
	} {
		at.keepsAsItIs(h.owner.token, thread, u)
	}
	after := h.memory("VmHWM")
	t.Logf("greatest memory: %d KiB with honest requests of the same size, %d KiB with bombs of 128 MiB", before>>10, after>>10)
	if after > before+8<<20 {
		t.Errorf("memory followed the bombs: %d KiB, %d KiB with honest requests", after>>10, before>>10)
	}
}

// packed sends a body under a Content-Encoding.
func (e *enemy) packed(to *victim, encoding string, body []byte) said {
	e.t.Helper()
	r := e.request(to, toDigest, string(body), e.keyID(), to.now())
	r.Header.Set("Content-Encoding", encoding)
	return e.send(r)
}

// packed sends a client's request under a Content-Encoding.
func (h *victim) packed(token, encoding string, body []byte) (int, []byte) {
	h.t.Helper()
	r, err := http.NewRequest(http.MethodPost, h.url+"/api/v1/channels", bytes.NewReader(body[:min(len(body), 1<<20)]))
	if err != nil {
		h.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Content-Encoding", encoding)
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

// conversation is a thread in a channel of the caller's.
func (h *victim) conversation(token string) (thread string) {
	h.t.Helper()
	var channel, made shown
	h.must(token, http.MethodPost, "/channels", map[string]string{"name": "Bombs"}, &channel)
	h.must(token, http.MethodPost, "/channels/"+channel.ID+"/threads", map[string]string{"title": "Bombs"}, &made)
	return made.ID
}

// keepsAsItIs uploads a bomb, attaches it and reads it back.
func (h *victim) keepsAsItIs(token, thread string, u upload) {
	h.t.Helper()
	var file struct{ Digest string }
	status, body := h.send(token, u)
	if err := json.Unmarshal(body, &file); err != nil || status != http.StatusCreated {
		h.t.Errorf("upload %s: %d %s", u.name, status, body)
		return
	}
	h.must(token, http.MethodPost, "/threads/"+thread+"/messages", map[string]any{"body": "x", "attachments": []any{map[string]string{"digest": file.Digest}}}, nil)
	if status, got := h.call(token, http.MethodGet, "/files/"+file.Digest, nil); status != http.StatusOK || !bytes.Equal(got, u.content) {
		h.t.Errorf("read %s: %d, %d bytes of %d", u.name, status, len(got), len(u.content))
	}
}
