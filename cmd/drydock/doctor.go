package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/internal/hint"
)

// fewHosts is how many hosts a finding names.
const fewHosts = 5

// newDoctorCommand says what is wrong.
func newDoctorCommand(env environment) *cobra.Command {
	var at fleetFlags
	cmd := &cobra.Command{
		Use:   "doctor --fleet F [--table T]",
		Short: "Say what is wrong with a fleet and what mends it",
		Long: `Read the table, the lock record and the hosts' rows, and print what is wrong, each
with what mends it. It changes nothing. It ends with 0 when nothing is wrong and with
1 when something is.

It needs dynamodb:GetItem, Query, DescribeTable, DescribeTimeToLive and
DescribeContinuousBackups on the table.`,
		Args:                  cobra.NoArgs,
		DisableFlagsInUseLine: true,
		RunE: onFleet(&at, env, func(ctx context.Context, lock fleetLock, _ []string) error {
			return doctor(ctx, lock, env)
		}),
	}
	at.bind(cmd, env)
	return cmd
}

// finding is one thing that is wrong.
type finding struct{ wrong, mend string }

func doctor(ctx context.Context, lock fleetLock, env environment) error {
	row(env.stdout, "fleet "+lock.ARN+", table "+lock.table)
	findings := examine(ctx, lock, time.Now())
	for i, f := range findings {
		row(env.stdout, fmt.Sprintf("%d. %s", i+1, f.wrong))
		if f.mend != "" {
			row(env.stdout, "   "+f.mend)
		}
	}
	if len(findings) > 0 {
		return errLogged // each finding is said
	}
	row(env.stdout, "nothing is wrong")
	return nil
}

// found is a finding made of an error and its hint.
func found(err error) finding {
	return finding{strings.ReplaceAll(err.Error(), "\n", "; "), hint.Of(err)}
}

// examine looks at everything, the table last: it is what matters least while
// the rest is well. Without a record the rows say nothing.
func examine(ctx context.Context, lock fleetLock, now time.Time) []finding {
	r, err := lock.Look(ctx)
	if err != nil {
		findings := []finding{found(explainNonsense(explainRecord(err, lock.table, lock.ARN), lock))}
		if !errors.Is(err, coordination.ErrNotFound) && !errors.Is(err, coordination.ErrNewer) && !errors.Is(err, coordination.ErrNonsense) {
			return findings // the table would say the same
		}
		return append(findings, tableFindings(ctx, lock)...)
	}
	findings := recordFindings(lock, r, now)
	rows, err := lock.Rows.Hosts(ctx, lock.ARN)
	if err != nil {
		findings = append(findings, found(err))
	} else {
		findings = append(findings, checkup{lock, r, rows, now}.findings()...)
	}
	return append(findings, tableFindings(ctx, lock)...)
}

func explainNonsense(err error, lock fleetLock) error {
	if errors.Is(err, coordination.ErrNoTable) {
		return hint.Wrap(err, "check --table and --region, or run: "+lock.command("init", "--slots", "1"))
	}
	if !errors.Is(err, coordination.ErrNonsense) {
		return err
	}
	return hint.Wrap(err, "restore the table from a backup (point-in-time recovery), then run: "+lock.command("init", "--restored"))
}

func tableFindings(ctx context.Context, lock fleetLock) []finding {
	var findings []finding
	for _, err := range lock.examine(ctx) {
		findings = append(findings, found(err))
	}
	return findings
}

// recordFindings is what the record says without the rows.
func recordFindings(lock fleetLock, r coordination.Record, now time.Time) []finding {
	s := newFleetStatus(lock.table, lock.ARN, r, nil, now)
	if s.Halted == "" {
		return nil
	}
	f := finding{"nothing starts: " + s.stateText(), s.lift()}
	if s.PolicyFault == "" && s.Halt != nil && len(s.Failures) > 0 {
		f.wrong += fmt.Sprintf("; and there are %d of %d failures", len(s.Failures), s.MaxFailures)
	}
	return []finding{f}
}

// checkup compares the record with the rows.
type checkup struct {
	lock fleetLock
	r    coordination.Record
	rows []coordination.HostRow
	now  time.Time
}

func (c checkup) findings() []finding {
	var findings []finding
	for _, h := range c.r.Holders {
		if wrong := c.holder(h); wrong != "" {
			findings = append(findings, finding{fmt.Sprintf("%s, generation %d, %s: %s", h.Host, h.Generation, h.Phase, wrong), c.mendHolder(h)})
		}
	}
	for _, f := range c.r.Failures {
		if _, holds := c.r.Holder(f.Host); !holds && !c.alive(f.Host) {
			findings = append(findings, finding{
				fmt.Sprintf("the failure of %s, generation %d (%s %s), counts, and the host is gone: %s", f.Host, f.Generation, f.Release, f.Cause, c.heard(f.Host)),
				c.lock.command("resume"),
			})
		}
	}
	return append(findings, c.silent()...)
}

// holder says what is wrong with a holder, or "". A row is compared with the
// entry only when the host wrote it in the entry's phase or later.
func (c checkup) holder(h coordination.Holder) string {
	row, ok := c.row(h.Host)
	until := h.Since.Add(seconds(h.Announced))
	switch {
	case h.Stuck || until.Before(c.now):
		return fmt.Sprintf("it should have ended %s ago; %s", age(c.now.Sub(until)), c.heard(h.Host))
	case h.Phase == coordination.Sick:
		return "it runs the release and is not healthy; " + c.heard(h.Host)
	case !ok, !fresh(row, c.now):
		return c.heard(h.Host)
	case row.Written.After(h.Since) && row.Generation != h.Generation:
		return fmt.Sprintf("its own row, written %s ago, does not know of the slot: %s", age(c.now.Sub(row.Written)), known(row.Phase))
	}
	return ""
}

func (c checkup) mendHolder(h coordination.Holder) string {
	text := "if the instance is gone: " + c.lock.command("release", h.Host) + "; if it lives: " + onHost
	if h.Phase == coordination.Sick {
		text += ", then " + c.lock.command("restore", h.Host)
	}
	return text
}

// onHost is where the agent of a host says what it does.
const onHost = "read journalctl -u host-containers@drydock on it"

func (c checkup) row(host string) (coordination.HostRow, bool) {
	i := slices.IndexFunc(c.rows, func(r coordination.HostRow) bool { return r.Host == host })
	if i < 0 {
		return coordination.HostRow{}, false
	}
	return c.rows[i], true
}

func (c checkup) alive(host string) bool {
	row, ok := c.row(host)
	return ok && fresh(row, c.now)
}

// heard says when a host wrote its row.
func (c checkup) heard(host string) string {
	row, ok := c.row(host)
	switch {
	case !ok:
		return "it has written no row"
	case row.Written.IsZero():
		return "its row cannot be read"
	}
	return "it wrote its row " + age(c.now.Sub(row.Written)) + " ago"
}

// silent is one finding for all hosts without a slot that have not written
// lately.
func (c checkup) silent() []finding {
	var hosts []string
	for _, row := range c.rows {
		if _, holds := c.r.Holder(row.Host); !holds && !fresh(row, c.now) {
			hosts = append(hosts, row.Host)
		}
	}
	if len(hosts) == 0 {
		return nil
	}
	return []finding{{
		fmt.Sprintf("%d of %d hosts have not written a row for %s: %s", len(hosts), len(c.rows), silenceText, strings.Join(first(hosts, fewHosts), ", ")),
		"where the instance lives: " + onHost + "; where it is gone, remove its row: " + c.removeRow(hosts[0]),
	}}
}

func (c checkup) removeRow(host string) string {
	key := fmt.Sprintf(`{"fleet":{"S":%q},"item":{"S":%q}}`, c.lock.ARN, "host#"+host)
	return "aws dynamodb delete-item --table-name " + quoted(c.lock.table) + " --key " + quoted(key)
}
