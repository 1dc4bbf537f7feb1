// Package slothistory records what the hosts of a fleet were told about its
// slots, and checks that there is an order in which a lock with so many slots
// would have said all of it: that the history is linearizable.
package slothistory

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/drydock-ecs/drydock/coordination"
)

// act is what a host asks for.
type act string

const (
	grant act = "grant" // a slot, and got it
	deny  act = "deny"  // a slot, and all were taken
	give  act = "give"  // to give its slot back
	look  act = "look"  // who has one
)

// question is what a host asked.
type question struct {
	act        act
	host       string
	generation int64 // of the slot that is granted or given back
}

// answer is the record that it was told, for a change right after it.
type answer struct {
	known   bool // false: it was told only that the change is made
	last    int64
	holders string
}

// seen is what a record shows.
func seen(r coordination.Record) answer {
	holders := make(state)
	for _, h := range r.Holders {
		holders[h.Host] = h.Generation
	}
	return answer{true, r.Generation, holders.String()}
}

// History is what all hosts asked and were told. It may be used by several
// goroutines.
type History struct {
	begin time.Time

	mu  sync.Mutex
	ops []porcupine.Operation
}

// New returns an empty history.
func New() *History { return &History{begin: time.Now()} }

// Host asks for one host, one question at a time, and writes down what it is
// told.
type Host struct {
	history *History
	fleet   coordination.Fleet
	store   *stopwatch
	name    string
	number  int
}

// Host returns the host of that number, from 0, that reaches the lock by a
// store.
func (h *History) Host(number int, fleet string, store coordination.Store) *Host {
	s := &stopwatch{Store: store, now: h.now}
	return &Host{h, coordination.Fleet{ARN: fleet, Store: s}, s, fmt.Sprintf("i-%02d", number), number}
}

// Grant asks once for a slot. It returns the generation, 0 when all are taken.
// An error says that it was not told, after which the history proves nothing.
func (h *Host) Grant(ctx context.Context, limits coordination.LimitsOf) (int64, error) {
	claim := coordination.Claim{Host: h.name, From: "1", Target: "2", Boot: "b", ARN: "arn", Announced: time.Minute}
	r, err := h.settle(ctx, coordination.Grant(claim, limits, time.Now()))
	if coordination.Why(err) == coordination.Full {
		h.add(h.store.read, question{act: deny, host: h.name}, seen(r))
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("grant a slot to %s: %w", h.name, err)
	}
	mine, _ := r.Holder(h.name)
	h.changed(question{act: grant, host: h.name, generation: mine.Generation}, r)
	return mine.Generation, nil
}

// Give gives a slot back.
func (h *Host) Give(ctx context.Context, generation int64) error {
	r, err := h.settle(ctx, coordination.Return(h.name, generation, coordination.Report{Release: "2"}, time.Now()))
	if err != nil {
		return fmt.Errorf("give the slot of %s back: %w", h.name, err)
	}
	h.changed(question{act: give, host: h.name, generation: generation}, r)
	return nil
}

// Look reads the record, if it can be read.
func (h *Host) Look(ctx context.Context) {
	if r, err := h.fleet.Look(ctx); err == nil {
		h.add(h.store.read, question{act: look, host: h.name}, seen(r))
	}
}

// changed writes down a change of the record. Where the last write was answered
// it was the change, and the record is known as it was right after it. Where
// the change was found by a read, any write since the question may have been it.
func (h *Host) changed(q question, r coordination.Record) {
	if h.store.last > h.store.read {
		h.add(h.store.last, q, seen(r))
		return
	}
	h.add(h.store.first, q, answer{})
}

// settle applies a rule until it is told what came of it, as an agent does: by
// the same rule, which finds its own effect. What lies between is one question.
func (h *Host) settle(ctx context.Context, rule coordination.Rule) (coordination.Record, error) {
	h.store.first = 0
	for {
		r, err := h.fleet.Apply(ctx, rule)
		if err == nil || coordination.Why(err) != "" || ctx.Err() != nil {
			return r, err
		}
	}
}

func (h *History) now() int64 { return int64(time.Since(h.begin)) }

// add writes down an answer. The question was asked at the call that could
// have had its effect: what came before was only waiting.
func (h *Host) add(call int64, q question, told answer) {
	end := h.history.now()
	h.history.mu.Lock()
	defer h.history.mu.Unlock()
	h.history.ops = append(h.history.ops, porcupine.Operation{ClientId: h.number, Input: q, Output: told, Call: call, Return: end})
}

// stopwatch notes when a store was asked: the last read, the last write, and
// the first write since it was set to 0.
type stopwatch struct {
	coordination.Store
	now               func() int64
	read, last, first int64
}

// Fetch is the store's, with its moment.
func (s *stopwatch) Fetch(ctx context.Context, fleet string) (coordination.Value, error) {
	s.read = s.now()
	return s.Store.Fetch(ctx, fleet)
}

// Replace is the store's, with its moment.
func (s *stopwatch) Replace(ctx context.Context, old coordination.Value, body []byte) (coordination.Value, error) {
	s.last = s.now()
	s.first = cmp.Or(s.first, s.last)
	return s.Store.Replace(ctx, old, body)
}

// Len is how many questions were answered.
func (h *History) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.ops)
}

// Check says how the history cannot be that of a lock with so many slots; nil
// when it can. It gives up after a time, which is an error as well.
func (h *History) Check(slots int, within time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch porcupine.CheckOperationsTimeout(model(slots), h.ops, within) {
	case porcupine.Ok:
		return nil
	case porcupine.Illegal:
		return fmt.Errorf("there is no order of these %d questions in which a lock with %d slots gives these answers", len(h.ops), slots)
	default:
		return fmt.Errorf("no order of %d questions was found within %v", len(h.ops), within)
	}
}

// state is who holds which generation.
type state map[string]int64

func (s state) String() string {
	var all []string
	for _, host := range slices.Sorted(maps.Keys(s)) {
		all = append(all, fmt.Sprintf("%s:%d", host, s[host]))
	}
	return strings.Join(all, " ")
}

// lock is a state of the model, and the generation of the last grant.
type lock struct {
	holders state
	last    int64
}

// model is a lock with so many slots, as simple as it can be said.
func model(slots int) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return lock{} },
		Step: func(before, in, out any) (bool, any) {
			return before.(lock).step(slots, in.(question), out.(answer))
		},
		Equal: func(a, b any) bool {
			x, y := a.(lock), b.(lock)
			return x.last == y.last && maps.Equal(x.holders, y.holders)
		},
	}
}

// step says whether a lock in this state gives this answer, and its state
// after it.
func (l lock) step(slots int, q question, told answer) (bool, lock) {
	held, holds := l.holders[q.host]
	next := l
	switch q.act {
	case grant:
		if holds || len(l.holders) >= slots || q.generation != l.last+1 {
			return false, l
		}
		next = lock{l.without(q.host), q.generation}
		next.holders[q.host] = q.generation
	case give:
		if !holds || held != q.generation {
			return false, l
		}
		next.holders = l.without(q.host)
	case deny:
		if len(l.holders) < slots {
			return false, l
		}
	}
	return !told.known || told == answer{true, next.last, next.holders.String()}, next
}

// without is a copy of the holders in which the host is none.
func (l lock) without(host string) state {
	holders := make(state, len(l.holders)+1)
	maps.Copy(holders, l.holders)
	delete(holders, host)
	return holders
}
