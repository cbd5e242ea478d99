package mbox

import (
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// htmlText is the text of an HTML mail: paragraphs and lines where a reader saw
// them, quotes marked by "> ", links followed by where they lead.
func htmlText(source string) string {
	var w page
	z := html.NewTokenizer(strings.NewReader(source))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return w.b.String()
		case html.TextToken:
			w.text(z.Token().Data)
		case html.StartTagToken, html.SelfClosingTagToken:
			w.open(z.Token())
		case html.EndTagToken:
			w.close(z.Token().DataAtom)
		}
	}
}

// page is plain text being set.
type page struct {
	b      strings.Builder
	breaks int  // line ends due before the next word
	space  bool // a space is due before it
	quote  int  // blockquotes open
	quoted int  // of them, open at the last word
	pre    int  // elements open whose spaces count
	hidden bool // within what is never shown
	link   string
	from   int // where the link's text begins
}

func (w *page) open(t html.Token) {
	switch t.DataAtom {
	case atom.Script, atom.Style, atom.Title:
		w.hidden = true
	case atom.Br:
		w.breaks++
	case atom.Blockquote:
		w.lineEnds(2)
		w.quote++
	case atom.Pre:
		w.lineEnds(2)
		w.pre++
	case atom.Li:
		w.lineEnds(1)
		w.word("- ")
	case atom.Td, atom.Th:
		w.space = true
	case atom.A:
		w.link, w.from = attr(t, "href"), w.b.Len()
	case atom.Img:
		w.text(attr(t, "alt"))
	default:
		w.lineEnds(gap(t.DataAtom))
	}
}

func (w *page) close(a atom.Atom) {
	switch a {
	case atom.Script, atom.Style, atom.Title:
		w.hidden = false
	case atom.Blockquote:
		w.lineEnds(2)
		w.quote = max(0, w.quote-1)
	case atom.Pre:
		w.lineEnds(2)
		w.pre = max(0, w.pre-1)
	case atom.A:
		w.closeLink()
	default:
		w.lineEnds(gap(a))
	}
}

func (w *page) closeLink() {
	shown := w.b.String()[min(w.from, w.b.Len()):]
	web := strings.HasPrefix(w.link, "http://") || strings.HasPrefix(w.link, "https://")
	if web && !strings.Contains(shown, strings.TrimSuffix(w.link, "/")) {
		w.space = true
		w.word("<" + w.link + ">")
	}
	w.link = ""
}

// gap is how many line ends part a block from its neighbours.
func gap(a atom.Atom) int {
	switch a {
	case atom.P, atom.Ul, atom.Ol, atom.Table, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6:
		return 2
	case atom.Div, atom.Tr, atom.Li, atom.Hr, atom.Dt, atom.Dd:
		return 1
	}
	return 0
}

func (w *page) lineEnds(n int) { w.breaks = max(w.breaks, n) }

func (w *page) text(s string) {
	if w.hidden {
		return
	}
	if w.pre > 0 {
		for i, line := range strings.Split(s, "\n") {
			if i > 0 {
				w.breaks++
			}
			if line != "" {
				w.word(line)
			}
		}
		return
	}
	for i, word := range strings.FieldsFunc(s, isSpace) {
		w.space = w.space || i > 0 || isSpace(rune(s[0]))
		w.word(word)
	}
	w.space = w.space || s != "" && isSpace(rune(s[len(s)-1]))
}

// isSpace leaves the no-break space alone, unlike unicode.IsSpace.
func isSpace(r rune) bool { return r == ' ' || r == '\n' || r == '\t' || r == '\r' || r == '\f' }

// word sets s after the line ends, quote marks or space that are due.
func (w *page) word(s string) {
	quote := min(w.quote, depthLimit)
	mark := strings.Repeat("> ", quote)
	switch {
	case w.b.Len() == 0:
		w.b.WriteString(mark)
	case w.breaks > 0:
		for range min(w.breaks, 2) - 1 {
			w.b.WriteString("\n" + strings.TrimRight(mark[:2*min(quote, w.quoted)], " "))
		}
		w.b.WriteString("\n" + mark)
	case w.space:
		w.b.WriteByte(' ')
	}
	w.breaks, w.space, w.quoted = 0, false, quote
	w.b.WriteString(s)
}

func attr(t html.Token, name string) string {
	for _, a := range t.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
