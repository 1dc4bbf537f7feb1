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

// Verdict is what a gate answers.
type Verdict string

// The verdicts.
const (
	Open    Verdict = "open"
	Shut    Verdict = "shut"
	Unknown Verdict = "unknown" // it could not be asked; to the agent that is shut
)

// Answer is what one gate says now.
type Answer struct {
	Gate    string // its name
	Verdict Verdict
	Text    string // why it is shut, or what it found
	Hint    string // what the operator can do about it; "" when nothing
}

// Explain asks every gate between this host and its next update, also those
// behind one that is shut, and returns their answers in the order in which the
// agent asks them. It changes nothing, asks for no new release, and may run
// beside the agent. It makes up to four calls of ECS.
func Explain(ctx context.Context, settings Config, ports Ports) []Answer {
	e := explainer{a: New(settings, "", ports)}
	e.host(ctx)
	e.intent()
	r, ok := e.lock(ctx)
	release := e.release(ctx)
	if !ok {
		e.unasked()
		return e.answers
	}
	for _, g := range releaseGates {
		if release == "" && g.ofRelease {
			continue
		}
		e.ask(g.name, func() string { return g.ask(e.a, r, release) })
	}
	for _, g := range startGates {
		e.ask(g.name, func() string { return g.ask(e.a, ctx, r) })
	}
	e.ask("drain", func() string { return e.a.gateDrain(ctx) })
	e.turn(r, release)
	return e.answers
}

// unasked says of the gates that need the record that they were not asked.
func (e *explainer) unasked() {
	var names []string
	for _, g := range releaseGates {
		names = append(names, g.name)
	}
	for _, g := range startGates {
		names = append(names, g.name)
	}
	for _, name := range append(names, "drain", "turn") {
		e.say(name, Unknown, "the lock record was not read")
	}
}

type explainer struct {
	a       *Agent
	answers []Answer
}

func (e *explainer) say(gate string, v Verdict, text string) {
	e.answers = append(e.answers, Answer{Gate: gate, Verdict: v, Text: text})
}

func (e *explainer) unknown(gate string, err error) {
	e.answers = append(e.answers, Answer{gate, Unknown, err.Error(), hint.Of(err)})
}

// ask asks a gate as the agent would. A gate that could not find out leaves its
// error beside its reason.
func (e *explainer) ask(gate string, ask func() string) {
	e.a.err = nil
	reason := ask()
	switch err := e.a.err; {
	case reason == "":
		e.say(gate, Open, "")
	case err != nil:
		e.unknown(gate, fmt.Errorf("%s: %w", reason, err))
	default:
		e.say(gate, Shut, reason)
	}
}

func (e *explainer) host(ctx context.Context) {
	id, err := e.a.ports.Surroundings.Identity(ctx)
	if err != nil {
		e.unknown("instance", err)
		return
	}
	e.a.identity = id
	e.say("instance", Open, id.Instance+" in "+id.Zone)
}

// intent reads the intent file as it is and moves nothing out of the way.
func (e *explainer) intent() {
	data, err := e.a.ports.Intent.Load()
	if err == nil {
		e.a.intent, err = decodeIntent(data)
	}
	switch d := e.a.intent.Duty; {
	case errors.Is(err, ErrNoIntent):
		e.say("intent", Open, "there is none yet")
	case err != nil && !errors.Is(err, errNewerIntent):
		e.unknown("intent", err)
	case e.a.intent.foreign(e.a.identity.Instance):
		e.say("intent", Shut, "it is of "+e.a.intent.Instance+": the disk was copied")
		e.a.intent = Intent{} // as the agent would set it aside
	case err != nil:
		e.say("intent", Shut, err.Error())
		if d != nil {
			e.a.openFleet(d.Table, d.Fleet)
		}
	case d != nil:
		e.a.openFleet(d.Table, d.Fleet)
		e.say("intent", Shut, fmt.Sprintf("an update from %s to %s is under way: %s, generation %d", d.From, d.Target, d.Phase, d.Generation))
	default:
		e.say("intent", Open, "nothing is under way")
	}
}

func (e *explainer) lock(ctx context.Context) (coordination.Record, bool) {
	selfErr := e.a.learnSelf(ctx)
	r, err := e.a.lookRecord(ctx)
	if err != nil {
		if errors.Is(err, errNoFleet) && selfErr != nil {
			err = fmt.Errorf("%w: %w", err, selfErr)
		}
		e.unknown("lock", err)
		return r, false
	}
	h, holds := r.Holder(e.a.identity.Instance)
	switch {
	case holds && h.Stuck:
		e.say("lock", Shut, fmt.Sprintf("this host has a slot, generation %d, and was marked stuck in phase %s", h.Generation, h.Phase))
	case holds:
		e.say("lock", Shut, fmt.Sprintf("this host has a slot, generation %d, phase %s", h.Generation, h.Phase))
	default:
		e.say("lock", Open, "table "+e.a.fleetKey[0]+", "+e.a.fleetKey[1])
	}
	return r, true
}

// release says what the Bottlerocket API has chosen by its last refresh.
func (e *explainer) release(ctx context.Context) string {
	if err := e.a.learnRunning(ctx); err != nil {
		e.unknown("release", socketHint(err))
		return ""
	}
	status, err := e.a.ports.Host.Updates(ctx)
	switch {
	case errors.Is(err, apiclientx.ErrUninitialized):
		e.say("release", Shut, "nobody has asked for one since the boot; this host runs "+e.a.running)
		return ""
	case err != nil:
		e.unknown("release", socketHint(err))
		return ""
	case status.Chosen == nil || status.Chosen.Version == e.a.running:
		e.say("release", Shut, "no newer one is offered; this host runs "+e.a.running)
		return ""
	}
	release := status.Chosen.Version
	text := fmt.Sprintf("%s is offered to %s", release, e.a.running)
	if staged(status, release) {
		text += " and staged"
	}
	e.say("release", Open, text)
	return release
}

// turn says where the host stands in the queue.
func (e *explainer) turn(r coordination.Record, release string) {
	limits, err := e.a.limits(r.Policy)
	if err != nil {
		return // the gate of the policy has said it
	}
	ticket := e.a.ticket(r, release)
	_, err = coordination.Grant(e.a.claimOf(r, release, ticket, 0), e.a.limits, time.Now()).Change(r)
	free := fmt.Sprintf("%d of %d slots are free", max(limits.Slots-len(r.Holders), 0), limits.Slots)
	place := r.Place(ticket, limits)
	switch {
	case ticket == (coordination.Ticket{}):
		free += "; it has no ticket"
	case place.Passed:
		free += fmt.Sprintf("; ticket %d was passed while it could not go: it may take any free slot", ticket.Number)
	default:
		free += fmt.Sprintf("; ticket %d, %d ahead, in about %s", ticket.Number, place.Ahead, configShort(r.Wait(place, limits).Round(time.Minute)))
	}
	switch why := coordination.Why(err); {
	case err == nil:
		e.say("turn", Open, free)
	case why == coordination.Full || why == coordination.NotInTurn: // the numbers say it
		e.say("turn", Shut, free)
	default:
		e.say("turn", Shut, free+": "+err.Error())
	}
}
