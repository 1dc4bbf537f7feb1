package ecstest_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/drydock-ecs/drydock/internal/ecstest"
)

// many returns n ids that are nobody's.
func many(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%032x", 1<<20+i)
	}
	return ids
}

func wantError[E error](t *testing.T, what string, err error) {
	t.Helper()
	if _, ok := errors.AsType[E](err); !ok {
		t.Errorf("%s: got %v, want a %T", what, err, *new(E))
	}
}

func TestTypedErrors(t *testing.T) {
	bubble(t, ecstest.Config{RefuseSecondDrain: true}, three, func(t *testing.T, c *ecstest.Cluster) {
		api, ctx, demo := c.As("t"), t.Context(), aws.String("demo")
		drain := types.ContainerInstanceStatusDraining

		_, err := api.ListTasks(ctx, &ecs.ListTasksInput{Cluster: aws.String("elsewhere")})
		wantError[*types.ClusterNotFoundException](t, "wrong cluster", err)
		_, err = api.ListTasks(ctx, &ecs.ListTasksInput{})
		wantError[*types.ClusterNotFoundException](t, "the cluster default", err)

		_, err = api.UpdateContainerInstancesState(ctx, &ecs.UpdateContainerInstancesStateInput{Cluster: demo, ContainerInstances: many(11), Status: drain})
		wantError[*types.InvalidParameterException](t, "11 ids", err)
		_, err = api.UpdateContainerInstancesState(ctx, &ecs.UpdateContainerInstancesStateInput{Cluster: demo, ContainerInstances: many(1), Status: "INACTIVE"})
		wantError[*types.InvalidParameterException](t, "bad status", err)
		must(t, setState(t, c, "i-1", drain))
		wantError[*types.InvalidParameterException](t, "second drain", setState(t, c, "i-1", drain))
		must(t, setState(t, c, "i-1", types.ContainerInstanceStatusActive))
		must(t, setState(t, c, "i-1", types.ContainerInstanceStatusActive))

		_, err = api.DescribeContainerInstances(ctx, &ecs.DescribeContainerInstancesInput{Cluster: demo, ContainerInstances: many(101)})
		wantError[*types.InvalidParameterException](t, "101 instances", err)
		_, err = api.DescribeContainerInstances(ctx, &ecs.DescribeContainerInstancesInput{Cluster: demo})
		wantError[*types.InvalidParameterException](t, "no instance", err)
		_, err = api.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: demo, Tasks: many(101)})
		wantError[*types.InvalidParameterException](t, "101 tasks", err)
		_, err = api.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: demo, Services: many(11)})
		wantError[*types.InvalidParameterException](t, "11 services", err)
		_, err = api.GetTaskProtection(ctx, &ecs.GetTaskProtectionInput{Cluster: demo, Tasks: many(101)})
		wantError[*types.InvalidParameterException](t, "101 protections", err)
		_, err = api.StopTask(ctx, &ecs.StopTaskInput{Cluster: demo, Task: &many(1)[0]})
		wantError[*types.InvalidParameterException](t, "unknown task", err)
		_, err = api.ListTasks(ctx, &ecs.ListTasksInput{Cluster: demo, StartedBy: aws.String("me"), Family: aws.String("x")})
		wantError[*types.InvalidParameterException](t, "startedBy with another filter", err)
		_, err = api.ListTasks(ctx, &ecs.ListTasksInput{Cluster: demo, DesiredStatus: "DEAD"})
		wantError[*types.InvalidParameterException](t, "bad desired status", err)
		_, err = api.ListTasks(ctx, &ecs.ListTasksInput{Cluster: demo, NextToken: aws.String("?")})
		wantError[*types.InvalidParameterException](t, "bad token", err)
		_, err = api.ListTasks(ctx, &ecs.ListTasksInput{Cluster: demo, MaxResults: aws.Int32(101)})
		wantError[*types.InvalidParameterException](t, "bad page size", err)
	})
}

func TestFailuresComeWithAnAnswer(t *testing.T) {
	bubble(t, ecstest.Config{}, []string{"i-1"}, func(t *testing.T, c *ecstest.Cluster) {
		api, ctx, demo, nobody := c.As("t"), t.Context(), aws.String("demo"), many(1)
		standalone, err := c.Run("i-1", ecstest.Standalone{})
		must(t, err)
		reasons := func(failures []types.Failure, err error) string {
			must(t, err)
			var all []string
			for _, f := range failures {
				all = append(all, *f.Reason)
			}
			return strings.Join(all, ",")
		}
		di, err := api.DescribeContainerInstances(ctx, &ecs.DescribeContainerInstancesInput{Cluster: demo, ContainerInstances: nobody})
		want(t, "describe instances", reasons(di.Failures, err), "MISSING")
		us, err := api.UpdateContainerInstancesState(ctx, &ecs.UpdateContainerInstancesStateInput{Cluster: demo, ContainerInstances: append(nobody, arn(c, "i-1")), Status: "DRAINING"})
		want(t, "update state", reasons(us.Failures, err), "MISSING")
		want(t, "the other one is updated", *us.ContainerInstances[0].Status, "DRAINING")
		dt, err := api.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: demo, Tasks: nobody})
		want(t, "describe tasks", reasons(dt.Failures, err), "MISSING")
		ds, err := api.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: demo, Services: nobody})
		want(t, "describe services", reasons(ds.Failures, err), "MISSING")
		tp, err := api.GetTaskProtection(ctx, &ecs.GetTaskProtectionInput{Cluster: demo, Tasks: append(nobody, standalone)})
		want(t, "task protection", reasons(tp.Failures, err), "MISSING,TASK_NOT_VALID")
	})
}

func TestListContainerInstances(t *testing.T) {
	bubble(t, ecstest.Config{}, three, func(t *testing.T, c *ecstest.Cluster) {
		must(t, setState(t, c, "i-2", types.ContainerInstanceStatusDraining))
		c.AgentDown("i-3")
		hostOf := make(map[string]string)
		for _, i := range c.Instances() {
			hostOf[i.ARN] = i.Host
		}
		tests := []struct {
			filter string
			status types.ContainerInstanceStatus
			want   string
		}{
			{"", "", "i-1 i-2 i-3"},
			{"", "DRAINING", "i-2"},
			{"", "ACTIVE", "i-1 i-3"},
			{"ec2InstanceId == i-2", "", "i-2"},
			{"ec2InstanceId != i-2", "", "i-1 i-3"},
			{"ec2InstanceId in [i-1, i-3]", "", "i-1 i-3"},
			{"ec2InstanceId !in [i-1,i-3]", "", "i-2"},
			{"agentConnected == true and ec2InstanceId in [i-1, i-3]", "", "i-1"},
			{"ec2InstanceId == i-2", "ACTIVE", ""},
			{"ec2InstanceId == i-9", "", ""},
		}
		for _, tt := range tests {
			out, err := c.As("t").ListContainerInstances(t.Context(), &ecs.ListContainerInstancesInput{Cluster: aws.String("demo"), Filter: &tt.filter, Status: tt.status})
			must(t, err)
			var got []string
			for _, a := range out.ContainerInstanceArns {
				got = append(got, hostOf[a])
			}
			slices.Sort(got)
			want(t, tt.filter+"/"+string(tt.status), strings.Join(got, " "), tt.want)
		}
		for _, bad := range []string{"ec2InstanceId", "ec2InstanceId =~ i-.*", "attribute:x exists true", "ec2InstanceId in i-1", "ec2InstanceId == [i-1]"} {
			_, err := c.As("t").ListContainerInstances(t.Context(), &ecs.ListContainerInstancesInput{Cluster: aws.String("demo"), Filter: &bad})
			wantError[*types.InvalidParameterException](t, bad, err)
		}
		_, err := c.As("t").ListContainerInstances(t.Context(), &ecs.ListContainerInstancesInput{Cluster: aws.String("demo"), Status: "INACTIVE"})
		wantError[*types.InvalidParameterException](t, "INACTIVE cannot be listed", err)
	})
}

func TestListTasksFilters(t *testing.T) {
	bubble(t, ecstest.Config{}, []string{"i-1", "i-2"}, func(t *testing.T, c *ecstest.Cluster) {
		c.AddService(ecstest.Service{Name: "web", Desired: 2})
		batch, err := c.Run("i-1", ecstest.Standalone{Family: "batch:7", StartedBy: "me"})
		must(t, err)
		_, err = c.Run("i-2", ecstest.Standalone{})
		must(t, err)
		settle(time.Second)
		tests := []struct {
			name string
			in   ecs.ListTasksInput
			want int
		}{
			{"all", ecs.ListTasksInput{}, 4},
			{"host by ARN", ecs.ListTasksInput{ContainerInstance: aws.String(arn(c, "i-1"))}, 2},
			{"host by id", ecs.ListTasksInput{ContainerInstance: aws.String(arn(c, "i-1")[strings.LastIndex(arn(c, "i-1"), "/")+1:])}, 2},
			{"service", ecs.ListTasksInput{ServiceName: aws.String("web")}, 2},
			{"family", ecs.ListTasksInput{Family: aws.String("batch")}, 1},
			{"startedBy", ecs.ListTasksInput{StartedBy: aws.String("me")}, 1},
			{"stopped", ecs.ListTasksInput{DesiredStatus: types.DesiredStatusStopped}, 0},
			{"PENDING matches nothing", ecs.ListTasksInput{DesiredStatus: types.DesiredStatusPending}, 0},
			{"Fargate", ecs.ListTasksInput{LaunchType: types.LaunchTypeFargate}, 0},
		}
		for _, tt := range tests {
			tt.in.Cluster = aws.String("demo")
			out, err := c.As("t").ListTasks(t.Context(), &tt.in)
			must(t, err)
			want(t, tt.name, len(out.TaskArns), tt.want)
		}
		_, err = c.As("t").StopTask(t.Context(), &ecs.StopTaskInput{Cluster: aws.String("demo"), Task: &batch, Reason: aws.String("because")})
		must(t, err)
		out, err := c.As("t").ListTasks(t.Context(), &ecs.ListTasksInput{Cluster: aws.String("demo"), DesiredStatus: types.DesiredStatusStopped})
		must(t, err)
		wantList(t, "stopped", out.TaskArns, batch)
		described, err := c.As("t").DescribeTasks(t.Context(), &ecs.DescribeTasksInput{Cluster: aws.String("demo"), Tasks: []string{batch}})
		must(t, err)
		want(t, "reason", *described.Tasks[0].StoppedReason, "because")
	})
}

// TestPagesHoldStill reads pages while tasks come and go: what stays is listed
// exactly once.
func TestPagesHoldStill(t *testing.T) {
	bubble(t, ecstest.Config{}, []string{"i-1"}, func(t *testing.T, c *ecstest.Cluster) {
		var stay []string
		var leave []string
		for n := range 40 {
			task, err := c.Run("i-1", ecstest.Standalone{})
			must(t, err)
			if n%3 == 0 {
				leave = append(leave, task)
			} else {
				stay = append(stay, task)
			}
		}
		seen := make(map[string]int)
		var token *string
		for {
			out, err := c.As("t").ListTasks(t.Context(), &ecs.ListTasksInput{Cluster: aws.String("demo"), MaxResults: aws.Int32(7), NextToken: token})
			must(t, err)
			for _, a := range out.TaskArns {
				seen[a]++
			}
			if token = out.NextToken; token == nil {
				break
			}
			for range min(3, len(leave)) {
				c.Stop(leave[0])
				leave = leave[1:]
			}
		}
		for _, a := range stay {
			want(t, a, seen[a], 1)
		}
	})
}

func TestDescribeServices(t *testing.T) {
	bubble(t, ecstest.Config{}, three, func(t *testing.T, c *ecstest.Cluster) {
		c.AddService(ecstest.Service{Name: "web", Desired: 4, Limits: &ecstest.Limits{Minimum: 50, Maximum: 150}})
		c.AddService(ecstest.Service{Name: "logs", Daemon: true})
		settle(time.Second)
		out, err := c.As("t").DescribeServices(t.Context(), &ecs.DescribeServicesInput{Cluster: aws.String("demo"), Services: []string{"web", "logs"}})
		must(t, err)
		web, logs := out.Services[0], out.Services[1]
		want(t, "web", fmt.Sprintln(web.SchedulingStrategy, web.DesiredCount, web.RunningCount, *web.DeploymentConfiguration.MinimumHealthyPercent, *web.DeploymentConfiguration.MaximumPercent), "REPLICA 4 4 50 150\n")
		want(t, "logs", fmt.Sprintln(logs.SchedulingStrategy, logs.DesiredCount, logs.RunningCount, logs.DeploymentConfiguration == nil), "DAEMON 3 3 true\n")
		want(t, "deployments", len(web.Deployments), 1)
		for _, task := range c.Tasks() {
			if task.Service != "web" {
				continue
			}
			described, err := c.As("t").DescribeTasks(t.Context(), &ecs.DescribeTasksInput{Cluster: aws.String("demo"), Tasks: []string{task.ARN}})
			must(t, err)
			want(t, "startedBy", *described.Tasks[0].StartedBy, *web.Deployments[0].Id)
			want(t, "group", *described.Tasks[0].Group, "service:web")
		}
		c.DeleteService("web")
		out, err = c.As("t").DescribeServices(t.Context(), &ecs.DescribeServicesInput{Cluster: aws.String("demo"), Services: []string{"web"}})
		must(t, err)
		want(t, "deleted", *out.Services[0].Status, "INACTIVE")
	})
}
