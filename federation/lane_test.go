package federation

import (
	"testing"

	"meridian/threads"
)

func TestARestartForgetsNothingThatAPartnerLacks(t *testing.T) {
	id := func(epoch int64) threads.LogID { return threads.LogID{Origin: "kobo.example", Epoch: epoch} }
	heads := map[threads.LogID]int64{id(1): 10, id(2): 20, id(3): 30}
	for name, there := range map[string]map[threads.LogID]int64{
		"nothing":                 {},
		"a part of the first log": {id(1): 4},
		"a part of the second":    {id(1): 10, id(2): 7},
		"none of the third":       {id(1): 10, id(2): 20},
		"a part of the third":     {id(1): 10, id(2): 20, id(3): 1},
	} {
		saved := &lane{have: there}
		saved.newest("kobo.example")
		loaded := &lane{have: map[threads.LogID]int64{}}
		for log, seq := range heads {
			loaded.have[log] = seq // what a new lane takes for granted
		}
		loaded.reach(saved.PartnerChannel)
		for log := range heads {
			if loaded.have[log] > there[log] {
				t.Errorf("%s: taken to have log %d up to %d, has %d", name, log.Epoch, loaded.have[log], there[log])
			}
		}
	}
}
