package dynamo_test

import (
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/coordination/coordtest"
	"github.com/drydock-ecs/drydock/coordination/dynamo"
	"github.com/drydock-ecs/drydock/internal/dynalitetest"
	"github.com/drydock-ecs/drydock/internal/dynamotest"
)

// TestMain clears what a developer's or build machine's environment would tell
// the SDK.
func TestMain(m *testing.M) {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "AWS_") {
			os.Unsetenv(name)
		}
	}
	os.Exit(m.Run())
}

// ensured returns a table that exists.
func ensured(t *testing.T, api dynamo.API) *dynamo.Table {
	t.Helper()
	table := dynamo.New(api, "drydock")
	if _, err := table.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	return table
}

// onWire opens tables of a stand-in behind a real socket.
func onWire(t *testing.T) (coordination.Store, coordination.Rows) {
	listener := httptest.NewServer(dynamotest.New())
	t.Cleanup(listener.Close)
	table := ensured(t, dial(listener.URL, "suite"))
	return table, table
}

// dial returns a client as an agent has it, with the SDK's own HTTP client.
func dial(url, caller string) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		Region:       "eu-north-1",
		BaseEndpoint: aws.String(url),
		Credentials:  credentials.NewStaticCredentialsProvider(caller, "secret", ""),
	})
}

// direct opens tables of a stand-in without a socket.
func direct(t *testing.T) (coordination.Store, coordination.Rows) {
	table := ensured(t, dynamotest.New().Client("suite"))
	return table, table
}

func memory(*testing.T) (coordination.Store, coordination.Rows) {
	m := coordtest.NewMemory()
	return m, m
}

// dynalite opens one table of one dynalite again and again: starting it takes
// longer than a test.
func dynalite(t *testing.T) coordtest.Opener {
	table := ensured(t, dynalitetest.Start(t))
	return func(*testing.T) (coordination.Store, coordination.Rows) { return table, table }
}

func TestSuite(t *testing.T) {
	t.Run("wire", func(t *testing.T) { coordtest.Suite(t, onWire) })
	t.Run("direct", func(t *testing.T) { coordtest.Suite(t, direct) })
	t.Run("dynalite", func(t *testing.T) { coordtest.Suite(t, dynalite(t)) })
}

// TestSameResults judges the stand-ins by each other: memory by dynamotest,
// and dynamotest by dynalite.
func TestSameResults(t *testing.T) {
	t.Run("memory, dynamotest", func(t *testing.T) {
		for seed := range uint64(15) {
			coordtest.Differential(t, seed, 150, memory, direct)
		}
	})
	t.Run("dynamotest, dynalite", func(t *testing.T) {
		judge := dynalite(t)
		for seed := range uint64(6) {
			coordtest.Differential(t, seed, 150, direct, judge)
		}
	})
}
