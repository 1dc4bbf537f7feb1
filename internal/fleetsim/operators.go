package fleetsim

import (
	"context"
	"fmt"
	"time"

	"github.com/drydock-ecs/drydock/coordination"
)

// command is an operator who uses one of the commands, with what it shows at
// that moment: some time passes before it is confirmed.
func (w *World) command() {
	shown := w.record()
	time.AfterFunc(time.Duration(w.number(300))*time.Second, func() {
		if !w.isOver() {
			w.useVerb(shown)
		}
	})
}

func (w *World) useVerb(shown coordination.Record) {
	now := time.Now()
	switch w.number(8) {
	case 0:
		w.apply("halts the fleet", coordination.Stop(operator, "to look", now))
	case 1, 2, 3:
		w.judge.mayRetry()
		w.apply("resumes", coordination.Lift(shown.Halt, shown.Failures))
	case 4:
		slots := 1 + w.number(3)
		w.apply(fmt.Sprintf("sets %d slots", slots), coordination.Edit(func(string) (string, error) { return w.policy(slots), nil }))
	case 5:
		w.freeOne(shown)
	case 6:
		if len(shown.Holders) > 0 {
			h := shown.Holders[w.number(len(shown.Holders))]
			w.apply("restores "+h.Host, coordination.Recall(h.Host, h.Generation))
		}
	case 7:
		w.restoreOrAllow(now)
	}
}

// freeOne frees the slot of a host that is gone; a careless operator does not
// look.
func (w *World) freeOne(shown coordination.Record) {
	for _, h := range shown.Holders {
		host := w.host(h.Host)
		if host == nil || !host.isGone() && !w.Options.Careless {
			continue
		}
		if !host.isGone() {
			w.judge.freedAlive()
		}
		w.judge.mayRetry() // what came of it is the operator's to judge
		w.apply("frees the slot of "+h.Host, coordination.Free(h.Host, h.Generation, time.Now()))
		return
	}
}

func (w *World) restoreOrAllow(now time.Time) {
	if w.chance(0.5) {
		w.judge.allows()
		w.apply("allows "+newRelease, coordination.Allow(newRelease))
		return
	}
	w.apply("says that the table was restored", coordination.Restored(fmt.Sprintf("incarnation %d", w.number(1000)), operator, now))
	time.AfterFunc(time.Hour, func() {
		if !w.isOver() {
			w.apply("lifts that halt", coordination.Lift(w.record().Halt, nil))
		}
	})
}

// apply does it by the rule, as the commands do.
func (w *World) apply(what string, rule coordination.Rule) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	fleet := coordination.Fleet{ARN: w.Cluster.ARN(), Store: w.Memory, Rows: w.Memory}
	_, err := fleet.Apply(ctx, rule)
	w.say("", "an operator %s (%v)", what, err)
}

// policy is a policy text.
func (w *World) policy(slots int) string {
	return fmt.Sprintf("slots = %d\nmax_failures = %d\n", slots, max(w.Options.MaxFailures, 1))
}
