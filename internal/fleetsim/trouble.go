package fleetsim

import (
	"fmt"
	"time"

	"github.com/drydock-ecs/drydock/internal/ecstest"
)

// mostReplaced bounds the hosts that the autoscaler replaces in one run.
const mostReplaced = 4

// trouble is what the seed does to the fleet in this minute.
func (w *World) trouble() {
	o := w.Options
	for _, h := range w.hosts() {
		if h.isGone() {
			continue
		}
		w.troubleHost(h)
		if o.Replacements {
			w.autoscale(h)
		}
	}
	switch {
	case o.Outages && w.chance(0.001):
		w.say("", "the table is away for everybody")
		d := time.Duration(1+w.number(120)) * time.Minute
		for _, h := range w.hosts() {
			w.net.losesTable(h.id, d)
		}
	case o.Latency && w.chance(0.004):
		w.net.floods(time.Duration(1+w.number(30)) * time.Minute)
	case o.Verbs && w.chance(0.01):
		w.command()
	}
}

func (w *World) troubleHost(h *Host) {
	minutes := func(n int) time.Duration { return time.Duration(1+w.number(n)) * time.Minute }
	switch o := w.Options; {
	case o.Resets && w.chance(0.004):
		w.say(h.id, "is reset")
		h.reset()
	case o.Outages && w.chance(0.01):
		w.net.losesTable(h.id, minutes([]int{40, 180}[w.number(2)]))
	case o.Partitions && w.chance(0.003):
		w.net.losesECS(h.id, minutes(90))
	case o.Partitions && w.chance(0.003):
		d := minutes(90)
		w.net.losesECS(h.id, d)
		w.net.losesTable(h.id, d)
	case o.Pauses && w.chance(0.008):
		h.pause(minutes([]int{5, 60}[w.number(2)]))
	case o.Operators && w.chance(0.005):
		h.visited()
	case o.BadDisks && w.chance(0.005):
		h.damageIntent()
	case o.OldImages && w.chance(0.002):
		h.reimage()
	case o.Jobs && w.chance(0.005):
		_, err := w.Cluster.Run(h.id, ecstest.Standalone{Length: minutes(60)})
		w.say(h.id, "a standalone task is started (%v)", err)
	}
}

// autoscale ends hosts: any of them now and then, and sooner those that do not
// come up or that are being updated.
func (w *World) autoscale(h *Host) {
	chance := 0.001
	if _, holds := w.record().Holder(h.id); holds {
		chance = 0.01
	}
	if !h.isUp() {
		chance = 0.05
	}
	if !w.chance(chance) || w.replaced >= mostReplaced {
		return
	}
	w.replaced++
	h.terminate()
	id := w.Options.Hosts + w.replaced - 1
	time.AfterFunc(time.Duration(2+w.number(10))*time.Minute, func() { w.joins(id) })
}

// joins starts a new instance with the old image.
func (w *World) joins(id int) {
	if w.isOver() {
		return
	}
	h := newHost(w, id)
	w.say(h.id, "is started by the autoscaler")
	w.add(h)
	h.startAgent(agentStart)
}

// terminate ends the instance for ever.
func (h *Host) terminate() {
	h.w.say(h.id, "is terminated")
	described := time.Duration(10+h.w.number(int(describedAtMost/time.Minute))) * time.Minute
	h.mu.Lock()
	h.ended, h.described, h.up = time.Now(), described, false
	h.mu.Unlock()
	h.stop()
	h.w.judge.hostEnded(h)
	h.w.Cluster.Terminate(h.id)
	h.w.judge.check()
}

// pause lets the host's process stand still while the world goes on, until a
// boot at the latest.
func (h *Host) pause(d time.Duration) {
	h.w.say(h.id, "its agent stands still for %s", d)
	h.mu.Lock()
	defer h.mu.Unlock()
	if until := time.Now().Add(d); until.After(h.paused) {
		h.paused = until
	}
}

// reimage is a host that comes up again with the old image. Its persistent
// directory stays. Not in the middle of an update: the old image would look like
// a release that fell back.
func (h *Host) reimage() {
	h.disk.mu.Lock()
	busy := h.disk.bad || hasDuty(h.disk.data)
	h.disk.mu.Unlock()
	if _, holds := h.w.record().Holder(h.id); busy || holds || !h.isUp() {
		return
	}
	h.w.say(h.id, "gets the old image")
	old := h.machine()
	h.reset()
	old.Close()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bottlerocket = h.image()
}

// visited is a person at work: one who drains a host, works on it for hours,
// and sets it ACTIVE again, unless it is the agent's drain that is found.
func (h *Host) visited() {
	if h.w.Cluster.Status(h.id) != "ACTIVE" {
		return
	}
	h.w.say(h.id, "an operator drains it")
	h.w.Cluster.SetStatus(h.id, "DRAINING", operator)
	time.AfterFunc(time.Duration(1+h.w.number(4))*time.Hour, func() {
		if h.w.judge.drainedBy(h.id) == operator {
			h.w.say(h.id, "the operator sets it ACTIVE")
			h.w.Cluster.SetStatus(h.id, "ACTIVE", operator)
		}
	})
}

// damageIntent is a disk that loses the file or part of it, or has another one
// in its place, found at the next start, which comes at once.
func (h *Host) damageIntent() {
	old := h.disk.old()
	other := h.w.hosts()[h.w.number(len(h.w.hosts()))]
	copied := other.disk.copied()
	switch kind := h.w.number(4); {
	case kind == 0 && old != nil && !h.holds():
		h.disk.replace("what an earlier process wrote", old)
	case kind == 1 && copied != nil && other != h:
		h.disk.replace(fmt.Sprintf("that of %s", other.id), copied)
	default:
		h.disk.damage(kind == 2)
	}
	h.mu.Lock()
	h.unsure = true
	p := h.process
	h.mu.Unlock()
	if p != nil {
		p.die()
		h.startAgent(agentRestart)
	}
}

func (h *Host) holds() bool {
	_, holds := h.w.record().Holder(h.id)
	return holds
}
