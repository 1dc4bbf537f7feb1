package agent_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/drydock-ecs/drydock/agent"
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
