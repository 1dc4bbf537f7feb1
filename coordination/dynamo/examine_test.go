package dynamo_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drydock-ecs/drydock/coordination/dynamo"
	"github.com/drydock-ecs/drydock/internal/dynalitetest"
	"github.com/drydock-ecs/drydock/internal/dynamotest"
	"github.com/drydock-ecs/drydock/internal/hint"
)

// faultsOf puts what Examine found into lines "fault => hint".
func faultsOf(t *testing.T, api dynamo.API) string {
	t.Helper()
	var lines []string
	for _, err := range dynamo.New(api, "drydock").Examine(t.Context()) {
		lines = append(lines, err.Error()+" => "+hint.Of(err))
	}
	return strings.Join(lines, "\n")
}

// A table that Ensure made has no faults; Examine itself changes nothing.
func TestExamineEnsured(t *testing.T) {
	server := dynamotest.New()
	client := server.Client("operator")
	if got := faultsOf(t, client); !strings.Contains(got, "no such table") || !strings.Contains(got, "=> run: drydock init") {
		t.Errorf("no table: %s", got)
	}
	if _, err := dynamo.New(client, "drydock").Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	server.ResetUsage()
	if got := faultsOf(t, client); got != "" {
		t.Errorf("faults of a table that Ensure made:\n%s", got)
	}
	for op := range server.Usage().Calls {
		if !strings.HasPrefix(op, "Describe") {
			t.Errorf("it called %s", op)
		}
	}
}

// A bare table, as it is after a restore from a backup, lacks everything.
func TestExamineBareTable(t *testing.T) {
	client := dynamotest.New().Client("operator")
	bare(t, client)
	got := faultsOf(t, client)
	for _, want := range []string{
		"deletion protection of table drydock is off => run: aws dynamodb update-table --table-name drydock --deletion-protection-enabled",
		"TTL of table drydock is off => run drydock init again",
		"point-in-time recovery of table drydock is off => run drydock init again",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if n := strings.Count(got, "\n") + 1; n != 3 {
		t.Errorf("%d faults:\n%s", n, got)
	}
}

func bare(t *testing.T, client *dynamodb.Client) {
	t.Helper()
	_, err := client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName:   aws.String("drydock"),
		BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String("fleet"), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String("item"), AttributeType: types.ScalarAttributeTypeS},
		},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String("fleet"), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String("item"), KeyType: types.KeyTypeRange},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Each call that is denied is named, and does not keep the others from being
// made.
func TestExamineDenied(t *testing.T) {
	for _, op := range []string{"DescribeTable", "DescribeTimeToLive", "DescribeContinuousBackups"} {
		server := dynamotest.New()
		client := server.Client("operator")
		if _, err := dynamo.New(client, "drydock").Ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
		server.Faults(func(call dynamotest.Call) dynamotest.Fault {
			if call.Op == op {
				return dynamotest.Fault{Answer: dynamotest.Denied}
			}
			return dynamotest.Fault{}
		})
		got := faultsOf(t, client)
		if want := "=> allow dynamodb:" + op + " on table drydock in the IAM role"; !strings.HasSuffix(got, want) || strings.Contains(got, "\n") {
			t.Errorf("%s denied: %s", op, got)
		}
	}
}

// TTL by another attribute may remove the record itself.
func TestExamineForeignTable(t *testing.T) {
	client := dynamotest.New().Client("operator")
	if _, err := dynamo.New(client, "drydock").Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := faultsOf(t, changed{API: client, ttl: &types.TimeToLiveDescription{
		AttributeName: aws.String("body"), TimeToLiveStatus: types.TimeToLiveStatusEnabled,
	}, table: func(d *types.TableDescription) {
		d.Replicas = []types.ReplicaDescription{{RegionName: aws.String("eu-west-1")}}
	}})
	for _, want := range []string{"global table", "attribute body, not expires => switch that TTL off"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// What a server does not know is off, and init does not mend it.
func TestExamineOnDynalite(t *testing.T) {
	client := dynalitetest.Start(t)
	if _, err := dynamo.New(client, "drydock").Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := faultsOf(t, client)
	for _, want := range []string{"deletion protection", "TTL of table drydock is off", "does not know DescribeContinuousBackups => keep backups"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}
