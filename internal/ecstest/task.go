package ecstest

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// The states of a task.
const (
	pending        = "PENDING"
	running        = "RUNNING"
	deactivating   = "DEACTIVATING"
	stopping       = "STOPPING"
	deprovisioning = "DEPROVISIONING"
	stopped        = "STOPPED"
)

// stoppedVisible is how long a STOPPED task can be described.
const stoppedVisible = time.Hour

// task is one task on one container instance.
type task struct {
	arn       string
	svc       *service // nil: standalone
	family    string   // with revision
	group     string
	startedBy string
	inst      *instance
	life      Life
	length    time.Duration // of a standalone task; 0: for ever
	protected time.Time
	created   time.Time

	desired, last string
	reason        string // why it stopped
	healthy       bool
	delivered     bool // its agent was there to be given it
	dead          bool // its host went away under it; ECS does not know yet
	waiting       bool // its next step waits for the agent
	past          []taskMoment
}

// taskMoment is what ECS showed from a moment on.
type taskMoment struct {
	at            time.Time
	desired, last string
}

func (t *task) kind() string {
	switch {
	case t.svc == nil:
		return "standalone"
	case t.svc.Daemon:
		return "daemon"
	}
	return "replica"
}

// service returns the service's name, "" without one.
func (t *task) service() string {
	if t.svc == nil {
		return ""
	}
	return t.svc.Name
}

// reachable tells whether the task's agent can be told anything.
func (t *task) reachable() bool {
	h := t.inst.host
	return h.session && h.inst == t.inst
}

// as returns the task as it was at a moment; false: it was not there.
func (t *task) as(at time.Time) (taskMoment, bool) {
	for k := len(t.past) - 1; k >= 0; k-- {
		if m := t.past[k]; !m.at.After(at) {
			return m, m.last != stopped || at.Sub(m.at) <= stoppedVisible
		}
	}
	return taskMoment{}, false
}

// on returns the tasks on an instance that have not stopped.
func (c *Cluster) on(i *instance) []*task {
	var here []*task
	for _, t := range c.tasks {
		if t.inst == i && t.last != stopped {
			here = append(here, t)
		}
	}
	return here
}

// start places a task.
func (c *Cluster) start(t *task) *task {
	t.arn = c.newARN("task")
	t.created = c.now
	c.move(t, running, pending)
	c.tasks = append(c.tasks, t)
	c.proceed(t)
	return t
}

// move changes what ECS shows of a task.
func (c *Cluster) move(t *task, desired, last string) {
	t.desired, t.last = desired, last
	if last != running {
		t.healthy = false
	}
	t.past = append(t.past, taskMoment{c.now, desired, last})
	c.plan()
}

// proceed plans a task's next step, or lets it wait for its agent.
func (c *Cluster) proceed(t *task) {
	t.delivered = t.delivered || t.reachable()
	switch {
	case !t.reachable():
		t.waiting = true
	case t.desired == stopped:
		c.stopStep(t)
	case t.last == pending:
		c.step(t, pending, t.life.Pending, func() { c.nowRuns(t) })
	}
}

// step does the next thing to a task when it has been in a state for d, if it
// is still in that state and its agent is there.
func (c *Cluster) step(t *task, in string, d time.Duration, do func()) {
	c.after(d, func() {
		switch {
		case t.last != in:
		case !t.reachable():
			t.waiting = true
		default:
			do()
		}
	})
}

func (c *Cluster) nowRuns(t *task) {
	c.move(t, running, running)
	c.after(t.life.Healthy, func() {
		if t.last == running {
			t.healthy = true
			c.plan()
		}
	})
	if t.length > 0 {
		c.after(t.length, func() { c.stop(t, "the essential container exited") })
	}
}

// stop tells a task to stop. It is on its way through the states from then on.
func (c *Cluster) stop(t *task, reason string) {
	if t.desired == stopped {
		return
	}
	t.reason = reason
	c.move(t, stopped, t.last)
	c.proceed(t)
}

// stopStep takes a stopping task one state further, and plans the next.
func (c *Cluster) stopStep(t *task) {
	next, stay := stopped, time.Duration(0)
	switch t.last {
	case running:
		next, stay = deactivating, t.life.Deactivating
	case deactivating:
		next, stay = stopping, t.life.Stopping
	case stopping, pending:
		next, stay = deprovisioning, t.life.Deprovisioning
	}
	c.move(t, stopped, next)
	if next != stopped {
		c.step(t, next, stay, func() { c.stopStep(t) })
	}
}

// end makes a task STOPPED at once: nothing is left that could stop it.
func (c *Cluster) end(t *task, reason string) {
	t.reason = cmp.Or(t.reason, reason)
	t.waiting = false
	c.move(t, stopped, stopped)
}

// Run starts a standalone task on a host, as RunTask and StartTask do, and
// returns its ARN. The host's container instance must be ACTIVE.
func (c *Cluster) Run(hostID string, spec Standalone) (string, error) {
	c.lock()
	defer c.unlock()
	h := c.host(hostID)
	if h == nil || h.inst == nil || h.inst.status != active {
		return "", fmt.Errorf("no ACTIVE container instance on host %q", hostID)
	}
	t := &task{
		family:    cmp.Or(spec.Family, "job:1"),
		startedBy: spec.StartedBy,
		inst:      h.inst,
		life:      c.cfg.Life,
		length:    spec.Length,
	}
	name, _, _ := strings.Cut(t.family, ":")
	t.group = cmp.Or(spec.Group, "family:"+name)
	if spec.Life != nil {
		t.life = *spec.Life
	}
	return c.start(t).arn, nil
}

// Stop stops a task by its ARN, as a person does, without counting as a call.
func (c *Cluster) Stop(arn string) {
	c.onTask(arn, func(t *task) { c.stop(t, "stopped by a person") })
}

// Protect protects a task from the scheduler for d from now; 0 lifts it.
func (c *Cluster) Protect(arn string, d time.Duration) {
	c.onTask(arn, func(t *task) { c.protect(t, d) })
}

func (c *Cluster) protect(t *task, d time.Duration) {
	t.protected = time.Time{}
	if d > 0 {
		t.protected = c.now.Add(d)
		// The scheduler looks again when the protection is over.
		c.at(t.protected, c.plan)
	}
	c.plan()
}

func (c *Cluster) onTask(arn string, do func(*task)) {
	c.lock()
	defer c.unlock()
	for _, t := range c.tasks {
		if t.arn == arn {
			do(t)
		}
	}
}
