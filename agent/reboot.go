package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/drydock-ecs/drydock/apiclientx"
	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/internal/hint"
)

// reboot activates the release and asks for the reboot, once; then it waits to
// be killed and does nothing more, until the request's deadline.
func (a *Agent) reboot(ctx context.Context) Outcome {
	if a.intent.Duty.Armed {
		return a.awaitReboot(ctx)
	}
	if a.elapsed() >= a.terms().RebootDeadline {
		return Outcome{Kind: Failed, Result: TurnedBack, Reason: "the release could not be activated in time"}
	}
	if o, ok := a.prove(ctx, coordination.Rebooting); !ok {
		return o
	}
	if o, ok := a.lastLook(ctx); !ok {
		return o
	}
	if o, ok := a.activate(ctx); !ok {
		return o
	}
	if o, ok := a.lastLook(ctx); !ok {
		return o
	}
	return a.request(ctx)
}

// lastLook is the look right before an act that cannot be fenced: the local
// ECS agent is the one that was drained, ECS shows it DRAINING, no task is
// left, and the proof is young. If not, an operator decided: the host turns
// back and does not drain again.
func (a *Agent) lastLook(ctx context.Context) (Outcome, bool) {
	d := a.intent.Duty
	if err := a.learnSelf(ctx); err != nil {
		return a.again("the local ECS agent does not answer", err), false
	}
	if a.self.ARN != d.ARN {
		return turnBack("the host has registered anew as " + shortARN(a.self.ARN)), false
	}
	local, err := a.ports.Tasks.Local(ctx)
	if err != nil {
		return a.again("the local ECS agent does not list its tasks", err), false
	}
	if err := a.look(ctx, a.dutySelf()); err != nil {
		return a.again("ECS does not describe the container instance", err), false
	}
	switch i := a.seen.instance; {
	case i.Status != "DRAINING":
		return turnBack(notDraining(i.Status)), false
	case a.update.forced && !a.stayed(local):
		return turnBack("a task has come that was not there when the drain's time was over"), false
	case !a.update.forced && (len(local) > 0 || i.Tasks > 0):
		return turnBack(fmt.Sprintf("%d tasks have come back", max(len(local), i.Tasks))), false
	case !a.proven():
		return Outcome{Kind: Again, After: staleDelay}, false
	}
	return Outcome{}, true
}

// stayed says whether the tasks are among those over which the policy goes on.
func (a *Agent) stayed(local []Task) bool {
	for _, t := range local {
		if !slices.ContainsFunc(a.update.left, func(left Task) bool { return left.ARN == t.ARN }) {
			return false
		}
	}
	return true
}

func turnBack(reason string) Outcome {
	return Outcome{Kind: Failed, Result: TurnedBack, Reason: reason}
}

// activate makes the release the next to boot. The note comes first: from it
// on, any reset may bring up the release. A process that dies after it comes
// back here, or in a new boot that is then verified or judged interrupted.
func (a *Agent) activate(ctx context.Context) (Outcome, bool) {
	before := a.intent.Duty.Activating
	if err := a.note(func(d *Duty) { d.Activating = true }); err != nil {
		return a.unwritable("the intent cannot be written: nothing is activated", err), false
	}
	if !a.proven() { // the disk took its time: nothing was activated yet
		a.noteAnyway(func(d *Duty) { d.Activating = before })
		return Outcome{Kind: Again, After: staleDelay}, false
	}
	ctx, cancel := context.WithTimeout(ctx, activateLimit)
	defer cancel()
	target := a.intent.Duty.Target
	status, err := a.ports.Host.Updates(ctx)
	if err == nil && !active(status, target) {
		if got := version(status.Staging); got != target {
			return turnBack(fmt.Sprintf("%s is staged, not %s", got, target)), false
		}
		status, err = a.ports.Host.Do(ctx, apiclientx.Activate)
	}
	switch {
	case a.heard(err) != nil && definite(err):
		a.err = err
		return turnBack("the release cannot be activated"), false
	case err != nil:
		return a.again("the Bottlerocket API does not activate the release", socketHint(err)), false
	case !active(status, target):
		return turnBack(fmt.Sprintf("after activating, the API shows %s with %s", status.State, version(status.Staging))), false
	}
	return Outcome{}, true
}

// active says whether the release is the next to boot.
func active(s apiclientx.Status, release string) bool {
	return s.State == apiclientx.Ready && version(s.Staging) == release && s.Staging.NextToBoot
}

// definite says whether the API's answer will not change by asking again.
func definite(err error) bool {
	_, failed := errors.AsType[*apiclientx.CommandError](err)
	return failed || errors.Is(err, apiclientx.ErrRefused) || errors.Is(err, apiclientx.ErrNothing) || errors.Is(err, apiclientx.ErrUninitialized)
}

// request arms the intent and asks for the reboot. A process that dies between
// the two finds itself armed in the same boot: the request may have been made.
func (a *Agent) request(ctx context.Context) Outcome {
	now, before := a.uptime(), *a.intent.Duty
	if err := a.note(func(d *Duty) { d.Armed, d.ArmedUptime, d.Asks = true, now, d.Asks+1 }); err != nil {
		return a.unwritable("the intent cannot be written: no reboot is requested", err)
	}
	if !a.proven() { // the disk took its time: nothing was asked for yet
		a.noteAnyway(func(d *Duty) { d.Armed, d.ArmedUptime, d.Asks = before.Armed, before.ArmedUptime, before.Asks })
		return Outcome{Kind: Again, After: staleDelay}
	}
	a.update.asked, a.update.refusedAt = true, time.Time{}
	if err := a.heard(a.ports.Host.Reboot(ctx)); err != nil {
		a.update.refusedAt = time.Now()
		return a.again(notAccepted, rebootHint(err))
	}
	return Outcome{Kind: Again}
}

// rebootHint tells what to do about a request that was refused: the API asks
// the inhibitors first.
func rebootHint(err error) error {
	if h := socketHint(err); hint.Of(h) != "" {
		return h
	}
	return hint.Wrap(err, "see what blocks reboots with `systemd-inhibit --list` on the host")
}

// awaitReboot waits for the reboot until the request's deadline. A request can
// be alive long after it was made (inhibitors, a slow shutdown), so nothing is
// restored before that.
func (a *Agent) awaitReboot(ctx context.Context) Outcome {
	d := a.intent.Duty
	age := a.uptime() - d.ArmedUptime
	reason := ""
	if !a.update.refusedAt.IsZero() {
		reason = notAccepted
	}
	if age >= d.Terms.RebootDeadline {
		return Outcome{Kind: Expired, Result: NotRebooted,
			Reason: cmp.Or(reason, fmt.Sprintf("no reboot came within %s of the request", configShort(d.Terms.RebootDeadline)))}
	}
	if a.mayAskAgain(age) {
		return a.askAgain(ctx)
	}
	return Outcome{Kind: Again, Reason: reason}
}

// notAccepted is said of a reboot request that the API has refused.
const notAccepted = "the reboot request was not accepted"

// mayAskAgain: the request was refused, or an earlier process died around it.
// Every request moves the deadline, so their number is bounded.
func (a *Agent) mayAskAgain(age time.Duration) bool {
	d := a.intent.Duty
	if a.newer || d.Adopted || d.Outcome != "" || d.Asks >= maxAsks {
		return false
	}
	refused := !a.update.refusedAt.IsZero() && time.Since(a.update.refusedAt) >= time.Minute
	return refused || !a.update.asked && age >= reaskAfter
}

// askAgain repeats the request under the same proofs as the first one. Where
// they do not hold the host cannot turn back yet, because the earlier request
// may be alive: it waits for the deadline.
func (a *Agent) askAgain(ctx context.Context) Outcome {
	o, ok := a.prove(ctx, coordination.Rebooting)
	if ok {
		o, ok = a.lastLook(ctx)
	}
	if ok {
		status, err := a.ports.Host.Updates(ctx)
		if ok = a.heard(err) == nil && active(status, a.intent.Duty.Target); !ok {
			o = a.again("the release is not ready to boot", socketHint(err))
		}
	}
	if ok {
		o = a.request(ctx)
	}
	if o.Kind == Failed {
		a.update.asked, a.update.refusedAt = true, time.Time{}
		return Outcome{Kind: Again, Reason: "waiting until the reboot request is over: " + o.Reason}
	}
	o.Kind = Again
	return o
}
