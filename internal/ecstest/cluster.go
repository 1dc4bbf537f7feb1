package ecstest

import (
	"cmp"
	"container/heap"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Cluster is the model of one ECS cluster. All methods may be called by
// several goroutines.
type Cluster struct {
	cfg    Config
	closed chan struct{}

	mu        sync.Mutex
	now       time.Time // the moment that the model is at
	queue     queue
	timer     *time.Timer // wakes the model for the head of the queue
	seq       int         // names tasks, instances and events
	hosts     []*host
	instances []*instance
	services  []*service
	tasks     []*task
	killed    []Killed
	calls     map[callKey]int
	fault     func(Call) Fault
	planned   bool // a pass of the scheduler is in the queue
}

// New returns an empty cluster.
func New(cfg Config) *Cluster {
	cfg.Name = cmp.Or(cfg.Name, "demo")
	cfg.Region = cmp.Or(cfg.Region, "eu-west-1")
	cfg.Account = cmp.Or(cfg.Account, "111122223333")
	return &Cluster{
		cfg:    cfg,
		closed: make(chan struct{}),
		now:    time.Now(),
		calls:  make(map[callKey]int),
		fault:  cfg.Fault,
	}
}

// Close stops the model's timer and lets hanging calls go. It may be called
// once.
func (c *Cluster) Close() {
	close(c.closed)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = nil
	if c.timer != nil {
		c.timer.Stop()
	}
}

// ARN returns the cluster's ARN.
func (c *Cluster) ARN() string { return c.arn("cluster", c.cfg.Name) }

func (c *Cluster) arn(kind, path string) string {
	return fmt.Sprintf("arn:aws:ecs:%s:%s:%s/%s", c.cfg.Region, c.cfg.Account, kind, path)
}

// newARN names the next thing of a kind.
func (c *Cluster) newARN(kind string) string {
	c.seq++
	return c.arn(kind, fmt.Sprintf("%s/%032x", c.cfg.Name, c.seq))
}

// event is something that is due.
type event struct {
	at  time.Time
	seq int
	do  func()
}

// queue is a heap of events by time, then by age.
type queue []event

func (q queue) Len() int      { return len(q) }
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q queue) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].seq < q[j].seq
}

// Push implements heap.Interface.
func (q *queue) Push(e any) { *q = append(*q, e.(event)) }

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = event{}
	*q = (*q)[:last]
	return e
}

// lock enters the model and brings it up to the present.
func (c *Cluster) lock() {
	c.mu.Lock()
	c.catchUp()
}

// unlock leaves the model, with what the visit made due done.
func (c *Cluster) unlock() {
	c.catchUp()
	c.arm()
	c.mu.Unlock()
}

// catchUp does what is due, each thing at its own moment.
func (c *Cluster) catchUp() {
	now := time.Now()
	for len(c.queue) > 0 && !c.queue[0].at.After(now) {
		e := heap.Pop(&c.queue).(event)
		c.now = e.at
		e.do()
	}
	c.now = now
}

// arm sets the timer for the next event.
func (c *Cluster) arm() {
	switch {
	case len(c.queue) == 0:
		if c.timer != nil {
			c.timer.Stop()
		}
	case c.timer == nil:
		c.timer = time.AfterFunc(time.Until(c.queue[0].at), c.tick)
	default:
		c.timer.Reset(time.Until(c.queue[0].at))
	}
}

func (c *Cluster) tick() {
	select {
	case <-c.closed:
	default:
		c.lock()
		c.unlock()
	}
}

// after plans do for a length of the model's life from now.
func (c *Cluster) after(d time.Duration, do func()) {
	if c.cfg.Vary != nil {
		d = c.cfg.Vary(d)
	}
	c.at(c.now.Add(max(d, 0)), do)
}

// at plans do for a moment.
func (c *Cluster) at(moment time.Time, do func()) {
	c.seq++
	heap.Push(&c.queue, event{moment, c.seq, do})
}

// Instances returns every container instance, oldest first.
func (c *Cluster) Instances() []Instance {
	c.lock()
	defer c.unlock()
	all := make([]Instance, 0, len(c.instances))
	for _, i := range c.instances {
		all = append(all, Instance{i.host.ID, i.arn, i.status, i.connected, i.by, i.host.inst == i})
	}
	return all
}

// Status returns the status of the host's present container instance, "" when
// it has none.
func (c *Cluster) Status(host string) string {
	c.lock()
	defer c.unlock()
	if h := c.host(host); h != nil && h.inst != nil {
		return h.inst.status
	}
	return ""
}

// Tasks returns every task that has not stopped, oldest first.
func (c *Cluster) Tasks() []Task {
	c.lock()
	defer c.unlock()
	var all []Task
	for _, t := range c.tasks {
		if t.last != stopped {
			all = append(all, Task{t.arn, t.inst.host.ID, t.kind(), t.service(), t.family, t.desired, t.last, t.protected})
		}
	}
	return all
}

// Killed returns the tasks that a host's end killed, oldest first: everything
// on it that was not STOPPED yet.
func (c *Cluster) Killed() []Killed {
	c.lock()
	defer c.unlock()
	return slices.Clone(c.killed)
}
