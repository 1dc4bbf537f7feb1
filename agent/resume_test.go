package agent

import (
	"fmt"
	"slices"
	"testing"
)

// Boots and versions of the facts below.
const (
	bootThen = "boot-then" // in which the update began
	bootNow  = "boot-now"  // another one
	bootSeen = "boot-seen" // one in between
)

// dutyOf is a duty with nothing done yet, of the boot before unless changed.
func dutyOf(changes ...func(*Duty)) Duty {
	d := Duty{
		Instance: "i-a", Fleet: "arn:fleet", Table: "drydock", ARN: "arn-a", Generation: 5,
		From: "1.0", Target: "2.0", Boot: bootThen,
	}
	for _, change := range changes {
		change(&d)
	}
	return d
}

// Marks of a duty.
func drained(d *Duty)    { d.DrainCalls = 1 }
func unanswered(d *Duty) { d.DrainCalls, d.DrainOpen = 1, 1 }
func activating(d *Duty) { d.DrainCalls, d.Activating = 1, true }
func armed(d *Duty)      { d.DrainCalls, d.Activating, d.Armed, d.Asks = 1, true, true, 1 }
func restored(d *Duty)   { d.Restored = true }
func adopted(d *Duty)    { d.Adopted = true }

func ended(r Result) func(*Duty)      { return func(d *Duty) { d.Outcome = r } }
func seenIn(boot string) func(*Duty)  { return func(d *Duty) { d.Seen, d.Boots = boot, d.Boots+1 } }
func updateFrom(v string) func(*Duty) { return func(d *Duty) { d.From = v } }
func same(changes ...func(*Duty)) Facts {
	return Facts{Boot: bootThen, HasDuty: true, Duty: dutyOf(changes...)}
}

// later are facts of a new boot in which a version runs.
func later(running string, changes ...func(*Duty)) Facts {
	return Facts{Boot: bootNow, Running: running, HasDuty: true, Duty: dutyOf(changes...)}
}

// TestResume names what an agent may find at its start, and where it begins.
func TestResume(t *testing.T) {
	tests := []start{
		{"no duty", Facts{Boot: bootNow}, Idle, ""},
		{"no duty, and the record cannot be read", Facts{Boot: bootNow, RecordRead: false}, Idle, ""},
		{"no file, no entry", Facts{Boot: bootNow, Memoryless: true, RecordRead: true}, Idle, ""},
		{"no file, and the record cannot be read", Facts{Boot: bootNow, Memoryless: true}, Starting, ""},
		{"no file, an entry", Facts{Boot: bootThen, Memoryless: true, RecordRead: true, HasDuty: true, Duty: dutyOf(unanswered, adopted)}, Restoring, TurnedBack},

		{"same boot: duty taken", same(), Draining, ""},
		{"same boot: drain called", same(unanswered), Draining, ""},
		{"same boot: drained", same(drained), Draining, ""},
		{"same boot: activating", same(activating), Draining, ""},
		{"same boot: armed", same(armed), Rebooting, ""},
		{"same boot: turning back", same(drained, ended(TurnedBack)), Restoring, TurnedBack},
		{"same boot: drain timed out", same(drained, ended(DrainExpired)), Restoring, DrainExpired},
		{"same boot: armed, and the request's deadline has passed", same(armed, ended(NotRebooted)), Restoring, NotRebooted},
		{"same boot: restored", same(drained, ended(TurnedBack), restored), Restoring, TurnedBack},
		{"same boot: adopted in granted", same(adopted, ended(TurnedBack), restored), Restoring, TurnedBack},
		{"same boot: adopted in draining", same(adopted, unanswered), Restoring, TurnedBack},
		{"same boot: adopted in rebooting", same(adopted, armed), Rebooting, ""},

		{"new boot: duty taken", later("1.0"), Restoring, TurnedBack},
		{"new boot: drained", later("1.0", drained), Restoring, TurnedBack},
		{"new boot: drained, version unknown", later("", drained), Restoring, TurnedBack},
		{"new boot: turning back", later("1.0", drained, ended(TurnedBack)), Restoring, TurnedBack},
		{"new boot: drain timed out", later("1.0", drained, ended(DrainExpired)), Restoring, DrainExpired},
		{"new boot: activating, on target", later("2.0", activating), Verifying, ""},
		{"new boot: activating, on from", later("1.0", activating), Restoring, Interrupted},
		{"new boot: activating, on a third version", later("1.5", activating), Verifying, ""},
		{"new boot: activating, version unknown", later("", activating), Verifying, ""},
		{"new boot: armed, on target", later("2.0", armed), Verifying, ""},
		{"new boot: armed, on from", later("1.0", armed), Restoring, FellBack},
		{"new boot: armed, on a third version", later("1.5", armed), Verifying, ""},
		{"new boot: armed, version unknown", later("", armed), Verifying, ""},
		{"new boot: armed, both versions unknown", later("", armed, updateFrom("")), Verifying, ""},
		{"new boot: armed, looked at in this boot", later("2.0", armed, seenIn(bootNow)), Verifying, ""},
		{"new boot: armed, looked at in a boot between", later("2.0", armed, seenIn(bootSeen)), Verifying, ""},
		{"new boot: adopted in rebooting, on from", later("1.0", adopted, activating), Restoring, Interrupted},
		{"new boot: adopted in rebooting, as if armed, on from", later("1.0", adopted, armed), Restoring, Interrupted},
		{"new boot: adopted in rebooting, on target", later("2.0", adopted, activating), Verifying, ""},

		{"not rebooted, armed and activated, on from", later("1.0", armed, ended(NotRebooted)), Restoring, FellBack},
		{"not rebooted, disarmed and activated, on from", later("1.0", activating, ended(NotRebooted)), Restoring, Interrupted},
		{"not rebooted, armed by a guess, on from", later("1.0", armed, adopted, ended(NotRebooted)), Restoring, Interrupted},
		{"not rebooted, activated, on target", later("2.0", armed, ended(NotRebooted)), Verifying, ""},
		{"not rebooted, deactivated, on from", later("1.0", drained, ended(NotRebooted)), Restoring, NotRebooted},
		{"turning back, activated, on from", later("1.0", activating, ended(TurnedBack)), Restoring, Interrupted},

		{"judged: updated", later("2.0", armed, seenIn(bootNow), ended(Updated)), Restoring, Updated},
		{"judged: fell back, disarmed", later("1.0", drained, ended(FellBack)), Restoring, FellBack},
		{"judged: interrupted", later("1.0", activating, ended(Interrupted)), Restoring, Interrupted},
		{"judged: elsewhere", later("1.5", armed, seenIn(bootNow), ended(Elsewhere)), Restoring, Elsewhere},
		{"judged: updated, restored, rebooted again", later("2.0", drained, seenIn(bootSeen), ended(Updated), restored), Restoring, Updated},

		{"sick, the agent was restarted", later("2.0", armed, seenIn(bootNow), ended(Unhealthy)), Sick, Unhealthy},
		{"sick, being restored, the agent was restarted", later("2.0", drained, seenIn(bootNow), ended(Unhealthy)), Sick, Unhealthy},
		{"sick, booted again", later("2.0", armed, seenIn(bootSeen), ended(Unhealthy)), Verifying, ""},
		{"sick, booted again, on from", later("1.0", armed, seenIn(bootSeen), ended(Unhealthy)), Verifying, ""},
		{"sick, being restored, booted again", later("2.0", drained, seenIn(bootSeen), ended(Unhealthy)), Verifying, ""},
		{"sick, restored", later("2.0", drained, seenIn(bootNow), ended(Unhealthy), restored), Restoring, Unhealthy},
	}
	for _, test := range tests {
		t.Run(test.name, test.check)
	}
}

// start is what an agent found, and where it must begin.
type start struct {
	name   string
	facts  Facts
	to     Phase // Starting: asks again
	result Result
}

func (s start) check(t *testing.T) {
	o := Resume(s.facts)
	if s.to == Starting {
		if o.Kind != Again || o.Reason == "" {
			t.Errorf("%+v, want to ask again and to say why", o)
		}
		return
	}
	if o.Kind != Resumed || o.To != s.to || o.Result != s.result {
		t.Errorf("%+v, want %s with %q", o, s.to, s.result)
	}
	if s.facts.HasDuty && o.Target != s.facts.Duty.Target {
		t.Errorf("the release of the duty is %q, of the outcome %q", s.facts.Duty.Target, o.Target)
	}
}

// eachDuty goes through every set of marks that a duty can have. Armed without
// activating is none: arming comes after it and is taken back before it.
func eachDuty(visit func(Duty)) {
	bools := []bool{false, true}
	for calls := range 3 {
		for open := range calls + 1 {
			for _, marks := range [][2]bool{{false, false}, {true, false}, {true, true}} {
				for _, outcome := range append(allResults(), "") {
					for _, isRestored := range bools {
						for _, isAdopted := range bools {
							for _, seen := range []string{"", bootNow, bootSeen} {
								visit(dutyOf(seenIn(seen), ended(outcome), func(d *Duty) {
									d.DrainCalls, d.DrainOpen, d.Activating, d.Armed = calls, open, marks[0], marks[1]
									d.Restored, d.Adopted = isRestored, isAdopted
								}))
							}
						}
					}
				}
			}
		}
	}
}

// eachFacts goes through everything that an agent may find at its start.
func eachFacts(visit func(Facts)) {
	for _, memoryless := range []bool{false, true} {
		for _, read := range []bool{false, true} {
			for _, boot := range []string{bootThen, bootNow} {
				for _, running := range []string{"", "1.0", "2.0", "3.0"} {
					f := Facts{Boot: boot, Memoryless: memoryless, RecordRead: read, Running: running}
					visit(f)
					f.HasDuty = true
					eachDuty(func(d Duty) {
						f.Duty = d
						visit(f)
					})
				}
			}
		}
	}
}

// promise is something that must hold of every start to which it applies.
type promise struct {
	name    string
	applies func(f Facts, d Duty) bool
	holds   func(o Outcome, d Duty) bool
}

func newBoot(f Facts) bool { return f.Boot != f.Duty.Boot }

// to holds where the agent begins in one of the phases.
func to(all ...Phase) func(Outcome, Duty) bool {
	return func(o Outcome, _ Duty) bool { return o.Kind == Resumed && slices.Contains(all, o.To) }
}

func promises() []promise {
	return []promise{
		{"an agent waits only where file and record are both unreadable",
			func(f Facts, _ Duty) bool { return f.HasDuty || !f.Memoryless || f.RecordRead },
			func(o Outcome, _ Duty) bool { return o.Kind == Resumed }},
		{"and there it does",
			func(f Facts, _ Duty) bool { return !f.HasDuty && f.Memoryless && !f.RecordRead },
			func(o Outcome, _ Duty) bool { return o.Kind == Again && o.Reason != "" }},
		{"without a duty there is nothing to do",
			func(f Facts, _ Duty) bool { return !f.HasDuty && (!f.Memoryless || f.RecordRead) },
			to(Idle)},
		{"a duty is never dropped",
			func(f Facts, _ Duty) bool { return f.HasDuty },
			to(Draining, Rebooting, Verifying, Sick, Restoring)},
		{"what was adopted is only undone",
			func(f Facts, d Duty) bool { return f.HasDuty && d.Adopted },
			to(Rebooting, Verifying, Sick, Restoring)},
		{"after a reboot nothing is drained or rebooted",
			func(f Facts, _ Duty) bool { return f.HasDuty && newBoot(f) },
			to(Verifying, Sick, Restoring)},
		{"without a reboot there is nothing to verify",
			func(f Facts, _ Duty) bool { return f.HasDuty && !newBoot(f) },
			to(Draining, Rebooting, Restoring)},
		{"a reboot request that may be alive is waited for",
			func(f Facts, d Duty) bool {
				return f.HasDuty && !newBoot(f) && d.Armed && d.Outcome == "" && !d.Restored
			},
			to(Rebooting)},
		{"what is restored owes only the slot",
			func(f Facts, d Duty) bool { return f.HasDuty && d.Restored },
			func(o Outcome, d Duty) bool { return o.To == Restoring && o.Result == d.Outcome }},
		{"what was being undone is undone",
			func(f Facts, d Duty) bool {
				return f.HasDuty && d.Outcome != "" && d.Outcome != Unhealthy && d.Outcome != Updated && !(newBoot(f) && d.Activating)
			},
			func(o Outcome, d Duty) bool { return o.To == Restoring && o.Result == d.Outcome }},
		{"a release that a reset brings up before it is deactivated is verified",
			func(f Facts, d Duty) bool {
				return f.HasDuty && newBoot(f) && d.Outcome.beforeReboot() && d.Activating && !d.Restored && f.Running != d.From
			},
			func(o Outcome, d Duty) bool { return o.To == Verifying }},
		{"an outcome that was noted is taken back by a new look alone",
			func(f Facts, d Duty) bool {
				return f.HasDuty && d.Outcome != "" && !(newBoot(f) && d.Outcome.beforeReboot() && d.Activating)
			},
			func(o Outcome, d Duty) bool { return o.Result == d.Outcome || o.To == Verifying && o.Result == "" }},
		{"a release that did not boot is refused",
			func(f Facts, d Duty) bool {
				return f.HasDuty && newBoot(f) && d.Armed && !d.Adopted && (d.Outcome == "" || d.Outcome.beforeReboot()) && !d.Restored && f.Running == d.From
			},
			func(o Outcome, _ Duty) bool { return o.To == Restoring && o.Result == FellBack }},
		{"and no other is",
			func(f Facts, d Duty) bool {
				return f.HasDuty && d.Outcome == "" && (!newBoot(f) || !d.Armed || d.Adopted || f.Running != d.From)
			},
			func(o Outcome, _ Duty) bool { return o.Result != FellBack && !o.Result.Refuses() }},
		{"a new boot with an open update on another version is looked at",
			func(f Facts, d Duty) bool {
				return f.HasDuty && newBoot(f) && d.Activating && d.Outcome == "" && !d.Restored && f.Running != d.From
			},
			to(Verifying)},
		{"only who was found sick in this boot is sick",
			func(f Facts, d Duty) bool {
				return f.HasDuty && (d.Outcome != Unhealthy || d.Seen != f.Boot || d.Restored || !newBoot(f))
			},
			func(o Outcome, _ Duty) bool { return o.To != Sick }},
		{"a host that restores knows how the update ends",
			func(f Facts, d Duty) bool { return f.HasDuty && !d.Restored },
			func(o Outcome, _ Duty) bool { return o.To != Restoring || o.Result != "" }},
		{"the machine has an edge for it",
			func(Facts, Duty) bool { return true },
			func(o Outcome, d Duty) bool {
				next := Next(State{Phase: Starting}, o)
				return o.Kind == Again || next.Phase == o.To && (o.To == Idle || next.Target == d.Target && next.Result == o.Result)
			}},
	}
}

// TestResumePromises holds every promise against everything that can be found.
func TestResumePromises(t *testing.T) {
	list := promises()
	applied, broken := make([]int, len(list)), make([]int, len(list))
	cases := 0
	eachFacts(func(f Facts) {
		cases++
		o := Resume(f)
		for i, p := range list {
			if !p.applies(f, f.Duty) {
				continue
			}
			applied[i]++
			if p.holds(o, f.Duty) {
				continue
			}
			if broken[i]++; broken[i] <= 3 {
				t.Errorf("%s: broken by %s\nwhich starts with %+v", p.name, showFacts(f), o)
			}
		}
	})
	for i, p := range list {
		if applied[i] == 0 {
			t.Errorf("%s: never applied", p.name)
		}
	}
	t.Logf("%d sets of facts", cases)
}

func showFacts(f Facts) string {
	d := f.Duty
	return fmt.Sprintf("boot %s running %q duty=%t memoryless=%t read=%t: drain %d/%d activating=%t armed=%t outcome=%q restored=%t adopted=%t seen %q",
		f.Boot, f.Running, f.HasDuty, f.Memoryless, f.RecordRead, d.DrainOpen, d.DrainCalls, d.Activating, d.Armed, d.Outcome, d.Restored, d.Adopted, d.Seen)
}

func TestJudge(t *testing.T) {
	tests := []struct {
		name    string
		duty    Duty
		running string
		want    Result
	}{
		{"target", dutyOf(armed), "2.0", Updated},
		{"target, not armed", dutyOf(activating), "2.0", Updated},
		{"target, sick before", dutyOf(armed, ended(Unhealthy)), "2.0", Updated},
		{"from", dutyOf(armed), "1.0", FellBack},
		{"from, not armed", dutyOf(activating), "1.0", Interrupted},
		{"from, armed by a guess", dutyOf(armed, adopted), "1.0", Interrupted},
		{"from, not rebooted in time", dutyOf(armed, ended(NotRebooted)), "1.0", FellBack},
		{"from, fell back before", dutyOf(ended(FellBack)), "1.0", FellBack},
		{"from, sick before", dutyOf(armed, ended(Unhealthy)), "1.0", Unhealthy},
		{"a third version", dutyOf(armed), "1.5", Elsewhere},
		{"a third version, not armed", dutyOf(activating), "1.5", Elsewhere},
		{"a third version, sick before", dutyOf(armed, ended(Unhealthy)), "1.5", Elsewhere},
	}
	for _, test := range tests {
		if got := judge(test.duty, test.running); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}
