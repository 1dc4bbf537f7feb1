package scale

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

var (
	table = flag.Bool("table", false, "run the fleets of the table, ten thousand hosts among them, and print it")
	hosts = flag.Int("hosts", 0, "run one fleet of so many hosts and print its line")
	slots = flag.Int("slots", 1, "with so many slots")
	dead  = flag.Float64("dead", 0, "and this share of dead tickets")
	rush  = flag.Bool("rush", false, "and all agents starting at once")
	seed  = flag.Uint64("seed", 1, "and this seed")
)

// measure runs one fleet in a bubble of its own.
func measure(t *testing.T, o Options) Figures {
	t.Helper()
	var f Figures
	var err error
	began := time.Now()
	synctest.Test(t, func(*testing.T) { f, err = Measure(o) })
	if err != nil {
		t.Errorf("%s: %v", o, err)
	}
	if o.Hosts >= 1000 {
		t.Logf("%s: simulated in %s", o, time.Since(began).Round(time.Second))
	}
	return f
}

func TestOne(t *testing.T) {
	if *hosts == 0 {
		t.Skip("no -hosts")
	}
	f := measure(t, Options{Seed: *seed, Hosts: *hosts, Slots: *slots, Dead: *dead, Rush: *rush})
	if err := Table(os.Stdout, "", []Figures{f}); err != nil {
		t.Error(err)
	}
}

// kinds are the fleets of the table. Small ones have few hand-offs, so there
// are several of each.
var kinds = []struct{ hosts, slots, fleets int }{{10, 1, 100}, {100, 1, 20}, {1000, 10, 3}, {10000, 100, 1}}

// The targets for every line of the table.
const (
	meanHandOff     = 3 * time.Second
	longHandOff     = 6 * time.Second
	meanHandOffDead = 10 * time.Second
	peakReads       = 300
)

// mostReads is how often a host may read the lock, by the hosts of the fleet.
var mostReads = map[int]float64{100: 110, 10000: 40}

// TestTable prints what the lock costs.
func TestTable(t *testing.T) {
	if !*table {
		t.Skip("no -table: it takes minutes")
	}
	for _, part := range []struct {
		title  string
		change Options
	}{
		{"A release is published to a fleet that runs:", Options{}},
		{"The same, and 5 % of the hosts join the queue and vanish:", Options{Dead: 0.05}},
		{"All agents start within a minute, and find the release at once:", Options{Rush: true}},
	} {
		var runs []Figures
		var short []string
		for _, k := range kinds {
			o := part.change
			o.Hosts, o.Slots = k.hosts, k.slots
			if o.Dead > 0 && o.Dead*float64(o.Hosts) < 1 {
				continue // not one of them would vanish
			}
			f := fleets(t, o, k.fleets)
			short = append(short, missed(f)...)
			runs = append(runs, f)
		}
		if err := Table(os.Stdout, part.title, runs); err != nil {
			t.Error(err)
		}
		for _, miss := range short {
			fmt.Println("MISSED:", miss)
		}
	}
}

// fleets runs several fleets of a kind, on all processors.
func fleets(t *testing.T, o Options, n int) Figures {
	all := make([]Figures, n)
	t.Run(o.String(), func(t *testing.T) {
		for i := range all {
			t.Run("", func(t *testing.T) {
				if n > 1 {
					t.Parallel()
				}
				o := o
				o.Seed = uint64(i + 1)
				all[i] = measure(t, o)
			})
		}
	})
	var sum Figures
	for _, f := range all {
		sum = sum.Add(f)
	}
	runtime.GC() // a fleet of ten thousand leaves gigabytes
	return sum
}

// missed says which targets a line misses. They are printed and fail nothing:
// chance moves them, and what the lock promises is tested elsewhere.
func missed(f Figures) []string {
	average, p95 := f.HandOffs()
	limit, most := meanHandOff, mostReads[f.Options.Hosts]
	if f.Options.Dead > 0 {
		limit, most, p95 = meanHandOffDead, 0, 0
	}
	var all []string
	miss := func(is bool, format string, args ...any) {
		if is {
			all = append(all, f.Options.String()+": "+fmt.Sprintf(format, args...))
		}
	}
	miss(average > limit, "mean hand-off %s, target %s", average, limit)
	miss(p95 > longHandOff, "p95 of the hand-off %s, target %s", p95, longHandOff)
	miss(most > 0 && f.PerHost(f.Reads) > most, "%.1f reads a host (%.1f without regular checks), target %.0f", f.PerHost(f.Reads), f.PerHost(f.Queued+f.Holding), most)
	miss(f.Peak >= peakReads || f.Throttled > 0, "%d reads in one second, target %d; %d calls throttled", f.Peak, peakReads, f.Throttled)
	return all
}

// TestSmall is a look at the figures that takes no time, with room for chance.
func TestSmall(t *testing.T) {
	for _, o := range []Options{{Seed: 1, Hosts: 10, Slots: 1}, {Seed: 2, Hosts: 60, Slots: 4}, {Seed: 3, Hosts: 60, Slots: 4, Dead: 0.1}, {Seed: 4, Hosts: 60, Slots: 4, Rush: true}} {
		f := measure(t, o)
		average, _ := f.HandOffs()
		if average > 30*time.Second || f.PerHost(f.Reads) > 300 || f.PerHost(f.Writes) > 8 || f.Over() > 0.1 {
			t.Errorf("%s: %+v", o, f)
		}
		if want := o.Hosts - f.Dead - o.Slots; len(f.HandOff) < want-1 || len(f.HandOff) > want {
			t.Errorf("%s: %d hand-offs, with %d dead", o, len(f.HandOff), f.Dead)
		}
	}
}

// TestIdeal: holds begin as soon as a slot is free, in their order.
func TestIdeal(t *testing.T) {
	holds := []time.Duration{5, 1, 1, 1, 4}
	for slots, want := range map[int]time.Duration{1: 12, 2: 7, 5: 5} {
		if got := ideal(holds, slots); got != want {
			t.Errorf("%d slots: %d, want %d", slots, got, want)
		}
	}
}
