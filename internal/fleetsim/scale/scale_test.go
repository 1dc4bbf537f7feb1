package scale

import (
	"flag"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

var (
	hosts = flag.Int("hosts", 0, "run one fleet of so many hosts")
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
	t.Logf("%s: simulated in %s", o, time.Since(began).Round(time.Millisecond))
	return f
}

func TestOne(t *testing.T) {
	if *hosts == 0 {
		t.Skip("no -hosts")
	}
	f := measure(t, Options{Seed: *seed, Hosts: *hosts, Slots: *slots, Dead: *dead, Rush: *rush})
	if err := Table(os.Stdout, []Figures{f}); err != nil {
		t.Error(err)
	}
}
