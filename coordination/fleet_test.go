package coordination

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// playStore is a store of one value that plays a script, one entry a Replace.
type playStore struct {
	mu       sync.Mutex
	latency  time.Duration // of Fetch, so that others come in between
	value    Value
	writes   int
	fetchErr error
	script   []play
	asked    []time.Time // when each Replace was called
}

// play is what happens to one Replace.
type play struct {
	before func(*playStore) // what others do right before it
	lost   bool             // it is not applied
	err    error            // reported instead of the truth
}

func (s *playStore) put(body []byte) Value {
	s.writes++
	s.value = Value{Fleet: "fleet", Token: fmt.Sprint(s.writes), Body: body}
	return s.value
}

func (s *playStore) Fetch(ctx context.Context, fleet string) (Value, error) {
	if fleet != "fleet" {
		return Value{}, ErrNotFound
	}
	if err := ctx.Err(); err != nil {
		return Value{}, err
	}
	defer time.Sleep(s.latency)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.value, s.fetchErr
}

func (s *playStore) Create(context.Context, string, []byte) (Value, error) {
	return Value{}, errors.New("an agent never creates a record")
}

func (s *playStore) Replace(_ context.Context, old Value, body []byte) (Value, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, time.Now())
	var p play
	if len(s.script) > 0 {
		p, s.script = s.script[0], s.script[1:]
	}
	if p.before != nil {
		p.before(s)
	}
	if p.lost {
		return Value{}, p.err
	}
	if old.Token != s.value.Token {
		return Value{}, ErrConflict
	}
	v := s.put(body)
	return v, p.err
}

// other is a change by someone else: it raises the average hold by a second,
// so that the changes can be counted.
func other(t *testing.T) func(*playStore) {
	return func(s *playStore) {
		r := mustDecode(t, string(s.value.Body))
		r.AverageHold++
		s.put([]byte(stored(t, r)))
	}
}

// late lands the write before when the next one is under way.
func late(t *testing.T, rule Rule) play {
	return play{before: func(s *playStore) {
		next, err := rule.Change(mustDecode(t, string(s.value.Body)))
		if err != nil {
			t.Error(err)
		}
		s.put([]byte(stored(t, next)))
	}}
}

func playing(t *testing.T, r Record, script ...play) (*Fleet, *playStore) {
	s := &playStore{script: script}
	s.put([]byte(stored(t, r)))
	return &Fleet{ARN: "fleet", Store: s}, s
}

// TestApplySettles plays what can happen to a write. Whatever it is, the rule
// has its way exactly once, and everybody else's change stays.
func TestApplySettles(t *testing.T) {
	unknown := play{err: ErrUnknown}
	lost := play{lost: true, err: ErrUnknown}
	race := play{before: other(t)}
	rules := []struct {
		name   string
		record Record
		rule   Rule
		left   string // view of the record after it
		always bool   // it writes each time it is asked
	}{
		{"grant", fleetOf(), Grant(claimOf(), numbers, clock(10)),
			"generation 6\nholder i-a/5 draining 2.0 in \"za\" stuck=false back=false\nholder i-b/6 granted 2.0 in \"zb\" stuck=false back=false", false},
		{"reassert", fleetOf(), Reassert("i-a", 5, Rebooting, time.Hour, numbers, clock(10)),
			"generation 5\nholder i-a/5 rebooting 2.0 in \"za\" stuck=false back=false", true},
		{"fail", fleetOf(), Fail("i-a", 5, "sick", time.Hour, clock(10)),
			"generation 5\nfailure i-a/5 sick\nholder i-a/5 sick 2.0 in \"za\" stuck=false back=false", false},
		{"return", fleetOf(), Return("i-a", 5, Report{Release: "2.0", Cause: "fell_back", Refuse: true}, clock(10)),
			"generation 5\nfailure i-a/5 fell_back\nrefused 2.0", false},
	}
	for _, test := range rules {
		scripts := []struct {
			name   string
			script []play
			writes int // Replace calls
			others int
		}{
			{"no trouble", nil, 1, 0},
			{"a race lost", []play{race}, 2, 1},
			{"three races lost", []play{race, race, race}, 4, 3},
			{"answer lost, applied", []play{unknown}, 1, 0},
			{"answer lost, not applied", []play{lost}, 2, 0},
			{"every kind of loss", []play{race, lost, race, unknown}, 4, 2},
			{"answer lost, applied after the look", []play{lost, late(t, test.rule)}, 2, 0},
			{"answer lost, applied, then changed by another", []play{{err: ErrUnknown}, race}, 1, 0},
		}
		for _, s := range scripts {
			t.Run(test.name+"/"+s.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					fleet, store := playing(t, test.record, s.script...)
					got, err := fleet.Apply(t.Context(), test.rule)
					if err != nil {
						t.Fatal(err)
					}
					left := mustDecode(t, string(store.value.Body))
					if view := viewOf(left); view != test.left {
						t.Errorf("the record is\n%s, want\n%s", view, test.left)
					}
					if stored(t, got) != stored(t, left) {
						t.Error("Apply returned another record than the one stored")
					}
					if !test.always && len(store.asked) != s.writes {
						t.Errorf("%d writes, want %d", len(store.asked), s.writes)
					}
					// A return writes the average itself: 600 s over what others made of it.
					if !test.always && test.name != "return" && left.AverageHold != float64(s.others) {
						t.Errorf("%v changes of others are there, want %d", left.AverageHold, s.others)
					}
				})
			})
		}
	}
}

func TestApplyDenied(t *testing.T) {
	fleet, store := playing(t, fleetOf(policy("1 2 0")))
	r, err := fleet.Apply(t.Context(), Grant(claimOf(), numbers, clock(10)))
	if Why(err) != Full {
		t.Errorf("%v, want a denial", err)
	}
	if _, ok := r.Holder("i-a"); !ok {
		t.Errorf("a denial must come with the record that it was made of, not %+v", r)
	}
	if len(store.asked) != 0 {
		t.Error("something was written")
	}
}

// TestApplyDeniedAfterRace: what was allowed by the first look is not by the second.
func TestApplyDeniedAfterRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		halt := play{before: func(s *playStore) {
			r := mustDecode(t, string(s.value.Body))
			halted(&r)
			s.put([]byte(stored(t, r)))
		}}
		fleet, store := playing(t, fleetOf(), halt)
		_, err := fleet.Apply(t.Context(), Grant(claimOf(), numbers, clock(10)))
		if left := mustDecode(t, string(store.value.Body)); Why(err) != FleetHalted || len(left.Holders) != 1 {
			t.Errorf("%v; holders are %+v", err, left.Holders)
		}
	})
}

func TestApplyDoneWritesNothing(t *testing.T) {
	fleet, store := playing(t, fleetOf(empty))
	r, err := fleet.Apply(t.Context(), Return("i-a", 5, Report{}, clock(10)))
	if err != nil || r.Generation != 5 || len(store.asked) != 0 {
		t.Errorf("%+v, %v, %d writes", r, err, len(store.asked))
	}
}

func TestApplyGivesUpAtOnce(t *testing.T) {
	odd := errors.New("odd")
	nan := Rule{Change: func(r Record) (Record, error) { r.AverageHold = math.NaN(); return r, nil }}
	broken := Rule{Change: func(r Record) (Record, error) { return r, odd }}
	announce := Announce("i-a", 5, Verifying, time.Hour, clock(10))
	tests := []struct {
		name  string
		setup func(*Fleet, *playStore)
		rule  Rule
		want  error
		text  string
	}{
		{"no record", func(f *Fleet, _ *playStore) { f.ARN = "other" }, announce, ErrNotFound, "read the lock record: "},
		{"no table", func(_ *Fleet, s *playStore) { s.fetchErr = ErrNoTable }, announce, ErrNoTable, "read the lock record: "},
		{"a newer record", func(_ *Fleet, s *playStore) { s.put([]byte(`{"schema":9}`)) }, announce, ErrNewer, "read the lock record: "},
		{"nonsense", func(_ *Fleet, s *playStore) { s.put([]byte(`{}`)) }, announce, ErrNonsense, "read the lock record: "},
		{"a write refused", func(_ *Fleet, s *playStore) { s.script = []play{{lost: true, err: odd}} }, announce, odd, "write the lock record: "},
		{"a rule that fails", func(*Fleet, *playStore) {}, broken, odd, "odd"},
		{"a record that cannot be written", func(*Fleet, *playStore) {}, nan, nil, "encode the lock record: "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fleet, store := playing(t, fleetOf())
				test.setup(fleet, store)
				writes, began := store.writes, time.Now()
				_, err := fleet.Apply(t.Context(), test.rule)
				if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.HasPrefix(err.Error(), test.text) {
					t.Errorf("%v, want %q… of %v", err, test.text, test.want)
				}
				if took := time.Since(began); took != 0 || store.writes != writes || len(store.asked) > 1 {
					t.Errorf("after %s and %d writes", took, store.writes-writes)
				}
			})
		})
	}
}

// TestApplyEnds: a rule that never has its way ends with the context, and says
// both why it did not and that the time was over.
func TestApplyEnds(t *testing.T) {
	for _, trouble := range []error{ErrConflict, ErrUnknown} {
		synctest.Test(t, func(t *testing.T) {
			fleet, store := playing(t, fleetOf(), slices.Repeat([]play{{lost: true, err: trouble}}, 1000)...)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			began := time.Now()
			_, err := fleet.Apply(ctx, Announce("i-a", 5, Verifying, time.Hour, clock(10)))
			if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, trouble) {
				t.Errorf("%v, want both %v and the end of the context", err, trouble)
			}
			if took := time.Since(began); took != 30*time.Second {
				t.Errorf("ended after %s", took)
			}
			if n := len(store.asked); n < 8 {
				t.Errorf("only %d tries", n)
			}
		})
	}
	fleet, store := playing(t, fleetOf())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := fleet.Apply(ctx, Grant(claimOf(), numbers, clock(10))); !errors.Is(err, context.Canceled) || len(store.asked) > 0 {
		t.Errorf("in a context that is over: %v, %d writes", err, len(store.asked))
	}
}

// TestApplyJitter measures the waits after lost races: full jitter up to a
// bound that doubles, and holders before joiners.
func TestApplyJitter(t *testing.T) {
	tests := []struct {
		name  string
		rule  Rule
		first time.Duration
	}{
		{"holder", Announce("i-a", 5, Verifying, time.Hour, clock(10)), 100 * time.Millisecond},
		{"joiner", Grant(claimOf(), numbers, clock(10)), time.Second},
	}
	const tries, losses = 200, 8
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var longest, shortest [losses]time.Duration
				for range tries {
					fleet, store := playing(t, fleetOf(), slices.Repeat([]play{{lost: true, err: ErrConflict}}, losses)...)
					if _, err := fleet.Apply(t.Context(), test.rule); err != nil {
						t.Fatal(err)
					}
					for i := range losses {
						wait := store.asked[i+1].Sub(store.asked[i])
						longest[i] = max(longest[i], wait)
						if shortest[i] == 0 || wait < shortest[i] {
							shortest[i] = wait
						}
					}
				}
				bound := test.first
				for i := range losses {
					// With full jitter 200 waits miss a fifth of the range once in 10^19.
					if longest[i] >= bound || longest[i] < bound*4/5 || shortest[i] > bound/5 {
						t.Errorf("after %d lost races the waits were %s to %s, want 0 to %s", i+1, shortest[i], longest[i], bound)
					}
					bound = min(2*bound, 5*time.Second)
				}
			})
		})
	}
}

// TestApplyContended lets hosts fight for the record: nobody's change is lost
// and no more than the slots are given.
func TestApplyContended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fleet, store := playing(t, NewRecord("first", "3 1 0"))
		store.latency = time.Millisecond
		done := make(chan error)
		for i := range 10 {
			go func() {
				_, err := fleet.Apply(t.Context(), Grant(claimOf(func(c *Claim) { c.Host = fmt.Sprint("i-", i) }), numbers, clock(i)))
				done <- err
			}()
		}
		granted := 0
		for range 10 {
			switch err := <-done; {
			case err == nil:
				granted++
			case Why(err) != Full:
				t.Error(err)
			}
		}
		r := mustDecode(t, string(store.value.Body))
		if granted != 3 || len(r.Holders) != 3 || r.Generation != 3 {
			t.Errorf("%d grants, generation %d, holders %+v", granted, r.Generation, r.Holders)
		}
		if len(store.asked) < 10 {
			t.Errorf("%d writes: they did not meet", len(store.asked))
		}
	})
}

func TestLook(t *testing.T) {
	fleet, store := playing(t, fleetOf())
	if r, err := fleet.Look(t.Context()); err != nil || stored(t, r) != string(store.value.Body) {
		t.Errorf("%+v, %v", r, err)
	}
	store.put([]byte(`{"schema":9}`))
	if _, err := fleet.Look(t.Context()); !errors.Is(err, ErrNewer) || !strings.HasPrefix(err.Error(), "read the lock record: ") {
		t.Errorf("%v, want ErrNewer", err)
	}
	store.fetchErr = ErrNoTable
	if _, err := fleet.Look(t.Context()); !errors.Is(err, ErrNoTable) || !strings.HasPrefix(err.Error(), "read the lock record: ") {
		t.Errorf("%v, want ErrNoTable", err)
	}
}

// noteRows notes what is put.
type noteRows struct {
	put []any
	err error
}

func (n *noteRows) PutHost(_ context.Context, fleet string, row HostRow) error {
	n.put = append(n.put, fleet, row)
	return n.err
}

func (n *noteRows) PutEvent(_ context.Context, fleet string, event Event) error {
	n.put = append(n.put, fleet, event)
	return n.err
}

func (n *noteRows) Hosts(context.Context, string) ([]HostRow, error) { return nil, n.err }

func TestRowsOfFleet(t *testing.T) {
	rows := &noteRows{err: errors.New("odd")}
	fleet := &Fleet{ARN: "fleet", Rows: rows}
	row, event := HostRow{Host: "i-a"}, Event{Host: "i-a", Generation: 3}
	if err := fleet.PutHost(t.Context(), row); !errors.Is(err, rows.err) {
		t.Error(err)
	}
	if err := fleet.PutEvent(t.Context(), event); !errors.Is(err, rows.err) {
		t.Error(err)
	}
	if want := []any{"fleet", row, "fleet", event}; !reflect.DeepEqual(rows.put, want) {
		t.Errorf("put %+v, want %+v", rows.put, want)
	}
}
