package coordtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drydock-ecs/drydock/coordination"
)

func openMemory(*testing.T) (coordination.Store, coordination.Rows) {
	m := NewMemory()
	return m.As("suite"), m.As("suite")
}

func TestMemory(t *testing.T) { Suite(t, openMemory) }

func TestMemoryAgainstItself(t *testing.T) {
	for seed := range uint64(20) {
		Differential(t, seed, 300, openMemory, openMemory)
	}
}

var errOdd = errors.New("odd")

// TestFaults plays every fault against a Replace and looks at once, and when
// everything that was under way has landed.
func TestFaults(t *testing.T) {
	tests := []struct {
		name       string
		fault      Fault
		want       error         // of the Replace, nil for none
		took       time.Duration // until the answer
		now, later string        // stored body at the answer, and a minute after
	}{
		{"none", Fault{}, nil, 0, "new", "new"},
		{"lost", Fault{Lost: true}, coordination.ErrUnknown, 0, "old", "old"},
		{"answer lost", Fault{Err: coordination.ErrUnknown}, coordination.ErrUnknown, 0, "new", "new"},
		{"lost, with an error", Fault{Lost: true, Err: errOdd}, errOdd, 0, "old", "old"},
		{"a lie", Fault{Err: coordination.ErrConflict}, coordination.ErrConflict, 0, "new", "new"},
		{"slow", Fault{Latency: time.Second}, nil, time.Second, "new", "new"},
		{"slower than the deadline", Fault{Latency: 20 * time.Second}, coordination.ErrUnknown, Timeout, "old", "new"},
		{"late", Fault{Late: 10 * time.Second}, coordination.ErrUnknown, 0, "old", "new"},
		{"late, with an error", Fault{Late: time.Second, Err: errOdd}, errOdd, 0, "old", "new"},
		{"hangs", Fault{Hang: true}, coordination.ErrUnknown, Timeout, "new", "new"},
		{"hangs and is lost", Fault{Hang: true, Lost: true}, coordination.ErrUnknown, Timeout, "old", "old"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := NewMemory()
				old, err := m.Create(t.Context(), "f", []byte("old"))
				if err != nil {
					t.Fatal(err)
				}
				m.Faults(func(op, caller string) Fault {
					if op != Replace || caller != "host" {
						t.Errorf("hook asked of %s by %q", op, caller)
					}
					return test.fault
				})
				began := time.Now()
				v, err := m.As("host").Replace(t.Context(), old, []byte("new"))
				took := time.Since(began)
				m.Faults(nil)
				if !errors.Is(err, test.want) || took != test.took {
					t.Errorf("replace: %v after %v, want %v after %v", err, took, test.want, test.took)
				}
				if (v.Token == "") != (test.want != nil) {
					t.Errorf("replace returned %+v with %v", v, err)
				}
				holds(t, m, test.now)
				time.Sleep(time.Minute)
				holds(t, m, test.later)
			})
		})
	}
}

func holds(t *testing.T, m *Memory, want string) {
	t.Helper()
	if v, err := m.Fetch(t.Context(), "f"); err != nil || string(v.Body) != want {
		t.Errorf("holds %q, %v; want %q", v.Body, err, want)
	}
}

// TestLateWriteIsConditional: a write under way lands only if nothing else was
// stored meanwhile.
func TestLateWriteIsConditional(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		old, err := m.Create(t.Context(), "f", []byte("old"))
		if err != nil {
			t.Fatal(err)
		}
		m.Faults(func(_, caller string) Fault {
			if caller == "slow" {
				return Fault{Late: time.Second}
			}
			return Fault{}
		})
		if _, err := m.As("slow").Replace(t.Context(), old, []byte("slow")); !errors.Is(err, coordination.ErrUnknown) {
			t.Fatal(err)
		}
		if _, err := m.As("quick").Replace(t.Context(), old, []byte("quick")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		holds(t, m, "quick")
	})
}

func TestFaultsOfReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		for _, fault := range []Fault{{Lost: true}, {Hang: true}, {Latency: time.Hour}, {Late: time.Second}, {Err: errOdd}} {
			m.Faults(func(string, string) Fault { return fault })
			if _, err := m.Fetch(t.Context(), "f"); Kind(err) != "other" {
				t.Errorf("%+v: fetch: %v", fault, err)
			}
			if rows, err := m.Hosts(t.Context(), "f"); Kind(err) != "other" || rows != nil {
				t.Errorf("%+v: hosts: %v, %v", fault, rows, err)
			}
		}
	})
}

func TestCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		m.Timeout = time.Second
		m.Cut("a", true)
		began := time.Now()
		if _, err := m.As("a").Create(t.Context(), "f", []byte("a")); !errors.Is(err, coordination.ErrUnknown) {
			t.Errorf("create by who is cut off: %v", err)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("it took %v", took)
		}
		if err := m.As("a").PutHost(t.Context(), "f", coordination.HostRow{Host: "i-1"}); err == nil {
			t.Error("put host by who is cut off went well")
		}
		if _, err := m.As("b").Create(t.Context(), "f", []byte("b")); err != nil {
			t.Errorf("create by another: %v", err)
		}
		m.Cut("a", false)
		if v, err := m.As("a").Fetch(t.Context(), "f"); err != nil || string(v.Body) != "b" {
			t.Errorf("fetch after the cut: %q, %v", v.Body, err)
		}
		if m.Calls("a", "") != 3 || m.Calls("", Create) != 2 || m.Calls("", "") != 4 {
			t.Errorf("calls: %d, %d, %d", m.Calls("a", ""), m.Calls("", Create), m.Calls("", ""))
		}
	})
}

func TestHistory(t *testing.T) {
	m, ctx := NewMemory(), t.Context()
	var seen []string
	m.Watch(func(a Applied) {
		seen = append(seen, fmt.Sprintf("%d %s %s %s>%s", a.N, a.Caller, a.Op, a.Before, a.After))
	})
	v, _ := m.As("a").Create(ctx, "f", []byte("1"))
	_, _ = m.As("b").Create(ctx, "f", []byte("x")) // refused: no change
	_, _ = m.As("b").Replace(ctx, v, []byte("2"))
	_, _ = m.As("c").Replace(ctx, v, []byte("x")) // refused: no change
	m.Delete("f")
	m.Delete("f")
	want := "1 a Create >1, 2 b Replace 1>2, 3 operator Delete 2>"
	if got := strings.Join(seen, ", "); got != want {
		t.Errorf("seen %s, want %s", got, want)
	}
	if n := len(m.History()); n != 3 {
		t.Errorf("history of %d changes", n)
	}
	if _, err := m.Fetch(ctx, "f"); !errors.Is(err, coordination.ErrNotFound) {
		t.Errorf("fetch of a deleted record: %v", err)
	}
	if _, err := m.Replace(ctx, v, []byte("3")); !errors.Is(err, coordination.ErrConflict) {
		t.Errorf("replace of a deleted record: %v", err)
	}
}

func TestEvents(t *testing.T) {
	m := NewMemory()
	for _, outcome := range []string{"sick", "updated"} {
		if err := m.PutEvent(t.Context(), "f", coordination.Event{Generation: 2, Host: "i-1", Outcome: outcome}); err != nil {
			t.Fatal(err)
		}
	}
	if events := m.Events("f"); len(events) != 1 || events[0].Outcome != "updated" {
		t.Errorf("events %+v", events)
	}
}

// TestStormyCounter lets workers add marks to one record through random
// faults, settling lost answers by looking. Each mark must be there once.
func TestStormyCounter(t *testing.T) {
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			m := NewMemory()
			if _, err := m.Create(t.Context(), "f", nil); err != nil {
				t.Fatal(err)
			}
			m.Faults(storm(seed))
			Marks(t, seed, "f", func(worker string) coordination.Store { return m.As(worker) })
		})
	}
}

// storm returns a hook that breaks about a third of all calls.
func storm(seed uint64) func(op, caller string) Fault {
	var mu sync.Mutex
	dice := rand.New(rand.NewPCG(seed, 1))
	return func(string, string) Fault {
		mu.Lock()
		defer mu.Unlock()
		if dice.IntN(3) > 0 {
			return Fault{}
		}
		fault := Fault{Lost: dice.IntN(2) == 0, Hang: dice.IntN(4) == 0}
		if !fault.Lost && dice.IntN(4) == 0 {
			fault.Err = coordination.ErrUnknown
		}
		if dice.IntN(3) == 0 {
			fault.Latency = time.Duration(dice.IntN(20_000)) * time.Millisecond
		}
		return fault
	}
}

// brokenStore answers every replace well, whatever it is a replace of.
type brokenStore struct{ coordination.Store }

func (b brokenStore) Replace(ctx context.Context, old coordination.Value, body []byte) (coordination.Value, error) {
	now, err := b.Fetch(ctx, old.Fleet)
	if err != nil {
		return now, err
	}
	return b.Store.Replace(ctx, now, body)
}

// TestDifferencesAreSeen: a store that overwrites blindly is told from a right
// one.
func TestDifferencesAreSeen(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 0))
	right := newPlayer(t, openMemory, "f")
	wrong := newPlayer(t, func(t *testing.T) (coordination.Store, coordination.Rows) {
		store, rows := openMemory(t)
		return brokenStore{store}, rows
	}, "f")
	for range 300 {
		s := roll(dice, len(right.values))
		if right.play(t.Context(), s) != wrong.play(t.Context(), s) {
			return
		}
	}
	t.Error("300 steps did not tell a blind overwrite from a compare-and-swap")
}
