package main

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/drydock-ecs/drydock/coordination"
)

func (f *initFlags) runRestored(cmd *cobra.Command, env environment) error {
	for _, flag := range []string{"slots", "max-failures", "policy"} {
		if cmd.Flags().Changed(flag) {
			return misused("--restored leaves the policy as it is: it does not go with --%s", flag)
		}
	}
	lock, err := openFleet(cmd.Context(), f.fleetFlags, env)
	if err != nil {
		return err
	}
	return adoptBackup(cmd.Context(), newAct(cmd.Context(), "init", lock, env))
}

// adoptBackup halts the fleet of a record that came from a backup, and then
// switches on what a restored table lacks. Ended in between, the fleet is
// halted and the next run does the rest.
func adoptBackup(ctx context.Context, a act) error {
	c, err := a.apply(ctx, coordination.Restored(rand.Text(), a.who, a.at))
	if err != nil {
		return err
	}
	if c.made {
		a.note(ctx, coordination.Event{}, "%s: incarnation %s -> %s", coordination.RestoredReason, c.before.Incarnation, c.after.Incarnation)
		a.say("incarnation: %s -> %s", c.before.Incarnation, c.after.Incarnation)
		a.say("state: %s -> %s", a.status(c.before).stateText(), a.status(c.after).stateText())
	} else {
		a.say("already so: %s", a.status(c.after).stateText())
	}
	s := a.status(c.after)
	for _, h := range s.Holders {
		a.say("has a slot, as of the backup: %s", s.holderText(h))
	}
	a.say("before you let it go on:")
	if len(s.Holders) > 0 {
		a.say("  hosts that live give such a slot back by themselves; for one that is gone: %s", a.lock.command("release", "HOST"))
	}
	a.say("  wait until no host is DRAINING: hosts that took a slot after the backup are not in the record")
	a.say("  see what else is missing: %s", a.lock.command("doctor"))
	a.say("then: %s", a.lock.command("resume"))
	warnings, err := a.lock.ensure(ctx)
	for _, warning := range warnings {
		fmt.Fprintln(a.env.stderr, "warning:", warning)
	}
	return err
}
