package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drydock-ecs/drydock/apiclientx"
	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/internal/hint"
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
	if !a.watchDue() {
		if reason := a.stillRed(ctx); reason != "" {
			return a.held(reason) // the lock is left alone
		}
	}
	r, err := a.lookRecord(ctx)
	if err != nil {
		return a.again(recordTrouble(err), err)
	}
	if _, holds := r.Holder(a.identity.Instance); holds {
		return Outcome{Kind: Owing, Reason: "the lock record shows a slot of this host"}
	}
	r = a.lookAfterOthers(ctx, r)
	if reason := a.gateRefused(r, s.Target); reason != "" {
		return Outcome{Kind: Nothing, Reason: reason}
	}
	reason, own := a.mayStart(ctx, r, s.Target)
	if reason == "" {
		return a.line(ctx, r, s.Target)
	}
	a.redGate, a.widening = own, coordination.Widening{}
	o := a.held(reason)
	if limits, err := a.limits(r.Policy); err == nil && !own {
		// All of the fleet waits for the same: those far back look rarely.
		o.After = max(o.After, r.Patience(r.Place(a.ticket(r, s.Target), limits), limits, a.polling()))
	}
	return o
}

// held is a wait for a gate that is red.
func (a *Agent) held(reason string) Outcome {
	return Outcome{Kind: Again, Reason: reason, After: min(gateDelay, a.config.CheckInterval)}
}

// stillRed asks the host's own gates again after one of them was red. While
// they are, the lock is looked at as often as an idle host does, and not more.
func (a *Agent) stillRed(ctx context.Context) string {
	if !a.redGate || time.Since(a.recordAt) >= a.config.CheckInterval {
		return ""
	}
	for _, g := range startGates {
		if !g.own {
			continue
		}
		if reason := g.ask(a, ctx, a.record); reason != "" {
			return reason
		}
	}
	if a.seen.verdict != "" {
		return a.gateDrain(ctx)
	}
	return ""
}

// mayStart asks every gate but the one that costs calls of ECS. own says
// whether the gate that is red can be asked without the record.
func (a *Agent) mayStart(ctx context.Context, r coordination.Record, release string) (reason string, own bool) {
	if reason := a.mayStage(r, release); reason != "" {
		return reason, false
	}
	for _, g := range startGates {
		if reason := g.ask(a, ctx, r); reason != "" {
			return reason, g.own
		}
	}
	return "", false
}

// line is the turn of a host whose gates are green: a slot if it is its turn,
// else a ticket if it has none, else a wait by the distance. The rule is tried on
// the record at hand first: a host writes only when its read says that it may.
func (a *Agent) line(ctx context.Context, r coordination.Record, release string) Outcome {
	a.redGate = false
	limits, err := a.limits(r.Policy)
	if err != nil {
		return a.held(err.Error())
	}
	ticket, widened := a.ticket(r, release), 0
	a.widening, widened = a.widening.Look(r, limits, true, time.Now(), a.config.Timing.FreeSlotLook)
	claim := a.claimOf(r, release, ticket, widened)
	_, err = coordination.Grant(claim, a.limits, time.Now()).Change(r)
	if err == nil {
		return a.claim(ctx, claim, limits)
	}
	if (ticket == coordination.Ticket{}) {
		if r, err = a.fleet.Apply(ctx, coordination.Join()); err != nil {
			return a.again("a place in the queue could not be asked for", err)
		}
		// A process that dies here leaves a ticket that nobody has. The others
		// pass it when they see a slot stand free.
		a.keepTicket(r.Drawn(), release)
		claim = a.claimOf(r, release, r.Drawn(), 0)
		if _, err = coordination.Grant(claim, a.limits, time.Now()).Change(r); err == nil {
			return a.claim(ctx, claim, limits)
		}
	}
	return a.inLine(r, limits, release, err)
}

// inLine is a wait for one's turn. The reason stays the same while nothing but
// the distance changes: how far it is can be seen in `drydock status`.
func (a *Agent) inLine(r coordination.Record, limits coordination.Limits, release string, denied error) Outcome {
	ticket := a.ticket(r, release)
	place := r.Place(ticket, limits)
	o := Outcome{Kind: Again, Reason: fmt.Sprintf("waiting for a slot: ticket %d", ticket.Number), After: r.Sleep(place, limits, a.polling())}
	if coordination.Why(denied) == coordination.ZoneFull {
		o.Reason += "; " + denied.Error()
		o.After = max(a.config.Timing.FreeSlotLook, r.Patience(place, limits, a.polling()))
	}
	return o
}

func (a *Agent) polling() coordination.Polling {
	return coordination.Polling{Min: a.config.Lock.PollMin, Max: a.config.Lock.PollMax, FreeSlot: a.config.Timing.FreeSlotLook}
}

// ticket is the host's ticket for the release if it has one that this record
// knows, else none.
func (a *Agent) ticket(r coordination.Record, release string) coordination.Ticket {
	t := a.intent.Memory.Ticket
	if t.Fleet != a.fleetKey[1] || t.Release != release || !r.Valid(t.Ticket) {
		return coordination.Ticket{}
	}
	return t.Ticket
}

// dropTicket makes a host that comes again join at the end.
func (a *Agent) dropTicket() {
	if a.intent.Memory.Ticket == (HeldTicket{}) {
		return
	}
	next := a.intent
	next.Memory.Ticket = HeldTicket{}
	if a.save(next) != nil {
		a.intent = next // the next process has it again, which harms nobody
	}
}

// keepTicket notes the ticket for the next process. A file that cannot be
// written costs the place in the queue at the next start and nothing more.
func (a *Agent) keepTicket(t coordination.Ticket, release string) {
	next := a.intent
	next.Memory.Ticket = HeldTicket{Ticket: t, Fleet: a.fleetKey[1], Release: release}
	if err := a.save(next); err != nil {
		a.err, a.intent = hint.Wrap(err, hintDisk), next
	}
}

// claim asks for the slot that the host's turn has come for.
func (a *Agent) claim(ctx context.Context, claim coordination.Claim, limits coordination.Limits) Outcome {
	if reason := a.gateDrain(ctx); reason != "" {
		a.redGate = true
		return a.held(reason)
	}
	r, err := a.fleet.Apply(ctx, coordination.Grant(claim, a.limits, time.Now()))
	switch {
	case err == nil:
	case coordination.Why(err) == coordination.Full || coordination.Why(err) == coordination.NotInTurn:
		o := a.inLine(r, limits, claim.Target, err)
		if claim.Ticket == (coordination.Ticket{}) {
			o.Reason, o.After = "waiting for a slot: another host was faster", time.Second // it joins
		}
		return o
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

func (a *Agent) claimOf(r coordination.Record, release string, ticket coordination.Ticket, widened int) coordination.Claim {
	return coordination.Claim{
		Host: a.identity.Instance, From: a.running, Target: release, Boot: a.boot, ARN: a.self.ARN,
		Zone: a.identity.Zone, Announced: grantedLength,
		Ticket: ticket, Widened: widened, WidenedAt: r.Queue.Pointer,
	}
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
