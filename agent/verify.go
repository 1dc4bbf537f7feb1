package agent

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/drydock-ecs/drydock/coordination"
)

// verify looks at a new boot: what runs, and whether ECS has it back.
func (a *Agent) verify(ctx context.Context, s State) Outcome {
	a.countBoot()
	d := a.intent.Duty
	unknown := a.learnRunning(ctx)
	result := judge(*d, a.running)
	switch {
	case unknown == nil && a.running == d.From: // whatever the number of boots
		return Outcome{Kind: Done, Result: result, Reason: fmt.Sprintf("the host runs %s again", a.running)}
	case d.Boots > maxBoots && (unknown == nil || !a.justBooted()):
		return Outcome{Kind: Expired, Result: Unhealthy, Reason: fmt.Sprintf("the host was booted %d times since the release was armed", d.Boots)}
	case unknown != nil:
		return a.again("the Bottlerocket API does not say what runs", socketHint(unknown))
	}
	if reason := a.ill(ctx); reason != "" {
		return a.comingUp(reason)
	}
	if result == Elsewhere {
		return Outcome{Kind: Done, Result: result, Reason: fmt.Sprintf("the host runs %s, neither %s nor %s", a.running, d.From, d.Target)}
	}
	return Outcome{Kind: Done, Result: result}
}

// comingUp is the wait for a host that is not healthy yet. For the first
// minute that is the ordinary course of a boot and not worth a line.
func (a *Agent) comingUp(reason string) Outcome {
	if a.justBooted() {
		a.err, reason = nil, ""
	}
	return Outcome{Kind: Again, Reason: reason}
}

func (a *Agent) justBooted() bool { return a.elapsed() < min(quietBoot, a.terms().VerifyTimeout/2) }

// countBoot notes a boot that was not seen before and tells the fleet that it
// is being verified.
func (a *Agent) countBoot() {
	if a.intent.Duty.Seen != a.boot {
		a.noteAnyway(func(d *Duty) { d.Seen, d.Boots = a.boot, d.Boots+1 })
	}
	d := a.intent.Duty
	announced := paceOf(Verifying, a.config, d.Terms).announce
	if a.update.told.IsZero() || a.untold() {
		a.tellFleet(coordination.Announce(d.Instance, d.Generation, coordination.Verifying, announced, time.Now()), announced)
	}
}

// untold: what the fleet was to be told last has not reached the table.
func (a *Agent) untold() bool {
	return a.outbox.noteLost.Load() && time.Since(a.update.told) >= rowRetry
}

// prolong tells the fleet that a host that takes long to be put back in service
// is alive, when what it announced last is about to end. A soak is announced as
// a whole. A process that knows of no announcement makes one after a while.
func (a *Agent) prolong() {
	ends := a.update.until
	if ends.IsZero() {
		ends = a.watch.at.Add(announceMargin * 3 / 2)
	}
	soon := time.Since(a.watch.at) < announceMargin/2 // most are put back by then
	if soon || time.Until(ends) >= announceMargin && !a.untold() {
		return
	}
	d, announced := a.intent.Duty, 2*announceMargin
	if d.Outcome == Updated && d.Terms.Soak > 0 {
		announced += d.Terms.Soak
	}
	a.tellFleet(coordination.Prolong(d.Instance, d.Generation, announced, time.Now()), announced)
}

// tellFleet changes the host's entry for the fleet to see. It is never waited
// for: after a reboot, and while a host is put back, nothing waits for the table.
func (a *Agent) tellFleet(rule coordination.Rule, announced time.Duration) {
	a.update.told = time.Now()
	a.update.until = a.update.told.Add(announced)
	if a.newer {
		return
	}
	fleet, log, lost := a.fleet, a.log(State{}), &a.outbox.noteLost
	a.outbox.note(func(ctx context.Context) {
		_, err := fleet.Apply(ctx, rule)
		if lost.Store(err != nil && coordination.Why(err) == ""); err != nil {
			log.Debug("phase not announced", slog.Any(keyError, err))
		}
	})
}

// ill says why the host is not healthy, or "".
func (a *Agent) ill(ctx context.Context) string {
	if err := a.learnSelf(ctx); err != nil {
		if a.intent.Duty.Outcome != "" && a.look(ctx, a.dutySelf()) == nil {
			a.noteActive(a.seen.instance)
		}
		a.err = err
		return "the ECS agent has not registered since the boot"
	}
	if err := a.look(ctx, a.self); err != nil {
		a.err = err
		return "ECS does not describe the container instance"
	}
	a.noteActive(a.seen.instance)
	switch i := a.seen.instance; {
	case i.Status == "" || i.Status == "INACTIVE":
		return "the container instance is not registered"
	case !i.Connected:
		return "the ECS agent is not connected"
	case i.Impaired != "":
		return "the container instance is impaired: " + i.Impaired
	default:
		return ""
	}
}

// noteActive notes what an ACTIVE proves that ECS shows after a drain of ours. A
// drain after it is someone else's, whoever set the host ACTIVE: this process, an
// earlier one that died before its own note, or a person. Only where a call to
// drain got no answer must the host have been seen ACTIVE for a while.
func (a *Agent) noteActive(i Instance) {
	if i.Status != "ACTIVE" {
		a.update.activeSince = time.Time{}
		return
	}
	if a.update.activeSince.IsZero() {
		a.update.activeSince = time.Now()
	}
	d := a.intent.Duty
	late := d.DrainOpen > 0 && time.Since(a.update.activeSince) < lateDrain
	if d.DrainCalls > 0 && !late && (!d.MadeActive || d.DrainOpen > 0) {
		a.noteAnyway(func(d *Duty) { d.MadeActive, d.DrainOpen = true, 0 })
	}
}

// nurse is the turn of a sick host: it counts as a failure and keeps its slot,
// so the fleet sees that the release is not good, and it keeps asking.
func (a *Agent) nurse(ctx context.Context) Outcome {
	d := a.intent.Duty
	if d.Outcome != Unhealthy || d.Seen != a.boot {
		a.noteAnyway(func(d *Duty) { d.Outcome, d.Seen = Unhealthy, a.boot })
	}
	if o, ok := a.publishSickness(ctx); ok {
		return o
	}
	if err := a.learnRunning(ctx); err != nil {
		return a.again("the Bottlerocket API does not say what runs", socketHint(err))
	}
	if d.Boots > maxBoots && a.uptime() < d.Terms.VerifyTimeout {
		return Outcome{Kind: Again, Reason: fmt.Sprintf("booted %d times since the release was armed", d.Boots)}
	}
	if reason := a.ill(ctx); reason != "" {
		return Outcome{Kind: Again, Reason: reason}
	}
	result := judge(*d, a.running)
	return Outcome{Kind: Done, Result: result, Reason: "healthy again"}
}

// publishSickness puts the failure into the record and looks whether an
// operator wants the host back as it is. Neither keeps it from asking on.
func (a *Agent) publishSickness(ctx context.Context) (Outcome, bool) {
	if a.newer {
		return Outcome{}, false
	}
	d := a.intent.Duty
	announced := paceOf(Sick, a.config, d.Terms).announce
	var r coordination.Record
	var err error
	if a.update.published {
		r, err = a.fleet.Look(ctx)
	} else {
		r, err = a.fleet.Apply(ctx, coordination.Fail(d.Instance, d.Generation, string(Unhealthy), announced, time.Now()))
	}
	if err != nil && coordination.Why(err) == "" {
		a.err = err
		return Outcome{}, false
	}
	a.update.published = true
	if h, ok := r.Holder(d.Instance); ok && h.Generation == d.Generation && h.Restore {
		return Outcome{Kind: Done, Result: Unhealthy, Reason: "an operator asked for the host to be restored"}, true
	}
	return Outcome{}, false
}
