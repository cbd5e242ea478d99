package threads

import "testing"

func TestSuccessorCitesTheChannelAsItsFounderHadIt(t *testing.T) {
	g := newGuestbook(t)
	g.write("the last words")
	next := NewChannel("")
	first := g.havel.must(next, g.mia, CreateChannel{Settings: g.away.Settings, Follows: g.away.Cite()})[0]
	read := replica(t, []*Event{first})
	cited := read.Follows()
	if cited == nil || cited.Channel != g.host.ID || !g.host.Succeeded(cited) || !g.away.Succeeded(cited) {
		t.Fatalf("citation %+v", cited)
	}
	if g.control[0].Header.Seq != 1 || replica(t, g.control[:1]).Follows() != nil {
		t.Error("a first channel cites something")
	}
	other := *cited
	other.Control.Hash = first.ID
	stranger := *cited
	stranger.By = g.havel.person("nobody")
	elsewhere := *cited
	elsewhere.Channel = first.ID
	for name, c := range map[string]*Citation{"another history": &other, "by one who is not in it": &stranger, "another channel": &elsewhere} {
		if g.host.Succeeded(c) {
			t.Errorf("%s: taken", name)
		}
	}
}
