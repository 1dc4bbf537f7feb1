package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/internal/hint"
)

const mostSlots = 100

// newSlotsCommand sets how many hosts may be out of service.
func newSlotsCommand(env environment) *cobra.Command {
	var at fleetFlags
	cmd := &cobra.Command{
		Use:   "slots N|P% --fleet F [--table T]",
		Short: "Set how many hosts may be out of service at once",
		Long: `Set the fleet's slots, 1 to 100, in its policy; the rest of the policy stays as it
is written. P% counts the hosts that wrote their row within the last 49 hours, once:
it does not follow the fleet's size later.

Fewer slots than hosts out of service are allowed: then nobody starts until they
fit.`,
		Args:                  one("N or P%", func(arg string) error { _, err := parseShare(arg); return err }),
		DisableFlagsInUseLine: true,
		RunE: onFleet(&at, env, func(ctx context.Context, lock fleetLock, args []string) error {
			s, err := parseShare(args[0])
			if err != nil {
				return misused("%w", err)
			}
			return setSlots(ctx, newAct(ctx, "slots", lock, env), s)
		}),
	}
	at.bind(cmd, env)
	return cmd
}

// share is a number of hosts, or of each hundred.
type share struct {
	n       int
	percent bool
}

func parseShare(arg string) (share, error) {
	digits, percent := strings.CutSuffix(arg, "%")
	n, err := strconv.Atoi(digits)
	if err != nil || n < 1 || n > 100 {
		return share{}, fmt.Errorf("%q is neither a number of slots, 1 to %d, nor 1%% to 100%% of the fleet", arg, mostSlots)
	}
	return share{n, percent}, nil
}

// of is the share of so many hosts: rounded down, at least 1, at most 100.
func (s share) of(hosts int) int {
	if !s.percent {
		return s.n
	}
	return min(max(1, hosts*s.n/100), mostSlots)
}

func setSlots(ctx context.Context, a act, s share) error {
	n, err := a.count(ctx, s)
	if err != nil {
		return err
	}
	c, err := a.apply(ctx, coordination.Edit(func(policy string) (string, error) {
		if p, err := agent.ParsePolicy(policy); err != nil || p.Slots == n {
			return policy, err
		}
		return agent.PolicyWith(policy, "slots", strconv.Itoa(n))
	}))
	if coordination.Why(err) == coordination.BadPolicy {
		return hint.Wrap(err, "correct the policy first: "+a.lock.command("policy", "set", "FILE"))
	}
	if err != nil {
		return err
	}
	if !c.made {
		a.say("already so: slots %d", n)
		return nil
	}
	text := fmt.Sprintf("slots: %d -> %d", a.status(c.before).Slots, n)
	a.note(ctx, coordination.Event{}, "%s", text)
	a.say("%s", text)
	a.sayEffect(c.after, n)
	return nil
}

// count is the number of slots, with the computation said where there is one.
func (a act) count(ctx context.Context, s share) (int, error) {
	if !s.percent {
		return s.n, nil
	}
	rows, err := a.lock.Rows.Hosts(ctx, a.lock.ARN)
	if err != nil {
		return 0, err
	}
	hosts := 0
	for _, r := range rows {
		if fresh(r, a.at) {
			hosts++
		}
	}
	if hosts == 0 {
		return 0, hint.Wrap(fmt.Errorf("no host wrote a row within %s, so there is nothing to take %d%% of", silenceText, s.n), "give a number of slots")
	}
	a.say("%d%% of the %d hosts that wrote a row within %s (%d did not): %d", s.n, hosts, silenceText, len(rows)-hosts, s.of(hosts))
	return s.of(hosts), nil
}

// fresh says whether a host wrote its row lately. A row that cannot be read has
// no such time.
func fresh(r coordination.HostRow, now time.Time) bool {
	return !r.Written.IsZero() && now.Sub(r.Written) < silence
}

func (a act) sayEffect(r coordination.Record, slots int) {
	if held := len(r.Holders); held > slots {
		a.say("%d hosts have a slot: nobody starts until fewer than %d have one", held, slots)
	}
	if limits, err := limitsOf(r.Policy); err == nil {
		a.say("a release that fails reaches at most %d hosts (max_failures %d)", limits.MaxFailures+slots-1, limits.MaxFailures)
	}
}
