package coordination

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestOperatorRules is a table of each rule's answers, seen in what it leaves.
func TestOperatorRules(t *testing.T) {
	lunch := &Halt{Who: "ann", At: clock(2), Reason: "lunch"}
	shown := func(host string, generation int64, cause string) []Failure {
		return []Failure{{Host: host, Generation: generation, Cause: cause}}
	}
	cleared := func(r *Record) { r.Failures, r.Halt = nil, nil }
	freed := failed("i-a", 5, CauseFreed)
	for name, test := range map[string]struct {
		record  Record
		rule    Rule
		verdict string
		left    Record // compared when it changed
	}{
		"stop":                        {fleetOf(), Stop("ann", "lunch", clock(2)), "changed", fleetOf(halted)},
		"stop again":                  {fleetOf(halted), Stop("ann", "lunch", clock(2)), "done", Record{}},
		"stop over another's halt":    {fleetOf(halted), Stop("bob", "tea", clock(9)), "done", Record{}},
		"stop beside failures":        {fleetOf(failed("i-z", 1, "sick")), Stop("ann", "lunch", clock(2)), "changed", fleetOf(failed("i-z", 1, "sick"), halted)},
		"lift the halt":               {fleetOf(halted), Lift(lunch, nil), "changed", fleetOf()},
		"lift nothing":                {fleetOf(), Lift(nil, nil), "done", Record{}},
		"lift nothing that was shown": {fleetOf(halted, failed("i-z", 1, "sick")), Lift(nil, nil), "done", Record{}},
		"lift another halt":           {fleetOf(halted), Lift(&Halt{Who: "ann", At: clock(3), Reason: "lunch"}, nil), "done", Record{}},
		"lift one of two failures": {fleetOf(failed("i-y", 1, "sick"), failed("i-z", 2, "sick")), Lift(nil, shown("i-y", 1, "sick")), "changed",
			fleetOf(failed("i-z", 2, "sick"))},
		"lift, of another generation":                 {fleetOf(failed("i-z", 2, "sick")), Lift(nil, shown("i-z", 1, "sick")), "done", Record{}},
		"lift, the host's word has come in its place": {fleetOf(failed("i-z", 2, "fell_back")), Lift(nil, shown("i-z", 2, "stuck")), "done", Record{}},
		"lift all but the refusal": {fleetOf(halted, failed("i-z", 1, "fell_back"), refuses("2.0")), Lift(lunch, shown("i-z", 1, "fell_back")), "changed",
			fleetOf(refuses("2.0"))},
		"edit":            {fleetOf(), editTo("1 1 1"), "changed", fleetOf(policy("1 1 1"))},
		"edit to itself":  {fleetOf(), editTo("3 2 0"), "done", Record{}},
		"edit that fails": {fleetOf(), Edit(func(string) (string, error) { return "", errors.New("no number") }), "policy", Record{}},
		"edit, too long":  {fleetOf(), editTo(strings.Repeat(" ", MaxPolicy+1)), "policy", Record{}},
		"edit, just long": {fleetOf(), editTo(strings.Repeat(" ", MaxPolicy)), "changed", fleetOf(policy(strings.Repeat(" ", MaxPolicy)))},

		"free, draining":                      {fleetOf(), Free("i-a", 5, clock(2)), "changed", fleetOf(empty)},
		"free, granted":                       {fleetOf(phase(Granted)), Free("i-a", 5, clock(2)), "changed", fleetOf(empty)},
		"free, late in draining":              {fleetOf(stuck, failed("i-a", 5, "late")), Free("i-a", 5, clock(2)), "changed", fleetOf(empty, cleared)},
		"free, rebooting":                     {fleetOf(phase(Rebooting)), Free("i-a", 5, clock(2)), "changed", fleetOf(empty, freed)},
		"free, late in rebooting":             {fleetOf(phase(Rebooting), failed("i-a", 5, "late")), Free("i-a", 5, clock(9)), "changed", fleetOf(empty, failed("i-a", 5, "late"))},
		"free, verifying":                     {fleetOf(phase(Verifying)), Free("i-a", 5, clock(2)), "changed", fleetOf(empty, freed)},
		"free, late in rebooting and resumed": {fleetOf(phase(Rebooting), stuck), Free("i-a", 5, clock(2)), "changed", fleetOf(empty, freed)}, // lifted was that it was late
		"free, sick":                          {fleetOf(phase(Sick), failed("i-a", 5, "sick")), Free("i-a", 5, clock(9)), "changed", fleetOf(empty, failed("i-a", 5, "sick"))},
		"free, sick and resumed":              {fleetOf(phase(Sick)), Free("i-a", 5, clock(2)), "changed", fleetOf(empty)},
		"free, an unknown phase":              {fleetOf(phase("soaking")), Free("i-a", 5, clock(2)), "changed", fleetOf(empty, freed)},
		"free, no slot":                       {fleetOf(empty), Free("i-a", 5, clock(2)), "done", Record{}},
		"free, a later slot":                  {fleetOf(), Free("i-a", 4, clock(2)), "done", Record{}},
		"free, one of two":                    {fleetOf(alsoHolds("i-b", "zb")), Free("i-b", 6, clock(9)), "changed", fleetOf(freedAfter("i-b", 6))},
		"free, another's failure": {fleetOf(phase(Sick), failed("i-z", 5, "sick")), Free("i-a", 5, clock(2)), "changed",
			fleetOf(empty, failed("i-z", 5, "sick"))},

		"recall":               {fleetOf(), Recall("i-a", 5), "changed", fleetOf(wantedBack)},
		"recall again":         {fleetOf(wantedBack), Recall("i-a", 5), "done", Record{}},
		"recall, no slot":      {fleetOf(empty), Recall("i-a", 5), "not_holder", Record{}},
		"recall, a later slot": {fleetOf(), Recall("i-a", 4), "not_holder", Record{}},

		"allow":                   {fleetOf(refuses("2.0"), refuses("3.0")), Allow("2.0"), "changed", fleetOf(refuses("3.0"))},
		"allow, not refused":      {fleetOf(refuses("3.0")), Allow("2.0"), "done", Record{}},
		"allow leaves the failed": {fleetOf(failed("i-z", 1, "fell_back"), refuses("2.0")), Allow("2.0"), "changed", fleetOf(failed("i-z", 1, "fell_back"))},

		"restored":                     {fleetOf(halted), Restored("second", "bob", clock(9)), "changed", fleetOf(restoredBy("second", "bob"))},
		"restored, asked again":        {fleetOf(restoredBy("second", "bob")), Restored("second", "bob", clock(10)), "done", Record{}},
		"restored from a restored one": {fleetOf(restoredBy("first", "bob")), Restored("second", "bob", clock(9)), "changed", fleetOf(restoredBy("second", "bob"))},
	} {
		t.Run(name, func(t *testing.T) {
			left, err := change(t, test.record, test.rule)
			if got := verdict(err); got != test.verdict {
				t.Fatalf("%s (%v), want %s", got, err, test.verdict)
			}
			if err != nil {
				return
			}
			if got, want := stored(t, left), stored(t, test.left); got != want {
				t.Errorf("left\n %s\nwant\n %s", got, want)
			}
		})
	}
}

func editTo(text string) Rule { return Edit(func(string) (string, error) { return text, nil }) }

// freedAfter is the failure left behind by a host whose slot was the last one
// granted.
func freedAfter(host string, generation int64) func(*Record) {
	return func(r *Record) {
		r.Generation = generation
		r.Failures = []Failure{{Host: host, Generation: generation, Cause: CauseFreed, Release: "2.0", At: clock(9)}}
	}
}

func restoredBy(incarnation, who string) func(*Record) {
	return func(r *Record) {
		r.Incarnation, r.Halt = incarnation, &Halt{Who: who, At: clock(9), Reason: RestoredReason}
	}
}

// What an agent may do with a slot that an operator had his way with.
func TestAgentObeys(t *testing.T) {
	free := func(r Record) Record {
		r, err := change(t, r, Free("i-a", 5, clock(3)))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	reassert := Reassert("i-a", 5, Rebooting, time.Hour, numbers, clock(4))
	for name, test := range map[string]struct {
		record   Record
		rule     Rule
		verdict  string
		failures string
	}{
		"asked to be restored":         {fleetOf(wantedBack), reassert, "restore_asks", ""},
		"halted":                       {must(t, fleetOf(), Stop("ann", "lunch", clock(2))), reassert, "halted", ""},
		"its slot was freed":           {free(fleetOf()), reassert, "not_holder", ""},
		"freed, and updated":           {free(fleetOf(phase(Verifying))), Return("i-a", 5, Report{Release: "2.0"}, clock(5)), "changed", ""},
		"freed, and fell back":         {free(fleetOf(phase(Rebooting))), Return("i-a", 5, Report{Cause: "fell_back", Release: "2.0"}, clock(5)), "changed", "i-a/5 fell_back"},
		"freed and resumed, then sick": {must(t, free(fleetOf(phase(Rebooting))), Lift(nil, []Failure{{Host: "i-a", Generation: 5, Cause: CauseFreed}})), Return("i-a", 5, Report{Cause: "sick", Release: "2.0"}, clock(5)), "done", ""},
		"resumed, still sick":          {must(t, fleetOf(phase(Sick), failed("i-a", 5, "sick")), Lift(nil, []Failure{{Host: "i-a", Generation: 5, Cause: "sick"}})), Fail("i-a", 5, "sick", time.Hour, clock(5)), "done", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := change(t, test.record, test.rule)
			if got := verdict(err); got != test.verdict {
				t.Errorf("%s (%v), want %s", got, err, test.verdict)
			}
			var failures []string
			for _, f := range r.Failures {
				failures = append(failures, fmt.Sprintf("%s/%d %s", f.Host, f.Generation, f.Cause))
			}
			if got := strings.Join(failures, ", "); got != test.failures {
				t.Errorf("failures %q, want %q", got, test.failures)
			}
		})
	}
}

func must(t fataler, r Record, rule Rule) Record {
	t.Helper()
	next, err := change(t, r, rule)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return next
}

// operated is a fleet that agents and operators change in turn.
type operated struct {
	t   *rapid.T
	r   Record
	now int
}

func (w *operated) host() string {
	return rapid.SampledFrom([]string{"i-a", "i-b", "i-c"}).Draw(w.t, "host")
}

// slot is a host and, as often as not, the generation of its slot.
func (w *operated) slot() (string, int64) {
	host := w.host()
	if h, ok := w.r.Holder(host); ok && rapid.Bool().Draw(w.t, "mine") {
		return host, h.Generation
	}
	return host, w.generation()
}

func (w *operated) generation() int64 {
	return rapid.Int64Range(1, w.r.Generation+1).Draw(w.t, "generation")
}
func (w *operated) release() string {
	return rapid.SampledFrom([]string{"2.0", "3.0"}).Draw(w.t, "release")
}
func (w *operated) time() time.Time { return clock(w.now) }

// agentRule is something that some host does.
func (w *operated) agentRule() Rule {
	host, generation := w.slot()
	phases := []Phase{Granted, Draining, Rebooting, Verifying, Sick, "later"}
	switch rapid.IntRange(0, 4).Draw(w.t, "agent") {
	case 0:
		return Grant(Claim{Host: host, Target: w.release(), Boot: "b"}, numbers, w.time())
	case 1:
		return Reassert(host, generation, rapid.SampledFrom(phases).Draw(w.t, "phase"), time.Hour, numbers, w.time())
	case 2:
		return Announce(host, generation, Verifying, time.Hour, w.time())
	case 3:
		return Fail(host, generation, "sick", time.Hour, w.time())
	}
	cause := rapid.SampledFrom([]string{"", "sick", "fell_back"}).Draw(w.t, "cause")
	return Return(host, generation, Report{Cause: cause, Release: w.release(), Refuse: cause == "fell_back"}, w.time())
}

// operatorRule is something that some operator does, who may have looked at the
// record some time ago.
func (w *operated) operatorRule(looked Record) (name string, rule Rule) {
	host, generation := w.slot()
	switch rapid.IntRange(0, 6).Draw(w.t, "operator") {
	case 0:
		return "stop", Stop("ann", fmt.Sprint("since ", w.now), w.time())
	case 1:
		return "lift", Lift(looked.Halt, looked.Failures)
	case 2:
		text := fmt.Sprint(rapid.IntRange(1, 3).Draw(w.t, "slots"), " 2 0")
		return "edit", editTo(text)
	case 3:
		return "free", Free(host, generation, w.time())
	case 4:
		return "recall", Recall(host, generation)
	case 5:
		return "allow", Allow(w.release())
	}
	return "restored", Restored(fmt.Sprint("incarnation ", w.now), "ann", w.time())
}

// TestOperatorProperties lets agents and operators do what they like. Whatever
// an operator does: there is no new holder and no new grant; a halt that stands
// goes by Lift alone, and then only if it was shown; Lift takes no failure that
// was not shown; what is done is done when it is asked again; and what a newer
// version stored stays.
func TestOperatorProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &operated{t: t, r: NewRecord("first", "3 2 0")}
		w.r.kept = Kept{"later": []byte(`1`)}
		looked := w.r
		for w.now = range rapid.IntRange(1, 40).Draw(t, "steps") {
			if rapid.IntRange(0, 3).Draw(t, "look") == 0 {
				looked = w.r
			}
			if rapid.Bool().Draw(t, "by an agent") {
				if next, err := change(t, w.r, w.agentRule()); err == nil {
					w.r = next
				}
				continue
			}
			name, rule := w.operatorRule(looked)
			next, err := change(t, w.r, rule)
			if err != nil {
				continue
			}
			checkOperated(t, name, w.r, next, looked)
			if _, err := change(t, next, rule); !errors.Is(err, ErrDone) {
				t.Fatalf("%s again: %v", name, err)
			}
			w.r = next
		}
	})
}

func checkOperated(t *rapid.T, name string, before, after, looked Record) {
	t.Helper()
	for _, h := range after.Holders {
		if was, ok := before.Holder(h.Host); !ok || was.Generation != h.Generation {
			t.Fatalf("%s added holder %s of generation %d", name, h.Host, h.Generation)
		}
	}
	if n := len(before.Holders) - len(after.Holders); n > 0 && (name != "free" || n > 1) {
		t.Fatalf("%s took %d holders away", name, n)
	}
	if before.Generation != after.Generation || string(after.kept["later"]) != "1" || after.Queue.Next != before.Queue.Next {
		t.Fatalf("%s changed what is not an operator's:\n%+v\n%+v", name, before, after)
	}
	if before.Halt != nil && after.Halt == nil && (name != "lift" || !sameHalt(before.Halt, looked.Halt)) {
		t.Fatalf("%s lifted a halt that was not shown: %+v", name, before.Halt)
	}
	shown := func(f Failure) bool {
		i := looked.failure(f.Host, f.Generation)
		return i >= 0 && looked.Failures[i].Cause == f.Cause
	}
	for _, f := range before.Failures {
		gone := after.failure(f.Host, f.Generation) < 0
		early := name == "free" && slices.ContainsFunc(before.Holders, func(h Holder) bool {
			return h.Host == f.Host && h.Generation == f.Generation && (h.Phase == Granted || h.Phase == Draining)
		})
		if gone && !early && (name != "lift" || !shown(f)) {
			t.Fatalf("%s took a failure away: %+v", name, f)
		}
	}
	if _, err := Decode([]byte(stored(t, after))); err != nil {
		t.Fatalf("%s left %v", name, err)
	}
}
