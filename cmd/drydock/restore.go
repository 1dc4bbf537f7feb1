package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/internal/hint"
)

// newRestoreCommand asks a host to go back into service.
func newRestoreCommand(env environment) *cobra.Command {
	var at fleetFlags
	cmd := &cobra.Command{
		Use:   "restore HOST --fleet F [--table T]",
		Short: "Ask a host that has a slot to go back into service",
		Long: `Ask the agent of a host that has a slot to put it back into service as it is. A
sick host does so at its next look; one that has not asked for its reboot turns back.
Its failure stays: see "drydock resume".`,
		Args:                  one("HOST", instanceID),
		DisableFlagsInUseLine: true,
		RunE: onFleet(&at, env, func(ctx context.Context, lock fleetLock, args []string) error {
			return restore(ctx, newAct(ctx, "restore", lock, env), args[0])
		}),
	}
	at.bind(cmd, env)
	return cmd
}

func restore(ctx context.Context, a act, host string) error {
	shown, err := a.look(ctx)
	if err != nil {
		return err
	}
	h, ok := shown.Holder(host)
	if !ok {
		return hint.Wrap(fmt.Errorf("%s has no slot, so there is none to go back from", host),
			"if it is DRAINING, somebody else drained it, or its slot was freed by hand while it was out: aws ecs update-container-instances-state --status ACTIVE; who has a slot: "+a.lock.command("status"))
	}
	c, err := a.apply(ctx, coordination.Recall(host, h.Generation))
	if coordination.Why(err) == coordination.NotHolder {
		a.say("already so: %s has just returned its slot", host)
		return nil
	}
	if err != nil {
		return err
	}
	if !c.made {
		a.say("already so: %s was asked to go back into service", host)
	} else {
		a.note(ctx, coordination.Event{Host: host, Generation: h.Generation, From: h.From, To: h.Target}, "asked to be restored in phase %s", h.Phase)
		a.say("%s, generation %d: %s -> asked to go back into service", host, h.Generation, h.Phase)
	}
	a.say("%s", whenRestored(h.Phase))
	return nil
}

// whenRestored says when a holder in that phase obeys.
func whenRestored(p coordination.Phase) string {
	switch p {
	case coordination.Sick:
		return "it goes back at its next look, within minutes, and stays a failure"
	case coordination.Granted, coordination.Draining:
		return "it turns back at its next look, within ten minutes"
	case coordination.Rebooting:
		return "it turns back if the reboot is not asked for yet; else it goes forward, and goes back also if it is then sick"
	}
	return "it goes forward, and goes back also if it is then sick"
}
