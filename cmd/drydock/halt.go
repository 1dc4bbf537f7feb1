package main

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/drydock-ecs/drydock/coordination"
)

// longestReason bounds what stands in the record, which every host reads.
const longestReason = 300

// newHaltCommand lets nothing start any more.
func newHaltCommand(env environment) *cobra.Command {
	var at fleetFlags
	var reason string
	cmd := &cobra.Command{
		Use:   "halt --fleet F --reason TEXT [--table T]",
		Short: "Let no host start an update",
		Long: `Halt the fleet. No host starts an update until "drydock resume". A host that has
a slot and has not asked for its reboot turns back; one that has goes forward and
returns to service.`,
		Args:                  cobra.NoArgs,
		DisableFlagsInUseLine: true,
		PreRunE:               func(*cobra.Command, []string) error { return checkReason(reason) },
		RunE: onFleet(&at, env, func(ctx context.Context, lock fleetLock, _ []string) error {
			return halt(ctx, newAct(ctx, "halt", lock, env), strings.TrimSpace(reason))
		}),
	}
	at.bind(cmd, env)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for whoever asks for the status")
	return cmd
}

func checkReason(reason string) error {
	switch {
	case strings.TrimSpace(reason) == "":
		return misused("--reason is missing: why the fleet is halted, in words")
	case len(reason) > longestReason || !utf8.ValidString(reason):
		return misused("--reason: at most %d bytes of text", longestReason)
	}
	return nil
}

func halt(ctx context.Context, a act, reason string) error {
	c, err := a.apply(ctx, coordination.Stop(a.who, reason, a.at))
	if err != nil {
		return err
	}
	if !c.made {
		a.say("already so: %s", a.status(c.after).stateText())
		if c.after.Halt.Reason != reason {
			a.say("it stays with that reason")
		}
		a.say("to let it go on: %s", a.lock.command("resume"))
		return nil
	}
	a.note(ctx, coordination.Event{}, "halted: %s", reason)
	a.sayState(c)
	if hosts := holdersIn(c.after, coordination.Granted, coordination.Draining); hosts != "" {
		a.say("turning back: %s", hosts)
	}
	if hosts := holdersIn(c.after, coordination.Rebooting); hosts != "" {
		a.say("turning back, or going forward if the reboot is asked for: %s", hosts)
	}
	if hosts := holdersIn(c.after, coordination.Verifying); hosts != "" {
		a.say("going forward: %s", hosts)
	}
	return nil
}
