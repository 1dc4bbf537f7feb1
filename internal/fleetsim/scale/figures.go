package scale

import (
	"container/heap"
	"slices"
	"time"
)

// Figures are what one run came to, or several of fleets of one kind.
type Figures struct {
	Options Options
	Fleets  int
	// Span is from the first grant to the last return; Ideal is the same with
	// the same holds in the same order and no time at all between them.
	Span, Ideal time.Duration
	// HandOff is, for each slot that was returned and granted again, how long it
	// stood free while a host was waiting that had staged the release.
	HandOff []time.Duration
	// Reads of the lock, and those of them by hosts that had staged the release
	// and waited, that had a slot, and that had nothing to do with either.
	Reads, Queued, Holding, Idle int
	// Writes of the lock, and those of them that lost their race; calls that
	// were throttled are in none of the counts.
	Writes, Conflicts, Throttled int
	Peak                         int           // most reads in one second
	PeakAfter                    time.Duration // from the release to that second
	Size                         int           // largest body of the record, in bytes
	Cost                         float64       // USD, host and event rows too
	Dead                         int           // hosts that vanished from the queue
	Passed                       int           // grants to hosts that the queue's pointer had passed
}

func (r *Run) figures() Figures {
	j, m := r.judge, r.store.meter
	return Figures{Options: r.options, Fleets: 1, HandOff: j.handOff, Dead: j.dead, Passed: j.passed,
		Reads: m.reads, Queued: j.reads[queued], Holding: j.reads[holding], Idle: j.reads[idle],
		Writes: m.writes, Conflicts: m.conflicts, Throttled: m.throttled, Size: m.size, Cost: m.cost(),
		Peak: m.peak, PeakAfter: m.peakAt.Sub(r.published),
		Span: j.last.Sub(j.first), Ideal: ideal(j.holds, r.options.Slots)}
}

// Add returns the figures of both runs together, which are of fleets of one
// kind: sums, and the higher one of a peak.
func (f Figures) Add(g Figures) Figures {
	if f.Fleets == 0 {
		return g
	}
	f.Fleets += g.Fleets
	f.HandOff = append(f.HandOff, g.HandOff...)
	f.Dead, f.Passed = f.Dead+g.Dead, f.Passed+g.Passed
	f.Reads, f.Queued, f.Holding, f.Idle = f.Reads+g.Reads, f.Queued+g.Queued, f.Holding+g.Holding, f.Idle+g.Idle
	f.Writes, f.Conflicts, f.Throttled = f.Writes+g.Writes, f.Conflicts+g.Conflicts, f.Throttled+g.Throttled
	f.Span, f.Ideal, f.Cost, f.Size = f.Span+g.Span, f.Ideal+g.Ideal, f.Cost+g.Cost, max(f.Size, g.Size)
	if g.Peak > f.Peak {
		f.Peak, f.PeakAfter = g.Peak, g.PeakAfter
	}
	return f
}

// Over is by how much the span is longer than the ideal, as a share.
func (f Figures) Over() float64 { return f.Span.Seconds()/f.Ideal.Seconds() - 1 }

// HandOffs are the mean hand-off and the one that 95 % are not longer than.
func (f Figures) HandOffs() (average, p95 time.Duration) {
	sorted := slices.Sorted(slices.Values(f.HandOff))
	if len(sorted) == 0 {
		return 0, 0
	}
	return mean(sorted), sorted[(len(sorted)-1)*95/100]
}

// PerHost is a count's share of one host.
func (f Figures) PerHost(n int) float64 {
	return float64(n) / float64(f.Options.Hosts*max(f.Fleets, 1))
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
