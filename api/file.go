package api

import (
	"context"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"meridian/threads"
)

// File is a file that was uploaded.
type File struct {
	Digest string `json:"digest" doc:"SHA-256 of the bytes, base64url: its name wherever it is attached."`
	Size   int64  `json:"size" doc:"In bytes."`
	Type   string `json:"type" doc:"Media type: what was declared, or application/octet-stream where the bytes say otherwise."`
	Name   string `json:"name"`
}

// Attachment is a file of a message.
type Attachment struct {
	File
	Summary string `json:"summary,omitempty" doc:"Text alternative."`
	State   string `json:"state" enum:"held,remote,fetching,missing" doc:"held: it can be read. remote: reading it has it fetched. fetching: on its way. missing: no server gave it so far; tried again now and then."`
}

// AttachFile names a file to attach.
type AttachFile struct {
	Digest  string `json:"digest" maxLength:"64" doc:"Of a file that you uploaded, or may read."`
	Name    string `json:"name,omitempty" maxLength:"255" doc:"Instead of the name that it has."`
	Summary string `json:"summary,omitempty" maxLength:"2000" doc:"Text alternative, for who cannot see or hear it."`
}

func attachmentsOf(m *threads.MessageRecord) []Attachment {
	var shown []Attachment
	for _, f := range m.Attachments {
		shown = append(shown, Attachment{File: fileOf(f.Attachment), Summary: f.Summary, State: string(f.State)})
	}
	return shown
}

func fileOf(a threads.Attachment) File {
	return File{Digest: a.Digest, Size: a.Size, Type: a.Type, Name: a.Name}
}

// attachments are the files that a message is to have.
func (a *API) attachments(ctx context.Context, c *caller, asked []AttachFile) ([]threads.Attachment, error) {
	var list []threads.Attachment
	for i, f := range asked {
		at := "/attachments/" + strconv.Itoa(i)
		found, err := a.Files.Attachable(ctx, c.person.ID, f.Digest)
		if isKind(err, threads.NotFound) {
			return nil, invalid(at+"/digest", "is no file that you uploaded or may read; POST it to /api/v1/files first")
		}
		if err != nil {
			return nil, err
		}
		if f.Name != "" {
			found.Name = f.Name
		}
		if err := threads.FileName(found.Name); err != nil {
			return nil, invalid(at+"/name", problemOf(err).Errors[0].Detail)
		}
		found.Summary = f.Summary
		list = append(list, found)
	}
	return list, nil
}

const filesPath = prefix + "/files"

// Bounds of carrying files. A transfer that stands still is ended; one that
// moves takes its time.
const (
	stillWait    = 30 * time.Second // for the next bytes to come, or to be taken
	transferTime = 2 * time.Hour
)

// fileRoutes carry bytes as they are, beside the framework, so the operations
// are written into the document by hand.
func (a *API) fileRoutes() {
	a.mux.HandleFunc("POST "+filesPath, a.carried(a.upload))
	a.mux.HandleFunc("GET "+filesPath+"/{digest}", a.carried(a.download))
	for _, op := range []*huma.Operation{a.uploadOperation(), a.downloadOperation()} {
		op.Tags, op.Security = []string{"files"}, []map[string][]string{{"token": {}}}
		op.Responses["default"] = a.problemResponse()
		a.huma.OpenAPI().AddOperation(op)
	}
}

func (a *API) uploadOperation() *huma.Operation {
	text := &huma.Schema{Type: huma.TypeString}
	uploaded := schemaIn[File](a.huma.OpenAPI().Components.Schemas)
	return &huma.Operation{
		OperationID: "upload-file", Method: http.MethodPost, Path: filesPath,
		Summary: "Upload a file, to attach it to messages within a day",
		Description: "The body is the file as it is; Content-Type is its media type. The answer is the same whether or not this server has the file already. " +
			"It is kept once a message names it, and readable by who may read that message.",
		Parameters: []*huma.Param{
			{Name: "name", In: "query", Required: true, Schema: text, Description: "Name of the file: 1 to 255 bytes, no path."},
			{Name: "Idempotency-Key", In: "header", Schema: text, Description: "Refused with 409 where another request had it; uploading a file twice is harmless by itself."},
		},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"*/*": {}}},
		Responses: map[string]*huma.Response{
			"201": {Description: "Uploaded", Content: map[string]*huma.MediaType{"application/json": {Schema: uploaded}}},
		},
	}
}

func (a *API) downloadOperation() *huma.Operation {
	text := &huma.Schema{Type: huma.TypeString}
	bytes := map[string]*huma.MediaType{"application/octet-stream": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}
	return &huma.Operation{
		OperationID: "file", Method: http.MethodGet, Path: filesPath + "/{digest}",
		Summary: "A file of a message that you may read",
		Description: "Ranges (RFC 9110 §14) and conditions are understood. It is always served as an attachment, and as application/octet-stream unless its type is known to be passive. " +
			"503 with the code `file_fetching` or `file_missing` means that its bytes are not here yet: the event of the message comes again when they are.",
		Parameters: []*huma.Param{
			{Name: "digest", In: "path", Required: true, Schema: text},
			{Name: "Range", In: "header", Schema: text},
		},
		Responses: map[string]*huma.Response{
			"200": {Description: "The file", Content: bytes},
			"206": {Description: "A part of the file", Content: bytes},
			"304": {Description: "You have it"},
		},
	}
}

// carried lets a caller in to a transfer of bytes, within bounds.
func (a *API) carried(f func(http.ResponseWriter, *http.Request, *caller) error) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		c := exchangeOf(r.Context()).caller
		if c == nil {
			writeProblem(w, r, unauthorized("this needs a token: send Authorization: Bearer TOKEN; POST /api/v1/sessions gives one"))
			return
		}
		if !a.transfers.begin(c.person.ID) {
			writeProblem(w, r, tooMuch(a.bounds[transfersOfPerson], 0, "too many uploads and downloads at a time; finish one first"))
			return
		}
		defer a.transfers.end(c.person.ID)
		ctx, cancel := context.WithTimeout(r.Context(), transferTime)
		defer cancel()
		if err := f(w, r.WithContext(ctx), c); err != nil {
			writeProblem(w, r, a.answer(ctx, err))
		}
	}
}

func (a *API) upload(w http.ResponseWriter, r *http.Request, c *caller) error {
	declared, err := declaredFile(r)
	if err != nil {
		return err
	}
	key := Once{IdempotencyKey: r.Header.Get("Idempotency-Key")}
	if len(key.IdempotencyKey) > maxKey {
		return badParameter("Idempotency-Key", "is longer than 200 bytes")
	}
	body := &movingReader{r: r.Body, ctx: r.Context(), control: http.NewResponseController(w)}
	kept, err := a.Files.Upload(r.Context(), c.person.ID, declared, body)
	_ = body.control.SetWriteDeadline(time.Now().Add(stillWait)) // the one set before the body came may be over
	if body.failed != nil && err != nil {
		p := refusal(http.StatusBadRequest, "malformed", unreadDetail)
		p.cause = err
		return p
	}
	if err != nil {
		return err
	}
	if err := a.claimOnce(r.Context(), c, "upload", key, fileOf(kept)); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	return a.json.Marshal(w, fileOf(kept))
}

// unreadDetail tells that a body did not arrive whole.
const unreadDetail = "the body ended early or was not framed well; send it again"

// declaredFile is what the client says of a file that it uploads.
func declaredFile(r *http.Request) (threads.Attachment, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || len(query["name"]) != 1 || len(query) != 1 {
		return threads.Attachment{}, badParameter("name", "is required, once: POST /api/v1/files?name=report.pdf")
	}
	f := threads.Attachment{Name: query.Get("name"), Type: "application/octet-stream"}
	if err := threads.FileName(f.Name); err != nil {
		return f, badParameter("name", problemOf(err).Errors[0].Detail)
	}
	if given := r.Header.Get("Content-Type"); given != "" {
		if f.Type, _, err = mime.ParseMediaType(given); err != nil || !threads.IsMediaType(f.Type) {
			return f, badParameter("Content-Type", "is no media type; write it like application/pdf, or leave it out")
		}
	}
	if strings.HasPrefix(f.Type, "multipart/") {
		return f, refusal(http.StatusUnsupportedMediaType, "unsupported_media_type", "send the file's bytes as the body, not a form: curl --data-binary @FILE")
	}
	return f, nil
}

func (a *API) download(w http.ResponseWriter, r *http.Request, c *caller) error {
	if len(r.URL.RawQuery) > 0 {
		return badParameter("query", "has no parameters here")
	}
	f, content, err := a.Files.Open(r.Context(), c.person.ID, r.PathValue("digest"))
	if err != nil {
		return unseen(err)
	}
	defer content.Close()
	h := w.Header()
	h.Set("Content-Type", servedType(f.Type))
	h.Set("Content-Disposition", disposition(f.Name))
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("ETag", `"`+f.Digest+`"`)
	out := &movingWriter{ResponseWriter: w, r: r, control: http.NewResponseController(w)}
	http.ServeContent(out, r, "", time.Time{}, content)
	return nil
}

// passive are the types that are served as what they are: no browser runs them.
var passive = []string{
	"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "video/mp4", "video/webm", "audio/mpeg", "audio/mp4",
	"audio/ogg", "audio/wav", "audio/webm", "text/plain", "text/csv", "application/zip", "application/gzip",
}

func servedType(declared string) string {
	switch {
	case declared == "text/plain" || declared == "text/csv":
		return declared + "; charset=utf-8"
	case slices.Contains(passive, declared):
		return declared
	}
	return "application/octet-stream"
}

// disposition has a browser save the file under its name (RFC 6266): in full by
// filename*, in plain letters for those that do not know it.
func disposition(name string) string {
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || strings.ContainsRune(`"\%;`, r) {
			return '_'
		}
		return r
	}, name)
	var full strings.Builder
	for _, b := range []byte(name) {
		if b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || strings.IndexByte("-._~", b) >= 0 {
			full.WriteByte(b)
			continue
		}
		full.WriteString("%" + strings.ToUpper(strconv.FormatUint(uint64(b)|0x100, 16)[1:]))
	}
	return `attachment; filename="` + plain + `"; filename*=UTF-8''` + full.String()
}

// transfers counts what people are uploading and downloading.
type transfers struct {
	mu      sync.Mutex
	persons map[string]int
}

func (t *transfers) begin(person string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.persons[person] == maxTransfers {
		return false
	}
	t.persons[person]++
	return true
}

func (t *transfers) end(person string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.persons[person]--; t.persons[person] == 0 {
		delete(t.persons, person)
	}
}

// movingReader reads a body as long as it moves.
type movingReader struct {
	r       io.Reader
	ctx     context.Context
	control *http.ResponseController
	failed  error // why the body could not be read to its end
}

func (m *movingReader) Read(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		m.failed = err
		return 0, err
	}
	_ = m.control.SetReadDeadline(time.Now().Add(stillWait)) // of a connection that has none, ctx is the bound
	n, err := m.r.Read(p)
	if err != nil && err != io.EOF {
		m.failed = err
	}
	return n, err
}

// movingWriter writes an answer as long as it moves, and puts problems in the
// place of plain refusals.
type movingWriter struct {
	http.ResponseWriter
	r       *http.Request
	control *http.ResponseController
	refused bool
}

// WriteHeader answers a range beyond the end as everything else is refused.
func (m *movingWriter) WriteHeader(status int) {
	if m.refused = status >= 400; !m.refused {
		m.ResponseWriter.WriteHeader(status)
		return
	}
	for _, name := range []string{"Content-Disposition", "Content-Length", "ETag"} {
		m.Header().Del(name)
	}
	writeProblem(m.ResponseWriter, m.r, refusal(status, "range", "the file has no such range; Content-Range tells its size"))
}

// Write gives the client time for each piece.
func (m *movingWriter) Write(p []byte) (int, error) {
	if m.refused {
		return len(p), nil
	}
	if err := m.r.Context().Err(); err != nil {
		return 0, err
	}
	_ = m.control.SetWriteDeadline(time.Now().Add(stillWait)) // of a connection that has none, ctx is the bound
	return m.ResponseWriter.Write(p)
}
