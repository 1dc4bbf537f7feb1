package ecstest_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/drydock-ecs/drydock/agent/containerinstance"
	"github.com/drydock-ecs/drydock/internal/ecstest"
)

var (
	_ containerinstance.API           = (*ecstest.Caller)(nil)
	_ containerinstance.Introspection = (*ecstest.Agent)(nil)
)

// bubble runs a test on a cluster in virtual time.
func bubble(t *testing.T, cfg ecstest.Config, hosts []string, test func(*testing.T, *ecstest.Cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := ecstest.New(cfg)
		defer c.Close()
		for _, h := range hosts {
			if err := c.AddHost(ecstest.Host{ID: h, Zone: "eu-west-1a"}); err != nil {
				t.Fatal(err)
			}
		}
		test(t, c)
	})
}

var three = []string{"i-1", "i-2", "i-3"}

// arn returns the ARN of a host's present container instance.
func arn(c *ecstest.Cluster, host string) string {
	for _, i := range c.Instances() {
		if i.Host == host && i.Current {
			return i.ARN
		}
	}
	return ""
}

// onHost returns the tasks on a host, as "service status".
func onHost(c *ecstest.Cluster, host string) []string {
	var all []string
	for _, task := range c.Tasks() {
		if task.Host == host {
			all = append(all, strings.TrimSpace(task.Service+" "+task.Last))
		}
	}
	slices.Sort(all)
	return all
}

func setState(t *testing.T, c *ecstest.Cluster, host string, status types.ContainerInstanceStatus) error {
	t.Helper()
	_, err := c.As(host).UpdateContainerInstancesState(t.Context(), &ecs.UpdateContainerInstancesStateInput{
		Cluster: aws.String("demo"), ContainerInstances: []string{arn(c, host)}, Status: status,
	})
	return err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func wantList(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// settle lets d pass.
func settle(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestSpread(t *testing.T) {
	bubble(t, ecstest.Realistic(), three, func(t *testing.T, c *ecstest.Cluster) {
		c.AddService(ecstest.Service{Name: "web", Desired: 6})
		c.AddService(ecstest.Service{Name: "logs", Daemon: true})
		settle(time.Minute)
		for _, h := range three {
			wantList(t, h, onHost(c, h), "logs RUNNING", "web RUNNING", "web RUNNING")
		}
	})
}

func TestDrainMovesReplicasFirstAndDaemonsLast(t *testing.T) {
	bubble(t, ecstest.Realistic(), three, func(t *testing.T, c *ecstest.Cluster) {
		c.AddService(ecstest.Service{Name: "web", Desired: 3})
		c.AddService(ecstest.Service{Name: "logs", Daemon: true})
		settle(time.Minute)
		must(t, setState(t, c, "i-1", types.ContainerInstanceStatusDraining))

		settle(2 * time.Second) // the replacement is started first
		wantList(t, "i-1 at once", onHost(c, "i-1"), "logs RUNNING", "web RUNNING")
		settle(20 * time.Second) // it is healthy, so the old one leaves
		wantList(t, "i-1 after the replacement", onHost(c, "i-1"), "logs RUNNING", "web DEACTIVATING")
		settle(time.Minute)
		wantList(t, "i-1 at the end", onHost(c, "i-1"))

		must(t, setState(t, c, "i-1", types.ContainerInstanceStatusActive))
		settle(time.Minute)
		wantList(t, "i-1 back", onHost(c, "i-1"), "logs RUNNING")
	})
}

func TestTaskLife(t *testing.T) {
	cfg := ecstest.Config{Life: ecstest.Life{Pending: 10 * time.Second, Deactivating: 10 * time.Second, Stopping: 10 * time.Second, Deprovisioning: 10 * time.Second}}
	bubble(t, cfg, []string{"i-1"}, func(t *testing.T, c *ecstest.Cluster) {
		task, err := c.Run("i-1", ecstest.Standalone{Length: 20 * time.Second})
		must(t, err)
		settle(5 * time.Second)
		var seen []string
		for range 7 {
			out, err := c.As("t").DescribeTasks(t.Context(), &ecs.DescribeTasksInput{Cluster: aws.String("demo"), Tasks: []string{task}})
			must(t, err)
			seen = append(seen, *out.Tasks[0].LastStatus+"/"+*out.Tasks[0].DesiredStatus)
			settle(10 * time.Second)
		}
		wantList(t, "life", seen, "PENDING/RUNNING", "RUNNING/RUNNING", "RUNNING/RUNNING",
			"DEACTIVATING/STOPPED", "STOPPING/STOPPED", "DEPROVISIONING/STOPPED", "STOPPED/STOPPED")
		settle(time.Hour)
		out, err := c.As("t").DescribeTasks(t.Context(), &ecs.DescribeTasksInput{Cluster: aws.String("demo"), Tasks: []string{task}})
		must(t, err)
		want(t, "after an hour", *out.Failures[0].Reason, "MISSING")
	})
}

func TestCountersGoByDesiredStatus(t *testing.T) {
	bubble(t, ecstest.Realistic(), []string{"i-1"}, func(t *testing.T, c *ecstest.Cluster) {
		task, err := c.Run("i-1", ecstest.Standalone{})
		must(t, err)
		counts := func() int32 {
			out, err := c.As("t").DescribeContainerInstances(t.Context(), &ecs.DescribeContainerInstancesInput{
				Cluster: aws.String(c.ARN()), ContainerInstances: []string{arn(c, "i-1")},
			})
			must(t, err)
			return out.ContainerInstances[0].RunningTasksCount*10 + out.ContainerInstances[0].PendingTasksCount
		}
		want(t, "pending", counts(), 1)
		settle(time.Minute)
		want(t, "running", counts(), 10)
		c.Stop(task)
		want(t, "told to stop", counts(), 0)
		wantList(t, "and still there", onHost(c, "i-1"), "DEACTIVATING")
	})
}

// TestDrainUnderLimits drains one of two hosts with each shape of service and
// says whether the drain ends.
func TestDrainUnderLimits(t *testing.T) {
	tests := []struct {
		name  string
		spec  ecstest.Service
		drain bool
	}{
		{"default limits", ecstest.Service{Desired: 2}, true},
		{"stop first", ecstest.Service{Desired: 2, Limits: &ecstest.Limits{Minimum: 50, Maximum: 100}}, true},
		{"start first", ecstest.Service{Desired: 2, Limits: &ecstest.Limits{Minimum: 100, Maximum: 150}}, true},
		{"neither", ecstest.Service{Desired: 2, Limits: &ecstest.Limits{Minimum: 100, Maximum: 100}}, false},
		{"neither, by rounding", ecstest.Service{Desired: 2, Limits: &ecstest.Limits{Minimum: 75, Maximum: 100}}, false},
		{"foreign controller has the defaults", ecstest.Service{Desired: 2, Controller: types.DeploymentControllerTypeCodeDeploy, Limits: &ecstest.Limits{Minimum: 100, Maximum: 100}}, true},
		{"no room elsewhere, may stop first", ecstest.Service{Desired: 2, PerHost: 1, Limits: &ecstest.Limits{Minimum: 50, Maximum: 100}}, true},
		{"no room elsewhere, must start first", ecstest.Service{Desired: 2, PerHost: 1}, false},
		{"protected", ecstest.Service{Desired: 2, Protected: 48 * time.Hour}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, ecstest.Realistic(), []string{"i-1", "i-2"}, func(t *testing.T, c *ecstest.Cluster) {
				tt.spec.Name = "web"
				c.AddService(tt.spec)
				settle(time.Minute)
				wantList(t, "before", onHost(c, "i-1"), "web RUNNING")
				must(t, setState(t, c, "i-1", types.ContainerInstanceStatusDraining))
				settle(time.Hour)
				want(t, "drained", len(onHost(c, "i-1")) == 0, tt.drain)
			})
		})
	}
}

// TestLimitsHold looks at a service each second of a drain: never fewer run
// than the minimum, never more exist than the maximum.
func TestLimitsHold(t *testing.T) {
	for _, l := range []ecstest.Limits{{0, 100}, {50, 100}, {100, 150}, {50, 200}, {100, 200}} {
		bubble(t, ecstest.Realistic(), three, func(t *testing.T, c *ecstest.Cluster) {
			c.AddService(ecstest.Service{Name: "web", Desired: 8, Limits: &l})
			settle(time.Minute)
			must(t, setState(t, c, "i-1", types.ContainerInstanceStatusDraining))
			for range 600 {
				settle(time.Second)
				exist, run := 0, 0
				for _, task := range c.Tasks() {
					exist++
					if task.Last == "RUNNING" {
						run++
					}
				}
				if run < 8*l.Minimum/100 || exist > 8*l.Maximum/100 {
					t.Fatalf("%+v: %d run, %d exist", l, run, exist)
				}
			}
			wantList(t, "drained", onHost(c, "i-1"))
		})
	}
}

func TestDrainStopsPendingAtOnceAndLeavesStandaloneAlone(t *testing.T) {
	cfg := ecstest.Realistic()
	cfg.Life.Pending = time.Minute
	bubble(t, cfg, []string{"i-1", "i-2"}, func(t *testing.T, c *ecstest.Cluster) {
		c.AddService(ecstest.Service{Name: "web", Desired: 2})
		_, err := c.Run("i-1", ecstest.Standalone{})
		must(t, err)
		settle(10 * time.Second)
		wantList(t, "before", onHost(c, "i-1"), "PENDING", "web PENDING")
		must(t, setState(t, c, "i-1", types.ContainerInstanceStatusDraining))
		wantList(t, "at once", onHost(c, "i-1"), "PENDING", "web DEPROVISIONING")
		settle(time.Hour)
		wantList(t, "after an hour", onHost(c, "i-1"), "RUNNING")
		_, err = c.Run("i-1", ecstest.Standalone{})
		want(t, "a new one on a DRAINING host is refused", err != nil, true)
	})
}

func TestProtectionHoldsUntilItEnds(t *testing.T) {
	bubble(t, ecstest.Realistic(), []string{"i-1", "i-2"}, func(t *testing.T, c *ecstest.Cluster) {
		c.AddService(ecstest.Service{Name: "web", Desired: 1})
		settle(time.Minute)
		task := c.Tasks()[0]
		c.Protect(task.ARN, 2*time.Hour)
		must(t, setState(t, c, task.Host, types.ContainerInstanceStatusDraining))
		settle(time.Hour)
		wantList(t, "protected", onHost(c, task.Host), "web RUNNING")
		settle(2 * time.Hour)
		wantList(t, "no more", onHost(c, task.Host))
	})
}

func TestDeploymentReplacesAll(t *testing.T) {
	bubble(t, ecstest.Realistic(), three, func(t *testing.T, c *ecstest.Cluster) {
		c.AddService(ecstest.Service{Name: "web", Desired: 3})
		c.AddService(ecstest.Service{Name: "logs", Daemon: true})
		settle(time.Minute)
		c.Deploy("web", "web:2")
		c.Deploy("logs", "logs:2")
		settle(10 * time.Minute)
		for _, task := range c.Tasks() {
			want(t, task.Service, task.Family, task.Service+":2")
		}
		want(t, "tasks", len(c.Tasks()), 6)
		c.SetDesired("web", 1)
		c.DeleteService("logs")
		settle(10 * time.Minute)
		want(t, "tasks after scaling in and deleting", len(c.Tasks()), 1)
	})
}

func TestRebootKeepsStatusAndARN(t *testing.T) {
	cfg := ecstest.Realistic()
	bubble(t, cfg, []string{"i-1", "i-2"}, func(t *testing.T, c *ecstest.Cluster) {
		before := arn(c, "i-1")
		must(t, setState(t, c, "i-1", types.ContainerInstanceStatusDraining))
		c.HostDown("i-1")
		_, err := c.Agent("i-1").Get(t.Context(), "/v1/metadata")
		want(t, "introspection while down fails", err != nil, true)
		want(t, "connected right after", c.Instances()[0].Connected, true)
		settle(cfg.Agent.Disconnect + time.Second)
		want(t, "connected later", c.Instances()[0].Connected, false)

		c.HostUp("i-1")
		settle(cfg.Agent.Register - time.Second)
		_, err = c.Agent("i-1").Get(t.Context(), "/v1/metadata")
		want(t, "introspection before the registration fails", err != nil, true)
		settle(2 * time.Second)
		_, err = c.Agent("i-1").Get(t.Context(), "/v1/metadata")
		must(t, err)
		want(t, "connected at the registration", c.Instances()[0].Connected, false)
		settle(cfg.Agent.Connect)
		want(t, "connected in the end", c.Instances()[0].Connected, true)
		want(t, "status", c.Status("i-1"), "DRAINING")
		want(t, "ARN", arn(c, "i-1"), before)
	})
}

func TestFastRebootNeverDisconnects(t *testing.T) {
	cfg := ecstest.Realistic()
	bubble(t, cfg, []string{"i-1"}, func(t *testing.T, c *ecstest.Cluster) {
		c.HostDown("i-1")
		settle(30 * time.Second)
		c.HostUp("i-1")
		for range 300 {
			settle(time.Second)
			want(t, "connected", c.Instances()[0].Connected, true)
		}
	})
}

// TestDisconnectCountsFromTheLastEnd reboots twice within the time that ECS
// takes to notice.
func TestDisconnectCountsFromTheLastEnd(t *testing.T) {
	cfg := ecstest.Realistic()
	bubble(t, cfg, []string{"i-1"}, func(t *testing.T, c *ecstest.Cluster) {
		c.HostDown("i-1")
		settle(10 * time.Second)
		c.HostUp("i-1")
		settle(time.Minute)
		c.HostDown("i-1")
		settle(cfg.Agent.Disconnect - time.Second)
		want(t, "connected", c.Instances()[0].Connected, true)
		settle(2 * time.Second)
		want(t, "connected", c.Instances()[0].Connected, false)
	})
}

func TestRebootKills(t *testing.T) {
	bubble(t, ecstest.Realistic(), []string{"i-1", "i-2"}, func(t *testing.T, c *ecstest.Cluster) {
		c.AddService(ecstest.Service{Name: "web", Desired: 2})
		c.AddService(ecstest.Service{Name: "logs", Daemon: true})
		_, err := c.Run("i-1", ecstest.Standalone{Family: "batch:7"})
		must(t, err)
		settle(time.Minute)
		c.HostDown("i-1")
		var killed []string
		for _, k := range c.Killed() {
			killed = append(killed, k.Kind+" "+k.Service+" "+k.Family+" "+k.Desired+"/"+k.Last)
		}
		slices.Sort(killed)
		wantList(t, "killed", killed, "daemon logs logs:1 RUNNING/RUNNING", "replica web web:1 RUNNING/RUNNING", "standalone  batch:7 RUNNING/RUNNING")
		wantList(t, "ECS does not know", onHost(c, "i-1"), "RUNNING", "logs RUNNING", "web RUNNING")
		c.HostUp("i-1")
		settle(time.Minute)
		wantList(t, "restarted by their services", onHost(c, "i-1"), "logs RUNNING", "web RUNNING")
		c.HostDown("i-2")
		want(t, "killed", len(c.Killed()), 5)
	})
}

// TestUndeliveredTaskSurvives places a task on a host that ECS still takes for
// connected: its agent hears of it after the reboot, and starts it.
func TestUndeliveredTaskSurvives(t *testing.T) {
	bubble(t, ecstest.Realistic(), []string{"i-1"}, func(t *testing.T, c *ecstest.Cluster) {
		c.AgentDown("i-1")
		_, err := c.Run("i-1", ecstest.Standalone{})
		must(t, err)
		c.HostDown("i-1")
		want(t, "killed", len(c.Killed()), 0)
		c.AgentUp("i-1")
		c.HostUp("i-1")
		settle(time.Minute)
		wantList(t, "started", onHost(c, "i-1"), "RUNNING")
	})
}

func TestDrainedHostKillsNothing(t *testing.T) {
	bubble(t, ecstest.Realistic(), []string{"i-1", "i-2"}, func(t *testing.T, c *ecstest.Cluster) {
		c.AddService(ecstest.Service{Name: "web", Desired: 4})
		settle(time.Minute)
		must(t, setState(t, c, "i-1", types.ContainerInstanceStatusDraining))
		settle(10 * time.Minute)
		c.HostDown("i-1")
		want(t, "killed", len(c.Killed()), 0)
	})
}

func TestDisconnectedAgentHoldsTheDrainUp(t *testing.T) {
	bubble(t, ecstest.Realistic(), []string{"i-1", "i-2"}, func(t *testing.T, c *ecstest.Cluster) {
		c.AddService(ecstest.Service{Name: "web", Desired: 2})
		settle(time.Minute)
		c.AgentDown("i-1")
		settle(10 * time.Minute)
		must(t, setState(t, c, "i-1", types.ContainerInstanceStatusDraining))
		settle(time.Hour)
		wantList(t, "told to stop, not stopping", onHost(c, "i-1"), "web RUNNING")
		c.AgentUp("i-1")
		settle(10 * time.Minute)
		wantList(t, "drained", onHost(c, "i-1"))
	})
}

func TestNewRegistration(t *testing.T) {
	bubble(t, ecstest.Realistic(), []string{"i-1"}, func(t *testing.T, c *ecstest.Cluster) {
		old := arn(c, "i-1")
		must(t, setState(t, c, "i-1", types.ContainerInstanceStatusDraining))
		c.HostDown("i-1")
		c.NewRegistration("i-1")
		c.HostUp("i-1")
		settle(time.Minute)
		all := c.Instances()
		want(t, "instances", len(all), 2)
		want(t, "old", all[0], ecstest.Instance{Host: "i-1", ARN: old, Status: "DRAINING", By: "i-1"})
		want(t, "new", all[1], ecstest.Instance{Host: "i-1", ARN: all[1].ARN, Status: "ACTIVE", Connected: true, By: "ecs-agent", Current: true})
		want(t, "another ARN", all[1].ARN != old, true)
	})
}

func TestDeregistered(t *testing.T) {
	bubble(t, ecstest.Realistic(), []string{"i-1"}, func(t *testing.T, c *ecstest.Cluster) {
		gone := arn(c, "i-1")
		c.Deregister("i-1", "alice")
		describe := func() *ecs.DescribeContainerInstancesOutput {
			out, err := c.As("t").DescribeContainerInstances(t.Context(), &ecs.DescribeContainerInstancesInput{Cluster: aws.String("demo"), ContainerInstances: []string{gone}})
			must(t, err)
			return out
		}
		want(t, "status", *describe().ContainerInstances[0].Status, "INACTIVE")
		out, err := c.As("t").UpdateContainerInstancesState(t.Context(), &ecs.UpdateContainerInstancesStateInput{
			Cluster: aws.String("demo"), ContainerInstances: []string{gone}, Status: types.ContainerInstanceStatusActive,
		})
		must(t, err)
		want(t, "failure", *out.Failures[0].Reason, "INACTIVE")
		settle(2 * time.Hour)
		want(t, "later", *describe().Failures[0].Reason, "MISSING")

		c.HostDown("i-1")
		c.HostUp("i-1")
		settle(time.Minute)
		_, err = c.Agent("i-1").Get(t.Context(), "/v1/metadata")
		want(t, "its agent stays dead", err != nil, true)
		c.NewRegistration("i-1")
		settle(time.Minute)
		want(t, "until it registers anew", c.Status("i-1"), "ACTIVE")
	})
}

func TestTerminate(t *testing.T) {
	bubble(t, ecstest.Realistic(), []string{"i-1", "i-2"}, func(t *testing.T, c *ecstest.Cluster) {
		c.Terminate("i-1")
		want(t, "connected before: deregistered", c.Status("i-1"), "INACTIVE")
		c.AgentDown("i-2")
		c.Terminate("i-2")
		c.HostUp("i-2")
		settle(time.Hour)
		want(t, "disconnected before: left behind", c.Status("i-2"), "ACTIVE")
		want(t, "and disconnected", c.Instances()[1].Connected, false)
	})
}

func TestObserver(t *testing.T) {
	var seen []string
	cfg := ecstest.Config{Observe: func(ch ecstest.Change) {
		seen = append(seen, ch.Host+" "+ch.From+">"+ch.To+" by "+ch.By)
	}}
	bubble(t, cfg, []string{"i-1"}, func(t *testing.T, c *ecstest.Cluster) {
		must(t, setState(t, c, "i-1", types.ContainerInstanceStatusDraining))
		must(t, setState(t, c, "i-1", types.ContainerInstanceStatusDraining)) // no change
		c.SetStatus("i-1", "ACTIVE", "alice")
		c.Deregister("i-1", "bob")
		wantList(t, "changes", seen, "i-1 >ACTIVE by ecs-agent", "i-1 ACTIVE>DRAINING by i-1", "i-1 DRAINING>ACTIVE by alice", "i-1 ACTIVE>INACTIVE by bob")
	})
}

func TestImpair(t *testing.T) {
	bubble(t, ecstest.Config{}, []string{"i-1"}, func(t *testing.T, c *ecstest.Cluster) {
		overall := func(include ...types.ContainerInstanceField) *types.ContainerInstanceHealthStatus {
			out, err := c.As("t").DescribeContainerInstances(t.Context(), &ecs.DescribeContainerInstancesInput{
				Cluster: aws.String("demo"), ContainerInstances: []string{arn(c, "i-1")}, Include: include,
			})
			must(t, err)
			return out.ContainerInstances[0].HealthStatus
		}
		const health = types.ContainerInstanceFieldContainerInstanceHealth
		want(t, "not asked for", overall(), nil)
		want(t, "healthy", overall(health).OverallStatus, types.InstanceHealthCheckStateOk)
		c.Impair("i-1", types.InstanceHealthCheckTypeContainerRuntime, "docker does not answer")
		want(t, "impaired", overall(health).OverallStatus, types.InstanceHealthCheckStateImpaired)
		c.Heal("i-1")
		want(t, "healed", overall(health).OverallStatus, types.InstanceHealthCheckStateOk)
	})
}

func TestLocalAgentLags(t *testing.T) {
	cfg := ecstest.Config{Agent: ecstest.AgentLife{Deliver: 3 * time.Second}}
	bubble(t, cfg, []string{"i-1"}, func(t *testing.T, c *ecstest.Cluster) {
		_, err := c.Run("i-1", ecstest.Standalone{Family: "batch:7"})
		must(t, err)
		tasks := func() string {
			body, err := c.Agent("i-1").Get(context.Background(), "/v1/tasks")
			must(t, err)
			return string(body)
		}
		want(t, "at once", tasks(), `{"Tasks":[]}`)
		settle(4 * time.Second)
		want(t, "later", strings.Contains(tasks(), `"KnownStatus":"RUNNING","Family":"batch","Version":"7"`), true)
	})
}
