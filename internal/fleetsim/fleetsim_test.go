package fleetsim

import (
	"flag"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

var (
	seeds = flag.Int("seeds", 2000, "number of seeds of TestSeeds")
	first = flag.Uint64("first", 0, "first seed")
)

// run runs one fleet in a bubble of its own and fails with its transcript.
func run(t *testing.T, o Options) *World {
	t.Helper()
	var w *World
	synctest.Test(t, func(*testing.T) { w = Run(o) })
	if broken := w.Broken(); len(broken) > 0 {
		t.Fatalf("%s\n%s\n%s\nreplay: go test ./internal/fleetsim -run TestSeeds -seeds=1 -first=%d -count=100 (the runtime's order of goroutines is not part of the seed)", o, broken, w.Transcript(), o.Seed)
	}
	return w
}

// TestSeeds runs random fleets. The seeds are spread over the processors in
// blocks; a seed that fails prints its transcript and how to run it again, and
// ends its block, with -failfast all of them.
func TestSeeds(t *testing.T) {
	const block = 25
	failFast := flag.Lookup("test.failfast").Value.String() == "true"
	var failed atomic.Bool
	for from := 0; from < *seeds; from += block {
		t.Run(fmt.Sprintf("from %d", *first+uint64(from)), func(t *testing.T) {
			t.Parallel()
			defer func() { failed.Store(failed.Load() || t.Failed()) }()
			for i := from; i < min(from+block, *seeds) && !(failFast && failed.Load()); i++ {
				run(t, Random(*first+uint64(i)))
			}
		})
	}
}
