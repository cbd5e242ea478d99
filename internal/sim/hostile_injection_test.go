package sim_test

import (
	"encoding/json"
	"flag"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"meridian/internal/store/pgtest"
)

var searches = flag.Int("injection.searches", 200, "search strings to make up")

// injections mean something to SQL, to the full-text searches of either database, or to what stands before them.
func injections() []string {
	return []string{
		`'`, `"`, `''`, `""`, "`", `\`, `\'`, `;`, `--`, `/*`, `*/`, `#`, `%`, `_`, `%%`, `?`, `$1`, `:x`, `@x`, `||`, `{}`, `[]`,
		`' OR '1'='1`, `' OR 1=1 --`, `" OR ""="`, `') OR ('1'='1`, `1' AND 1=CAST((SELECT version()) AS int)--`, `' UNION SELECT NULL,NULL,NULL--`,
		`' UNION ALL SELECT name, sql FROM sqlite_master --`, `'; DROP TABLE message; --`, `1; SELECT pg_sleep(9)--`, `' || (SELECT password FROM account) || '`,
		`' AND (SELECT 1 FROM (SELECT count(*), concat(version(), floor(random()*2)) x GROUP BY x) y)--`, `'+(SELECT randomblob(1000000000))+'`,
		`1 ORDER BY 99`, `-1`, `0`, `9223372036854775807`, `9223372036854775808`, `-9223372036854775809`, `1e999`, `NaN`, `null`, `true`, `0x41`,
		`a AND NOT`, `NOT`, `OR`, `AND OR`, `NEAR(a b, 1)`, `a NEAR/3 b`, `pump*`, `^pump`, `message:pump`, `{a b}: c`, `"pump`, `pump"`, `(pump`, `pump)`, `-pump`, `+pump`,
		`pump & gasket`, `pump | gasket`, `!pump`, `pump <-> gasket`, `pump:*`, `pump:ABCD`, `<0>`, `'pump':1A`, `pump:1,2`, `to_tsquery('x')`,
		`from:`, `from:'`, `from:%`, `from:ana@`, `from:"ana' OR 1=1"`, `org:'`, `in:"' OR 1=1 --"`, `label:'`, `label:%`, `is:open' --`, `is:`, `has:file'`, `before:'`, `before:9999-99-99`,
		`after:0000-00-00`, `before:-4713-01-01`, `after:99999-12-31T00:00:00Z`, `after:2026-11-23T25:61:61Z`, `before:2026-11-23T00:00:00+99:99`,
		"a\x00b", "\xff\xfe", "\xed\xa0\x80", "\ufeffpump", "pump\u2028gasket", "p\u200bump", "ｐｕｍｐ", "ﬁlter", "ı İ ß ẞ ſ", "日本語", "ภาษาไทย", "👩‍👩‍👧", "\u202epmup", "e\u0301", strings.Repeat("a", 1000), strings.Repeat("a ", 40),
		strings.Repeat(`"`, 999), strings.Repeat("(", 500), strings.Repeat("é", 400), "\r\nSet-Cookie: x=1", "${jndi:ldap://x}", "{{7*7}}", "../../etc/passwd", "%00", "%27%20OR%201=1",
	}
}

// written is what is there to be found.
func written() []string {
	return []string{
		"It leaks at the pump, O'Brien says; a gasket comes.", "100% of a_b and c* is done", `He said "NEAR" and OR and AND NOT`, "naïve café résumé", "日本語のテキスト", "ภาษาไทย",
		"straße İstanbul ﬁlter", "SELECT * FROM message; DROP TABLE message; --", "pump:* & gasket | !valve <-> x", "null true NaN 0x41 -1 0", strings.Repeat("a", 300), "👍 done 👩‍👩‍👧",
	}
}

// madeUp puts what means something together with what is there.
func madeUp(random *rand.Rand) string {
	parts := append(append(injections(), strings.Fields(strings.Join(written(), " "))...), "from:ana", "label:urgent", "is:open", "in:Pumps", " ", " ", "before:2030-01-01", "after:2020-01-01", "has:file")
	var out strings.Builder
	for range 1 + random.IntN(5) {
		part := parts[random.IntN(len(parts))]
		if random.IntN(4) == 0 && len(part) > 1 {
			part = part[:1+random.IntN(len(part)-1)] // which cuts characters, too
		}
		out.WriteString(part + []string{"", " ", ":", `"`}[random.IntN(4)])
	}
	return out.String()
}

// databaseWords are the words of databases, which no answer may hold.
var databaseWords = regexp.MustCompile(`(?i)sqlite|sqlstate|syntax error|pq:|fts5|tsquery|unterminated|malformed match`)

// found are the texts that an answer lists, and its status.
type found struct {
	Status int
	Texts  []string
}

// injected asks for something and holds the answer to what every answer has to be.
func (s *scene) injected(method, path, query string) found {
	s.t.Helper()
	r, err := http.NewRequest(method, s.url, http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	r.URL.Opaque = "//" + s.name + path // as it is
	r.URL.RawQuery = query
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
	if answer.StatusCode >= http.StatusInternalServerError || answer.StatusCode >= 400 && databaseWords.Match(raw) {
		s.t.Errorf("%s %s?%s is answered with %d: %s", method, path, query, answer.StatusCode, raw)
	}
	out := found{Status: answer.StatusCode}
	var list struct {
		Items []struct {
			Thread  struct{ Title string }
			Message *struct{ Body string }
		}
	}
	if answer.StatusCode == http.StatusOK && json.Unmarshal(raw, &list) == nil {
		for _, i := range list.Items {
			text := i.Thread.Title
			if i.Message != nil {
				text = i.Message.Body
			}
			out.Texts = append(out.Texts, text)
		}
	}
	slices.Sort(out.Texts)
	return out
}

// T49: what people search for, and what stands in the parameters of lists and in paths, means nothing to a
// database, and finds the same in either.
func TestWhatIsSearchedForMeansNothingToDatabases(t *testing.T) {
	if testing.Short() {
		t.Skip("both databases are compared where tests may take their time")
	}
	both := []*scene{newScene(t, ""), newScene(t, pgtest.URL(t))}
	for _, s := range both {
		for i, text := range written() {
			body := map[string]any{"title": text[:min(len(text), 100)], "body": text, "labels": []string{[]string{"urgent", "it's", "50%"}[i%3]}}
			body["title"] = strings.ToValidUTF8(body["title"].(string), "")
			s.must(s.ana, http.MethodPost, "/channels/"+s.channel+"/threads", body, nil)
		}
	}
	t.Run("searches", func(t *testing.T) { searchBoth(t, both) })
	t.Run("parameters and paths", func(t *testing.T) { injectBoth(t, both) })
}

func searchBoth(t *testing.T, both []*scene) {
	const seed = 49
	random, hits := rand.New(rand.NewPCG(seed, seed)), 0
	queries := injections()
	for range *searches {
		queries = append(queries, madeUp(random))
	}
	for _, q := range queries {
		query := url.Values{"q": {q}, "limit": {"200"}}.Encode()
		one, other := both[0].injected(http.MethodGet, "/api/v1/search", query), both[1].injected(http.MethodGet, "/api/v1/search", query)
		if diff := cmp.Diff(one, other); diff != "" {
			t.Errorf("%q finds in SQLite (-) and PostgreSQL (+), seed %d:\n%s", q, seed, diff)
		}
		hits += len(one.Texts)
	}
	t.Logf("%d searches found %d texts, the same in both", len(queries), hits)
	if hits < len(queries)/10 {
		t.Errorf("%d searches found only %d texts", len(queries), hits)
	}
}

// injectBoth puts an injection in each parameter of each list, and in each path, all of them in turn.
func injectBoth(t *testing.T, both []*scene) {
	all, tried := injections(), 0
	each := len(all) / 8
	if *searches > 1000 {
		each = len(all)
	}
	next := func() string { tried++; return all[tried*7%len(all)] }
	for _, r := range both[0].routes() {
		if r.id == "stream" || r.method != http.MethodGet {
			continue
		}
		for _, parameter := range r.parameters {
			for range each {
				query := url.Values{parameter: {next()}}
				if r.id == "search" && parameter != "q" {
					query.Set("q", "pump")
				}
				answers := [2]int{}
				for i, s := range both {
					answers[i] = s.injected(r.method, r.fill(s.ids(), ""), query.Encode()).Status
				}
				if answers[0] != answers[1] {
					t.Errorf("%s with %q is answered with %d by SQLite and %d by PostgreSQL", r.path, query, answers[0], answers[1])
				}
			}
		}
		for range each {
			if !strings.Contains(r.path, "{") {
				break
			}
			path := r.fill(nil, next())
			if one, other := both[0].injected(r.method, path, "").Status, both[1].injected(r.method, path, "").Status; one != other {
				t.Errorf("%s is answered with %d by SQLite and %d by PostgreSQL", path, one, other)
			}
		}
	}
	t.Logf("%d parameters and paths were tried on each", tried)
}
