// Package coordtest gives tests of the lock a store in memory whose calls can
// be made to fail, and suites that hold every store to the same contract.
package coordtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/drydock-ecs/drydock/coordination"
)

// Timeout is how long a call without an answer waits, unless the Memory says
// otherwise: as in package dynamo, there is a deadline on every call.
const Timeout = 5 * time.Second

// maxBody is less than DynamoDB's 400 KB for an item by what the other
// attributes take.
const maxBody = 400*1024 - 4096

// The operations, as the fault hook sees them.
const (
	Fetch    = "Fetch"
	Create   = "Create"
	Replace  = "Replace"
	PutHost  = "PutHost"
	Hosts    = "Hosts"
	PutEvent = "PutEvent"
)

// Fault is what goes wrong with one call. The zero Fault is nothing.
type Fault struct {
	// Lost: the call is not applied.
	Lost bool
	// Latency passes before the call is applied. A caller that gives up
	// meanwhile does not stop it: the write lands late.
	Latency time.Duration
	// Late: a write is answered at once and applied, if its condition then
	// holds, this much later. It was still on its way.
	Late time.Duration
	// Hang: no answer until the caller gives up, at the latest after Timeout.
	Hang bool
	// Err is reported instead of the truth. Without one, a write that is Lost,
	// Late or hangs is reported as coordination.ErrUnknown; what else it says
	// of a write that was applied is up to the test.
	Err error
}

// Applied is one change of a lock record.
type Applied struct {
	N      int // number of the change among all changes, from 1
	At     time.Time
	Caller string
	Op     string // Create, Replace or Delete
	Fleet  string
	Before []byte // nil for Create
	After  []byte // nil for Delete
}

// Memory is a coordination.Store and coordination.Rows in memory. Used
// directly it is the view of a caller without a name.
type Memory struct {
	View
	// Timeout is how long a call without an answer waits; zero means the
	// constant. To be set before the first call.
	Timeout time.Duration

	mu      sync.Mutex
	fleets  map[string]*fleet
	hook    func(op, caller string) Fault
	cut     map[string]bool
	watch   []func(Applied)
	history []Applied
	calls   map[[2]string]int // by caller and op
	tokens  int
}

// fleet is what the store holds of one fleet. Rows are kept encoded, so that
// no caller shares memory with another.
type fleet struct {
	token  string // "" without a record
	body   []byte
	hosts  map[string][]byte
	events map[string][]byte
}

// View is the store as one caller reaches it.
type View struct {
	memory *Memory
	caller string
}

var (
	_ coordination.Store = View{}
	_ coordination.Rows  = View{}
	_ coordination.Store = (*Memory)(nil)
	_ coordination.Rows  = (*Memory)(nil)
)

// NewMemory returns an empty store.
func NewMemory() *Memory {
	m := &Memory{fleets: make(map[string]*fleet), cut: make(map[string]bool), calls: make(map[[2]string]int)}
	m.View = View{memory: m}
	return m
}

// As returns the store as that caller reaches it.
func (m *Memory) As(caller string) View { return View{m, caller} }

// Faults sets the hook that is asked of every call; nil for none. It may be
// called from several goroutines at once and may not call the store.
func (m *Memory) Faults(hook func(op, caller string) Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hook = hook
}

// Cut takes a caller off the network or back on it. Calls that begin while it
// is off are never applied and not answered.
func (m *Memory) Cut(caller string, off bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cut[caller] = off
}

// Watch adds an observer of every change of a lock record. It is called in the
// order of the changes, before anybody can see them, and may not call the
// store.
func (m *Memory) Watch(observer func(Applied)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.watch = append(m.watch, observer)
}

// History returns all changes of lock records so far.
func (m *Memory) History() []Applied {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.history)
}

// Calls counts what a caller asked for, faults included; "" for any caller or
// any operation.
func (m *Memory) Calls(caller, op string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	sum := 0
	for key, n := range m.calls {
		if (caller == "" || caller == key[0]) && (op == "" || op == key[1]) {
			sum += n
		}
	}
	return sum
}

// Delete removes a fleet's lock record, as only an operator can.
func (m *Memory) Delete(fleet string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.fleet(fleet)
	if f.token == "" {
		return
	}
	m.changed(Applied{Caller: "operator", Op: "Delete", Fleet: fleet, Before: f.body})
	f.token, f.body = "", nil
}

// Events returns the event rows of a fleet in order of their keys.
func (m *Memory) Events(fleet string) []coordination.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	var events []coordination.Event
	for _, key := range slices.Sorted(maps.Keys(m.fleet(fleet).events)) {
		var event coordination.Event
		if json.Unmarshal(m.fleet(fleet).events[key], &event) == nil {
			events = append(events, event)
		}
	}
	return events
}

// Fetch is coordination.Store's.
func (v View) Fetch(ctx context.Context, name string) (coordination.Value, error) {
	return call(ctx, v, Fetch, func() (coordination.Value, error) {
		f := v.memory.fleet(name)
		if f.token == "" {
			return coordination.Value{}, coordination.ErrNotFound
		}
		return coordination.Value{Fleet: name, Token: f.token, Body: bytes.Clone(f.body)}, nil
	})
}

// Create is coordination.Store's.
func (v View) Create(ctx context.Context, name string, body []byte) (coordination.Value, error) {
	return v.write(ctx, Create, coordination.Value{Fleet: name}, body)
}

// Replace is coordination.Store's.
func (v View) Replace(ctx context.Context, old coordination.Value, body []byte) (coordination.Value, error) {
	return v.write(ctx, Replace, old, body)
}

// write stores body when the record's token is still old's; Create's old has
// none, and neither has a record that is not there.
func (v View) write(ctx context.Context, op string, old coordination.Value, body []byte) (coordination.Value, error) {
	body = append([]byte{}, body...)
	return call(ctx, v, op, func() (coordination.Value, error) {
		m, f := v.memory, v.memory.fleet(old.Fleet)
		tooBig, taken := len(body) > maxBody, f.token != old.Token || (op == Replace && f.token == "")
		switch {
		// As DynamoDB: a new item is measured first, an update is last.
		case taken && (op == Replace || !tooBig):
			return coordination.Value{}, coordination.ErrConflict
		case tooBig:
			return coordination.Value{}, fmt.Errorf("the body has %d bytes, more than %d", len(body), maxBody)
		}
		m.changed(Applied{Caller: v.caller, Op: op, Fleet: old.Fleet, Before: f.body, After: body})
		m.tokens++
		f.token, f.body = strconv.Itoa(m.tokens), body
		return coordination.Value{Fleet: old.Fleet, Token: f.token, Body: bytes.Clone(body)}, nil
	})
}

// PutHost is coordination.Rows'.
func (v View) PutHost(ctx context.Context, name string, row coordination.HostRow) error {
	encoded, err := json.Marshal(row)
	if err != nil {
		return err
	}
	_, err = call(ctx, v, PutHost, func() (struct{}, error) {
		v.memory.fleet(name).hosts[row.Host] = encoded
		return struct{}{}, nil
	})
	return err
}

// PutEvent is coordination.Rows'.
func (v View) PutEvent(ctx context.Context, name string, event coordination.Event) error {
	encoded, err := json.Marshal(event)
	if err != nil {
		return err
	}
	_, err = call(ctx, v, PutEvent, func() (struct{}, error) {
		v.memory.fleet(name).events[event.Key()] = encoded
		return struct{}{}, nil
	})
	return err
}

// Hosts is coordination.Rows'.
func (v View) Hosts(ctx context.Context, name string) ([]coordination.HostRow, error) {
	return call(ctx, v, Hosts, func() ([]coordination.HostRow, error) {
		hosts := v.memory.fleet(name).hosts
		var rows []coordination.HostRow
		for _, host := range slices.Sorted(maps.Keys(hosts)) {
			var row coordination.HostRow
			if err := json.Unmarshal(hosts[host], &row); err != nil {
				return nil, err
			}
			rows = append(rows, row)
		}
		return rows, nil
	})
}

// fleet returns the fleet, to be used under the lock.
func (m *Memory) fleet(name string) *fleet {
	f := m.fleets[name]
	if f == nil {
		f = &fleet{hosts: make(map[string][]byte), events: make(map[string][]byte)}
		m.fleets[name] = f
	}
	return f
}

// changed tells the observers, under the lock.
func (m *Memory) changed(a Applied) {
	a.N, a.At = len(m.history)+1, time.Now()
	m.history = append(m.history, a)
	for _, observer := range m.watch {
		observer(a)
	}
}
