package ecstest

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// The statuses of a container instance.
const (
	active   = "ACTIVE"
	draining = "DRAINING"
	inactive = "INACTIVE"
)

// inactiveVisible is how long an INACTIVE instance can be described.
const inactiveVisible = time.Hour

// host is a machine with an ECS agent.
type host struct {
	Host
	up         bool // the machine runs
	agentUp    bool // its ECS agent may run
	registered bool // the agent has registered in this run: it can be asked
	session    bool // the agent is connected, truly
	forgetful  bool // its next registration is a new one
	run        int  // counts starts and ends, to tell old events from new ones
	ends       int  // counts ends of sessions, likewise
	inst       *instance
}

// instance is a container instance: a registration of a host.
type instance struct {
	arn        string
	host       *host
	status     string
	connected  bool // as ECS shows it
	by         string
	version    int64
	registered time.Time
	ended      time.Time // INACTIVE since
	impaired   map[types.InstanceHealthCheckType]string
	past       []instanceMoment
}

// instanceMoment is what ECS showed from a moment on.
type instanceMoment struct {
	at        time.Time
	status    string
	connected bool
}

// AddHost adds a machine. A second one of the same id is an error.
func (c *Cluster) AddHost(spec Host) error {
	c.lock()
	defer c.unlock()
	if c.host(spec.ID) != nil {
		return fmt.Errorf("host %s is there already", spec.ID)
	}
	h := &host{Host: spec, agentUp: true, up: !spec.Down}
	c.hosts = append(c.hosts, h)
	if h.up {
		c.register(h)
		c.connect(h)
	}
	return nil
}

func (c *Cluster) host(id string) *host {
	i := slices.IndexFunc(c.hosts, func(h *host) bool { return h.ID == id })
	if i < 0 {
		return nil
	}
	return c.hosts[i]
}

// onHost visits a host that must be there.
func (c *Cluster) onHost(id string, do func(*host)) {
	c.lock()
	defer c.unlock()
	if h := c.host(id); h != nil {
		do(h)
	}
}

// HostDown ends a host, as a reboot or a loss of power does. Every task on it
// that has not STOPPED is killed at once; ECS hears of it later, if ever.
func (c *Cluster) HostDown(id string) {
	c.onHost(id, func(h *host) {
		h.up = false
		c.kill(h)
		c.endSession(h)
	})
}

// HostUp starts a host again. Its agent registers after AgentLife.Register,
// with the ARN and in the status that it had before, and is connected after
// AgentLife.Connect.
func (c *Cluster) HostUp(id string) {
	c.onHost(id, func(h *host) {
		if !h.up {
			h.up = true
			c.startAgent(h)
		}
	})
}

// AgentDown ends the host's ECS agent and keeps it from starting, over boots
// too. Tasks go on running.
func (c *Cluster) AgentDown(id string) {
	c.onHost(id, func(h *host) {
		h.agentUp = false
		c.endSession(h)
	})
}

// AgentUp lets the host's ECS agent start again.
func (c *Cluster) AgentUp(id string) {
	c.onHost(id, func(h *host) {
		if !h.agentUp {
			h.agentUp = true
			c.startAgent(h)
		}
	})
}

// NewRegistration makes the host's ECS agent forget who it was: it registers
// anew under a new ARN, at once when the host is up, else at its next start.
// The old record stays as it is, without its agent.
func (c *Cluster) NewRegistration(id string) {
	c.onHost(id, func(h *host) {
		h.forgetful = true
		c.endSession(h)
		if h.up {
			c.startAgent(h)
		}
	})
}

// Terminate ends a host for ever. ECS deregisters it by itself if its agent
// was connected.
func (c *Cluster) Terminate(id string) {
	c.onHost(id, func(h *host) {
		connected := h.session
		h.up, h.agentUp = false, false
		c.kill(h)
		c.endSession(h)
		if connected {
			c.deregister(h.inst, "ecs")
		}
	})
}

// SetStatus sets the host's container instance ACTIVE or DRAINING, as the
// named person does, without counting as a call.
func (c *Cluster) SetStatus(id, status, who string) {
	c.onHost(id, func(h *host) {
		if h.inst != nil && h.inst.status != inactive {
			c.setStatus(h.inst, status, who)
		}
	})
}

// Deregister makes the host's container instance INACTIVE, as the named person
// does. Its agent goes on answering locally until it ends; it cannot register
// again but under a new ARN.
func (c *Cluster) Deregister(id, who string) {
	c.onHost(id, func(h *host) {
		if h.inst != nil {
			c.deregister(h.inst, who)
		}
	})
}

// Impair sets a health check of the host's container instance to IMPAIRED, for
// the reason given.
func (c *Cluster) Impair(id string, check types.InstanceHealthCheckType, reason string) {
	c.onHost(id, func(h *host) {
		if h.inst != nil {
			h.inst.impaired[check] = reason
		}
	})
}

// Heal sets all health checks of the host's container instance to OK.
func (c *Cluster) Heal(id string) {
	c.onHost(id, func(h *host) {
		if h.inst != nil {
			clear(h.inst.impaired)
		}
	})
}

// startAgent lets the agent register and connect, each after its time.
func (c *Cluster) startAgent(h *host) {
	h.run++
	run := h.run
	c.after(c.cfg.Agent.Register, func() {
		if h.run != run || !h.up || !h.agentUp || !c.register(h) {
			return
		}
		c.after(c.cfg.Agent.Connect, func() {
			if h.run == run {
				c.connect(h)
			}
		})
	})
}

// register gives the host its container instance, the old one if it has one.
// It fails for one that was deregistered.
func (c *Cluster) register(h *host) bool {
	if h.inst == nil || h.forgetful {
		c.disown(h.inst)
		h.inst = &instance{
			arn:        c.newARN("container-instance"),
			host:       h,
			registered: c.now,
			impaired:   make(map[types.InstanceHealthCheckType]string),
		}
		h.forgetful = false
		c.instances = append(c.instances, h.inst)
		c.setStatus(h.inst, active, "ecs-agent")
	}
	h.registered = h.inst.status != inactive
	return h.registered
}

// disown ends what a lost registration left behind: nobody is there any more
// to report on its tasks.
func (c *Cluster) disown(i *instance) {
	if i == nil {
		return
	}
	i.connected = false
	i.note(c.now)
	for _, t := range c.on(i) {
		c.end(t, "the container instance registered anew")
	}
}

// connect opens the agent's session: it reports what died and does what waits.
func (c *Cluster) connect(h *host) {
	if h.inst.status == inactive {
		return
	}
	h.session = true
	h.inst.connected = true
	h.inst.note(c.now)
	for _, t := range c.on(h.inst) {
		switch {
		case t.dead:
			c.end(t, "the container instance restarted")
		case t.waiting:
			t.waiting = false
			c.proceed(t)
		}
	}
	c.plan()
}

// endSession ends the agent; ECS notices after a while, unless it is back.
func (c *Cluster) endSession(h *host) {
	h.run++
	h.ends++
	h.registered, h.session = false, false
	i, ends := h.inst, h.ends
	if i == nil {
		return
	}
	c.after(c.cfg.Agent.Disconnect, func() {
		if h.ends == ends && !h.session {
			i.connected = false
			i.note(c.now)
			c.plan()
		}
	})
}

// kill writes down what dies with the host.
func (c *Cluster) kill(h *host) {
	if h.inst == nil {
		return
	}
	for _, t := range c.on(h.inst) {
		if t.dead || !t.delivered {
			continue
		}
		t.dead = true
		c.killed = append(c.killed, Killed{
			At: c.now, Host: h.ID, ARN: t.arn, Kind: t.kind(), Service: t.service(), Family: t.family,
			Desired: t.desired, Last: t.last, Protected: t.protected.After(c.now),
		})
	}
}

// deregister ends a registration; ECS forgets its tasks.
func (c *Cluster) deregister(i *instance, who string) {
	if i.status == inactive {
		return
	}
	i.connected = false
	i.ended = c.now
	c.setStatus(i, inactive, who)
	for _, t := range c.on(i) {
		c.end(t, "the container instance was deregistered")
	}
}

// setStatus changes what ECS shows and tells the observer. DRAINING stops
// PENDING tasks of services at once; the rest is the scheduler's.
func (c *Cluster) setStatus(i *instance, status, by string) {
	from := i.status
	i.status, i.by = status, by
	i.note(c.now)
	if from != status && c.cfg.Observe != nil {
		c.cfg.Observe(Change{c.now, i.host.ID, i.arn, from, status, by})
	}
	if status == draining {
		for _, t := range c.on(i) {
			if t.svc != nil && t.last == pending {
				c.stop(t, "the container instance is draining")
			}
		}
	}
	c.plan()
}

// note keeps the present for stale reads.
func (i *instance) note(now time.Time) {
	i.version++
	i.past = append(i.past, instanceMoment{now, i.status, i.connected})
}

// as returns the instance as it was at a moment; false: it was not there.
func (i *instance) as(at time.Time) (instanceMoment, bool) {
	if !i.ended.IsZero() && at.Sub(i.ended) > inactiveVisible {
		return instanceMoment{}, false
	}
	for k := len(i.past) - 1; k >= 0; k-- {
		if !i.past[k].at.After(at) {
			return i.past[k], true
		}
	}
	return instanceMoment{}, false
}

// health returns the instance's health checks.
func (i *instance) health() *types.ContainerInstanceHealthStatus {
	h := &types.ContainerInstanceHealthStatus{OverallStatus: types.InstanceHealthCheckStateOk}
	checks := map[types.InstanceHealthCheckType]string{types.InstanceHealthCheckTypeContainerRuntime: ""}
	maps.Copy(checks, i.impaired)
	for _, check := range slices.Sorted(maps.Keys(checks)) {
		result := types.InstanceHealthCheckResult{Type: check, Status: types.InstanceHealthCheckStateOk}
		if reason, bad := i.impaired[check]; bad {
			result.Status, result.StatusReason = types.InstanceHealthCheckStateImpaired, aws.String(reason)
			h.OverallStatus = types.InstanceHealthCheckStateImpaired
		}
		h.Details = append(h.Details, result)
	}
	return h
}
