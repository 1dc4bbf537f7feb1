package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/internal/hint"
)

// initFlags are the flags of `drydock init`.
type initFlags struct {
	fleetFlags
	slots, maxFailures int
	policyFile         string
	restored           bool
}

// newInitCommand makes a fleet ready for its hosts.
func newInitCommand(env environment) *cobra.Command {
	var f initFlags
	cmd := &cobra.Command{
		Use:   "init --fleet F (--slots N [--max-failures M] [--policy FILE] | --restored) [--table T]",
		Short: "Make the table and the lock record of a fleet",
		Long: `Make the DynamoDB table, if there is none, and the fleet's lock record in it.

It may be repeated: a table and a record that are there already are left alone.
Slots, the failure limit and the rest of the policy stand in the record and hold
for every host of the fleet. The flags go before what the policy file says.

--restored is for a table that was restored from a backup. It halts the fleet: the
record may lack hosts that are out of service now. It makes no table and no record.`,
		Args:                  cobra.NoArgs,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			if f.restored {
				return f.runRestored(cmd, env)
			}
			policy, err := f.policy(cmd.Flags().Changed)
			if err != nil {
				return err
			}
			lock, err := openFleet(cmd.Context(), f.fleetFlags, env)
			if err != nil {
				return err
			}
			return initialise(cmd.Context(), lock, policy, env)
		},
	}
	f.bind(cmd, env)
	flags := cmd.Flags()
	flags.IntVar(&f.slots, "slots", 0, "hosts that may be out of service at once, 1 to 100")
	flags.IntVar(&f.maxFailures, "max-failures", 1, "failures that halt the fleet")
	flags.StringVar(&f.policyFile, "policy", "", "file with the fleet's policy (TOML)")
	flags.BoolVar(&f.restored, "restored", false, "the table was restored from a backup: halt the fleet")
	return cmd
}

// policy is the text for the record: the file's, or none, with the flags that
// were given in it. It was validated.
func (f *initFlags) policy(given func(flag string) bool) (string, error) {
	text := ""
	switch {
	case f.policyFile != "":
		data, err := os.ReadFile(f.policyFile)
		if err != nil {
			return "", misused("read policy: %v", err)
		}
		text = string(data)
	case !given("slots"):
		return "", misused("--slots is missing: how many hosts may be out of service at once")
	}
	if _, err := agent.ParsePolicy(text); err != nil {
		return "", inFile(f.policyFile, err)
	}
	// PolicyWith puts a new key on top: the last comes first.
	if given("max-failures") || f.policyFile == "" {
		changed, err := agent.PolicyWith(text, "max_failures", strconv.Itoa(f.maxFailures))
		if err != nil {
			return "", misused("--max-failures: %v", err)
		}
		text = changed
	}
	if given("slots") {
		changed, err := agent.PolicyWith(text, "slots", strconv.Itoa(f.slots))
		if err != nil {
			return "", misused("--slots: %v", err)
		}
		text = changed
	}
	return text, nil
}

// initialise makes table and record and says what it did. Ended anywhere, it
// leaves what the next run finds and completes.
func initialise(ctx context.Context, lock fleetLock, policy string, env environment) error {
	warnings, err := lock.ensure(ctx)
	for _, warning := range warnings {
		fmt.Fprintln(env.stderr, "warning:", warning)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(env.stdout, "table %s: ready\n", lock.table)
	record, created, err := createRecord(ctx, lock, coordination.NewRecord(rand.Text(), policy))
	if err != nil {
		return err
	}
	if !created {
		return tellExisting(env.stdout, lock, record, policy)
	}
	fmt.Fprintf(env.stdout, "lock record of %s: created\n%s", lock.ARN, tellLimits(record))
	fmt.Fprintln(env.stdout, "next, the block that gives a host its agent: drydock user-data --source IMAGE --table "+lock.table)
	return nil
}

// createRecord stores the fleet's first record. The answer may be lost, and
// another may be first: what stands there then tells.
func createRecord(ctx context.Context, lock fleetLock, first coordination.Record) (coordination.Record, bool, error) {
	body, err := first.Encode()
	if err != nil {
		return coordination.Record{}, false, fmt.Errorf("encode the lock record: %w", err)
	}
	_, err = lock.Store.Create(ctx, lock.ARN, body)
	if err == nil {
		return first, true, nil
	}
	if !errors.Is(err, coordination.ErrConflict) && !errors.Is(err, coordination.ErrUnknown) {
		return coordination.Record{}, false, err
	}
	there, lookErr := lock.Look(ctx)
	if errors.Is(lookErr, coordination.ErrNotFound) {
		return coordination.Record{}, false, hint.Wrap(err, "run the same drydock init again: it does no harm if the record is there by then")
	}
	if lookErr != nil {
		return coordination.Record{}, false, explainRecord(lookErr, lock.table, lock.ARN)
	}
	return there, there.Incarnation == first.Incarnation, nil
}

// tellLimits says what the record's policy says.
func tellLimits(r coordination.Record) string {
	limits, err := limitsOf(r.Policy)
	if err != nil {
		return fmt.Sprintf("  its policy cannot be read, so nothing starts: %v\n", err)
	}
	return fmt.Sprintf("  slots %d, max_failures %d\n", limits.Slots, limits.MaxFailures)
}

func tellExisting(out io.Writer, lock fleetLock, r coordination.Record, asked string) error {
	fmt.Fprintf(out, "lock record of %s: there already, left alone\n%s", lock.ARN, tellLimits(r))
	if r.Policy != asked {
		fmt.Fprintf(out, "  its policy is not the one given here, which was not written; to change it: %s or %s\n",
			lock.command("slots", "N"), lock.command("policy", "set", "FILE"))
	}
	return nil
}
