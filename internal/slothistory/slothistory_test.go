package slothistory

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"golang.org/x/sync/errgroup"

	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/coordination/coordtest"
	"github.com/drydock-ecs/drydock/coordination/dynamo"
	"github.com/drydock-ecs/drydock/internal/dynalitetest"
)

const (
	testFleet   = "arn:aws:ecs:eu-north-1:111122223333:cluster/web"
	checkWithin = 10 * time.Second

	contendWithin = 2 * time.Minute
)

// limits are those of every policy here.
func limits(slots int) coordination.LimitsOf {
	return func(string) (coordination.Limits, error) {
		return coordination.Limits{Slots: slots, MaxFailures: 1}, nil
	}
}

// create stores a fleet's first record.
func create(t *testing.T, store coordination.Store) {
	t.Helper()
	body, err := coordination.NewRecord("test", "").Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Create(t.Context(), testFleet, body); err != nil {
		t.Fatal(err)
	}
}

// contend lets hosts take a slot and give it back, so many times each, and
// returns what they were told. Everybody wants all the time, without a queue.
func contend(ctx context.Context, hosts, rounds, slots int, storeOf func(host int) coordination.Store) (*History, error) {
	history := New()
	group, ctx := errgroup.WithContext(ctx)
	for i := range hosts {
		host := history.Host(i, testFleet, storeOf(i))
		group.Go(func() error {
			for range rounds {
				if err := round(ctx, host, slots); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return history, group.Wait()
}

// round is one slot taken, looked at and given back.
func round(ctx context.Context, host *Host, slots int) error {
	for {
		generation, err := host.Grant(ctx, limits(slots))
		if err != nil {
			return err
		}
		if generation > 0 {
			host.Look(ctx)
			return host.Give(ctx, generation)
		}
		select {
		case <-time.After(rand.N(400 * time.Millisecond)): // others would be kept from giving back
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lossy loses some requests on their way, and some answers on theirs.
type lossy struct {
	next *awshttp.BuildableClient
	lost *atomic.Int64 // answers to writes
}

func (l lossy) Do(r *http.Request) (*http.Response, error) {
	if rand.N(100) < 3 {
		return nil, syscall.ECONNREFUSED
	}
	answer, err := l.next.Do(r)
	if err != nil || rand.N(100) >= 10 {
		return answer, err
	}
	_ = answer.Body.Close()
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".UpdateItem") {
		l.lost.Add(1)
	}
	return nil, syscall.ECONNRESET
}

// TestGrantsAreLinearizable: 64 hosts on eight slots, over real connections to a
// DynamoDB that is not this project's, of which a tenth of the answers is lost.
func TestGrantsAreLinearizable(t *testing.T) {
	const hosts, rounds, slots = 64, 2, 8
	client := dynalitetest.Start(t)
	table := dynamo.New(client, "drydock")
	if _, err := table.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	create(t, table)
	var lost atomic.Int64
	ctx, cancel := context.WithTimeout(t.Context(), contendWithin)
	defer cancel()
	history, err := contend(ctx, hosts, rounds, slots, func(int) coordination.Store {
		own := dynamodb.New(client.Options(), func(o *dynamodb.Options) {
			o.HTTPClient = lossy{awshttp.NewBuildableClient(), &lost}
		})
		return dynamo.New(own, "drydock")
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := history.Check(slots, checkWithin); err != nil {
		t.Error(err)
	}
	if lost.Load() == 0 {
		t.Error("no write's answer was lost, so that nothing was shown of it")
	}
	t.Logf("%d questions of %d hosts, of which %d grants; %d answers to writes were lost", history.Len(), hosts, hosts*rounds, lost.Load())
	// The same history is none of a lock with a slot less.
	if history.Check(slots-1, checkWithin) == nil {
		t.Errorf("it passes for one with %d slots", slots-1)
	}
}

// careless writes over whatever there is: the compare is missing in its
// compare-and-swap.
type careless struct{ coordination.Store }

func (c careless) Replace(ctx context.Context, old coordination.Value, body []byte) (coordination.Value, error) {
	<-time.After(rand.N(time.Millisecond)) // as a network would take
	for {
		next, err := c.Store.Replace(ctx, old, body)
		if !errors.Is(err, coordination.ErrConflict) {
			return next, err
		}
		if old, err = c.Store.Fetch(ctx, old.Fleet); err != nil {
			return next, err
		}
	}
}

// A store that is broken is found out by its history.
func TestCarelessStoreIsFound(t *testing.T) {
	memory := coordtest.NewMemory()
	store := memory.As("host")
	create(t, store)
	ctx, cancel := context.WithTimeout(t.Context(), contendWithin)
	defer cancel()
	history, err := contend(ctx, 16, 20, 2, func(int) coordination.Store { return careless{store} })
	if err != nil && coordination.Why(err) != coordination.Holding {
		t.Fatal(err)
	}
	if err := history.Check(2, checkWithin); err == nil {
		t.Errorf("%d answers of a store without a compare pass", history.Len())
	}
}

// The checker tells histories apart: each of these differs from a good one in
// one answer or one moment.
func TestCheck(t *testing.T) {
	type op struct {
		question
		answer
		call, end int64
	}
	get := func(host string, generation, call, end int64) op {
		return op{question{act: grant, host: host, generation: generation}, answer{}, call, end}
	}
	full := func(host, holders string, last, call, end int64) op {
		return op{question{act: deny, host: host}, answer{true, last, holders}, call, end}
	}
	put := func(host string, generation, call, end int64) op {
		return op{question{act: give, host: host, generation: generation}, answer{}, call, end}
	}
	see := func(holders string, last, call, end int64) op {
		return op{question{act: look, host: "x"}, answer{true, last, holders}, call, end}
	}
	told := func(o op, holders string, last int64) op {
		o.answer = answer{true, last, holders}
		return o
	}
	for _, test := range []struct {
		name  string
		slots int
		ops   []op
		want  bool
	}{
		{"one after the other", 1, []op{get("a", 1, 0, 1), put("a", 1, 2, 3), get("b", 2, 4, 5)}, true},
		{"both at once, for two slots", 2, []op{get("a", 1, 0, 9), get("b", 2, 0, 9)}, true},
		{"both at once, for one slot", 1, []op{get("a", 1, 0, 9), get("b", 2, 0, 9)}, false},
		{"the second while the first gives back", 1, []op{get("a", 1, 0, 1), put("a", 1, 2, 9), get("b", 2, 3, 4)}, true},
		{"the second before the first gives back", 1, []op{get("a", 1, 0, 1), get("b", 2, 3, 4), put("a", 1, 5, 9)}, false},
		{"one generation twice", 2, []op{get("a", 1, 0, 9), get("b", 1, 0, 9)}, false},
		{"a generation left out", 2, []op{get("a", 1, 0, 1), get("b", 3, 2, 3)}, false},
		{"one host twice", 2, []op{get("a", 1, 0, 1), get("a", 2, 2, 3)}, false},
		{"denied while it is full", 1, []op{get("a", 1, 0, 1), full("b", "a:1", 1, 2, 3)}, true},
		{"denied while it is free", 1, []op{get("a", 1, 0, 1), put("a", 1, 2, 3), full("b", "", 1, 4, 5)}, false},
		{"given back twice", 1, []op{get("a", 1, 0, 1), put("a", 1, 2, 3), put("a", 1, 4, 5)}, false},
		{"another's given back", 1, []op{get("a", 1, 0, 1), put("b", 1, 2, 3)}, false},
		{"granted into what was told", 2, []op{get("a", 1, 0, 1), told(get("b", 2, 2, 3), "a:1 b:2", 2)}, true},
		{"granted into something else", 2, []op{get("a", 1, 0, 1), told(get("b", 2, 2, 3), "b:2", 2)}, false},
		{"seen as it is", 2, []op{get("a", 1, 0, 1), see("a:1", 1, 2, 3), get("b", 2, 4, 5), see("a:1 b:2", 2, 6, 7)}, true},
		{"seen as it was", 2, []op{get("a", 1, 0, 1), get("b", 2, 4, 5), see("a:1", 1, 6, 7)}, false},
		{"seen as it was, in time", 2, []op{get("a", 1, 0, 1), get("b", 2, 4, 7), see("a:1", 1, 6, 7)}, true},
	} {
		h := New()
		for i, o := range test.ops {
			h.ops = append(h.ops, porcupine.Operation{ClientId: i, Input: o.question, Output: o.answer, Call: o.call, Return: o.end})
		}
		if err := h.Check(test.slots, checkWithin); (err == nil) != test.want {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

var _ aws.HTTPClient = lossy{}
