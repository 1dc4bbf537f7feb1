package containerinstance_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/agent/containerinstance"
	"github.com/drydock-ecs/drydock/internal/hint"
)

// told is a local ECS agent that says one thing, or fails.
type told struct {
	body string
	err  error
}

func (l told) Get(context.Context, string) ([]byte, error) { return []byte(l.body), l.err }

const (
	arnPrefix  = "arn:aws:ecs:eu-west-1:111122223333:"
	demoARN    = arnPrefix + "cluster/demo"
	newFormat  = arnPrefix + "container-instance/demo/abc"
	oldFormat  = arnPrefix + "container-instance/abc"
	registered = `{"Cluster":"demo","ContainerInstanceArn":"` + newFormat + `","Version":"Amazon ECS Agent - v1.105.1"}`
	oldAgent   = `{"Cluster":"demo","ContainerInstanceArn":"` + oldFormat + `"}`
	nameless   = `{"Cluster":"","ContainerInstanceArn":"` + oldFormat + `"}`
)

func TestSelf(t *testing.T) {
	settings := func(name string, err error) func(context.Context) (string, error) {
		return func(context.Context) (string, error) { return name, err }
	}
	down := told{err: errors.New("connection refused")}
	tests := []struct {
		name     string
		local    told
		cluster  string
		settings func(context.Context) (string, error)
		want     agent.Self
		err      string // in the error
		hint     string // in its hint
	}{
		{name: "plain", local: told{body: registered}, want: agent.Self{Cluster: demoARN, ARN: newFormat}},
		{name: "cluster by name", local: told{body: registered}, cluster: "demo", want: agent.Self{Cluster: demoARN, ARN: newFormat}},
		{name: "cluster by ARN", local: told{body: registered}, cluster: demoARN, want: agent.Self{Cluster: demoARN, ARN: newFormat}},
		{name: "agent has an ARN for a name", local: told{body: strings.Replace(registered, `"demo"`, `"`+demoARN+`"`, 1)}, want: agent.Self{Cluster: demoARN, ARN: newFormat}},
		{name: "old format", local: told{body: oldAgent}, want: agent.Self{Cluster: demoARN, ARN: oldFormat}},
		{name: "old format, ARN for a name", local: told{body: strings.Replace(oldAgent, `"demo"`, `"`+demoARN+`"`, 1)}, want: agent.Self{Cluster: demoARN, ARN: oldFormat}},
		{name: "old format, no name, settings", local: told{body: nameless}, settings: settings("demo", nil), want: agent.Self{Cluster: demoARN, ARN: oldFormat}},
		{name: "old format, no name, configured", local: told{body: nameless}, cluster: "demo", want: agent.Self{Cluster: demoARN, ARN: oldFormat}},
		{name: "old format, no name at all", local: told{body: nameless}, err: "does not name its cluster", hint: "set `cluster`"},
		{name: "where it is registered counts", local: told{body: strings.Replace(registered, `"demo"`, `"other"`, 1)}, want: agent.Self{Cluster: demoARN, ARN: newFormat}},
		{name: "another cluster, by name", local: told{body: registered}, cluster: "prod", err: "the host is in cluster " + demoARN + ", not in prod", hint: "correct `cluster`"},
		{name: "another cluster, by ARN", local: told{body: registered}, cluster: strings.Replace(demoARN, "eu-west-1", "eu-west-2", 1), err: "not in arn:aws:ecs:eu-west-2", hint: "correct `cluster`"},
		{name: "null ARN", local: told{body: `{"Cluster":"demo","ContainerInstanceArn":null}`}, err: "not registered", hint: "journalctl -u ecs"},
		{name: "empty ARN", local: told{body: `{"Cluster":"demo","ContainerInstanceArn":""}`}, cluster: "demo", err: "not registered (cluster demo)", hint: "journalctl -u ecs"},
		{name: "no agent", local: down, err: "ask the local ECS agent: connection refused", hint: "journalctl -u ecs"},
		{name: "no agent, settings name the cluster", local: down, settings: settings("demo", nil), err: "connection refused (cluster demo)", hint: "journalctl -u ecs"},
		{name: "no agent, no settings", local: down, settings: settings("", errors.New("socket gone")), err: "connection refused", hint: "journalctl -u ecs"},
		{name: "nonsense", local: told{body: "<html>"}, err: "GET /v1/metadata: invalid character"},
		{name: "ARN of something else", local: told{body: `{"ContainerInstanceArn":"arn:aws:ecs:eu-west-1:1:task/x"}`}, err: "no ARN of a container instance"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			door := containerinstance.New(containerinstance.Options{Local: tt.local, Cluster: tt.cluster, Settings: tt.settings})
			got, err := door.Self(t.Context())
			want(t, "self", got, tt.want)
			if tt.err == "" && err != nil {
				t.Errorf("got %v", err)
			}
			if tt.err != "" {
				wantErr(t, "self", err, tt.err)
				want(t, "hint "+hint.Of(err), strings.Contains(hint.Of(err), tt.hint), true)
			}
		})
	}
}

func TestLocalToleratesWhatItDoesNotKnow(t *testing.T) {
	const tasks = `{"Tasks":[
		{"Arn":"a","KnownStatus":"MANIFEST_PULLED","Family":"f","Version":"3","Containers":[{"RestartCount":1}],"New":{}},
		{"Arn":"b","KnownStatus":"","Family":"f","Version":""},
		{"Arn":"c","KnownStatus":"STOPPED","DesiredStatus":"STOPPED"},
		{"Arn":"","KnownStatus":"RUNNING"},
		{"Arn":"d","KnownStatus":"RUNNING","Family":"g","Version":"1"}]}`
	local := func(body string) string {
		tasks, err := containerinstance.New(containerinstance.Options{Local: told{body: body}}).Local(t.Context())
		if err != nil {
			return err.Error()
		}
		return summary(tasks)
	}
	want(t, "tasks", local(tasks), "f, f:3 MANIFEST_PULLED, g:1 RUNNING")
	want(t, "no tasks", local(`{"Tasks":[]}`), "")
	want(t, "null", local(`{"Tasks":null}`), "")
	want(t, "nonsense", local(`[]`)[:32], "list tasks of the local ECS agen")
}

func TestLocalAgent(t *testing.T) {
	var status int
	body := registered
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/metadata" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	defer server.Close()
	local := containerinstance.NewLocalAgent(server.URL + "/")

	status = http.StatusOK
	got, err := local.Get(t.Context(), "/v1/metadata")
	want(t, "body", string(got), registered)
	want(t, "error", err, nil)

	for _, status = range []int{http.StatusNotFound, http.StatusInternalServerError, http.StatusFound} {
		_, err = local.Get(t.Context(), "/v1/metadata")
		wantErr(t, "status", err, "GET /v1/metadata: ", http.StatusText(status))
	}

	status, body = http.StatusOK, strings.Repeat(" ", 16<<20+1)
	_, err = local.Get(t.Context(), "/v1/metadata")
	wantErr(t, "too long", err, "more than")

	server.Close()
	_, err = local.Get(t.Context(), "/v1/metadata")
	wantErr(t, "nobody listens", err, "connection refused")

	_, err = containerinstance.NewLocalAgent("::").Get(t.Context(), "/")
	wantErr(t, "no URL", err, "missing protocol scheme")
}
