// Package imdstest is a stand-in for the EC2 instance metadata service of one
// instance, version 2 only: over HTTP for real clients, and directly with the
// methods of the SDK's client.
package imdstest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Host is what the metadata service says of itself that never changes.
type Host struct {
	Instance string // EC2 instance id
	Region   string // default "eu-west-1"
	Zone     string // default the Region's zone a
	Account  string // default "111122223333"
	// Role is the name of the instance role; default "drydock-host".
	Role string
	// AccessKey is the access key id of the role's credentials: calls signed
	// with them can be told apart by it. Default "AKIA" and the instance id.
	AccessKey string
}

// Service is the metadata service of one instance. All methods may be called
// by several goroutines.
type Service struct {
	host Host

	mu        sync.Mutex
	lifecycle string
	spot      string
	noRole    bool
	down      bool
	tokens    map[string]time.Time // token and its end
	drawn     int
}

// New returns a metadata service of an instance that is in no Auto Scaling
// group, is not interrupted, and has a role.
func New(h Host) *Service {
	h.Region = cmp.Or(h.Region, "eu-west-1")
	h.Zone = cmp.Or(h.Zone, h.Region+"a")
	h.Account = cmp.Or(h.Account, "111122223333")
	h.Role = cmp.Or(h.Role, "drydock-host")
	h.AccessKey = cmp.Or(h.AccessKey, "AKIA"+h.Instance)
	return &Service{host: h, tokens: make(map[string]time.Time)}
}

// SetLifecycle sets the target lifecycle state in the Auto Scaling group
// ("InService", "Terminated", …); "" means in no group, which is 404.
func (s *Service) SetLifecycle(state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lifecycle = state
}

// SetSpot gives a Spot interruption notice: action is "terminate", "stop" or
// "hibernate"; "" withdraws it, which is 404.
func (s *Service) SetSpot(action string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spot = ""
	if action != "" {
		s.spot = fmt.Sprintf(`{"action":%q,"time":%q}`, action, at.UTC().Format(time.RFC3339))
	}
}

// SetRole gives or takes the instance's role, and with it its credentials.
func (s *Service) SetRole(attached bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noRole = !attached
}

// SetDown lets the service not answer at all.
func (s *Service) SetDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// ForgetTokens makes every token drawn so far invalid.
func (s *Service) ForgetTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
}

const (
	tokenPath    = "/latest/api/token"
	documentPath = "/latest/dynamic/instance-identity/document"
	metaPath     = "/latest/meta-data/"
	rolesPath    = "iam/security-credentials/"

	tokenHeader = "X-Aws-Ec2-Metadata-Token"
	ttlHeader   = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	ttlMax      = 21600
)

// ServeHTTP is the metadata service, which wants a token for everything.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case s.silent():
		hangUp(w)
	case r.URL.Path == tokenPath:
		s.serveToken(w, r)
	case r.Method != http.MethodGet:
		w.WriteHeader(http.StatusMethodNotAllowed)
	case !s.knows(r.Header.Get(tokenHeader)):
		w.WriteHeader(http.StatusUnauthorized)
	default:
		text, ok := s.lookUp(r.URL.Path)
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, text)
	}
}

func (s *Service) silent() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down
}

// serveToken draws a token, good for the seconds asked for.
func (s *Service) serveToken(w http.ResponseWriter, r *http.Request) {
	var ttl int
	_, err := fmt.Sscan(r.Header.Get(ttlHeader), &ttl)
	switch {
	case r.Method != http.MethodPut:
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	case err != nil || ttl < 1 || ttl > ttlMax:
		w.WriteHeader(http.StatusBadRequest)
		return
	case r.Header.Get("X-Forwarded-For") != "":
		w.WriteHeader(http.StatusForbidden) // as the real one, against open proxies
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drawn++
	token := fmt.Sprintf("token-%s-%d", s.host.Instance, s.drawn)
	s.tokens[token] = time.Now().Add(time.Duration(ttl) * time.Second)
	w.Header().Set(ttlHeader, fmt.Sprint(ttl))
	_, _ = io.WriteString(w, token)
}

func (s *Service) knows(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Before(s.tokens[token])
}

// lookUp returns what is at a path; false: nothing is.
func (s *Service) lookUp(path string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if path == documentPath {
		return s.document(), true
	}
	path, ok := strings.CutPrefix(path, metaPath)
	if !ok {
		return "", false
	}
	text := s.metadata(path)
	return text, text != ""
}

// metadata is one entry of the metadata, "" where there is none.
func (s *Service) metadata(path string) string {
	switch path {
	case "instance-id":
		return s.host.Instance
	case "placement/region":
		return s.host.Region
	case "placement/availability-zone":
		return s.host.Zone
	case "autoscaling/target-lifecycle-state":
		return s.lifecycle
	case "spot/instance-action":
		return s.spot
	}
	if s.noRole {
		return ""
	}
	switch path {
	case rolesPath, strings.TrimSuffix(rolesPath, "/"):
		return s.host.Role
	case rolesPath + s.host.Role:
		return s.credentials()
	}
	return ""
}

func (s *Service) document() string {
	return text(map[string]any{
		"instanceId":       s.host.Instance,
		"region":           s.host.Region,
		"availabilityZone": s.host.Zone,
		"accountId":        s.host.Account,
		"instanceType":     "m7g.large",
		"architecture":     "arm64",
		"version":          "2017-09-30",
		"pendingTime":      time.Now().UTC().Format(time.RFC3339),
	})
}

// credentials last for six hours, as those of the real service.
func (s *Service) credentials() string {
	now := time.Now().UTC()
	return text(map[string]any{
		"Code":            "Success",
		"LastUpdated":     now.Format(time.RFC3339),
		"Type":            "AWS-HMAC",
		"AccessKeyId":     s.host.AccessKey,
		"SecretAccessKey": "not-a-secret",
		"Token":           "not-a-token",
		"Expiration":      now.Add(6 * time.Hour).Format(time.RFC3339),
	})
}

// text writes a flat map of strings, which cannot fail.
func text(m map[string]any) string {
	body, _ := json.Marshal(m)
	return string(body)
}

// GetMetadata answers as the SDK's client does.
func (s *Service) GetMetadata(ctx context.Context, in *imds.GetMetadataInput, _ ...func(*imds.Options)) (*imds.GetMetadataOutput, error) {
	found, err := s.get(ctx, metaPath+strings.TrimPrefix(in.Path, "/"))
	if err != nil {
		return nil, fmt.Errorf("operation error ec2imds: GetMetadata, %w", err)
	}
	return &imds.GetMetadataOutput{Content: io.NopCloser(strings.NewReader(found))}, nil
}

// GetInstanceIdentityDocument answers as the SDK's client does.
func (s *Service) GetInstanceIdentityDocument(ctx context.Context, _ *imds.GetInstanceIdentityDocumentInput, _ ...func(*imds.Options)) (*imds.GetInstanceIdentityDocumentOutput, error) {
	found, err := s.get(ctx, documentPath)
	if err != nil {
		return nil, fmt.Errorf("operation error ec2imds: GetInstanceIdentityDocument, %w", err)
	}
	out := &imds.GetInstanceIdentityDocumentOutput{}
	if err := json.Unmarshal([]byte(found), &out.InstanceIdentityDocument); err != nil {
		return nil, err
	}
	return out, nil
}

// get is one request without a wire.
func (s *Service) get(ctx context.Context, path string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if s.silent() {
		return "", &smithyhttp.RequestSendError{Err: &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}}
	}
	found, ok := s.lookUp(path)
	if !ok {
		return "", &smithyhttp.ResponseError{
			Response: &smithyhttp.Response{Response: &http.Response{StatusCode: http.StatusNotFound, Header: http.Header{}, Body: http.NoBody}},
			Err:      fmt.Errorf("%s: not found", path),
		}
	}
	return found, nil
}

// hangUp closes the connection without an answer.
func hangUp(w http.ResponseWriter) {
	if h, ok := w.(http.Hijacker); ok {
		if conn, _, err := h.Hijack(); err == nil {
			_ = conn.Close()
			return
		}
	}
	w.WriteHeader(http.StatusServiceUnavailable)
}
