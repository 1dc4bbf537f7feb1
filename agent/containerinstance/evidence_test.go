package containerinstance_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/agent/containerinstance"
	"github.com/drydock-ecs/drydock/internal/ec2api"
	"github.com/drydock-ecs/drydock/internal/ec2test"
)

func identityIn(region string) func(context.Context) (agent.Identity, error) {
	return func(context.Context) (agent.Identity, error) {
		return agent.Identity{Instance: here, Region: region}, nil
	}
}

// evidenceOnWire is evidence over real sockets, from a stand-in in eu-west-1;
// the settings name another Region.
func evidenceOnWire(t *testing.T, change ...func(*aws.Config)) (*ec2test.Account, *containerinstance.Evidence) {
	t.Helper()
	clearAWS(t)
	account := ec2test.New("eu-west-1")
	server := httptest.NewServer(account)
	t.Cleanup(server.Close)
	config := aws.Config{
		Region:       "us-east-1",
		BaseEndpoint: &server.URL,
		Credentials:  credentials(nil),
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
			})
		},
	}
	for _, f := range change {
		f(&config)
	}
	return account, containerinstance.NewEvidence(identityIn("eu-west-1"), func(region string) containerinstance.InstanceAPI {
		config.Region = region
		return ec2api.New(config, containerinstance.EvidenceAttempts)
	})
}

func TestEvidence(t *testing.T) {
	account, door := evidenceOnWire(t)
	account.Set(here, "running")
	account.Set("i-old", "terminated")
	got, err := door.Instances(t.Context(), []string{"i-gone", here, "i-old"})
	want(t, "error", err, nil)
	want(t, "states", maps.Equal(got, map[string]string{here: "running", "i-old": "terminated"}), true)
	got, err = door.Instances(t.Context(), nil)
	want(t, "no question", fmt.Sprint(len(got), err, len(account.Calls())), "0 <nil> 1")
}

func TestEvidenceInPagesAndBatches(t *testing.T) {
	account, door := evidenceOnWire(t)
	var ids []string
	states := map[string]string{}
	for n := range ec2api.MaxIDs + 50 {
		id := fmt.Sprintf("i-%03d", n)
		ids = append(ids, id)
		if n%2 == 0 {
			account.Set(id, "stopped")
			states[id] = "stopped"
		}
	}
	account.SetPage(60) // 100 of the first batch, 25 of the second
	got, err := door.Instances(t.Context(), ids)
	want(t, "error", err, nil)
	want(t, "states", maps.Equal(got, states), true)
	want(t, "calls", len(account.Calls()), 3)

	// Without the last page the answer is none.
	account.SetFault(func(c ec2test.Call) ec2test.Fault {
		if c.Page == 1 {
			return ec2test.Fault{Drop: true}
		}
		return ec2test.Fault{}
	})
	got, err = door.Instances(t.Context(), ids)
	want(t, "states without a page", len(got), 0)
	wantErr(t, "without a page", err, "ask EC2 for the states of instances: ")
}

// pages is an EC2 that gives these answers, one after the other.
type pages []ec2api.DescribeInstancesOutput

func (p *pages) DescribeInstances(context.Context, *ec2api.DescribeInstancesInput) (*ec2api.DescribeInstancesOutput, error) {
	page := (*p)[0]
	*p = slices.Clone((*p)[1:])
	return &page, nil
}

func TestEvidenceOfNonsense(t *testing.T) {
	for text, answers := range map[string]pages{
		"which was not asked for": {{Instances: []ec2api.Instance{{ID: "i-other", State: "running"}}}},
		"repeats a page":          {{NextToken: "a"}, {NextToken: "a"}},
	} {
		door := containerinstance.NewEvidence(identityIn("eu-west-1"), func(string) containerinstance.InstanceAPI { return &answers })
		_, err := door.Instances(t.Context(), []string{here})
		wantErr(t, "nonsense", err, "ask EC2 for the states of instances: ", text)
	}
}

func TestEvidenceErrors(t *testing.T) {
	account, door := evidenceOnWire(t)
	const byHand = "drydock release"
	for _, tt := range []struct {
		fault ec2test.Fault
		text  []string
		calls int
	}{
		{ec2test.Fault{Code: "UnauthorizedOperation", Status: 403}, []string{"allow ec2:DescribeInstances", byHand}, 1},
		{ec2test.Fault{Code: "AuthFailure", Status: 401}, []string{"check the host's clock and credentials"}, 1},
		{ec2test.Fault{Code: "RequestExpired"}, []string{"the role's credentials have expired"}, 1},
		{ec2test.Fault{Code: "RequestLimitExceeded", Status: 503}, []string{"RequestLimitExceeded"}, containerinstance.EvidenceAttempts},
		{ec2test.Fault{Body: "<html/>"}, []string{"deserialization failed"}, 1},
	} {
		before := len(account.Calls())
		account.SetFault(func(ec2test.Call) ec2test.Fault { return tt.fault })
		_, err := door.Instances(t.Context(), []string{here})
		wantErr(t, tt.fault.Code, err, tt.text...)
		want(t, tt.fault.Code+" calls", len(account.Calls())-before, tt.calls)
	}
	_, door = evidenceOnWire(t, func(c *aws.Config) { c.BaseEndpoint = aws.String("http://127.0.0.1:1") })
	_, err := door.Instances(t.Context(), []string{here})
	wantErr(t, "no route", err, "connection refused", "interface endpoint `ec2`", byHand)
	_, door = evidenceOnWire(t, func(c *aws.Config) { c.Credentials = credentials(errors.New("no EC2 IMDS role found")) })
	_, err = door.Instances(t.Context(), []string{here})
	wantErr(t, "no role", err, "no EC2 IMDS role found", "attach an instance profile")
	lost := containerinstance.NewEvidence(func(context.Context) (agent.Identity, error) { return agent.Identity{}, errors.New("broken") }, nil)
	_, err = lost.Instances(t.Context(), []string{here})
	wantErr(t, "no identity", err, "find the Region: broken")
}
