package bench

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Report is what a run measured.
type Report struct {
	Figures []Figure `json:"figures"`
	Machine Machine  `json:"machine"`
	// FloorSource is the Go source of the loop that floors of table rows come from.
	FloorSource string `json:"floor_source"`
}

// Figure is the median of three rounds beside the median of its floor.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	// Floor has the same unit; FloorOf says what was measured for it.
	Floor   float64 `json:"floor"`
	FloorOf string  `json:"floor_of"`
	// Ratio is Value by Floor.
	Ratio float64 `json:"ratio"`
	// Target is what the figure is to reach on this store, "" for nothing.
	Target  string `json:"target"`
	Reached bool   `json:"reached"`
}

// WriteTable writes the report for people: the machine, the figures and the
// floor's source.
func (r Report) WriteTable(w io.Writer) error {
	m := r.Machine
	fmt.Fprintf(w, "%s, %d cores, %.1f GiB, %s, %s, %s on %s, load average %.2f before\n\n", m.CPU, m.Cores,
		float64(m.MemoryBytes)/(1<<30), m.System, m.Go, m.Store, m.FileSystem, m.LoadAverage)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "figure\tvalue\tunit\tfloor\tratio\tto reach\treached\tfloor of")
	for _, f := range r.Figures {
		reached := map[bool]string{true: "yes", false: "NO"}[f.Reached]
		if f.Target == "" {
			reached = ""
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%.3f\t%s\t%s\t%s\n", f.Name, short(f.Value), f.Unit, short(f.Floor), f.Ratio, f.Target, reached, f.FloorOf)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nThe floor of table rows:\n\n%s", r.FloorSource)
	return err
}

// short shows three places of small numbers and none of large ones.
func short(v float64) string {
	switch {
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 1000:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
