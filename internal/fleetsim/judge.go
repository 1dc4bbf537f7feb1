package fleetsim

import (
	"sync"
	"time"

	"github.com/drydock-ecs/drydock/apiclientx/apitest"
	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/internal/ecstest"
)

const operator = "operator"

// judge watches the fleet from outside and checks the promises. It believes
// nothing that an agent says.
type judge struct {
	w *World

	mu       sync.Mutex
	drained  map[string]string                // host → who set it DRAINING
	since    map[string]time.Time             // and when
	active   map[string]string                // host → who set it ACTIVE last
	down     map[string]bool                  // host → it is down by a requested reboot
	requests map[string]bool                  // host → a reboot request may still take effect
	tried    map[string]bool                  // host → it has booted or tried the release
	counted  map[[3]any]int                   // failure → how often it was added
	killed   int                              // killed tasks looked at
	resets   map[string]int                   // host → killed tasks that a reset accounts for
	entered  map[coordination.Entry]time.Time // entry → when it came into the record
	record   coordination.Record
	slots    int  // most that the policy has ever given
	retried  bool // an operator let the fleet go on after failures
	careless bool // an operator freed the slot of a live host
}

func newJudge(w *World) *judge {
	return &judge{w: w, drained: map[string]string{}, since: map[string]time.Time{}, active: map[string]string{}, down: map[string]bool{}, requests: map[string]bool{},
		tried: map[string]bool{}, counted: map[[3]any]int{}, resets: map[string]int{}, entered: map[coordination.Entry]time.Time{}, slots: w.Options.Slots}
}

func (j *judge) drainedBy(host string) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.drained[host]
}

func (j *judge) activeBy(host string) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.active[host]
}

// oneCall is the window that ECS leaves between the last look and the act.
const oneCall = 5 * time.Second

// drainsNow is called when a host makes its own call: a drain by someone else
// that its last look could not show is taken for its own.
func (j *judge) drainsNow(h *Host) {
	j.mu.Lock()
	tie := j.drained[h.id] == operator && time.Since(j.since[h.id]) < oneCall
	j.mu.Unlock()
	if tie {
		h.setUnsure()
	}
}

// statusChanged is called with the cluster locked.
func (j *judge) statusChanged(c ecstest.Change) {
	j.w.say(c.Host, "ECS: %s → %s by %s", c.From, c.To, c.By)
	j.mu.Lock()
	defer j.mu.Unlock()
	if c.To == "ACTIVE" && c.By == c.Host && j.drained[c.Host] == operator && !j.w.host(c.Host).isUnsure() {
		j.w.breach("promise 5: %s undid an operator's drain", c.Host)
	}
	delete(j.drained, c.Host)
	if c.To == "ACTIVE" {
		j.active[c.Host] = c.By
	}
	if c.To == "DRAINING" {
		j.drained[c.Host], j.since[c.Host] = c.By, time.Now()
		if c.By == c.Host {
			j.startsNothing(c.Host, "drains itself")
		}
	}
	j.countOut()
}

func (j *judge) hostDown(h *Host, asked bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.down[h.id] = asked
	j.requests[h.id] = false
	j.resets[h.id] = 0
	if !asked {
		j.resets[h.id] = 1
	}
	j.countOut()
}

func (j *judge) rebootRequested(h *Host) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.requests[h.id] = true
	if by := j.drained[h.id]; by == "" || by != h.id && !h.isUnsure() {
		j.w.breach("promise 3: %s requests a reboot and is not drained by itself", h.id)
	}
	j.startsNothing(h.id, "requests a reboot")
}

func (j *judge) booted(h *Host, b apitest.Booted) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if b.Up {
		j.down[h.id] = false
	}
	active, inactive := h.machine().Sets()
	if b.Version == newRelease || !b.Up || active.Version == oldRelease && inactive.Version == newRelease && inactive.Priority > 0 && inactive.Tries == 0 && !inactive.Successful {
		j.tried[h.id] = true
	}
}

// hostEnded is called when an instance was terminated: what it leaves behind is
// no host that is out of service.
func (j *judge) hostEnded(h *Host) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.down[h.id], j.requests[h.id] = false, false
	delete(j.drained, h.id)
	j.resets[h.id] = 1
}

// mayRetry is called when an operator takes failures away: then the fleet may
// try the release again, unless it is refused.
func (j *judge) mayRetry() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.retried = j.retried || !j.record.Refuses(newRelease)
}

func (j *judge) allows()     { j.note(&j.retried) }
func (j *judge) freedAlive() { j.note(&j.careless) }

func (j *judge) note(what *bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	*what = true
}

// countOut is promise 1: at most as many hosts out because of Drydock as there
// are slots, and each of them has one. The lock must be held.
func (j *judge) countOut() {
	out := 0
	for _, h := range j.w.hosts() {
		if !j.isOut(h.id) {
			continue
		}
		out++
		if _, holds := j.record.Holder(h.id); !holds && !j.careless && !h.isUnsure() && j.record.Schema > 0 {
			j.w.breach("promise 1: %s is out of service and has no slot", h.id)
		}
	}
	if out > j.slots && !j.careless {
		j.w.breach("promise 1: %d hosts are out of service, %d may be", out, j.slots)
	}
	j.countTried()
}

// isOut says whether a host is out of service because of Drydock.
func (j *judge) isOut(host string) bool { return j.drained[host] == host || j.down[host] }

// countTried is promise 4: a release that fails reaches at most max_failures +
// N - 1 hosts. An operator who lets the fleet go on takes that on himself.
func (j *judge) countTried() {
	o := j.w.Options
	most := max(o.MaxFailures, 1) + j.slots - 1
	if (o.Fate != apitest.BootsWell || o.Sick) && !j.retried && !j.careless && len(j.tried) > most {
		j.w.breach("promise 4: a release that fails was tried on %d hosts, %d may", len(j.tried), most)
	}
}

// startsNothing: a holder that was marked stuck turns back. The lock must be
// held.
func (j *judge) startsNothing(host, what string) {
	if h, _ := j.record.Holder(host); h.Stuck {
		j.w.breach("%s was marked stuck and %s", host, what)
	}
}

// check is promise 3, after every step: no task died by a reboot that was
// requested. A daemon task's or any other's death by a reset of the machine is
// not ours.
func (j *judge) check() {
	killed := j.w.Cluster.Killed()
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, k := range killed[min(j.killed, len(killed)):] { // another check may have seen more
		if j.resets[k.Host] == 0 {
			j.w.breach("promise 3: the reboot of %s killed the %s task %s of %q (%s)", k.Host, k.Kind, k.ARN, k.Service, k.Last)
		}
	}
	j.killed = max(j.killed, len(killed))
}
