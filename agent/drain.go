package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/internal/hint"
)

const (
	// lookFreshness is how old the look at ECS before DRAINING may be.
	lookFreshness = 2 * time.Second
	// localDown is the delay between looks through ECS's API while the local
	// ECS agent does not answer.
	localDown = 20 * time.Second
	// tableFault is said of a table that a holder cannot use.
	tableFault = "the lock table cannot be used"
	// hintDisk is what to do when the intent cannot be written.
	hintDisk = "free space in the host container's persistent directory, or replace the data volume"
)

// drain takes the duty, proves that the host may still act, sets it DRAINING
// and watches its tasks leave.
func (a *Agent) drain(ctx context.Context, s State) Outcome {
	if a.intent.Duty == nil {
		if err := a.takeDuty(s.Target); err != nil {
			a.err = hint.Wrap(err, hintDisk)
			return turnBack("the intent cannot be written: no drain is started")
		}
	}
	if a.update.proof == 0 || !a.update.draining && !a.proven() {
		if o, ok := a.reassert(ctx, coordination.Draining); !ok {
			return o
		}
	}
	if !a.update.draining {
		if o, ok := a.beginDrain(ctx); !ok {
			return o
		}
	}
	return a.watchTasks(ctx)
}

// takeDuty makes the update durable before its first act, and counts the
// attempt in the same write. A process that dies right after it finds a duty
// with nothing done: the next one goes on, after a re-assert.
func (a *Agent) takeDuty(target string) error {
	boot := stopwatch{uptime: a.uptime(), at: time.Now()}
	d := Duty{
		Instance: a.identity.Instance, Fleet: a.fleetKey[1], Table: a.fleetKey[0], ARN: a.self.ARN,
		Generation: a.update.generation, From: a.running, Target: target, Boot: a.boot,
		Terms: termsOf(a.config, a.policy),
	}
	d.turnPage(Draining, a.boot, boot)
	next := a.intent
	next.Duty = &d
	next.Memory = next.Memory.record(target, boot.at)
	next.Memory.Ticket = HeldTicket{} // it was served
	if err := a.save(next); err != nil {
		// Nothing has been done: what is left to do is to return the slot.
		d.Outcome, d.Restored = TurnedBack, true
		a.intent.Duty = &d
		return err
	}
	return nil
}

// proven says whether the latest re-assert is young enough to act on.
func (a *Agent) proven() bool {
	return a.update.proof > 0 && a.uptime()-a.update.proof < a.terms().ReassertInterval
}

// unwritable is an act that is not done because its note cannot be made. A
// disk that stays full is not waited for: the host is out of service.
func (a *Agent) unwritable(reason string, err error) Outcome {
	err = hint.Wrap(err, hintDisk)
	if a.update.diskless.IsZero() {
		a.update.diskless = time.Now()
	}
	if time.Since(a.update.diskless) < diskPatience {
		return a.again(reason, err)
	}
	a.err = err
	return turnBack(reason)
}

// prove has a proof for the phase that is young enough to act on, an earlier
// one if there is: trouble that lasts must not write the record again and again.
func (a *Agent) prove(ctx context.Context, phase coordination.Phase) (Outcome, bool) {
	if a.update.proofOf == phase && a.proven() {
		return Outcome{}, true
	}
	return a.reassert(ctx, phase)
}

// reassert proves that the slot is still this host's and may be used, and
// tells the fleet the phase. The proof counts from before the call. A table
// that does not answer is asked again for a while; then the host turns back.
func (a *Agent) reassert(ctx context.Context, phase coordination.Phase) (Outcome, bool) {
	d := a.intent.Duty
	announced := paceOf(Draining, a.config, d.Terms).announce
	if phase == coordination.Rebooting {
		announced = paceOf(Rebooting, a.config, d.Terms).announce
	}
	entered := phase
	if d.Activating {
		entered = coordination.Rebooting // may be the next to boot: the record does not go back behind that
	}
	began, uptime := time.Now(), a.uptime()
	_, err := a.fleet.Apply(ctx, coordination.Reassert(d.Instance, d.Generation, entered, announced, a.limits, began))
	switch {
	case err == nil:
		a.update.proof, a.update.proofOf, a.update.tableless = uptime, phase, time.Time{}
		a.update.until, a.update.allowedAt = began.Add(announced), began
		return Outcome{}, true
	case coordination.Why(err) != "":
		return a.notAllowed(err), false
	}
	if a.update.tableless.IsZero() {
		a.update.tableless = began
	}
	if time.Since(a.update.tableless) >= tablePatience {
		a.err, a.update.blameless = err, true
		return turnBack(recordFault(err, tableFault)), false
	}
	return a.again(recordFault(err, tableFault), err), false
}

// beginDrain sees the container instance DRAINING by our own call. It never
// drains what someone else drained, nor drains again what someone set ACTIVE.
func (a *Agent) beginDrain(ctx context.Context) (Outcome, bool) {
	if time.Since(a.seen.lookedAt) > lookFreshness {
		if err := a.look(ctx, a.dutySelf()); err != nil {
			return a.again("ECS does not describe the container instance", err), false
		}
	}
	d := a.intent.Duty
	status := a.seen.instance.Status
	switch {
	case d.DrainCalls > 0 && status == "DRAINING":
		return a.sawDraining(), true
	case d.DrainCalls > 0 && (d.DrainOpen == 0 || d.Drained):
		return turnBack(notDraining(status)), false
	}
	if reason := a.notOurs(); reason != "" {
		return Outcome{Kind: Failed, Result: TurnedBack, Reason: reason}, false
	}
	if !a.proven() {
		return Outcome{Kind: Again, After: staleDelay}, false
	}
	return a.callDrain(ctx)
}

// sawDraining notes that the host was DRAINING after a call of ours. It settles
// no call that got no answer: someone else may have drained the host meanwhile,
// and ours may still land.
func (a *Agent) sawDraining() Outcome {
	a.update.draining = true
	if d := a.intent.Duty; d.DrainOpen > 0 && !d.Drained {
		a.noteAnyway(func(d *Duty) { d.Drained = true })
	}
	return Outcome{}
}

// callDrain notes the call before it is made. A process that dies in between
// finds a call that may land at any time: it looks, and undoes.
func (a *Agent) callDrain(ctx context.Context) (Outcome, bool) {
	if err := a.note(func(d *Duty) { d.DrainCalls++; d.DrainOpen++ }); err != nil {
		return a.unwritable("the intent cannot be written: no drain is started", err), false
	}
	a.seen.lookedAt = time.Time{} // what ECS said before is of no use now
	if !a.proven() {              // the disk took its time; a process that dies before this is undone looks, as after a call
		a.noteAnyway(func(d *Duty) { d.DrainCalls--; d.DrainOpen-- })
		return Outcome{Kind: Again, After: staleDelay}, false
	}
	err := a.ports.Node.Drain(ctx, Self{Cluster: a.intent.Duty.Fleet, ARN: a.intent.Duty.ARN})
	switch {
	case err == nil:
		a.update.draining, a.seen.lookedAt = true, time.Now()
		a.noteAnyway(func(d *Duty) { d.DrainOpen-- })
		return Outcome{}, true
	case errors.Is(err, ErrUnanswered):
		return a.again("the call to drain got no answer", err), false
	default:
		a.noteAnyway(func(d *Duty) { d.DrainOpen--; d.DrainCalls-- })
		a.err = err
		return Outcome{Kind: Failed, Result: TurnedBack, Reason: "ECS refused to drain the container instance"}, false
	}
}

// watchTasks looks at the tasks through the local ECS agent, which costs
// nothing, and when none is left there confirms it through ECS.
func (a *Agent) watchTasks(ctx context.Context) Outcome {
	if o, ok := a.stillAllowed(ctx); !ok {
		return o
	}
	local, err := a.ports.Tasks.Local(ctx)
	if err == nil && len(local) > 0 {
		a.update.left = local
		if o, ok := a.stillDraining(ctx); !ok {
			return o
		}
		return a.attend(ctx, local)
	}
	left, remainErr := a.ports.Tasks.Remaining(ctx, a.dutySelf())
	if remainErr != nil {
		return a.again("ECS does not list the tasks of this host", remainErr)
	}
	if len(left) == 0 {
		return Outcome{Kind: Done}
	}
	a.update.left = left
	o := a.attend(ctx, left)
	if o.Kind == Again && o.After == 0 {
		a.update.looks++
		o.After = min(time.Second<<min(a.update.looks-1, 4), localDown)
		if err != nil {
			o.After = localDown
		}
	}
	return o
}

// stillDraining looks now and then whether someone has taken the drain back:
// the tasks that are left would never leave.
func (a *Agent) stillDraining(ctx context.Context) (Outcome, bool) {
	if time.Since(a.seen.lookedAt) < drainLook {
		return Outcome{}, true
	}
	if err := a.look(ctx, a.dutySelf()); err != nil {
		return a.again("ECS does not describe the container instance", err), false
	}
	if status := a.seen.instance.Status; status != "DRAINING" {
		return turnBack(notDraining(status)), false
	}
	return Outcome{}, true
}

// stillAllowed looks now and then whether the fleet was halted, or the host
// recalled, while its tasks leave. It writes nothing, and a table that does not
// answer is left to the re-assert that follows the drain.
func (a *Agent) stillAllowed(ctx context.Context) (Outcome, bool) {
	if time.Since(a.update.allowedAt) < slotLook {
		return Outcome{}, true
	}
	a.update.allowedAt = time.Now()
	r, err := a.lookRecord(ctx)
	if err != nil {
		return Outcome{}, true
	}
	d := a.intent.Duty
	_, err = coordination.Reassert(d.Instance, d.Generation, coordination.Draining, 0, a.limits, time.Now()).Change(r)
	if coordination.Why(err) == "" {
		return Outcome{}, true
	}
	return a.notAllowed(err), false
}

// notAllowed is what a guard has denied. Where the fleet stopped the host the attempt
// is given back; one that was asked for by name is not to come again at once.
func (a *Agent) notAllowed(denied error) Outcome {
	a.update.blameless = coordination.Why(denied) != coordination.BadRestore
	return turnBack(denied.Error())
}

// notDraining says what became of the drain.
func notDraining(status string) string {
	if status == "" {
		return "ECS does not know the container instance any more"
	}
	return "someone set the container instance " + status
}

// attend deals with tasks that do not leave by themselves: standalone ones,
// among them those that slipped in between the prediction and the drain.
func (a *Agent) attend(ctx context.Context, left []Task) Outcome {
	if err := a.classifyNew(ctx, left); err != nil {
		return a.again("the tasks of this host cannot be classified", err)
	}
	for _, t := range left {
		if a.seen.inventory[t.ARN].Kind != Standalone {
			continue
		}
		switch a.terms().StandaloneTasks {
		case StandaloneDefer:
			return Outcome{Kind: Failed, Result: TurnedBack, Reason: standaloneReason(a.seen.inventory[t.ARN])}
		case StandaloneStop:
			if err := a.stopTask(ctx, t); err != nil {
				return a.again("standalone task "+shortARN(t.ARN)+" cannot be stopped", err)
			}
		}
	}
	return Outcome{Kind: Again}
}

// classifyNew classifies when there is a task that nothing is known of, once
// for each: a task that ECS has told to stop already is in no inventory and
// leaves by itself.
func (a *Agent) classifyNew(ctx context.Context, left []Task) error {
	unknown := slices.ContainsFunc(left, func(t Task) bool { _, ok := a.seen.inventory[t.ARN]; return !ok })
	if !unknown {
		return nil
	}
	if _, err := a.classify(ctx, a.dutySelf()); err != nil {
		return err
	}
	for _, t := range left {
		if _, ok := a.seen.inventory[t.ARN]; !ok {
			if leaving(t.Status) {
				t.Kind = ""
			}
			a.seen.inventory[t.ARN] = t
		}
	}
	return nil
}

// leaving tells of a lastStatus that only a task on its way out has.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html
func leaving(status string) bool {
	return status == "DEACTIVATING" || status == "STOPPING" || status == "DEPROVISIONING"
}

func (a *Agent) stopTask(ctx context.Context, t Task) error {
	if a.update.stopped[t.ARN] {
		return nil
	}
	if time.Since(a.seen.lookedAt) > lookFreshness {
		if err := a.look(ctx, a.dutySelf()); err != nil {
			return err
		}
	}
	if a.seen.instance.Status == "ACTIVE" {
		a.seen.lookedAt = time.Time{} // the next turn sees it, and turns back
		return nil
	}
	if err := a.ports.Tasks.Stop(ctx, a.dutySelf(), t); err != nil {
		return err
	}
	if a.update.stopped == nil {
		a.update.stopped = make(map[string]bool)
	}
	a.update.stopped[t.ARN] = true
	return nil
}

// drainExpired is the policy's answer to tasks that did not leave in time.
func (a *Agent) drainExpired(o Outcome) Outcome {
	names := taskNames(a.update.left, a.seen.inventory)
	// Only what this very turn has listed and classified is gone over: an agent
	// that cannot see does not know what it would kill.
	if a.terms().Force && a.update.draining && o.Reason == "" && a.err == nil {
		a.update.forced = true
		a.log(State{}).Warn("the drain's time is over; going on over the tasks that stayed", slog.String(keyTasks, names))
		return Outcome{Kind: Done}
	}
	reason := fmt.Sprintf("the drain took longer than %s", configShort(a.terms().DrainTimeout))
	if names != "" {
		reason += "; still here: " + names
	} else if o.Reason != "" {
		reason += ": " + o.Reason
	}
	return Outcome{Kind: Expired, Result: DrainExpired, Reason: reason}
}

func taskNames(tasks []Task, inventory map[string]Task) string {
	names := make([]string, 0, len(tasks))
	for _, t := range tasks {
		known := inventory[t.ARN]
		switch {
		case known.Service != "":
			names = append(names, fmt.Sprintf("%s of service %s (%s)", shortARN(t.ARN), known.Service, t.Status))
		default:
			names = append(names, fmt.Sprintf("%s %s (%s)", shortARN(t.ARN), t.Family, t.Status))
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// dutySelf is the container instance that the duty is about.
func (a *Agent) dutySelf() Self {
	return Self{Cluster: a.intent.Duty.Fleet, ARN: a.intent.Duty.ARN}
}
