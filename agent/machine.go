package agent

import "time"

// Phase names what the agent is busy with, never what it has done.
type Phase int

// The phases. What is true in each stands in the table of phases below and in
// docs/state-machine.md, which is made of it.
const (
	Starting Phase = iota
	Idle
	Staging
	Waiting
	Draining
	Rebooting
	Verifying
	Sick
	Restoring
)

// phases holds one row a phase: its name, what is true in it, whether the
// host holds a slot, and the log line with which it begins.
var phases = [...]struct{ name, truth, slot, begin string }{
	Starting:  {"starting", "Facts are being read; each may still be unknown.", "unknown", "reading the facts"},
	Idle:      {"idle", "Nothing to do until the next check.", "no", "idle until the next check"},
	Staging:   {"staging", "A release is offered; it is being downloaded and written to the inactive image set. Harmless and slow.", "no", "staging a release"},
	Waiting:   {"waiting", "The release is staged and still the chosen one; gates are asked, then the host waits for its turn.", "no", "waiting for a slot"},
	Draining:  {"draining", "The duty is durable, the container instance DRAINING; tasks are leaving.", "yes", "draining the container instance"},
	Rebooting: {"rebooting", "Drained. The release is activated, the intent armed, the reboot requested; the agent waits to be killed.", "yes", "rebooting into the release"},
	Verifying: {"verifying", "A new boot: version, ECS agent and instance health are looked at.", "yes", "verifying the new boot"},
	Sick:      {"sick", "The host runs the release and is not healthy. It stays DRAINING, keeps the slot, counts as a failure, and keeps asking.", "yes", "host is sick"},
	Restoring: {"restoring", "Undoing: disarm, deactivate, set ACTIVE, see it connected, return the slot.", "yes", "putting the host back in service"},
}

func (p Phase) String() string { return phases[p].name }

// Result is how an update ended. Each has a name of its own.
type Result string

// The results. The first six follow a reboot that was prepared; the last two
// come before it.
const (
	Updated      Result = "updated"         // new boot, running the target, healthy
	FellBack     Result = "fell_back"       // new boot after arming, running the version before
	Interrupted  Result = "interrupted"     // new boot before arming, running the version before
	NotRebooted  Result = "not_rebooted"    // same boot after the request's deadline
	Elsewhere    Result = "elsewhere"       // new boot, some third version
	Unhealthy    Result = "sick"            // running the target, unhealthy past the deadline
	TurnedBack   Result = "turned_back"     // stopped before the reboot
	DrainExpired Result = "drain_timed_out" // tasks did not leave in time
)

// Fails says whether the fleet counts the result as a failure.
func (r Result) Fails() bool {
	return r == FellBack || r == Interrupted || r == NotRebooted || r == Unhealthy
}

// Refuses says whether the fleet must not start the release again.
func (r Result) Refuses() bool { return r == FellBack }

// beforeReboot says whether the result was reached in the boot in which the
// update began, so that a new boot may still bring up the release.
func (r Result) beforeReboot() bool {
	return r == TurnedBack || r == DrainExpired || r == NotRebooted
}

// Kind is what came out of one turn.
type Kind int

// The kinds of outcome.
const (
	Again   Kind = iota // the phase goes on
	Done                // its work is done
	Nothing             // what it worked on is gone
	Failed              // it cannot go on
	Expired             // its deadline passed
	Owing               // the record shows a slot that this process knows nothing of
	Resumed             // from starting: Outcome.To says where
)

var kindNames = [...]string{"again", "done", "nothing", "failed", "expired", "owing", "resumed"}

func (k Kind) String() string { return kindNames[k] }

// Outcome is what one turn found. It is a plain value: two equal outcomes move
// equal states to equal states.
type Outcome struct {
	Kind   Kind
	To     Phase  // Resumed only
	Target string // release, when the turn has learned it
	Result Result // how the update ends, when the turn has learned it
	// Reason says in words why the host is not updating, turns back or waits.
	Reason string
	// After overrides the pace's delay before the next turn; 0 leaves it.
	After time.Duration
}

// State is all that the machine knows. It is comparable with ==.
type State struct {
	Phase  Phase
	Target string // release it is about; "" when none
	Result Result // how the update ends; "" while it is open
	Reason string // of the last outcome
}

// edge is one allowed move.
type edge struct {
	from Phase
	on   Kind
	to   Phase
	why  string
}

// edges are all moves, declared once: Next goes by them, the tests take each
// of them, and docs/state-machine.md is made of them.
var edges = []edge{
	{Starting, Resumed, Idle, "no duty, and no slot in the record"},
	{Starting, Resumed, Draining, "duty of this boot, not armed: goes on after the re-assert"},
	{Starting, Resumed, Rebooting, "armed in this boot: the reboot request may be alive"},
	{Starting, Resumed, Verifying, "new boot since activating"},
	{Starting, Resumed, Sick, "found unhealthy in this boot"},
	{Starting, Resumed, Restoring, "something to undo, or only a slot to return"},
	{Idle, Done, Staging, "a release is offered and may start"},
	{Idle, Owing, Starting, "the record shows a slot of this host"},
	{Staging, Done, Waiting, "staged"},
	{Staging, Nothing, Idle, "no longer offered"},
	{Staging, Failed, Idle, "cannot be staged now"},
	{Staging, Expired, Idle, "the download took too long"},
	{Waiting, Done, Draining, "slot granted"},
	{Waiting, Nothing, Idle, "no longer the chosen release, or refused meanwhile"},
	{Waiting, Owing, Starting, "the record shows a slot of this host"},
	{Draining, Done, Rebooting, "no task is left"},
	{Draining, Failed, Restoring, "may not or cannot go on"},
	{Draining, Expired, Restoring, "tasks did not leave in time"},
	{Rebooting, Failed, Restoring, "may not or cannot go on; nothing is armed"},
	{Rebooting, Expired, Restoring, "no reboot came by the request's deadline"},
	{Verifying, Done, Restoring, "healthy, or back on the version before"},
	{Verifying, Expired, Sick, "unhealthy past the deadline, or too many boots"},
	{Sick, Done, Restoring, "healthy again, or an operator's restore"},
	{Restoring, Done, Idle, "in service, slot returned"},
}

// Next is the machine: a total, pure function. An outcome for which the phase
// has no edge leaves the phase as it is.
func Next(s State, o Outcome) State {
	next := State{Phase: s.Phase, Target: s.Target, Result: s.Result, Reason: o.Reason}
	for _, e := range edges {
		if e.from == s.Phase && e.on == o.Kind && (o.Kind != Resumed || e.to == o.To) {
			next.Phase = e.to
			break
		}
	}
	if o.Target != "" {
		next.Target = o.Target
	}
	if o.Result != "" {
		next.Result = o.Result
	}
	if next.Phase == Idle || next.Phase == Starting {
		next.Target, next.Result = "", ""
	}
	return next
}
