package agent

import (
	"context"
	"errors"
	"time"

	"github.com/drydock-ecs/drydock/apiclientx"
	"github.com/drydock-ecs/drydock/coordination"
)

// queue is the turn of a waiting host: read the record, ask the gates, and
// only when all of them are green and a slot is free write for it.
func (a *Agent) queue(ctx context.Context, s State) Outcome {
	// Nothing could be activated through a dead socket.
	if err := a.learnRunning(ctx); err != nil {
		o := a.again("the Bottlerocket API does not answer", socketHint(err))
		o.After = 10 * time.Second
		return o
	}
	if o, ok := a.stillChosen(ctx, s.Target); !ok {
		return o
	}
	r, err := a.lookRecord(ctx)
	if err != nil {
		return a.again(recordTrouble(err), err)
	}
	if _, holds := r.Holder(a.identity.Instance); holds {
		return Outcome{Kind: Owing, Reason: "the lock record shows a slot of this host"}
	}
	if reason := a.gateRefused(r, s.Target); reason != "" {
		return Outcome{Kind: Nothing, Reason: reason}
	}
	if reason := a.mayStart(ctx, r, s.Target); reason != "" {
		return a.held(reason)
	}
	return a.claim(ctx, r, s.Target)
}

// held is a wait for a gate that is red.
func (a *Agent) held(reason string) Outcome {
	return Outcome{Kind: Again, Reason: reason, After: min(gateDelay, a.config.CheckInterval)}
}

// mayStart asks every gate but the one that costs calls of ECS.
func (a *Agent) mayStart(ctx context.Context, r coordination.Record, release string) string {
	if reason := a.mayStage(r, release); reason != "" {
		return reason
	}
	for _, g := range startGates {
		if reason := g.ask(a, ctx, r); reason != "" {
			return reason
		}
	}
	return ""
}

// claim asks for a slot. The rule is tried on the record at hand first: a host
// writes only when its read says that it may.
func (a *Agent) claim(ctx context.Context, r coordination.Record, release string) Outcome {
	rule := a.grant(release)
	if _, err := rule.Change(r); err != nil {
		return Outcome{Kind: Again, Reason: "waiting for a slot: " + err.Error()}
	}
	if reason := a.gateDrain(ctx); reason != "" {
		return a.held(reason)
	}
	r, err := a.fleet.Apply(ctx, a.grant(release))
	switch {
	case err == nil:
	case coordination.Why(err) != "":
		return Outcome{Kind: Again, Reason: "waiting for a slot: " + err.Error()}
	default:
		// The grant may still arrive: the next look finds it and returns it.
		return a.again("the slot could not be asked for", err)
	}
	mine, ok := r.Holder(a.identity.Instance)
	if !ok {
		return Outcome{Kind: Again, Reason: "the slot was taken back at once"}
	}
	// A process that dies from here to the duty leaves a slot in phase granted
	// and no duty: the next start returns it.
	a.update = update{generation: mine.Generation}
	return Outcome{Kind: Done}
}

func (a *Agent) grant(release string) coordination.Rule {
	return coordination.Grant(coordination.Claim{
		Host: a.identity.Instance, From: a.running, Target: release, Boot: a.boot, ARN: a.self.ARN,
		Zone: a.identity.Zone, Announced: grantedLength,
	}, a.limits, time.Now())
}

// stillChosen looks whether the release is still staged and, at each check
// interval, whether it is still the one to install.
func (a *Agent) stillChosen(ctx context.Context, release string) (Outcome, bool) {
	if time.Since(a.refreshed) < a.config.CheckInterval {
		return Outcome{}, true
	}
	status, err := a.refresh(ctx)
	switch {
	case errors.Is(err, apiclientx.ErrUnreachable):
		o := a.again("the Bottlerocket API does not answer", socketHint(err))
		o.After = 10 * time.Second
		return o, false
	case err != nil:
		return a.soon(a.again("asking for a release failed", err)), false
	case !staged(status, release):
		return Outcome{Kind: Nothing, Reason: release + " is no longer the chosen release"}, false
	}
	return Outcome{}, true
}
