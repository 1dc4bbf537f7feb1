package agent_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/apiclientx"
	"github.com/drydock-ecs/drydock/apiclientx/apitest"
	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/internal/ecstest"
)

// A damaged file that cannot even be moved away does not keep the host drained.
func TestDamagedIntentThatCannotBeSetAside(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		w.once("ecs:remaining", func(p *process) error {
			w.loseIntent(true)
			w.fail(errors.New("read-only file system"), "intent:aside", "intent:save")
			return kill(p)
		})
		w.start()
		w.pass(6 * time.Hour)
		if s := w.cluster.Status(mine); s != "ACTIVE" {
			t.Errorf("promise 2: %s after 6 h, phase %s, holders %+v", s, w.phase(), w.record().Holders)
		}
	})
}

// Nor does one that cannot be read.
func TestIntentThatCannotBeRead(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		w.once("ecs:remaining", func(p *process) error {
			w.fail(errors.New("permission denied"), "intent:load", "intent:save")
			return kill(p)
		})
		w.start()
		w.pass(6 * time.Hour)
		if s := w.cluster.Status(mine); s != "ACTIVE" {
			t.Errorf("promise 2: %s after 6 h, phase %s", s, w.phase())
		}
	})
}

// One answer in which ECS does not know the instance is no reason to give up.
func TestMissingOnce(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		var restoring moment
		w.once("status:restoring", func(p *process) error { restoring.hit(); return nil })
		heal := w.fail(errors.New("ECS is away"), "ecs:ACTIVE")
		w.once("ecs:remaining", func(*process) error {
			w.operate("halts", func(r *coordination.Record) { r.Halt = &coordination.Halt{Who: operator, Reason: "x"} })
			return nil
		})
		w.start()
		w.untilIs(&restoring, "restoring")
		w.pass(20 * time.Minute)
		w.missing.Store(true)
		heal()
		w.pass(30 * time.Minute)
		if s := w.cluster.Status(mine); s != "ACTIVE" {
			t.Errorf("promise 2: %s, phase %s, holders %v", s, w.phase(), w.record().Holders)
		}
	})
}

// Force goes on over tasks that were looked at, never over unknown ones.
func TestForceNeedsClasses(t *testing.T) {
	inWorld(t, options{policy: "slots = 1\n[drain]\non_timeout = \"force\"\nstandalone_tasks = \"defer\"\n"}, func(w *world) {
		w.once("record:draining", func(p *process) error {
			_, err := w.cluster.Run(mine, ecstest.Standalone{Length: 5 * time.Hour})
			w.fail(errors.New("denied"), "ecs:classify")
			return err
		})
		w.start()
		w.pass(3 * time.Hour)
		for _, k := range w.cluster.Killed() {
			t.Errorf("promise 3: killed %s %s", k.Kind, k.ARN)
		}
	})
}

// Nor when the tasks cannot be listed at all.
func TestForceNeedsALook(t *testing.T) {
	inWorld(t, options{policy: "slots = 1\n[drain]\non_timeout = \"force\"\nstandalone_tasks = \"defer\"\n"}, func(w *world) {
		w.once("record:draining", func(p *process) error {
			_, err := w.cluster.Run(mine, ecstest.Standalone{Length: 5 * time.Hour})
			heal := w.fail(errors.New("down"), "ecs:local", "ecs:remaining")
			time.AfterFunc(26*time.Minute, heal)
			return err
		})
		w.start()
		w.pass(3 * time.Hour)
		for _, k := range w.cluster.Killed() {
			t.Errorf("promise 3: killed %s %s", k.Kind, k.ARN)
		}
	})
}

// A drain that comes after our ACTIVE is someone else's, also for the next process.
func TestDrainedByHandAfterActive(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		afterReboot(w, func() { w.cluster.AgentDown(mine) })
		w.start()
		w.untilPhase(agent.Sick, 2*time.Hour)
		w.operate("restores", func(r *coordination.Record) { r.Holders[0].Restore = true })
		w.until("ACTIVE", 2*time.Minute, func() bool { return w.cluster.Status(mine) == "ACTIVE" })
		w.pass(30 * time.Minute)
		w.current().stop()
		w.pass(time.Second)
		w.cluster.SetStatus(mine, "DRAINING", operator)
		w.pass(30 * time.Minute)
		if s := w.cluster.Status(mine); s != "DRAINING" {
			t.Errorf("promise 5: the operator's drain, 30 min after our ACTIVE, was undone: %s", s)
		}
	})
}

// Nor is it ours when the host goes down before it could note our ACTIVE and
// comes up sick: the next process sees it ACTIVE, through ECS alone.
func TestDrainedByHandWhileSickAgain(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		afterReboot(w, func() { w.cluster.AgentDown(mine) })
		w.once("intent:active", func(*process) error {
			w.reset()
			w.cluster.AgentDown(mine)
			return errDead
		})
		w.start()
		w.untilPhase(agent.Sick, 2*time.Hour)
		w.cluster.AgentUp(mine)
		w.until("ACTIVE", 10*time.Minute, func() bool { return w.cluster.Status(mine) == "ACTIVE" })
		w.pass(20 * time.Minute)
		w.cluster.SetStatus(mine, "DRAINING", operator)
		w.pass(20 * time.Minute)
		w.cluster.AgentUp(mine)
		w.pass(time.Hour)
		if s := w.cluster.Status(mine); s != "DRAINING" || w.phase() != "idle" {
			t.Errorf("promise 5: the operator's drain, 20 min after our ACTIVE, was undone: %s, phase %s", s, w.phase())
		}
	})
}

// Of an intent of a newer schema nothing is started, no reboot either.
func TestNewerIntentArmed(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		newer := false
		w.once("api:reboot", func(p *process) error {
			err := kill(p)
			var in map[string]any
			_ = json.Unmarshal(w.file(), &in)
			in["schema"] = 2
			data, _ := json.Marshal(in)
			w.setIntent(string(data))
			newer = true
			return err
		})
		for _, act := range []string{"record:rebooting", "record:draining", "record:verifying", "record:sick", "record:return", "api:reboot"} {
			w.on(act, func(p *process) error {
				if newer && !p.dead.Load() {
					t.Errorf("with an intent of a newer schema: %s", act)
				}
				return nil
			})
		}
		w.start()
		w.pass(2 * time.Hour)
	})
}

// A drain that stays unanswered does not hold the slot for the whole drain timeout.
func TestDrainUnansweredForLong(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		var first moment
		w.on("ecs:DRAINING", func(p *process) error {
			first.hit()
			if time.Since(first.at()) < 70*time.Second {
				return agent.ErrUnanswered
			}
			return nil
		})
		w.start()
		w.untilIs(&first, "drain")
		w.pass(10 * time.Minute)
		h, _ := w.record().Holder(mine)
		if w.cluster.Status(mine) == "ACTIVE" && h.Phase == "draining" {
			t.Errorf("10 min later: slot held, nothing drained, phase %s; row %+v", w.phase(), w.row())
		}
		w.pass(30 * time.Minute)
	})
}

// Tasks are stopped on a draining host alone.
func TestNoStopAfterActive(t *testing.T) {
	inWorld(t, options{policy: "slots = 1\n[drain]\nstandalone_tasks = \"stop\"\n", services: []ecstest.Service{{Name: "web", Desired: 2, Limits: &ecstest.Limits{Minimum: 50, Maximum: 200}, Life: &ecstest.Life{Pending: time.Second, Deactivating: 10 * time.Minute}}}}, func(w *world) {
		var drained moment
		w.on("ecs:stop", func(p *process) error {
			t.Errorf("a task is stopped while the instance is %s", w.cluster.Status(mine))
			return nil
		})
		w.once("ecs:local", func(*process) error { return nil })
		w.start()
		w.until("DRAINING", 2*time.Hour, func() bool { return w.cluster.Status(mine) == "DRAINING" })
		drained.hit()
		w.pass(20 * time.Second)
		w.cluster.SetStatus(mine, "ACTIVE", operator)
		w.cluster.Run(mine, ecstest.Standalone{Length: 5 * time.Hour})
		w.pass(5 * time.Minute)
	})
}

// A host that was good and is back on the version before, before it was back
// in service, was taken back by somebody for a reason.
func TestTakenBackBeforeItWasRestored(t *testing.T) {
	d := agent.Duty{Boot: "b1", From: "1", Target: "2", Outcome: agent.Updated, Seen: "b2"}
	o := agent.Resume(agent.Facts{Boot: "b3", HasDuty: true, Duty: d, Running: "1"})
	if o.To != agent.Verifying || o.Result != "" {
		t.Errorf("resumes in %s with %q", o.To, o.Result)
	}
}

// Before the reboot request everything turns back, also a host that cannot
// activate because the API's socket is dead for good.
func TestDeadSocketWhileDrained(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		var dead moment
		w.once("record:rebooting", func(*process) error { dead.hit(); w.api.StopAPI(); return nil })
		w.start()
		w.untilIs(&dead, "drained")
		w.until("ACTIVE", 15*time.Minute, func() bool { return w.cluster.Status(mine) == "ACTIVE" })
		w.until("the slot is back", 10*time.Minute, func() bool { return len(w.record().Holders) == 0 })
	})
}

// A socket that was dead once, when the agent was started in the drain, is tried
// again after it.
func TestDeadSocketOnceAtStart(t *testing.T) {
	inWorld(t, options{services: slowToLeave(6 * time.Minute)}, func(w *world) {
		w.start()
		w.untilPhase(agent.Draining, 2*time.Hour)
		w.pass(time.Minute)
		w.once("api:os", func(*process) error { return apiclientx.ErrUnreachable })
		w.current().die()
		w.startAgent(agentRestart)
		w.untilUpdated()
	})
}

// A socket that only a new container has back, dead after the release was
// activated: no host is in service without a slot with the release next to boot.
func TestDeadSocketAfterActivating(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		var dead moment
		w.on("ecs:look", func(p *process) error {
			if w.activated() && !dead.is() && !p.dead.Load() {
				dead.hit()
				w.api.StopAPI()
				return errors.New("ECS is throttled")
			}
			return nil
		})
		w.start()
		w.untilIs(&dead, "dead")
		first := w.current()
		w.until("the next container", time.Hour, func() bool { return w.current() != first || first.dead.Load() })
		w.api.StartAPI()
		w.untilUpdated()
	})
}

// No clock that is set makes a deadline come earlier.
func TestClockSetWhileRebooting(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		w.once("api:activate", func(p *process) error {
			was, _ := json.Marshal(w.duty().PhaseAt)
			is, _ := json.Marshal(w.duty().PhaseAt.Add(-time.Hour))
			err := kill(p)
			w.setIntent(strings.Replace(string(w.file()), string(was), string(is), 1))
			return err
		})
		w.start()
		w.untilUpdated()
	})
}

// A deadline before the reboot holds for the host, however often its agent is
// started again.
func TestDeadlineBeforeTheRebootSurvivesRestarts(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		w.fail(apiclientx.ErrBusy, "api:activate")
		w.start()
		w.untilPhase(agent.Rebooting, 2*time.Hour)
		restarts := 0
		for ; w.cluster.Status(mine) == "DRAINING" && restarts < 10; restarts++ {
			w.pass(4 * time.Minute)
			w.current().die()
			w.startAgent(agentRestart)
			w.pass(agentRestart + time.Second)
		}
		if restarts > 4 {
			t.Errorf("promise 2: %s, %s after %d restarts", w.phase(), w.cluster.Status(mine), restarts)
		}
	})
}

// A soak ends in a look: a host whose ECS agent has died in it is unhealthy.
func TestSoakWithoutECSAgent(t *testing.T) {
	inWorld(t, options{policy: "slots = 1\nmax_failures = 1\n[verify]\nsoak = \"30m\"\n"}, func(w *world) {
		w.start()
		w.until("ACTIVE again", 3*time.Hour, func() bool { return w.api.Running() == newRelease && w.cluster.Status(mine) == "ACTIVE" })
		w.pass(5 * time.Minute)
		w.cluster.AgentDown(mine)
		w.pass(2 * time.Hour)
		if f := w.record().Failures; len(f) != 1 || f[0].Cause != string(agent.Unhealthy) || len(w.record().Holders) > 0 {
			t.Errorf("promise 4: the ECS agent has died in the soak, failures %+v, holders %+v", f, w.record().Holders)
		}
	})
}

// One whose ECS agent is only just being started again is healthy, whatever of it
// is there at the end of the soak.
func TestSoakWithECSAgentStartedAgain(t *testing.T) {
	for up := range 100 {
		inWorld(t, options{policy: "slots = 1\n[verify]\nsoak = \"30m\"\n"}, func(w *world) {
			w.start()
			w.until("ACTIVE again", 3*time.Hour, func() bool { return w.api.Running() == newRelease && w.cluster.Status(mine) == "ACTIVE" })
			w.pass(28 * time.Minute)
			w.cluster.AgentDown(mine)
			after := 2*time.Minute - 12*time.Second + time.Duration(up)*600*time.Millisecond
			w.pass(after)
			w.cluster.AgentUp(mine)
			w.untilUpdated()
			if f := w.record().Failures; len(f) > 0 {
				t.Errorf("the ECS agent was back after %s: %+v", after, f)
			}
		})
	}
}

// The note before an act may take long, on a disk that stalls: then the proof is
// too old to act on.
func TestSlowDiskBetweenProofAndAct(t *testing.T) {
	for _, note := range []string{"intent:drain", "intent:activating", "intent:armed"} {
		t.Run(note, func(t *testing.T) {
			inWorld(t, options{}, func(w *world) {
				var halted, activated moment
				w.on("api:activate", func(*process) error {
					if halted.is() {
						activated.hit()
					}
					return nil
				})
				w.once(note, func(*process) error {
					delay(20 * time.Second)
					w.operate("halts", func(r *coordination.Record) { r.Halt = &coordination.Halt{Who: operator, Reason: "x"} })
					halted.hit()
					delay(100 * time.Second)
					return nil
				})
				w.start()
				w.untilIs(&halted, note)
				w.pass(30 * time.Minute)
				if note == "intent:drain" && w.drains() > 0 || activated.is() || w.api.Running() == newRelease {
					t.Error("acted 100 s after the fleet was halted and 120 s after the re-assert")
				}
				if len(w.record().Failures) > 0 || w.cluster.Status(mine) != "ACTIVE" {
					t.Errorf("%s, failures %+v", w.cluster.Status(mine), w.record().Failures)
				}
			})
		})
	}
}

// A host whose data volume was replaced in its update has lost its intent and its
// registration: what is adopted has nothing to undo, and gives its slot back.
func TestRegisteredAnewInTheUpdate(t *testing.T) {
	for name, change := range map[string]func(w *world){
		"unanswered":  func(w *world) { w.unanswered(); afterReboot(w, func() { w.cluster.NewRegistration(mine) }) },
		"intent lost": func(w *world) { afterReboot(w, func() { w.loseIntent(false); w.cluster.NewRegistration(mine) }) },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, options{}, func(w *world) {
				change(w)
				w.start()
				w.until("down", 2*time.Hour, func() bool { return w.phase() == "" })
				w.until("the slot is back", time.Hour, func() bool { return len(w.record().Holders) == 0 })
			})
		})
	}
}

// A reset in the soak, after which API and ECS agent need their time, is no
// failure of the release.
func TestResetInTheSoak(t *testing.T) {
	inWorld(t, options{policy: "slots = 1\n[verify]\nsoak = \"5s\"\n"}, func(w *world) {
		var reset moment
		w.once("intent:restored", func(*process) error {
			time.AfterFunc(time.Second, func() {
				heal := w.fail(errors.New("not yet"), "api:os")
				w.cluster.AgentDown(mine)
				w.reset()
				reset.hit()
				time.AfterFunc(90*time.Second, func() { w.cluster.AgentUp(mine) })
				time.AfterFunc(2*time.Minute, heal)
			})
			return nil
		})
		w.start()
		w.untilIs(&reset, "reset")
		w.until("the slot is back", time.Hour, func() bool { return len(w.record().Holders) == 0 })
		if f := w.record().Failures; len(f) > 0 {
			t.Errorf("failures %+v", f)
		}
	})
}

// An update that ends under a dead socket has its event all the same.
func TestEventUnderADeadSocket(t *testing.T) {
	inWorld(t, options{policy: "slots = 1\n[verify]\nsoak = \"5m\"\n"}, func(w *world) {
		w.start()
		w.until("ACTIVE again", 3*time.Hour, func() bool { return w.api.Running() == newRelease && w.cluster.Status(mine) == "ACTIVE" })
		w.pass(time.Minute)
		w.cluster.AgentDown(mine)
		w.api.StopAPI()
		w.until("the slot is back", time.Hour, func() bool { return len(w.record().Holders) == 0 })
		w.pass(10 * time.Minute)
		if e := w.memory.Events(w.cluster.ARN()); len(e) != 1 {
			t.Errorf("events %+v", e)
		}
	})
}

// unanswered is a call to drain that is applied and whose answer is lost.
func (w *world) unanswered() {
	w.once("ecs:DRAINING", func(*process) error {
		w.cluster.SetStatus(mine, "DRAINING", mine)
		return agent.ErrUnanswered
	})
}

// Two calls to drain without an answer, of which the second lands after the first
// was undone.
func TestTwoLateDrains(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		calls := 0
		var active moment
		w.on("ecs:DRAINING", func(p *process) error {
			if calls++; calls == 2 {
				w.operate("halts", func(r *coordination.Record) { r.Halt = &coordination.Halt{Who: operator, Reason: "x"} })
			}
			return agent.ErrUnanswered
		})
		w.once("intent:active", func(*process) error {
			active.hit()
			time.AfterFunc(30*time.Second, func() { w.cluster.SetStatus(mine, "DRAINING", mine) })
			time.AfterFunc(75*time.Second, func() { w.cluster.SetStatus(mine, "DRAINING", mine) })
			return nil
		})
		w.start()
		w.untilIs(&active, "active")
		w.pass(time.Hour)
		if s := w.cluster.Status(mine); s != "ACTIVE" {
			t.Errorf("promise 2: %s after %d calls", s, calls)
		}
	})
}

// A call to drain that got no answer an hour ago does not make a drain ours that
// comes half an hour after our ACTIVE.
func TestDrainedByHandLongAfterUnansweredCall(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		w.unanswered()
		afterReboot(w, func() { w.cluster.AgentDown(mine) })
		w.start()
		w.untilPhase(agent.Sick, 2*time.Hour)
		w.operate("restores", func(r *coordination.Record) { r.Holders[0].Restore = true })
		w.until("ACTIVE", 2*time.Minute, func() bool { return w.cluster.Status(mine) == "ACTIVE" })
		w.pass(30 * time.Minute)
		w.cluster.SetStatus(mine, "DRAINING", operator)
		w.pass(30 * time.Minute)
		if s := w.cluster.Status(mine); s != "DRAINING" {
			t.Errorf("promise 5: undone: %s, duty %+v", s, w.duty())
		}
	})
}

// Nor does it after a person's ACTIVE.
func TestDrainedByHandAfterActiveByHand(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		w.unanswered()
		afterReboot(w, func() { w.cluster.AgentDown(mine) })
		w.start()
		w.untilPhase(agent.Sick, 2*time.Hour)
		w.cluster.SetStatus(mine, "ACTIVE", operator)
		w.pass(30 * time.Minute)
		w.cluster.SetStatus(mine, "DRAINING", operator)
		w.pass(30 * time.Minute)
		w.cluster.AgentUp(mine)
		w.pass(30 * time.Minute)
		if s := w.cluster.Status(mine); s != "DRAINING" {
			t.Errorf("promise 5: undone: %s, duty %+v", s, w.duty())
		}
	})
}

// What ECS describes may be older than our ACTIVE: one such answer is no drain
// by someone else, and no reason to return the slot of a host without its agent.
func TestStaleLookAfterActive(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		afterReboot(w, func() { w.cluster.AgentDown(mine) })
		w.start()
		w.untilPhase(agent.Sick, 2*time.Hour)
		w.operate("restores", func(r *coordination.Record) { r.Holders[0].Restore = true })
		w.once("intent:active", func(*process) error {
			w.once("ecs:look", func(*process) error {
				w.cluster.SetStatus(mine, "DRAINING", "stale")
				time.AfterFunc(time.Millisecond, func() { w.cluster.SetStatus(mine, "ACTIVE", "stale") })
				return nil
			})
			return nil
		})
		w.pass(5 * time.Minute)
		if _, holds := w.record().Holder(mine); !holds {
			t.Error("promise 1: the slot went back while the ECS agent is not connected")
		}
	})
}

// A table that comes back from a backup shows an update that has long ended:
// there is nothing of it to undo.
func TestEntryOfABackup(t *testing.T) {
	for _, phase := range []coordination.Phase{coordination.Granted, coordination.Draining, coordination.Rebooting, coordination.Verifying, coordination.Sick} {
		t.Run(string(phase), func(t *testing.T) {
			inWorld(t, options{}, func(w *world) {
				var backup coordination.Holder
				w.once("record:return", func(*process) error { backup, _ = w.record().Holder(mine); return nil })
				w.start()
				w.untilUpdated()
				w.pass(time.Hour)
				w.cluster.SetStatus(mine, "DRAINING", operator)
				w.pass(10 * time.Minute)
				w.operate("restores the table from a backup", func(r *coordination.Record) {
					backup.Phase = phase
					r.Holders = []coordination.Holder{backup}
					r.Halt = &coordination.Halt{Who: operator, Reason: coordination.RestoredReason}
				})
				w.until("the slot is back", 5*time.Hour, func() bool { return len(w.record().Holders) == 0 })
				if s := w.cluster.Status(mine); s != "DRAINING" || len(w.record().Failures) > 0 {
					t.Errorf("promise 5: %s, failures %+v", s, w.record().Failures)
				}
			})
		})
	}
}

// Of one that ended badly the end is told again: the backup is from before it was.
func TestEntryOfABackupOfAFallback(t *testing.T) {
	o := options{}
	o.release = apitest.Release{Version: newRelease, Fate: apitest.FallsBack}
	inWorld(t, o, func(w *world) {
		var backup coordination.Record
		w.once("record:return", func(*process) error { backup = w.record(); return nil })
		w.start()
		back := func() bool { return len(w.record().Holders) == 0 && backup.Schema > 0 }
		w.until("the slot is back", 5*time.Hour, back)
		w.pass(10 * time.Minute)
		w.operate("restores the table from a backup", func(r *coordination.Record) {
			*r = backup
			r.Halt = &coordination.Halt{Who: operator, Reason: coordination.RestoredReason}
		})
		w.until("the slot is back", 5*time.Hour, back)
		if r := w.record(); len(r.Failures) != 1 || !r.Refuses(newRelease) {
			t.Errorf("promise 4: failures %+v, refused %+v", r.Failures, r.Refused)
		}
	})
}

// In a record that was made anew generations are small: a drain that another host
// container of this host has begun is undone, whatever has ended before.
func TestEntryOfARecordMadeAnew(t *testing.T) {
	const arn = "arn:aws:ecs:eu-west-1:111122223333:container-instance/demo/00000000000000000000000000000001"
	const intent = `{"schema": 1, "instance": "i-1", "duty": null, "memory": {"attempts": {"1.51.0": {"count": 9, "last": %q}}, "ended": {"fleet": %q, "generation": 9, "at": %q}}}`
	draining := func(w *world) {
		now := time.Now()
		w.cluster.SetStatus(mine, "DRAINING", mine)
		w.operate("another host container drains", func(r *coordination.Record) {
			r.Generation = 1
			r.Holders = []coordination.Holder{{Host: mine, Generation: 1, Phase: coordination.Draining, GrantedAt: now, Since: now,
				Announced: 1500, From: oldRelease, Target: newRelease, Boot: "boot-1", ARN: arn}}
		})
		w.setIntent(fmt.Sprintf(intent, now.Format(time.RFC3339), w.cluster.ARN(), now.Add(-time.Hour).Format(time.RFC3339)))
	}
	inWorld(t, options{prepare: draining}, func(w *world) {
		w.start()
		w.until("undone", time.Hour, func() bool { return w.cluster.Status(mine) == "ACTIVE" && len(w.record().Holders) == 0 })
	})
}

// A host whose tasks take hours to leave hears that it is to go back.
func TestRecallWhileDraining(t *testing.T) {
	for name, rule := range map[string]func(generation int64) coordination.Rule{
		"recall": func(g int64) coordination.Rule { return coordination.Recall(mine, g) },
		"halt":   func(int64) coordination.Rule { return coordination.Stop(operator, "x", time.Now()) },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, options{policy: "slots = 1\n[drain]\ntimeout = \"6h\"\n", services: slowToLeave(5 * time.Hour)}, func(w *world) {
				w.start()
				w.untilPhase(agent.Draining, 2*time.Hour)
				w.pass(5 * time.Minute)
				h, _ := w.record().Holder(mine)
				w.rule(name, rule(h.Generation))
				w.until("ACTIVE", 11*time.Minute, func() bool { return w.cluster.Status(mine) == "ACTIVE" })
				w.pass(20 * time.Minute)
				if s := w.cluster.Status(mine); s != "ACTIVE" {
					t.Errorf("%s again 20 min after an operator had asked for it back", s)
				}
			})
		})
	}
}

// A release that came up three times and then fell back has fallen back, also
// where the API is not there yet when the agent starts.
func TestFellBackAfterManyBoots(t *testing.T) {
	const arn = "arn:aws:ecs:eu-west-1:111122223333:container-instance/demo/00000000000000000000000000000001"
	const intent = `{"schema": 1, "instance": "i-1", "memory": {"attempts": null}, "duty": {
		"instance": "i-1", "fleet": %q, "table": "drydock", "arn": %q, "generation": 1, "from": "1.50.0", "target": "1.51.0", "boot": "boot-0",
		"drain_calls": 1, "activating": true, "armed": true, "asks": 1, "seen": "boot-9", "boots": 3,
		"terms": {"drain_timeout": 1500000000000, "verify_timeout": 900000000000, "max_failures": 1, "reboot_deadline": 600000000000, "reassert_within": 60000000000}}}`
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprint("API late ", late), func(t *testing.T) {
			verifying := func(w *world) {
				w.cluster.SetStatus(mine, "DRAINING", mine)
				w.operate("is verifying", func(r *coordination.Record) {
					r.Generation = 1
					r.Holders = []coordination.Holder{{Host: mine, Generation: 1, Phase: coordination.Verifying, GrantedAt: time.Now(), Since: time.Now(),
						Announced: 1500, From: oldRelease, Target: newRelease, Boot: "boot-0", ARN: arn}}
				})
				w.setIntent(fmt.Sprintf(intent, w.cluster.ARN(), arn))
			}
			inWorld(t, options{prepare: verifying}, func(w *world) {
				if late {
					w.once("api:os", func(*process) error { return errors.New("not yet") })
				}
				w.start()
				w.untilPhase(agent.Idle, 2*time.Hour)
				if r := w.record(); !r.Refuses(newRelease) {
					t.Errorf("not refused, failures %+v", r.Failures)
				}
			})
		})
	}
}

// Settings that cannot be used from one start to the next do not keep the host
// drained: its update ends, and no other one begins.
func TestSettingsLostInTheUpdate(t *testing.T) {
	for _, test := range []struct {
		act   string
		begun bool
	}{
		{"status:idle", false}, {"status:staging", false}, {"status:waiting", false},
		{"intent:drain", true}, {"ecs:remaining", true}, {"status:rebooting", true}, {"status:verifying", true}, {"status:restoring", true},
	} {
		t.Run(test.act, func(t *testing.T) {
			inWorld(t, options{}, func(w *world) {
				w.once(test.act, func(p *process) error {
					w.unusable.Store(true)
					return kill(p)
				})
				w.start()
				w.until("killed", 3*time.Hour, w.unusable.Load)
				w.pass(2 * time.Hour)
				want := oldRelease
				if test.begun {
					want = newRelease
				}
				if s, r := w.cluster.Status(mine), w.record(); s != "ACTIVE" || len(r.Holders) > 0 || w.api.Running() != want || w.duty() != nil {
					t.Errorf("%s, runs %s, holders %+v, duty %+v", s, w.api.Running(), r.Holders, w.duty())
				}
				if e, row := w.memory.Events(w.cluster.ARN()), w.row(); test.begun && (len(e) != 1 || row.Phase != "idle") {
					t.Errorf("events %+v, row %+v", e, row)
				}
				if n := w.writes(); !test.begun && n > 0 {
					t.Errorf("the lock was written %d times", n)
				}
			})
		})
	}
}
