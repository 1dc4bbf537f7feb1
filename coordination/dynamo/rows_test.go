package dynamo_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/coordination/coordtest"
	"github.com/drydock-ecs/drydock/internal/dynamotest"
)

// TestUnreadableRow: a row that something else wrote is shown as such, under
// the host of its key; the rows around it are not lost.
func TestUnreadableRow(t *testing.T) {
	w := newWorld(t)
	for host, body := range map[string]types.AttributeValue{
		"i-1": &types.AttributeValueMemberS{Value: `{"host":"i-1","phase":"idle"}`},
		"i-2": &types.AttributeValueMemberS{Value: `{"host":`},
		"i-3": &types.AttributeValueMemberN{Value: "3"},
		"i-4": &types.AttributeValueMemberS{Value: `{"host":"i-1","phase":"waiting"}`},
	} {
		_, err := w.server.Client("x").PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("drydock"), Item: map[string]types.AttributeValue{
			"fleet": &types.AttributeValueMemberS{Value: fleet}, "item": &types.AttributeValueMemberS{Value: "host#" + host}, "body": body,
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	rows, err := w.table.Hosts(t.Context(), fleet)
	want := []coordination.HostRow{
		{Host: "i-1", Phase: "idle"},
		{Host: "i-2", Reason: "row cannot be read"},
		{Host: "i-3", Reason: "row cannot be read"},
		{Host: "i-4", Phase: "waiting"},
	}
	if err != nil || fmt.Sprint(rows) != fmt.Sprint(want) {
		t.Errorf("rows %+v, %v\nwant %+v", rows, err, want)
	}
}

// TestEventExpires: only event rows carry the TTL attribute.
func TestEventExpires(t *testing.T) {
	w := newWorld(t)
	at := time.Unix(1_800_000_000, 0)
	event := coordination.Event{Generation: 9, Host: "i-1", At: at, Outcome: "updated"}
	if err := w.table.PutEvent(t.Context(), fleet, event); err != nil {
		t.Fatal(err)
	}
	if err := w.table.PutHost(t.Context(), fleet, coordination.HostRow{Host: "i-1"}); err != nil {
		t.Fatal(err)
	}
	client := w.server.Client("checker")
	item := raw(t, client, "event#9#i-1")
	if want := json.Number(fmt.Sprint(1_800_000_000 + 400*24*3600)); item["expires"] != want {
		t.Errorf("expires %v, want %v", item["expires"], want)
	}
	var stored coordination.Event
	if err := json.Unmarshal([]byte(item["body"].(string)), &stored); err != nil || !stored.At.Equal(at) || stored.Outcome != "updated" {
		t.Errorf("stored %+v, %v", stored, err)
	}
	for _, sortKey := range []string{"host#i-1", "lock"} {
		if item := raw(t, client, sortKey); item["expires"] != nil || item["body"] == nil {
			t.Errorf("%s: %v", sortKey, item)
		}
	}
}

func TestRowFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		writes := map[string]func() error{
			"PutHost":  func() error { return w.table.PutHost(t.Context(), fleet, coordination.HostRow{Host: "i-1"}) },
			"PutEvent": func() error { return w.table.PutEvent(t.Context(), fleet, coordination.Event{Host: "i-1"}) },
		}
		for name, write := range writes {
			w.script(dynamotest.Fault{Answer: dynamotest.Hung})
			if err := write(); !errors.Is(err, coordination.ErrUnknown) {
				t.Errorf("%s without an answer: %v", name, err)
			}
			w.script(dynamotest.Fault{Answer: dynamotest.Denied})
			if err := write(); coordtest.Kind(err) != "other" {
				t.Errorf("%s denied: %v", name, err)
			}
		}
		w.server.Cut("host", true)
		if rows, err := w.table.Hosts(t.Context(), fleet); coordtest.Kind(err) != "other" || rows != nil {
			t.Errorf("hosts through a cut: %v, %v", rows, err)
		}
	})
}

func TestEventThatIsNoJSON(t *testing.T) {
	w := newWorld(t)
	event := coordination.Event{Host: "i-1", Seconds: map[string]float64{"draining": math.NaN()}}
	if err := w.table.PutEvent(t.Context(), fleet, event); coordtest.Kind(err) != "other" {
		t.Errorf("error %v", err)
	}
}
