package fleetsim

import (
	"time"

	"github.com/drydock-ecs/drydock/apiclientx/apitest"
	"github.com/drydock-ecs/drydock/coordination"
)

// enough is the time after which the slot of a host that is gone is free: it is
// late, is marked, and EC2 has been asked twice by a host that looks seldom.
const enough = 5 * time.Hour

// atTheEnd checks what must hold once everything has come to rest.
func (j *judge) atTheEnd() {
	r := j.w.record()
	for _, h := range j.w.hosts() {
		holder, holds := r.Holder(h.id)
		switch {
		case h.isGone():
			j.ofGone(h, holder, holds)
		case h.isUp():
			j.ofLive(h, holder, holds)
		}
	}
	j.goal(r)
}

// recent is how long a host may be in one phase of an update before the
// reboot: one that has just begun has not come to rest.
const recent = 45 * time.Minute

func (j *judge) ofLive(h *Host, holder coordination.Holder, holds bool) {
	sick := holds && holder.Phase == coordination.Sick
	if holds && !sick && j.age(holder) < recent {
		return
	}
	if j.drainedBy(h.id) == h.id && !sick && !j.leftAlone(h) {
		j.w.breach("promise 2: %s stays DRAINING (%+v)", h.id, holder)
	}
	if holds && !sick {
		j.w.breach("%s keeps its slot in phase %s", h.id, holder.Phase)
	}
	// One that an operator wants back is set ACTIVE and keeps its slot until its
	// ECS agent is there. Operators set hosts ACTIVE by hand, too.
	if sick && !holder.Restore && j.w.Cluster.Status(h.id) == "ACTIVE" && j.activeBy(h.id) != operator {
		j.w.breach("%s is sick and ACTIVE", h.id)
	}
}

// age is how long the holder's entry has stood.
func (j *judge) age(h coordination.Holder) time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	return time.Since(j.entered[h.Entry()])
}

// leftAlone: a careless operator may have freed the slot of a sick host, which
// stays so, or of one whose disk then lost what it had to undo.
func (j *judge) leftAlone(h *Host) bool {
	o := j.w.Options
	return o.Careless && (o.BadDisks || o.Sick && h.machine().Running() == newRelease)
}

// ofGone: where EC2 answers, the slot of a host that is gone does not stay used.
func (j *judge) ofGone(h *Host, holder coordination.Holder, holds bool) {
	o := j.w.Options
	h.mu.Lock()
	since := time.Since(h.ended)
	h.mu.Unlock()
	if holds && since > enough && o.Evidence && !o.BadEvidence && o.Fate != apitest.NeverReturns {
		j.w.breach("the slot of %s, phase %s, is used %s after it was terminated", h.id, holder.Phase, since.Round(time.Minute))
	}
}

// goal: where nothing failed for good and nothing makes the hosts back off for
// hours, the whole fleet runs the release.
func (j *judge) goal(r coordination.Record) {
	o := j.w.Options
	if o.Fate != apitest.BootsWell || o.Sick || len(r.Failures) > 0 || r.Halt != nil || o.Operators || o.Jobs || o.Resets || o.Faults > 0.1 {
		return
	}
	if o.Replacements || o.OldImages || o.Pauses || o.Partitions || o.Verbs {
		return // what began late need not have ended
	}
	for _, h := range j.w.hosts() {
		if h.isUp() && h.machine().Running() != newRelease && j.drainedBy(h.id) != operator {
			j.w.breach("goal: %s still runs %s, nothing failed, and nobody holds it back", h.id, h.machine().Running())
		}
	}
}
