package coordination

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// clock is the time so many minutes into the tests.
func clock(minutes int) time.Time {
	return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(minutes) * time.Minute)
}

// numbers reads test policies: "slots failures zones".
func numbers(policy string) (l Limits, err error) {
	if _, err := fmt.Sscanf(policy, "%d %d %d", &l.Slots, &l.MaxFailures, &l.MaxZones); err != nil {
		return Limits{}, errors.New("not three numbers")
	}
	return l, nil
}

// fleetOf is a fleet of three slots and a limit of two failures in which i-a
// drains for 2.0 with generation 5.
func fleetOf(changes ...func(*Record)) Record {
	r := NewRecord("first", "3 2 0")
	r.Generation = 5
	r.Holders = []Holder{{
		Host: "i-a", Generation: 5, Phase: Draining, GrantedAt: clock(0), Since: clock(1), Announced: 1800,
		From: "1.0", Target: "2.0", Boot: "boot-a", ARN: "arn-a", Zone: "za",
	}}
	for _, change := range changes {
		change(&r)
	}
	return r
}

// Changes of a record that are not made by a rule under test.
func policy(text string) func(*Record) { return func(r *Record) { r.Policy = text } }
func halted(r *Record)                 { r.Halt = &Halt{Who: "ann", At: clock(2), Reason: "lunch"} }
func stuck(r *Record)                  { r.Holders[0].Stuck = true }
func wantedBack(r *Record)             { r.Holders[0].Restore = true }
func empty(r *Record)                  { r.Holders = nil }
func phase(p Phase) func(*Record)      { return func(r *Record) { r.Holders[0].Phase = p } }

func failed(host string, generation int64, cause string) func(*Record) {
	return func(r *Record) {
		r.Failures = append(r.Failures, Failure{Host: host, Generation: generation, Cause: cause, Release: "2.0", At: clock(2)})
	}
}

func refuses(release string) func(*Record) {
	return func(r *Record) {
		r.Refused = append(r.Refused, Refusal{Release: release, Host: "i-z", At: clock(2)})
	}
}

func alsoHolds(host, zone string) func(*Record) {
	return func(r *Record) {
		r.Generation++
		r.Holders = append(r.Holders, Holder{Host: host, Generation: r.Generation, Phase: Rebooting, GrantedAt: clock(2), Target: "2.0", Zone: zone})
	}
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// change asks a rule, and checks that it has left the record that it was given
// as it was, the spare room behind its lists included.
func change(t fataler, r Record, rule Rule) (Record, error) {
	t.Helper()
	r.Holders, r.Failures, r.Refused = roomy(r.Holders), roomy(r.Failures), roomy(r.Refused)
	before := deepCopy(r)
	next, err := rule.Change(r)
	if after := deepCopy(r); !reflect.DeepEqual(before, after) {
		t.Fatalf("the rule modified the record that it was given:\n%+v\n%+v", before, after)
	}
	return next, err
}

// roomy has room behind the list, so that an append without a copy shows.
func roomy[T any](list []T) []T { return append(make([]T, 0, len(list)+3), list...) }

func deepCopy(r Record) Record {
	r.Holders = slices.Clone(r.Holders[:cap(r.Holders)])
	r.Failures = slices.Clone(r.Failures[:cap(r.Failures)])
	r.Refused = slices.Clone(r.Refused[:cap(r.Refused)])
	for i := range r.Holders {
		r.Holders[i].kept = maps.Clone(r.Holders[i].kept)
	}
	for i := range r.Failures {
		r.Failures[i].kept = maps.Clone(r.Failures[i].kept)
	}
	for i := range r.Refused {
		r.Refused[i].kept = maps.Clone(r.Refused[i].kept)
	}
	if r.Halt != nil {
		halt := *r.Halt
		r.Halt = &halt
	}
	r.kept = maps.Clone(r.kept)
	return r
}

// stored is the record in its stored form, for comparisons: a list that became
// empty is the same as one that never was.
func stored(t fataler, r Record) string {
	t.Helper()
	r.Holders, r.Failures, r.Refused = orNil(r.Holders), orNil(r.Failures), orNil(r.Refused)
	body, err := r.Encode()
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	return string(body)
}

// verdict puts the answer of a rule into one word.
func verdict(err error) string {
	switch {
	case err == nil:
		return "changed"
	case errors.Is(err, ErrDone):
		return "done"
	default:
		return string(Why(err))
	}
}

func claimOf(changes ...func(*Claim)) Claim {
	c := Claim{Host: "i-b", From: "1.0", Target: "2.0", Boot: "boot-b", ARN: "arn-b", Zone: "zb", Announced: 5 * time.Minute}
	for _, change := range changes {
		change(&c)
	}
	return c
}

func inZone(zone string) func(*Claim) { return func(c *Claim) { c.Zone = zone } }

func TestGrantGuards(t *testing.T) {
	tests := []struct {
		name   string
		record Record
		claim  Claim
		want   string // verdict
		text   string // in the denial
	}{
		{"a slot is free", fleetOf(), claimOf(), "changed", ""},
		{"nobody holds one", fleetOf(empty, policy("1 1 0")), claimOf(), "changed", ""},
		{"an operator halted", fleetOf(halted), claimOf(), "halted", "halted by ann: lunch"},
		{"one failure below the limit", fleetOf(failed("i-x", 3, "sick")), claimOf(), "changed", ""},
		{"failures at the limit", fleetOf(failed("i-x", 3, "sick"), failed("i-y", 4, "fell_back")), claimOf(), "halted", "2 of 2 failures; the last: 2.0 fell_back on i-y"},
		{"failures over a lowered limit", fleetOf(failed("i-x", 3, "sick"), failed("i-y", 4, "sick"), policy("3 1 0")), claimOf(), "halted", "2 of 1"},
		{"the release is refused", fleetOf(refuses("2.0")), claimOf(), "refused", "refuses release 2.0"},
		{"another release is refused", fleetOf(refuses("2.0.1")), claimOf(), "changed", ""},
		{"full", fleetOf(policy("1 2 0")), claimOf(), "full", "1 of 1"},
		{"over a lowered number of slots", fleetOf(alsoHolds("i-c", "zc"), policy("1 2 0")), claimOf(), "full", "2 of 1"},
		{"a policy without slots", fleetOf(empty, policy("0 1 0")), claimOf(), "full", "0 of 0"},
		{"a policy that cannot be read", fleetOf(policy("three")), claimOf(), "policy", "not three numbers"},
		{"a stuck holder uses its slot", fleetOf(stuck, policy("1 2 0")), claimOf(), "full", ""},
		{"one zone, and it is this one", fleetOf(policy("3 2 1")), claimOf(inZone("za")), "changed", ""},
		{"one zone, and it is another", fleetOf(policy("3 2 1")), claimOf(inZone("zb")), "zone_full", "in 1 zones and may be in 1"},
		{"two zones, one taken", fleetOf(policy("3 2 2")), claimOf(inZone("zb")), "changed", ""},
		{"two zones, both taken", fleetOf(alsoHolds("i-c", "zc"), policy("3 2 2")), claimOf(inZone("zb")), "zone_full", "in 2 zones and may be in 2"},
		{"two holders in one zone", fleetOf(alsoHolds("i-c", "za"), policy("3 2 2")), claimOf(inZone("zb")), "changed", ""},
		{"over a lowered number of zones", fleetOf(alsoHolds("i-c", "zc"), policy("3 2 1")), claimOf(inZone("za")), "zone_full", "in 2 zones and may be in 1"},
		{"no cap on zones", fleetOf(policy("3 2 0")), claimOf(inZone("zb")), "changed", ""},
		{"an unknown zone is not a known one", fleetOf(policy("3 2 1")), claimOf(inZone("")), "zone_full", ""},
		{"nor a known one an unknown", fleetOf(policy("3 2 1"), func(r *Record) { r.Holders[0].Zone = "" }), claimOf(), "zone_full", ""},
		{"the first in an unknown zone", fleetOf(empty, policy("3 2 1")), claimOf(inZone("")), "changed", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			next, err := change(t, test.record, Grant(test.claim, numbers, clock(10)))
			if got := verdict(err); got != test.want {
				t.Fatalf("%s (%v), want %s", got, err, test.want)
			}
			if err != nil && !strings.Contains(err.Error(), test.text) {
				t.Errorf("denied with %q, which does not say %q", err, test.text)
			}
			if err != nil {
				return
			}
			want := test.record
			want.Generation++
			want.Holders = append(slices.Clone(want.Holders), Holder{
				Host: "i-b", Generation: want.Generation, Phase: Granted, GrantedAt: clock(10), Since: clock(10), Announced: 300,
				From: "1.0", Target: "2.0", Boot: "boot-b", ARN: "arn-b", Zone: test.claim.Zone,
			})
			if got := stored(t, next); got != stored(t, want) {
				t.Errorf("the record became\n%s, want\n%s", got, stored(t, want))
			}
		})
	}
}

// TestGrantAgain asks for a slot when the host has an entry already. Whatever
// else is wrong with the fleet, the host's own entry is what it must hear of.
func TestGrantAgain(t *testing.T) {
	granted, err := change(t, fleetOf(), Grant(claimOf(), numbers, clock(10)))
	if err != nil {
		t.Fatal(err)
	}
	with := func(changes ...func(*Record)) Record {
		r := granted.clone()
		for _, change := range changes {
			change(&r)
		}
		return r
	}
	own := func(f func(*Holder)) func(*Record) { return func(r *Record) { f(&r.Holders[1]) } }
	claim := claimOf()
	tests := []struct {
		name   string
		record Record
		rule   Rule
		want   string
	}{
		{"the same claim", granted, Grant(claim, numbers, clock(10)), "done"},
		{"by another clock reading of the same instant", granted, Grant(claim, numbers, clock(10).In(time.FixedZone("", 3600))), "done"},
		{"halted meanwhile", with(halted), Grant(claim, numbers, clock(10)), "done"},
		{"refused meanwhile", with(refuses("2.0")), Grant(claim, numbers, clock(10)), "done"},
		{"full meanwhile", with(policy("1 1 0")), Grant(claim, numbers, clock(10)), "done"},
		{"policy unreadable meanwhile", with(policy("")), Grant(claim, numbers, clock(10)), "done"},
		{"a later claim", granted, Grant(claim, numbers, clock(11)), "holding"},
		{"for another release", granted, Grant(claimOf(func(c *Claim) { c.Target = "3.0" }), numbers, clock(10)), "holding"},
		{"in another boot", granted, Grant(claimOf(func(c *Claim) { c.Boot = "boot-2" }), numbers, clock(10)), "holding"},
		{"already draining", with(own(func(h *Holder) { h.Phase = Draining })), Grant(claim, numbers, clock(10)), "holding"},
		{"a later claim in a halted fleet", with(halted), Grant(claim, numbers, clock(11)), "holding"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			next, err := change(t, test.record, test.rule)
			if got := verdict(err); got != test.want {
				t.Fatalf("%s (%v), want %s", got, err, test.want)
			}
			if test.want == "done" && stored(t, next) != stored(t, test.record) {
				t.Error("nothing to change, and yet another record")
			}
		})
	}
}

func TestReassert(t *testing.T) {
	tests := []struct {
		name       string
		record     Record
		generation int64
		want, text string
	}{
		{"mine", fleetOf(), 5, "changed", ""},
		{"no entry", fleetOf(empty), 5, "not_holder", "no slot of generation 5"},
		{"an earlier generation", fleetOf(), 4, "not_holder", "no slot of generation 4"},
		{"a later generation", fleetOf(), 6, "not_holder", ""},
		{"marked stuck", fleetOf(stuck), 5, "stuck", "generation 5 was marked stuck, or its holder found sick"},
		{"found sick", fleetOf(func(r *Record) { r.Holders[0].Phase = Sick }), 5, "stuck", "or its holder found sick"},
		{"an operator wants it back", fleetOf(wantedBack), 5, "restore_asks", "asked for i-a to be restored"},
		{"an operator halted", fleetOf(halted), 5, "halted", "ann"},
		{"one failure below the limit", fleetOf(failed("i-x", 3, "sick")), 5, "changed", ""},
		{"failures at the limit", fleetOf(failed("i-x", 3, "sick"), failed("i-y", 4, "sick")), 5, "halted", "2 of 2"},
		{"its own failure counts", fleetOf(failed("i-a", 5, "stuck"), policy("1 1 0")), 5, "halted", "1 of 1"},
		{"its release is refused", fleetOf(refuses("2.0")), 5, "refused", "2.0"},
		{"another release is refused", fleetOf(refuses("3.0")), 5, "changed", ""},
		{"the policy cannot be read", fleetOf(policy("")), 5, "policy", "not three numbers"},
		{"fewer slots than holders", fleetOf(alsoHolds("i-c", "zc"), policy("1 2 1")), 5, "changed", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rule := Reassert("i-a", test.generation, Rebooting, 20*time.Minute, numbers, clock(9))
			next, err := change(t, test.record, rule)
			if got := verdict(err); got != test.want {
				t.Fatalf("%s (%v), want %s", got, err, test.want)
			}
			if err != nil {
				if !strings.Contains(err.Error(), test.text) {
					t.Errorf("denied with %q, which does not say %q", err, test.text)
				}
				return
			}
			checkEntered(t, test.record, next, Rebooting, 1200, 9)
			// Only a write proves that the proof is of now.
			if again, err := change(t, next, Reassert("i-a", 5, Rebooting, 20*time.Minute, numbers, clock(12))); err != nil {
				t.Errorf("a second proof: %v", err)
			} else {
				checkEntered(t, next, again, Rebooting, 1200, 12)
			}
		})
	}
}

// checkEntered checks that the first holder entered the phase and that nothing
// else changed.
func checkEntered(t *testing.T, before, after Record, phase Phase, announced float64, minute int) {
	t.Helper()
	want := before.clone()
	want.Holders[0].Phase, want.Holders[0].Announced, want.Holders[0].Since = phase, announced, clock(minute)
	if got := stored(t, after); got != stored(t, want) {
		t.Errorf("the record became\n%s, want\n%s", got, stored(t, want))
	}
}

// TestAnnounce: after the reboot nothing turns back, so nothing but the entry
// is asked for.
func TestAnnounce(t *testing.T) {
	records := map[string]Record{
		"plain": fleetOf(), "halted": fleetOf(halted), "stuck": fleetOf(stuck), "wanted back": fleetOf(wantedBack),
		"refused": fleetOf(refuses("2.0")), "no policy": fleetOf(policy("")), "limit": fleetOf(failed("i-x", 1, "sick"), failed("i-y", 2, "sick")),
	}
	for name, r := range records {
		t.Run(name, func(t *testing.T) {
			next, err := change(t, r, Announce("i-a", 5, Verifying, 15*time.Minute, clock(20)))
			if err != nil {
				t.Fatal(err)
			}
			checkEntered(t, r, next, Verifying, 900, 20)
		})
	}
	// The announcement was on its way while the host was found sick.
	sick := fleetOf(phase(Sick), failed("i-a", 5, "sick"))
	if next, err := change(t, sick, Announce("i-a", 5, Verifying, time.Minute, clock(20))); !errors.Is(err, ErrDone) || stored(t, next) != stored(t, sick) {
		t.Errorf("a sick holder: %v", err)
	}
	for name, rule := range map[string]Rule{
		"no entry":           Announce("i-b", 5, Verifying, time.Minute, clock(20)),
		"another generation": Announce("i-a", 4, Verifying, time.Minute, clock(20)),
	} {
		if _, err := change(t, fleetOf(), rule); Why(err) != NotHolder {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func causes(r Record) string {
	var all []string
	for _, f := range r.Failures {
		all = append(all, fmt.Sprintf("%s/%d %s %s", f.Host, f.Generation, f.Release, f.Cause))
	}
	return strings.Join(all, ", ")
}

func TestFail(t *testing.T) {
	fail := Fail("i-a", 5, "sick", 5*time.Minute, clock(30))
	tests := []struct {
		name     string
		record   Record
		rule     Rule
		want     string
		failures string
	}{
		{"first", fleetOf(phase(Verifying)), fail, "changed", "i-a/5 2.0 sick"},
		{"halted changes nothing about it", fleetOf(phase(Verifying), halted), fail, "changed", "i-a/5 2.0 sick"},
		{"among others", fleetOf(phase(Verifying), failed("i-a", 4, "sick"), failed("i-x", 5, "sick")), fail, "changed", "i-a/4 2.0 sick, i-x/5 2.0 sick, i-a/5 2.0 sick"},
		{"in place of what a watcher said", fleetOf(phase(Verifying), failed("i-a", 5, "stuck"), failed("i-x", 1, "sick")), fail, "changed", "i-a/5 2.0 sick, i-x/1 2.0 sick"},
		{"a second time", fleetOf(phase(Sick), failed("i-a", 5, "sick")), fail, "done", "i-a/5 2.0 sick"},
		{"a second time, removed by an operator", fleetOf(phase(Sick)), fail, "done", ""},
		{"no entry", fleetOf(empty), fail, "not_holder", ""},
		{"another generation", fleetOf(), Fail("i-a", 4, "sick", time.Minute, clock(30)), "not_holder", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			next, err := change(t, test.record, test.rule)
			if got := verdict(err); got != test.want {
				t.Fatalf("%s (%v), want %s", got, err, test.want)
			}
			if Why(err) != "" {
				return
			}
			if got := causes(next); got != test.failures {
				t.Errorf("failures are %q, want %q", got, test.failures)
			}
			if h, ok := next.Holder("i-a"); !ok || h.Phase != Sick {
				t.Errorf("the host must keep its slot, in phase sick: %+v", h)
			}
			if _, err := change(t, next, test.rule); !errors.Is(err, ErrDone) {
				t.Errorf("once more: %v", err)
			}
		})
	}
}

func TestReturn(t *testing.T) {
	good := Report{Release: "2.0"}
	bad := Report{Release: "2.0", Cause: "interrupted"}
	fellBack := Report{Release: "2.0", Cause: "fell_back", Refuse: true}
	unhealthy := Report{Release: "2.0", Cause: "sick"}
	gone := empty
	tests := []struct {
		name     string
		record   Record
		report   Report
		want     string
		failures string
		refused  int
	}{
		{"good", fleetOf(), good, "changed", "", 0},
		{"good, with failures of others", fleetOf(failed("i-a", 4, "sick"), failed("i-x", 5, "sick")), good, "changed", "i-a/4 2.0 sick, i-x/5 2.0 sick", 0},
		{"good, marked stuck meanwhile", fleetOf(stuck, failed("i-a", 5, "stuck")), good, "changed", "", 0},
		{"good, sick before", fleetOf(phase(Sick), failed("i-a", 5, "sick")), good, "changed", "", 0},
		{"good, sick before and removed by an operator", fleetOf(phase(Sick)), good, "changed", "", 0},
		{"good does not lift a refusal", fleetOf(refuses("2.0")), good, "changed", "", 1},
		{"failing", fleetOf(), bad, "changed", "i-a/5 2.0 interrupted", 0},
		{"failing, marked stuck meanwhile", fleetOf(stuck, failed("i-a", 5, "stuck")), bad, "changed", "i-a/5 2.0 interrupted", 0},
		{"failing, with a policy that cannot be read", fleetOf(policy(""), halted), bad, "changed", "i-a/5 2.0 interrupted", 0},
		{"refusing", fleetOf(), fellBack, "changed", "i-a/5 2.0 fell_back", 1},
		{"refusing what is refused", fleetOf(refuses("2.0")), fellBack, "changed", "i-a/5 2.0 fell_back", 1},
		{"refusing one more", fleetOf(refuses("1.9")), fellBack, "changed", "i-a/5 2.0 fell_back", 2},
		{"sick, published", fleetOf(phase(Sick), failed("i-a", 5, "sick")), unhealthy, "changed", "i-a/5 2.0 sick", 0},
		{"sick, published and removed by an operator", fleetOf(phase(Sick)), unhealthy, "changed", "", 0},
		{"gone: an answer was lost", fleetOf(gone), bad, "done", "", 0},
		{"gone: an answer was lost, and the refusal was lifted since", fleetOf(gone, failed("i-a", 5, "fell_back")), fellBack, "done", "i-a/5 2.0 fell_back", 0},
		{"gone: an answer was lost, and the failure removed since", fleetOf(gone, refuses("2.0")), fellBack, "done", "", 1},
		{"gone: freed and resumed, and it fell back", fleetOf(gone), fellBack, "changed", "", 1},
		{"gone: freed and resumed, and it was interrupted", fleetOf(gone), bad, "done", "", 0},
		{"gone: freed, and good", fleetOf(gone, failed("i-a", 5, CauseFreed)), good, "changed", "", 0},
		{"gone: freed, and it knows better", fleetOf(gone, failed("i-a", 5, CauseFreed), failed("i-x", 1, "sick")), fellBack, "changed", "i-a/5 2.0 fell_back, i-x/1 2.0 sick", 1},
		{"gone: marked stuck and freed, and good", fleetOf(gone, failed("i-a", 5, "stuck")), good, "changed", "", 0},
		{"gone: marked stuck and freed, and it knows better", fleetOf(gone, failed("i-a", 5, "stuck")), fellBack, "changed", "i-a/5 2.0 fell_back", 1},
		{"gone: sick and freed, and good after all", fleetOf(gone, failed("i-a", 5, "sick")), good, "changed", "", 0},
		{"gone: sick and freed", fleetOf(gone, failed("i-a", 5, "sick")), unhealthy, "done", "i-a/5 2.0 sick", 0},
		{"gone: another generation was freed", fleetOf(gone, failed("i-a", 4, CauseFreed)), good, "done", "i-a/4 2.0 freed", 0},
		{"gone: a newer slot of the host stays", fleetOf(func(r *Record) { r.Generation, r.Holders[0].Generation = 6, 6 }), bad, "done", "", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rule := Return("i-a", 5, test.report, clock(40))
			next, err := change(t, test.record, rule)
			if got := verdict(err); got != test.want {
				t.Fatalf("%s (%v), want %s", got, err, test.want)
			}
			if next.index("i-a", 5) >= 0 {
				t.Error("the slot was not returned")
			}
			if got := causes(next); got != test.failures {
				t.Errorf("failures are %q, want %q", got, test.failures)
			}
			if len(next.Refused) != test.refused {
				t.Errorf("refused is %+v, want %d", next.Refused, test.refused)
			}
			if test.report.Refuse && test.want == "changed" && !next.Refuses("2.0") {
				t.Error("the release is not refused")
			}
			again, err := change(t, next, rule)
			if !errors.Is(err, ErrDone) || stored(t, again) != stored(t, next) {
				t.Errorf("a second return: %v\n%s\n%s", err, stored(t, next), stored(t, again))
			}
		})
	}
}

// TestReturnInOneChange: no host can see the free slot and not the failure.
func TestReturnInOneChange(t *testing.T) {
	r, err := change(t, fleetOf(policy("1 1 0")), Return("i-a", 5, Report{Release: "2.0", Cause: "fell_back", Refuse: true}, clock(40)))
	if err != nil || len(r.Holders) != 0 {
		t.Fatalf("%+v, %v", r.Holders, err)
	}
	if _, err := change(t, r, Grant(claimOf(), numbers, clock(41))); Why(err) != FleetHalted {
		t.Errorf("the next host is told %v", err)
	}
	r.Failures = nil // an operator resumes
	if _, err := change(t, r, Grant(claimOf(), numbers, clock(42))); Why(err) != Refused {
		t.Errorf("after the resume it is told %v", err)
	}
}

func TestAverageHold(t *testing.T) {
	tests := []struct {
		before float64
		hold   time.Duration
		want   float64
	}{
		{0, 10 * time.Minute, 600},
		{-5, 10 * time.Minute, 600},
		{600, 10 * time.Minute, 600},
		{600, 20 * time.Minute, 720},
		{600, 5 * time.Minute, 540},
		{600, 0, 600},
		{600, -time.Hour, 600}, // a clock was set back
		{600, 2 * time.Hour, 1920},
		{600, 2*time.Hour + 1, 600},
		{600, 1 << 62, 600}, // a clock was set forward by years
		{0, -time.Second, 0},
	}
	for _, test := range tests {
		if got := average(test.before, test.hold); got != test.want {
			t.Errorf("average of %v and %s is %v, want %v", test.before, test.hold, got, test.want)
		}
	}
	for p, want := range map[Phase]float64{Granted: 0, Draining: 0, Rebooting: 1800, Verifying: 1800, Sick: 0} {
		r, err := change(t, fleetOf(phase(p)), Return("i-a", 5, Report{}, clock(30)))
		if err != nil || r.AverageHold != want {
			t.Errorf("after a hold of half an hour that ended in phase %s the average is %v s, want %v, %v", p, r.AverageHold, want, err)
		}
	}
	r, err := change(t, fleetOf(empty, failed("i-a", 5, CauseFreed)), Return("i-a", 5, Report{}, clock(30)))
	if err != nil || r.AverageHold != 0 {
		t.Errorf("a slot that was freed long ago counts as %v s, %v", r.AverageHold, err)
	}
}

// TestHalted: a halt is derived each time and stored nowhere.
func TestHalted(t *testing.T) {
	tests := []struct {
		name   string
		record Record
		limit  int
		want   string
	}{
		{"nothing wrong", fleetOf(), 1, ""},
		{"by an operator", fleetOf(halted), 9, "halted by ann: lunch"},
		{"by an operator, and failures", fleetOf(halted, failed("i-x", 1, "sick")), 1, "halted by ann: lunch"},
		{"below the limit", fleetOf(failed("i-x", 1, "sick")), 2, ""},
		{"at the limit", fleetOf(failed("i-x", 1, "sick")), 1, "1 of 1 failures; the last: 2.0 sick on i-x"},
		{"over the limit", fleetOf(failed("i-x", 1, "sick"), failed("i-y", 2, "fell_back")), 1, "2 of 1 failures; the last: 2.0 fell_back on i-y"},
		{"a limit below one counts as one", fleetOf(), 0, ""},
		{"also with a failure", fleetOf(failed("i-x", 1, "sick")), -1, "1 of 1 failures; the last: 2.0 sick on i-x"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.record.Halted(Limits{MaxFailures: test.limit}); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestWhy(t *testing.T) {
	_, err := denied(Full, "%d of %d", 1, 1)
	if Why(fmt.Errorf("ask: %w", err)) != Full || err.Error() != "1 of 1" {
		t.Errorf("%v is %q", err, Why(err))
	}
	for _, err := range []error{nil, ErrDone, ErrConflict} {
		if got := Why(err); got != "" {
			t.Errorf("%v is no denial, yet %q", err, got)
		}
	}
}

// TestJoins: holders go before joiners, and a grant alone joins.
func TestJoins(t *testing.T) {
	if !Grant(claimOf(), numbers, clock(0)).Joins {
		t.Error("a grant must wait behind the holders")
	}
	for name, rule := range map[string]Rule{
		"reassert": Reassert("i-a", 5, Draining, 0, numbers, clock(0)), "announce": Announce("i-a", 5, Verifying, 0, clock(0)),
		"fail": Fail("i-a", 5, "sick", 0, clock(0)), "return": Return("i-a", 5, Report{}, clock(0)),
	} {
		if rule.Joins {
			t.Errorf("%s must go before the joiners", name)
		}
	}
}
