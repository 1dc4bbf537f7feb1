package main

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/drydock-ecs/drydock/coordination"
)

// newStatusCommand shows a fleet.
func newStatusCommand(env environment) *cobra.Command {
	var at fleetFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status --fleet F [--table T] [--json]",
		Short: "Show every host of a fleet and what it waits for",
		Long: `Show the fleet's slots, failures and refused releases, and one line a host.

Times are those of the hosts' own clocks. The command only reads: it needs
dynamodb:GetItem and dynamodb:Query on the table. It ends with 0 also when the
fleet is halted.`,
		Args:                  cobra.NoArgs,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := at.check(); err != nil {
				return err
			}
			lock, err := openFleet(cmd.Context(), at, env)
			if err != nil {
				return err
			}
			return status(cmd.Context(), lock, asJSON, env.stdout)
		},
	}
	at.bind(cmd, env)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, with absolute times")
	return cmd
}

// status prints what the record and the rows say. The two are read one after
// the other, so a host may have moved on in between.
func status(ctx context.Context, lock fleetLock, asJSON bool, out io.Writer) error {
	record, err := lock.Look(ctx)
	if err != nil {
		return explainRecord(err, lock.table, lock.ARN)
	}
	rows, err := lock.Rows.Hosts(ctx, lock.ARN)
	if err != nil {
		return err
	}
	return newFleetStatus(lock.table, lock.ARN, record, rows, time.Now()).write(out, asJSON)
}

func (s fleetStatus) write(out io.Writer, asJSON bool) error {
	if !asJSON {
		return s.writeText(out)
	}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(s)
}

// fleetLock is one fleet's lock, opened by an operator.
type fleetLock struct {
	coordination.Fleet
	table  string
	ensure func(context.Context) (warnings []string, err error)
}
