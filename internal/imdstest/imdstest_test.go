package imdstest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"

	"github.com/drydock-ecs/drydock/agent/containerinstance"
	"github.com/drydock-ecs/drydock/internal/imdstest"
)

var _ containerinstance.IMDS = (*imdstest.Service)(nil)

func serve(t *testing.T, h imdstest.Host) (*imdstest.Service, string) {
	t.Helper()
	s := imdstest.New(h)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s, server.URL
}

func client(url string) *imds.Client {
	return imds.New(imds.Options{Endpoint: url, Retryer: aws.NopRetryer{}, ClientEnableState: imds.ClientEnabled}, containerinstance.IMDSv2Only)
}

// read returns a piece of metadata, or "404" and the like.
func read(t *testing.T, door containerinstance.IMDS, path string) string {
	t.Helper()
	out, err := door.GetMetadata(t.Context(), &imds.GetMetadataInput{Path: path})
	if status, ok := errors.AsType[interface {
		error
		HTTPStatusCode() int
	}](err); ok {
		return http.StatusText(status.HTTPStatusCode())
	}
	if err != nil {
		return "no answer"
	}
	defer out.Content.Close()
	text, err := io.ReadAll(out.Content)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestBothDoors asks the same of the SDK's client on the wire and of the
// direct door.
func TestBothDoors(t *testing.T) {
	s, url := serve(t, imdstest.Host{Instance: "i-1", Zone: "eu-west-1c"})
	for name, door := range map[string]containerinstance.IMDS{"wire": client(url), "direct": s} {
		t.Run(name, func(t *testing.T) {
			check := func(path, want string) {
				t.Helper()
				if got := read(t, door, path); got != want {
					t.Errorf("%s: got %q, want %q", path, got, want)
				}
			}
			doc, err := door.GetInstanceIdentityDocument(t.Context(), &imds.GetInstanceIdentityDocumentInput{})
			if err != nil {
				t.Fatal(err)
			}
			if got := doc.InstanceID + doc.Region + doc.AvailabilityZone + doc.AccountID; got != "i-1eu-west-1eu-west-1c111122223333" {
				t.Errorf("identity: got %s", got)
			}
			check("instance-id", "i-1")
			check("placement/region", "eu-west-1")
			check("placement/availability-zone", "eu-west-1c")
			check("nothing/of/the/kind", "Not Found")

			check("autoscaling/target-lifecycle-state", "Not Found")
			s.SetLifecycle("Terminated")
			check("autoscaling/target-lifecycle-state", "Terminated")
			s.SetLifecycle("")
			check("autoscaling/target-lifecycle-state", "Not Found")

			check("spot/instance-action", "Not Found")
			s.SetSpot("stop", time.Date(2026, 11, 23, 8, 22, 0, 0, time.UTC))
			check("spot/instance-action", `{"action":"stop","time":"2026-11-23T08:22:00Z"}`)
			s.SetSpot("", time.Time{})
			check("spot/instance-action", "Not Found")

			s.ForgetTokens()
			read(t, door, "instance-id") // 401: the client draws another token
			check("instance-id", "i-1")
			s.SetDown(true)
			check("instance-id", "no answer")
			s.SetDown(false)
		})
	}
}

func TestCredentialsNameTheHost(t *testing.T) {
	s, url := serve(t, imdstest.Host{Instance: "i-1", AccessKey: "AKIADEMO1"})
	provider := ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = client(url) })
	got, err := provider.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.AccessKeyID != "AKIADEMO1" || time.Until(got.Expires) < 50*time.Minute {
		t.Errorf("got %s until %s", got.AccessKeyID, got.Expires)
	}
	s.SetRole(false)
	if got, err := provider.Retrieve(t.Context()); err == nil {
		t.Errorf("without a role: got %s", got.AccessKeyID)
	}
}

// TestTokenIsNeeded is the protocol of version 2.
func TestTokenIsNeeded(t *testing.T) {
	_, url := serve(t, imdstest.Host{Instance: "i-1"})
	do := func(method, path string, headers ...string) (int, string) {
		req, err := http.NewRequestWithContext(context.Background(), method, url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	const ttl, use = "X-aws-ec2-metadata-token-ttl-seconds", "X-aws-ec2-metadata-token"
	tests := []struct {
		name, method, path string
		headers            []string
		want               int
	}{
		{"no token", "GET", "/latest/meta-data/instance-id", nil, 401},
		{"wrong token", "GET", "/latest/meta-data/instance-id", []string{use, "x"}, 401},
		{"token by GET", "GET", "/latest/api/token", []string{ttl, "60"}, 405},
		{"token without a length", "PUT", "/latest/api/token", nil, 400},
		{"token for too long", "PUT", "/latest/api/token", []string{ttl, "21601"}, 400},
		{"token through a proxy", "PUT", "/latest/api/token", []string{ttl, "60", "X-Forwarded-For", "10.0.0.1"}, 403},
		{"writing", "POST", "/latest/meta-data/instance-id", nil, 405},
	}
	for _, tt := range tests {
		if got, _ := do(tt.method, tt.path, tt.headers...); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
	_, token := do("PUT", "/latest/api/token", ttl, "60")
	if got, body := do("GET", "/latest/meta-data/instance-id", use, token); got != 200 || body != "i-1" {
		t.Errorf("with a token: got %d %q", got, body)
	}
	if got, body := do("GET", "/latest/meta-data/iam/security-credentials/", use, token); got != 200 || strings.TrimSpace(body) != "drydock-host" {
		t.Errorf("roles: got %d %q", got, body)
	}
}
