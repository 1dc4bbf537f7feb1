package scale

import (
	"context"
	"fmt"
	"time"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/apiclientx"
)

// bottlerocket is the host's API.
type bottlerocket struct{ *host }

func (b bottlerocket) OS(context.Context) (apiclientx.OS, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return apiclientx.OS{VariantID: "aws-ecs-2", VersionID: b.running, Arch: "x86_64"}, nil
}

func (b bottlerocket) Updates(context.Context) (apiclientx.Status, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status(nil), nil
}

// status is what the API shows. The lock must be held.
func (b bottlerocket) status(last *apiclientx.Command) apiclientx.Status {
	s := apiclientx.Status{State: apiclientx.Idle, Last: last}
	if b.running == newRelease || !b.run.offered() {
		return s
	}
	s.State, s.Chosen = apiclientx.Available, &apiclientx.Image{Version: newRelease}
	if b.staged {
		s.State = apiclientx.Staged
		s.Staging = &apiclientx.Partition{Image: *s.Chosen, NextToBoot: b.ready}
	}
	if b.ready {
		s.State = apiclientx.Ready
	}
	return s
}

func (b bottlerocket) Do(ctx context.Context, action apiclientx.Action) (apiclientx.Status, error) {
	length := refresh
	if action == apiclientx.Prepare {
		length = b.draw(download/2, download*3/2)
	}
	if err := pause(ctx, length); err != nil {
		return apiclientx.Status{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	said := ""
	switch action {
	case apiclientx.Prepare:
		b.staged, said = true, "Starting update to "+newRelease
		b.run.judge.joins(b.host)
	case apiclientx.Activate:
		b.ready = true
	case apiclientx.Deactivate:
		b.ready = false
	}
	return b.status(&apiclientx.Command{Type: action.Verb(), Status: "Success", Timestamp: time.Now(), Stderr: &said}), nil
}

func (b bottlerocket) Reboot(context.Context) error {
	b.reboot()
	return nil
}

// node is the host's container instance.
type node struct{ *host }

// call takes the time of a call of ECS.
func (h *host) call(ctx context.Context) error {
	return pause(ctx, h.draw(20*time.Millisecond, 80*time.Millisecond))
}

func (n node) Self(context.Context) (agent.Self, error) {
	if n.sinceBoot() < registration {
		return agent.Self{}, errDown
	}
	return agent.Self{Cluster: clusterARN, ARN: n.arn}, nil
}

func (n node) Look(ctx context.Context, _ agent.Self) (agent.Instance, error) {
	if err := n.call(ctx); err != nil {
		return agent.Instance{}, err
	}
	return n.show(), nil
}

func (n node) show() agent.Instance {
	n.mu.Lock()
	defer n.mu.Unlock()
	i := agent.Instance{Status: "ACTIVE", Connected: time.Since(n.booted) >= registration+connection}
	if !n.draining.IsZero() {
		i.Status = "DRAINING"
	}
	if n.occupied() > 0 {
		i.Tasks = 1
	}
	return i
}

func (n node) Drain(ctx context.Context, _ agent.Self) error {
	if err := n.call(ctx); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.draining = time.Now()
	return nil
}

func (n node) Activate(ctx context.Context, _ agent.Self) (agent.Instance, error) {
	if err := n.call(ctx); err != nil {
		return agent.Instance{}, err
	}
	n.mu.Lock()
	n.draining = time.Time{}
	n.mu.Unlock()
	return n.show(), nil
}

// tasks is the one task of a host.
type tasks struct{ *host }

// occupied is how long the task still stays; an hour while nothing drains the
// host. The lock must be held.
func (h *host) occupied() time.Duration {
	if h.draining.IsZero() {
		return time.Hour
	}
	return max(h.drains-time.Since(h.draining), 0)
}

func (h *host) list() []agent.Task {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.occupied() == 0 {
		return nil
	}
	return []agent.Task{{ARN: "arn:aws:ecs:" + region + ":" + account + ":task/production/0", Kind: agent.Replica, Service: "web", Family: "web:1", Status: "RUNNING"}}
}

func (t tasks) Classify(ctx context.Context, _ agent.Self) (agent.Inventory, error) {
	err := t.call(ctx)
	return agent.Inventory{Tasks: t.list()}, err
}

// longPoll is less than the agent's turn may take.
const longPoll = 2 * time.Minute

// Local answers late while the task stays: the agent asks twice a second, and
// for the lock it makes no difference when it hears that nothing has changed.
func (t tasks) Local(ctx context.Context) ([]agent.Task, error) {
	t.mu.Lock()
	wait := time.Duration(0)
	if !t.draining.IsZero() {
		wait = min(t.occupied(), longPoll)
	}
	t.mu.Unlock()
	if wait > 0 {
		if err := pause(ctx, wait); err != nil {
			return nil, err
		}
	}
	return t.list(), nil
}

func (t tasks) Remaining(ctx context.Context, _ agent.Self) ([]agent.Task, error) {
	err := t.call(ctx)
	return t.list(), err
}

func (t tasks) Stop(context.Context, agent.Self, agent.Task) error { return errDown }

// surroundings are the instance and its kernel.
type surroundings struct{ *host }

func (s surroundings) Identity(context.Context) (agent.Identity, error) {
	return agent.Identity{Instance: s.id, Region: region, Account: account, Zone: s.zone}, nil
}

func (s surroundings) Leaving(context.Context) (string, error) { return "", nil }

func (s surroundings) Boot() (agent.Boot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return agent.Boot{ID: fmt.Sprintf("%s-4d7c-9a55-6f1f3e6f%04d", s.id[2:15], s.boots), Uptime: time.Since(s.booted)}, nil
}

func (s surroundings) Claim(string) error { return nil }

// intentFile is the file, in memory.
type intentFile struct{ *host }

func (i intentFile) Load() ([]byte, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.intent == nil {
		return nil, agent.ErrNoIntent
	}
	return i.intent, nil
}

func (i intentFile) Save(data []byte) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.intent = data
	return nil
}

func (i intentFile) SetAside(string) (string, error) { return "", errDown }
