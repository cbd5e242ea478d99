package bench

import (
	"math/rand/v2"
	"strings"
)

// bodySize is the bytes of a message's text.
const bodySize = 300

const vocabulary = `the a of to and in that we it for on with as this not be at by from they you
have or had but what there can out other were all your when up use word how said each which do
their time will way about many then them would write like so these her long make thing see him two
has look more day could go come did my sound no most number who over know water than call first
people may down side been now find any new work part take get place made live where after back
little only round man year came show every good me give our under name very through just form much
great think say help low line before turn cause same mean differ move right boy old too does tell
sentence set three want air well also play small end put home read hand port large spell add even
land here must big high such follow act why ask men change went light kind off need house picture
try us again animal point mother world near build self earth father deadline proposal meeting draft
invoice warehouse schedule shipment review budget contract holiday agenda quarter delay customs
harbour supplier estimate measurement reply question decision attachment colleague office tomorrow
yesterday Berlin Tokyo Lisbon container invoice translation specification tolerance inspection
regards thanks please confirm whether otherwise perhaps meanwhile however although because`

// prose writes texts of about the words that people write to each other.
type prose struct {
	words  []string
	random *rand.Rand
	text   []byte
}

// newProse writes other texts for each seed, and the same ones for the same.
func newProse(seed uint64) *prose {
	return &prose{words: strings.Fields(vocabulary), random: rand.New(rand.NewPCG(seed, 1))}
}

// next is a text of 300 bytes that begins with mark. It holds only letters,
// digits, spaces and stops, and is valid until the next call.
func (p *prose) next(mark string) []byte {
	p.text = append(p.text[:0], mark...)
	for sentence := 0; len(p.text) < bodySize; {
		if sentence++; sentence > 8 && p.random.IntN(6) == 0 {
			p.text, sentence = append(p.text, '.'), 0
		}
		p.text = append(p.text, ' ')
		p.text = append(p.text, p.words[p.random.IntN(len(p.words))]...)
	}
	p.text = p.text[:bodySize-1]
	p.text = append(p.text, '.')
	return p.text
}
