package ecstest_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/drydock-ecs/drydock/internal/ecstest"
)

// client returns a real client of the SDK that signs as key.
func client(url, key string) *ecs.Client {
	return ecs.New(ecs.Options{
		Region:       "eu-west-1",
		BaseEndpoint: &url,
		Retryer:      aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: key, SecretAccessKey: "x"}, nil
		}),
	})
}

// onWire serves a cluster with one host on a real socket.
func onWire(t *testing.T, cfg ecstest.Config) (*ecstest.Cluster, *ecs.Client) {
	t.Helper()
	c := ecstest.New(cfg)
	server := httptest.NewServer(c)
	t.Cleanup(func() {
		c.Close()
		server.Close()
	})
	must(t, c.AddHost(ecstest.Host{ID: "i-1"}))
	return c, client(server.URL, "AKIADEMO1")
}

// TestWire makes each call by the SDK's client: what it decodes is what the
// model said.
func TestWire(t *testing.T) {
	c, api := onWire(t, ecstest.Config{})
	ctx, demo := t.Context(), aws.String("demo")
	c.AddService(ecstest.Service{Name: "web", Desired: 1, Limits: &ecstest.Limits{Minimum: 0, Maximum: 100}, Protected: time.Hour})
	batch, err := c.Run("i-1", ecstest.Standalone{Family: "batch:7"})
	must(t, err)

	li, err := api.ListContainerInstances(ctx, &ecs.ListContainerInstancesInput{Cluster: demo, Filter: aws.String("ec2InstanceId == i-1")})
	must(t, err)
	wantList(t, "instances", li.ContainerInstanceArns, arn(c, "i-1"))

	di, err := api.DescribeContainerInstances(ctx, &ecs.DescribeContainerInstancesInput{
		Cluster: demo, ContainerInstances: li.ContainerInstanceArns, Include: []types.ContainerInstanceField{types.ContainerInstanceFieldContainerInstanceHealth},
	})
	must(t, err)
	i := di.ContainerInstances[0]
	want(t, "status", *i.Status, "ACTIVE")
	want(t, "connected", i.AgentConnected, true)
	want(t, "running", i.RunningTasksCount, 2)
	want(t, "health", i.HealthStatus.Details[0].Status, types.InstanceHealthCheckStateOk)
	want(t, "registered", time.Since(*i.RegisteredAt) < time.Minute, true)

	lt, err := api.ListTasks(ctx, &ecs.ListTasksInput{Cluster: demo, ContainerInstance: &li.ContainerInstanceArns[0], MaxResults: aws.Int32(1)})
	must(t, err)
	want(t, "a page", len(lt.TaskArns), 1)
	rest, err := api.ListTasks(ctx, &ecs.ListTasksInput{Cluster: demo, MaxResults: aws.Int32(1), NextToken: lt.NextToken})
	must(t, err)
	want(t, "the last page", len(rest.TaskArns) == 1 && rest.NextToken == nil, true)
	tasks := append(lt.TaskArns, rest.TaskArns...)

	dt, err := api.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: demo, Tasks: append(tasks, many(1)...)})
	must(t, err)
	want(t, "tasks", len(dt.Tasks), 2)
	want(t, "failure", *dt.Failures[0].Reason, "MISSING")

	ds, err := api.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: demo, Services: []string{"web"}})
	must(t, err)
	want(t, "minimum of 0 is told", *ds.Services[0].DeploymentConfiguration.MinimumHealthyPercent, 0)

	tp, err := api.GetTaskProtection(ctx, &ecs.GetTaskProtectionInput{Cluster: demo, Tasks: tasks})
	must(t, err)
	want(t, "protected", tp.ProtectedTasks[0].ProtectionEnabled && time.Until(*tp.ProtectedTasks[0].ExpirationDate) > 59*time.Minute, true)
	want(t, "not protectable", *tp.Failures[0].Reason, "TASK_NOT_VALID")

	st, err := api.StopTask(ctx, &ecs.StopTaskInput{Cluster: demo, Task: &batch, Reason: aws.String("because")})
	must(t, err)
	want(t, "stopped", *st.Task.DesiredStatus+" "+*st.Task.StoppedReason, "STOPPED because")

	us, err := api.UpdateContainerInstancesState(ctx, &ecs.UpdateContainerInstancesStateInput{Cluster: demo, ContainerInstances: li.ContainerInstanceArns, Status: "DRAINING"})
	must(t, err)
	want(t, "draining", *us.ContainerInstances[0].Status, "DRAINING")
	want(t, "by", c.Instances()[0].By, "AKIADEMO1")
	want(t, "calls of the key", c.Count("AKIADEMO1", ""), 9)
}

func TestWireErrors(t *testing.T) {
	c, api := onWire(t, ecstest.Config{Who: func(key string) string { return "host of " + key }})
	with := func(fault ecstest.Fault) {
		c.SetFault(func(ecstest.Call) ecstest.Fault { return fault })
	}
	patience := time.Minute
	list := func(cluster string) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, err := api.ListTasks(ctx, &ecs.ListTasksInput{Cluster: &cluster})
		return err
	}
	wantError[*types.ClusterNotFoundException](t, "wrong cluster", list("elsewhere"))
	want(t, "named by Who", c.Count("host of AKIADEMO1", "ListTasks"), 1)

	tests := []struct {
		fault ecstest.Fault
		want  string
	}{
		{ecstest.Fault{Report: ecstest.Throttle}, "ThrottlingException"},
		{ecstest.Fault{Report: ecstest.ServerError}, "ServerException"},
		{ecstest.Fault{Report: ecstest.Hang}, "timeout"},
		{ecstest.Fault{Err: &types.AccessDeniedException{}}, "AccessDeniedException"},
	}
	for _, tt := range tests {
		with(tt.fault)
		patience = time.Minute
		if tt.fault.Report == ecstest.Hang {
			patience = 200 * time.Millisecond
		}
		want(t, tt.want, reportOf(list("demo")), tt.want)
	}
	for _, report := range []ecstest.Report{ecstest.Drop, ecstest.Unreachable} {
		with(ecstest.Fault{Report: report})
		if err := list("demo"); err == nil || reportOf(err) == "timeout" {
			t.Errorf("report %d: got %v, want a broken connection", report, err)
		}
	}
}

func TestWireRefusesNonsense(t *testing.T) {
	c := ecstest.New(ecstest.Config{})
	defer c.Close()
	const signed = "AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu-west-1/ecs/aws4_request, SignedHeaders=host, Signature=0"
	tests := []struct {
		name, method, target, auth, body string
		want                             string
	}{
		{"GET", http.MethodGet, "ListTasks", signed, "{}", "UnknownOperationException"},
		{"no target", http.MethodPost, "", signed, "{}", "UnknownOperationException"},
		{"unknown operation", http.MethodPost, "CreateCluster", signed, "{}", "UnknownOperationException"},
		{"unsigned", http.MethodPost, "ListTasks", "", "{}", "MissingAuthenticationTokenException"},
		{"no key", http.MethodPost, "ListTasks", "AWS4-HMAC-SHA256 Credential=/x", "{}", "MissingAuthenticationTokenException"},
		{"no JSON", http.MethodPost, "ListTasks", signed, "{", "SerializationException"},
		{"wrong type", http.MethodPost, "ListTasks", signed, `{"cluster":1}`, "SerializationException"},
	}
	for _, tt := range tests {
		r := httptest.NewRequest(tt.method, "/", strings.NewReader(tt.body))
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", "AmazonEC2ContainerServiceV20141113."+tt.target)
		if tt.target == "" {
			r.Header.Del("X-Amz-Target")
		}
		r.Header.Set("Authorization", tt.auth)
		w := httptest.NewRecorder()
		c.ServeHTTP(w, r)
		want(t, tt.name+": status", w.Code, http.StatusBadRequest)
		want(t, tt.name+": "+w.Body.String(), strings.Contains(w.Body.String(), `"__type":"`+tt.want+`"`), true)
	}
}

func TestIntrospectionOverHTTP(t *testing.T) {
	c := ecstest.New(ecstest.Config{})
	defer c.Close()
	must(t, c.AddHost(ecstest.Host{ID: "i-1"}))
	server := httptest.NewServer(c.Agent("i-1"))
	defer server.Close()
	get := func(path string) (int, string) {
		resp, err := http.Get(server.URL + path)
		if err != nil {
			return 0, ""
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		must(t, err)
		return resp.StatusCode, string(body)
	}
	status, body := get("/v1/metadata")
	want(t, "metadata", status == 200 && strings.Contains(body, arn(c, "i-1")), true)
	status, _ = get("/v1/nothing")
	want(t, "unknown path", status, 404)
	c.HostDown("i-1")
	status, _ = get("/v1/metadata")
	want(t, "down", status, 0)
}
