package sim

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"

	"meridian/threads"
)

// tamperRequest changes what the liar sends and signs it anew.
func (n *node) tamperRequest(r *http.Request, body []byte) (*http.Request, []byte) {
	l := n.liar
	if l == nil || r.Header.Get("Content-Encoding") != "" || !strings.HasSuffix(r.URL.Path, "/push") {
		return r, body
	}
	changed := l.tamper(body)
	if bytes.Equal(changed, body) {
		return r, body
	}
	again := r.Clone(r.Context())
	for _, name := range []string{"Signature", "Digest", "Date"} {
		again.Header.Del(name)
	}
	l.sign(again, changed)
	return again, changed
}

// tamperAnswer changes what the liar answers.
func (n *node) tamperAnswer(r *http.Request, body []byte) []byte {
	if n.liar == nil {
		return body
	}
	if !strings.HasSuffix(r.URL.Path, "/pull") {
		return n.liar.tamperOther(r.URL.Path, body)
	}
	body = n.liar.tamper(body)
	if n.liar.dice(10) == 0 {
		body = n.liar.claim(body)
	}
	return body
}

// tamper leaves out, reorders and strips frames, in a fifth of all exchanges.
func (l *liar) tamper(body []byte) []byte {
	w := l.world
	if l.dice(5) > 0 {
		return body
	}
	lines := bytes.SplitAfter(body, []byte("\n"))
	var frames []int
	for i, line := range lines {
		if bytes.HasPrefix(line, []byte(`{"header":`)) {
			frames = append(frames, i)
		}
	}
	if len(frames) == 0 {
		return body
	}
	i, j := frames[l.dice(len(frames))], frames[l.dice(len(frames))]
	switch l.dice(4) {
	case 0:
		w.counts.add("lie: omit")
		lines[i] = nil
	case 1:
		if i != j {
			w.counts.add("lie: reorder")
			lines[i], lines[j] = lines[j], lines[i]
		}
	case 2:
		w.counts.add("lie: withhold content")
		for _, i := range frames {
			if at := bytes.Index(lines[i], []byte(`,"content":{`)); at > 0 && bytes.Contains(lines[i], []byte(`"log":"data"`)) {
				lines[i] = append(bytes.Clone(lines[i][:at]), "}\n"...)
			}
		}
	case 3:
		w.counts.add("lie: withhold all")
		for _, i := range frames {
			lines[i] = nil
		}
	}
	return bytes.Join(lines, nil)
}

// claim says that it holds more than anybody will ever see.
func (l *liar) claim(body []byte) []byte {
	end := bytes.TrimSuffix(body, []byte("\n"))
	at := bytes.LastIndexByte(end, '\n') + 1
	var tail map[string]any
	if json.Unmarshal(end[at:], &tail) != nil {
		return body
	}
	channels, _ := tail["channels"].([]any)
	for _, one := range channels {
		c, _ := one.(map[string]any)
		frontier, _ := c["frontier"].([]any)
		for _, head := range frontier {
			if h, ok := head.([]any); ok && len(h) == 5 {
				h[3], h[4] = h[3].(float64)+50, threads.HashOf([]byte("nothing"))
			}
		}
		if control, ok := c["control"].([]any); ok && len(control) == 2 && l.dice(2) == 0 {
			control[0] = control[0].(float64) + 3
		}
	}
	changed, err := json.Marshal(tail)
	if err != nil || len(channels) == 0 {
		return body
	}
	l.world.counts.add("lie: claim heads")
	return append(append(bytes.Clone(body[:at]), changed...), '\n')
}

func (l *liar) dice(sides int) int { return l.world.net.throw("liar", sides) }
