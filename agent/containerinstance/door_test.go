package containerinstance_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/agent/containerinstance"
	"github.com/drydock-ecs/drydock/internal/ecstest"
	"github.com/drydock-ecs/drydock/internal/hint"
)

// world is a cluster of two hosts and the door of one of them.
type world struct {
	*testing.T
	cluster *ecstest.Cluster
	door    *containerinstance.Door
	self    agent.Self
}

const here, there = "i-here", "i-there"

// inWorld runs a test in virtual time, with the model behind the door.
func inWorld(t *testing.T, cfg ecstest.Config, test func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := ecstest.New(cfg)
		defer c.Close()
		for _, id := range []string{here, there} {
			if err := c.AddHost(ecstest.Host{ID: id}); err != nil {
				t.Fatal(err)
			}
		}
		w := &world{T: t, cluster: c}
		w.door = containerinstance.New(containerinstance.Options{API: c.As(here), Local: c.Agent(here)})
		w.self = get(w, w.door.Self)
		test(w)
	})
}

// get makes a call that has to succeed.
func get[T any](w *world, call func(context.Context) (T, error)) T {
	w.Helper()
	got, err := call(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	return got
}

func (w *world) classify() agent.Inventory {
	w.Helper()
	return get(w, func(ctx context.Context) (agent.Inventory, error) { return w.door.Classify(ctx, w.self) })
}

func (w *world) remaining() []agent.Task {
	w.Helper()
	return get(w, func(ctx context.Context) ([]agent.Task, error) { return w.door.Remaining(ctx, w.self) })
}

func (w *world) look() agent.Instance {
	w.Helper()
	return get(w, func(ctx context.Context) (agent.Instance, error) { return w.door.Look(ctx, w.self) })
}

func (w *world) run(spec ecstest.Standalone) string {
	w.Helper()
	arn, err := w.cluster.Run(here, spec)
	if err != nil {
		w.Fatal(err)
	}
	return arn
}

// calls checks the calls made since the last check.
func (w *world) calls(what string, want ...string) {
	w.Helper()
	var got []string
	for _, c := range w.cluster.Calls() {
		if c.Caller == here {
			got = append(got, fmt.Sprintf("%s %d", c.Op, c.N))
		}
	}
	if !slices.Equal(got, want) {
		w.Errorf("%s: calls %q, want %q", what, got, want)
	}
	w.cluster.ResetCalls()
}

// faults lets each call of an operation meet a fault.
func (w *world) faults(op string, f ecstest.Fault) {
	w.cluster.SetFault(func(c ecstest.Call) ecstest.Fault {
		if c.Op == op {
			return f
		}
		return ecstest.Fault{}
	})
}

func settle(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func want[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %+v, want %+v", what, got, want)
	}
}

func wantErr(t testing.TB, what string, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error()+" | hint: "+hint.Of(err), part) {
			t.Errorf("%s: got %v (hint %q), want %q in it", what, err, hint.Of(err), part)
		}
	}
}

// summary puts tasks in words, sorted.
func summary(tasks []agent.Task) string {
	var all []string
	for _, t := range tasks {
		text := fmt.Sprintf("%s %s %s %s", t.Kind, t.Service, t.Family, t.Status)
		if !t.Protected.IsZero() {
			text += " protected"
		}
		all = append(all, strings.Join(strings.Fields(text), " "))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func TestCallsOfOneUpdate(t *testing.T) {
	inWorld(t, ecstest.Realistic(), func(w *world) {
		w.cluster.AddService(ecstest.Service{Name: "web", Desired: 4})
		w.cluster.AddService(ecstest.Service{Name: "logs", Daemon: true})
		settle(time.Minute)

		get(w, w.door.Self)
		get(w, w.door.Local)
		w.calls("what is local is free")
		w.classify()
		w.calls("classify", "DescribeServices 1", "DescribeTasks 1", "GetTaskProtection 1")
		w.look()
		w.calls("look", "DescribeContainerInstances 1")
		if err := w.door.Drain(w.Context(), w.self); err != nil {
			w.Fatal(err)
		}
		w.calls("drain", "UpdateContainerInstancesState 1")
		want(w, "some are left", len(w.remaining()) > 0, true)
		w.calls("remaining", "DescribeTasks 1", "ListTasks 2")
		settle(10 * time.Minute)
		want(w, "none is left", summary(w.remaining()), "")
		w.calls("remaining, none left", "DescribeTasks 1", "ListTasks 2")
		settle(2 * time.Hour) // ECS has forgotten the stopped ones
		want(w, "none is left", summary(w.remaining()), "")
		w.calls("remaining, nothing listed", "ListTasks 2")
		w.classify()
		w.calls("classify without a task")
		got := get(w, func(ctx context.Context) (agent.Instance, error) { return w.door.Activate(ctx, w.self) })
		want(w, "activated", got, agent.Instance{Status: "ACTIVE", Connected: true})
		w.calls("activate", "UpdateContainerInstancesState 1")
		task := w.run(ecstest.Standalone{})
		if err := w.door.Stop(w.Context(), w.self, agent.Task{ARN: task}); err != nil {
			w.Fatal(err)
		}
		w.calls("stop", "StopTask 1")
	})
}

func TestClassify(t *testing.T) {
	inWorld(t, ecstest.Realistic(), func(w *world) {
		w.cluster.AddService(ecstest.Service{Name: "web", Desired: 2, Protected: time.Hour})
		w.cluster.AddService(ecstest.Service{Name: "tight", Desired: 2, Limits: &ecstest.Limits{Minimum: 100, Maximum: 100}})
		w.cluster.AddService(ecstest.Service{Name: "logs", Daemon: true, Limits: &ecstest.Limits{Minimum: 0, Maximum: 100}})
		w.run(ecstest.Standalone{Family: "batch:7"})
		w.run(ecstest.Standalone{Family: "fake:1", StartedBy: "ecs-svc/1", Group: "family:web"})
		w.run(ecstest.Standalone{Family: "fake:2", StartedBy: "me", Group: "service:web"})
		w.run(ecstest.Standalone{Family: "orphan:1", StartedBy: "ecs-svc/1", Group: "service:gone"})
		told := w.run(ecstest.Standalone{Family: "told:1", Life: &ecstest.Life{Stopping: time.Hour}})
		w.run(ecstest.Standalone{Family: "over:1", Length: time.Second})
		settle(50 * time.Second)
		w.cluster.Stop(told)

		got := w.classify()
		want(w, "tasks", summary(got.Tasks), strings.Join([]string{
			"daemon logs logs:1 RUNNING",
			"replica tight tight:1 RUNNING",
			"replica web web:1 RUNNING protected",
			"standalone batch:7 RUNNING",
			"standalone fake:1 RUNNING",
			"standalone fake:2 RUNNING",
			"standalone gone orphan:1 RUNNING",
		}, ", "))
		want(w, "stuck", strings.Join(got.Stuck, "; "), "service tight: desired 2, running 2, minimum 100 %, maximum 100 %: at least 2 must run and at most 2 may exist, so none of its 1 task here can leave")
		for _, task := range got.Tasks {
			if task.Service == "web" {
				want(w, "protected for an hour", time.Until(task.Protected).Round(time.Minute), 59*time.Minute)
			}
		}
	})
}

func TestClassifyWithoutTheLocalAgent(t *testing.T) {
	inWorld(t, ecstest.Realistic(), func(w *world) {
		w.cluster.AddService(ecstest.Service{Name: "web", Desired: 2})
		settle(time.Minute)
		w.cluster.AgentDown(here)
		want(w, "tasks", summary(w.classify().Tasks), "replica web web:1 RUNNING")
		w.calls("one call more", "DescribeServices 1", "DescribeTasks 1", "GetTaskProtection 1", "ListTasks 1")
	})
}

func TestClassifyAsksOnlyWhatMatters(t *testing.T) {
	inWorld(t, ecstest.Config{}, func(w *world) {
		w.run(ecstest.Standalone{Family: "batch:7"})
		want(w, "tasks", summary(w.classify().Tasks), "standalone batch:7 RUNNING")
		w.calls("no service", "DescribeTasks 1")
	})
}

func TestClassifyBatches(t *testing.T) {
	inWorld(t, ecstest.Config{}, func(w *world) {
		for n := range 21 {
			w.cluster.AddService(ecstest.Service{Name: fmt.Sprintf("svc%02d", n), Desired: 12, PerHost: 6})
		}
		settle(time.Second)
		got := w.classify()
		want(w, "tasks", len(got.Tasks), 126)
		w.calls("classify", "DescribeServices 3", "DescribeTasks 2", "GetTaskProtection 2")
	})
}

func TestDeletedServiceIsStandalone(t *testing.T) {
	inWorld(t, ecstest.Config{}, func(w *world) {
		w.cluster.AddService(ecstest.Service{Name: "web", Desired: 2})
		settle(time.Second)
		w.cluster.DeleteService("web") // INACTIVE
		w.run(ecstest.Standalone{Family: "left:1", StartedBy: "ecs-svc/1", Group: "service:web"})
		settle(time.Second)
		want(w, "tasks", summary(w.classify().Tasks), "standalone web left:1 RUNNING")
	})
}

func TestReadsFail(t *testing.T) {
	ops := []string{"DescribeContainerInstances", "ListTasks", "DescribeTasks", "DescribeServices", "GetTaskProtection", "StopTask", "UpdateContainerInstancesState"}
	for _, op := range ops {
		t.Run(op, func(t *testing.T) {
			inWorld(t, ecstest.Realistic(), func(w *world) {
				w.cluster.AddService(ecstest.Service{Name: "web", Desired: 2})
				settle(time.Minute)
				w.faults(op, ecstest.Fault{Lose: true, Err: &types.AccessDeniedException{Message: aws.String("not authorized")}})
				failed := 0
				_, lookErr := w.door.Look(w.Context(), w.self)
				_, classifyErr := w.door.Classify(w.Context(), w.self)
				_, remainingErr := w.door.Remaining(w.Context(), w.self)
				_, activateErr := w.door.Activate(w.Context(), w.self)
				stopErr := w.door.Stop(w.Context(), w.self, agent.Task{ARN: "x"})
				for _, err := range []error{lookErr, classifyErr, remainingErr, activateErr, stopErr} {
					if err != nil && strings.Contains(err.Error(), op) {
						failed++
						wantErr(t, op, err, "not authorized", "allow ecs:"+op+" on this cluster")
					}
				}
				want(t, "failed calls", failed > 0, true)
			})
		})
	}
}

func TestLook(t *testing.T) {
	inWorld(t, ecstest.Realistic(), func(w *world) {
		w.run(ecstest.Standalone{})
		want(w, "at first", w.look(), agent.Instance{Status: "ACTIVE", Connected: true, Tasks: 1})
		w.cluster.SetStatus(here, "DRAINING", "alice")
		w.cluster.AgentDown(here)
		w.cluster.Impair(here, types.InstanceHealthCheckTypeContainerRuntime, "docker does not answer")
		w.cluster.Impair(here, types.InstanceHealthCheckTypeDaemon, "")
		settle(time.Hour)
		want(w, "later", w.look(), agent.Instance{Status: "DRAINING", Impaired: "CONTAINER_RUNTIME: docker does not answer; DAEMON", Tasks: 1})
		w.cluster.Deregister(here, "alice")
		want(w, "deregistered", w.look().Status, "INACTIVE")
		settle(2 * time.Hour)
		want(w, "forgotten", w.look(), agent.Instance{})
	})
}

// TestDrain is every end of the one call: whether it is known to be refused,
// and what became of it.
func TestDrain(t *testing.T) {
	tests := []struct {
		name       string
		fault      ecstest.Fault
		before     func(*world)
		err        string // in the error or its hint; "" is none
		unanswered bool
		took       time.Duration
		status     string // in the end
	}{
		{name: "drained", status: "DRAINING"},
		{name: "throttled", fault: ecstest.Fault{Lose: true, Report: ecstest.Throttle}, err: "Rate exceeded", status: "ACTIVE"},
		{name: "denied", fault: ecstest.Fault{Lose: true, Err: &types.AccessDeniedException{}}, err: "allow ecs:UpdateContainerInstancesState", status: "ACTIVE"},
		{name: "no cluster", fault: ecstest.Fault{Lose: true, Err: &types.ClusterNotFoundException{}}, err: "AWS_REGION", status: "ACTIVE"},
		{name: "500, applied", fault: ecstest.Fault{Report: ecstest.ServerError}, err: "ServerException", unanswered: true, status: "DRAINING"},
		{name: "500, lost", fault: ecstest.Fault{Lose: true, Report: ecstest.ServerError}, err: "ServerException", unanswered: true, status: "ACTIVE"},
		{name: "no answer, applied late", fault: ecstest.Fault{ApplyAfter: time.Minute, Report: ecstest.Hang}, err: "deadline", unanswered: true, took: 15 * time.Second, status: "DRAINING"},
		{name: "dropped", fault: ecstest.Fault{Report: ecstest.Drop}, err: "connection reset", unanswered: true, status: "DRAINING"},
		{name: "no route", fault: ecstest.Fault{Report: ecstest.Unreachable}, err: "give the host a route", status: "ACTIVE"},
		{name: "deregistered", before: func(w *world) { w.cluster.Deregister(here, "alice") }, err: "ECS refused: INACTIVE", status: "INACTIVE"},
		{name: "draining already", before: func(w *world) { w.cluster.SetStatus(here, "DRAINING", "alice") }, err: "only an ACTIVE one can be drained", status: "DRAINING"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, ecstest.Config{RefuseSecondDrain: true}, func(w *world) {
				if tt.before != nil {
					tt.before(w)
				}
				w.faults("UpdateContainerInstancesState", tt.fault)
				start := time.Now()
				err := w.door.Drain(w.Context(), w.self)
				want(w, "took", time.Since(start), tt.took)
				if tt.err == "" && err != nil {
					w.Errorf("got %v", err)
				}
				if tt.err != "" {
					wantErr(w, "drain", err, "set DRAINING: ", tt.err)
				}
				want(w, "unanswered", errors.Is(err, agent.ErrUnanswered), tt.unanswered)
				w.calls("one call", "UpdateContainerInstancesState 1")
				settle(time.Hour)
				want(w, "status in the end", w.cluster.Status(here), tt.status)
			})
		})
	}
}

func TestDrainWithoutTimeSendsNothing(t *testing.T) {
	inWorld(t, ecstest.Config{}, func(w *world) {
		ctx, cancel := context.WithCancel(w.Context())
		cancel()
		err := w.door.Drain(ctx, w.self)
		want(w, "canceled", errors.Is(err, context.Canceled) && !errors.Is(err, agent.ErrUnanswered), true)
		w.calls("no call")
	})
}

func TestActivate(t *testing.T) {
	inWorld(t, ecstest.Config{}, func(w *world) {
		activate := func() agent.Instance {
			return get(w, func(ctx context.Context) (agent.Instance, error) { return w.door.Activate(ctx, w.self) })
		}
		want(w, "ACTIVE already", activate().Status, "ACTIVE")
		w.cluster.SetStatus(here, "DRAINING", "me")
		want(w, "DRAINING", activate().Status, "ACTIVE")
		w.cluster.AgentDown(here)
		settle(time.Second)
		want(w, "disconnected", activate(), agent.Instance{Status: "ACTIVE"})
		w.cluster.Deregister(here, "alice")
		want(w, "deregistered", activate(), agent.Instance{Status: "INACTIVE"})
		settle(2 * time.Hour)
		want(w, "forgotten", activate(), agent.Instance{})

		w.faults("UpdateContainerInstancesState", ecstest.Fault{Report: ecstest.Hang})
		start := time.Now()
		_, err := w.door.Activate(w.Context(), w.self)
		want(w, "took", time.Since(start), 30*time.Second)
		wantErr(w, "no answer", err, "set ACTIVE: ", "does not answer in time")
		want(w, "it may still be applied", errors.Is(err, agent.ErrUnanswered), true)

		w.faults("UpdateContainerInstancesState", ecstest.Fault{Lose: true, Report: ecstest.Throttle})
		_, err = w.door.Activate(w.Context(), w.self)
		want(w, "a refused one may not", err != nil && !errors.Is(err, agent.ErrUnanswered), true)
	})
}

func TestLocal(t *testing.T) {
	inWorld(t, ecstest.Realistic(), func(w *world) {
		long := w.run(ecstest.Standalone{Family: "long:3"})
		w.run(ecstest.Standalone{Family: "short:1", Length: time.Second})
		settle(2 * time.Second)
		local := func() string {
			return summary(get(w, w.door.Local))
		}
		want(w, "starting", local(), "long:3 PENDING, short:1 PENDING")
		settle(time.Minute)
		want(w, "one is over", local(), "long:3 RUNNING")
		want(w, "its ARN", get(w, w.door.Local)[0].ARN, long)
		w.cluster.AgentDown(here)
		_, err := w.door.Local(w.Context())
		wantErr(w, "agent down", err, "list tasks of the local ECS agent: ", "refused")
	})
}

func TestRemaining(t *testing.T) {
	inWorld(t, ecstest.Realistic(), func(w *world) {
		w.cluster.AddService(ecstest.Service{Name: "web", Desired: 2})
		w.run(ecstest.Standalone{Family: "batch:7"})
		settle(time.Minute)
		want(w, "before", summary(w.remaining()), "standalone batch:7 RUNNING, web web:1 RUNNING")
		if err := w.door.Drain(w.Context(), w.self); err != nil {
			w.Fatal(err)
		}
		settle(20 * time.Second)
		want(w, "counters say one", w.look().Tasks, 1)
		want(w, "two are left", summary(w.remaining()), "standalone batch:7 RUNNING, web web:1 DEACTIVATING")
		settle(time.Minute)
		want(w, "one is left", summary(w.remaining()), "standalone batch:7 RUNNING")
	})
}

// TestRemainingOverPages has more stopped tasks than fit one page: none left
// is believed after a second listing, and not described again.
func TestRemainingOverPages(t *testing.T) {
	inWorld(t, ecstest.Config{}, func(w *world) {
		for range 250 {
			w.run(ecstest.Standalone{Length: time.Second})
		}
		settle(time.Minute)
		want(w, "none is left", summary(w.remaining()), "")
		w.calls("listed twice", "DescribeTasks 3", "ListTasks 8")
		w.run(ecstest.Standalone{Family: "late:1"})
		want(w, "one is left", summary(w.remaining()), "standalone late:1 RUNNING")
		w.calls("listed once", "DescribeTasks 3", "ListTasks 4")
	})
}

// TestRemainingWhileTasksEnd lets a task end between its listing and its
// description: the picture moved, so it is taken again.
func TestRemainingWhileTasksEnd(t *testing.T) {
	inWorld(t, ecstest.Config{}, func(w *world) {
		task := w.run(ecstest.Standalone{})
		w.cluster.SetFault(func(c ecstest.Call) ecstest.Fault {
			if c.Op == "DescribeTasks" {
				w.cluster.Stop(task)
			}
			return ecstest.Fault{}
		})
		want(w, "none is left", summary(w.remaining()), "")
		w.calls("listed twice", "DescribeTasks 1", "ListTasks 4")
	})
}

// TestRemainingNeverLies gives each look a task that comes after the lists and
// goes before the description: there is no still picture to believe.
func TestRemainingNeverLies(t *testing.T) {
	inWorld(t, ecstest.Config{}, func(w *world) {
		w.run(ecstest.Standalone{Length: 10 * time.Second})
		w.cluster.SetFault(func(c ecstest.Call) ecstest.Fault {
			switch in, _ := c.Input.(*ecs.ListTasksInput); {
			case in != nil && in.DesiredStatus == types.DesiredStatusRunning:
				w.run(ecstest.Standalone{Length: time.Second})
			case c.Op == "DescribeTasks":
				return ecstest.Fault{Latency: time.Minute}
			}
			return ecstest.Fault{}
		})
		_, err := w.door.Remaining(w.Context(), w.self)
		wantErr(w, "moving", err, "deadline")
		w.cluster.SetFault(func(c ecstest.Call) ecstest.Fault {
			switch in, _ := c.Input.(*ecs.ListTasksInput); {
			case in != nil && in.DesiredStatus == types.DesiredStatusRunning:
				w.run(ecstest.Standalone{Length: time.Second})
			case c.Op == "DescribeTasks":
				return ecstest.Fault{Latency: 2 * time.Second}
			}
			return ecstest.Fault{}
		})
		_, err = w.door.Remaining(w.Context(), w.self)
		wantErr(w, "moving", err, "list remaining tasks: the tasks kept changing")
	})
}

func TestStop(t *testing.T) {
	inWorld(t, ecstest.Config{}, func(w *world) {
		arn := w.run(ecstest.Standalone{})
		stop := func() error { return w.door.Stop(w.Context(), w.self, agent.Task{ARN: arn}) }
		for range 2 {
			if err := stop(); err != nil {
				w.Fatal(err)
			}
		}
		out, err := w.cluster.As("test").DescribeTasks(w.Context(), &ecs.DescribeTasksInput{Cluster: &w.self.Cluster, Tasks: []string{arn}})
		if err != nil {
			w.Fatal(err)
		}
		want(w, "reason", strings.HasPrefix(*out.Tasks[0].StoppedReason, "Drydock: "), true)
		settle(3 * time.Hour)
		w.cluster.AddService(ecstest.Service{Name: "web", Desired: 1}) // the model forgets
		settle(time.Second)
		if err := stop(); err != nil {
			w.Errorf("a task that is gone has stopped: got %v", err)
		}
		w.faults("StopTask", ecstest.Fault{Lose: true, Err: &types.InvalidParameterException{Message: aws.String("bad ARN")}})
		wantErr(w, "another invalid parameter", stop(), "stop task "+arn, "bad ARN")
	})
}
