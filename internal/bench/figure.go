package bench

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// reading is one round's value of a figure and of its floor, in the figure's unit.
type reading struct{ value, floor float64 }

// trial measures some figures together.
type trial struct {
	name, about string
	measures    []measure
	// set prepares what the rounds need and returns one round.
	set func(context.Context, *stage) (func(context.Context) (map[string]reading, error), error)
}

// measure is a figure that can be asked for by name.
type measure struct {
	name, unit string
	floor      string // what the floor is
	target     target
}

// target is what a figure is to reach: the bounds that are not zero. Ratios are
// to the floor; on PostgreSQL postgresRatio is the only bound.
type target struct {
	atLeast, atMost      float64
	ratio, postgresRatio float64
}

const (
	floorHundreds = "table rows, 100 a transaction"
	floorLone     = "table rows, one a transaction"
	floorHub      = "bare hub"
)

var trials = []trial{
	{"posts", "32 clients post to one server", []measure{
		{"post_rate", "/s", floorHundreds, target{atLeast: 4000, ratio: 0.035, postgresRatio: 0.2}},
	}, setPosts},
	{"lone", "one client posts to one server", []measure{
		{"post_p50", "ms", floorLone, target{atMost: 1.5}},
		{"post_p99", "ms", floorLone, target{atMost: 5}},
	}, setLone},
	{"federated", "32 clients post to one server until all is readable on its partner", []measure{
		{"federated_rate", "/s", floorHundreds, target{atLeast: 3500, ratio: 0.03, postgresRatio: 0.08}},
	}, setFederated},
	{"delivery", "5 posts a second on one server, until a socket of its partner has each", []measure{
		{"delivery_p50", "ms", floorHub, target{atMost: 4}},
		{"delivery_p99", "ms", floorHub, target{atMost: 12}},
	}, setDelivery},
	{"catchup", "a server starts and catches up on 20,000 messages", []measure{
		{"catchup_rate", "/s", floorHundreds, target{atLeast: 6000, ratio: 0.06, postgresRatio: 0.3}},
		{"catchup_first", "ms", floorHub, target{atMost: 1000}},
	}, setCatchup},
	{"sockets", "1,000 sockets, idle, then 200 events to each by 32 clients", []measure{
		{"fanout_rate", "/s", floorHub, target{ratio: 0.9, postgresRatio: 0.9}},
		{"rss_idle", "MiB", floorHub, target{atMost: 40}},
		{"rss_per_socket", "KiB", floorHub, target{atMost: 20}},
	}, setSockets},
	{"size", "the database's growth over 20,000 messages", []measure{
		{"bytes_per_message", "B", floorHundreds, target{atMost: 1800}},
	}, setSize},
	{"start", "a server starts with 100,000 events", []measure{
		{"start_time", "ms", floorHub, target{atMost: 1000}},
	}, setStart},
}

func (t trial) figures() []string {
	var names []string
	for _, m := range t.measures {
		names = append(names, m.name)
	}
	return names
}

// Names are the figures that can be asked for, in the order of the table.
func Names() []string {
	var names []string
	for _, t := range trials {
		names = append(names, t.figures()...)
	}
	return names
}

func choose(only []string) ([]string, error) {
	all := Names()
	for _, name := range only {
		if !slices.Contains(all, name) {
			return nil, fmt.Errorf("no figure is called %q; there are %s", name, strings.Join(all, ", "))
		}
	}
	if len(only) == 0 {
		return all, nil
	}
	return only, nil
}

// figureOf takes the medians of a figure's readings and judges them.
func figureOf(name string, readings map[string][]reading, postgres bool) Figure {
	var m measure
	for _, t := range trials {
		if i := slices.IndexFunc(t.measures, func(m measure) bool { return m.name == name }); i >= 0 {
			m = t.measures[i]
		}
	}
	var values, floors []float64
	for _, r := range readings[name] {
		values, floors = append(values, r.value), append(floors, r.floor)
	}
	f := Figure{Name: name, Value: median(values), Unit: m.unit, Floor: median(floors), FloorOf: m.floor}
	if f.Floor > 0 {
		f.Ratio = f.Value / f.Floor
	}
	f.Target, f.Reached = m.target.judge(f, postgres)
	return f
}

// judge says in words what a figure is to reach, "" for nothing, and whether it
// does.
func (t target) judge(f Figure, postgres bool) (words string, reached bool) {
	if postgres {
		t = target{ratio: t.postgresRatio}
	}
	bounds := map[string]bool{}
	if t.ratio > 0 {
		bounds[fmt.Sprintf("≥ %g of the floor", t.ratio)] = f.Ratio >= t.ratio
	}
	if t.atLeast > 0 {
		bounds[fmt.Sprintf("≥ %g %s", t.atLeast, f.Unit)] = f.Value >= t.atLeast
	}
	if t.atMost > 0 {
		bounds[fmt.Sprintf("≤ %g %s", t.atMost, f.Unit)] = f.Value <= t.atMost
	}
	words = strings.Join(slices.Sorted(maps.Keys(bounds)), ", ")
	return words, !slices.Contains(slices.Collect(maps.Values(bounds)), false)
}
