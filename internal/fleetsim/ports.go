package fleetsim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/apiclientx"
	"github.com/drydock-ecs/drydock/apiclientx/apitest"
	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/coordination/coordtest"
)

var (
	errDead   = errors.New("the process is dead")
	errRefuse = errors.New("refused")
)

// perform does a write as its fate wants it. refused is the error of a write
// that was definitely not applied, unknown that of one without an answer.
func perform[T any](p *process, name string, refused, unknown error, do func() (T, error)) (T, error) {
	var none T
	if !p.stand() {
		return none, errDead
	}
	f := p.fate(name)
	var result T
	err := refused
	if !f.Lost {
		result, err = do()
	}
	if f.Late > 0 {
		time.AfterFunc(f.Late, func() { _, _ = do() })
	}
	switch f.End {
	case NoAnswer:
		return none, unknown
	case Crash:
		p.die()
		return none, errDead
	case Reset:
		p.die()
		p.reset()
		return none, errDead
	}
	p.w.judge.check()
	if !p.stand() {
		return none, errDead
	}
	return result, err
}

// hostPort is the Bottlerocket API.
type hostPort struct {
	*process
	client *apitest.DirectClient
}

func (h hostPort) OS(ctx context.Context) (apiclientx.OS, error) {
	return read(ctx, h.process, h.client.OS)
}

func (h hostPort) Updates(ctx context.Context) (apiclientx.Status, error) {
	return read(ctx, h.process, h.client.Updates)
}

func (h hostPort) Do(ctx context.Context, action apiclientx.Action) (apiclientx.Status, error) {
	if action == apiclientx.Refresh || action == apiclientx.Prepare {
		return h.client.Do(ctx, action)
	}
	return perform(h.process, "api:"+string(action), errRefuse, errRefuse, func() (apiclientx.Status, error) { return h.client.Do(ctx, action) })
}

func (h hostPort) Reboot(ctx context.Context) error {
	_, err := perform(h.process, "api:reboot", errRefuse, errRefuse, func() (struct{}, error) {
		if err := h.lateCall(ctx); err != nil {
			return struct{}{}, err
		}
		h.w.judge.rebootRequested(h.Host)
		return struct{}{}, h.client.Reboot(context.WithoutCancel(ctx))
	})
	return err
}

// read does what changes nothing. A process that was paused has no more time
// than it had.
func read[T any](ctx context.Context, p *process, do func(context.Context) (T, error)) (T, error) {
	var none T
	if !p.stand() {
		return none, errDead
	}
	if err := ctx.Err(); err != nil {
		return none, err
	}
	result, err := do(ctx)
	if !p.stand() {
		return none, errDead
	}
	return result, err
}

// nodePort is the ECS door with its two writes under the simulation's hand.
type nodePort struct {
	*process
	agent.Node
}

func (n nodePort) Drain(ctx context.Context, self agent.Self) error {
	_, err := perform(n.process, "ecs:DRAINING", errRefuse, agent.ErrUnanswered, func() (struct{}, error) {
		if err := n.lateCall(ctx); err != nil {
			return struct{}{}, err
		}
		n.w.judge.drainsNow(n.Host)
		return struct{}{}, n.Node.Drain(context.WithoutCancel(ctx), self)
	})
	if errors.Is(err, agent.ErrUnanswered) {
		n.setUnsure()
	}
	return err
}

func (n nodePort) Self(ctx context.Context) (agent.Self, error) {
	return read(ctx, n.process, n.Node.Self)
}

func (n nodePort) Look(ctx context.Context, self agent.Self) (agent.Instance, error) {
	return read(ctx, n.process, func(ctx context.Context) (agent.Instance, error) { return n.Node.Look(ctx, self) })
}

func (n nodePort) Activate(ctx context.Context, self agent.Self) (agent.Instance, error) {
	instance, err := perform(n.process, "ecs:ACTIVE", errRefuse, errRefuse, func() (agent.Instance, error) {
		if err := n.lateCall(ctx); err != nil {
			return agent.Instance{}, err
		}
		return n.Node.Activate(context.WithoutCancel(ctx), self)
	})
	if err != nil {
		n.setUnsure()
	}
	return instance, err
}

// surroundings are the instance and its kernel.
type surroundings struct{ *process }

func (s surroundings) Identity(context.Context) (agent.Identity, error) {
	return agent.Identity{Instance: s.id, Region: "eu-west-1", Account: "111122223333", Zone: s.zone}, nil
}

func (s surroundings) Leaving(context.Context) (string, error) { return "", nil }

func (s surroundings) Boot() (agent.Boot, error) {
	s.stand()
	s.mu.Lock()
	defer s.mu.Unlock()
	return agent.Boot{ID: fmt.Sprintf("boot-%d", s.boots), Uptime: time.Since(s.bootedAt)}, nil
}

func (s surroundings) Claim(string) error { return nil }

// storePort is the lock's store with its writes under the simulation's hand.
type storePort struct {
	*process
	coordtest.View
}

func (s storePort) Fetch(ctx context.Context, fleet string) (coordination.Value, error) {
	return read(ctx, s.process, func(ctx context.Context) (coordination.Value, error) { return s.View.Fetch(ctx, fleet) })
}

func (s storePort) Replace(ctx context.Context, old coordination.Value, body []byte) (coordination.Value, error) {
	return perform(s.process, "record:"+recordWrite(s.id, old.Body, body), errRefuse, coordination.ErrUnknown, func() (coordination.Value, error) {
		if err := s.lateCall(ctx); err != nil {
			return coordination.Value{}, err
		}
		return s.View.Replace(context.WithoutCancel(ctx), old, body)
	})
}

// recordWrite names what a host does to its entry.
func recordWrite(host string, before, after []byte) string {
	b, errB := coordination.Decode(before)
	a, errA := coordination.Decode(after)
	if errA != nil || errB != nil {
		return "unreadable"
	}
	_, was := b.Holder(host)
	is, ok := a.Holder(host)
	switch {
	case ok:
		return string(is.Phase)
	case was:
		return "return"
	default:
		return "other"
	}
}

// intentWrite names what a save adds to the intent.
func intentWrite(before, after []byte) string {
	var b, a struct {
		Duty *agent.Duty `json:"duty"`
	}
	_ = json.Unmarshal(before, &b)
	_ = json.Unmarshal(after, &a)
	switch {
	case a.Duty == nil:
		return "clear"
	case b.Duty == nil:
		return "duty"
	}
	for _, mark := range []struct {
		name string
		set  bool
	}{
		{"restored", a.Duty.Restored && !b.Duty.Restored},
		{"active", a.Duty.MadeActive && !b.Duty.MadeActive},
		{"outcome", a.Duty.Outcome != b.Duty.Outcome},
		{"disarmed", !a.Duty.Armed && b.Duty.Armed},
		{"deactivated", !a.Duty.Activating && b.Duty.Activating},
		{"seen", a.Duty.Seen != b.Duty.Seen},
		{"armed", a.Duty.Asks > b.Duty.Asks},
		{"activating", a.Duty.Activating && !b.Duty.Activating},
		{"drain", a.Duty.DrainCalls > b.Duty.DrainCalls},
		{"answered", a.Duty.DrainOpen < b.Duty.DrainOpen},
	} {
		if mark.set {
			return mark.name
		}
	}
	return "again"
}
