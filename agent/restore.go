package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/drydock-ecs/drydock/apiclientx"
	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/internal/hint"
)

const (
	// longestReturn is the longest delay between two tries to return the slot.
	longestReturn = time.Minute
	// soakStep is the longest single wait of a soak.
	soakStep = time.Minute
)

// restore puts the host back in service and then gives the slot back. Every
// step is done again by the next process if this one dies in it; none but the
// last needs the table, and none needs the Bottlerocket API for longer than
// its limit.
func (a *Agent) restore(ctx context.Context, s State) Outcome {
	a.prolong()
	if !a.intent.Duty.Restored {
		if o, ok := a.undo(ctx, s); !ok {
			return o
		}
	}
	if o, ok := a.soak(ctx); !ok {
		return o
	}
	if o, ok := a.returnSlot(ctx); !ok {
		return o
	}
	if err := a.endDuty(); err != nil {
		o := a.again(unwritten, hint.Wrap(err, hintDisk))
		o.After = longestReturn
		return o
	}
	return Outcome{Kind: Done}
}

// undo goes from the outcome to the note *restored*.
func (a *Agent) undo(ctx context.Context, s State) (Outcome, bool) {
	// The outcome is durable before anything is disarmed: disarmed and without
	// an outcome, a fallen-back host would look like an interrupted one.
	if s.Result != "" && a.intent.Duty.Outcome != s.Result {
		a.noteAnyway(func(d *Duty) { d.Outcome = s.Result })
	}
	a.disarm(ctx)
	if ctx.Err() != nil {
		return Outcome{}, false // told to end: the next process undoes it
	}
	if o, ok := a.backInService(ctx); !ok {
		return o, false
	}
	if o, ok := a.lateActiveWait(); !ok {
		return o, false
	}
	if o, ok := a.lateDrainLook(ctx); !ok {
		return o, false
	}
	return a.noteRestored()
}

// noteRestored makes it durable that ECS is not touched again: an operator's
// later drain stays. A file that cannot be written is tried for a while, as
// the host is in service already; then the slot goes back without the note.
// A process that dies before it undoes again what is undone already, and in
// that moment takes a drain by someone else for its own.
func (a *Agent) noteRestored() (Outcome, bool) {
	restored := func(d *Duty) { d.Restored = true }
	err := a.note(restored)
	if err == nil {
		return Outcome{}, true
	}
	if !a.update.activated.IsZero() && time.Since(a.update.activated) < lateDrain+undoLimit {
		return a.again(unwritten, hint.Wrap(err, hintDisk)), false
	}
	a.noteAnyway(restored)
	return Outcome{}, true
}

// unwritten is why a host that is back in service does not go on.
const unwritten = "in service; the intent file cannot be written"

// disarm takes the arming and the activation back, in the order reverse to
// that in which they were made. An API that does not answer within the limit
// does not hold up the rest: then a later reboot brings up the release, which
// is said.
func (a *Agent) disarm(ctx context.Context) {
	if a.intent.Duty.Armed {
		a.noteAnyway(func(d *Duty) { d.Armed = false })
	}
	if !a.intent.Duty.Activating {
		return
	}
	if a.intent.Duty.Boot == a.boot {
		err := a.deactivate(ctx)
		if ctx.Err() != nil {
			return // it stays noted as activated
		}
		if err != nil {
			a.log(State{}).Warn("the release stays activated: the next reboot of any cause will boot it",
				slog.Any(keyError, err), slog.String(keyHint, "run apiclient update cancel on the host"))
		}
	}
	a.noteAnyway(func(d *Duty) { d.Activating = false })
}

func (a *Agent) deactivate(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, undoLimit)
	defer cancel()
	for {
		status, err := a.ports.Host.Updates(ctx)
		if err == nil && status.State == apiclientx.Ready {
			_, err = a.ports.Host.Do(ctx, apiclientx.Deactivate)
		}
		if a.heard(err) == nil || errors.Is(err, apiclientx.ErrUninitialized) {
			return nil
		}
		if sleepErr := sleep(ctx, 5*time.Second); sleepErr != nil || ctx.Err() != nil {
			return fmt.Errorf("deactivate the release: %w", err)
		}
	}
}

// backInService sees the container instance ACTIVE and connected. It undoes
// only what was drained here, asks for ever, and needs no local ECS agent.
func (a *Agent) backInService(ctx context.Context) (Outcome, bool) {
	d := a.intent.Duty
	if d.DrainCalls == 0 || !a.update.activated.IsZero() {
		return Outcome{}, true
	}
	err := a.learnSelf(ctx)
	if err != nil && a.uptime() < min(quietBoot, a.terms().VerifyTimeout/2) {
		// A host that has just booted gets tasks only once its ECS agent is
		// there, so nothing is lost by waiting for it a little.
		return Outcome{Kind: Again, After: time.Second}, false
	}
	if err == nil && a.self.ARN != d.ARN && d.ARN != "" {
		a.log(State{}).Warn("the host has registered anew: there is nothing of ours to undo", slog.String("arn", a.self.ARN))
		if d.DrainOpen > 0 { // what may still land there is no matter; the next process notes it again
			a.noteAnyway(func(d *Duty) { d.DrainOpen = 0 })
		}
		a.update.activated = time.Now()
		return Outcome{}, true
	}
	target := a.dutySelf()
	if target.ARN == "" {
		target = a.self
	}
	instance, err := a.setActive(ctx, target)
	if err != nil {
		return a.again("the container instance cannot be set ACTIVE", err), false
	}
	return a.judgeActive(instance)
}

// setActive asks for ACTIVE until ECS accepts it, and then only looks. That it
// was accepted is durable: whatever drains the host after that is not ours. A
// process that dies before the note asks once more.
func (a *Agent) setActive(ctx context.Context, target Self) (Instance, error) {
	if a.intent.Duty.MadeActive {
		return a.ports.Node.Look(ctx, target)
	}
	instance, err := a.ports.Node.Activate(ctx, target)
	if errors.Is(err, ErrUnanswered) {
		a.update.lateActive = time.Now()
	}
	if err == nil && instance.Status == "ACTIVE" {
		a.noteAnyway(func(d *Duty) { d.MadeActive = true })
	}
	return instance, err
}

func (a *Agent) judgeActive(i Instance) (Outcome, bool) {
	if i.Status != "" && i.Status != "INACTIVE" {
		a.update.missing = time.Time{}
	}
	if i.Status != "DRAINING" {
		a.update.foreign = time.Time{}
	}
	a.noteActive(i)
	switch {
	case i.Status == "ACTIVE" && i.Connected:
		a.update.activated = time.Now()
		return Outcome{}, true
	case i.Status == "ACTIVE":
		return Outcome{Kind: Again, Reason: "the ECS agent is not connected"}, false
	case i.Status == "DRAINING" && a.intent.Duty.MadeActive && a.intent.Duty.DrainOpen == 0:
		return a.drainedByOthers()
	case i.Status == "DRAINING":
		if a.intent.Duty.MadeActive {
			a.noteAnyway(func(d *Duty) { d.MadeActive = false })
		}
		return Outcome{Kind: Again, Reason: "the container instance is still DRAINING"}, false
	case i.Status == "" || i.Status == "INACTIVE":
		return a.unregistered(i)
	default:
		return Outcome{Kind: Again, Reason: "the container instance is " + i.Status}, false
	}
}

// drainedByOthers: the host was ACTIVE and is DRAINING now, which is someone
// else's decision and theirs to undo. An answer may be older than the ACTIVE, so
// another one must say the same.
func (a *Agent) drainedByOthers() (Outcome, bool) {
	if a.update.foreign.IsZero() {
		a.update.foreign = time.Now()
	}
	if left := staleLook - time.Since(a.update.foreign); left > 0 {
		return Outcome{Kind: Again, Reason: "the container instance is DRAINING, and not by us: looking once more", After: left}, false
	}
	a.update.activated = time.Now()
	return Outcome{}, true
}

// unregistered: ECS does not know the instance, or has it as INACTIVE. A new
// registration may be on its way; if none comes there is nothing to undo.
func (a *Agent) unregistered(i Instance) (Outcome, bool) {
	if a.update.missing.IsZero() {
		a.update.missing = time.Now()
	}
	if time.Since(a.update.missing) < a.terms().VerifyTimeout {
		return Outcome{Kind: Again, Reason: "the container instance is not registered", After: registerDelay}, false
	}
	a.log(State{}).Error("the host is in no cluster: its slot is returned, nothing else can be done",
		slog.String("status", i.Status), slog.String(keyHint, "register the host again or replace it"))
	a.update.activated = time.Now()
	return Outcome{}, true
}

// lateActiveWait waits until no call to set the host ACTIVE that got no answer
// can land any more: after *restored* it would undo someone else's drain.
func (a *Agent) lateActiveWait() (Outcome, bool) {
	since := a.update.lateActive
	if left := lateDrain - time.Since(since); !since.IsZero() && left > 0 {
		return Outcome{Kind: Again, Reason: "in service; a call to set it ACTIVE got no answer and may still come", After: left}, false
	}
	return Outcome{}, true
}

// lateDrainLook looks once more when a DRAINING call of ours got no answer: it
// may have landed after our ACTIVE. As long as *restored* is not written such
// a drain is ours to undo.
func (a *Agent) lateDrainLook(ctx context.Context) (Outcome, bool) {
	d := a.intent.Duty
	if d.DrainOpen == 0 || d.DrainCalls == 0 {
		return Outcome{}, true
	}
	if left := lateDrain - time.Since(a.update.activated); left > 0 {
		return Outcome{Kind: Again, Reason: "a call to drain got no answer: looking once more", After: left}, false
	}
	instance, err := a.ports.Node.Look(ctx, a.dutySelf())
	if err != nil {
		return a.again("ECS does not describe the container instance", err), false
	}
	if instance.Status == "DRAINING" {
		a.noteAnyway(func(d *Duty) { d.MadeActive = false })
		a.update.activated, a.update.activeSince = time.Time{}, time.Time{}
		return Outcome{Kind: Again, Reason: "a late call has drained the container instance again"}, false
	}
	return Outcome{}, true
}

// soak keeps the slot for a while after an update that went well, and looks
// once more at its end. A host that has become unhealthy by then is in
// service, and stays so; its release is counted as a failure. One that is not
// connected, or cannot be seen, has as long to be well as after a boot.
func (a *Agent) soak(ctx context.Context) (Outcome, bool) {
	d := a.intent.Duty
	if d.Outcome != Updated || d.Terms.Soak == 0 || d.DrainCalls == 0 { // the last: see EndedUpdate
		return Outcome{}, true
	}
	if a.update.activated.IsZero() {
		a.update.activated = time.Now() // an earlier process restored the host: the soak begins anew
	}
	if left := d.Terms.Soak - time.Since(a.update.activated); left > 0 {
		return Outcome{Kind: Again, Reason: "soaking", After: min(left, soakStep)}, false // no jitter on all of it
	}
	reason := a.ill(ctx)
	replaced := a.learnRunning(ctx) == nil && a.running != d.Target
	if replaced {
		reason, a.err = "the host runs "+a.running+" again", nil
	}
	over := time.Since(a.update.activated) - d.Terms.Soak
	definite := replaced || a.err == nil && a.seen.instance.Impaired != ""
	if reason != "" && !definite && over < d.Terms.VerifyTimeout {
		return Outcome{Kind: Again, Reason: "at the end of the soak: " + reason}, false
	}
	if reason != "" {
		a.noteAnyway(func(d *Duty) { d.Outcome = Unhealthy })
		a.log(State{}).Error("the host is unhealthy at the end of the soak", slog.String(keyReason, reason))
	}
	return Outcome{}, true
}

// returnSlot publishes the outcome and returns the slot in one write. The
// host is in service meanwhile, however long the table is away.
func (a *Agent) returnSlot(ctx context.Context) (Outcome, bool) {
	d := a.intent.Duty
	if a.newer {
		return Outcome{Kind: Again, Reason: "in service; the slot is left to the newer version of Drydock that wrote the intent", After: longestReturn}, false
	}
	report := coordination.Report{Release: d.Target, Refuse: d.Outcome.Refuses()}
	if d.Outcome.Fails() {
		report.Cause = string(d.Outcome)
	}
	if _, err := a.fleet.Apply(ctx, coordination.Return(d.Instance, d.Generation, report, time.Now())); err != nil {
		a.update.returns++
		o := a.again("in service; the slot cannot be returned yet: "+recordFault(err, tableFault),
			hint.Wrap(err, hintOr(err, "the lock record must be usable again; nothing on this host is missing")))
		o.After = min(time.Second<<min(a.update.returns, 6), longestReturn)
		return o, false
	}
	return Outcome{}, true
}

func hintOr(err error, other string) string {
	if h := hint.Of(err); h != "" {
		return h
	}
	return other
}

// endDuty clears the duty and keeps the memory. A process that dies before
// this is durable finds a duty that owes only the slot, and a record that says
// that it was returned. As long as the file cannot be written the host stays
// in restoring: with the duty of before in it, a later start would undo what
// others have decided since.
func (a *Agent) endDuty() error {
	d := a.intent.Duty.clone()
	d.turnPage(Idle, a.boot, stopwatch{uptime: a.uptime(), at: time.Now()})
	next := a.intent
	next.Duty = nil
	if d.DrainCalls > 0 || !d.Adopted {
		next.Memory.Ended = EndedUpdate{Fleet: d.Fleet, Generation: d.Generation, Outcome: d.Outcome, At: time.Now()}
	}
	switch {
	case d.Outcome == Updated:
		next.Memory = next.Memory.forget(d.Target)
	case a.update.blameless && d.Outcome == TurnedBack:
		next.Memory = next.Memory.refund(d.Target)
	}
	if err := a.save(next); err != nil {
		return err
	}
	a.told.ended, a.told.release, a.told.generation, a.told.took = d.Outcome, d.Target, d.Generation, total(d.Seconds)
	a.publishEvent(d)
	a.update, a.seen = update{}, ecsView{}
	return nil
}

// publishEvent writes the row of the finished update, for eyes only.
func (a *Agent) publishEvent(d Duty) {
	fleet, event, log := a.fleet, d.event(time.Now()), a.log(State{})
	a.outbox.note(func(ctx context.Context) {
		if err := fleet.PutEvent(ctx, event); err != nil {
			log.Debug("event row not written", slog.Any(keyError, err))
		}
	})
}

func total(seconds map[string]float64) time.Duration {
	var sum float64
	for _, s := range seconds {
		sum += s
	}
	return time.Duration(sum * float64(time.Second)).Round(time.Millisecond)
}
