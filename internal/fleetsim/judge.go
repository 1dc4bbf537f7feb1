package fleetsim

import (
	"sync"

	"github.com/drydock-ecs/drydock/apiclientx/apitest"
	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/coordination/coordtest"
	"github.com/drydock-ecs/drydock/internal/ecstest"
)

const operator = "operator"

// judge watches the fleet from outside and checks the promises. It believes
// nothing that an agent says.
type judge struct {
	w *World

	mu       sync.Mutex
	drained  map[string]string // host → who set it DRAINING
	down     map[string]bool   // host → it is down by a requested reboot
	requests map[string]bool   // host → a reboot request may still take effect
	tried    map[string]bool   // host → it has booted or tried the release
	counted  map[[2]any]int    // failure → how often it was added
	killed   int               // killed tasks looked at
	resets   map[string]int    // host → killed tasks that a reset accounts for
}

func newJudge(w *World) *judge {
	return &judge{w: w, drained: map[string]string{}, down: map[string]bool{}, requests: map[string]bool{},
		tried: map[string]bool{}, counted: map[[2]any]int{}, resets: map[string]int{}}
}

func (j *judge) drainedBy(host string) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.drained[host]
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
	if c.To == "DRAINING" {
		j.drained[c.Host] = c.By
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
}

func (j *judge) booted(h *Host, b apitest.Booted) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if b.Up {
		j.down[h.id] = false
	}
	active, inactive := h.bottlerocket.Sets()
	if b.Version == newRelease || !b.Up || active.Version == oldRelease && inactive.Version == newRelease && inactive.Priority > 0 && inactive.Tries == 0 && !inactive.Successful {
		j.tried[h.id] = true
	}
}

// countOut is promise 1: at most as many hosts out because of Drydock as there
// are slots. The lock must be held.
func (j *judge) countOut() {
	out := 0
	for _, h := range j.w.Hosts {
		if j.drained[h.id] == h.id || j.down[h.id] {
			out++
		}
	}
	if out > j.w.Options.Slots {
		j.w.breach("promise 1: %d hosts are out of service, %d may be", out, j.w.Options.Slots)
	}
	if len(j.tried) > j.w.Options.Slots && j.w.Options.Fate == apitest.FallsBack {
		j.w.breach("promise 4: a release that falls back was tried on %d hosts", len(j.tried))
	}
}

// recordChanged is called with the store locked: the rules of the record that
// hold whatever the agents believe.
func (j *judge) recordChanged(c coordtest.Applied) {
	after, err := coordination.Decode(c.After)
	if err != nil {
		j.w.breach("%s stored a record that cannot be read: %v", c.Caller, err)
		return
	}
	before, _ := coordination.Decode(c.Before)
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, h := range after.Holders {
		was, _ := before.Holder(h.Host)
		begins := h.Phase != was.Phase && (h.Phase == coordination.Draining || h.Phase == coordination.Rebooting)
		if begins && after.Refuses(h.Target) {
			j.w.breach("promise 4: %s goes on with %s, which the fleet refuses", h.Host, h.Target)
		}
		if begins && len(before.Failures) > 0 {
			j.w.breach("promise 4: %s goes on with %s in a halted fleet", h.Host, h.Target)
		}
		if was.Host == "" && (len(after.Failures) > 0 || after.Refuses(h.Target)) {
			j.w.breach("promise 4: %s got a slot for %s in a halted fleet or for a refused release", h.Host, h.Target)
		}
	}
	for _, h := range before.Holders {
		if c.Caller == "" {
			break // an operator's own act
		}
		if _, has := after.Holder(h.Host); !has && (j.drained[h.Host] == h.Host || j.down[h.Host]) {
			j.w.breach("promise 1: the slot of %s went back while it is out of service", h.Host)
		}
	}
	for _, f := range after.Failures {
		key := [2]any{f.Host, f.Generation}
		if !had(before.Failures, f) {
			if j.counted[key]++; j.counted[key] > 1 {
				j.w.breach("the failure of %s, generation %d, was counted twice", f.Host, f.Generation)
			}
		}
	}
	if len(after.Refused) > 0 && j.w.Options.Fate != apitest.FallsBack {
		j.w.breach("the fleet refuses %s, which boots", after.Refused[0].Release)
	}
}

func had(failures []coordination.Failure, f coordination.Failure) bool {
	for _, other := range failures {
		if other.Host == f.Host && other.Generation == f.Generation {
			return true
		}
	}
	return false
}

// check is promise 3, after every step: no task died by a reboot that was
// requested. A daemon task's or any other's death by a reset of the machine is
// not ours.
func (j *judge) check() {
	killed := j.w.Cluster.Killed()
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, k := range killed[j.killed:] {
		if j.resets[k.Host] == 0 {
			j.w.breach("promise 3: the reboot of %s killed the %s task %s of %q (%s)", k.Host, k.Kind, k.ARN, k.Service, k.Last)
		}
	}
	j.killed = len(killed)
}

// atTheEnd checks what must hold once everything has come to rest.
func (j *judge) atTheEnd() {
	r := j.w.record()
	for _, h := range j.w.Hosts {
		holder, holds := r.Holder(h.id)
		sick := holds && holder.Phase == coordination.Sick
		if j.drainedBy(h.id) == h.id && !sick && h.isUp() {
			j.w.breach("promise 2: %s stays DRAINING (%+v)", h.id, holder)
		}
		if holds && !sick && h.isUp() {
			j.w.breach("%s keeps its slot in phase %s", h.id, holder.Phase)
		}
		if holds && h.isUp() && j.w.Cluster.Status(h.id) == "ACTIVE" && sick {
			j.w.breach("%s is sick and ACTIVE", h.id)
		}
	}
	j.goal(r)
}

// goal: where nothing failed for good and nothing makes the hosts back off for
// hours, the whole fleet runs the release.
func (j *judge) goal(r coordination.Record) {
	o := j.w.Options
	if o.Fate != apitest.BootsWell || o.Sick || len(r.Failures) > 0 || o.Operators || o.Jobs || o.Resets || o.Faults > 0.1 {
		return
	}
	for _, h := range j.w.Hosts {
		if h.isUp() && h.bottlerocket.Running() != newRelease && j.drainedBy(h.id) != operator {
			j.w.breach("goal: %s still runs %s, nothing failed, and nobody holds it back", h.id, h.bottlerocket.Running())
		}
	}
}
