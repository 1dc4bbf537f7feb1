package coordtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/drydock-ecs/drydock/coordination"
)

// Marks lets eight workers add marks to one record through whatever faults the
// store has, and checks that each mark is there exactly once: no update was
// lost, and no lost answer was settled wrongly. A worker whose write has an
// unknown outcome waits until the write can no longer be under way, looks, and
// goes on from what it sees. The record must exist and be empty; no call of
// the store may stay under way for more than 20 s. To be called in a
// testing/synctest bubble.
func Marks(t *testing.T, seed uint64, fleet string, as func(worker string) coordination.Store) {
	t.Helper()
	const workers, each = 8, 4
	ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
	defer cancel()
	var group sync.WaitGroup
	var want []string
	for w := range workers {
		name := fmt.Sprintf("host-%d", w)
		for n := range each {
			want = append(want, fmt.Sprintf("%s/%d", name, n))
		}
		group.Go(func() {
			m := marker{store: as(name), fleet: fleet, dice: rand.New(rand.NewPCG(seed, uint64(w)+2))}
			for n := range each {
				if err := m.add(ctx, fmt.Sprintf("%s/%d", name, n)); err != nil {
					t.Errorf("seed %d: %s: %v", seed, name, err)
					return
				}
			}
		})
	}
	group.Wait()
	m := marker{store: as("checker"), fleet: fleet, dice: rand.New(rand.NewPCG(seed, 1))}
	v, err := m.look(ctx)
	got := strings.Fields(string(v.Body))
	slices.Sort(got)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("seed %d: marks %v, %v\nwant %v", seed, got, err, want)
	}
}

// marker is one worker.
type marker struct {
	store coordination.Store
	fleet string
	dice  *rand.Rand
}

// add writes one mark, again after each lost race.
func (m marker) add(ctx context.Context, mark string) error {
	for {
		old, err := m.look(ctx)
		if err != nil {
			return err
		}
		if slices.Contains(strings.Fields(string(old.Body)), mark) {
			return nil // a write whose answer was lost
		}
		_, err = m.store.Replace(ctx, old, fmt.Appendf(nil, "%s %s", old.Body, mark))
		switch {
		case err == nil:
			return nil
		case errors.Is(err, coordination.ErrUnknown):
			err = m.pause(ctx, 20*time.Second)
		default:
			// A lost race, or an error that says that nothing was written.
			err = m.pause(ctx, 0)
		}
		if err != nil {
			return err
		}
	}
}

// look reads until there is an answer.
func (m marker) look(ctx context.Context) (coordination.Value, error) {
	for {
		v, err := m.store.Fetch(ctx, m.fleet)
		if err == nil || ctx.Err() != nil {
			return v, err
		}
		if err := m.pause(ctx, 0); err != nil {
			return v, err
		}
	}
}

// pause waits at least d, with jitter.
func (m marker) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d + time.Duration(m.dice.IntN(1000))*time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
