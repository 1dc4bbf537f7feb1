package coordination

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// drains is a fleet in which i-a (generation 5) has been in phase draining
// since clock(1), announced for half an hour.
func drains() Record { return fleetOf() }

func TestMarkWantsTheVeryEntry(t *testing.T) {
	entry := drains().Holders[0].Entry()
	tests := []struct {
		name   string
		record Record
		marked bool
	}{
		{"it stands", drains(), true},
		{"marked already", fleetOf(stuck), false},
		{"in another phase", fleetOf(phase(Rebooting)), false},
		{"the phase was entered anew", fleetOf(func(r *Record) { r.Holders[0].Since = clock(2) }), false},
		{"of another generation", fleetOf(func(r *Record) { r.Generation, r.Holders[0].Generation = 6, 6 }), false},
		{"gone", fleetOf(empty), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			next, err := change(t, test.record, Mark(entry, clock(60)))
			if !test.marked {
				if !errors.Is(err, ErrDone) {
					t.Errorf("got %v, want nothing to change", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(next.Holders) != 1 || !next.Holders[0].Stuck {
				t.Errorf("the slot is not used by a stuck holder any more: %+v", next.Holders)
			}
			want := Failure{Host: "i-a", Generation: 5, Cause: CauseStuck, Release: "2.0", At: clock(60)}
			if len(next.Failures) != 1 || next.Failures[0].Cause != want.Cause || next.Failures[0].Release != want.Release {
				t.Errorf("failures are %+v, want %+v", next.Failures, want)
			}
		})
	}
	sick := fleetOf(phase(Sick))
	if _, err := change(t, sick, Mark(sick.Holders[0].Entry(), clock(60))); !errors.Is(err, ErrDone) {
		t.Errorf("a sick holder was marked: %v", err)
	}
}

// TestLateIsNotFree follows a marked holder to each of its ends.
func TestLateIsNotFree(t *testing.T) {
	marked := func(p Phase) Record {
		r := fleetOf(phase(p))
		next, err := Mark(r.Holders[0].Entry(), clock(60)).Change(r)
		if err != nil {
			t.Fatal(err)
		}
		return next
	}
	lifted := func(r Record) Record { r.Failures = nil; return r }
	tests := []struct {
		name   string
		record Record
		rule   Rule
		causes []string // of the failures after it
		holds  bool
	}{
		{"comes back good", marked(Rebooting), Return("i-a", 5, Report{}, clock(70)), nil, false},
		{"comes back having failed", marked(Rebooting), Return("i-a", 5, Report{Cause: "fell_back", Release: "2.0", Refuse: true}, clock(70)), []string{"fell_back"}, false},
		{"is found sick", marked(Rebooting), Fail("i-a", 5, "sick", time.Minute, clock(70)), []string{"sick"}, true},
		{"freed while draining", marked(Draining), Free("i-a", 5, clock(70)), nil, false},
		{"freed while rebooting", marked(Rebooting), Free("i-a", 5, clock(70)), []string{CauseFreed}, false},
		{"freed while rebooting, and an operator had taken the failure away", lifted(marked(Rebooting)), Free("i-a", 5, clock(70)), []string{CauseFreed}, false},
		{"prolongs", marked(Draining), Prolong("i-a", 5, time.Hour, clock(70)), []string{CauseStuck}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			next, err := change(t, test.record, test.rule)
			if err != nil {
				t.Fatal(err)
			}
			var causes []string
			for _, f := range next.Failures {
				causes = append(causes, f.Cause)
			}
			if _, holds := next.Holder("i-a"); holds != test.holds || !slices.Equal(causes, test.causes) {
				t.Errorf("holds %t, failures %v; want %t, %v", holds, causes, test.holds, test.causes)
			}
		})
	}
	if _, err := change(t, marked(Draining), Reassert("i-a", 5, Rebooting, time.Hour, numbers, clock(70))); Why(err) != MarkedStuck {
		t.Errorf("a stuck holder goes on: %v", err)
	}
	freed, _ := Free("i-a", 5, clock(70)).Change(marked(Rebooting))
	if next, err := change(t, freed, Return("i-a", 5, Report{}, clock(80))); err != nil || len(next.Failures) > 0 {
		t.Errorf("a freed host that comes back good leaves %+v: %v", next.Failures, err)
	}
}

// TestWatch: looks are given in minutes; a look that failed is "-".
func TestWatch(t *testing.T) {
	const second = 3 * time.Minute
	entered := func(minute int) Record { // the phase was entered anew at that minute
		return fleetOf(func(r *Record) { r.Holders[0].Since = clock(minute) })
	}
	type look struct {
		minute    int
		record    Record
		missed    bool
		late, due bool
	}
	tests := []struct {
		name  string
		looks []look
	}{
		{"in time", []look{{0, entered(1), false, false, false}, {30, entered(1), false, false, false}}},
		{"late, looked at again", []look{{0, entered(1), false, false, false}, {31, entered(1), false, true, false},
			{32, entered(1), false, true, false}, {33, entered(1), false, true, false}, {34, entered(1), false, true, true}}},
		{"no look in between", []look{{0, entered(1), false, false, false}, {31, entered(1), false, true, false}, {90, entered(1), false, true, false}, {91, entered(1), false, true, true}}},
		{"another's clock is of no account", []look{{0, entered(-9999), false, false, false}, {30, entered(-9999), false, false, false}}},
		{"comes on", []look{{0, entered(1), false, false, false}, {31, entered(1), false, true, false}, {32, entered(9), false, false, false}, {40, entered(9), false, false, false}}},
		{"outage while suspected", []look{{0, entered(1), false, false, false}, {31, entered(1), false, true, false}, {32, entered(1), false, true, false},
			{33, Record{}, true, false, false}, {40, entered(1), false, true, false}, {41, entered(1), false, true, false}, {43, entered(1), false, true, true}}},
		{"outage for all", []look{{0, entered(1), false, false, false}, {10, Record{}, true, false, false}, {200, entered(1), false, true, false},
			{201, entered(200), false, false, false}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var w Watch
			for _, l := range test.looks {
				if l.missed {
					w.Missed()
					continue
				}
				late, due := w.Look(l.record, clock(l.minute), clock(l.minute), second)
				if (len(late) > 0) != l.late || (len(due) > 0) != l.due {
					t.Fatalf("minute %d: late %v, due %v; want %t, %t", l.minute, late, due, l.late, l.due)
				}
			}
		})
	}
}

// TestWatchCountsAgainstItself: a look that took long proves the time between
// its own end and the next one's begin alone.
func TestWatchCountsAgainstItself(t *testing.T) {
	var w Watch
	w.Look(drains(), clock(0), clock(20), time.Minute)
	if late, _ := w.Look(drains(), clock(31), clock(60), time.Minute); len(late) > 0 {
		t.Error("late after 11 minutes of watching")
	}
	if late, _ := w.Look(drains(), clock(51), clock(52), time.Minute); len(late) == 0 {
		t.Error("not late after 31 minutes of watching")
	}
}

// What a record says by hand is believed within reason, on every machine alike.
func TestWatchOfNonsense(t *testing.T) {
	for announced, lateAfter := range map[float64]time.Duration{-5: time.Second, 1e300: 8 * 24 * time.Hour, 1e10: 8 * 24 * time.Hour} {
		r := fleetOf(func(r *Record) { r.Holders[0].Announced = announced })
		var w Watch
		w.Look(r, clock(0), clock(0), time.Minute)
		if late, _ := w.Look(r, clock(0).Add(lateAfter/2), clock(1), time.Minute); announced > 0 && len(late) > 0 {
			t.Errorf("announced %v s: late after %s", announced, lateAfter/2)
		}
		if late, _ := w.Look(r, clock(0).Add(lateAfter), clock(1), time.Minute); len(late) == 0 {
			t.Errorf("announced %v s: not late after %s", announced, lateAfter)
		}
	}
}

// A holder whose clock stands still makes another entry all the same.
func TestEntryOfAStandingClock(t *testing.T) {
	r := drains()
	next, err := Prolong("i-a", 5, time.Hour, r.Holders[0].Since).Change(r)
	if err != nil || next.Holders[0].Entry() == r.Holders[0].Entry() {
		t.Errorf("the entry is the same: %v", err)
	}
}

func TestWatchForgetsWhatIsGone(t *testing.T) {
	var w Watch
	for i := range 100 {
		r := fleetOf(func(r *Record) {
			r.Holders[0].Host, r.Generation, r.Holders[0].Generation = fmt.Sprint("i-", i), int64(i+9), int64(i+9)
		})
		w.Look(r, clock(i), clock(i), time.Minute)
	}
	if len(w.seen) != 1 {
		t.Errorf("remembers %d entries", len(w.seen))
	}
}

// TestSickHoldersAreNeverDue: their failure stands; they may only be proved gone.
func TestSickHoldersAreNeverDue(t *testing.T) {
	var w Watch
	sick := fleetOf(phase(Sick))
	for minute := range 100 {
		late, due := w.Look(sick, clock(minute), clock(minute), time.Minute)
		if len(due) > 0 || w.Suspects() {
			t.Fatal("a sick holder is to be marked")
		}
		if minute > 31 && len(late) == 0 {
			t.Fatal("a sick holder that says nothing is not late")
		}
	}
}
