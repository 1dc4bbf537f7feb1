package containerinstance_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/drydock-ecs/drydock/internal/ecstest"
)

// TestForecast draws services by chance, asks Classify whether the host can be
// drained, drains it, and sees who was right: Classify, whose arithmetic is a
// few lines, or the stand-in's scheduler, which moves one task at a time.
func TestForecast(t *testing.T) {
	stuckOnes := 0
	for seed := range uint64(300) {
		inWorld(t, ecstest.Realistic(), func(w *world) {
			r := rand.New(rand.NewPCG(seed, 0))
			for n := range 1 + r.IntN(3) {
				w.cluster.AddService(ecstest.Service{
					Name:    fmt.Sprintf("svc%d", n),
					Desired: 1 + r.IntN(7),
					Limits:  &ecstest.Limits{Minimum: r.IntN(101), Maximum: 100 + r.IntN(60)},
				})
			}
			settle(2 * time.Minute)
			inventory := w.classify()
			if err := w.door.Drain(w.Context(), w.self); err != nil {
				w.Fatal(err)
			}
			settle(2 * time.Hour)
			left := w.remaining()
			if (len(inventory.Stuck) > 0) != (len(left) > 0) {
				w.Fatalf("seed %d: said %q, and %s is left", seed, inventory.Stuck, summary(left))
			}
			if len(left) > 0 {
				stuckOnes++
			}
		})
	}
	if stuckOnes < 30 || stuckOnes > 270 {
		t.Errorf("%d of 300 drains were stuck: too few of a kind to learn from", stuckOnes)
	}
}
