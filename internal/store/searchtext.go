package store

import (
	"sort"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxToken is how many bytes of a word are told apart in searching; PostgreSQL
// takes no lexeme above 2 kB.
const maxToken = 200

// maxPosition is the greatest place of a word that a PostgreSQL text search
// vector holds.
const maxPosition = 16383

// searchText is what is indexed of s, and what a query for s looks for: its
// words without case, accents and punctuation, one space between each. Both
// stores index exactly these words (FTS5 with tokenize='ascii', which parts
// them at spaces and changes nothing; PostgreSQL through searchVector), so both
// find the same. Scripts that write no spaces are parted into their characters.
func searchText(s string) string {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			out = append(out, c)
		case c >= 'A' && c <= 'Z':
			out = append(out, c+'a'-'A')
		case c >= utf8.RuneSelf:
			return cutTokens(foldText(s))
		case len(out) > 0 && out[len(out)-1] != ' ':
			out = append(out, ' ')
		}
	}
	return cutTokens(strings.TrimSuffix(string(out), " "))
}

// foldText does for any script what searchText does for ASCII.
func foldText(s string) string {
	var plain strings.Builder
	for _, r := range norm.NFKD.String(s) {
		switch {
		case r == 'ß' || r == 'ẞ':
			plain.WriteString("ss")
		case !dropped(r):
			plain.WriteRune(unicode.ToLower(unicode.ToUpper(r)))
		}
	}
	var out strings.Builder
	gap := false
	for _, r := range norm.NFC.String(plain.String()) {
		single := standsAlone(r)
		if !isWord(r) {
			gap = true
			continue
		}
		if (gap || single) && out.Len() > 0 {
			out.WriteByte(' ')
		}
		out.WriteRune(r)
		gap = single
	}
	return out.String()
}

// dropped are accents and the invisible; the voicing marks of kana make other
// letters and stay.
func dropped(r rune) bool {
	return unicode.Is(unicode.Mn, r) && r != '\u3099' && r != '\u309a' || unicode.Is(unicode.Cf, r)
}

func isWord(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.Is(unicode.Mc, r)
}

// standsAlone says whether r belongs to a script that is written without spaces.
func standsAlone(r rune) bool {
	return r >= 0x0e00 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

// cutTokens shortens overlong words, in text and in queries alike.
func cutTokens(s string) string {
	length := 0
	for i := range len(s) {
		if length++; s[i] == ' ' {
			length = 0
		}
		if length > maxToken {
			return joinCut(strings.Fields(s))
		}
	}
	return s
}

func joinCut(words []string) string {
	for i, w := range words {
		if len(w) > maxToken {
			words[i] = strings.ToValidUTF8(w[:maxToken], "")
		}
	}
	return strings.Join(words, " ")
}

// attribution marks the words of a name by which an archive states who wrote a
// message, so that they are found as that alone; searchText passes it never.
const attribution = "§"

// searchMarks is what is indexed beside the text of a message attributed to
// somebody: the words of that name, marked; "" for none.
func searchMarks(attributedTo string) string {
	if attributedTo == "" {
		return ""
	}
	return strings.ReplaceAll(" "+searchText(attributedTo), " ", " "+attribution)
}

// searchVector is text, made by searchText, as a PostgreSQL tsvector in its
// text form. PostgreSQL keeps at most 256 places of one word and none beyond
// 16,383, so in a very long text a phrase may go unfound there.
func searchVector(text string) string {
	words := strings.Fields(text)
	places := make(map[string][]int, len(words))
	for i, w := range words {
		places[w] = append(places[w], min(i+1, maxPosition))
	}
	distinct := make([]string, 0, len(places))
	for w := range places {
		distinct = append(distinct, w)
	}
	sort.Strings(distinct)
	out := make([]byte, 0, 2*len(text))
	for _, w := range distinct {
		out = append(append(append(out, '\''), w...), "':"...)
		for i, place := range places[w] {
			if i > 0 {
				out = append(out, ',')
			}
			out = strconv.AppendInt(out, int64(place), 10)
		}
		out = append(out, ' ')
	}
	return string(out)
}
