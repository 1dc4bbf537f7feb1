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

// A proof that waits for its second answer is no reason to hammer a table that is
// away, nor to ask the host's own red gates all the time.
func TestPendingProofIsPatient(t *testing.T) {
	gone := map[string]string{mine: "running", other: "terminated"}
	inWorld(t, options{release: upToDate, prepare: slotOf(coordination.Rebooting, 20*time.Minute)}, func(w *world) {
		asked := counted(w, "ec2")
		w.ec2Says(gone)
		w.start()
		w.until("first proof", 6*time.Hour, func() bool { return asked.Load() == 1 })
		w.pass(time.Second)
		w.cutTable(true)
		w.pass(10 * time.Minute)
		reads := counted(w, "record:read")
		w.pass(time.Hour)
		if n := reads.Load(); n > 80 {
			t.Errorf("%d reads in an hour of a table that is away", n)
		}
	})
	inWorld(t, options{policy: "slots = 2\nmax_failures = 3\n", prepare: slotOf(coordination.Rebooting, 20*time.Minute)}, func(w *world) {
		w.leaving = "the Auto Scaling group wants it Terminated"
		w.ec2Says(gone)
		asked := counted(w, "ec2")
		w.start()
		w.until("first proof", 30*time.Hour, func() bool { return asked.Load() == 1 })
		first := time.Now()
		gates := counted(w, "imds:leaving")
		w.until("freed", 30*time.Hour, func() bool { return len(w.record().Holders) == 0 })
		if took := time.Since(first); took > 10*time.Minute {
			t.Errorf("freed %s after the first proof", took)
		}
		w.pass(time.Hour)
		if n := gates.Load(); n > 60 {
			t.Errorf("its red gate was asked %d times", n)
		}
	})
}

// A slot that is proved free and cannot be written free is tried less and less,
// and EC2 is not asked again.
func TestFreeingThatFails(t *testing.T) {
	inWorld(t, options{release: upToDate, prepare: slotOf(coordination.Rebooting, 20*time.Minute)}, func(w *world) {
		asked := counted(w, "ec2")
		w.ec2Says(map[string]string{mine: "running", other: "terminated"})
		w.start()
		w.until("first proof", 6*time.Hour, func() bool { return asked.Load() == 1 })
		heal := w.fail(errors.New("AccessDeniedException"), "record:other")
		w.pass(10 * time.Minute)
		reads := counted(w, "record:read")
		w.pass(3 * time.Hour)
		if n, m := asked.Load(), reads.Load(); n != 2 || m > 40 {
			t.Errorf("EC2 was asked %d times, the record read %d times", n, m)
		}
		heal()
		w.until("freed", 3*time.Hour, func() bool { return len(w.record().Holders) == 0 })
	})
}

// Who comes second claims nothing.
func TestSecondWatcherIsSilent(t *testing.T) {
	inWorld(t, options{release: upToDate, prepare: slotOf(coordination.Rebooting, 20*time.Minute)}, func(w *world) {
		asked := 0
		w.ec2Says(map[string]string{mine: "running", other: "terminated"})
		w.on("ec2", func(*process) error {
			if asked++; asked == 2 {
				w.operate("another watcher frees it", func(r *coordination.Record) { r.Holders = nil })
			}
			return nil
		})
		w.start()
		w.pass(10 * time.Hour)
		if n := len(w.find("the instance of a late host is gone: its slot was freed")); n > 0 || asked != 2 {
			t.Errorf("said %d times to have freed what another freed; asked %d times", n, asked)
		}
	})
}

// A soak is announced as a whole, and costs no writes.
func TestSoakIsAnnouncedAsAWhole(t *testing.T) {
	inWorld(t, options{settings: func(c *agent.Config) { c.Verify.Soak = 6 * time.Hour }}, func(w *world) {
		w.start()
		w.untilPhase(agent.Restoring, 3*time.Hour)
		before := w.writes()
		w.pass(5 * time.Hour)
		if h, _ := w.record().Holder(mine); w.writes() != before || h.Announced < (6*time.Hour).Seconds() {
			t.Errorf("%d writes in five hours of soak; announced %v s", w.writes()-before, h.Announced)
		}
		w.untilUpdated()
	})
}

// Watching makes a wait shorter and never longer.
func TestWatchingLengthensNoWait(t *testing.T) {
	inWorld(t, options{policy: "slots = 2\nmax_failures = 3\n", prepare: func(w *world) {
		slotOf(coordination.Rebooting, 20*time.Minute)(w)
		w.operate("", func(r *coordination.Record) {
			r.Generation = 8
			r.Holders = append(r.Holders, coordination.Holder{Host: "i-3", Generation: 8, Phase: coordination.Verifying, Target: newRelease, Announced: 1e6})
		})
	}}, func(w *world) {
		asked := counted(w, "ec2")
		w.ec2Says(map[string]string{mine: "running", other: "terminated"})
		w.start()
		w.until("first proof", 6*time.Hour, func() bool { return asked.Load() == 1 })
		w.pass(time.Second)
		w.operate("sees i-3 return its slot", func(r *coordination.Record) { r.Holders = r.Holders[:1] })
		var lost moment
		w.once("record:granted", func(*process) error { lost.hit(); return errors.New("throttled") })
		w.until("its turn", time.Hour, func() bool { _, holds := w.record().Holder(mine); return holds })
		if gap := time.Since(lost.at()); gap > time.Minute {
			t.Errorf("a throttled grant cost %s", gap)
		}
	})
}
