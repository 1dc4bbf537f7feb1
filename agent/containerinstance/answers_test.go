package containerinstance_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/agent/containerinstance"
)

// answers is an ECS that says what a test puts in, for answers that the model
// never gives.
type answers struct {
	instances  []types.ContainerInstance
	tasks      []types.Task
	services   []types.Service
	protected  []types.ProtectedTask
	failures   []types.Failure // of all but ListTasks
	protection []types.Failure // of GetTaskProtection alone
	listed     []string
}

func (a *answers) DescribeContainerInstances(context.Context, *ecs.DescribeContainerInstancesInput, ...func(*ecs.Options)) (*ecs.DescribeContainerInstancesOutput, error) {
	return &ecs.DescribeContainerInstancesOutput{ContainerInstances: a.instances, Failures: a.failures}, nil
}

func (a *answers) UpdateContainerInstancesState(context.Context, *ecs.UpdateContainerInstancesStateInput, ...func(*ecs.Options)) (*ecs.UpdateContainerInstancesStateOutput, error) {
	return &ecs.UpdateContainerInstancesStateOutput{ContainerInstances: a.instances, Failures: a.failures}, nil
}

func (a *answers) ListTasks(context.Context, *ecs.ListTasksInput, ...func(*ecs.Options)) (*ecs.ListTasksOutput, error) {
	return &ecs.ListTasksOutput{TaskArns: a.listed}, nil
}

func (a *answers) DescribeTasks(context.Context, *ecs.DescribeTasksInput, ...func(*ecs.Options)) (*ecs.DescribeTasksOutput, error) {
	return &ecs.DescribeTasksOutput{Tasks: a.tasks, Failures: a.failures}, nil
}

func (a *answers) StopTask(context.Context, *ecs.StopTaskInput, ...func(*ecs.Options)) (*ecs.StopTaskOutput, error) {
	return &ecs.StopTaskOutput{}, nil
}

func (a *answers) DescribeServices(context.Context, *ecs.DescribeServicesInput, ...func(*ecs.Options)) (*ecs.DescribeServicesOutput, error) {
	return &ecs.DescribeServicesOutput{Services: a.services, Failures: a.failures}, nil
}

func (a *answers) GetTaskProtection(context.Context, *ecs.GetTaskProtectionInput, ...func(*ecs.Options)) (*ecs.GetTaskProtectionOutput, error) {
	return &ecs.GetTaskProtectionOutput{ProtectedTasks: a.protected, Failures: a.protection}, nil
}

var self = agent.Self{Cluster: demoARN, ARN: newFormat}

// door has an ECS of answers and a local agent that knows of task t1.
func door(a *answers) *containerinstance.Door {
	return containerinstance.New(containerinstance.Options{API: a, Local: told{body: `{"Tasks":[{"Arn":"t1","KnownStatus":"RUNNING"}]}`}})
}

func failure(reason, detail string) []types.Failure {
	return []types.Failure{{Arn: aws.String("t1"), Reason: &reason, Detail: &detail}}
}

func serviceTask(last string) types.Task {
	return types.Task{
		TaskArn: aws.String("t1"), LastStatus: &last, DesiredStatus: aws.String("RUNNING"),
		Group: aws.String("service:web"), StartedBy: aws.String("ecs-svc/1"),
		TaskDefinitionArn: aws.String(arnPrefix + "task-definition/web:3"),
	}
}

func webService() types.Service {
	return types.Service{ServiceName: aws.String("web"), Status: aws.String("ACTIVE"), SchedulingStrategy: types.SchedulingStrategyReplica, DesiredCount: 1, RunningCount: 1}
}

func TestUnusualAnswersAboutTheInstance(t *testing.T) {
	none := door(&answers{})
	_, err := none.Look(t.Context(), self)
	wantErr(t, "look, empty answer", err, "describe container instance: the answer names no instance")
	_, err = none.Activate(t.Context(), self)
	wantErr(t, "activate, empty answer", err, "set ACTIVE: the answer names no instance")
	wantErr(t, "drain, empty answer", none.Drain(t.Context(), self), agent.ErrUnanswered.Error(), "does not show it DRAINING")

	still := door(&answers{instances: []types.ContainerInstance{{Status: aws.String("ACTIVE")}}})
	wantErr(t, "drain, still ACTIVE", still.Drain(t.Context(), self), agent.ErrUnanswered.Error())

	odd := door(&answers{failures: failure("AGENT", "is away")})
	_, err = odd.Look(t.Context(), self)
	wantErr(t, "look, another failure", err, "ECS refused: AGENT (is away)")
	_, err = odd.Activate(t.Context(), self)
	wantErr(t, "activate, another failure", err, "ECS refused: AGENT (is away)")
	wantErr(t, "drain, another failure", odd.Drain(t.Context(), self), "ECS refused: AGENT (is away)", "only an ACTIVE one")
	wantErr(t, "drain, failure without a reason", door(&answers{failures: []types.Failure{{}}}).Drain(t.Context(), self), "no reason given")

	for status, text := range map[types.InstanceHealthCheckState]string{"IMPAIRED": "IMPAIRED, without details", "INITIALIZING": "", "NEW": ""} {
		health := &types.ContainerInstanceHealthStatus{OverallStatus: status}
		got, err := door(&answers{instances: []types.ContainerInstance{{HealthStatus: health}}}).Look(t.Context(), self)
		want(t, "look, "+string(status), fmt.Sprint(got.Impaired, err), fmt.Sprint(text, error(nil)))
	}
}

func TestUnusualAnswersAboutTasks(t *testing.T) {
	remaining := func(a *answers) string {
		a.listed = []string{"t1"}
		tasks, err := door(a).Remaining(t.Context(), self)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprint(len(tasks), " ", summary(tasks))
	}
	want(t, "a task passed over is left", remaining(&answers{}), "1 ")
	want(t, "an unknown state is left", remaining(&answers{tasks: []types.Task{serviceTask("HIBERNATING")}}), "1 web web:3 HIBERNATING")
	want(t, "no state is left", remaining(&answers{tasks: []types.Task{{TaskArn: aws.String("t1")}}}), "1 standalone")
	want(t, "MISSING is gone", remaining(&answers{failures: failure("MISSING", "")}), "0 ")
	want(t, "DELETED is gone", remaining(&answers{tasks: []types.Task{serviceTask("DELETED")}}), "0 ")
	want(t, "another failure", remaining(&answers{failures: failure("ODD", "")}), "describe tasks: t1: ODD")
}

func TestUnusualAnswersToClassify(t *testing.T) {
	web := []types.Task{serviceTask("RUNNING")}
	tests := []struct {
		name    string
		answers answers
		want    string
	}{
		{"task gone", answers{failures: failure("MISSING", "")}, ""},
		{"task passed over", answers{}, ""},
		{"plain", answers{tasks: web, services: []types.Service{webService()}}, "replica web web:3 RUNNING"},
		{"protected", answers{tasks: web, services: []types.Service{webService()}, protected: []types.ProtectedTask{{TaskArn: aws.String("t1"), ProtectionEnabled: true}}}, "replica web web:3 RUNNING protected"},
		{"protection over", answers{tasks: web, services: []types.Service{webService()}, protected: []types.ProtectedTask{{TaskArn: aws.String("t1"), ExpirationDate: aws.Time(time.Now())}}}, "replica web web:3 RUNNING"},
		{"another's protection", answers{tasks: web, services: []types.Service{webService()}, protected: []types.ProtectedTask{{TaskArn: aws.String("t2"), ProtectionEnabled: true}}}, "replica web web:3 RUNNING"},
		{"cannot be protected", answers{tasks: web, services: []types.Service{webService()}, protection: failure("TASK_NOT_VALID", "")}, "replica web web:3 RUNNING"},
		{"protection fails", answers{tasks: web, services: []types.Service{webService()}, protection: failure("ODD", "")}, "read task protection: t1: ODD"},
		{"service passed over", answers{tasks: web}, "standalone web web:3 RUNNING"},
		{"service missing", answers{tasks: web, failures: failure("MISSING", "")}, "standalone web web:3 RUNNING"},
	}
	for _, tt := range tests {
		inventory, err := door(&tt.answers).Classify(t.Context(), self)
		got := summary(inventory.Tasks)
		if err != nil {
			got = err.Error()
		}
		want(t, tt.name, got, tt.want)
	}
}
