package coordtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drydock-ecs/drydock/coordination"
)

// errNoAnswer is what a read without an answer reports.
var errNoAnswer = errors.New("no answer")

// answer is what one call came to.
type answer[T any] struct {
	result T
	err    error
}

// call runs one operation through the faults of its caller. apply runs under
// the store's lock, perhaps after call has returned.
func call[T any](ctx context.Context, v View, op string, apply func() (T, error)) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, fmt.Errorf("%s: %w", op, err) // nothing was sent
	}
	fault := v.memory.begin(op, v.caller)
	land := func() answer[T] {
		if fault.Lost {
			return answer[T]{none, unanswered(op)}
		}
		v.memory.mu.Lock()
		defer v.memory.mu.Unlock()
		result, err := apply()
		return answer[T]{result, err}
	}
	ctx, cancel := context.WithTimeout(ctx, v.memory.timeout())
	defer cancel()
	told := travel(ctx, op, fault, land)
	if fault.Hang {
		<-ctx.Done()
		told = answer[T]{none, fmt.Errorf("%w: %w", unanswered(op), ctx.Err())}
	}
	if fault.Err != nil {
		told = answer[T]{none, fault.Err}
	}
	if told.err != nil {
		return none, fmt.Errorf("%s: %w", op, told.err)
	}
	return told.result, nil
}

// travel brings the call to the store: at once, after its latency, or too late
// for its answer.
func travel[T any](ctx context.Context, op string, fault Fault, land func() answer[T]) answer[T] {
	var none T
	switch {
	case fault.Late > 0:
		time.AfterFunc(fault.Late, func() { land() })
		return answer[T]{none, unanswered(op)}
	case fault.Latency > 0:
		landed := make(chan answer[T], 1)
		time.AfterFunc(fault.Latency, func() { landed <- land() })
		select {
		case told := <-landed:
			return told
		case <-ctx.Done():
			return answer[T]{none, fmt.Errorf("%w: %w", unanswered(op), ctx.Err())}
		}
	}
	return land()
}

// unanswered is what a call without an answer means.
func unanswered(op string) error {
	if op == Fetch || op == Hosts {
		return errNoAnswer
	}
	return coordination.ErrUnknown
}

// begin counts the call and asks what is to go wrong with it.
func (m *Memory) begin(op, caller string) Fault {
	m.mu.Lock()
	m.calls[[2]string{caller, op}]++
	hook, cut := m.hook, m.cut[caller]
	m.mu.Unlock()
	switch {
	case cut:
		return Fault{Lost: true, Hang: true}
	case hook != nil:
		return hook(op, caller)
	}
	return Fault{}
}

func (m *Memory) timeout() time.Duration {
	if m.Timeout > 0 {
		return m.Timeout
	}
	return Timeout
}
