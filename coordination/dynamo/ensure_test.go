package dynamo_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drydock-ecs/drydock/coordination/dynamo"
	"github.com/drydock-ecs/drydock/internal/dynalitetest"
	"github.com/drydock-ecs/drydock/internal/dynamotest"
	"github.com/drydock-ecs/drydock/internal/hint"
)

// TestEnsure makes a table that takes its time, as real ones do, and then has
// nothing more to do.
func TestEnsure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := dynamotest.New()
		server.CreateFor, server.BackupsAfter = 20*time.Second, 50*time.Second
		client := server.Client("operator")
		table, began := dynamo.New(client, "drydock"), time.Now()
		if warnings, err := table.Ensure(t.Context()); err != nil || len(warnings) > 0 {
			t.Fatalf("warnings %q, error %v", warnings, err)
		}
		if took := time.Since(began); took < 50*time.Second || took > 55*time.Second {
			t.Errorf("it took %v", took)
		}
		checkTable(t, client)
		server.ResetUsage()
		if warnings, err := table.Ensure(t.Context()); err != nil || len(warnings) > 0 {
			t.Errorf("again: warnings %q, error %v", warnings, err)
		}
		for op := range server.Usage().Calls {
			if !strings.HasPrefix(op, "Describe") {
				t.Errorf("a second Ensure called %s", op)
			}
		}
	})
}

func checkTable(t *testing.T, client *dynamodb.Client) {
	t.Helper()
	name := aws.String("drydock")
	table, err := client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: name})
	if err != nil || !aws.ToBool(table.Table.DeletionProtectionEnabled) || table.Table.BillingModeSummary.BillingMode != types.BillingModePayPerRequest {
		t.Errorf("table %+v, %v", table, err)
	}
	ttl, err := client.DescribeTimeToLive(t.Context(), &dynamodb.DescribeTimeToLiveInput{TableName: name})
	if err != nil || aws.ToString(ttl.TimeToLiveDescription.AttributeName) != "expires" {
		t.Errorf("ttl %+v, %v", ttl, err)
	}
	backups, err := client.DescribeContinuousBackups(t.Context(), &dynamodb.DescribeContinuousBackupsInput{TableName: name})
	if err != nil || backups.ContinuousBackupsDescription.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus != types.PointInTimeRecoveryStatusEnabled {
		t.Errorf("backups %+v, %v", backups, err)
	}
}

// TestEnsureWaitsWithDeadline: a table that never gets ready ends Ensure, with
// an error or, for backups alone, a warning.
func TestEnsureWaitsWithDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := dynamotest.New()
		server.CreateFor = time.Hour
		_, err := dynamo.New(server.Client("operator"), "drydock").Ensure(t.Context())
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("table that stays CREATING: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		server := dynamotest.New()
		server.BackupsAfter = time.Hour
		warnings, err := dynamo.New(server.Client("operator"), "drydock").Ensure(t.Context())
		if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "point-in-time recovery") {
			t.Errorf("table without backups: %q, %v", warnings, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err = dynamo.New(server.Client("operator"), "drydock").Ensure(ctx)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("caller that gives up: %v", err)
		}
	})
}

// TestEnsureOnDynalite: what a server does not know is a warning.
func TestEnsureOnDynalite(t *testing.T) {
	table := dynamo.New(dynalitetest.Start(t), "drydock")
	for range 2 {
		warnings, err := table.Ensure(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"deletion protection", "TTL", "point-in-time recovery"} {
			if !slices.ContainsFunc(warnings, func(w string) bool { return strings.Contains(w, want) }) {
				t.Errorf("no warning of %s in %q", want, warnings)
			}
		}
	}
}

// changed answers DescribeTable and the like with something odd.
type changed struct {
	dynamo.API
	table func(*types.TableDescription)
	ttl   *types.TimeToLiveDescription
}

func (c changed) DescribeTable(ctx context.Context, in *dynamodb.DescribeTableInput, o ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error) {
	out, err := c.API.DescribeTable(ctx, in, o...)
	if err == nil && c.table != nil {
		c.table(out.Table)
	}
	return out, err
}

func (c changed) DescribeTimeToLive(ctx context.Context, in *dynamodb.DescribeTimeToLiveInput, o ...func(*dynamodb.Options)) (*dynamodb.DescribeTimeToLiveOutput, error) {
	if c.ttl != nil {
		return &dynamodb.DescribeTimeToLiveOutput{TimeToLiveDescription: c.ttl}, nil
	}
	return c.API.DescribeTimeToLive(ctx, in, o...)
}

func TestEnsureRefuses(t *testing.T) {
	tests := []struct {
		name string
		api  func(dynamo.API) dynamo.API
		want string
	}{
		{"other keys", func(api dynamo.API) dynamo.API {
			return changed{API: api, table: func(d *types.TableDescription) {
				d.KeySchema = d.KeySchema[:1]
				d.AttributeDefinitions[0].AttributeType = types.ScalarAttributeTypeN
			}}
		}, "table drydock has the keys fleet (N, HASH), not fleet (S, HASH), item (S, RANGE)"},
		{"global table", func(api dynamo.API) dynamo.API {
			return changed{API: api, table: func(d *types.TableDescription) {
				d.Replicas = []types.ReplicaDescription{{RegionName: aws.String("eu-west-1")}}
			}}
		}, "global table"},
		{"being deleted", func(api dynamo.API) dynamo.API {
			return changed{API: api, table: func(d *types.TableDescription) { d.TableStatus = types.TableStatusDeleting }}
		}, "the table is DELETING"},
		{"TTL by another attribute", func(api dynamo.API) dynamo.API {
			return changed{API: api, ttl: &types.TimeToLiveDescription{
				AttributeName: aws.String("ttl"), TimeToLiveStatus: types.TimeToLiveStatusEnabled,
			}}
		}, "by attribute ttl, not expires"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := dynamo.New(test.api(dynamotest.New().Client("operator")), "drydock").Ensure(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %s", err, test.want)
			}
		})
	}
}

// TestEnsureWarnsOfNoProtection: an older table without deletion protection is
// used, and said to be so.
func TestEnsureWarnsOfNoProtection(t *testing.T) {
	api := changed{API: dynamotest.New().Client("operator"), table: func(d *types.TableDescription) { d.DeletionProtectionEnabled = nil }}
	warnings, err := dynamo.New(api, "drydock").Ensure(t.Context())
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "deletion protection") {
		t.Errorf("warnings %q, error %v", warnings, err)
	}
}

// TestEnsureDenied: each call that is denied is named with its table.
func TestEnsureDenied(t *testing.T) {
	for _, op := range []string{
		"DescribeTable", "CreateTable", "DescribeTimeToLive", "UpdateTimeToLive", "DescribeContinuousBackups", "UpdateContinuousBackups",
	} {
		server := dynamotest.New()
		server.Faults(func(call dynamotest.Call) dynamotest.Fault {
			if call.Op == op {
				return dynamotest.Fault{Answer: dynamotest.Denied}
			}
			return dynamotest.Fault{}
		})
		_, err := dynamo.New(server.Client("operator"), "drydock").Ensure(t.Context())
		if want := "allow dynamodb:" + op + " on table drydock in the IAM role"; err == nil || hint.Of(err) != want {
			t.Errorf("%s denied: %v, hint %q, want %q", op, err, hint.Of(err), want)
		}
	}
}

// TestEnsureAtOnce: operators who run it together all end well.
func TestEnsureAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := dynamotest.New()
		server.CreateFor = 10 * time.Second
		server.Faults(func(call dynamotest.Call) dynamotest.Fault {
			return dynamotest.Fault{Latency: 100 * time.Millisecond} // all see no table, then all create
		})
		results := make(chan error, 3)
		for range 3 {
			go func() {
				_, err := dynamo.New(server.Client("operator"), "drydock").Ensure(t.Context())
				results <- err
			}()
		}
		for range 3 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
	})
}
