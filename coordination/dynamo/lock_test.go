package dynamo_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/coordination/coordtest"
	"github.com/drydock-ecs/drydock/coordination/dynamo"
	"github.com/drydock-ecs/drydock/internal/dynamotest"
	"github.com/drydock-ecs/drydock/internal/hint"
)

const fleet = "arn:aws:ecs:eu-north-1:111122223333:cluster/blue"

// world is a stand-in with a table and a first record of one fleet.
type world struct {
	*testing.T
	server *dynamotest.Server
	table  *dynamo.Table
	first  coordination.Value
}

func newWorld(t *testing.T) *world {
	t.Helper()
	server := dynamotest.New()
	w := &world{T: t, server: server, table: ensured(t, server.Client("host"))}
	var err error
	if w.first, err = w.table.Create(t.Context(), fleet, []byte(`{"schema":1,"n":0}`)); err != nil {
		t.Fatal(err)
	}
	return w
}

// holds checks the stored body by a client of its own.
func (w *world) holds(fleet, want string) {
	w.Helper()
	w.server.Faults(nil)
	v, err := dynamo.New(w.server.Client("checker"), "drydock").Fetch(w.Context(), fleet)
	if errors.Is(err, coordination.ErrNotFound) {
		v.Body = []byte("nothing")
	} else if err != nil {
		w.Fatal(err)
	}
	if string(v.Body) != want {
		w.Errorf("%s holds %s, want %s", fleet, v.Body, want)
	}
}

// script makes the first writes fail, one fault a call, and counts the calls.
func (w *world) script(faults ...dynamotest.Fault) *int {
	calls := new(int)
	w.server.Faults(func(call dynamotest.Call) dynamotest.Fault {
		if !call.Write {
			return dynamotest.Fault{}
		}
		*calls++
		if *calls > len(faults) {
			return dynamotest.Fault{}
		}
		return faults[*calls-1]
	})
	return calls
}

// TestOutcomes plays what may happen to a write, attempt by attempt, against
// Create and Replace. The kind of the error must not promise more than is so.
func TestOutcomes(t *testing.T) {
	const yes, no = `{"n":1}`, "unchanged"
	busy := dynamotest.Fault{Answer: dynamotest.Throttled}
	tests := []struct {
		name     string
		faults   []dynamotest.Fault // one an attempt
		kind     string
		attempts int
		at, late string // stored at the answer, and a minute after
	}{
		{"well", nil, "ok", 1, yes, yes},
		{"throttled once", []dynamotest.Fault{busy}, "ok", 2, yes, yes},
		{"throttled to the end", []dynamotest.Fault{busy, busy, busy}, "other", 3, no, no},
		{"access denied", []dynamotest.Fault{{Answer: dynamotest.Denied}}, "other", 1, no, no},
		{"500, applied", []dynamotest.Fault{{Answer: dynamotest.Failed}}, "unknown", 1, yes, yes},
		{"500, lost", []dynamotest.Fault{{Answer: dynamotest.Failed, Lost: true}}, "unknown", 1, no, no},
		{"500, then it would be throttled", []dynamotest.Fault{{Answer: dynamotest.Failed}, busy, busy}, "unknown", 1, yes, yes},
		{"throttled, then 500", []dynamotest.Fault{busy, {Answer: dynamotest.Failed}}, "unknown", 2, yes, yes},
		{"dropped, applied", []dynamotest.Fault{{Answer: dynamotest.Dropped}}, "unknown", 1, yes, yes},
		{"dropped, lost", []dynamotest.Fault{{Answer: dynamotest.Dropped, Lost: true}}, "unknown", 1, no, no},
		{"no answer, applied", []dynamotest.Fault{{Answer: dynamotest.Hung}}, "unknown", 1, yes, yes},
		{"no answer, lost", []dynamotest.Fault{{Answer: dynamotest.Hung, Lost: true}}, "unknown", 1, no, no},
		{"slow", []dynamotest.Fault{{Latency: 4 * time.Second}}, "ok", 1, yes, yes},
		{"lands after the deadline", []dynamotest.Fault{{Latency: 30 * time.Second}}, "unknown", 1, no, yes},
	}
	type write func(*world) (coordination.Value, error)
	writes := map[string]write{
		fleet: func(w *world) (coordination.Value, error) {
			return w.table.Replace(w.Context(), w.first, []byte(yes))
		},
		fleet + "-new": func(w *world) (coordination.Value, error) {
			return w.table.Create(w.Context(), fleet+"-new", []byte(yes))
		},
	}
	before := map[string]string{fleet: `{"schema":1,"n":0}`, fleet + "-new": "nothing"}
	for name, write := range writes {
		for _, test := range tests {
			t.Run(test.name+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					calls, began := w.script(test.faults...), time.Now()
					v, err := write(w)
					if coordtest.Kind(err) != test.kind || *calls != test.attempts {
						t.Errorf("%v after %d attempts, want %s after %d", err, *calls, test.kind, test.attempts)
					}
					if took := time.Since(began); took > dynamo.Timeout {
						t.Errorf("it took %v", took)
					}
					if (v.Token != "") != (err == nil) {
						t.Errorf("returned %+v with %v", v, err)
					}
					stored := strings.NewReplacer(no, before[name])
					w.holds(name, stored.Replace(test.at))
					time.Sleep(time.Minute)
					w.holds(name, stored.Replace(test.late))
				})
			})
		}
	}
}

// TestConflict: a lost race costs one call, since the answer brings the item.
func TestConflict(t *testing.T) {
	w := newWorld(t)
	second, err := w.table.Replace(t.Context(), w.first, []byte(`{"n":1}`))
	if err != nil {
		t.Fatal(err)
	}
	w.server.ResetUsage()
	if _, err := w.table.Replace(t.Context(), w.first, []byte(`{"n":2}`)); !errors.Is(err, coordination.ErrConflict) {
		t.Errorf("replace of an old value: %v", err)
	}
	if _, err := w.table.Create(t.Context(), fleet, []byte(`{"n":2}`)); !errors.Is(err, coordination.ErrConflict) {
		t.Errorf("create of what is there: %v", err)
	}
	if use := w.server.Usage("host"); use.Calls["GetItem"] != 0 || use.Conflicts != 2 {
		t.Errorf("two conflicts cost %+v", use)
	}
	w.holds(fleet, string(second.Body))
}

// twice sends each write a second time, as a proxy might that lost the first
// answer, and returns the second answer. Without items, it answers as servers
// do that do not know ReturnValuesOnConditionCheckFailure.
type twice struct {
	dynamo.API
	items bool
}

func (p twice) PutItem(ctx context.Context, in *dynamodb.PutItemInput, o ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	if _, err := p.API.PutItem(ctx, in, o...); err != nil {
		return nil, err
	}
	out, err := p.API.PutItem(ctx, in, o...)
	return out, p.strip(err)
}

func (p twice) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, o ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	if _, err := p.API.UpdateItem(ctx, in, o...); err != nil {
		return nil, err
	}
	out, err := p.API.UpdateItem(ctx, in, o...)
	return out, p.strip(err)
}

func (p twice) strip(err error) error {
	if failed, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok && !p.items {
		failed.Item = nil
	}
	return err
}

// TestOwnWriteIsNoConflict: the failed condition of a repeated request is
// recognised by its nonce.
func TestOwnWriteIsNoConflict(t *testing.T) {
	for _, items := range []bool{true, false} {
		t.Run(fmt.Sprintf("items %v", items), func(t *testing.T) {
			w := newWorld(t)
			table := dynamo.New(twice{w.server.Client("host"), items}, "drydock")
			w.server.ResetUsage()
			v, err := table.Replace(t.Context(), w.first, []byte(`{"n":1}`))
			if err != nil {
				t.Fatalf("replace sent twice: %v", err)
			}
			if v, err = table.Replace(t.Context(), v, []byte(`{"n":2}`)); err != nil {
				t.Fatalf("and of what it returned: %v", err)
			}
			if _, err := table.Create(t.Context(), fleet+"-new", []byte(`{}`)); err != nil {
				t.Errorf("create sent twice: %v", err)
			}
			if got := w.server.Usage().Conflicts; got != 3 {
				t.Fatalf("%d conflicts: the requests were not repeated", got)
			}
			w.holds(fleet, string(v.Body))
			_, err = table.Replace(t.Context(), w.first, []byte(`{"n":3}`))
			if !errors.Is(err, coordination.ErrConflict) {
				t.Errorf("replace of an old value: %v", err)
			}
		})
	}
}

// TestConflictThatCannotBeLookedAt: without the item and without an answer to
// the look that follows, nothing is known.
func TestConflictThatCannotBeLookedAt(t *testing.T) {
	w := newWorld(t)
	table := dynamo.New(twice{w.server.Client("host"), false}, "drydock")
	w.server.Faults(func(call dynamotest.Call) dynamotest.Fault {
		if call.Op == "GetItem" {
			return dynamotest.Fault{Answer: dynamotest.Denied}
		}
		return dynamotest.Fault{}
	})
	_, err := table.Replace(t.Context(), w.first, []byte(`{"n":1}`))
	if !errors.Is(err, coordination.ErrUnknown) {
		t.Errorf("error %v", err)
	}
	if advice := hint.Of(err); !strings.Contains(advice, "dynamodb:GetItem") {
		t.Errorf("hint %q", advice)
	}
}

// TestLostAnswer is the whole story: the answer is lost, the look shows the
// write, and the value looked at can be replaced.
func TestLostAnswer(t *testing.T) {
	w := newWorld(t)
	w.script(dynamotest.Fault{Answer: dynamotest.Dropped})
	if _, err := w.table.Replace(t.Context(), w.first, []byte(`{"n":1}`)); !errors.Is(err, coordination.ErrUnknown) {
		t.Fatal(err)
	}
	seen, err := w.table.Fetch(t.Context(), fleet)
	if err != nil || string(seen.Body) != `{"n":1}` || seen.Token == w.first.Token {
		t.Fatalf("fetched %+v, %v", seen, err)
	}
	if _, err := w.table.Replace(t.Context(), w.first, []byte(`{"n":2}`)); !errors.Is(err, coordination.ErrConflict) {
		t.Errorf("replace of what was replaced: %v", err)
	}
	if _, err := w.table.Replace(t.Context(), seen, []byte(`{"n":2}`)); err != nil {
		t.Errorf("replace of what was seen: %v", err)
	}
}

// TestStorm plays random faults over the whole wire; no update may be lost.
func TestStorm(t *testing.T) {
	for seed := range uint64(15) {
		synctest.Test(t, func(t *testing.T) {
			server := dynamotest.New()
			table := ensured(t, server.Client("operator"))
			if _, err := table.Create(t.Context(), fleet, nil); err != nil {
				t.Fatal(err)
			}
			server.Faults(storm(seed))
			coordtest.Marks(t, seed, fleet, func(worker string) coordination.Store {
				return dynamo.New(server.Client(worker), "drydock")
			})
		})
	}
}

// storm returns a hook that breaks about a third of all calls.
func storm(seed uint64) func(dynamotest.Call) dynamotest.Fault {
	var mu sync.Mutex
	dice := rand.New(rand.NewPCG(seed, 1))
	return func(dynamotest.Call) dynamotest.Fault {
		mu.Lock()
		defer mu.Unlock()
		if dice.IntN(3) > 0 {
			return dynamotest.Fault{}
		}
		fault := dynamotest.Fault{Lost: dice.IntN(2) == 0, Answer: dynamotest.Answer(dice.IntN(6))}
		if dice.IntN(3) == 0 {
			fault.Latency = time.Duration(dice.IntN(15_000)) * time.Millisecond
		}
		return fault
	}
}

// raw reads one item as it is stored.
func raw(t *testing.T, api dynamo.ItemAPI, sortKey string) map[string]any {
	t.Helper()
	out, err := api.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: aws.String("drydock"), Key: map[string]types.AttributeValue{
		"fleet": &types.AttributeValueMemberS{Value: fleet}, "item": &types.AttributeValueMemberS{Value: sortKey},
	}})
	if err != nil {
		t.Fatal(err)
	}
	item := make(map[string]any)
	for name, v := range out.Item {
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			item[name] = v.Value
		case *types.AttributeValueMemberN:
			item[name] = json.Number(v.Value)
		}
	}
	return item
}

// TestUnknownAttributesSurvive: a newer version's attribute of the lock item
// is still there after a Replace.
func TestUnknownAttributesSurvive(t *testing.T) {
	w := newWorld(t)
	client := w.server.Client("newer")
	_, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("drydock"), Item: map[string]types.AttributeValue{
		"fleet": &types.AttributeValueMemberS{Value: fleet}, "item": &types.AttributeValueMemberS{Value: "lock"},
		"nonce": &types.AttributeValueMemberS{Value: "n"}, "body": &types.AttributeValueMemberS{Value: `{"schema":2}`},
		"later": &types.AttributeValueMemberS{Value: "kept"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	v, err := w.table.Fetch(t.Context(), fleet)
	if err != nil {
		t.Fatal(err)
	}
	if v, err = w.table.Replace(t.Context(), v, []byte(`{"schema":3}`)); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"fleet": fleet, "item": "lock", "later": "kept", "body": `{"schema":3}`, "schema": json.Number("3"), "nonce": v.Token,
	}
	if got := raw(t, client, "lock"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("item %v\nwant %v", got, want)
	}
}

func TestSchemaOfOddBodies(t *testing.T) {
	w := newWorld(t)
	v := w.first
	for body, want := range map[string]string{`{"schema":7}`: "7", `{}`: "0", `plain`: "0", `{"schema":"x"}`: "0", ``: "0"} {
		var err error
		if v, err = w.table.Replace(t.Context(), v, []byte(body)); err != nil {
			t.Fatal(err)
		}
		if got := raw(t, w.server.Client("checker"), "lock")["schema"]; got != json.Number(want) {
			t.Errorf("schema of %q is %v, want %s", body, got, want)
		}
	}
}

func TestBodyThatIsNoText(t *testing.T) {
	w := newWorld(t)
	w.server.ResetUsage()
	for _, err := range []error{
		second(w.table.Replace(t.Context(), w.first, []byte{0xff})),
		second(w.table.Create(t.Context(), fleet+"-new", []byte{0xff})),
	} {
		if coordtest.Kind(err) != "other" {
			t.Errorf("error %v", err)
		}
	}
	if calls := w.server.Usage().Calls; len(calls) != 0 {
		t.Errorf("it took calls %v", calls)
	}
}

func second[T any](_ T, err error) error { return err }

// TestReadsAreConsistent: 1 read unit for up to 4 KB, not a half.
func TestReadsAreConsistent(t *testing.T) {
	w := newWorld(t)
	w.server.ResetUsage()
	if _, err := w.table.Fetch(t.Context(), fleet); err != nil {
		t.Fatal(err)
	}
	if got := w.server.Usage().Reads; got != 1 {
		t.Errorf("a fetch costs %v read units", got)
	}
}

func TestDamagedRecord(t *testing.T) {
	w := newWorld(t)
	for _, missing := range []string{"nonce", "body"} {
		item := map[string]types.AttributeValue{
			"fleet": &types.AttributeValueMemberS{Value: fleet}, "item": &types.AttributeValueMemberS{Value: "lock"},
			"nonce": &types.AttributeValueMemberS{Value: "n"}, "body": &types.AttributeValueMemberS{Value: "{}"},
		}
		item[missing] = &types.AttributeValueMemberN{Value: "1"}
		if _, err := w.server.Client("x").PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("drydock"), Item: item}); err != nil {
			t.Fatal(err)
		}
		_, err := w.table.Fetch(t.Context(), fleet)
		if coordtest.Kind(err) != "other" || hint.Of(err) == "" {
			t.Errorf("without %s: %v, hint %q", missing, err, hint.Of(err))
		}
	}
}
