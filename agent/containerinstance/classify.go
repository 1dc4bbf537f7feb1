package containerinstance

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/drydock-ecs/drydock/agent"
)

// longestProtection stands in for a protection without an end: ECS grants none
// that is longer.
const longestProtection = 48 * time.Hour

// Classify says of every task on the host what it is and what keeps it from
// being drained. Tasks that ECS has already told to stop are left out: they
// leave by themselves.
//
// Its list comes from the local ECS agent, for free, or from ListTasks when
// that does not answer (one call more). No task: no call. Otherwise one
// DescribeTasks for 100 tasks, one DescribeServices for 10 services, one
// GetTaskProtection for 100 service tasks. A task that ECS has placed and the
// local agent has not heard of yet is not seen; Remaining sees it.
//
// A task of a service that is gone (MISSING or INACTIVE) is Standalone: no
// scheduler is left that would move it, so a drain would wait for it for ever.
// It keeps the service's name.
func (d *Door) Classify(ctx context.Context, self agent.Self) (agent.Inventory, error) {
	arns, err := d.present(ctx, self)
	if err != nil {
		return agent.Inventory{}, err
	}
	described, _, err := d.describe(ctx, self, arns)
	if err != nil {
		return agent.Inventory{}, err
	}
	tasks := staying(described)
	services, err := d.services(ctx, self, tasks)
	if err != nil {
		return agent.Inventory{}, err
	}
	inventory := sorted(tasks, services)
	if err := d.protect(ctx, self, inventory.Tasks); err != nil {
		return agent.Inventory{}, err
	}
	return inventory, nil
}

// present lists the tasks on the host that are not known to have stopped.
func (d *Door) present(ctx context.Context, self agent.Self) ([]string, error) {
	local, err := d.localTasks(ctx)
	if err != nil {
		// The local agent is a shortcut; ECS has the same list.
		arns, _, err := d.list(ctx, self, types.DesiredStatusRunning)
		return arns, err
	}
	arns := make([]string, 0, len(local))
	for _, t := range local {
		arns = append(arns, t.ARN)
	}
	return arns, nil
}

// staying keeps the tasks that nobody has told to stop.
func staying(tasks []types.Task) []types.Task {
	return slices.DeleteFunc(tasks, func(t types.Task) bool {
		return stopped(t) || deref(t.DesiredStatus) == string(types.DesiredStatusStopped)
	})
}

// services describes the services of tasks, by name. Those that are MISSING
// are not in the answer.
func (d *Door) services(ctx context.Context, self agent.Self, tasks []types.Task) (map[string]types.Service, error) {
	const act, op = "describe services", "DescribeServices"
	names := make(map[string]bool)
	for _, t := range tasks {
		if name := serviceOf(t); name != "" {
			names[name] = true
		}
	}
	found := make(map[string]types.Service, len(names))
	for batch := range slices.Chunk(slices.Sorted(maps.Keys(names)), describeServicesMax) {
		out, err := d.describeServices(ctx, self, batch)
		if err != nil {
			return nil, fail(act, op, err)
		}
		for _, f := range out.Failures {
			if deref(f.Reason) != reasonMissing {
				return nil, fmt.Errorf("%s: %s: %s", act, deref(f.Arn), failureText(f))
			}
		}
		for _, s := range out.Services {
			found[deref(s.ServiceName)] = s
		}
	}
	return found, nil
}

func (d *Door) describeServices(ctx context.Context, self agent.Self, names []string) (*ecs.DescribeServicesOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return d.api.DescribeServices(ctx, &ecs.DescribeServicesInput{
		Cluster:  &self.Cluster,
		Services: names,
	}, attempts(readAttempts))
}

// sorted gives each task its kind and finds the services that cannot drain.
func sorted(tasks []types.Task, services map[string]types.Service) agent.Inventory {
	var inventory agent.Inventory
	here := make(map[string]int)
	for _, t := range tasks {
		task := taskOf(t)
		task.Kind = kind(services[task.Service])
		if task.Kind == agent.Replica {
			here[task.Service]++
		}
		inventory.Tasks = append(inventory.Tasks, task)
	}
	for _, name := range slices.Sorted(maps.Keys(here)) {
		if l := loadOf(services[name], here[name]); !l.drainable() {
			inventory.Stuck = append(inventory.Stuck, stuck(name, l))
		}
	}
	return inventory
}

// kind tells what a drain does with the tasks of s; the zero Service is none.
func kind(s types.Service) agent.TaskKind {
	switch status := deref(s.Status); {
	case s.ServiceName == nil || status == "INACTIVE":
		return agent.Standalone
	case s.SchedulingStrategy == types.SchedulingStrategyDaemon:
		return agent.Daemon
	}
	return agent.Replica
}

// protect fills in until when tasks of services are protected.
func (d *Door) protect(ctx context.Context, self agent.Self, tasks []agent.Task) error {
	const act, op = "read task protection", "GetTaskProtection"
	index := make(map[string]int)
	for i, t := range tasks {
		if t.Kind != agent.Standalone {
			index[t.ARN] = i
		}
	}
	for batch := range slices.Chunk(slices.Sorted(maps.Keys(index)), protectionMax) {
		out, err := d.protection(ctx, self, batch)
		if err != nil {
			return fail(act, op, err)
		}
		for _, f := range out.Failures {
			// Gone, or not the kind of task that can be protected.
			if reason := deref(f.Reason); reason != reasonMissing && reason != "TASK_NOT_VALID" {
				return fmt.Errorf("%s: %s: %s", act, deref(f.Arn), failureText(f))
			}
		}
		for _, p := range out.ProtectedTasks {
			if i, ok := index[deref(p.TaskArn)]; ok {
				tasks[i].Protected = until(p)
			}
		}
	}
	return nil
}

func (d *Door) protection(ctx context.Context, self agent.Self, arns []string) (*ecs.GetTaskProtectionOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return d.api.GetTaskProtection(ctx, &ecs.GetTaskProtectionInput{
		Cluster: &self.Cluster,
		Tasks:   arns,
	}, attempts(readAttempts))
}

// until is the end of a protection; zero without one.
func until(p types.ProtectedTask) time.Time {
	switch {
	case !p.ProtectionEnabled:
		return time.Time{}
	case p.ExpirationDate == nil:
		return time.Now().Add(longestProtection)
	}
	return *p.ExpirationDate
}

// taskOf reads a task of DescribeTasks, without its kind.
func taskOf(t types.Task) agent.Task {
	return agent.Task{
		ARN:     deref(t.TaskArn),
		Service: serviceOf(t),
		Family:  familyOf(deref(t.TaskDefinitionArn)),
		Status:  deref(t.LastStatus),
	}
}

// familyOf takes "family:revision" out of a task definition's ARN.
func familyOf(arn string) string {
	return arn[strings.LastIndex(arn, "/")+1:]
}
