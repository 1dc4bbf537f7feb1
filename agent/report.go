package agent

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"sync/atomic"
	"time"

	"github.com/drydock-ecs/drydock/coordination"
)

// told is what the agent has said so far, so that it says nothing twice.
type told struct {
	reason     string
	trouble    string
	troubleAt  time.Time
	status     string
	ready      bool
	row        coordination.HostRow
	since      time.Time
	phase      Phase
	ended      Result // outcome of the update that has just ended; "" once logged
	release    string
	generation int64
	took       time.Duration
}

// rowLife is the longest time between two writes of an unchanged row, rowRetry
// the shortest after one that failed.
const (
	rowLife  = 24 * time.Hour
	rowRetry = time.Minute
)

// publish shows the state to the service manager and, when it changed, to the
// fleet. It never waits for the table.
func (a *Agent) publish(s State) {
	a.notify(s)
	if a.fleet == nil || s.Phase == Starting {
		return
	}
	now := time.Now()
	if a.told.since.IsZero() || s.Phase != a.told.phase {
		a.told.phase, a.told.since = s.Phase, now
	}
	row := coordination.HostRow{
		Host: a.identity.Instance, Version: a.running, Offered: a.offered, Phase: s.Phase.String(), Since: a.told.since,
		Reason: cmp.Or(s.Reason, a.rest(s.Phase)), Generation: a.generation(), Zone: a.identity.Zone, ARN: a.self.ARN, Waves: a.waves, Agent: a.version,
	}
	if s.Target != "" {
		row.Offered = s.Target
	}
	if s.Phase == Waiting {
		row.Ticket = a.intent.Memory.Ticket.Number
	}
	life := rowLife
	if a.outbox.rowLost.Load() {
		life = rowRetry
	}
	if sameRow(row, a.told.row) && now.Sub(a.told.row.Written) < life {
		return
	}
	row.Written = now
	a.told.row = row
	fleet, log, lost := a.fleet, a.log(s), &a.outbox.rowLost
	a.outbox.row(func(ctx context.Context) {
		err := fleet.PutHost(ctx, row)
		if lost.Store(err != nil); err != nil {
			log.Debug("host row not written", slog.Any(keyError, err))
		}
	})
}

// rest is why an idle host that nothing keeps from updating does not update.
func (a *Agent) rest(p Phase) string {
	switch {
	case p != Idle:
		return ""
	case a.refreshed.IsZero():
		return "not checked since the agent started"
	default:
		return "no newer release is offered"
	}
}

func sameRow(a, b coordination.HostRow) bool {
	waves := maps.Equal(a.Waves, b.Waves)
	a.Waves, b.Waves, a.Written, b.Written = nil, nil, time.Time{}, time.Time{}
	return waves && a.Host == b.Host && a.Version == b.Version && a.Offered == b.Offered && a.Phase == b.Phase &&
		a.Since.Equal(b.Since) && a.Reason == b.Reason && a.Generation == b.Generation && a.Ticket == b.Ticket && a.Zone == b.Zone &&
		a.ARN == b.ARN && a.Agent == b.Agent
}

// notify tells the service manager: READY once the facts are known, the state
// in words whenever it changes.
func (a *Agent) notify(s State) {
	status := s.Phase.String()
	if s.Target != "" {
		status += " " + s.Target
	}
	if s.Reason != "" {
		status += ": " + s.Reason
	}
	if status != a.told.status {
		a.told.status = status
		a.ports.Notify("STATUS=" + status)
	}
	if !a.told.ready && s.Phase != Starting {
		a.told.ready = true
		a.ports.Notify("READY=1")
	}
}

// showLife says that the loop needs no longer than d until it shows life
// again.
func (a *Agent) showLife(d time.Duration) {
	a.deadline.Store(time.Now().Add(d + lifeMargin).UnixNano())
}

const lifeMargin = 30 * time.Second

// feedWatchdog tells the service manager that the loop is alive, as long as
// it is. A loop that is stuck past its own announcement gets no more of it,
// and the service manager starts the agent anew.
func (a *Agent) feedWatchdog(ctx context.Context) error {
	ticker := time.NewTicker(a.ports.Watchdog / 2)
	defer ticker.Stop()
	for {
		if time.Now().UnixNano() < a.deadline.Load() {
			a.ports.Notify("WATCHDOG=1")
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// outbox carries what is written for eyes only, so that the loop never waits
// for it. Of two rows that wait, the newer stays.
type outbox struct {
	rows     chan func(context.Context)
	notes    chan func(context.Context)
	rowLost  atomic.Bool // the last row was not written
	noteLost atomic.Bool // the last phase was not announced
}

const outboxLimit = 15 * time.Second

func newOutbox() *outbox {
	return &outbox{rows: make(chan func(context.Context), 1), notes: make(chan func(context.Context), 1)}
}

func (o *outbox) run(ctx context.Context) error {
	for {
		select {
		case write := <-o.rows:
			bounded(ctx, write)
		case write := <-o.notes:
			bounded(ctx, write)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// flush waits until all that was put into it so far is written, or the time for
// it is over.
func (o *outbox) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*outboxLimit)
	defer cancel()
	for _, box := range []chan func(context.Context){o.rows, o.notes} {
		written := make(chan struct{})
		select {
		case box <- func(context.Context) { close(written) }:
		case <-ctx.Done():
			return
		}
		select {
		case <-written:
		case <-ctx.Done():
			return
		}
	}
}

func bounded(ctx context.Context, write func(context.Context)) {
	ctx, cancel := context.WithTimeout(ctx, outboxLimit)
	defer cancel()
	write(ctx)
}

func (o *outbox) row(write func(context.Context))  { latest(o.rows, write) }
func (o *outbox) note(write func(context.Context)) { latest(o.notes, write) }

func latest(box chan func(context.Context), write func(context.Context)) {
	select {
	case <-box:
	default:
	}
	select {
	case box <- write:
	default:
	}
}

// event is the row of a finished update.
func (d *Duty) event(now time.Time) coordination.Event {
	return coordination.Event{
		Generation: d.Generation, Host: d.Instance, At: now, From: d.From, To: d.Target,
		Outcome: string(d.Outcome), Seconds: d.Seconds,
	}
}
