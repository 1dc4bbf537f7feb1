package containerinstance

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// IntrospectionURL is where the ECS agent of a Bottlerocket host listens.
const IntrospectionURL = "http://127.0.0.1:51678"

// bodyMax bounds what is read of one answer. A host with some hundred stopped
// tasks still listed is far below it.
const bodyMax = 16 << 20

// LocalAgent speaks with the local ECS agent over HTTP.
type LocalAgent struct {
	url  string
	http *http.Client
}

var _ Introspection = (*LocalAgent)(nil)

// NewLocalAgent returns a client of the introspection endpoint at url, by
// default IntrospectionURL. It goes through no proxy and follows no redirect.
func NewLocalAgent(url string) *LocalAgent {
	if url == "" {
		url = IntrospectionURL
	}
	return &LocalAgent{
		url: strings.TrimSuffix(url, "/"),
		http: &http.Client{
			Transport:     &http.Transport{MaxIdleConns: 1, IdleConnTimeout: localTimeout},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Get implements Introspection.
func (l *LocalAgent) Get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.url+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := l.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, bodyMax+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("GET %s: %w", path, err)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("GET %s: %s", path, resp.Status)
	case len(body) > bodyMax:
		return nil, fmt.Errorf("GET %s: answer of more than %d bytes", path, bodyMax)
	}
	return body, nil
}

// metadata is the answer of /v1/metadata.
type metadata struct {
	Cluster string `json:"Cluster"` // as configured: a name, or an ARN
	ARN     string `json:"ContainerInstanceArn"`
}

// localTask is one task in the answer of /v1/tasks.
type localTask struct {
	ARN         string `json:"Arn"`
	KnownStatus string `json:"KnownStatus"` // PENDING, RUNNING or STOPPED
	Family      string `json:"Family"`
	Version     string `json:"Version"`
}

// family names the task definition with its revision, as far as known.
func (t localTask) family() string {
	if t.Version == "" {
		return t.Family
	}
	return t.Family + ":" + t.Version
}

// ask reads a local answer into out.
func (d *Door) ask(ctx context.Context, path string, out any) error {
	ctx, cancel := context.WithTimeout(ctx, localTimeout)
	defer cancel()
	body, err := d.local.Get(ctx, path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}

// localTasks lists what the ECS agent knows to be not yet stopped.
func (d *Door) localTasks(ctx context.Context) ([]localTask, error) {
	var answer struct{ Tasks []localTask }
	if err := d.ask(ctx, "/v1/tasks", &answer); err != nil {
		return nil, fmt.Errorf("list tasks of the local ECS agent: %w", err)
	}
	var live []localTask
	for _, t := range answer.Tasks {
		// A status that this version has not heard of is not STOPPED.
		if t.ARN != "" && t.KnownStatus != "STOPPED" {
			live = append(live, t)
		}
	}
	return live, nil
}
