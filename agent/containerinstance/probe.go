package containerinstance

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/drydock-ecs/drydock/agent"
)

// nobody is the id of a container instance, a task and a service that ECS never
// makes.
const nobody = "00000000000000000000000000000000"

// Probe is what became of an action of ECS that was tried for the right to it
// alone.
type Probe struct {
	Action string // IAM action without its prefix
	Err    error  // nil: it is allowed. With a hint where it is not
}

// Probe tries the actions that an agent needs, but for StopTask, which few
// settings need, and for DescribeContainerInstances, which Look makes. It changes
// nothing: ECS decides whether the caller may before it looks whether there is
// what the caller names, and what is named here there is not. Five calls of ECS.
func (d *Door) Probe(ctx context.Context, self agent.Self) []Probe {
	instance, task := absent(self)
	active := types.ContainerInstanceStatusActive
	return []Probe{
		probe("UpdateContainerInstancesState", func() error {
			_, err := d.api.UpdateContainerInstancesState(ctx, &ecs.UpdateContainerInstancesStateInput{
				Cluster: &self.Cluster, ContainerInstances: []string{instance}, Status: active}, attempts(readAttempts))
			return err
		}),
		probe("ListTasks", func() error {
			_, err := d.api.ListTasks(ctx, &ecs.ListTasksInput{Cluster: &self.Cluster, ContainerInstance: &self.ARN}, attempts(readAttempts))
			return err
		}),
		probe("DescribeTasks", func() error {
			_, err := d.api.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: &self.Cluster, Tasks: []string{task}}, attempts(readAttempts))
			return err
		}),
		probe("DescribeServices", func() error {
			_, err := d.api.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: &self.Cluster, Services: []string{nobody}}, attempts(readAttempts))
			return err
		}),
		probe("GetTaskProtection", func() error {
			_, err := d.api.GetTaskProtection(ctx, &ecs.GetTaskProtectionInput{Cluster: &self.Cluster, Tasks: []string{task}}, attempts(readAttempts))
			return err
		}),
	}
}

// ProbeStop is Probe for StopTask. One call of ECS.
func (d *Door) ProbeStop(ctx context.Context, self agent.Self) Probe {
	_, task := absent(self)
	return probe("StopTask", func() error {
		_, err := d.api.StopTask(ctx, &ecs.StopTaskInput{Cluster: &self.Cluster, Task: &task}, attempts(readAttempts))
		return err
	})
}

// absent names a container instance and a task of the host's cluster that
// there are not, in the form of the host's own ARN.
func absent(self agent.Self) (instance, task string) {
	instance = self.ARN[:strings.LastIndex(self.ARN, "/")+1] + nobody
	return instance, strings.Replace(instance, ":container-instance/", ":task/", 1)
}

// probe makes a call. An answer that only misses what was named is leave.
func probe(op string, call func() error) Probe {
	err := call()
	if err == nil || code(err) == "InvalidParameterException" {
		return Probe{op, nil}
	}
	return Probe{op, fail("try ecs:"+op, op, err)}
}
