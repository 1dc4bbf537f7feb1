package containerinstance

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/internal/hint"
)

// Reasons in failures[], which comes with HTTP 200.
const (
	reasonMissing  = "MISSING"
	reasonInactive = "INACTIVE"
)

// Look describes the container instance with its health checks. One call. An
// instance that ECS does not know is no error: it has Status "".
func (d *Door) Look(ctx context.Context, self agent.Self) (agent.Instance, error) {
	const act, op = "describe container instance", "DescribeContainerInstances"
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := d.api.DescribeContainerInstances(ctx, &ecs.DescribeContainerInstancesInput{
		Cluster:            &self.Cluster,
		ContainerInstances: []string{self.ARN},
		Include:            []types.ContainerInstanceField{types.ContainerInstanceFieldContainerInstanceHealth},
	}, attempts(readAttempts))
	if err != nil {
		return agent.Instance{}, fail(act, op, err)
	}
	return settled(act, out.ContainerInstances, out.Failures)
}

// Drain sets the instance DRAINING by one call and one attempt. A refusal is
// final; every other end without an answer is agent.ErrUnanswered.
//
// When the process dies in it, the call may or may not land: the duty written
// before it says that the host must be set ACTIVE again either way.
func (d *Door) Drain(ctx context.Context, self agent.Self) error {
	const act, op = "set DRAINING", "UpdateContainerInstancesState"
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", act, err) // nothing was sent
	}
	ctx, cancel := context.WithTimeout(ctx, onceTimeout)
	defer cancel()
	out, err := d.api.UpdateContainerInstancesState(ctx, stateInput(self, types.ContainerInstanceStatusDraining), once)
	switch {
	case err != nil && refused(err):
		return notActive(fail(act, op, err))
	case err != nil:
		return fail(act, op, fmt.Errorf("%w: %w", agent.ErrUnanswered, err))
	case len(out.Failures) > 0:
		return notActive(fmt.Errorf("%s: ECS refused: %s", act, failureText(out.Failures[0])))
	case len(out.ContainerInstances) != 1 || deref(out.ContainerInstances[0].Status) != string(types.ContainerInstanceStatusDraining):
		return fmt.Errorf("%s: %w: the answer does not show it DRAINING", act, agent.ErrUnanswered)
	}
	return nil
}

// notActive explains the refusal that ECS is documented to give for an
// instance that is not ACTIVE, one that drains already among them.
func notActive(err error) error {
	if hint.Of(err) != "" {
		return err
	}
	switch code(err) {
	case "", "InvalidParameterException", "ClientException":
		return hint.Wrap(err, "see the instance's status with `aws ecs describe-container-instances`: only an ACTIVE one can be drained")
	}
	return err
}

// Activate sets the instance ACTIVE, whatever it was before, and returns what
// ECS shows then, without its health. One call, up to five attempts, of which
// all but the last were refused: one without an answer, agent.ErrUnanswered,
// may land later and is for the agent to wait for. An instance that is deregistered comes back as
// INACTIVE and an unknown one with Status "": nothing is left to undo there.
func (d *Door) Activate(ctx context.Context, self agent.Self) (agent.Instance, error) {
	const act, op = "set ACTIVE", "UpdateContainerInstancesState"
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := d.api.UpdateContainerInstancesState(ctx, stateInput(self, types.ContainerInstanceStatusActive), attemptsRefused(writeAttempts))
	switch {
	case err != nil && refused(err):
		return agent.Instance{}, fail(act, op, err)
	case err != nil:
		return agent.Instance{}, fail(act, op, fmt.Errorf("%w: %w", agent.ErrUnanswered, err))
	}
	return settled(act, out.ContainerInstances, out.Failures)
}

func stateInput(self agent.Self, status types.ContainerInstanceStatus) *ecs.UpdateContainerInstancesStateInput {
	return &ecs.UpdateContainerInstancesStateInput{
		Cluster:            &self.Cluster,
		ContainerInstances: []string{self.ARN},
		Status:             status,
	}
}

// settled reads an answer about one instance.
func settled(act string, instances []types.ContainerInstance, failures []types.Failure) (agent.Instance, error) {
	if len(instances) > 0 {
		return instance(instances[0]), nil
	}
	if len(failures) == 0 {
		return agent.Instance{}, fmt.Errorf("%s: %w", act, errors.New("the answer names no instance"))
	}
	switch deref(failures[0].Reason) {
	case reasonMissing:
		return agent.Instance{}, nil
	case reasonInactive:
		return agent.Instance{Status: reasonInactive}, nil
	}
	return agent.Instance{}, fmt.Errorf("%s: ECS refused: %s", act, failureText(failures[0]))
}

func instance(ci types.ContainerInstance) agent.Instance {
	return agent.Instance{
		Status:    deref(ci.Status),
		Connected: ci.AgentConnected,
		Impaired:  impaired(ci.HealthStatus),
		Tasks:     int(ci.RunningTasksCount) + int(ci.PendingTasksCount),
	}
}

// impaired names the health checks that failed. A check without enough data
// or still starting is not impaired: after a boot each takes its time.
func impaired(health *types.ContainerInstanceHealthStatus) string {
	if health == nil {
		return ""
	}
	var failed []string
	for _, check := range health.Details {
		if check.Status != types.InstanceHealthCheckStateImpaired {
			continue
		}
		text := string(check.Type)
		if reason := deref(check.StatusReason); reason != "" {
			text += ": " + reason
		}
		failed = append(failed, text)
	}
	if len(failed) == 0 && health.OverallStatus == types.InstanceHealthCheckStateImpaired {
		return "IMPAIRED, without details"
	}
	return strings.Join(failed, "; ")
}
