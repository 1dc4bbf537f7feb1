package containerinstance

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
)

// Instances are the calls on container instances. Their IAM actions have the
// same names with the prefix "ecs:".
type Instances interface {
	DescribeContainerInstances(context.Context, *ecs.DescribeContainerInstancesInput, ...func(*ecs.Options)) (*ecs.DescribeContainerInstancesOutput, error)
	UpdateContainerInstancesState(context.Context, *ecs.UpdateContainerInstancesStateInput, ...func(*ecs.Options)) (*ecs.UpdateContainerInstancesStateOutput, error)
}

// TaskAPI are the calls on tasks.
type TaskAPI interface {
	ListTasks(context.Context, *ecs.ListTasksInput, ...func(*ecs.Options)) (*ecs.ListTasksOutput, error)
	DescribeTasks(context.Context, *ecs.DescribeTasksInput, ...func(*ecs.Options)) (*ecs.DescribeTasksOutput, error)
	StopTask(context.Context, *ecs.StopTaskInput, ...func(*ecs.Options)) (*ecs.StopTaskOutput, error)
}

// Services are the calls on services and on what protects their tasks.
type Services interface {
	DescribeServices(context.Context, *ecs.DescribeServicesInput, ...func(*ecs.Options)) (*ecs.DescribeServicesOutput, error)
	GetTaskProtection(context.Context, *ecs.GetTaskProtectionInput, ...func(*ecs.Options)) (*ecs.GetTaskProtectionOutput, error)
}

// API is every call of ECS that an agent makes: *ecs.Client is one.
type API interface {
	Instances
	TaskAPI
	Services
}

var _ API = (*ecs.Client)(nil)

// Introspection is the local ECS agent's introspection endpoint: *LocalAgent
// is one.
type Introspection interface {
	// Get returns the body found under path ("/v1/metadata", "/v1/tasks"). It
	// fails unless the answer is 200. No answer means that the ECS agent is
	// down or not registered yet: it listens only once it has registered.
	Get(ctx context.Context, path string) ([]byte, error)
}
