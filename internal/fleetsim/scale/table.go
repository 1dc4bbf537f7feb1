package scale

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// columns are those of the table.
var columns = []struct {
	name string
	show func(f Figures) string
}{
	{"hosts", func(f Figures) string { return fmt.Sprint(f.Options.Hosts) }},
	{"slots", func(f Figures) string { return fmt.Sprint(f.Options.Slots) }},
	{"fleets", func(f Figures) string { return fmt.Sprint(f.Fleets) }},
	{"span", func(f Figures) string { return hours(f.Span / time.Duration(f.Fleets)) }},
	{"ideal", func(f Figures) string { return hours(f.Ideal / time.Duration(f.Fleets)) }},
	{"over", func(f Figures) string { return fmt.Sprintf("%.1f %%", 100*f.Over()) }},
	{"hand-off", func(f Figures) string { average, _ := f.HandOffs(); return seconds(average) }},
	{"p95", func(f Figures) string { _, p95 := f.HandOffs(); return seconds(p95) }},
	{"reads/host", func(f Figures) string { return fmt.Sprintf("%.1f", f.PerHost(f.Reads)) }},
	{"queued", func(f Figures) string { return fmt.Sprintf("%.1f", f.PerHost(f.Queued)) }},
	{"holding", func(f Figures) string { return fmt.Sprintf("%.1f", f.PerHost(f.Holding)) }},
	{"checks", func(f Figures) string { return fmt.Sprintf("%.1f", f.PerHost(f.Idle)) }},
	{"writes/host", func(f Figures) string { return fmt.Sprintf("%.1f", f.PerHost(f.Writes)) }},
	{"lost races", func(f Figures) string { return fmt.Sprint(f.Conflicts) }},
	{"peak reads/s", func(f Figures) string { return fmt.Sprint(f.Peak) }},
	{"at", func(f Figures) string { return "+" + hours(f.PeakAfter) }},
	{"throttled", func(f Figures) string { return fmt.Sprint(f.Throttled) }},
	{"record", func(f Figures) string { return fmt.Sprintf("%.1f KB", float64(f.Size)/1024) }},
	{"passed", func(f Figures) string { return fmt.Sprint(f.Passed) }},
	{"USD", func(f Figures) string { return fmt.Sprintf("%.4f", f.Cost/float64(f.Fleets)) }},
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func hours(d time.Duration) string {
	d = d.Round(time.Minute)
	return fmt.Sprintf("%d:%02d h", d/time.Hour, d%time.Hour/time.Minute)
}

// Table writes the figures of runs as a table, one line for each.
func Table(w io.Writer, title string, runs []Figures) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%s\n", title)
	for _, c := range columns {
		fmt.Fprintf(t, "%s\t", c.name)
	}
	for _, f := range runs {
		fmt.Fprintln(t)
		for _, c := range columns {
			fmt.Fprintf(t, "%s\t", c.show(f))
		}
	}
	fmt.Fprintln(t)
	return t.Flush()
}
