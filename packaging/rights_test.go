package packaging_test

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/agent/containerinstance"
	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/coordination/dynamo"
)

// Actions that no SDK call of the program's own stands behind.
var (
	// What EC2 is asked is asked through this port, whatever client is behind it.
	_        = agent.Evidence.Instances
	evidence = "ec2:DescribeInstances"
	// DynamoDB uses the table's key in the caller's name.
	tableKey = "kms:Decrypt"
	// A command that drydock doctor advises and does not run.
	advice = "dynamodb:DeleteItem"
)

// identity needs no right: every caller may ask who he is.
const identity = "sts:GetCallerIdentity"

// The hosts' policy is what the agent's ports come to.
func TestHostPolicy(t *testing.T) {
	calls := actions("ecs", methods[containerinstance.API]())
	for _, name := range methods[agent.Fleet]() {
		calls = append(calls, lockCalls(t).of("coordination.Fleet", name)...)
	}
	compare(t, "host", append(calls, evidence, tableKey))
}

// The operators' policy is what the lock does for anybody, but for making a
// table.
func TestOperatorPolicy(t *testing.T) {
	var calls []string
	for _, name := range methods[*dynamo.Table]() {
		if name != "Ensure" {
			calls = append(calls, lockCalls(t).of("dynamo.Table", name)...)
		}
	}
	if doctor := read(t, "../cmd/drydock/doctor.go"); !strings.Contains(doctor, "aws dynamodb delete-item") {
		t.Error("doctor advises no delete-item any more: take it out of the policy")
	}
	compare(t, "operator", append(calls, advice, tableKey))
}

// The right to set up is what making a table takes.
func TestSetupPolicy(t *testing.T) {
	compare(t, "setup", lockCalls(t).of("dynamo.Table", "Ensure"))
}

// All policies together are all calls in the program's sources, whoever makes
// them and through whatever interface.
func TestAllCalls(t *testing.T) {
	var granted []string
	for _, name := range []string{"host", "operator", "setup"} {
		granted = append(granted, policyActions(t, name)...)
	}
	calls := append(programCalls(t), evidence, tableKey, advice)
	if !slices.Contains(calls, identity) {
		t.Errorf("nobody calls %s any more", identity)
	}
	calls = slices.DeleteFunc(calls, func(c string) bool { return c == identity })
	if diff := cmp.Diff(set(calls), set(granted)); diff != "" {
		t.Errorf("calls (-) and rights (+) differ:\n%s", diff)
	}
}

// What ensures a table is what the template makes.
func TestTable(t *testing.T) {
	recorder := newRecorder()
	warnings, err := dynamo.New(recorder, "drydock").Ensure(context.Background())
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	template := read(t, "cloudformation/drydock.yaml")
	for _, line := range recorder.template() {
		if strings.Count(template, line) != 1 {
			t.Errorf("the template does not have, once:\n%s", line)
		}
	}
}

func compare(t *testing.T, name string, calls []string) {
	t.Helper()
	if diff := cmp.Diff(set(calls), set(policyActions(t, name))); diff != "" {
		t.Errorf("calls (-) and rights (+) in packaging/iam/%s.json differ:\n%s", name, diff)
	}
}

// policyActions are the actions of a document.
func policyActions(t *testing.T, name string) []string {
	t.Helper()
	var policy struct{ Statement []struct{ Action []string } }
	if err := json.Unmarshal([]byte(read(t, "iam/"+name+".json")), &policy); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, s := range policy.Statement {
		all = append(all, s.Action...)
	}
	return all
}

// methods are the names of a type's methods.
func methods[T any]() []string {
	var names []string
	for m := range reflect.TypeFor[T]().Methods() {
		names = append(names, m.Name)
	}
	return names
}

func actions(service string, operations []string) []string {
	var all []string
	for _, op := range operations {
		all = append(all, service+":"+op)
	}
	return all
}

func set(names []string) []string { return slices.Compact(slices.Sorted(slices.Values(names))) }

// The names that lockCalls looks up are those of these types.
var (
	_ agent.Fleet        = (*coordination.Fleet)(nil)
	_ coordination.Store = (*dynamo.Table)(nil)
	_ coordination.Rows  = (*dynamo.Table)(nil)
)
