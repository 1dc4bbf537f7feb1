package agent

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

func allPhases() []Phase {
	var all []Phase
	for p := range phases {
		all = append(all, Phase(p))
	}
	return all
}

func allKinds() []Kind {
	var all []Kind
	for k := range kindNames {
		all = append(all, Kind(k))
	}
	return all
}

func allResults() []Result {
	return []Result{Updated, FellBack, Interrupted, NotRebooted, Elsewhere, Unhealthy, TurnedBack, DrainExpired}
}

// leaves says which phases each phase leaves to, as the design does.
func leaves() map[Phase][]Phase {
	return map[Phase][]Phase{
		Starting:  {Idle, Draining, Rebooting, Verifying, Sick, Restoring},
		Idle:      {Starting, Staging},
		Staging:   {Idle, Waiting},
		Waiting:   {Starting, Idle, Draining},
		Draining:  {Rebooting, Restoring},
		Rebooting: {Restoring},
		Verifying: {Sick, Restoring},
		Sick:      {Restoring},
		Restoring: {Idle},
	}
}

// TestNextMoves puts every outcome to every state. The moves that come out are
// those of the design, each of them, and no other.
func TestNextMoves(t *testing.T) {
	seen := make(map[Phase][]Phase)
	taken := make(map[edge]bool)
	for _, from := range allPhases() {
		for _, kind := range allKinds() {
			for _, to := range allPhases() {
				next := Next(State{Phase: from}, Outcome{Kind: kind, To: to})
				i := slices.IndexFunc(edges, func(e edge) bool { return e.from == from && e.on == kind && e.to == next.Phase })
				if i < 0 && next.Phase != from {
					t.Errorf("%s on %s (to %s) moves to %s, which is not declared", from, kind, to, next.Phase)
					continue
				}
				if kind == Resumed && next.Phase != from && next.Phase != to {
					t.Errorf("%s resumed at %s, not at %s", from, next.Phase, to)
				}
				if i >= 0 {
					taken[edges[i]] = true
				}
				if next.Phase != from && !slices.Contains(seen[from], next.Phase) {
					seen[from] = append(seen[from], next.Phase)
				}
			}
		}
	}
	for _, e := range edges {
		if !taken[e] {
			t.Errorf("the edge %s on %s to %s is never taken", e.from, e.on, e.to)
		}
	}
	for _, p := range allPhases() {
		slices.Sort(seen[p])
		if !slices.Equal(seen[p], leaves()[p]) {
			t.Errorf("%s leaves to %v, want %v", p, seen[p], leaves()[p])
		}
	}
}

// TestNextStays: an outcome for which the phase has no edge leaves it where it
// is, and Again is such an outcome everywhere.
func TestNextStays(t *testing.T) {
	for _, p := range allPhases() {
		before := State{Phase: p, Target: "2.0", Result: TurnedBack, Reason: "old"}
		if p == Idle || p == Starting {
			before.Target, before.Result = "", ""
		}
		for _, kind := range allKinds() {
			if slices.ContainsFunc(edges, func(e edge) bool { return e.from == p && e.on == kind }) {
				if kind == Again {
					t.Errorf("%s moves on again", p)
				}
				continue
			}
			want := before
			want.Reason = "new"
			if got := Next(before, Outcome{Kind: kind, Reason: "new"}); got != want {
				t.Errorf("%s on %s became %+v", p, kind, got)
			}
		}
	}
}

// TestNextKnowledge follows what a state knows: the release and the result
// stay until another one is learned, and end with the update; the reason is
// always the latest outcome's.
func TestNextKnowledge(t *testing.T) {
	for _, from := range allPhases() {
		for _, kind := range allKinds() {
			for _, to := range allPhases() {
				for _, target := range []string{"", "3.0"} {
					for _, result := range append(allResults(), "") {
						s := State{Phase: from, Target: "2.0", Result: Updated, Reason: "old"}
						o := Outcome{Kind: kind, To: to, Target: target, Result: result, Reason: "new", After: time.Hour}
						checkKnowledge(t, s, o, Next(s, o))
					}
				}
			}
		}
	}
}

func checkKnowledge(t *testing.T, s State, o Outcome, got State) {
	t.Helper()
	want := State{Phase: got.Phase, Target: s.Target, Result: s.Result, Reason: o.Reason}
	if o.Target != "" {
		want.Target = o.Target
	}
	if o.Result != "" {
		want.Result = o.Result
	}
	if got.Phase == Idle || got.Phase == Starting {
		want.Target, want.Result = "", ""
	}
	if got != want {
		t.Errorf("%+v with %+v became %+v, want %+v", s, o, got, want)
	}
	if again := Next(s, o); again != got {
		t.Errorf("%+v with %+v became %+v and then %+v", s, o, got, again)
	}
}

// reach returns every phase that can be reached from one, itself included,
// without passing through a phase that is shut.
func reach(from Phase, shut ...Phase) map[Phase]bool {
	seen := map[Phase]bool{from: true}
	for again := true; again; {
		again = false
		for _, e := range edges {
			if seen[e.from] && !seen[e.to] && !slices.Contains(shut, e.from) {
				seen[e.to], again = true, true
			}
		}
	}
	return seen
}

func TestEdges(t *testing.T) {
	for _, p := range allPhases() {
		if !reach(Starting)[p] {
			t.Errorf("%s cannot be reached", p)
		}
		if !reach(p)[Idle] {
			t.Errorf("%s never comes back to idle", p)
		}
	}
	declared := make(map[string]bool)
	for _, e := range edges {
		key := fmt.Sprint(e.from, e.on)
		if e.on == Resumed {
			key += e.to.String()
		}
		if declared[key] {
			t.Errorf("%s on %s is declared twice", e.from, e.on)
		}
		declared[key] = true
		if e.why == "" {
			t.Errorf("%s on %s has no reason", e.from, e.on)
		}
		if (e.on == Resumed) != (e.from == Starting) {
			t.Errorf("%s on %s: starting, and it alone, resumes", e.from, e.on)
		}
	}
}

func holdsSlot(p Phase) bool { return phases[p].slot == "yes" }

// TestEdgesKeepTheSlot: a slot is given up by restoring alone, and taken by
// the step from waiting to draining alone.
func TestEdgesKeepTheSlot(t *testing.T) {
	for _, p := range allPhases() {
		if !holdsSlot(p) {
			continue
		}
		if !reach(p)[Restoring] {
			t.Errorf("%s holds a slot and never restores", p)
		}
		if p != Restoring && reach(p, Restoring)[Idle] {
			t.Errorf("%s holds a slot and comes to idle without restoring", p)
		}
	}
	for _, e := range edges {
		if holdsSlot(e.from) && !holdsSlot(e.to) && e.from != Restoring {
			t.Errorf("%s drops the slot on %s", e.from, e.on)
		}
		if !holdsSlot(e.from) && holdsSlot(e.to) && e.from != Starting && (e.from != Waiting || e.to != Draining) {
			t.Errorf("%s on %s takes a slot", e.from, e.on)
		}
	}
}

// TestEdgesDirection: before the reboot everything turns back, after it
// everything goes forward. Neither who restores nor who has rebooted drains or
// reboots again in the same update.
func TestEdgesDirection(t *testing.T) {
	for _, p := range []Phase{Verifying, Sick, Restoring} {
		onward := reach(p, Idle)
		for _, forbidden := range []Phase{Staging, Waiting, Draining, Rebooting} {
			if onward[forbidden] {
				t.Errorf("%s leads to %s within one update", p, forbidden)
			}
		}
	}
	if reach(Restoring, Idle)[Verifying] || reach(Restoring, Idle)[Sick] {
		t.Error("restoring goes back to looking")
	}
}

func TestPhaseTable(t *testing.T) {
	want := []string{"starting", "idle", "staging", "waiting", "draining", "rebooting", "verifying", "sick", "restoring"}
	var got []string
	for _, p := range allPhases() {
		row := phases[p]
		got = append(got, p.String())
		if row.truth == "" || row.begin == "" || !slices.Contains([]string{"yes", "no", "unknown"}, row.slot) {
			t.Errorf("%s: the row %+v is not complete", p, row)
		}
		if strings.ToLower(row.begin) != row.begin {
			t.Errorf("%s begins with %q, not in lower case", p, row.begin)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("phases are %v, want %v", got, want)
	}
	begins := make(map[string]int)
	for _, row := range phases {
		begins[row.begin]++
	}
	if len(begins) != len(phases) {
		t.Errorf("two phases begin with the same words: %v", slices.Collect(maps.Keys(begins)))
	}
}

func TestKindNames(t *testing.T) {
	names := make(map[string]bool)
	for _, k := range allKinds() {
		names[k.String()] = true
	}
	if len(names) != int(Resumed)+1 || names[""] {
		t.Errorf("the kinds are called %v", names)
	}
}

// TestResults: what the fleet does about each end of an update.
func TestResults(t *testing.T) {
	tests := []struct {
		result         Result
		fails, refuses bool
	}{
		{Updated, false, false},
		{FellBack, true, true},
		{Interrupted, true, false},
		{NotRebooted, true, false},
		{Elsewhere, false, false},
		{Unhealthy, true, false},
		{TurnedBack, false, false},
		{DrainExpired, false, false},
		{"", false, false},
		{"of a later version", false, false},
	}
	for _, test := range tests {
		if test.result.Fails() != test.fails || test.result.Refuses() != test.refuses {
			t.Errorf("%q fails: %t, refuses: %t; want %t, %t", test.result, test.result.Fails(), test.result.Refuses(), test.fails, test.refuses)
		}
	}
}
