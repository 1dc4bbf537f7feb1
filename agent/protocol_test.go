package agent_test

import (
	"testing"
	"time"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/apiclientx/apitest"
	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/internal/ecstest"
)

// The stories in this file are counterexamples of the model in docs/model, told
// with the real agent.

// The phase in the record says what may have been done: once the release is
// activated it stays rebooting, also when the agent starts again. Else a lost
// file would leave the release activated on a host that is back in service.
func TestPhaseNeverGoesBack(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		w.once("intent:armed", func(p *process) error {
			w.once("ecs:remaining", func(p *process) error {
				w.loseIntent(false)
				return kill(p)
			})
			return kill(p)
		})
		w.start()
		w.until("activated", 2*time.Hour, w.activated)
		w.untilPhase(agent.Idle, time.Hour)
		if w.activated() {
			t.Error("the host is in service, and the next reboot of any cause boots the release")
		}
	})
}

// activated says whether a release is the next to boot.
func (w *world) activated() bool {
	running, other := w.api.Sets()
	return other.Priority > running.Priority
}

// An arming that was adopted is a guess: that a host with it comes back on the
// version before proves nothing against the release.
func TestAdoptedArmingProvesNothing(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		w.once("intent:activating", func(p *process) error {
			w.loseIntent(false)
			return kill(p)
		})
		w.start()
		w.until("adopted", 2*time.Hour, func() bool { d := w.duty(); return d != nil && d.Adopted && d.Armed })
		w.reset() // boots the version before, as nothing was activated
		w.until("at rest", time.Hour, w.atRest)
		r := w.record()
		if r.Refuses(newRelease) {
			t.Error("a release that no host has booted is refused")
		}
		if len(r.Failures) != 1 || r.Failures[0].Cause != string(agent.Interrupted) {
			t.Errorf("failures %+v, want one: %s", r.Failures, agent.Interrupted)
		}
	})
}

// What was concluded in the boot before says nothing of a boot with the release
// still activated. Here no reboot comes in time, and the power goes before the
// release is deactivated: it is booted after all, and falls back.
func TestEarlierOutcomeHidesNoFallback(t *testing.T) {
	inWorld(t, options{release: apitest.Release{Version: newRelease, Fate: apitest.FallsBack}}, func(w *world) {
		w.api.Inhibit(apitest.Inhibitor{Delay: time.Hour})
		w.once("intent:outcome", func(*process) error {
			w.once("intent:again", func(p *process) error { // the note that it is disarmed
				defer w.reset()
				return kill(p)
			})
			return nil
		})
		w.start()
		w.until("at rest after a boot", 2*time.Hour, func() bool { return w.bootCount() == 2 && w.atRest() })
		if r := w.record(); !r.Refuses(newRelease) {
			t.Errorf("the release fell back and is not refused; failures %+v", r.Failures)
		}
	})
}

// bootCount is the number of boots of the host so far.
func (w *world) bootCount() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.boots
}

// A host without its file does not know whether each of its calls to drain was
// answered, in whatever phase: it looks once more after its ACTIVE.
func TestAdoptedDrainMayLandLate(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		w.cluster.SetFault(firstDrain(ecstest.Fault{Lose: true, Report: ecstest.Drop})) // it lands further down
		w.once("intent:activating", func(p *process) error {
			w.loseIntent(false)
			defer w.reset()
			return kill(p)
		})
		w.once("ecs:ACTIVE", func(*process) error {
			time.AfterFunc(20*time.Second, func() { w.cluster.SetStatus(mine, "DRAINING", mine) })
			return nil
		})
		w.start()
		w.until("booted", 2*time.Hour, func() bool { return w.bootCount() == 2 })
		w.pass(30 * time.Minute)
		if s := w.cluster.Status(mine); s != "ACTIVE" {
			t.Errorf("promise 2: %s in phase %s, drained by a late call of ours", s, w.phase())
		}
	})
}

// firstDrain gives the first call that changes the container instance a fault.
func firstDrain(fault ecstest.Fault) func(ecstest.Call) ecstest.Fault {
	return func(c ecstest.Call) ecstest.Fault {
		if c.Op == "UpdateContainerInstancesState" && c.N == 1 {
			return fault
		}
		return ecstest.Fault{}
	}
}

// That the host is DRAINING does not settle a call that got no answer: someone
// else may have drained it in that moment, and ours is still to come.
func TestForeignDrainDoesNotSettleOurs(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		w.cluster.SetFault(firstDrain(ecstest.Fault{Lose: true, Report: ecstest.Drop})) // it lands further down
		w.once("ecs:DRAINING", func(*process) error {
			time.AfterFunc(time.Millisecond, func() { w.cluster.SetStatus(mine, "DRAINING", operator) })
			time.AfterFunc(15*time.Second, func() { w.cluster.SetStatus(mine, "ACTIVE", operator) })
			return nil
		})
		w.once("ecs:ACTIVE", func(*process) error {
			time.AfterFunc(20*time.Second, func() { w.cluster.SetStatus(mine, "DRAINING", mine) })
			return nil
		})
		w.start()
		w.until("drained", 2*time.Hour, func() bool { return w.cluster.Status(mine) == "DRAINING" })
		w.pass(20 * time.Minute)
		if s := w.cluster.Status(mine); s != "ACTIVE" {
			t.Errorf("promise 2: %s in phase %s, drained by a late call of ours", s, w.phase())
		}
	})
}

// Who sets the host ACTIVE after the drain was seen has decided, also where the
// call got no answer and the agent starts again: it is not drained once more.
func TestDrainTakenBackBetweenProcesses(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		w.cluster.SetFault(firstDrain(ecstest.Fault{Report: ecstest.Drop})) // applied, and not answered
		w.start()
		w.until("drained", 2*time.Hour, func() bool { return w.cluster.Status(mine) == "DRAINING" })
		w.pass(10 * time.Second)
		w.current().die()
		w.cluster.SetStatus(mine, "ACTIVE", operator)
		w.startAgent(agentRestart)
		drained := false
		w.until("at rest", time.Hour, func() bool {
			drained = drained || w.cluster.Status(mine) == "DRAINING"
			return w.atRest()
		})
		if drained {
			t.Error("the host was drained again after an operator had set it ACTIVE")
		}
	})
}

// Who drains the host after its slot went back has it drained, also where a call
// of ours to set it ACTIVE got no answer and is still under way.
func TestLateActive(t *testing.T) {
	for name, unanswered := range map[string]error{"unanswered": agent.ErrUnanswered, "the process dies": nil} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, options{}, func(w *world) {
				w.once("ecs:ACTIVE", func(p *process) error {
					time.AfterFunc(55*time.Second, func() { w.cluster.SetStatus(mine, "ACTIVE", mine) })
					if unanswered == nil {
						return kill(p)
					}
					return unanswered
				})
				w.start()
				w.untilUpdated()
				w.cluster.SetStatus(mine, "DRAINING", operator)
				w.pass(5 * time.Minute)
				if s := w.cluster.Status(mine); s != "DRAINING" {
					t.Errorf("promise 5: the operator's drain, after the slot was returned, was undone: %s", s)
				}
			})
		})
	}
}

// A slot that was freed by hand while the host rebooted, and the resume after
// it, do not keep the fleet from learning that the release fell back.
func TestFreedAndResumedThenFellBack(t *testing.T) {
	inWorld(t, options{release: apitest.Release{Version: newRelease, Fate: apitest.FallsBack}}, func(w *world) {
		afterReboot(w, func() {
			w.operate("frees the slot and resumes", func(r *coordination.Record) { r.Holders, r.Failures = nil, nil })
		})
		w.start()
		w.until("at rest after a boot", 2*time.Hour, func() bool { return w.bootCount() == 2 && w.atRest() })
		if !w.record().Refuses(newRelease) {
			t.Errorf("the release fell back and is not refused; failures %+v", w.record().Failures)
		}
	})
}
