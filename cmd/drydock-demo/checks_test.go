package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/internal/ecstest"
)

// at is a moment of a run, in tenths of a second.
func at(tenths int) time.Time {
	return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(tenths) * 100 * time.Millisecond)
}

// entriesOf is the ledger of one update that begins at the moment and takes
// 6.4 s, 5.6 s of them drain and reboot.
func entriesOf(host string, from int) []entry {
	return []entry{
		{at(from), host, granted, ""},
		{at(from + 1), host, draining, host},
		{at(from + 31), host, drained, ""},
		{at(from + 35), host, askedReboot, ""},
		{at(from + 38), host, wentDown, ""},
		{at(from + 53), host, cameUp, newRelease},
		{at(from + 61), host, connected, ""},
		{at(from + 63), host, nowActive, host},
		{at(from + 64), host, returned, ""},
	}
}

// good is a run of three hosts in which everything holds.
func good() evidence {
	e := evidence{
		slots:  1,
		idle:   map[string]int{"i-1": 0, "i-2": 0, "i-3": 0},
		rested: map[string]int{"i-1": 0, "i-2": 0, "i-3": 0},
	}
	for i, id := range []string{"i-1", "i-2", "i-3"} {
		e.hosts = append(e.hosts, hostEnd{id, "host" + id[1:], newRelease, "ACTIVE", true, false})
		e.entries = append(e.entries, entriesOf(id, 70*i)...)
	}
	e.sum()
	return e
}

// sum makes the updates of the entries anew.
func (e *evidence) sum() {
	e.updates = updatesOf(e.entries, oldRelease)
	for _, u := range e.updates {
		u.ecsCalls, u.dbWrites = 12, 5
	}
}

// move shifts the entries of one kind by tenths of a second.
func (e *evidence) move(host string, what fact, tenths int) {
	for i, x := range e.entries {
		if x.host == host && x.what == what {
			e.entries[i].at = x.at.Add(time.Duration(tenths) * 100 * time.Millisecond)
		}
	}
	slices.SortStableFunc(e.entries, func(a, b entry) int { return a.at.Compare(b.at) })
	e.sum()
}

// drop removes the entries of one kind.
func (e *evidence) drop(host string, what fact) {
	e.entries = slices.DeleteFunc(e.entries, func(x entry) bool { return x.host == host && x.what == what })
	e.sum()
}

func (e *evidence) add(entries ...entry) {
	e.entries = append(e.entries, entries...)
	slices.SortStableFunc(e.entries, func(a, b entry) int { return a.at.Compare(b.at) })
	e.sum()
}

// fellBack is a run in which the first host fell back and nobody else tried.
func fellBack() evidence {
	e := good()
	e.entries = entriesOf("i-1", 0)
	for i := range e.entries {
		if e.entries[i].what == cameUp {
			e.entries[i].text = oldRelease
		}
	}
	for i := range e.hosts {
		e.hosts[i].running = oldRelease
	}
	e.record.Failures = []coordination.Failure{{Host: "i-1", Generation: 1, Cause: "fell_back", Release: newRelease}}
	e.record.Refused = []coordination.Refusal{{Release: newRelease, Host: "i-1"}}
	e.status = "state halted: 1 of 1 failures: 1.26.1 fell_back on i-1\nrefused 1.26.1"
	e.sum()
	return e
}

// hangs is a run in which the first host did not come back.
func hangs() evidence {
	e := fellBack()
	e.entries = append(e.entries[:5:5], entry{at(53), "i-1", hung, ""})
	e.hosts[0] = hostEnd{"i-1", "host-1", "", "DRAINING", false, false}
	e.record.Refused = nil
	e.record.Holders = []coordination.Holder{{Host: "i-1", Generation: 1, Phase: coordination.Rebooting, Stuck: true}}
	e.status = "state halted: 1 of 1 failures\nholders i-1 STUCK"
	e.sum()
	return e
}

// tableless is a run in which the table was away while host-1 came back.
func tableless() evidence {
	e := good()
	e.drop("i-1", returned)
	e.add(entry{at(38), "i-1", cutOff, ""}, entry{at(66), "i-1", cutHealed, ""}, entry{at(67), "i-1", returned, ""})
	return e
}

// killings is a run in which every agent was killed at every moment.
func killings() evidence {
	e := good()
	for _, h := range e.hosts {
		for i, m := range moments() {
			e.add(entry{at(i), h.id, killed, string(m)})
		}
	}
	return e
}

// lost is a run in which host-1 was terminated while it rebooted.
func lost() evidence {
	e := good()
	e.entries = append(entriesOf("i-1", 0)[:5:5],
		entry{at(40), "i-1", terminated, ""}, entry{at(250), "i-1", markedStuck, ""},
		entry{at(260), "i-3", askedEC2, "host-1, host-9"}, entry{at(310), "i-3", askedEC2, "host-1"},
		entry{at(311), "i-1", returned, ""}, entry{at(340), "i-1", resumed, "to be lifted: failure of i-1, generation 1"})
	e.add(append(entriesOf("i-2", 350), entriesOf("i-3", 420)...)...)
	e.hosts[0] = hostEnd{"i-1", "host-1", "", "", false, true}
	return e
}

// replaced is a run in which host-1 hung and host-4 took its place.
func replaced() evidence {
	e := lost()
	e.drop("i-2", granted)
	e.entries = slices.DeleteFunc(e.entries, func(x entry) bool { return x.at.After(at(311)) })
	e.add(entry{at(39), "i-1", hung, ""}, entry{at(41), "i-4", launched, oldRelease}, entry{at(60), "i-4", preparing, ""})
	e.hosts = append(e.hosts, hostEnd{"i-4", "host-4", oldRelease, "ACTIVE", true, false})
	e.hosts[1].running, e.hosts[2].running = oldRelease, oldRelease
	e.record.Failures = []coordination.Failure{{Host: "i-1", Generation: 1, Cause: coordination.CauseFreed, Release: newRelease}}
	e.status = "state halted: 1 of 1 failures"
	return e
}

// parted is a run in which host-1 and host-3 were cut off twice.
func parted() evidence {
	e := good()
	for _, from := range []int{2, 39} {
		for _, id := range []string{"i-1", "i-3"} {
			e.add(entry{at(from), id, cutOff, ""}, entry{at(from + 10), id, cutHealed, ""})
		}
	}
	return e
}

// violation is one that a check of a story must find.
type violation struct {
	story, promise, broken string // broken is part of what the check says
	plant                  func(*evidence)
}

// lossViolations are those of the stories in which hosts or the table are lost.
func lossViolations() []violation {
	const freed, started, stayed = "freed on two answers of EC2, after", "between the mark and", "stayed until the operator"
	return []violation{
		{"lost-host", "never more hosts out", "2 were out", func(e *evidence) { e.move("i-2", draining, -60) }},
		{"lost-host", freed, "host-1 has still its slot", func(e *evidence) { e.drop("i-1", returned) }},
		{"lost-host", freed, "freed without a mark", func(e *evidence) { e.drop("i-1", markedStuck) }},
		{"lost-host", freed, "without two answers", func(e *evidence) { e.move("i-3", askedEC2, 10) }},
		{"lost-host", freed, "without two answers", func(e *evidence) {
			e.drop("i-3", askedEC2)
			e.add(entry{at(260), "i-3", askedEC2, "host-1"}, entry{at(309), "i-3", askedEC2, "host-1"}, entry{at(310), "i-2", askedEC2, "host-1"})
		}},
		{"lost-host", freed, "no host was lost", func(e *evidence) { e.drop("i-1", terminated) }},
		{"lost-host", started, "host-2 was, 8.0 s after the mark", func(e *evidence) { e.move("i-2", granted, -20) }},
		{"lost-host", started, "no mark or no resume", func(e *evidence) { e.drop("i-1", resumed) }},
		{"lost-host", stayed, "did not find it", func(e *evidence) {
			e.drop("i-1", resumed)
			e.add(entry{at(340), "i-1", resumed, "already so"})
		}},
		{"lost-host", stayed, "nobody resumed", func(e *evidence) { e.drop("i-1", resumed) }},
		{"replaced-host", "the release reached at most", "2 hosts", func(e *evidence) { e.add(entriesOf("i-4", 320)...) }},
		{"replaced-host", "every host that failed was replaced", "host-1 has still", func(e *evidence) { e.drop("i-1", returned) }},
		{"replaced-host", "no fresh host tried", "host-4", func(e *evidence) { e.add(entry{at(320), "i-4", granted, ""}) }},
		{"replaced-host", "no fresh host tried", "did not even see it", func(e *evidence) { e.drop("i-4", preparing) }},
		{"replaced-host", "no fresh host tried", "there is none", func(e *evidence) { e.drop("i-4", launched) }},
		{"replaced-host", "all hosts that there are", "host-4 runs 1.26.1", func(e *evidence) { e.hosts[3].running = newRelease }},
		{"replaced-host", "all slots are free, and the failure", "no failure", func(e *evidence) { e.record.Failures = nil }},
		{"replaced-host", "all slots are free, and the failure", "that of host-2", func(e *evidence) { e.record.Failures[0].Host = "i-2" }},
		{"replaced-host", "all slots are free, and the failure", "has a slot", func(e *evidence) {
			e.record.Holders = []coordination.Holder{{Host: "i-2", Phase: coordination.Draining}}
		}},
		{"replaced-host", "drydock status says that the fleet is halted", `"halted"`, func(e *evidence) { e.status = "" }},
		{"partition", "the partitions met hosts", "1 in an update", func(e *evidence) { e.move("i-1", returned, -30) }},
		{"partition", "the partitions met hosts", "0 others", func(e *evidence) { e.drop("i-3", cutOff) }},
		{"partition", "no host was marked stuck", "host-3", func(e *evidence) { e.add(entry{at(50), "i-3", markedStuck, ""}) }},
		{"partition", "nobody else was given the slot", "2 held one when host-2", func(e *evidence) { e.move("i-2", granted, -10) }},
	}
}

// Each check must be able to fail: for every check of every story there is a
// violation here that it finds, in a run in which it holds otherwise.
func TestChecksFindViolations(t *testing.T) {
	runs := map[string]func() evidence{
		"": good, "kill": killings, "fallback": fellBack, "hang": hangs, "dynamodb": tableless,
		"lost-host": lost, "replaced-host": replaced, "partition": parted,
	}
	violations := []violation{
		{"", "never more hosts out", "2 were out when host-2 was set DRAINING", func(e *evidence) { e.move("i-2", draining, -20) }},
		{"", "never more hosts out", "2 were out when host-3 was down", func(e *evidence) {
			e.add(entry{at(75), "i-3", wentDown, ""}, entry{at(76), "i-3", cameUp, oldRelease})
		}},
		{"", "never more hosts out", "2 were out", func(e *evidence) { e.drop("i-1", nowActive) }},
		{"", "no task was killed", "replica task of web web:1 on host-2", func(e *evidence) {
			e.killed = []ecstest.Killed{{Host: "i-2", Kind: "replica", Service: "web", Family: "web:1"}}
		}},
		{"", "no slot was returned before", "host-1 was not ACTIVE", func(e *evidence) { e.move("i-1", nowActive, 3) }},
		{"", "no slot was returned before", "host-2 was not connected", func(e *evidence) { e.move("i-2", connected, 5) }},
		{"", "no call of ECS while", "2 by host-3 before", func(e *evidence) { e.idle["i-3"] = 2 }},
		{"", "no call of ECS while", "1 by host-1 after", func(e *evidence) { e.rested["i-1"] = 1 }},
		{"", "every host that there is is ACTIVE on the new", "host-2 runs 1.25.0", func(e *evidence) { e.hosts[1].running = oldRelease }},
		{"", "every host that there is is ACTIVE on the new", "host-2 runs 1.26.1, DRAINING", func(e *evidence) { e.hosts[1].status = "DRAINING" }},
		{"", "every host that there is is ACTIVE on the new", "not connected", func(e *evidence) { e.hosts[2].connected = false }},
		{"", "no host was set ACTIVE on it before", "host-1", func(e *evidence) { e.move("i-1", nowActive, -4) }},
		{"", "all slots are returned, nothing failed", "host-1 has one", func(e *evidence) {
			e.record.Holders = []coordination.Holder{{Host: "i-1", Phase: coordination.Verifying}}
		}},
		{"", "all slots are returned, nothing failed", "host-1 failed", func(e *evidence) {
			e.record.Failures = []coordination.Failure{{Host: "i-1", Cause: "sick"}}
		}},
		{"", "all slots are returned, nothing failed", "is refused", func(e *evidence) {
			e.record.Refused = []coordination.Refusal{{Release: newRelease}}
		}},
		{"", "calls of ECS an update", "host-2 13", func(e *evidence) { e.updates[1].ecsCalls = 13 }},
		{"", "calls of ECS an update", "host-2 17", func(e *evidence) {
			e.add(entry{at(50), "i-2", askedGate, ""})
			e.updates[1].ecsCalls = 17
		}},
		{"", "calls of ECS an update", "there was no update", func(e *evidence) { e.updates = nil }},
		{"", "beyond drain and reboot", "host-3 2.8 s", func(e *evidence) { e.move("i-3", returned, 20) }},
		{"", "beyond drain and reboot", "host-3 3.8 s", func(e *evidence) {
			e.slots = 2
			e.move("i-2", returned, 20) // still within the limit of several slots
			e.move("i-3", returned, 30)
		}},
		{"", "out of service for at most", "host-1 4.6 s more", func(e *evidence) {
			e.move("i-1", nowActive, 40)
			e.move("i-1", returned, 40)
		}},
		{"", "out of service for at most", "host-3 never came back", func(e *evidence) { e.drop("i-3", nowActive) }},
		{"kill", "every phase had an agent killed", "nobody while verifying", func(e *evidence) {
			e.entries = slices.DeleteFunc(e.entries, func(x entry) bool { return x.text == string(inVerifying) })
		}},
		{"kill", "every phase had an agent killed", "host-2 only 0 times", func(e *evidence) { e.drop("i-2", killed) }},
		{"fallback", "no more hosts tried it", "2 hosts", func(e *evidence) { e.add(entriesOf("i-2", 70)...) }},
		{"fallback", "no more hosts tried it", "0 hosts", func(e *evidence) { e.updates = nil }},
		{"fallback", "all hosts are ACTIVE on the old", "host-1 runs 1.26.1", func(e *evidence) { e.hosts[0].running = newRelease }},
		{"fallback", "the failure is counted", "no failure", func(e *evidence) { e.record.Failures = nil }},
		{"fallback", "the failure is counted", "cause is sick", func(e *evidence) { e.record.Failures[0].Cause = "sick" }},
		{"fallback", "the failure is counted", "not refused", func(e *evidence) { e.record.Refused = nil }},
		{"fallback", "the failure is counted", "has a slot", func(e *evidence) {
			e.record.Holders = []coordination.Holder{{Host: "i-1", Phase: coordination.Draining}}
		}},
		{"fallback", "drydock status says", `"refused"`, func(e *evidence) { e.status = strings.ReplaceAll(e.status, "refused", "") }},
		{"hang", "the host that hangs still has its slot", "host-1 has lost it", func(e *evidence) { e.record.Holders = nil }},
		{"hang", "the host that hangs still has its slot", "no host hangs", func(e *evidence) { e.drop("i-1", hung) }},
		{"hang", "all other hosts are ACTIVE on the old", "host-3", func(e *evidence) { e.hosts[2].status = "DRAINING" }},
		{"hang", "drydock status names the host", "it does not", func(e *evidence) { e.status = "holders i-1 rebooting\nholders i-2 LATE" }},
		{"dynamodb", "while the table was out of its reach", "host-1 was not", func(e *evidence) { e.move("i-1", nowActive, 4) }},
		{"dynamodb", "nobody else was given its slot", "2 held a slot when host-2", func(e *evidence) { e.move("i-2", granted, -6) }},
	}
	violations = append(violations, lossViolations()...)
	found := make(map[string]bool)
	for _, v := range violations {
		c := checkOf(t, v.story, v.promise)
		whole := runs[v.story]()
		if broken := c.broken(whole); broken != "" {
			t.Errorf("%s: does not hold in a good run: %s", c.promise, broken)
		}
		v.plant(&whole)
		if broken := c.broken(whole); !strings.Contains(broken, v.broken) {
			t.Errorf("%s: says %q, want %q", c.promise, broken, v.broken)
		}
		found[c.promise] = true
	}
	for _, s := range stories() {
		for _, c := range s.checks() {
			if !found[c.promise] {
				t.Errorf("nothing shows that this check can fail: %s", c.promise)
			}
			if broken := c.broken(runs[s.name]()); broken != "" {
				t.Errorf("story %q: %s: does not hold in a good run: %s", s.name, c.promise, broken)
			}
		}
	}
}

// checkOf finds a check of a story by a part of its promise.
func checkOf(t *testing.T, name, promise string) check {
	t.Helper()
	s, ok := findStory(name)
	if !ok {
		t.Fatalf("no story %q", name)
	}
	checks := s.checks()
	i := slices.IndexFunc(checks, func(c check) bool { return strings.Contains(c.promise, promise) })
	if i < 0 {
		t.Fatalf("story %q has no check %q", name, promise)
	}
	return checks[i]
}

func TestJudge(t *testing.T) {
	s, _ := findStory("")
	var out bytes.Buffer
	if !judge(newPrinter(&out), s.checks(), good()) || strings.Contains(out.String(), "FAILED") {
		t.Errorf("a good run is judged:\n%s", &out)
	}
	bad := good()
	bad.hosts[1].running = oldRelease
	out.Reset()
	if judge(newPrinter(&out), s.checks(), bad) {
		t.Error("a bad run holds")
	}
	want := "FAILED  every host that there is is ACTIVE on the new release: host-2 runs 1.25.0, ACTIVE, connected\n"
	if !strings.Contains(out.String(), want) || strings.Count(out.String(), "FAILED") != 1 {
		t.Errorf("got\n%s\nwant one line\n%s", &out, want)
	}
}
