package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drydock-ecs/drydock/apiclientx"
	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/internal/hint"
)

// ErrSocketDead ends the process: the Bottlerocket API socket has been dead
// for a minute. A container's bind mount pins the socket that was there at its
// start, so only a new container gets a live one.
var ErrSocketDead = errors.New("the Bottlerocket API socket has been dead for a minute")

// Agent is the update of one host. Make one with New and call Run once.
type Agent struct {
	ports    Ports
	settings Config // defaults and user-data
	config   Config // settings with the fleet's policy over them
	policy   Policy
	version  string // of this program

	identity Identity
	claimed  bool
	boot     string // boot id; it cannot change while the process lives
	self     Self   // zero while the ECS agent has not said
	running  string // "" while unknown
	offered  string // "" when nothing newer is offered
	waves    map[string]string

	intent     Intent
	loaded     bool // the intent file was read
	memoryless bool // there was none that could be read
	newer      bool // it is of a newer schema: restore, start nothing

	fleet    Fleet // nil while the fleet is unknown
	fleetKey [2]string

	watch  stopwatch // of the phase
	seen   ecsView   // what ECS said last
	update update

	refreshed time.Time // end of the last refresh that succeeded
	checked   time.Time // end of the last regular check
	record    coordination.Record
	recordAt  time.Time // the record was read; zero: never
	watcher   watcher
	widening  coordination.Widening
	redGate   bool      // a gate of the host's own was red at the last turn
	slowed    int       // turns in a row that were slowed down
	deadSince time.Time // the API socket is dead since; zero: alive
	err       error     // trouble of the turn, to be logged by the loop

	finishing bool // nothing is started: see Finish

	told     told
	outbox   *outbox
	deadline atomic.Int64 // the loop shows life before this, in Unix nanoseconds
}

// update is what this process knows of the update under way. All of it may be
// lost: what must not be lost is in the duty.
type update struct {
	generation int64              // of the slot granted, while it is not in a duty yet; 0: none
	proof      time.Duration      // uptime at which the latest re-assert was begun, time asleep counted; 0: never
	proofOf    coordination.Phase // what it was for
	allowedAt  time.Time          // the record was asked last whether the host may go on
	tableless  time.Time          // the table does not answer since; zero: it does
	diskless   time.Time          // the intent cannot be written since; zero: it can
	draining   bool               // ECS showed the container instance DRAINING
	looks      int                // confirmations that found tasks left
	left       []Task             // tasks that were last seen not to be stopped
	stopped    map[string]bool
	forced     bool      // the drain's time is over and the policy says to go on
	asked      bool      // this process requested the reboot
	refusedAt  time.Time // the API refused the latest request; zero: it did not

	told      time.Time // the fleet was told the phase; zero: not by this process
	until     time.Time // what was told holds until then
	published bool      // the failure of a sick host stands in the record
	missing   time.Time // ECS knows no such instance, in every answer since; zero: it does
	activated time.Time // ECS showed the host ACTIVE and connected
	returns   int       // tries to return the slot
	blameless bool      // the fleet stopped the update: the attempt is given back

	activeSince time.Time // ECS shows the host ACTIVE in every answer since; zero: it does not
	foreign     time.Time // ECS shows a drain after our ACTIVE, in every answer since; zero: it does not
	lateActive  time.Time // when a call to set the host ACTIVE was made at the latest that got no answer; zero: none
}

// stopwatch measures a phase in uptime.
type stopwatch struct {
	uptime time.Duration
	at     time.Time
}

// New makes an agent. The settings are those of the host; version is the
// program's own.
func New(settings Config, version string, ports Ports) *Agent {
	return &Agent{ports: ports, settings: settings, config: settings, version: version, outbox: newOutbox()}
}

// Run updates the host until the context ends, which is no error. It returns
// ErrSocketDead when only a new container can help.
//
// Ending it anywhere is safe: every act that must be undone is in the intent
// before it is done, and the next Run finds it there.
func (a *Agent) Run(ctx context.Context) error {
	a.showLife(0)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.loop(ctx) })
	group.Go(func() error { return a.outbox.run(ctx) })
	if a.ports.Watchdog > 0 {
		group.Go(func() error { return a.feedWatchdog(ctx) })
	}
	if err := group.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// Finish ends the update that has begun, by the same steps as Run, and starts
// nothing: it is for a host whose settings cannot be used. What an update needs
// stands in its duty. It returns when the host is idle; see Begun.
func (a *Agent) Finish(ctx context.Context) error {
	a.finishing = true
	if err := a.Run(ctx); !errors.Is(err, errFinished) {
		return err
	}
	return nil
}

var errFinished = errors.New("the update has ended")

// loop takes one turn after another: act, decide, say, wait.
func (a *Agent) loop(ctx context.Context) error {
	state := State{Phase: Starting}
	for {
		outcome := a.turn(ctx, state)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		next := Next(state, outcome)
		wait := a.attentive(next.Phase, a.delay(state, next, outcome))
		a.tell(state, next)
		if a.socketDead(next.Phase) {
			a.outbox.flush(ctx)
			return hint.Wrap(ErrSocketDead, "nothing to do: the host container is started again in 45 s with a live socket")
		}
		if a.finishing && next.Phase == Idle {
			a.outbox.flush(ctx)
			return errFinished
		}
		state = next
		a.showLife(wait)
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// turn does one turn of the phase within the pace's limit and applies the
// phase's deadline to what came out.
func (a *Agent) turn(ctx context.Context, s State) Outcome {
	p := paceOf(s.Phase, a.config, a.terms())
	a.showLife(p.turn)
	ctx, cancel := context.WithTimeout(ctx, p.turn)
	defer cancel()
	o := a.act(ctx, s)
	if o.Kind == Again && p.deadline > 0 && a.elapsed() >= p.deadline {
		return a.expire(s, o)
	}
	return o
}

func (a *Agent) act(ctx context.Context, s State) Outcome {
	switch s.Phase {
	case Starting:
		return a.start(ctx)
	case Idle:
		return a.check(ctx, s)
	case Staging:
		return a.stage(ctx)
	case Waiting:
		return a.queue(ctx, s)
	case Draining:
		return a.drain(ctx, s)
	case Rebooting:
		return a.reboot(ctx)
	case Verifying:
		return a.verify(ctx, s)
	case Sick:
		return a.nurse(ctx)
	default:
		return a.restore(ctx, s)
	}
}

// expire is what the phase's deadline makes of an unfinished turn.
func (a *Agent) expire(s State, o Outcome) Outcome {
	switch s.Phase {
	case Staging:
		return Outcome{Kind: Expired, Reason: "the release could not be staged in time: " + o.Reason}
	case Draining:
		return a.drainExpired(o)
	case Verifying:
		return Outcome{Kind: Expired, Result: Unhealthy, Reason: o.Reason}
	default:
		return o
	}
}

// delay is the time until the next turn.
func (a *Agent) delay(before, after State, o Outcome) time.Duration {
	p := paceOf(after.Phase, a.config, a.terms())
	o.After = a.slowDown(p, before, after, o)
	switch {
	case after.Phase != Idle || before.Phase == Idle || before.Phase == Restoring:
		return p.wait(before, after, o)
	case before.Phase == Starting && a.intent.Memory.Ticket.Release != "":
		return jittered(a.config.Lock.PollMin, 0.5) // its place in the queue is not to be passed
	case before.Phase == Starting:
		return firstCheck(a.config.CheckInterval)
	case before.Phase == Staging && o.Kind != Nothing: // a download is not tried again all the time
		return jittered(p.delay, p.jitter)
	default: // what is not wanted any more is not tried again at once
		return jittered(min(gateDelay, p.delay), 0.2)
	}
}

// slowDown is the delay while something is not as it should be: who does not
// answer, or not as hoped, is asked less and less often. A turn that has a
// delay of its own keeps it, and so does a wait for one's turn.
func (a *Agent) slowDown(p pace, before, after State, o Outcome) time.Duration {
	trouble := a.err != nil || o.Reason != "" && after.Phase != Waiting
	if before.Phase != after.Phase || o.After > 0 || !trouble {
		a.slowed = 0
		return o.After
	}
	a.slowed++
	return min(p.delay<<min(a.slowed-1, 10), max(p.slowest, p.delay))
}

// elapsed is the time since the phase began, also across restarts of the agent
// within one boot. A host that comes back to a phase before its reboot, because
// its agent was started again, has the time that is left: it is out of service.
func (a *Agent) elapsed() time.Duration {
	d := a.intent.Duty
	if d == nil || d.Phase == "" || d.PhaseBoot != a.boot {
		return a.uptime() - a.watch.uptime
	}
	before := 0.0
	if d.Phase == Draining.String() || d.Phase == Rebooting.String() {
		before = d.Seconds[d.Phase]
	}
	return time.Duration(before*float64(time.Second)) + a.uptime() - d.PhaseUptime
}

func (a *Agent) uptime() time.Duration {
	b, err := a.ports.Surroundings.Boot()
	if err != nil {
		return a.watch.uptime + time.Since(a.watch.at)
	}
	return b.Uptime
}

// enter starts the phase's clocks. The duty's copy becomes durable with the
// next note; a restart before that measures from the phase before, which only
// makes a deadline come earlier.
func (a *Agent) enter(p Phase) {
	now := time.Now()
	a.watch = stopwatch{uptime: a.uptime(), at: now}
	if a.intent.Duty == nil {
		return
	}
	d := a.intent.Duty.clone()
	if d.Phase == p.String() && d.PhaseBoot == a.boot {
		return // resumed: the phase goes on
	}
	d.turnPage(p, a.boot, a.watch)
	a.intent.Duty = &d
}

// terms are the values that hold now: those of the duty, or those that a duty
// begun now would get.
func (a *Agent) terms() Terms {
	if d := a.intent.Duty; d != nil {
		return d.Terms
	}
	return termsOf(a.config, a.policy)
}

// socketDead says whether the API socket has been dead for so long, in a phase
// that needs it, that the process should end: only a new container has a live one.
// Undoing never waits for it.
func (a *Agent) socketDead(p Phase) bool {
	needs := p != Restoring && p != Draining
	return needs && !a.deadSince.IsZero() && time.Since(a.deadSince) >= socketPatience
}

// heard notes whether the API socket answered and passes the error through.
func (a *Agent) heard(err error) error {
	switch {
	case !errors.Is(err, apiclientx.ErrUnreachable):
		a.deadSince = time.Time{}
	case a.deadSince.IsZero():
		a.deadSince = time.Now()
	}
	return err
}

// again is a turn that met trouble and is taken once more. The reason is what
// the fleet sees; the error goes to the log.
func (a *Agent) again(reason string, err error) Outcome {
	a.err = err
	return Outcome{Kind: Again, Reason: reason}
}

// tell logs a change of phase, the trouble of the turn, and publishes the row.
// Nothing else logs at Info.
func (a *Agent) tell(before, after State) {
	a.tellTrouble(after)
	if before.Phase != after.Phase {
		if before.Phase == Waiting && after.Phase == Idle {
			a.dropTicket()
		}
		a.tellPhase(before, after)
		a.enter(after.Phase)
	} else if after.Reason != "" && after.Reason != a.told.reason && a.err == nil {
		a.log(after).Info("still "+after.Phase.String(), slog.String(keyReason, after.Reason))
	}
	a.told.reason = after.Reason
	a.err = nil
	a.publish(after)
}

func (a *Agent) tellPhase(before, after State) {
	log := a.log(after)
	if before.Phase == Restoring && after.Phase == Idle && a.told.ended != "" {
		log.Info("update ended", slog.String(keyOutcome, string(a.told.ended)), slog.String(keyRelease, a.told.release),
			slog.Int64(keyGeneration, a.told.generation), slog.Duration(keyTook, a.told.took))
		a.told.ended = ""
		return
	}
	attrs := []any{}
	if after.Result != "" {
		attrs = append(attrs, slog.String(keyOutcome, string(after.Result)))
	}
	if after.Reason != "" {
		attrs = append(attrs, slog.String(keyReason, after.Reason))
	}
	log.Log(context.Background(), phaseLevel(before, after), phases[after.Phase].begin, attrs...)
}

// phaseLevel is an error's for a result that counts as a failure, once, and a
// warning's for one that nobody wished for.
func phaseLevel(before, after State) slog.Level {
	switch r := after.Result; {
	case r == before.Result:
		return slog.LevelInfo
	case r.Fails():
		return slog.LevelError
	case r == DrainExpired || r == Elsewhere:
		return slog.LevelWarn
	default:
		return slog.LevelInfo
	}
}

// tellTrouble logs the turn's error once, and again only when its reason has
// changed or an hour has passed. A phase that ends by it is another line.
func (a *Agent) tellTrouble(s State) {
	if a.err == nil {
		return
	}
	key := cmp.Or(s.Reason, s.Phase.String())
	if key == a.told.trouble && time.Since(a.told.troubleAt) < time.Hour {
		return
	}
	a.told.trouble, a.told.troubleAt = key, time.Now()
	attrs := []any{slog.String("phase", s.Phase.String()), slog.Any(keyError, a.err)}
	if h := hint.Of(a.err); h != "" {
		attrs = append(attrs, slog.String(keyHint, h))
	}
	a.log(s).Warn(cmp.Or(s.Reason, "an act went wrong"), attrs...)
}

// log is the agent's logger with what identifies the host and its update.
func (a *Agent) log(s State) *slog.Logger {
	log := a.ports.Log
	if a.identity.Instance != "" {
		log = log.With(keyHost, a.identity.Instance)
	}
	if release := a.target(s); release != "" {
		log = log.With(keyFrom, a.from(), keyRelease, release)
	}
	if g := a.generation(); g > 0 {
		log = log.With(keyGeneration, g)
	}
	return log
}

func (a *Agent) target(s State) string {
	if d := a.intent.Duty; d != nil {
		return d.Target
	}
	return s.Target
}

func (a *Agent) from() string {
	if d := a.intent.Duty; d != nil {
		return d.From
	}
	return a.running
}

func (a *Agent) generation() int64 {
	switch {
	case a.intent.Duty != nil:
		return a.intent.Duty.Generation
	default:
		return a.update.generation
	}
}

// openFleet opens the lock of a fleet, once.
func (a *Agent) openFleet(table, arn string) {
	if key := [2]string{table, arn}; key != a.fleetKey {
		a.fleetKey, a.fleet = key, a.ports.Fleet(table, arn)
		a.watcher, a.widening, a.recordAt = watcher{}, coordination.Widening{}, time.Time{}
	}
}

// limits reads the limits of a policy text. For an update that has begun, a
// policy that cannot be read leaves those that it began with.
func (a *Agent) limits(policy string) (coordination.Limits, error) {
	p, err := ParsePolicy(policy)
	if err != nil {
		if d := a.intent.Duty; d != nil && d.Terms.MaxFailures > 0 {
			return coordination.Limits{Slots: 1, MaxFailures: d.Terms.MaxFailures}, nil
		}
		return coordination.Limits{}, fmt.Errorf("read the policy: %w", err)
	}
	return coordination.Limits{Slots: p.Slots, MaxFailures: p.MaxFailures, MaxZones: p.MaxZones}, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
