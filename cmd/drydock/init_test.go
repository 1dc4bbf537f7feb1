package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/coordination/dynamo"
	"github.com/drydock-ecs/drydock/internal/dynamotest"
	"github.com/drydock-ecs/drydock/internal/hint"
)

// newLock is a fleet's lock on a stand-in whose table is there.
func newLock(t *testing.T) (fleetLock, *dynamotest.Server) {
	t.Helper()
	clearAWS(t)
	server := dynamotest.New()
	store := dynamo.New(server.Client("operator"), testTable)
	if _, err := store.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	return fleetLock{
		Fleet: coordination.Fleet{ARN: testFleet, Store: store, Rows: store}, table: testTable,
		ensure: store.Ensure, examine: store.Examine,
		who: func(context.Context) (string, error) { return testOperator, nil },
	}, server
}

// Whatever becomes of the write and of its answer, createRecord says what
// stands in the table, and done again it ends well.
func TestCreateRecord(t *testing.T) {
	for name, test := range map[string]struct {
		fault   dynamotest.Fault
		created bool
		fails   error
		hint    string
	}{
		"well":                 {created: true},
		"applied, answer lost": {fault: dynamotest.Fault{Answer: dynamotest.Dropped}, created: true},
		"applied, 500":         {fault: dynamotest.Fault{Answer: dynamotest.Failed}, created: true},
		"request lost":         {fault: dynamotest.Fault{Lost: true, Answer: dynamotest.Dropped}, fails: coordination.ErrUnknown, hint: "init again"},
		"500, not applied":     {fault: dynamotest.Fault{Lost: true, Answer: dynamotest.Failed}, fails: coordination.ErrUnknown, hint: "init again"},
	} {
		t.Run(name, func(t *testing.T) {
			lock, server := newLock(t)
			server.Faults(func(c dynamotest.Call) dynamotest.Fault {
				if c.Write {
					return test.fault
				}
				return dynamotest.Fault{}
			})
			first := coordination.NewRecord("mine", "slots = 2\n")
			record, created, err := createRecord(t.Context(), lock, first)
			if created != test.created || !errors.Is(err, test.fails) || !strings.Contains(hint.Of(err), test.hint) {
				t.Errorf("created %v, %v, hint %q", created, err, hint.Of(err))
			}
			if err == nil && record.Incarnation != "mine" {
				t.Errorf("record of incarnation %q", record.Incarnation)
			}
			server.Faults(nil)
			if _, created, err := createRecord(t.Context(), lock, first); err != nil || !created {
				t.Errorf("again: created %v, %v", created, err)
			}
		})
	}
}

// A refusal is no unknown outcome.
func TestCreateRecordDenied(t *testing.T) {
	lock, server := newLock(t)
	server.Faults(func(dynamotest.Call) dynamotest.Fault { return dynamotest.Fault{Answer: dynamotest.Denied} })
	_, created, err := createRecord(t.Context(), lock, coordination.NewRecord("mine", ""))
	if created || err == nil || !strings.Contains(hint.Of(err), "PutItem") {
		t.Errorf("created %v, %v, hint %q", created, err, hint.Of(err))
	}
}

// An existing record stays as it is, down to its nonce.
func TestInitialiseLeavesRecordAlone(t *testing.T) {
	lock, _ := newLock(t)
	if _, _, err := createRecord(t.Context(), lock, coordination.NewRecord("first", "nonsense = 1\n")); err != nil {
		t.Fatal(err)
	}
	before, err := lock.Store.Fetch(t.Context(), testFleet)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := initialise(t.Context(), lock, "slots = 2\n", environment{stdout: &out, stderr: &out}); err != nil {
		t.Fatal(err)
	}
	after, err := lock.Store.Fetch(t.Context(), testFleet)
	if err != nil || after.Token != before.Token || !bytes.Equal(after.Body, before.Body) {
		t.Errorf("the record was written: %s, %v", after.Body, err)
	}
	for _, want := range []string{"left alone", "nothing starts: policy:1: nonsense", "was not written"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
}

// What could not be switched on is said, and does not keep the record away.
func TestInitialiseWarns(t *testing.T) {
	lock, _ := newLock(t)
	lock.ensure = func(context.Context) ([]string, error) { return []string{"backups are off"}, nil }
	var out, errs bytes.Buffer
	if err := initialise(t.Context(), lock, "slots = 2\n", environment{stdout: &out, stderr: &errs}); err != nil {
		t.Fatal(err)
	}
	if errs.String() != "warning: backups are off\n" || !strings.Contains(out.String(), "created") {
		t.Errorf("%q, %q", errs.String(), out.String())
	}
}
