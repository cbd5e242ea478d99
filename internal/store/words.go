package store

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxWord is how many bytes of a word are searched by.
const maxWord = 64

// words splits a text into the words by which it is found, the same on both
// databases: runs of letters, digits and their marks, folded to lower case
// without accents. Each Han, Hiragana and Katakana character is a word of its
// own, since those scripts put no spaces between words: neighbours form a phrase.
func words(text string) []string {
	var found []string
	var word strings.Builder
	end := func() {
		if word.Len() > 0 {
			found = append(found, word.String())
			word.Reset()
		}
	}
	for _, r := range fold(text) {
		switch {
		case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana):
			end()
			word.WriteRune(r)
			end()
		case !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsNumber(r):
			end()
		case word.Len()+utf8.RuneLen(r) <= maxWord:
			word.WriteRune(r)
		}
	}
	end()
	return found
}

// fold takes case, accents and widths away.
func fold(text string) string {
	ascii := true
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	if ascii {
		return strings.ToLower(text)
	}
	bare := strings.Map(func(r rune) rune {
		const voiced, halfVoiced = '\u3099', '\u309a' // in kana they make another letter
		if unicode.Is(unicode.Mn, r) && r != voiced && r != halfVoiced {
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFKD.String(text))
	return norm.NFC.String(bare)
}
