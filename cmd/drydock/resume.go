package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/internal/hint"
)

// newResumeCommand lets a halted fleet go on.
func newResumeCommand(env environment) *cobra.Command {
	var at fleetFlags
	var sure bool
	cmd := &cobra.Command{
		Use:   "resume --fleet F [--yes] [--table T]",
		Short: "Lift the halt and the failures of a fleet",
		Long: `Show what halts the fleet, the operator's halt and each failure, and take away
what was shown. A failure that comes in the meantime stays. Refused releases stay
refused: see "drydock allow".

It wants --yes when a host that failed still has its slot.`,
		Args:                  cobra.NoArgs,
		DisableFlagsInUseLine: true,
		RunE: onFleet(&at, env, func(ctx context.Context, lock fleetLock, _ []string) error {
			return resume(ctx, newAct(ctx, "resume", lock, env), sure)
		}),
	}
	at.bind(cmd, env)
	cmd.Flags().BoolVar(&sure, "yes", false, "also when a host that failed still has its slot")
	return cmd
}

func resume(ctx context.Context, a act, sure bool) error {
	shown, err := a.look(ctx)
	if err != nil {
		return err
	}
	if shown.Halt == nil && len(shown.Failures) == 0 {
		a.say("already so: no operator's halt and no failure to lift")
		a.sayState(change{before: shown, after: shown})
		return nil
	}
	texts := toLift(a.status(shown), shown)
	for _, text := range texts {
		a.say("to be lifted: %s", text)
	}
	if held := stillHeld(shown); len(held) > 0 && !sure {
		return stillOut(a, held)
	}
	c, err := a.apply(ctx, coordination.Lift(shown.Halt, shown.Failures))
	if err != nil {
		return err
	}
	if c.made {
		a.note(ctx, coordination.Event{}, "lifted: %s", strings.Join(texts, "; "))
	} else {
		a.say("already so: another operator has just lifted it")
	}
	for _, text := range toLift(a.status(c.after), c.after) {
		a.say("stays, it came in the meantime: %s", text)
	}
	a.sayState(c)
	for _, f := range c.after.Refused {
		a.say("still refused: %s, it fell back on %s; to allow it: %s", f.Release, f.Host, a.lock.command("allow", f.Release))
	}
	return nil
}

// toLift is what resume takes away, a line each.
func toLift(s fleetStatus, r coordination.Record) []string {
	var texts []string
	if s.Halt != nil {
		texts = append(texts, fmt.Sprintf("halt by %s, %s: %s", s.Halt.Who, s.ago(s.Halt.At), s.Halt.Reason))
	}
	for _, f := range s.Failures {
		text := fmt.Sprintf("failure of %s, generation %d: %s %s, %s", f.Host, f.Generation, f.Release, f.Cause, s.ago(f.At))
		if h, ok := r.Holder(f.Host); ok && h.Generation == f.Generation {
			text += fmt.Sprintf("; it still has its slot (%s)", h.Phase)
		}
		texts = append(texts, text)
	}
	return texts
}

// stillHeld are the hosts that failed and still have the slot they failed with.
func stillHeld(r coordination.Record) []string {
	var hosts []string
	for _, h := range r.Holders {
		if slices.ContainsFunc(r.Failures, func(f coordination.Failure) bool { return f.Host == h.Host && f.Generation == h.Generation }) {
			hosts = append(hosts, h.Host)
		}
	}
	return hosts
}

func stillOut(a act, hosts []string) error {
	first := hosts[0]
	return hint.Wrap(
		fmt.Errorf("nothing was lifted: still out of service, with a slot, after a failure: %s", strings.Join(hosts, ", ")),
		fmt.Sprintf("see to it first: %s puts it back as it is; %s if the instance is gone; else add --yes: others go on with the slots left, and may fail alike",
			a.lock.command("restore", first), a.lock.command("release", first)))
}
