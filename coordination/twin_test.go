package coordination

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// twin is the lock as one would explain it, slowly and without thrift. The
// rules must agree with it after every step.
type twin struct {
	generation int64
	slots      int
	limit      int
	zones      int // 0: no cap
	readable   bool
	operator   bool // an operator halted the fleet
	holders    map[string]*twinHolder
	failures   map[string]string // "host/generation" → cause
	refused    map[string]bool
}

type twinHolder struct {
	generation                  int64
	phase, target, zone, claim  string
	stuck, wantedBack, saidSick bool
}

func newTwin() *twin {
	return &twin{slots: 1, limit: 1, readable: true,
		holders: map[string]*twinHolder{}, failures: map[string]string{}, refused: map[string]bool{}}
}

func (w *twin) halted() bool { return w.operator || len(w.failures) >= w.limit }

func failureKey(host string, generation int64) string { return fmt.Sprint(host, "/", generation) }

func (w *twin) grant(c Claim, id string) string {
	if h := w.holders[c.Host]; h != nil {
		if h.claim == id && h.phase == "granted" {
			return "done"
		}
		return "holding"
	}
	if !w.readable {
		return "policy"
	}
	if w.halted() {
		return "halted"
	}
	if w.refused[c.Target] {
		return "refused"
	}
	if len(w.holders) >= w.slots {
		return "full"
	}
	zones := map[string]int{c.Zone: 1}
	for _, h := range w.holders {
		zones[h.zone]++
	}
	if w.zones > 0 && len(zones) > w.zones {
		return "zone_full"
	}
	w.generation++
	w.holders[c.Host] = &twinHolder{generation: w.generation, phase: "granted", target: c.Target, zone: c.Zone, claim: id}
	return "changed"
}

func (w *twin) own(host string, generation int64) *twinHolder {
	if h := w.holders[host]; h != nil && h.generation == generation {
		return h
	}
	return nil
}

func (w *twin) reassert(host string, generation int64, phase Phase) string {
	h := w.own(host, generation)
	if h == nil {
		return "not_holder"
	}
	if h.stuck {
		return "stuck"
	}
	if h.wantedBack {
		return "restore_asks"
	}
	if !w.readable {
		return "policy"
	}
	if w.halted() {
		return "halted"
	}
	if w.refused[h.target] {
		return "refused"
	}
	h.phase = string(phase)
	return "changed"
}

func (w *twin) announce(host string, generation int64) string {
	h := w.own(host, generation)
	if h == nil {
		return "not_holder"
	}
	if h.phase == "sick" {
		return "done"
	}
	h.phase = "verifying"
	return "changed"
}

func (w *twin) fail(host string, generation int64) string {
	h := w.own(host, generation)
	if h == nil {
		return "not_holder"
	}
	if h.saidSick {
		return "done"
	}
	h.phase, h.saidSick = "sick", true
	w.failures[failureKey(host, generation)] = "sick"
	return "changed"
}

func (w *twin) giveBack(host string, generation int64, report Report) string {
	key := failureKey(host, generation)
	h := w.own(host, generation)
	said, failed := w.failures[key]
	switch {
	case h == nil && failed && said == report.Cause:
		return "done"
	case h == nil && !failed && (!report.Refuse || w.refused[report.Release]):
		return "done"
	case h == nil && !failed: // freed and resumed: the refusal alone
		w.refused[report.Release] = true
		return "changed"
	}
	if h != nil {
		delete(w.holders, host)
	}
	if report.Cause == "" {
		delete(w.failures, key)
	} else if failed || !h.saidSick {
		w.failures[key] = report.Cause
	}
	if report.Refuse {
		w.refused[report.Release] = true
	}
	return "changed"
}

// view is what twin and record must agree on.
func (w *twin) view() string {
	var lines []string
	for host, h := range w.holders {
		lines = append(lines, fmt.Sprintf("holder %s/%d %s %s in %q stuck=%t back=%t", host, h.generation, h.phase, h.target, h.zone, h.stuck, h.wantedBack))
	}
	for key, cause := range w.failures {
		lines = append(lines, "failure "+key+" "+cause)
	}
	for release := range maps.Keys(w.refused) {
		lines = append(lines, "refused "+release)
	}
	return joined(w.generation, lines)
}

func viewOf(r Record) string {
	var lines []string
	for _, h := range r.Holders {
		lines = append(lines, fmt.Sprintf("holder %s/%d %s %s in %q stuck=%t back=%t", h.Host, h.Generation, h.Phase, h.Target, h.Zone, h.Stuck, h.Restore))
	}
	for _, f := range r.Failures {
		lines = append(lines, "failure "+failureKey(f.Host, f.Generation)+" "+f.Cause)
	}
	for _, f := range r.Refused {
		lines = append(lines, "refused "+f.Release)
	}
	return joined(r.Generation, lines)
}

func joined(generation int64, lines []string) string {
	sort.Strings(lines)
	return fmt.Sprintf("generation %d\n%s", generation, strings.Join(lines, "\n"))
}

// pair drives a record and its twin through the same acts.
type pair struct {
	record Record
	twin   *twin
	minute int
	// claims are the generations that each host was ever granted.
	claims map[string][]int64
}

// step applies a rule to both, twice to the record where that must change
// nothing more, and checks what must hold after every step.
func (p *pair) step(t *rapid.T, name string, rule Rule, repeatable bool, onTwin func() string) {
	t.Helper()
	before := p.record
	next, err := change(t, before, rule)
	got, want := verdict(err), onTwin()
	if got != want {
		t.Fatalf("%s: the rule says %s (%v), its twin %s\n%s", name, got, err, want, viewOf(before))
	}
	if err == nil {
		p.check(t, name, before, next)
		p.record = mustDecode(t, stored(t, next))
	}
	if a, b := viewOf(p.record), p.twin.view(); a != b {
		t.Fatalf("after %s the record is\n%s\nand its twin\n%s", name, a, b)
	}
	if !repeatable || Why(err) != "" {
		return
	}
	if again, err := change(t, p.record, rule); verdict(err) != "done" || stored(t, again) != stored(t, p.record) {
		t.Fatalf("%s a second time: %v", name, err)
	}
}

// check holds the promises of the lock against one change by a rule.
func (p *pair) check(t *rapid.T, name string, before, after Record) {
	t.Helper()
	limits, policyErr := numbers(before.Policy)
	granted := len(after.Holders) > len(before.Holders)
	proved := name == "reassert"
	if granted || proved {
		if policyErr != nil || before.Halt != nil || len(before.Failures) >= limits.MaxFailures {
			t.Fatalf("%s in a halted fleet", name)
		}
	}
	if granted && (len(after.Holders) > limits.Slots || after.Generation != before.Generation+1) {
		t.Fatalf("grant: %d holders of %d slots, generation %d after %d", len(after.Holders), limits.Slots, after.Generation, before.Generation)
	}
	if !granted && after.Generation != before.Generation {
		t.Fatalf("%s changed the generation", name)
	}
	hosts, failures := map[string]bool{}, map[string]bool{}
	for _, h := range after.Holders {
		if hosts[h.Host] {
			t.Fatalf("%s: %s holds twice", name, h.Host)
		}
		hosts[h.Host] = true
	}
	for _, f := range after.Failures {
		key := failureKey(f.Host, f.Generation)
		if failures[key] {
			t.Fatalf("%s: failure %s stands twice", name, key)
		}
		failures[key] = true
	}
	for _, f := range before.Refused {
		if !after.Refuses(f.Release) {
			t.Fatalf("%s lifted the refusal of %s", name, f.Release)
		}
	}
	if len(after.Refused) > len(before.Refused) && name != "return, refusing" {
		t.Fatalf("%s refused a release", name)
	}
	if after.AverageHold < 0 || after.AverageHold > maxHold.Seconds() {
		t.Fatalf("%s: the average hold is %v s", name, after.AverageHold)
	}
}

func (p *pair) now() time.Time { p.minute++; return clock(p.minute) }

// someone draws a host and a generation: mostly one that it was granted.
func (p *pair) someone(t *rapid.T) (string, int64) {
	host := rapid.SampledFrom([]string{"i-a", "i-b", "i-c", "i-d"}).Draw(t, "host")
	known := append([]int64{0, p.twin.generation + 1}, p.claims[host]...)
	if h := p.twin.holders[host]; h != nil && rapid.IntRange(0, 3).Draw(t, "current") > 0 {
		return host, h.generation
	}
	return host, rapid.SampledFrom(known).Draw(t, "generation")
}

func (p *pair) grant(t *rapid.T) {
	c := Claim{
		Host: rapid.SampledFrom([]string{"i-a", "i-b", "i-c", "i-d"}).Draw(t, "host"), From: "1.0",
		Target: rapid.SampledFrom([]string{"2.0", "3.0", "4.0"}).Draw(t, "target"), Zone: rapid.SampledFrom([]string{"", "za", "zb"}).Draw(t, "zone"),
	}
	now := p.now()
	p.step(t, "grant", Grant(c, numbers, now), true, func() string { return p.twin.grant(c, now.String()) })
	if h := p.twin.holders[c.Host]; h != nil && !slices.Contains(p.claims[c.Host], h.generation) {
		p.claims[c.Host] = append(p.claims[c.Host], h.generation)
	}
}

func (p *pair) reassert(t *rapid.T) {
	host, generation := p.someone(t)
	if h := p.twin.own(host, generation); h != nil && h.phase == "sick" {
		t.Skip("a host that was rebooted proves nothing any more")
	}
	phase := rapid.SampledFrom([]Phase{Draining, Rebooting}).Draw(t, "phase")
	p.step(t, "reassert", Reassert(host, generation, phase, time.Hour, numbers, p.now()), false,
		func() string { return p.twin.reassert(host, generation, phase) })
}

func (p *pair) announce(t *rapid.T) {
	host, generation := p.someone(t)
	p.step(t, "announce", Announce(host, generation, Verifying, time.Hour, p.now()), false,
		func() string { return p.twin.announce(host, generation) })
}

func (p *pair) fail(t *rapid.T) {
	host, generation := p.someone(t)
	p.step(t, "fail", Fail(host, generation, "sick", time.Hour, p.now()), true,
		func() string { return p.twin.fail(host, generation) })
}

func (p *pair) giveBack(t *rapid.T) {
	host, generation := p.someone(t)
	report := Report{Release: rapid.SampledFrom([]string{"2.0", "3.0", "4.0"}).Draw(t, "release")}
	name := "return"
	switch rapid.IntRange(0, 2).Draw(t, "outcome") {
	case 1:
		report.Cause = "interrupted"
	case 2:
		report.Cause, report.Refuse, name = "fell_back", true, "return, refusing"
	}
	p.step(t, name, Return(host, generation, report, p.now()), true,
		func() string { return p.twin.giveBack(host, generation, report) })
}

// operate makes the changes that come from outside the rules under test:
// operators, watchers, and the policy.
func (p *pair) operate(t *rapid.T) {
	r, w := p.record.clone(), p.twin
	act := rapid.SampledFrom([]string{"policy", "bad policy", "halt", "lift", "resume", "allow", "mark", "free", "want back"}).Draw(t, "act")
	i := -1
	if len(r.Holders) > 0 {
		i = rapid.IntRange(0, len(r.Holders)-1).Draw(t, "holder")
	}
	switch {
	case act == "policy":
		w.slots, w.limit = rapid.IntRange(1, 3).Draw(t, "slots"), rapid.IntRange(1, 3).Draw(t, "limit")
		w.zones, w.readable = rapid.IntRange(0, 2).Draw(t, "zones"), true
		r.Policy = fmt.Sprintf("%d %d %d", w.slots, w.limit, w.zones)
	case act == "bad policy":
		r.Policy, w.readable = "?", false
	case act == "halt":
		r.Halt, w.operator = &Halt{Who: "ann"}, true
	case act == "lift":
		r.Halt, w.operator = nil, false
	case act == "resume":
		r.Failures, w.failures = nil, map[string]string{}
	case act == "allow":
		r.Refused, w.refused = nil, map[string]bool{}
	case i < 0:
	case act == "mark":
		h := &r.Holders[i]
		h.Stuck, w.holders[h.Host].stuck = true, true
		if key := failureKey(h.Host, h.Generation); w.failures[key] == "" && h.Phase != Sick {
			r.fail(Failure{Host: h.Host, Generation: h.Generation, Cause: "stuck"})
			w.failures[key] = "stuck"
		}
	case act == "want back":
		h := &r.Holders[i]
		h.Restore, w.holders[h.Host].wantedBack = true, true
	case act == "free":
		h := r.Holders[i]
		r.Holders = slices.Delete(r.Holders, i, i+1)
		delete(w.holders, h.Host)
		r.fail(Failure{Host: h.Host, Generation: h.Generation, Cause: CauseFreed})
		w.failures[failureKey(h.Host, h.Generation)] = CauseFreed
	}
	p.record = r
}

// TestRulesAgainstTwin lets hosts, operators and watchers act in any order,
// each of them also with generations that are long over.
func TestRulesAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &pair{record: NewRecord("first", "1 1 0"), twin: newTwin(), claims: map[string][]int64{}}
		t.Repeat(map[string]func(*rapid.T){
			"grant": p.grant, "grant more": p.grant, "reassert": p.reassert, "announce": p.announce,
			"fail": p.fail, "return": p.giveBack, "operate": p.operate,
		})
	})
}
