package ecstest

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// agentVersion is what the stand-in's ECS agents are.
const agentVersion = "1.105.1"

// Agent is a host's local ECS agent: its introspection endpoint.
type Agent struct {
	cluster *Cluster
	host    string
}

// Agent returns the ECS agent of a host. It may be asked at any time, and
// answers while the host is up and registered.
func (c *Cluster) Agent(host string) *Agent { return &Agent{c, host} }

// Get answers as the endpoint does. While nobody listens it fails as a refused
// connection.
func (a *Agent) Get(ctx context.Context, path string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	body, status, listens := a.answer(path)
	switch {
	case !listens:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	case status != http.StatusOK:
		return nil, fmt.Errorf("GET %s: %d", path, status)
	}
	return body, nil
}

// ServeHTTP is the endpoint. While nobody listens it breaks the connection.
func (a *Agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, status, listens := a.answer(r.URL.Path)
	if !listens {
		hangUp(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// answer is the endpoint's answer; listens is false while there is no endpoint.
func (a *Agent) answer(path string) (body []byte, status int, listens bool) {
	c := a.cluster
	c.lock()
	defer c.unlock()
	h := c.host(a.host)
	if h == nil || !h.up || !h.registered {
		return nil, 0, false
	}
	var answer any
	switch path {
	case "/v1/metadata":
		answer = map[string]string{
			"Cluster":              c.cfg.Name,
			"ContainerInstanceArn": h.inst.arn,
			"Version":              "Amazon ECS Agent - v" + agentVersion + " (*00000000)",
		}
	case "/v1/tasks":
		answer = map[string]any{"Tasks": c.localTasks(h)}
	default:
		return []byte("404 page not found\n"), http.StatusNotFound, true
	}
	body, err := json.Marshal(answer)
	if err != nil {
		return nil, http.StatusInternalServerError, true
	}
	return body, http.StatusOK, true
}

// localTask is a task as the endpoint shows it. It does not show what the task
// belongs to.
type localTask struct {
	Arn           string
	DesiredStatus string `json:",omitempty"`
	KnownStatus   string
	Family        string
	Version       string
	Containers    []struct{}
}

// localTasks are the tasks that the agent has heard of, stopped ones included.
func (c *Cluster) localTasks(h *host) []localTask {
	all := []localTask{}
	for _, t := range c.tasks {
		if t.inst != h.inst || !t.delivered || c.now.Sub(t.created) < c.cfg.Agent.Deliver {
			continue
		}
		family, revision, _ := strings.Cut(t.family, ":")
		all = append(all, localTask{t.arn, t.desired, t.known(), family, revision, []struct{}{}})
	}
	return all
}

// known is a task's state by its containers, which is all that the agent goes
// by.
func (t *task) known() string {
	switch {
	case t.dead:
		return stopped
	case t.last == pending:
		return pending
	case t.last == deprovisioning || t.last == stopped:
		return stopped
	}
	return running
}
