package store

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestWordsAreIndexedWithoutCaseAccentsAndPunctuation(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "",
		"  Hello,  World! ":      "hello world",
		"e-mail to ana@acme.cz":  "e mail to ana acme cz",
		"Příliš žluťoučký kůň":   "prilis zlutoucky kun",
		"STRASSE Straße":         "strasse strasse",
		"ﬁne №5 Ⅳ":               "fine no5 iv",
		"会議は明日":                  "会 議 は 明 日",
		"v2会議 ok":                "v2 会 議 ok",
		"がぎ かき":                  "が ぎ か き",
		"한국어 문서":                 "한국어 문서",
		"soft\u00adhyphen":       "softhyphen",
		"a'b \\ \"c\" :* & | !d": "a b c d",
		"İstanbul":               "istanbul",
		"Привет":                 "привет",
		strings.Repeat("x", 300): strings.Repeat("x", 200),
	} {
		if got := searchText(text); got != want {
			t.Errorf("searchText(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestIndexedTextIsItsOwnIndexedText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := searchText(rapid.String().Draw(t, "text"))
		if again := searchText(text); again != text {
			t.Fatalf("%q is indexed as %q when indexed again", text, again)
		}
		if strings.Join(strings.Fields(text), " ") != text || !utf8.ValidString(text) {
			t.Fatalf("%q is not words with one space between each", text)
		}
		if strings.ContainsAny(text, `'\":*&|!()<>`) {
			t.Fatalf("%q holds what a query language would read", text)
		}
	})
}

func TestVectorsNameEveryPlace(t *testing.T) {
	if got, want := searchVector("to be or not to be"), "'be':2,6 'not':4 'or':3 'to':1,5 "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
