package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/internal/ecstest"
)

// evidence is all that was seen from outside, at the end of a run. The checks
// are functions of it alone.
type evidence struct {
	slots   int
	hosts   []hostEnd
	entries []entry
	updates []*update
	killed  []ecstest.Killed    // tasks that a reboot killed
	record  coordination.Record // the lock record at the end
	idle    map[string]int      // calls of ECS before the release appeared, by host
	rested  map[string]int      // calls of ECS after the roll-out had ended, by host
	status  string              // output of `drydock status` at the end
}

// hostEnd is a host at the end.
type hostEnd struct {
	id, name  string
	running   string // version, "" while it is down
	status    string // of its container instance
	connected bool
	gone      bool // its instance was terminated
}

// serving says whether the host is in service on a release.
func (h hostEnd) serving(release string) bool {
	return h.running == release && h.status == "ACTIVE" && h.connected
}

func (h hostEnd) String() string {
	running := h.running
	if running == "" {
		running = "nothing"
	}
	connection := "connected"
	if !h.connected {
		connection = "not connected"
	}
	return fmt.Sprintf("%s runs %s, %s, %s", h.name, running, h.status, connection)
}

// ends looks at all hosts as they are now.
func (w *world) ends() []hostEnd {
	connected := make(map[string]bool)
	for _, i := range w.ecs.Instances() {
		if i.Current {
			connected[i.Host] = i.Connected
		}
	}
	ends := make([]hostEnd, 0, len(w.all()))
	for _, h := range w.all() {
		ends = append(ends, hostEnd{h.id, h.name, h.api.Running(), w.ecs.Status(h.id), connected[h.id], h.life.Err() != nil})
	}
	return ends
}

// ecsCalls counts the calls of ECS by host.
func (w *world) ecsCalls() map[string]int {
	calls := make(map[string]int)
	for _, h := range w.all() {
		calls[h.id] = w.ecs.Count(h.id, "")
	}
	return calls
}

// gather puts the evidence together. idle and busy are the counts of ECS calls
// when the release appeared and when the roll-out had ended.
func (w *world) gather(ctx context.Context, idle, busy map[string]int, status string) (evidence, error) {
	record, err := w.fleet.Look(ctx)
	if err != nil {
		return evidence{}, err
	}
	e := evidence{
		slots: w.options.slots, hosts: w.ends(), entries: w.ledger.all(), killed: w.ecs.Killed(),
		record: record, idle: idle, rested: make(map[string]int), status: status,
	}
	for host, now := range w.ecsCalls() {
		e.rested[host] = now - busy[host]
	}
	e.updates = updatesOf(e.entries, oldRelease)
	w.charge(e.updates, idle, busy)
	return e, nil
}

// charge divides what a host spent among its updates. All stories but those
// with a second attempt have one a host.
func (w *world) charge(updates []*update, idle, busy map[string]int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	shares := make(map[string]int)
	for _, u := range updates {
		shares[u.host]++
	}
	for _, u := range updates {
		u.ecsCalls = (busy[u.host] - idle[u.host]) / shares[u.host]
		u.dbWrites = w.lockWrites[u.host] / shares[u.host]
		u.ecsOps = w.ecsOps(u.host)
	}
}

// ecsOps lists a host's calls of ECS by operation.
func (w *world) ecsOps(host string) string {
	var ops []string
	for _, c := range w.ecs.Calls() {
		if c.Caller == host {
			ops = append(ops, fmt.Sprintf("%d %s", c.N, c.Op))
		}
	}
	return strings.Join(ops, ", ")
}
