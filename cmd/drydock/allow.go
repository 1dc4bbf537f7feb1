package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/coordination"
)

// newAllowCommand lets the fleet start a release again.
func newAllowCommand(env environment) *cobra.Command {
	var at fleetFlags
	cmd := &cobra.Command{
		Use:   "allow RELEASE --fleet F [--table T]",
		Short: "Let the fleet start a refused release again",
		Long: `Take a release off the list of those that fell back and that the fleet does not
start again. The failures that it left stay: see "drydock resume".`,
		Args:                  one("RELEASE", checkRelease),
		DisableFlagsInUseLine: true,
		RunE: onFleet(&at, env, func(ctx context.Context, lock fleetLock, args []string) error {
			return allow(ctx, newAct(ctx, "allow", lock, env), args[0])
		}),
	}
	at.bind(cmd, env)
	return cmd
}

func checkRelease(arg string) error {
	if arg == "" || strings.ContainsAny(arg, " \t\n") {
		return errors.New("RELEASE: a Bottlerocket version, such as 1.26.1")
	}
	return nil
}

func allow(ctx context.Context, a act, release string) error {
	c, err := a.apply(ctx, coordination.Allow(release))
	if err != nil {
		return err
	}
	if !c.made {
		a.say("already so: %s is not refused", release)
		if refused := refusedReleases(c.after); refused != "" {
			a.say("refused: %s", refused)
		}
		return nil
	}
	hosts := strings.Join(fellBackOn(c.before, release), ", ")
	a.note(ctx, coordination.Event{To: release}, "allowed again; it fell back on %s", hosts)
	a.say("%s: refused -> allowed", release)
	a.say("it fell back on: %s", hosts)
	a.sayState(c)
	return nil
}

func refusedReleases(r coordination.Record) string {
	var releases []string
	for _, f := range r.Refused {
		releases = append(releases, f.Release)
	}
	return strings.Join(releases, ", ")
}

// fellBackOn are the hosts on which the record saw a release fall back.
func fellBackOn(r coordination.Record, release string) []string {
	var hosts []string
	add := func(host string) {
		if !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	for _, f := range r.Refused {
		if f.Release == release {
			add(f.Host)
		}
	}
	for _, f := range r.Failures {
		if f.Release == release && f.Cause == string(agent.FellBack) {
			add(f.Host)
		}
	}
	return hosts
}
