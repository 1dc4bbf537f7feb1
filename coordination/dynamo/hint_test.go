package dynamo_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/coordination/coordtest"
	"github.com/drydock-ecs/drydock/coordination/dynamo"
	"github.com/drydock-ecs/drydock/internal/dynamotest"
	"github.com/drydock-ecs/drydock/internal/hint"
)

// everything calls each method of a table that should fail, and returns the
// errors by method.
func everything(t *testing.T, table *dynamo.Table) map[string]error {
	ctx := t.Context()
	return map[string]error{
		"GetItem":    second(table.Fetch(ctx, fleet)),
		"PutItem":    second(table.Create(ctx, fleet, []byte("{}"))),
		"UpdateItem": second(table.Replace(ctx, coordination.Value{Fleet: fleet, Token: "x"}, []byte("{}"))),
		"Query":      second(table.Hosts(ctx, fleet)),
	}
}

func TestNoTable(t *testing.T) {
	table := dynamo.New(dynamotest.New().Client("host"), "other")
	for op, err := range everything(t, table) {
		if !errors.Is(err, coordination.ErrNoTable) || errors.Is(err, coordination.ErrUnknown) || !strings.HasPrefix(hint.Of(err), "run: drydock init --table other --fleet CLUSTER --slots 1") {
			t.Errorf("%s: %v, hint %q", op, err, hint.Of(err))
		}
	}
}

func TestNoRecord(t *testing.T) {
	table := ensured(t, dynamotest.New().Client("host"))
	_, err := table.Fetch(t.Context(), fleet)
	if want := "run: drydock init --table drydock --fleet " + fleet + " --slots 1"; !errors.Is(err, coordination.ErrNotFound) || hint.Of(err) != want {
		t.Errorf("%v, hint %q", err, hint.Of(err))
	}
}

func TestDenied(t *testing.T) {
	w := newWorld(t)
	w.server.Faults(func(dynamotest.Call) dynamotest.Fault { return dynamotest.Fault{Answer: dynamotest.Denied} })
	for op, err := range everything(t, w.table) {
		if want := "allow dynamodb:" + op + " on table drydock in the IAM role"; coordtest.Kind(err) != "other" || hint.Of(err) != want {
			t.Errorf("%s: %v, hint %q", op, err, hint.Of(err))
		}
	}
}

// TestNoCredentials pins the words by which the SDK's error is known.
func TestNoCredentials(t *testing.T) {
	providers := map[string]aws.CredentialsProvider{
		"none": nil,
		"failing": aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{}, errors.New("no EC2 IMDS role found")
		})),
	}
	for name, provider := range providers {
		client := dynamotest.New().Client("host", func(o *dynamodb.Options) { o.Credentials = provider })
		for op, err := range everything(t, dynamo.New(client, "drydock")) {
			if name == "none" && strings.Contains(hint.Of(err), "check the AWS credentials") {
				continue // sent unsigned, and refused
			}
			if coordtest.Kind(err) != "other" || !strings.Contains(hint.Of(err), "IAM role") {
				t.Errorf("%s, %s: %v, hint %q", name, op, err, hint.Of(err))
			}
		}
	}
}

// TestUnreachable: a connection that was never made is definite, and the hint
// is about the network.
func TestUnreachable(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close() // a port where nobody listens
	_, refused := net.Dial("tcp", listener.Addr().String())
	synctest.Test(t, func(t *testing.T) {
		client := dynamotest.New().Client("host", func(o *dynamodb.Options) { o.HTTPClient = nowhere{refused} })
		table := dynamo.New(client, "drydock")
		table.Timeout = time.Minute // longer than all retries
		for op, err := range everything(t, table) {
			if !errors.Is(err, syscall.ECONNREFUSED) || coordtest.Kind(err) != "other" || !strings.Contains(hint.Of(err), "gateway endpoint") {
				t.Errorf("%s: %v, hint %q", op, err, hint.Of(err))
			}
		}
	})
}

// nowhere is an HTTP client that gets no connection.
type nowhere struct{ err error }

func (n nowhere) Do(r *http.Request) (*http.Response, error) {
	return nil, &url.Error{Op: "Post", URL: r.URL.String(), Err: n.err}
}

func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.table.Timeout = 2 * time.Second
		w.server.Cut("host", true)
		began := time.Now()
		for op, err := range everything(t, w.table) {
			want := "other"
			if op == "PutItem" || op == "UpdateItem" {
				want = "unknown"
			}
			if coordtest.Kind(err) != want || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(hint.Of(err), "gateway endpoint") {
				t.Errorf("%s: %v, hint %q", op, err, hint.Of(err))
			}
		}
		if took := time.Since(began); took != 4*2*time.Second {
			t.Errorf("four calls of two seconds took %v", took)
		}
	})
}

// TestNotDynamoDB: an answer of some proxy is no answer.
func TestNotDynamoDB(t *testing.T) {
	client := dynamotest.New().Client("host", func(o *dynamodb.Options) { o.HTTPClient = proxy{} })
	_, err := dynamo.New(client, "drydock").Create(t.Context(), fleet, []byte("{}"))
	if !errors.Is(err, coordination.ErrUnknown) {
		t.Errorf("error %v", err)
	}
}

type proxy struct{}

func (proxy) Do(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 403, Header: http.Header{"Content-Type": {"text/html"}}, Body: http.NoBody, Request: r}, nil
}
