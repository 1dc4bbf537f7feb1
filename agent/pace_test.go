package agent

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPaceDefaults(t *testing.T) {
	const m = time.Minute
	tests := map[Phase]struct{ delay, deadline, announce time.Duration }{
		Starting:  {5 * time.Second, 0, 0},
		Idle:      {time.Hour, 0, 0},
		Staging:   {5 * time.Second, time.Hour, 0},
		Waiting:   {5 * time.Second, 0, 0},
		Draining:  {500 * time.Millisecond, 25 * m, 30 * m},
		Rebooting: {2 * time.Second, 10 * m, 20 * m},
		Verifying: {time.Second, 15 * m, 20 * m},
		Sick:      {m, 0, 5 * m},
		Restoring: {2 * time.Second, 0, 0},
	}
	for _, p := range allPhases() {
		want, ok := tests[p]
		if !ok {
			t.Errorf("%s is not in this table", p)
		}
		got := paceOf(p, DefaultConfig(), termsOf(DefaultConfig(), DefaultPolicy()))
		if got.delay != want.delay || got.deadline != want.deadline || got.announce != want.announce {
			t.Errorf("%s goes at %+v, want %+v", p, got, want)
		}
	}
}

// TestPaceRules holds the rules of the table under any settings.
func TestPaceRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, policy := genConfig(t), genPolicy(t)
		c = policy.Apply(c)
		if c.Validate() != nil {
			t.Skip("settings that are refused")
		}
		terms := termsOf(c, policy)
		for _, p := range allPhases() {
			checkPace(t, p, paceOf(p, c, terms))
		}
	})
}

func checkPace(t *rapid.T, p Phase, got pace) {
	expired := slices.IndexFunc(edges, func(e edge) bool { return e.from == p && e.on == Expired })
	switch {
	case got.delay <= 0 || got.turn <= 0:
		t.Errorf("%s: delay %s, turn %s: no wait without an end, none without a pause", p, got.delay, got.turn)
	case got.jitter < 0 || got.jitter >= 1:
		t.Errorf("%s: a jitter of %v makes a delay nothing", p, got.jitter)
	case (got.deadline > 0) != (expired >= 0):
		t.Errorf("%s: a deadline of %s and an edge for it: %t", p, got.deadline, expired >= 0)
	case expired >= 0 && edges[expired].to != got.expires:
		t.Errorf("%s: expires to %s by its pace and to %s by the machine", p, got.expires, edges[expired].to)
	case !holdsSlot(p) && got.announce > 0:
		t.Errorf("%s holds no slot and announces %s", p, got.announce)
	case holdsSlot(p) && got.announce < got.deadline:
		t.Errorf("%s announces %s, shorter than its deadline %s", p, got.announce, got.deadline)
	case holdsSlot(p) && got.deadline == 0 && !retriedForEver(p):
		t.Errorf("%s holds a slot, has no deadline, and may give up", p)
	case (p == Draining || p == Verifying) && got.announce < got.deadline+got.turn:
		t.Errorf("%s announces %s, and its last turn may end at %s", p, got.announce, got.deadline+got.turn)
	}
}

// retriedForEver: the phase has one way out, and that is to be done.
func retriedForEver(p Phase) bool {
	return !slices.ContainsFunc(edges, func(e edge) bool { return e.from == p && e.on != Done })
}

// TestPaceTurn: a turn has room for all the acts in it that have limits of
// their own, so that each of these ends by its own limit and is named by it.
func TestPaceTurn(t *testing.T) {
	acts := map[Phase]time.Duration{
		Idle: refreshLimit, Staging: refreshLimit + prepareLimit, Waiting: refreshLimit, Rebooting: activateLimit, Restoring: undoLimit,
	}
	for p, limit := range acts {
		if got := paceOf(p, DefaultConfig(), Terms{}).turn; got <= limit {
			t.Errorf("%s: a turn may take %s, its acts %s", p, got, limit)
		}
	}
}

func TestPaceWait(t *testing.T) {
	p := pace{delay: 10 * time.Second, jitter: 0.2}
	idle, staging := State{Phase: Idle}, State{Phase: Staging}
	tests := []struct {
		name          string
		before, after State
		o             Outcome
		least, most   time.Duration
	}{
		{"a phase that goes on", idle, idle, Outcome{}, 8 * time.Second, 12 * time.Second},
		{"the outcome's own delay", idle, idle, Outcome{After: time.Minute}, 48 * time.Second, 72 * time.Second},
		{"a delay that is none", idle, idle, Outcome{After: -time.Minute}, 8 * time.Second, 12 * time.Second},
		{"a phase that begins", idle, staging, Outcome{After: time.Minute}, 0, 0},
	}
	for _, test := range tests {
		checkSpread(t, test.name, test.least, test.most, func() time.Duration { return p.wait(test.before, test.after, test.o) })
	}
	still := pace{delay: time.Second}
	checkSpread(t, "no jitter", time.Second, time.Second, func() time.Duration { return still.wait(idle, idle, Outcome{}) })
}

func TestFirstCheck(t *testing.T) {
	for _, test := range []struct{ interval, most time.Duration }{
		{time.Hour, 10*time.Minute - 1}, {168 * time.Hour, 28*time.Hour - 1}, {time.Second, time.Second/6 - 1}, {time.Nanosecond, 0}, {0, 0},
	} {
		checkSpread(t, test.interval.String(), 0, test.most, func() time.Duration { return firstCheck(test.interval) })
	}
}

// checkSpread draws often and checks that all draws lie in the range and that
// they reach both of its ends.
func checkSpread(t *testing.T, name string, least, most time.Duration, draw func() time.Duration) {
	t.Helper()
	low, high := most, least
	for range 300 { // they all miss a fifth of the range once in 10^29
		d := draw()
		low, high = min(low, d), max(high, d)
	}
	fifth := (most - least) / 5
	if low < least || high > most {
		t.Errorf("%s: %s to %s, must lie in %s to %s", name, low, high, least, most)
	}
	if low > least+fifth || high < most-fifth {
		t.Errorf("%s: %s to %s, must fill %s to %s", name, low, high, least, most)
	}
}
