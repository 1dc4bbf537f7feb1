package containerinstance_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/agent/containerinstance"
	"github.com/drydock-ecs/drydock/internal/imdstest"
)

// surroundings is the part of agent.Surroundings that EC2 is.
type surroundings interface {
	Identity(context.Context) (agent.Identity, error)
	Leaving(context.Context) (string, error)
}

// The rest of agent.Surroundings is another package's.
type rest interface {
	Boot() (agent.Boot, error)
	Claim(instance string) error
}

var _ agent.Surroundings = struct {
	surroundings
	rest
}{surroundings: (*containerinstance.EC2)(nil)}

// doors are the two ways to the same metadata service.
func doors(t *testing.T, s *imdstest.Service) map[string]*containerinstance.EC2 {
	t.Helper()
	clearAWS(t)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	wire := imds.New(imds.Options{Endpoint: server.URL, Retryer: aws.NopRetryer{}, ClientEnableState: imds.ClientEnabled}, containerinstance.IMDSv2Only)
	return map[string]*containerinstance.EC2{
		"wire":   containerinstance.NewEC2(wire),
		"direct": containerinstance.NewEC2(s),
	}
}

func TestIdentity(t *testing.T) {
	s := imdstest.New(imdstest.Host{Instance: "i-1", Zone: "eu-west-1c"})
	for name, ec2 := range doors(t, s) {
		t.Run(name, func(t *testing.T) {
			got, err := ec2.Identity(t.Context())
			want(t, "error", err, nil)
			want(t, "identity", got, agent.Identity{Instance: "i-1", Region: "eu-west-1", Account: "111122223333", Zone: "eu-west-1c"})
			s.SetDown(true)
			defer s.SetDown(false)
			_, err = ec2.Identity(t.Context())
			wantErr(t, "no answer", err, "read instance identity: ", "enable the instance metadata service")
		})
	}
	_, err := containerinstance.NewEC2(imdstest.New(imdstest.Host{})).Identity(t.Context())
	wantErr(t, "no id", err, "names no instance")
}

func TestLeaving(t *testing.T) {
	at := time.Date(2026, 11, 23, 8, 22, 0, 0, time.UTC)
	tests := []struct{ lifecycle, spot, want string }{
		{"", "", ""},
		{"InService", "", ""},
		{"Standby", "", ""},
		{"Detached", "", ""},
		{"Unheard", "", ""},
		{"Terminated", "", "the Auto Scaling group wants it Terminated"},
		{"Terminating:Wait", "", "the Auto Scaling group wants it Terminating:Wait"},
		{"Warmed:Stopped", "", "the Auto Scaling group wants it Warmed:Stopped"},
		{"InService", "terminate", "Spot interruption: terminate at 2026-11-23T08:22:00Z"},
		{"", "stop", "Spot interruption: stop at 2026-11-23T08:22:00Z"},
		{"Terminated", "stop", "the Auto Scaling group wants it Terminated"},
	}
	s := imdstest.New(imdstest.Host{Instance: "i-1"})
	for name, ec2 := range doors(t, s) {
		t.Run(name, func(t *testing.T) {
			for _, tt := range tests {
				s.SetLifecycle(tt.lifecycle)
				s.SetSpot(tt.spot, at)
				got, err := ec2.Leaving(t.Context())
				want(t, "error", err, nil)
				want(t, tt.lifecycle+"/"+tt.spot, got, tt.want)
			}
			s.SetDown(true)
			defer s.SetDown(false)
			got, err := ec2.Leaving(t.Context())
			want(t, "no answer is no sign", got, "")
			wantErr(t, "no answer", err, "ask whether the instance is leaving: ")
		})
	}
}

// half is a metadata service that answers by path: text, or an error.
type half map[string]any

func (h half) GetMetadata(_ context.Context, in *imds.GetMetadataInput, _ ...func(*imds.Options)) (*imds.GetMetadataOutput, error) {
	switch answer := h[in.Path].(type) {
	case error:
		return nil, answer
	case io.Reader:
		return &imds.GetMetadataOutput{Content: io.NopCloser(answer)}, nil
	}
	return nil, errors.New("no such thing")
}

func (half) GetInstanceIdentityDocument(context.Context, *imds.GetInstanceIdentityDocumentInput, ...func(*imds.Options)) (*imds.GetInstanceIdentityDocumentOutput, error) {
	return nil, errors.New("no such thing")
}

func TestAnySignCounts(t *testing.T) {
	const scaling, spot = "autoscaling/target-lifecycle-state", "spot/instance-action"
	broken := errors.New("broken")
	status := func(code int) error {
		return &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: &http.Response{StatusCode: code}}, Err: broken}
	}
	tests := []struct {
		name      string
		imds      half
		want, err string
	}{
		{"the second alone", half{scaling: broken, spot: strings.NewReader(`{"action":"stop","time":"soon"}`)}, "Spot interruption: stop at soon", ""},
		{"the first alone", half{scaling: strings.NewReader("Terminated\n"), spot: broken}, "the Auto Scaling group wants it Terminated", ""},
		{"no sign, one answer", half{scaling: strings.NewReader("InService"), spot: broken}, "", "broken"},
		{"401 is no answer", half{scaling: status(401), spot: status(404)}, "", "broken"},
		{"500 is no answer", half{scaling: status(404), spot: status(500)}, "", "broken"},
		{"404 is one", half{scaling: status(404), spot: status(404)}, "", ""},
		{"a notice that cannot be read", half{scaling: broken, spot: strings.NewReader("soon")}, "Spot interruption", ""},
		{"a body that breaks off", half{scaling: iotest.ErrReader(broken), spot: strings.NewReader("")}, "", scaling + ": broken"},
	}
	for _, tt := range tests {
		got, err := containerinstance.NewEC2(tt.imds).Leaving(t.Context())
		want(t, tt.name, got, tt.want)
		if tt.err == "" {
			want(t, tt.name, err, nil)
		} else {
			wantErr(t, tt.name, err, tt.err)
		}
	}
}
