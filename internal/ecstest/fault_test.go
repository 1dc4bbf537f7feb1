package ecstest_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/smithy-go"

	"github.com/drydock-ecs/drydock/internal/ecstest"
)

// TestFaults is every fault that a write can meet: what is reported, and what
// the instance's status is at once and a minute later.
func TestFaults(t *testing.T) {
	errDenied := &types.AccessDeniedException{Message: aws.String("no")}
	tests := []struct {
		name        string
		fault       ecstest.Fault
		report      string // a code, "timeout", "dial", "read" or ""
		took        time.Duration
		now, minute string
	}{
		{"none", ecstest.Fault{}, "", 0, "DRAINING", "DRAINING"},
		{"slow", ecstest.Fault{Latency: 3 * time.Second}, "", 3 * time.Second, "DRAINING", "DRAINING"},
		{"too slow", ecstest.Fault{Latency: time.Minute}, "timeout", 15 * time.Second, "ACTIVE", "ACTIVE"},
		{"throttled", ecstest.Fault{Lose: true, Report: ecstest.Throttle}, "ThrottlingException", 0, "ACTIVE", "ACTIVE"},
		{"denied", ecstest.Fault{Lose: true, Err: errDenied}, "AccessDeniedException", 0, "ACTIVE", "ACTIVE"},
		{"applied, 500", ecstest.Fault{Report: ecstest.ServerError}, "ServerException", 0, "DRAINING", "DRAINING"},
		{"lost, 500", ecstest.Fault{Lose: true, Report: ecstest.ServerError}, "ServerException", 0, "ACTIVE", "ACTIVE"},
		{"applied, no answer", ecstest.Fault{Report: ecstest.Hang}, "timeout", 15 * time.Second, "DRAINING", "DRAINING"},
		{"lost, no answer", ecstest.Fault{Lose: true, Report: ecstest.Hang}, "timeout", 15 * time.Second, "ACTIVE", "ACTIVE"},
		{"late, no answer", ecstest.Fault{ApplyAfter: 30 * time.Second, Report: ecstest.Hang}, "timeout", 15 * time.Second, "ACTIVE", "DRAINING"},
		{"late, cannot be OK", ecstest.Fault{ApplyAfter: 30 * time.Second}, "read", 0, "ACTIVE", "DRAINING"},
		{"applied, dropped", ecstest.Fault{Report: ecstest.Drop}, "read", 0, "DRAINING", "DRAINING"},
		{"lost, cannot be OK", ecstest.Fault{Lose: true}, "read", 0, "ACTIVE", "ACTIVE"},
		{"unreachable", ecstest.Fault{Report: ecstest.Unreachable}, "dial", 0, "ACTIVE", "ACTIVE"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, ecstest.Config{}, []string{"i-1"}, func(t *testing.T, c *ecstest.Cluster) {
				c.SetFault(func(call ecstest.Call) ecstest.Fault {
					want(t, "call", fmt.Sprint(call.Op, call.Caller, call.N), fmt.Sprint("UpdateContainerInstancesState", "i-1", 1))
					return tt.fault
				})
				ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
				defer cancel()
				start := time.Now()
				_, err := c.As("i-1").UpdateContainerInstancesState(ctx, &ecs.UpdateContainerInstancesStateInput{
					Cluster: aws.String("demo"), ContainerInstances: []string{arn(c, "i-1")}, Status: "DRAINING",
				})
				want(t, "report", reportOf(err), tt.report)
				want(t, "took", time.Since(start), tt.took)
				want(t, "status now", c.Status("i-1"), tt.now)
				settle(time.Minute)
				want(t, "status later", c.Status("i-1"), tt.minute)
			})
		})
	}
}

// reportOf puts an error in a word.
func reportOf(err error) string {
	var api smithy.APIError
	var op *net.OpError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &api):
		return api.ErrorCode()
	case errors.As(err, &op):
		return op.Op
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return err.Error()
}

func TestStaleReads(t *testing.T) {
	bubble(t, ecstest.Config{}, []string{"i-1"}, func(t *testing.T, c *ecstest.Cluster) {
		settle(time.Minute)
		task, err := c.Run("i-1", ecstest.Standalone{})
		must(t, err)
		settle(time.Minute)
		must(t, setState(t, c, "i-1", types.ContainerInstanceStatusDraining))
		c.Stop(task)
		settle(time.Second)

		var stale time.Duration
		c.SetFault(func(ecstest.Call) ecstest.Fault { return ecstest.Fault{Stale: stale} })
		look := func() string {
			i, err := c.As("t").DescribeContainerInstances(t.Context(), &ecs.DescribeContainerInstancesInput{Cluster: aws.String("demo"), ContainerInstances: []string{arn(c, "i-1")}})
			must(t, err)
			l, err := c.As("t").ListTasks(t.Context(), &ecs.ListTasksInput{Cluster: aws.String("demo")})
			must(t, err)
			return fmt.Sprintln(*i.ContainerInstances[0].Status, i.ContainerInstances[0].RunningTasksCount, len(l.TaskArns))
		}
		want(t, "now", look(), "DRAINING 0 0\n")
		stale = 10 * time.Second
		want(t, "ten seconds ago", look(), "ACTIVE 1 1\n")
		stale = 90 * time.Second
		want(t, "before the task", look(), "ACTIVE 0 0\n")
	})
}

func TestCounts(t *testing.T) {
	bubble(t, ecstest.Config{}, []string{"i-1"}, func(t *testing.T, c *ecstest.Cluster) {
		list := func(name string) {
			_, err := c.As(name).ListTasks(t.Context(), &ecs.ListTasksInput{Cluster: aws.String("demo")})
			must(t, err)
		}
		list("i-1")
		list("i-1")
		list("i-2")
		must(t, setState(t, c, "i-1", types.ContainerInstanceStatusDraining))
		want(t, "all", c.Count("", ""), 4)
		want(t, "of i-1", c.Count("i-1", ""), 3)
		want(t, "of one operation", c.Count("", "ListTasks"), 3)
		want(t, "of both", c.Count("i-2", "ListTasks"), 1)
		want(t, "sorted", fmt.Sprint(c.Calls()), "[{i-1 ListTasks 2} {i-1 UpdateContainerInstancesState 1} {i-2 ListTasks 1}]")
		c.ResetCalls()
		want(t, "reset", c.Count("", ""), 0)
	})
}

func TestCloseLetsHangingCallsGo(t *testing.T) {
	asked := make(chan bool)
	c := ecstest.New(ecstest.Config{Fault: func(ecstest.Call) ecstest.Fault {
		close(asked)
		return ecstest.Fault{Report: ecstest.Hang}
	}})
	done := make(chan error, 1)
	go func() {
		_, err := c.As("t").ListTasks(t.Context(), &ecs.ListTasksInput{Cluster: aws.String("demo")})
		done <- err
	}()
	<-asked
	c.Close()
	want(t, "report", reportOf(<-done), "read")
}
