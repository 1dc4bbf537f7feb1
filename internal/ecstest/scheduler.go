package ecstest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// service is a service and its present deployment.
type service struct {
	Service
	seq      int
	revision int // counts deployments
	gone     bool
}

// deployment is what its tasks' startedBy is.
func (s *service) deployment() string {
	return fmt.Sprintf("ecs-svc/%019d", s.seq*1000+s.revision)
}

// limits returns the least number of its tasks that must be healthy under a
// drain or a deployment, and the greatest number that may exist. Controllers
// other than ECS's own have the default limits.
func (s *service) limits() (low, high int) {
	l := Limits{100, 200}
	if s.Limits != nil && (s.Controller == "" || s.Controller == types.DeploymentControllerTypeEcs) {
		l = *s.Limits
	}
	return (s.Desired*l.Minimum + 99) / 100, s.Desired * l.Maximum / 100
}

// AddService adds a service. Its tasks start by and by.
func (c *Cluster) AddService(spec Service) {
	c.lock()
	defer c.unlock()
	spec.Family = cmp.Or(spec.Family, spec.Name+":1")
	c.seq++
	c.services = append(c.services, &service{Service: spec, seq: c.seq, revision: 1})
	c.plan()
}

// SetDesired changes a replica service's desired count.
func (c *Cluster) SetDesired(name string, desired int) {
	c.onService(name, func(s *service) { s.Desired = desired })
}

// Deploy begins a rolling deployment of a service: each of its tasks is
// replaced by one of the new family and revision, within its limits.
func (c *Cluster) Deploy(name, family string) {
	c.onService(name, func(s *service) {
		s.Family = family
		s.revision++
	})
}

// DeleteService deletes a service by force: it is INACTIVE and its tasks are
// told to stop.
func (c *Cluster) DeleteService(name string) {
	c.onService(name, func(s *service) {
		s.gone = true
		for _, t := range c.tasks {
			if t.svc == s {
				c.stop(t, "the service was deleted")
			}
		}
	})
}

func (c *Cluster) onService(name string, do func(*service)) {
	c.lock()
	defer c.unlock()
	if s := c.service(name); s != nil {
		do(s)
		c.plan()
	}
}

func (c *Cluster) service(name string) *service {
	name = name[strings.LastIndex(name, "/")+1:]
	i := slices.IndexFunc(c.services, func(s *service) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return c.services[i]
}

// plan has the scheduler look soon; looks asked for meanwhile are one.
func (c *Cluster) plan() {
	if c.planned {
		return
	}
	c.planned = true
	c.after(c.cfg.SchedulerDelay, func() {
		c.planned = false
		c.forget()
		for _, s := range c.services {
			switch {
			case s.gone:
			case s.Daemon:
				c.scheduleDaemon(s)
			default:
				c.scheduleReplica(s)
			}
		}
	})
}

// forget drops tasks that cannot be described any more, also not by a read
// that is a while behind.
func (c *Cluster) forget() {
	c.tasks = slices.DeleteFunc(c.tasks, func(t *task) bool {
		return t.last == stopped && c.now.Sub(t.past[len(t.past)-1].at) > 2*stoppedVisible
	})
}

// census is a replica service's tasks, as the scheduler sees them.
type census struct {
	exist   int     // not STOPPED
	healthy int     // run and pass their checks
	leaving []*task // have to go: instance DRAINING, or an old deployment
	staying []*task
}

func (c *Cluster) census(s *service) census {
	var n census
	for _, t := range c.tasks {
		if t.svc != s || t.last == stopped {
			continue
		}
		n.exist++
		if t.desired == stopped {
			continue
		}
		if t.healthy {
			n.healthy++
		}
		if c.leaves(t) {
			n.leaving = append(n.leaving, t)
		} else {
			n.staying = append(n.staying, t)
		}
	}
	return n
}

// leaves tells whether a task has to go.
func (c *Cluster) leaves(t *task) bool {
	return t.inst.status != active || t.startedBy != t.svc.deployment()
}

// scheduleReplica starts what is wanted while there is room under the upper
// limit, and stops what has to go while the rest is enough.
func (c *Cluster) scheduleReplica(s *service) {
	n := c.census(s)
	low, high := s.limits()
	for have := len(n.staying); have < s.Desired && n.exist < high; have++ {
		i := c.place(s)
		if i == nil {
			break
		}
		c.startService(s, i)
		n.exist++
	}
	for _, t := range n.leaving {
		c.relieve(&n, t, low)
	}
	for k := len(n.staying) - 1; k >= s.Desired; k-- {
		c.relieve(&n, n.staying[k], low)
	}
}

// relieve stops a task unless it is protected, or is needed to stay above low.
func (c *Cluster) relieve(n *census, t *task, low int) {
	if t.protected.After(c.now) || t.healthy && n.healthy <= low {
		return
	}
	if t.healthy {
		n.healthy--
	}
	c.stop(t, "the scheduler moved it")
}

// scheduleDaemon keeps one task on each ACTIVE instance. On a DRAINING one it
// goes last, when no replica task is left.
func (c *Cluster) scheduleDaemon(s *service) {
	for _, i := range c.instances {
		var mine, replicas int
		for _, t := range c.on(i) {
			switch {
			case t.svc != s && t.svc != nil && !t.svc.Daemon:
				replicas++
			case t.svc == s:
				mine++
			}
		}
		for _, t := range c.on(i) {
			if t.svc == s && t.desired == running && c.leaves(t) &&
				!t.protected.After(c.now) && (i.status == active || replicas == 0) {
				c.stop(t, "the scheduler stopped it")
			}
		}
		if mine == 0 && i.status == active && i.connected {
			c.startService(s, i)
		}
	}
}

// place picks an instance for a task of s: one with the fewest of its tasks,
// then the fewest tasks at all. Nil when none will do.
func (c *Cluster) place(s *service) *instance {
	var best *instance
	var bestMine, bestAll int
	for _, i := range c.instances {
		if i.status != active || !i.connected {
			continue
		}
		here := c.on(i)
		mine := 0
		for _, t := range here {
			if t.svc == s {
				mine++
			}
		}
		full := i.host.Slots > 0 && len(here) >= i.host.Slots || s.PerHost > 0 && mine >= s.PerHost
		if !full && (best == nil || mine < bestMine || mine == bestMine && len(here) < bestAll) {
			best, bestMine, bestAll = i, mine, len(here)
		}
	}
	return best
}

func (c *Cluster) startService(s *service, i *instance) {
	life := c.cfg.Life
	if s.Life != nil {
		life = *s.Life
	}
	t := c.start(&task{
		svc:       s,
		family:    s.Family,
		group:     "service:" + s.Name,
		startedBy: s.deployment(),
		inst:      i,
		life:      life,
	})
	if s.Protected > 0 {
		c.protect(t, s.Protected)
	}
}
