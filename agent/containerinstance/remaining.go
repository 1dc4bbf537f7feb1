package containerinstance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/drydock-ecs/drydock/agent"
)

// looksMax bounds how often Remaining starts over because its picture moved.
const looksMax = 3

// errMoving: the tasks changed during each of the looks.
var errMoving = errors.New("the tasks kept changing while they were listed")

// Local lists what the local ECS agent knows to be not yet stopped. It makes
// no call of ECS.
func (d *Door) Local(ctx context.Context) ([]agent.Task, error) {
	local, err := d.localTasks(ctx)
	if err != nil {
		return nil, err
	}
	tasks := make([]agent.Task, 0, len(local))
	for _, t := range local {
		tasks = append(tasks, agent.Task{ARN: t.ARN, Family: t.family(), Status: t.KnownStatus})
	}
	return tasks, nil
}

// Remaining lists every task on the host whose lastStatus is not STOPPED. An
// empty answer is the proof that the host is drained. Kind is Standalone for a
// task of no service and "" for the others.
//
// It lists the tasks with desired status RUNNING, then those with STOPPED, in
// this order: a task goes from the first list to the second and never back, so
// that on a DRAINING host, where nothing new is placed, none can slip between
// the two. Then it describes them all. That is three calls for up to 100
// tasks, and two when both lists are empty.
//
// "None left" is believed only from a picture that did not move: when a list
// had more pages than one, or a task went from wanted to stopped in between,
// it lists again, until every task listed is one that it has seen STOPPED.
func (d *Door) Remaining(ctx context.Context, self agent.Self) ([]agent.Task, error) {
	gone := make(map[string]bool) // STOPPED is final
	for range looksMax {
		l, err := d.listAll(ctx, self)
		if err != nil {
			return nil, err
		}
		unseen := slices.DeleteFunc(l.arns, func(arn string) bool { return gone[arn] })
		if len(unseen) == 0 {
			return nil, nil
		}
		left, err := d.left(ctx, self, unseen)
		if err != nil || len(left) > 0 {
			return left, err
		}
		if l.still {
			return nil, nil
		}
		for _, arn := range unseen {
			gone[arn] = true
		}
	}
	return nil, fmt.Errorf("list remaining tasks: %w", errMoving)
}

// listing is every task that ECS lists for the host.
type listing struct {
	arns []string
	// still: each list was one page, and no task was wanted any more. Then one
	// look at each task is enough.
	still bool
}

func (d *Door) listAll(ctx context.Context, self agent.Self) (listing, error) {
	wanted, wantedPages, err := d.list(ctx, self, types.DesiredStatusRunning)
	if err != nil {
		return listing{}, err
	}
	unwanted, unwantedPages, err := d.list(ctx, self, types.DesiredStatusStopped)
	if err != nil {
		return listing{}, err
	}
	arns := append(wanted, unwanted...)
	slices.Sort(arns)
	return listing{
		arns:  slices.Compact(arns),
		still: len(wanted) == 0 && wantedPages == 1 && unwantedPages == 1,
	}, nil
}

// list returns the host's tasks of one desired status, and the pages it took.
func (d *Door) list(ctx context.Context, self agent.Self, desired types.DesiredStatus) (arns []string, pages int, err error) {
	var token *string
	for {
		out, err := d.listPage(ctx, self, desired, token)
		if err != nil {
			return nil, pages, fail("list "+strings.ToLower(string(desired))+" tasks", "ListTasks", err)
		}
		pages++
		arns = append(arns, out.TaskArns...)
		if deref(out.NextToken) == "" {
			return arns, pages, nil
		}
		token = out.NextToken
	}
}

func (d *Door) listPage(ctx context.Context, self agent.Self, desired types.DesiredStatus, token *string) (*ecs.ListTasksOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return d.api.ListTasks(ctx, &ecs.ListTasksInput{
		Cluster:           &self.Cluster,
		ContainerInstance: &self.ARN,
		DesiredStatus:     desired,
		MaxResults:        aws.Int32(listTasksMax),
		NextToken:         token,
	}, attempts(readAttempts))
}

// left describes tasks and keeps those that have not stopped. One that ECS
// does not know any more (MISSING) stopped more than an hour ago. One that the
// answer passes over is not known to have stopped.
func (d *Door) left(ctx context.Context, self agent.Self, arns []string) ([]agent.Task, error) {
	tasks, silent, err := d.describe(ctx, self, arns)
	if err != nil {
		return nil, err
	}
	var left []agent.Task
	for _, t := range tasks {
		if stopped(t) {
			continue
		}
		task := taskOf(t)
		if task.Service == "" {
			task.Kind = agent.Standalone
		}
		left = append(left, task)
	}
	for _, arn := range silent {
		left = append(left, agent.Task{ARN: arn})
	}
	return left, nil
}

// describe returns the tasks of arns, and the arns that the answers neither
// describe nor call MISSING. One call for each 100.
func (d *Door) describe(ctx context.Context, self agent.Self, arns []string) (tasks []types.Task, silent []string, err error) {
	const act, op = "describe tasks", "DescribeTasks"
	for batch := range slices.Chunk(arns, describeTasksMax) {
		out, err := d.describeBatch(ctx, self, batch)
		if err != nil {
			return nil, nil, fail(act, op, err)
		}
		known := make(map[string]bool, len(batch))
		for _, f := range out.Failures {
			if deref(f.Reason) != reasonMissing {
				return nil, nil, fmt.Errorf("%s: %s: %s", act, deref(f.Arn), failureText(f))
			}
			known[deref(f.Arn)] = true
		}
		for _, t := range out.Tasks {
			known[deref(t.TaskArn)] = true
		}
		tasks = append(tasks, out.Tasks...)
		for _, arn := range batch {
			if !known[arn] {
				silent = append(silent, arn)
			}
		}
	}
	return tasks, silent, nil
}

func (d *Door) describeBatch(ctx context.Context, self agent.Self, arns []string) (*ecs.DescribeTasksOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return d.api.DescribeTasks(ctx, &ecs.DescribeTasksInput{
		Cluster: &self.Cluster,
		Tasks:   arns,
	}, attempts(readAttempts))
}

// stopped tells whether nothing of the task is left on the host.
func stopped(t types.Task) bool {
	last := deref(t.LastStatus)
	return last == "STOPPED" || last == "DELETED"
}

// stopReason stands in the stopped task for whoever wonders.
const stopReason = "Drydock: the host is drained for an operating system update"

// Stop tells ECS to stop one task; it does not wait for the end. One call, up
// to five attempts: stopping twice does no harm. A task that ECS does not know
// has stopped.
func (d *Door) Stop(ctx context.Context, self agent.Self, task agent.Task) error {
	const op = "StopTask"
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := d.api.StopTask(ctx, &ecs.StopTaskInput{
		Cluster: &self.Cluster,
		Task:    &task.ARN,
		Reason:  aws.String(stopReason),
	}, attempts(writeAttempts))
	if err == nil || unknownTask(err) {
		return nil
	}
	return fail("stop task "+task.ARN, op, err)
}

// unknownTask knows ECS's answer for a task that is not there any more; only
// its words tell it from other faults of the input.
func unknownTask(err error) bool {
	invalid, ok := errors.AsType[*types.InvalidParameterException](err)
	return ok && strings.Contains(strings.ToLower(invalid.ErrorMessage()), "not found")
}
