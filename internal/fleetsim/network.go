package fleetsim

import (
	"errors"
	"sync"
	"time"

	"github.com/drydock-ecs/drydock/coordination/coordtest"
	"github.com/drydock-ecs/drydock/internal/ecstest"
)

// errThrottled says that nothing was written or read.
var errThrottled = errors.New("throttled")

// What one item of the table gives in a second.
const (
	maxReads  = 3000
	maxWrites = 1000
)

// network is what lies between the hosts and AWS: partitions, the table's
// latency and its limits.
type network struct {
	w *World

	mu     sync.Mutex
	cut    map[string]bool   // hosts that do not reach ECS and EC2
	away   map[string]outage // of the table, the latest of each host
	flood  time.Time         // others use up the item's throughput until then
	second int64
	calls  map[string]int // in that second
}

// outage is a time in which a host does not reach the table.
type outage struct{ from, until time.Time }

func newNetwork(w *World) *network {
	return &network{w: w, cut: make(map[string]bool), away: make(map[string]outage), calls: make(map[string]int)}
}

func (n *network) isCut(host string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cut[host]
}

// losesTable takes the host off the table for a while.
func (n *network) losesTable(host string, d time.Duration) {
	n.w.say(host, "loses the table for %s", d)
	n.mu.Lock()
	was, now := n.away[host], time.Now()
	if was.until.Before(now) {
		was.from = now
	}
	if until := now.Add(d); until.After(was.until) {
		was.until = until
	}
	n.away[host] = was
	n.mu.Unlock()
	n.w.Memory.Cut(host, true)
	time.AfterFunc(d, func() {
		n.mu.Lock()
		back := !time.Now().Before(n.away[host].until)
		n.mu.Unlock()
		if back {
			n.w.say(host, "has the table again")
			n.w.Memory.Cut(host, false)
		}
	})
}

// reachesTable says whether the host has reached the table for so long.
func (n *network) reachesTable(host string, since time.Duration) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Since(n.away[host].until) >= since && time.Since(n.flood) >= since
}

// justBack says whether the host has reached the table for less than since,
// after an outage that none of its looks can have missed.
func (n *network) justBack(host string, since time.Duration) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.away[host]
	return !o.from.IsZero() && time.Since(o.until) < since && o.until.Sub(o.from) >= wellFor
}

// losesECS takes the host off ECS for a while.
func (n *network) losesECS(host string, d time.Duration) {
	n.w.say(host, "loses ECS for %s", d)
	set := func(cut bool) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.cut[host] = cut
	}
	set(true)
	time.AfterFunc(d, func() {
		n.w.say(host, "has ECS again")
		set(false)
	})
}

// floods uses up what the lock's item gives, for a while.
func (n *network) floods(d time.Duration) {
	n.w.say("", "the lock is throttled for %s", d)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.flood = time.Now().Add(d)
}

// ecs is what becomes of a call of ECS: from a host that is cut off it either
// never leaves or is never answered.
func (n *network) ecs(c ecstest.Call) ecstest.Fault {
	switch {
	case !n.isCut(c.Caller):
		return ecstest.Fault{}
	case n.w.chance(0.5):
		return ecstest.Fault{Report: ecstest.Unreachable}
	default:
		return ecstest.Fault{Lose: true, Report: ecstest.Hang}
	}
}

// table is what becomes of a call of the table.
func (n *network) table(op, caller string) coordtest.Fault {
	if caller == "" {
		return coordtest.Fault{} // the judge and the operators
	}
	if n.throttled(op) {
		return coordtest.Fault{Lost: true, Err: errThrottled}
	}
	if !n.w.Options.Latency {
		return coordtest.Fault{}
	}
	latency := time.Duration(4+n.w.number(40)) * time.Millisecond
	if n.w.chance(0.01) {
		latency = time.Duration(1+n.w.number(3)) * time.Second
	}
	return coordtest.Fault{Latency: latency}
}

func (n *network) throttled(op string) bool {
	n.mu.Lock()
	flooded := time.Until(n.flood) > 0
	if s := time.Now().Unix(); s != n.second {
		n.second = s
		clear(n.calls)
	}
	n.calls[op]++
	over := n.calls[coordtest.Fetch] > maxReads || n.calls[coordtest.Replace] > maxWrites
	n.mu.Unlock()
	return over || flooded && n.w.chance(0.6)
}
