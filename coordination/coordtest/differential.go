package coordtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/drydock-ecs/drydock/coordination"
)

// Kind names what an error of a store means: "ok", a word or two for each
// sentinel, or "other", which says that nothing was written.
func Kind(err error) string {
	for _, kind := range []struct {
		name string
		err  error
	}{
		{"not found", coordination.ErrNotFound},
		{"no table", coordination.ErrNoTable},
		{"conflict", coordination.ErrConflict},
		{"unknown", coordination.ErrUnknown},
	} {
		if errors.Is(err, kind.err) {
			return kind.name
		}
	}
	if err == nil {
		return "ok"
	}
	return "other"
}

// Differential plays one random sequence of operations, given by its seed,
// against two stores and demands the same results. Tokens may differ, but must
// relate the same writes.
func Differential(t *testing.T, seed uint64, steps int, a, b Opener) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), suiteTimeout)
	defer cancel()
	prefix := fmt.Sprintf("arn:aws:ecs:eu-north-1:111122223333:cluster/%d-%d-", time.Now().UnixNano(), seed)
	left, right := newPlayer(t, a, prefix), newPlayer(t, b, prefix)
	dice := rand.New(rand.NewPCG(seed, 0))
	for n := range steps {
		step := roll(dice, len(left.values))
		x, y := left.play(ctx, step), right.play(ctx, step)
		if x != y {
			t.Fatalf("seed %d, step %d: %#v\n one store: %s\nthe other: %s", seed, n, step, x, y)
		}
	}
}

// step is one operation, in words that fit any store.
type step struct {
	op    string
	fleet int
	value int // index among the values that were returned so far
	size  int // bytes of the body
	text  string
	host  int
}

var ops = [...]string{Fetch, Fetch, Create, Replace, Replace, Replace, Replace, PutHost, PutHost, Hosts, PutEvent}

func roll(dice *rand.Rand, values int) step {
	s := step{
		op: ops[dice.IntN(len(ops))], fleet: dice.IntN(3), host: dice.IntN(12),
		text: []string{"x", "é🚢", "\u0000", "<&>"}[dice.IntN(4)], size: dice.IntN(200), value: -1,
	}
	if values > 0 {
		// Mostly one of the last values, which may still be current.
		s.value = max(0, values-1-dice.IntN(4))
	}
	switch n := dice.IntN(300); {
	case n < 2:
		s.size = 420_000 // more than an item may have
	case n == 2:
		s.size = 60_000
	case n < 8:
		s.value = -1
	}
	return s
}

// player plays steps against one store and remembers what it returned.
type player struct {
	store  coordination.Store
	rows   coordination.Rows
	prefix string
	values []coordination.Value
}

func newPlayer(t *testing.T, open Opener, prefix string) *player {
	store, rows := open(t)
	return &player{store: store, rows: rows, prefix: prefix}
}

// play returns what came of a step, in a form that is the same for every right
// store.
func (p *player) play(ctx context.Context, s step) string {
	fleet := fmt.Sprint(p.prefix, s.fleet)
	body := bytes.Repeat([]byte(s.text), s.size/len(s.text)+1)
	old := coordination.Value{Fleet: fleet, Token: "made up"}
	if s.value >= 0 {
		old = p.values[s.value]
	}
	switch s.op {
	case Fetch:
		return p.value(p.store.Fetch(ctx, fleet))
	case Create:
		return p.value(p.store.Create(ctx, fleet, body))
	case Replace:
		return p.value(p.store.Replace(ctx, old, body))
	case PutHost:
		row := coordination.HostRow{Host: fmt.Sprint("i-", s.host), Phase: "idle", Reason: s.text, Ticket: int64(s.size)}
		return Kind(p.rows.PutHost(ctx, fleet, row))
	case PutEvent:
		return Kind(p.rows.PutEvent(ctx, fleet, coordination.Event{Generation: int64(s.size), Host: fmt.Sprint("i-", s.host), Outcome: s.text}))
	case Hosts:
		rows, err := p.rows.Hosts(ctx, fleet)
		encoded, _ := json.Marshal(rows)
		return Kind(err) + " " + string(encoded)
	}
	return "no such operation"
}

// value describes a value by its body and by the first value with the same
// token.
func (p *player) value(v coordination.Value, err error) string {
	if err != nil {
		return Kind(err)
	}
	same := len(p.values)
	for i, earlier := range p.values {
		if earlier.Fleet == v.Fleet && earlier.Token == v.Token {
			same = i
			break
		}
	}
	p.values = append(p.values, v)
	return fmt.Sprintf("ok %s #%d %d bytes %.20q", v.Fleet, same, len(v.Body), v.Body)
}
