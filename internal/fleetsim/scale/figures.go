package scale

import (
	"container/heap"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// Figures are what one run came to.
type Figures struct {
	Options Options
	// Span is from the first grant to the last return; Ideal is the same with
	// the same holds in the same order and no time at all between them.
	Span, Ideal time.Duration
	// A hand-off is the time that a returned slot stood free while a host was
	// waiting that had staged the release.
	HandOffs               int
	HandOffMean, HandOff95 time.Duration
	HoldMean               time.Duration
	// Reads and writes of the lock, and the reads by what the reader was doing.
	Reads, Queued, Holding, Idle int
	Writes, Conflicts, Throttled int
	Peak                         int           // most reads in one second
	PeakAfter                    time.Duration // and when, from the start
	Size                         int           // largest body of the record, in bytes
	Cost                         float64       // USD, host and event rows too
	Dead                         int
	Passed                       int // grants to hosts that the queue's pointer had passed
}

func (r *Run) figures() Figures {
	j, m := r.judge, r.store.meter
	f := Figures{Options: r.options, HandOffs: len(j.handOff), Reads: m.reads, Queued: j.reads[queued], Holding: j.reads[holding], Idle: j.reads[idle],
		Writes: m.writes, Conflicts: m.conflicts, Throttled: m.throttled, Peak: m.peak, Size: m.size, Cost: m.cost(), Dead: j.dead, Passed: j.passed,
		Span: j.last.Sub(j.first), Ideal: ideal(j.holds, r.options.Slots), HoldMean: mean(j.holds)}
	f.PeakAfter = m.peakAt.Sub(r.published)
	slices.Sort(j.handOff)
	f.HandOffMean = mean(j.handOff)
	if n := len(j.handOff); n > 0 {
		f.HandOff95 = j.handOff[(n-1)*95/100]
	}
	return f
}

func mean(all []time.Duration) time.Duration {
	var sum time.Duration
	for _, d := range all {
		sum += d
	}
	return sum / time.Duration(max(len(all), 1))
}

// ends is a heap of the moments in which slots become free.
type ends []time.Duration

func (e ends) Len() int           { return len(e) }
func (e ends) Less(i, j int) bool { return e[i] < e[j] }
func (e ends) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }

// Push implements heap.Interface.
func (e *ends) Push(x any) { *e = append(*e, x.(time.Duration)) }

// Pop implements heap.Interface.
func (e *ends) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// ideal is how long the holds take when each begins as soon as a slot is free.
func ideal(holds []time.Duration, slots int) time.Duration {
	e := make(ends, slots)
	var span time.Duration
	for _, hold := range holds {
		e[0] += hold
		span = max(span, e[0])
		heap.Fix(&e, 0)
	}
	return span
}

// Table writes the figures of runs as a table.
func Table(w io.Writer, runs []Figures) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "hosts\tslots\tdead\tspan\tideal\tover\thand-off mean\tp95\treads/host\tqueued\tholding\tidle\twrites/host\tconflicts\tpeak reads/s\tat\tthrottled\trecord\tUSD\tpassed\t")
	for _, f := range runs {
		per := func(n int) string { return fmt.Sprintf("%.1f", float64(n)/float64(f.Options.Hosts)) }
		fmt.Fprintf(t, "%d\t%d\t%d\t%s\t%s\t%+.1f%%\t%.1fs\t%.1fs\t%s\t%s\t%s\t%s\t%s\t%.1f%%\t%d\t%s\t%d\t%.1f KB\t%.4f\t%d\t\n",
			f.Options.Hosts, f.Options.Slots, f.Dead, f.Span.Round(time.Minute), f.Ideal.Round(time.Minute), 100*(f.Span.Seconds()/f.Ideal.Seconds()-1),
			f.HandOffMean.Seconds(), f.HandOff95.Seconds(), per(f.Reads), per(f.Queued), per(f.Holding), per(f.Idle), per(f.Writes),
			100*float64(f.Conflicts)/float64(max(f.Writes, 1)), f.Peak, f.PeakAfter.Round(time.Second), f.Throttled, float64(f.Size)/1024, f.Cost, f.Passed)
	}
	return t.Flush()
}
