package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
)

// look is how a fleet is shown.
type look struct {
	json, all bool
	watch     bool
	interval  time.Duration
}

// leastInterval keeps a watch from costing more than it tells: each look reads
// the row of every host.
const leastInterval = time.Second

// newStatusCommand shows a fleet.
func newStatusCommand(env environment) *cobra.Command {
	var at fleetFlags
	var l look
	cmd := &cobra.Command{
		Use:   "status --fleet F [--table T] [--all|--json] [--watch [--interval D]]",
		Short: "Show a fleet: who runs what, and who waits for what",
		Long: `Show the fleet's slots, failures and refused releases, who is out of service, who
waits, and what keeps the others from updating. A fleet of up to 30 hosts has a line
for each; --all prints that for any.

Times are those of the hosts' own clocks. The command only reads: it needs
dynamodb:GetItem and dynamodb:Query on the table. It ends with 0 also when the
fleet is halted; see "drydock doctor" for what is wrong.`,
		Args:                  cobra.NoArgs,
		DisableFlagsInUseLine: true,
		PreRunE:               func(cmd *cobra.Command, _ []string) error { return l.check(cmd.Flags().Changed("interval")) },
		RunE: onFleet(&at, env, func(ctx context.Context, lock fleetLock, _ []string) error {
			if l.watch {
				return watch(ctx, lock, l, env)
			}
			return status(ctx, lock, l, env.stdout)
		}),
	}
	at.bind(cmd, env)
	flags := cmd.Flags()
	flags.BoolVar(&l.json, "json", false, "print JSON, with absolute times")
	flags.BoolVar(&l.all, "all", false, "print a line for every host")
	flags.BoolVar(&l.watch, "watch", false, "show it again and again until interrupted")
	flags.DurationVar(&l.interval, "interval", 2*time.Second, "between two looks, with --watch")
	return cmd
}

func (l look) check(interval bool) error {
	switch {
	case l.json && l.all:
		return misused("--json prints all: it does not go with --all")
	case interval && !l.watch:
		return misused("--interval goes with --watch")
	case l.interval < leastInterval:
		return misused("--interval: at least %v", leastInterval)
	}
	return nil
}

// status prints what the record and the rows say. The two are read one after
// the other, so a host may have moved on in between.
func status(ctx context.Context, lock fleetLock, l look, out io.Writer) error {
	record, err := lock.Look(ctx)
	if err != nil {
		return explainRecord(err, lock.table, lock.ARN)
	}
	rows, err := lock.Rows.Hosts(ctx, lock.ARN)
	if err != nil {
		return err
	}
	return newFleetStatus(lock.table, lock.ARN, record, rows, time.Now()).write(out, l)
}

// watch shows the fleet until it is interrupted. What goes wrong at first ends
// it; what goes wrong later may pass.
func watch(ctx context.Context, lock fleetLock, l look, env environment) error {
	for first := true; ; first = false {
		var page bytes.Buffer
		err := status(ctx, lock, l, &page)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && first:
			return err
		case err != nil:
			fmt.Fprintln(env.stderr, "drydock:", err)
		default:
			if err := turn(env.stdout, page.Bytes(), first || l.json); err != nil {
				return err
			}
		}
		if !wait(ctx, l.interval) {
			return nil
		}
	}
}

// turn shows a page in place of the one before: on a terminal over it, else
// after an empty line.
func turn(out io.Writer, page []byte, plain bool) error {
	const home = "\x1b[H\x1b[2J" // ECMA-48: cursor to the first place, erase the page
	if f, ok := out.(*os.File); ok && isTerminal(f) {
		page = append([]byte(home), page...)
	} else if !plain {
		page = append([]byte("\n"), page...)
	}
	_, err := out.Write(page)
	return err
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// wait waits, and says whether the context let it.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s fleetStatus) write(out io.Writer, l look) error {
	if !l.json {
		return s.writeText(out, l.all)
	}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(s)
}
