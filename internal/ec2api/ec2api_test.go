package ec2api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/drydock-ecs/drydock/internal/ec2api"
	"github.com/drydock-ecs/drydock/internal/ec2test"
)

const region = "eu-west-1"

// clearAWS keeps the machine's own AWS settings out of a test.
func clearAWS(t *testing.T) {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
			os.Unsetenv(name)
		}
	}
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
}

// load reads the SDK's settings from the environment.
func load(t *testing.T) aws.Config {
	t.Helper()
	c, err := config.LoadDefaultConfig(t.Context(),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("AKIAHERE", "x", "token")),
		config.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
			})
		}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// onWire is a client of a stand-in over real sockets.
func onWire(t *testing.T, attempts int) (*ec2test.Account, *ec2api.Client) {
	t.Helper()
	clearAWS(t)
	account := ec2test.New(region)
	server := httptest.NewServer(account)
	t.Cleanup(server.Close)
	t.Setenv("AWS_REGION", region)
	t.Setenv("AWS_ENDPOINT_URL_EC2", server.URL)
	return account, ec2api.New(load(t), attempts)
}

func TestDescribeInstances(t *testing.T) {
	account, client := onWire(t, 1)
	account.Set("i-1", "running")
	account.Set("i-2", "terminated")
	account.Set("i-9", "running") // nobody asks for it
	in := &ec2api.DescribeInstancesInput{IDs: []string{"i-2", "i-1", "i-unknown"}}
	got, err := client.DescribeInstances(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	want := &ec2api.DescribeInstancesOutput{Instances: []ec2api.Instance{{ID: "i-1", State: "running"}, {ID: "i-2", State: "terminated"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	account.SetPage(1)
	first, err := client.DescribeInstances(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	second, err := client.DescribeInstances(t.Context(), &ec2api.DescribeInstancesInput{IDs: in.IDs, NextToken: first.NextToken})
	if err != nil {
		t.Fatal(err)
	}
	pages := []string{fmt.Sprint(first.Instances, first.NextToken != ""), fmt.Sprint(second.Instances, second.NextToken != "")}
	if diff := cmp.Diff([]string{"[{i-1 running}] true", "[{i-2 terminated}] false"}, pages); diff != "" {
		t.Error(diff)
	}
	if caller := account.Calls()[0].Caller; caller != "AKIAHERE" {
		t.Errorf("the call is signed by %q", caller)
	}
}

// Only what cannot be an answer about all instances is an error, and then
// always: what is missing in an answer counts as evidence.
func TestAnswersThatAreNone(t *testing.T) {
	account, client := onWire(t, 1)
	const whole = `<DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>`
	for _, test := range []struct {
		name, body string
		status     int
		want       string // part of the error; "" is none
	}{
		{"whole", whole, 200, ""},
		{"with a namespace", `<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>1</requestId><reservationSet><item/></reservationSet></DescribeInstancesResponse>`, 200, ""},
		{"cut off", whole[:len(whole)-1], 200, "unexpected EOF"},
		{"empty", " ", 200, "EOF"},
		{"a portal's page", "<html><body>Log in</body></html>", 200, "expected element type <DescribeInstancesResponse>"},
		{"no set", `<DescribeInstancesResponse/>`, 200, "no reservationSet"},
		{"no state", `<DescribeInstancesResponse><reservationSet><item><instancesSet><item><instanceId>i-1</instanceId></item></instancesSet></item></reservationSet></DescribeInstancesResponse>`, 200, "without an id or a state"},
		{"no id", `<DescribeInstancesResponse><reservationSet><item><instancesSet><item><instanceState><name>running</name></instanceState></item></instancesSet></item></reservationSet></DescribeInstancesResponse>`, 200, "without an id or a state"},
		{"an error that is no error", whole, 403, "the answer names no error of EC2"},
		{"a proxy's error", "Bad Gateway", 502, "the answer names no error of EC2"},
	} {
		account.SetFault(func(ec2test.Call) ec2test.Fault { return ec2test.Fault{Status: test.status, Body: test.body} })
		got, err := client.DescribeInstances(t.Context(), &ec2api.DescribeInstancesInput{IDs: []string{"i-1"}})
		switch {
		case test.want == "" && (err != nil || len(got.Instances) > 0):
			t.Errorf("%s: %v, %v", test.name, got, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

func TestErrors(t *testing.T) {
	account, client := onWire(t, 3)
	for _, test := range []struct {
		fault ec2test.Fault
		calls int
		code  string
	}{
		{ec2test.Fault{Code: "UnauthorizedOperation", Status: 403, Message: "You are not authorized"}, 1, "UnauthorizedOperation"},
		{ec2test.Fault{Code: "RequestLimitExceeded", Status: 503}, 3, "RequestLimitExceeded"},
		{ec2test.Fault{Code: "InternalError", Status: 500}, 3, "InternalError"},
		{ec2test.Fault{Drop: true}, 3, ""},
	} {
		before := len(account.Calls())
		account.SetFault(func(ec2test.Call) ec2test.Fault { return test.fault })
		_, err := client.DescribeInstances(t.Context(), &ec2api.DescribeInstancesInput{IDs: []string{"i-1"}})
		if n := len(account.Calls()) - before; n != test.calls || err == nil {
			t.Errorf("%+v: %d calls, %v", test.fault, n, err)
		}
		var api smithy.APIError
		if errors.As(err, &api) != (test.code != "") || test.code != "" && api.ErrorCode() != test.code {
			t.Errorf("%+v: %v", test.fault, err)
		}
		var answer interface{ HTTPStatusCode() int }
		if test.fault.Status != 0 && (!errors.As(err, &answer) || answer.HTTPStatusCode() != test.fault.Status) {
			t.Errorf("%+v: the status is not in %v", test.fault, err)
		}
		if !strings.HasPrefix(err.Error(), "operation error EC2: DescribeInstances, ") {
			t.Errorf("%+v: %v", test.fault, err)
		}
	}
	// Each attempt has a body, and a fault that passes is no error.
	account.Set("i-1", "running")
	faults := 0
	account.SetFault(func(ec2test.Call) ec2test.Fault {
		if faults++; faults < 3 {
			return ec2test.Fault{Code: "Unavailable", Status: 503}
		}
		return ec2test.Fault{}
	})
	got, err := client.DescribeInstances(t.Context(), &ec2api.DescribeInstancesInput{IDs: []string{"i-1"}})
	if err != nil || len(got.Instances) != 1 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestNoCall(t *testing.T) {
	account, client := onWire(t, 1)
	for _, n := range []int{0, ec2api.MaxIDs + 1} {
		if _, err := client.DescribeInstances(t.Context(), &ec2api.DescribeInstancesInput{IDs: make([]string, n)}); err == nil {
			t.Errorf("%d ids are asked for", n)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client.DescribeInstances(ctx, &ec2api.DescribeInstancesInput{IDs: []string{"i-1"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("a call whose context has ended: %v", err)
	}
	if n := len(account.Calls()); n > 0 {
		t.Errorf("%d calls were made", n)
	}
}

// asked is where a client would call.
type asked struct{ url string }

func (a *asked) Do(r *http.Request) (*http.Response, error) {
	a.url = r.URL.String()
	return nil, errors.New("no further")
}

func TestEndpoints(t *testing.T) {
	for _, test := range []struct {
		region string
		env    map[string]string
		want   string
	}{
		{"eu-west-1", nil, "https://ec2.eu-west-1.amazonaws.com/"},
		{"cn-north-1", nil, "https://ec2.cn-north-1.amazonaws.com.cn/"},
		{"us-gov-west-1", nil, "https://ec2.us-gov-west-1.amazonaws.com/"},
		{"us-iso-east-1", nil, "https://ec2.us-iso-east-1.c2s.ic.gov/"},
		{"us-east-1", map[string]string{"AWS_USE_FIPS_ENDPOINT": "true"}, "https://ec2-fips.us-east-1.amazonaws.com/"},
		{"us-gov-west-1", map[string]string{"AWS_USE_FIPS_ENDPOINT": "true"}, "https://ec2.us-gov-west-1.amazonaws.com/"},
		{"us-east-1", map[string]string{"AWS_USE_DUALSTACK_ENDPOINT": "true"}, "https://ec2.us-east-1.api.aws/"},
		{"us-east-1", map[string]string{"AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "true"}, "https://ec2-fips.us-east-1.api.aws/"},
		{"eu-west-1", map[string]string{"AWS_ENDPOINT_URL": "http://all"}, "http://all/"},
		{"eu-west-1", map[string]string{"AWS_ENDPOINT_URL": "http://all", "AWS_ENDPOINT_URL_EC2": "http://own"}, "http://own/"},
		{"eu-west-1", map[string]string{"AWS_ENDPOINT_URL": "http://all", "AWS_ENDPOINT_URL_ECS": "http://other"}, "http://all/"},
		{"eu-west-1", map[string]string{"AWS_ENDPOINT_URL_EC2": "http://own/path"}, "http://own/path"},
		{"eu-west-1", map[string]string{"AWS_ENDPOINT_URL_EC2": "http://own", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, "https://ec2.eu-west-1.amazonaws.com/"},
		{"", nil, ""},
	} {
		t.Run(fmt.Sprint(test.region, test.env), func(t *testing.T) {
			clearAWS(t)
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			var a asked
			c := load(t)
			c.Region, c.HTTPClient = test.region, &a
			_, err := ec2api.New(c, 1).DescribeInstances(t.Context(), &ec2api.DescribeInstancesInput{IDs: []string{"i-1"}})
			if a.url != test.want || err == nil {
				t.Errorf("asks %s: %v, want %s", a.url, err, test.want)
			}
		})
	}
}
