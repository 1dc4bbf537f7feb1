package fleetsim

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/drydock-ecs/drydock/apiclientx/apitest"
	"github.com/drydock-ecs/drydock/coordination"
)

// once gives the first write of the name, of whichever host, a fate, and does
// something to the world in that moment.
func once(name string, fate Fate, act func(w *World, h *Host)) func(*World, Write) Fate {
	var done bool
	return func(w *World, write Write) Fate {
		if done || write.Name != name {
			return Fate{}
		}
		done = true
		if act != nil {
			act(w, w.host(write.Host))
		}
		return fate
	}
}

// after acts on the world a while later.
func after(d time.Duration, act func(w *World, h *Host)) func(*World, *Host) {
	return func(w *World, h *Host) { time.AfterFunc(d, func() { act(w, h) }) }
}

func drainByHand(w *World, h *Host) {
	w.say(h.id, "an operator drains it")
	w.Cluster.SetStatus(h.id, "DRAINING", operator)
	time.AfterFunc(2*time.Hour, func() { w.Cluster.SetStatus(h.id, "ACTIVE", operator) })
}

// TestStories are the bad days that a promise was made for. Each of them is
// what one of the planted mistakes gets wrong.
func TestStories(t *testing.T) {
	day := 20 * time.Hour
	tests := []struct {
		name    string
		options Options
		want    func(w *World) string
	}{
		{"good release", Options{Hosts: 3, Slots: 1}, nil},
		{"two slots", Options{Hosts: 4, Slots: 2}, nil},
		{"reset between arming and reboot", Options{Hosts: 3, Slots: 1, Script: once("api:activate-update", Fate{Lost: true, End: Reset}, nil)}, refusesNothing},
		{"release that falls back, dies before it disarms", Options{Hosts: 3, Slots: 1, Fate: apitest.FallsBack,
			Script: once("intent:disarmed", Fate{End: Crash}, nil)}, refuses},
		{"slot taken back by hand while the agent is dead", Options{Hosts: 3, Slots: 1, Script: once("intent:drain", Fate{Lost: true, End: Crash}, func(w *World, _ *Host) {
			time.AfterFunc(time.Second, func() {
				w.operate("frees the slot", func(r *coordination.Record) { r.Holders = nil })
			})
		})}, nil},
		{"table gone from the reboot on", Options{Hosts: 2, Slots: 1, Script: once("api:reboot", Fate{}, func(w *World, h *Host) {
			w.Memory.Cut(h.id, true)
			time.AfterFunc(6*time.Minute, func() {
				if status := w.Cluster.Status(h.id); status != "ACTIVE" {
					w.breach("promise 6: %s is %s six minutes after its reboot, and only the table is away", h.id, status)
				}
				w.Memory.Cut(h.id, false)
			})
		})}, nil},
		{"drained by hand after it was put back", Options{Hosts: 2, Slots: 1, Script: once("record:return", Fate{Lost: true, End: Crash}, after(time.Second, drainByHand))}, nil},
		{"intent lost while draining", Options{Hosts: 2, Slots: 1, Script: once("ecs:DRAINING", Fate{End: Crash}, func(_ *World, h *Host) { h.disk.damage(true) })}, nil},
		{"intent damaged while draining", Options{Hosts: 2, Slots: 1, Script: once("ecs:DRAINING", Fate{End: Crash}, func(_ *World, h *Host) { h.disk.damage(false) })}, nil},
		{"dies with its reboot request alive", Options{Seed: 4, Hosts: 2, Slots: 1, SlowReboots: true, Script: once("api:reboot", Fate{End: Crash}, nil)}, nil},
		{"operator resumes before the answer is known", Options{Hosts: 3, Slots: 1, Fate: apitest.FallsBack, Script: once("record:return", Fate{End: Crash}, after(time.Second, func(w *World, _ *Host) {
			w.operate("resumes", func(r *coordination.Record) { r.Failures = nil })
		}))}, refuses},
		{"resumed, and the release still refused", Options{Hosts: 4, Slots: 2, Fate: apitest.FallsBack, Script: afterFirst("api:reboot", Fate{}, resumeAtOnce)}, refuses},
		{"slot of two granted twice by a lost answer", Options{Hosts: 3, Slots: 1, Script: once("record:granted", Fate{Lost: true, End: NoAnswer}, nil)}, nil},
		{"grant that arrives late", Options{Hosts: 3, Slots: 1, Script: once("record:granted", Fate{Lost: true, End: NoAnswer, Late: 30 * time.Second}, nil)}, nil},
		{"drained by hand just before our own drain", Options{Hosts: 3, Slots: 1, Script: heldUp("record:draining", 5, drainByHand)}, nil},
		{"set ACTIVE by hand just before the reboot", Options{Hosts: 3, Slots: 1, Script: once("intent:activating", Fate{}, func(w *World, h *Host) {
			w.Cluster.SetStatus(h.id, "ACTIVE", operator)
		})}, nil},
		{"fleet halted while another host drains", Options{Hosts: 3, Slots: 2, Script: afterFirst("intent:activating", Fate{End: Reset}, nil)}, nil},
		{"drain that arrives after the host has turned back", Options{Hosts: 2, Slots: 1, Script: once("ecs:DRAINING", Fate{Lost: true, End: Crash, Late: 50 * time.Second}, haltForAnHour)}, nil},
		{"replaced while it drains", Options{Hosts: 3, Slots: 1, Evidence: true, Script: once("ecs:DRAINING", Fate{}, after(time.Second, terminate))}, allUpdated},
		{"replaced while it reboots", Options{Hosts: 3, Slots: 1, Evidence: true, Script: once("api:reboot", Fate{}, after(time.Second, terminate))}, halts},
		{"cut off from the table for hours, marked stuck, and back", Options{Hosts: 3, Slots: 1, Evidence: true, Script: once("api:reboot", Fate{}, func(w *World, h *Host) {
			w.net.losesTable(h.id, 2*time.Hour)
			time.AfterFunc(time.Hour, func() {
				if r := w.record(); len(r.Holders) != 1 || !r.Holders[0].Stuck || len(r.Failures) != 1 {
					w.breach("after an hour without a word %s is not marked: %+v", h.id, r)
				}
			})
		})}, allUpdated},
		{"stands still for hours while it drains", Options{Hosts: 3, Slots: 1, Evidence: true, Script: once("ecs:DRAINING", Fate{}, func(_ *World, h *Host) { h.pause(3 * time.Hour) })}, nil},
		{"slot taken back by hand before the drain, and the fleet halted", Options{Hosts: 3, Slots: 1, Script: once("intent:duty", Fate{End: Crash}, func(w *World, _ *Host) {
			time.AfterFunc(time.Second, func() {
				w.operate("frees the slot and halts the fleet", func(r *coordination.Record) {
					r.Holders, r.Halt = nil, &coordination.Halt{Who: operator, Reason: "to look"}
				})
			})
			time.AfterFunc(2*time.Hour, func() { w.operate("lifts the halt", func(r *coordination.Record) { r.Halt = nil }) })
		})}, nil},
		{"stands still while EC2's answers are empty", Options{Hosts: 3, Slots: 1, Evidence: true, Empty: true,
			Script: once("ecs:DRAINING", Fate{}, func(_ *World, h *Host) { h.pause(3 * time.Hour) })}, nil},
		{"overlooked once by EC2 while it stands still", Options{Hosts: 3, Slots: 1, Evidence: true, Blind: true,
			Script: once("ecs:DRAINING", Fate{}, func(_ *World, h *Host) { h.pause(3 * time.Hour) })}, nil},
		{"stands still for twenty minutes before it drains", Options{Hosts: 3, Slots: 1, MaxFailures: 2, Evidence: true, Script: once("intent:duty", Fate{}, func(_ *World, h *Host) { h.pause(20 * time.Minute) })}, allUpdated},
		{"table away from everybody during an update", Options{Hosts: 3, Slots: 1, Evidence: true, Script: once("api:reboot", Fate{}, func(w *World, _ *Host) {
			for _, h := range w.hosts() {
				w.net.losesTable(h.id, 2*time.Hour)
			}
		})}, allUpdated},
		{"table away between two looks at a late host", Options{Hosts: 3, Slots: 1, Evidence: true, Script: once("api:reboot", Fate{}, func(w *World, h *Host) {
			w.net.losesTable(h.id, 36*time.Minute)
			time.AfterFunc(22*time.Minute+45*time.Second, func() {
				for _, h := range w.hosts() {
					w.net.losesTable(h.id, 9*time.Minute)
				}
			})
		})}, allUpdated},
		{"sick, resumed, and restored by an operator", Options{Hosts: 2, Slots: 1, Sick: true, Script: once("record:sick", Fate{}, after(time.Minute, func(w *World, h *Host) {
			w.operate("resumes", func(r *coordination.Record) { r.Failures = nil })
			w.operate("restores "+h.id, func(r *coordination.Record) { r.Holders[0].Restore = true })
			time.AfterFunc(10*time.Minute, func() { w.Cluster.AgentUp(h.id) })
		}))}, nil},
		{"stands still until it is marked stuck, and goes on", Options{Hosts: 3, Slots: 1, MaxFailures: 2,
			Script: once("intent:answered", Fate{}, func(_ *World, h *Host) { h.pause(50 * time.Minute) })}, nil},
		{"drain that arrives late", Options{Hosts: 2, Slots: 1, Script: once("ecs:DRAINING", Fate{Lost: true, End: NoAnswer, Late: 50 * time.Second}, nil)}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.options.Horizon = day
			w := run(t, test.options)
			if test.want != nil {
				if problem := test.want(w); problem != "" {
					t.Errorf("%s\n%s", problem, w.Transcript())
				}
			}
		})
	}
}

func haltForAnHour(w *World, _ *Host) {
	w.operate("halts the fleet", func(r *coordination.Record) { r.Halt = &coordination.Halt{Who: operator, Reason: "to look"} })
	time.AfterFunc(time.Hour, func() {
		w.operate("lifts the halt", func(r *coordination.Record) { r.Halt = nil })
	})
}

// heldUp refuses the first n writes of the name, and acts at the first.
func heldUp(name string, n int, act func(w *World, h *Host)) func(*World, Write) Fate {
	return func(w *World, write Write) Fate {
		if write.Name != name || n == 0 {
			return Fate{}
		}
		if act != nil {
			act(w, w.host(write.Host))
			act = nil
		}
		n--
		return Fate{Lost: true}
	}
}

// afterFirst lets no second host have a slot before the first has made the
// write of the name: then the others are draining while the first one ends.
// That write gets the fate; every later one is asked of rest.
func afterFirst(name string, fate Fate, rest func(w *World, write Write)) func(*World, Write) Fate {
	var firstHost string
	var done bool
	return func(w *World, write Write) Fate {
		if write.Name == "record:granted" && firstHost == "" {
			firstHost = write.Host
		}
		switch {
		case !done && write.Host == firstHost && write.Name == name:
			done = true
			return fate
		case !done && write.Host != firstHost && write.Name == "record:granted":
			return Fate{Lost: true}
		}
		if rest != nil {
			rest(w, write)
		}
		return Fate{}
	}
}

// resumeAtOnce is an operator who takes every failure away as soon as it stands
// in the record.
func resumeAtOnce(w *World, write Write) {
	if write.Name != "record:return" {
		return
	}
	time.AfterFunc(time.Millisecond, func() {
		if len(w.record().Failures) > 0 {
			w.operate("resumes", func(r *coordination.Record) { r.Failures = nil })
		}
	})
}

func terminate(_ *World, h *Host) { h.terminate() }

func allUpdated(w *World) string {
	if len(w.behind) > 0 || len(w.last.Failures) > 0 || len(w.last.Holders) > 0 {
		return fmt.Sprintf("not updated: %v; left: %+v", w.behind, w.last)
	}
	return ""
}

// halts: the slot of a host that was lost is free, and its failure stays.
func halts(w *World) string {
	if len(w.last.Holders) > 0 || len(w.last.Failures) != 1 || w.last.Failures[0].Cause != coordination.CauseFreed {
		return fmt.Sprintf("%+v is left", w.last)
	}
	return ""
}

func refuses(w *World) string {
	if r := w.last; !r.Refuses(newRelease) {
		return "the release that fell back is not refused"
	}
	return ""
}

func refusesNothing(w *World) string {
	if r := w.last; len(r.Refused) > 0 {
		return "a release is refused that never fell back"
	}
	return ""
}

// writes are the durable writes of an update in the order of docs/design.md,
// with the world in which each of them happens.
var writes = []struct {
	name string
	fate apitest.Fate
	sick bool
}{
	{name: "record:granted"},
	{name: "intent:duty"},
	{name: "record:draining"},
	{name: "intent:drain"},
	{name: "ecs:DRAINING"},
	{name: "intent:answered"},
	{name: "record:rebooting"},
	{name: "intent:activating"},
	{name: "api:activate-update"},
	{name: "intent:armed"},
	{name: "api:reboot"},
	{name: "intent:seen"},
	{name: "record:verifying"},
	{name: "intent:outcome"},
	{name: "intent:outcome", fate: apitest.FallsBack},
	{name: "intent:disarmed"},
	{name: "intent:disarmed", fate: apitest.FallsBack},
	{name: "intent:deactivated"},
	{name: "intent:deactivated", fate: apitest.FallsBack},
	{name: "ecs:ACTIVE"},
	{name: "ecs:ACTIVE", fate: apitest.FallsBack},
	{name: "intent:active"},
	{name: "intent:restored"},
	{name: "record:return"},
	{name: "record:return", fate: apitest.FallsBack},
	{name: "intent:clear"},
	{name: "record:sick", sick: true},
	{name: "intent:outcome", sick: true},
}

var fates = []Fate{
	{Lost: true}, {End: NoAnswer}, {Lost: true, End: NoAnswer}, {End: Crash}, {Lost: true, End: Crash},
	{End: Reset}, {Lost: true, End: Reset}, {Lost: true, End: NoAnswer, Late: 20 * time.Second},
}

// TestEveryWrite gives every durable write every fate: applied or lost, and
// answered, unanswered, or the last that the process or the machine did.
func TestEveryWrite(t *testing.T) {
	for _, write := range writes {
		for _, fate := range fates {
			name := write.name + "/" + fate.String()
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				var hit bool
				script := once(write.name, fate, func(*World, *Host) { hit = true })
				o := Options{Hosts: 3, Slots: 1, Fate: write.fate, Sick: write.sick, Horizon: 12 * time.Hour, Script: script}
				w := run(t, o)
				if !hit {
					t.Fatalf("the write was never made\n%s", w.Transcript())
				}
				r := w.last
				if write.fate == apitest.FallsBack && fate.End != Reset && !slices.ContainsFunc(r.Refused, func(f coordination.Refusal) bool { return f.Release == newRelease }) {
					t.Errorf("the release that fell back is not refused\n%s", w.Transcript())
				}
			})
		}
	}
}
