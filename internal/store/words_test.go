package store

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTextsAreFoundByTheirFoldedWords(t *testing.T) {
	for text, want := range map[string][]string{
		"":                            nil,
		"Hello, World!":               {"hello", "world"},
		"Ärger mit Straße №5":         {"arger", "mit", "straße", "no5"},
		"e-mail a.b@x.org":            {"e", "mail", "a", "b", "x", "org"},
		"ガス":                          {"ガ", "ス"},
		"東京タワー 2026":                  {"東", "京", "タ", "ワ", "ー", "2026"},
		"Ｆｕｌｌ ｗｉｄｔｈ":                  {"full", "width"},
		"café café":                   {"cafe", "cafe"},
		string(make([]byte, 3)) + "x": {"x"},
	} {
		if diff := cmp.Diff(want, words(text)); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
	long := make([]byte, 1000)
	for i := range long {
		long[i] = 'a'
	}
	if got := words(string(long)); len(got) != 1 || len(got[0]) != maxWord {
		t.Errorf("a word of 1,000 letters became %d words", len(got))
	}
}
