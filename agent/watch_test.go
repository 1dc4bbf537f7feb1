package agent_test

import (
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/apiclientx/apitest"
	"github.com/drydock-ecs/drydock/coordination"
)

// upToDate is a host that has nothing to update.
var upToDate = apitest.Release{Version: oldRelease}

// counted counts the acts of a name.
func counted(w *world, act string) *atomic.Int64 {
	var n atomic.Int64
	w.on(act, func(*process) error { n.Add(1); return nil })
	return &n
}

// An idle host finds a late holder at its regular checks: nobody waits.
func TestIdleHostFindsLateHolder(t *testing.T) {
	inWorld(t, options{release: upToDate, prepare: slotOf(coordination.Draining, 30*time.Minute)}, func(w *world) {
		refreshes := counted(w, "api:refresh-updates")
		w.start()
		w.until("marked", 4*time.Hour, func() bool { return w.record().Holders[0].Stuck })
		r := w.record()
		if len(r.Failures) != 1 || r.Failures[0].Cause != coordination.CauseStuck || len(r.Holders) != 1 {
			t.Errorf("record %+v", r)
		}
		if n := refreshes.Load(); n > 4 {
			t.Errorf("asked for a release %d times: watching is no reason to", n)
		}
		w.wantLog(slog.LevelWarn, "a host is late and was marked stuck: it keeps its slot and counts as a failure", "", "drydock release "+other)
	})
}

// A table that is away marks nobody: the holder was cut off as well. It has the
// time of a second look to say that it is alive.
func TestTableOutageMarksNobody(t *testing.T) {
	inWorld(t, options{release: upToDate, prepare: slotOf(coordination.Draining, 30*time.Minute)}, func(w *world) {
		w.start()
		w.pass(15 * time.Minute)
		w.cutTable(true)
		w.pass(5 * time.Hour)
		w.cutTable(false)
		w.pass(time.Minute)
		w.rule("sees i-2 go on", coordination.Prolong(other, 7, 24*time.Hour, time.Now()))
		w.pass(5 * time.Hour)
		if r := w.record(); r.Holders[0].Stuck || len(r.Failures) > 0 {
			t.Errorf("marked after an outage: %+v", r)
		}
	})
}

// The same in the middle of the second look: what was suspected before the
// outage is suspected anew after it.
func TestTableOutageInTheSecondLook(t *testing.T) {
	inWorld(t, options{release: upToDate, prepare: slotOf(coordination.Draining, 30*time.Minute)}, func(w *world) {
		began, late := time.Now(), 0
		w.on("record:read", func(*process) error {
			if time.Since(began) < 40*time.Minute {
				return nil
			}
			if late++; late == 2 {
				time.AfterFunc(time.Second, func() { w.cutTable(true) })
				time.AfterFunc(20*time.Minute, func() { w.cutTable(false) })
				time.AfterFunc(22*time.Minute, func() {
					w.rule("sees i-2 go on", coordination.Prolong(other, 7, 24*time.Hour, time.Now()))
				})
			}
			return nil
		})
		w.start()
		w.pass(5 * time.Hour)
		if r := w.record(); r.Holders[0].Stuck || late < 4 {
			t.Errorf("after %d looks the record is %+v", late, r)
		}
	})
}

// What is no proof frees nothing, for days.
func TestEvidence(t *testing.T) {
	tests := []struct {
		name   string
		phase  coordination.Phase
		states map[string]string
		gone   bool
		causes []string
	}{
		{"terminated while draining", coordination.Draining, map[string]string{mine: "running", other: "terminated"}, true, nil},
		{"terminated while rebooting", coordination.Rebooting, map[string]string{mine: "running", other: "terminated"}, true, []string{coordination.CauseFreed}},
		{"unknown while verifying", coordination.Verifying, map[string]string{mine: "running"}, true, []string{coordination.CauseFreed}},
		{"sick and terminated", coordination.Sick, map[string]string{mine: "running", other: "terminated"}, true, nil},
		{"granted and unknown", coordination.Granted, map[string]string{mine: "running"}, true, nil},
		{"stopped", coordination.Rebooting, map[string]string{mine: "running", other: "stopped"}, false, []string{coordination.CauseStuck}},
		{"shutting down", coordination.Rebooting, map[string]string{mine: "running", other: "shutting-down"}, false, []string{coordination.CauseStuck}},
		{"running", coordination.Rebooting, map[string]string{mine: "running", other: "running"}, false, []string{coordination.CauseStuck}},
		{"an empty answer", coordination.Rebooting, map[string]string{}, false, []string{coordination.CauseStuck}},
		{"an answer without the asker", coordination.Rebooting, map[string]string{other: "terminated"}, false, []string{coordination.CauseStuck}},
		{"an answer with the asker stopped", coordination.Rebooting, map[string]string{mine: "stopped", other: "terminated"}, false, []string{coordination.CauseStuck}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inWorld(t, options{release: upToDate, prepare: slotOf(test.phase, 20*time.Minute)}, func(w *world) {
				w.ec2Says(test.states)
				w.start()
				w.pass(30 * time.Hour)
				var causes []string
				for _, f := range w.record().Failures {
					causes = append(causes, f.Cause)
				}
				if gone := len(w.record().Holders) == 0; gone != test.gone || !slices.Equal(causes, test.causes) {
					t.Errorf("freed %t, failures %v; want %t, %v", gone, causes, test.gone, test.causes)
				}
			})
		})
	}
}

// Two answers that are evidence_gap apart, and one that says otherwise starts
// the proof anew.
func TestEvidenceIsAskedTwice(t *testing.T) {
	inWorld(t, options{release: upToDate, prepare: slotOf(coordination.Rebooting, 20*time.Minute)}, func(w *world) {
		var asked []time.Time
		w.on("ec2", func(*process) error {
			asked = append(asked, time.Now())
			if len(asked) == 2 {
				w.ec2Says(map[string]string{mine: "running", other: "running"})
			} else {
				w.ec2Says(map[string]string{mine: "running", other: "terminated"})
			}
			return nil
		})
		w.start()
		w.until("freed", 12*time.Hour, func() bool { return len(w.record().Holders) == 0 })
		if len(asked) != 4 {
			t.Fatalf("asked %d times: %v", len(asked), asked)
		}
		if gap := asked[1].Sub(asked[0]); gap < 5*time.Minute {
			t.Errorf("the second answer came %s after the first", gap)
		}
		if gap := asked[3].Sub(asked[2]); gap < 5*time.Minute {
			t.Errorf("the last answer came %s after the one before", gap)
		}
	})
}

// Nobody who is in time is asked about, and EC2 that refuses is asked less and
// less, and said once a day.
func TestEvidenceIsForLateHoldersAlone(t *testing.T) {
	inWorld(t, options{release: upToDate, prepare: slotTaken}, func(w *world) {
		asked := counted(w, "ec2")
		w.start()
		w.pass(12 * time.Hour)
		if n := asked.Load(); n > 0 {
			t.Errorf("asked %d times about a host that is in time", n)
		}
	})
	inWorld(t, options{release: upToDate, prepare: slotOf(coordination.Rebooting, 20*time.Minute)}, func(w *world) {
		asked := counted(w, "ec2")
		w.fail(errors.New("UnauthorizedOperation"), "ec2")
		w.start()
		w.pass(4 * 24 * time.Hour)
		if n := asked.Load(); n < 4 || n > 10 {
			t.Errorf("asked %d times in four days", n)
		}
		if lines := w.find("EC2 does not say whether a late host is gone: only an operator can free its slot"); len(lines) < 1 || len(lines) > 4 {
			t.Errorf("said %d times in four days", len(lines))
		}
	})
}

// A host that takes long to be put back says that it is alive: nobody could
// tell it from a dead one else.
func TestSlowRestoreIsProlonged(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		var restoring moment
		w.once("status:restoring", func(*process) error { restoring.hit(); return nil })
		heal := w.fail(errors.New("ECS is away"), "ecs:ACTIVE")
		w.start()
		w.untilIs(&restoring, "restoring")
		var watch coordination.Watch
		for range 6 * 60 {
			w.pass(time.Minute)
			if late, _ := watch.Look(w.record(), time.Now(), time.Now(), time.Minute); len(late) > 0 {
				t.Fatalf("late after %s: %+v", time.Since(restoring.at()), late)
			}
		}
		heal()
		w.untilUpdated()
	})
}

// The phase verifying is announced until the table has it.
func TestVerifyingIsAnnouncedAgain(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		heal := w.fail(errors.New("throttled"), "record:verifying", "record:return")
		w.once("status:verifying", func(*process) error { w.cluster.AgentDown(mine); return nil })
		w.start()
		w.untilPhase(agent.Verifying, time.Hour)
		w.pass(4 * time.Minute)
		heal()
		w.pass(2 * time.Minute)
		if h, _ := w.record().Holder(mine); h.Phase != coordination.Verifying {
			t.Errorf("the record shows %q", h.Phase)
		}
		w.cluster.AgentUp(mine)
		w.untilUpdated()
	})
}
