package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/internal/dynamotest"
	"github.com/drydock-ecs/drydock/internal/ec2test"
	"github.com/drydock-ecs/drydock/internal/ecstest"
)

// seeStatus writes down what ECS did with a container instance. It is called
// with the stand-in's lock held.
func (w *world) seeStatus(c ecstest.Change) {
	switch {
	case c.From == "":
	case c.To == "DRAINING":
		w.ledger.addAt(entry{c.At, c.Host, draining, c.By})
	case c.To == "ACTIVE":
		w.ledger.addAt(entry{c.At, c.Host, nowActive, c.By})
	}
}

// seeECS sees the calls of ECS and lets a story into them.
func (w *world) seeECS(c ecstest.Call) ecstest.Fault {
	if c.Op == "DescribeContainerInstances" && w.ledger.at(c.Caller) == preparing {
		w.ledger.add(c.Caller, askedGate, "")
	}
	w.mu.Lock()
	fault := w.ecsFault
	w.mu.Unlock()
	if fault == nil {
		return ecstest.Fault{}
	}
	return fault(c)
}

// seeTable counts the writes of the lock record and lets a story into the
// calls.
func (w *world) seeTable(c dynamotest.Call) dynamotest.Fault {
	w.mu.Lock()
	if c.Write && c.Item == "lock" {
		w.lockWrites[c.Caller]++
	}
	fault := w.dbFault
	w.mu.Unlock()
	if fault == nil || c.Caller == observer {
		return dynamotest.Fault{}
	}
	return fault(c)
}

// seeEC2 writes down who asks about whom.
func (w *world) seeEC2(c ec2test.Call) ec2test.Fault {
	var others []string
	for _, id := range c.IDs {
		if id != c.Caller {
			others = append(others, w.name(id))
		}
	}
	w.ledger.add(c.Caller, askedEC2, strings.Join(others, ", "))
	return ec2test.Fault{}
}

// setFaults lets a story into the calls from now on.
func (w *world) setFaults(ecs func(ecstest.Call) ecstest.Fault, db func(dynamotest.Call) dynamotest.Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ecsFault, w.dbFault = ecs, db
}

// observe looks at ECS and at the lock record from outside and writes down
// what changed since the look before.
func (w *world) observe(ctx context.Context) error {
	seen := sight{
		connected: make(map[string]bool),
		holders:   make(map[string]bool),
		stuck:     make(map[string]bool),
	}
	for pause(ctx, sampleDelay) {
		seen.lookAtInstances(w)
		seen.lookAtTasks(w)
		if err := seen.lookAtLock(ctx, w); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// sight is what the observer saw last, by host.
type sight struct {
	connected map[string]bool
	holders   map[string]bool
	stuck     map[string]bool
}

func (s *sight) lookAtInstances(w *world) {
	for _, i := range w.ecs.Instances() {
		if i.Current && i.Connected && !s.connected[i.Host] && w.ledger.at(i.Host) >= wentDown {
			w.ledger.add(i.Host, connected, "")
		}
		s.connected[i.Host] = i.Connected
	}
}

// lookAtTasks sees the end of a drain. A host that is not being drained may
// have no tasks, which means nothing.
func (s *sight) lookAtTasks(w *world) {
	tasks := make(map[string]int)
	for _, task := range w.ecs.Tasks() {
		tasks[task.Host]++
	}
	for _, h := range w.all() {
		if w.ledger.at(h.id) == draining && tasks[h.id] == 0 {
			w.ledger.add(h.id, drained, "")
		}
	}
}

func (s *sight) lookAtLock(ctx context.Context, w *world) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := w.fleet.Look(ctx)
	if errors.Is(err, coordination.ErrNotFound) || errors.Is(err, coordination.ErrNoTable) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, h := range w.all() {
		holder, holds := r.Holder(h.id)
		if holder.Stuck && !s.stuck[h.id] {
			w.ledger.add(h.id, markedStuck, "")
		}
		s.stuck[h.id] = holder.Stuck
		switch {
		case holds && !s.holders[h.id]:
			w.ledger.add(h.id, granted, "")
		case !holds && s.holders[h.id]:
			w.ledger.add(h.id, returned, "")
		}
		s.holders[h.id] = holds
	}
	return nil
}
