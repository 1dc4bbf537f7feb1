package agent

import (
	"math/rand/v2"
	"time"
)

// pace is how a phase moves: the delay between two turns, the jitter on it,
// the deadline of the whole phase, and the length announced to the fleet.
type pace struct {
	delay    time.Duration // between two turns
	jitter   float64       // the delay is spread by ± this share
	deadline time.Duration // of the phase; 0: the phase has none of its own
	announce time.Duration // length told to the fleet; 0: nothing is told
	turn     time.Duration // longest that one turn may take
	slowest  time.Duration // longest delay while something is not as it should be
	expires  Phase         // phase at the deadline
}

// Margins that are announced over a phase's own deadline, and the patience
// with a table that does not answer, or a disk that cannot be written, while
// nothing has been rebooted yet.
const (
	announceMargin = 5 * time.Minute
	grantedLength  = 5 * time.Minute
	tablePatience  = time.Minute
	diskPatience   = time.Minute
	prepareLimit   = 30 * time.Minute // a download on a slow network
	refreshLimit   = 2 * time.Minute
	activateLimit  = time.Minute
	undoLimit      = 30 * time.Second // disarm and deactivate, then restoring goes on
	gateFreshness  = 5 * time.Minute  // an answer of ECS to the gates is used this long
	gateDelay      = 3 * time.Minute  // a red gate is asked again after this
	drainLook      = 2 * time.Minute  // how often ECS is asked whether the host still drains
	slotLook       = 10 * time.Minute // how often a host whose tasks are leaving looks whether it may go on
	lateDrain      = time.Minute      // a DRAINING call without answer may land this late
	staleLook      = 30 * time.Second // what ECS describes may be this old: it is eventually consistent
	staleDelay     = time.Second      // a proof that has become too old is renewed after this
	reaskAfter     = 10 * time.Second // a reboot request of unknown fate is repeated after this
	maxAsks        = 3                // reboot requests in one update
	quietBoot      = time.Minute      // how long nothing is said of a boot that comes up
	maxBoots       = 3                // boots since arming, then the host is sick
	socketPatience = time.Minute      // a dead API socket ends the process after this
	recheckDelay   = time.Minute      // when a check could not be finished
	slowestTurn    = 15 * time.Second // between two turns of a phase in trouble
	slowestReturn  = time.Minute      // the same while the host is put back in service
	registerDelay  = time.Minute      // between two looks for a new registration
)

// paceOf is the table of paces under the settings and, where an update runs,
// its terms. Every phase that holds a slot has a deadline or, in sick and
// restoring, an end that must be reached: those are retried for ever.
func paceOf(p Phase, c Config, t Terms) pace {
	switch p {
	case Starting:
		return pace{delay: 5 * time.Second, jitter: 0.5, turn: time.Minute, slowest: slowestTurn}
	case Idle:
		return pace{delay: c.CheckInterval, jitter: 0.1, turn: refreshLimit + time.Minute}
	case Staging:
		return pace{delay: 5 * time.Second, jitter: 0.2, deadline: 2 * prepareLimit, turn: prepareLimit + refreshLimit + time.Minute, slowest: slowestTurn, expires: Idle}
	case Waiting:
		return pace{delay: c.Lock.PollMin, jitter: 0.2, turn: refreshLimit + 2*time.Minute, slowest: slowestTurn}
	case Draining:
		return pace{delay: 500 * time.Millisecond, deadline: t.DrainTimeout, announce: t.DrainTimeout + announceMargin, turn: 3 * time.Minute, slowest: slowestTurn, expires: Restoring}
	case Rebooting:
		return pace{delay: 2 * time.Second, deadline: t.RebootDeadline, announce: t.RebootAllowance, turn: 3 * time.Minute, slowest: slowestTurn, expires: Restoring}
	case Verifying:
		return pace{delay: time.Second, deadline: t.VerifyTimeout, announce: t.VerifyTimeout + t.Soak + announceMargin, turn: time.Minute, slowest: slowestTurn, expires: Sick}
	case Sick:
		return pace{delay: time.Minute, jitter: 0.2, announce: announceMargin, turn: time.Minute}
	default: // Restoring
		return pace{delay: 2 * time.Second, jitter: 0.2, turn: 3 * time.Minute, slowest: slowestReturn}
	}
}

// wait is the delay before the next turn: the outcome's own or the pace's,
// jittered. A phase that just began has no delay.
func (p pace) wait(before, after State, o Outcome) time.Duration {
	if before.Phase != after.Phase {
		return 0
	}
	d := p.delay
	if o.After > 0 {
		d = o.After
	}
	return jittered(d, p.jitter)
}

func jittered(d time.Duration, share float64) time.Duration {
	return d + time.Duration((2*rand.Float64()-1)*share*float64(d))
}

// firstCheck is the delay of the first check after a start: hosts that start
// together are spread over a sixth of the interval.
func firstCheck(interval time.Duration) time.Duration {
	return rand.N(max(interval/6, 1))
}
