package containerinstance_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/agent/containerinstance"
	"github.com/drydock-ecs/drydock/internal/ecstest"
)

// credentials gives each call the key "AKIAHERE", or fails.
func credentials(err error) aws.CredentialsProvider {
	return aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKIAHERE", SecretAccessKey: "x"}, err
	}))
}

// clearAWS keeps the machine's own AWS settings out of a test.
func clearAWS(t *testing.T) {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
}

// onWire is a door over real sockets, with the SDK's client and its retryer,
// which here waits for nothing.
func onWire(t *testing.T, change ...func(*ecs.Options)) (*ecstest.Cluster, *containerinstance.Door) {
	t.Helper()
	clearAWS(t)
	c := ecstest.New(ecstest.Config{})
	if err := c.AddHost(ecstest.Host{ID: here}); err != nil {
		t.Fatal(err)
	}
	api, local := httptest.NewServer(c), httptest.NewServer(c.Agent(here))
	t.Cleanup(func() {
		c.Close()
		api.Close()
		local.Close()
	})
	client := ecs.New(ecs.Options{
		Region:       "eu-west-1",
		BaseEndpoint: &api.URL,
		Credentials:  credentials(nil),
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
		}),
	}, change...)
	return c, containerinstance.New(containerinstance.Options{API: client, Local: containerinstance.NewLocalAgent(local.URL)})
}

func TestWholeUpdateOnTheWire(t *testing.T) {
	c, door := onWire(t)
	c.AddService(ecstest.Service{Name: "web", Desired: 1, Limits: &ecstest.Limits{Minimum: 0, Maximum: 100}})
	ctx := t.Context()
	self, err := door.Self(ctx)
	want(t, "self", err, nil)
	inventory, err := door.Classify(ctx, self)
	want(t, "classify", err, nil)
	want(t, "tasks", summary(inventory.Tasks), "replica web web:1 RUNNING")
	want(t, "drain", door.Drain(ctx, self), nil)
	instance, err := door.Look(ctx, self)
	want(t, "look", err, nil)
	want(t, "instance", instance, agent.Instance{Status: "DRAINING", Connected: true})
	left, err := door.Remaining(ctx, self)
	want(t, "remaining", err, nil)
	want(t, "left", summary(left), "")
	instance, err = door.Activate(ctx, self)
	want(t, "activate", err, nil)
	want(t, "instance", instance, agent.Instance{Status: "ACTIVE", Connected: true})
	want(t, "calls", c.Count("AKIAHERE", ""), 9)
}

// TestAttempts counts what reaches ECS of each method when ECS throttles.
func TestAttempts(t *testing.T) {
	c, door := onWire(t)
	self, err := door.Self(t.Context())
	want(t, "self", err, nil)
	ctx := t.Context()
	tests := []struct {
		name   string
		report ecstest.Report
		call   func() error
		want   int
	}{
		{"drain, throttled", ecstest.Throttle, func() error { return door.Drain(ctx, self) }, 1},
		{"drain, 500", ecstest.ServerError, func() error { return door.Drain(ctx, self) }, 1},
		{"drain, dropped", ecstest.Drop, func() error { return door.Drain(ctx, self) }, 1},
		{"activate, throttled", ecstest.Throttle, func() error { _, err := door.Activate(ctx, self); return err }, 5},
		{"activate, 500", ecstest.ServerError, func() error { _, err := door.Activate(ctx, self); return err }, 1},
		{"activate, dropped", ecstest.Drop, func() error { _, err := door.Activate(ctx, self); return err }, 1},
		{"stop, throttled", ecstest.Throttle, func() error { return door.Stop(ctx, self, agent.Task{ARN: "x"}) }, 5},
		{"look, throttled", ecstest.Throttle, func() error { _, err := door.Look(ctx, self); return err }, 3},
		{"remaining, dropped", ecstest.Drop, func() error { _, err := door.Remaining(ctx, self); return err }, 3},
	}
	for _, tt := range tests {
		c.ResetCalls()
		c.SetFault(func(ecstest.Call) ecstest.Fault { return ecstest.Fault{Lose: true, Report: tt.report} })
		err := tt.call()
		want(t, tt.name+" fails", err != nil, true)
		want(t, tt.name, c.Count("", ""), tt.want)
	}
}

// TestErrorsOnTheWire is what the SDK makes of the faults, which is what the
// door has to tell apart.
func TestErrorsOnTheWire(t *testing.T) {
	c, door := onWire(t)
	self, err := door.Self(t.Context())
	want(t, "self", err, nil)
	code := func(code string) error { return &types.ClientException{ErrorCodeOverride: &code} }
	tests := []struct {
		name       string
		fault      ecstest.Fault
		unanswered bool
		text       string
	}{
		{"throttled", ecstest.Fault{Lose: true, Report: ecstest.Throttle}, false, "Rate exceeded"},
		{"500", ecstest.Fault{Report: ecstest.ServerError}, true, "ServerException"},
		{"dropped", ecstest.Fault{Report: ecstest.Drop}, true, "EOF"},
		{"hanging", ecstest.Fault{Report: ecstest.Hang}, true, "does not answer in time"},
		{"denied", ecstest.Fault{Lose: true, Err: &types.AccessDeniedException{}}, false, "allow ecs:UpdateContainerInstancesState on this cluster"},
		{"no cluster", ecstest.Fault{Lose: true, Err: &types.ClusterNotFoundException{}}, false, "AWS_REGION"},
		{"expired", ecstest.Fault{Lose: true, Err: code("ExpiredTokenException")}, false, "credentials have expired"},
		{"unknown key", ecstest.Fault{Lose: true, Err: code("UnrecognizedClientException")}, false, "does not recognise"},
		{"invalid", ecstest.Fault{Lose: true, Err: &types.InvalidParameterException{Message: aws.String("not ACTIVE")}}, false, "only an ACTIVE one can be drained"},
	}
	for _, tt := range tests {
		c.SetFault(func(ecstest.Call) ecstest.Fault { return tt.fault })
		patience := time.Minute
		if tt.fault.Report == ecstest.Hang {
			patience = 300 * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		err := door.Drain(ctx, self)
		cancel()
		want(t, tt.name+" unanswered", errors.Is(err, agent.ErrUnanswered), tt.unanswered)
		wantErr(t, tt.name, err, "set DRAINING: ", tt.text)
	}
}

// TestAnswersOfOthers: between the host and ECS may stand a proxy. What it says
// says nothing of what ECS has done, or will do.
func TestAnswersOfOthers(t *testing.T) {
	for _, status := range []int{http.StatusForbidden, http.StatusNotFound, http.StatusRequestTimeout, http.StatusTooManyRequests} {
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<h1>no</h1>", status) }))
		_, door := onWire(t, func(o *ecs.Options) { o.BaseEndpoint = &proxy.URL })
		err := door.Drain(t.Context(), self)
		want(t, http.StatusText(status)+" unanswered", errors.Is(err, agent.ErrUnanswered), true)
		proxy.Close()
	}
}

func TestNoCredentials(t *testing.T) {
	_, door := onWire(t, func(o *ecs.Options) { o.Credentials = credentials(errors.New("no EC2 IMDS role found")) })
	_, err := door.Look(t.Context(), self)
	wantErr(t, "look", err, "no EC2 IMDS role found", "attach an instance profile")
}

func TestNoRoute(t *testing.T) {
	_, door := onWire(t, func(o *ecs.Options) { o.BaseEndpoint = aws.String("http://127.0.0.1:1") })
	_, err := door.Look(t.Context(), self)
	wantErr(t, "look", err, "connection refused", "give the host a route")
	err = door.Drain(t.Context(), self)
	wantErr(t, "drain", err, "connection refused")
	want(t, "nothing was sent", errors.Is(err, agent.ErrUnanswered), false)
}
