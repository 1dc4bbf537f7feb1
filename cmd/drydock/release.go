package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/internal/hint"
)

// newReleaseCommand frees the slot of a host that is gone.
func newReleaseCommand(env environment) *cobra.Command {
	var at fleetFlags
	var sure bool
	cmd := &cobra.Command{
		Use:   "release HOST --fleet F [--yes] [--table T]",
		Short: "Free the slot of a host that is gone",
		Long: `Take a slot away from a host whose instance is terminated. Without --yes it
prints what is known of the host and changes nothing.

The slot of a host that is alive must not be freed: the host may be out of service,
and the next one goes as well. For such a host see "drydock restore".`,
		Args:                  one("HOST", instanceID),
		DisableFlagsInUseLine: true,
		RunE: onFleet(&at, env, func(ctx context.Context, lock fleetLock, args []string) error {
			return release(ctx, newAct(ctx, "release", lock, env), args[0], sure)
		}),
	}
	at.bind(cmd, env)
	cmd.Flags().BoolVar(&sure, "yes", false, "the instance is gone: free its slot")
	return cmd
}

func release(ctx context.Context, a act, host string, sure bool) error {
	shown, err := a.look(ctx)
	if err != nil {
		return err
	}
	h, ok := shown.Holder(host)
	if !ok {
		a.say("already so: %s has no slot", host)
		return nil
	}
	if err := a.sayKnown(ctx, shown, host); err != nil {
		return err
	}
	if !sure {
		return hint.Wrap(
			fmt.Errorf("nothing was changed: a live host's slot freed by hand can put N+1 hosts out of service (N is %d)", a.status(shown).Slots),
			fmt.Sprintf("if %s is terminated: %s; if it lives: %s", host, a.lock.command("release", host, "--yes"), a.lock.command("restore", host)))
	}
	c, err := a.apply(ctx, coordination.Free(host, h.Generation, a.at))
	if err != nil {
		return err
	}
	if !c.made {
		a.say("already so: the slot of generation %d is free", h.Generation)
		return nil
	}
	failure := failureChange(c, h)
	a.note(ctx, coordination.Event{Host: host, Generation: h.Generation, From: h.From, To: h.Target}, "freed the slot in phase %s; %s", h.Phase, failure)
	a.say("slots in use: %d -> %d", len(c.before.Holders), len(c.after.Holders))
	a.say("%s", failure)
	a.sayState(c)
	return nil
}

// sayKnown prints what the record and the host's own row say of a holder.
func (a act) sayKnown(ctx context.Context, r coordination.Record, host string) error {
	rows, err := a.lock.Rows.Hosts(ctx, a.lock.ARN)
	if err != nil {
		return err
	}
	s := a.status(r)
	i := slices.IndexFunc(s.Holders, func(h holderStatus) bool { return h.Host == host })
	a.say("slot: %s", s.holderText(s.Holders[i]))
	i = slices.IndexFunc(rows, func(row coordination.HostRow) bool { return row.Host == host })
	if i < 0 {
		a.say("row: it has written none")
		return nil
	}
	row := rows[i]
	text := fmt.Sprintf("row: runs %s, %s since %s, written %s", known(row.Version), known(row.Phase), s.ago(row.Since), s.ago(row.Written))
	if row.Reason != "" {
		text += ": " + row.Reason
	}
	a.say("%s", text)
	return nil
}

// failureChange says what became of the failure of a holder that was freed.
func failureChange(c change, h coordination.Holder) string {
	mine := func(f coordination.Failure) bool { return f.Host == h.Host && f.Generation == h.Generation }
	had, has := slices.IndexFunc(c.before.Failures, mine), slices.IndexFunc(c.after.Failures, mine)
	switch {
	case has >= 0 && had >= 0:
		return fmt.Sprintf("its failure stays: %s %s", c.after.Failures[has].Release, c.after.Failures[has].Cause)
	case has >= 0:
		return fmt.Sprintf("it leaves a failure behind: %s %s", c.after.Failures[has].Release, c.after.Failures[has].Cause)
	case had >= 0:
		return fmt.Sprintf("its failure goes with it: %s %s", c.before.Failures[had].Release, c.before.Failures[had].Cause)
	}
	return "it leaves no failure behind: it had not rebooted"
}
