package ecstest

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// ECS's limits to one call.
const (
	updateMax           = 10
	describeMax         = 100
	describeServicesMax = 10
	pageMax             = 100
)

// view is the model at one moment, for one caller. Changes are made at the
// present, whatever the moment of the view.
type view struct {
	c  *Cluster
	at time.Time
	by string
}

func invalid(format string, args ...any) error {
	return &types.InvalidParameterException{Message: aws.String(fmt.Sprintf(format, args...))}
}

// cluster checks that the call is meant for this cluster: by name, by ARN, or
// by saying nothing, which means the cluster "default".
func (v view) cluster(want *string) error {
	name := aws.ToString(want)
	if name == "" {
		name = "default"
	}
	if name != v.c.cfg.Name && name != v.c.ARN() {
		return &types.ClusterNotFoundException{Message: aws.String("Cluster not found.")}
	}
	return nil
}

// request checks what all calls with a list of ids have in common.
func (v view) request(cluster *string, ids []string, most int, what string) error {
	switch {
	case len(ids) == 0:
		return invalid("%s cannot be empty.", what)
	case len(ids) > most:
		return invalid("%s cannot have more than %d elements.", what, most)
	}
	return v.cluster(cluster)
}

// short is the last part of an ARN, which stands for it in every call.
func short(arn string) string { return arn[strings.LastIndex(arn, "/")+1:] }

func missing(arn string) types.Failure {
	return types.Failure{Arn: aws.String(arn), Reason: aws.String("MISSING")}
}

func (v view) instance(id string) (*instance, instanceMoment, bool) {
	for _, i := range v.c.instances {
		if short(i.arn) == short(id) {
			m, ok := i.as(v.at)
			return i, m, ok
		}
	}
	return nil, instanceMoment{}, false
}

func (v view) task(id string) (*task, taskMoment, bool) {
	for _, t := range v.c.tasks {
		if short(t.arn) == short(id) {
			m, ok := t.as(v.at)
			return t, m, ok
		}
	}
	return nil, taskMoment{}, false
}

func (v view) describeContainerInstances(in *ecs.DescribeContainerInstancesInput) (*ecs.DescribeContainerInstancesOutput, error) {
	if err := v.request(in.Cluster, in.ContainerInstances, describeMax, "Container instances"); err != nil {
		return nil, err
	}
	out := &ecs.DescribeContainerInstancesOutput{}
	for _, id := range in.ContainerInstances {
		i, m, ok := v.instance(id)
		if !ok {
			out.Failures = append(out.Failures, missing(id))
			continue
		}
		shown := v.show(i, m)
		if slices.Contains(in.Include, types.ContainerInstanceFieldContainerInstanceHealth) {
			shown.HealthStatus = i.health()
		}
		out.ContainerInstances = append(out.ContainerInstances, shown)
	}
	return out, nil
}

// show puts an instance in the SDK's form. runningTasksCount goes by desired
// status: it is 0 while containers are still being stopped.
func (v view) show(i *instance, m instanceMoment) types.ContainerInstance {
	var runs, waits int32
	for _, t := range v.c.tasks {
		if t.inst != i {
			continue
		}
		switch tm, ok := t.as(v.at); {
		case !ok || tm.desired != running:
		case tm.last == pending:
			waits++
		default:
			runs++
		}
	}
	return types.ContainerInstance{
		ContainerInstanceArn: aws.String(i.arn),
		Ec2InstanceId:        aws.String(i.host.ID),
		Status:               aws.String(m.status),
		AgentConnected:       m.connected,
		RunningTasksCount:    runs,
		PendingTasksCount:    waits,
		RegisteredAt:         aws.Time(i.registered),
		Version:              i.version,
		VersionInfo:          &types.VersionInfo{AgentVersion: aws.String(agentVersion)},
		Attributes: []types.Attribute{
			{Name: aws.String("bottlerocket.variant"), Value: aws.String("aws-ecs-2")},
			{Name: aws.String("ecs.availability-zone"), Value: aws.String(i.host.Zone)},
		},
	}
}

func (v view) updateContainerInstancesState(in *ecs.UpdateContainerInstancesStateInput) (*ecs.UpdateContainerInstancesStateOutput, error) {
	if err := v.request(in.Cluster, in.ContainerInstances, updateMax, "Container instances"); err != nil {
		return nil, err
	}
	status := string(in.Status)
	if status != active && status != draining {
		return nil, invalid("Container instances status should be one of [ACTIVE,DRAINING]")
	}
	v.at = v.c.now // a write is never stale
	if err := v.drainable(in.ContainerInstances, status); err != nil {
		return nil, err
	}
	out := &ecs.UpdateContainerInstancesStateOutput{}
	for _, id := range in.ContainerInstances {
		i, m, ok := v.instance(id)
		switch {
		case !ok:
			out.Failures = append(out.Failures, missing(id))
		case m.status == inactive:
			out.Failures = append(out.Failures, types.Failure{Arn: aws.String(i.arn), Reason: aws.String(inactive)})
		default:
			v.c.setStatus(i, status, v.by)
			m, _ = i.as(v.at)
			out.ContainerInstances = append(out.ContainerInstances, v.show(i, m))
		}
	}
	return out, nil
}

// drainable refuses the whole call when one instance cannot be drained.
func (v view) drainable(ids []string, status string) error {
	for _, id := range ids {
		_, m, ok := v.instance(id)
		if ok && status == draining && m.status == draining && v.c.cfg.RefuseSecondDrain {
			return invalid("Container instance %s is not in ACTIVE state.", short(id))
		}
	}
	return nil
}

func (v view) listContainerInstances(in *ecs.ListContainerInstancesInput) (*ecs.ListContainerInstancesOutput, error) {
	if err := v.cluster(in.Cluster); err != nil {
		return nil, err
	}
	matches, err := parseFilter(aws.ToString(in.Filter))
	if err != nil {
		return nil, err
	}
	if !slices.Contains([]types.ContainerInstanceStatus{"", active, draining, "REGISTERING", "DEREGISTERING", "REGISTRATION_FAILED"}, in.Status) {
		return nil, invalid("Container instances status should be one of [ACTIVE,DRAINING,REGISTERING,DEREGISTERING,REGISTRATION_FAILED]")
	}
	var arns []string
	for _, i := range v.c.instances {
		m, ok := i.as(v.at)
		if ok && m.status != inactive && (in.Status == "" || string(in.Status) == m.status) && matches(i, m) {
			arns = append(arns, i.arn)
		}
	}
	arns, token, err := page(arns, in.MaxResults, in.NextToken)
	return &ecs.ListContainerInstancesOutput{ContainerInstanceArns: arns, NextToken: token}, err
}

func (v view) listTasks(in *ecs.ListTasksInput) (*ecs.ListTasksOutput, error) {
	if err := v.cluster(in.Cluster); err != nil {
		return nil, err
	}
	if in.StartedBy != nil && (in.ContainerInstance != nil || in.ServiceName != nil || in.Family != nil || in.DesiredStatus != "") {
		return nil, invalid("startedBy must be the only filter.")
	}
	desired := string(in.DesiredStatus)
	switch desired {
	case "":
		desired = running
	case running, pending, stopped:
	default:
		return nil, invalid("desiredStatus should be one of [RUNNING,PENDING,STOPPED]")
	}
	var arns []string
	for _, t := range v.c.tasks {
		if m, ok := t.as(v.at); ok && m.desired == desired && t.matches(in) {
			arns = append(arns, t.arn)
		}
	}
	arns, token, err := page(arns, in.MaxResults, in.NextToken)
	return &ecs.ListTasksOutput{TaskArns: arns, NextToken: token}, err
}

// matches applies the filters of ListTasks that do not change with time.
func (t *task) matches(in *ecs.ListTasksInput) bool {
	family, _, _ := strings.Cut(t.family, ":")
	return (in.ContainerInstance == nil || short(*in.ContainerInstance) == short(t.inst.arn)) &&
		(in.ServiceName == nil || t.svc != nil && short(*in.ServiceName) == t.svc.Name) &&
		(in.Family == nil || *in.Family == family) &&
		(in.StartedBy == nil || *in.StartedBy == t.startedBy) &&
		(in.LaunchType == "" || in.LaunchType == types.LaunchTypeEc2)
}

// page cuts one page out of a sorted list. A token names the last item of the
// page before, so that what comes and goes meanwhile moves nothing.
func page(arns []string, maxResults *int32, token *string) ([]string, *string, error) {
	size := pageMax
	if maxResults != nil {
		size = int(*maxResults)
	}
	if size < 1 || size > pageMax {
		return nil, nil, invalid("maxResults must be between 1 and %d.", pageMax)
	}
	slices.Sort(arns)
	if token != nil && *token != "" {
		last, err := base64.RawURLEncoding.DecodeString(*token)
		if err != nil {
			return nil, nil, invalid("Invalid token.")
		}
		i, found := slices.BinarySearch(arns, string(last))
		if found {
			i++
		}
		arns = arns[i:]
	}
	if len(arns) <= size {
		return arns, nil, nil
	}
	next := base64.RawURLEncoding.EncodeToString([]byte(arns[size-1]))
	return arns[:size], &next, nil
}

func (v view) describeTasks(in *ecs.DescribeTasksInput) (*ecs.DescribeTasksOutput, error) {
	if err := v.request(in.Cluster, in.Tasks, describeMax, "Tasks"); err != nil {
		return nil, err
	}
	out := &ecs.DescribeTasksOutput{}
	for _, id := range in.Tasks {
		if t, m, ok := v.task(id); ok {
			out.Tasks = append(out.Tasks, v.showTask(t, m))
		} else {
			out.Failures = append(out.Failures, missing(id))
		}
	}
	return out, nil
}

func (v view) showTask(t *task, m taskMoment) types.Task {
	shown := types.Task{
		TaskArn:              aws.String(t.arn),
		ClusterArn:           aws.String(v.c.ARN()),
		ContainerInstanceArn: aws.String(t.inst.arn),
		TaskDefinitionArn:    aws.String(v.c.arn("task-definition", t.family)),
		Group:                aws.String(t.group),
		DesiredStatus:        aws.String(m.desired),
		LastStatus:           aws.String(m.last),
		LaunchType:           types.LaunchTypeEc2,
		CreatedAt:            aws.Time(t.created),
	}
	if t.startedBy != "" {
		shown.StartedBy = aws.String(t.startedBy)
	}
	if m.desired == stopped {
		shown.StoppedReason = aws.String(t.reason)
	}
	if m.last == stopped {
		shown.StoppedAt = aws.Time(m.at)
	}
	return shown
}

func (v view) stopTask(in *ecs.StopTaskInput) (*ecs.StopTaskOutput, error) {
	if err := v.cluster(in.Cluster); err != nil {
		return nil, err
	}
	v.at = v.c.now
	t, _, ok := v.task(aws.ToString(in.Task))
	if !ok {
		return nil, invalid("The referenced task was not found.")
	}
	v.c.stop(t, aws.ToString(in.Reason))
	m, _ := t.as(v.at)
	shown := v.showTask(t, m)
	return &ecs.StopTaskOutput{Task: &shown}, nil
}

func (v view) describeServices(in *ecs.DescribeServicesInput) (*ecs.DescribeServicesOutput, error) {
	if err := v.request(in.Cluster, in.Services, describeServicesMax, "Services"); err != nil {
		return nil, err
	}
	out := &ecs.DescribeServicesOutput{}
	for _, name := range in.Services {
		if s := v.c.service(name); s != nil {
			out.Services = append(out.Services, v.showService(s))
		} else {
			out.Failures = append(out.Failures, missing(v.c.arn("service", v.c.cfg.Name+"/"+name)))
		}
	}
	return out, nil
}

func (v view) showService(s *service) types.Service {
	shown := types.Service{
		ServiceArn:         aws.String(v.c.arn("service", v.c.cfg.Name+"/"+s.Name)),
		ServiceName:        aws.String(s.Name),
		ClusterArn:         aws.String(v.c.ARN()),
		Status:             aws.String(active),
		SchedulingStrategy: types.SchedulingStrategyReplica,
		LaunchType:         types.LaunchTypeEc2,
		TaskDefinition:     aws.String(v.c.arn("task-definition", s.Family)),
	}
	if s.Controller != "" {
		shown.DeploymentController = &types.DeploymentController{Type: s.Controller}
	}
	if s.Limits != nil {
		shown.DeploymentConfiguration = &types.DeploymentConfiguration{
			MinimumHealthyPercent: aws.Int32(int32(s.Limits.Minimum)),
			MaximumPercent:        aws.Int32(int32(s.Limits.Maximum)),
		}
	}
	v.fill(s, &shown)
	shown.Deployments = []types.Deployment{{
		Id:           aws.String(s.deployment()),
		Status:       aws.String("PRIMARY"),
		DesiredCount: shown.DesiredCount,
		RunningCount: shown.RunningCount,
		PendingCount: shown.PendingCount,
		RolloutState: types.DeploymentRolloutStateCompleted,
	}}
	if shown.RunningCount < shown.DesiredCount {
		shown.Deployments[0].RolloutState = types.DeploymentRolloutStateInProgress
	}
	return shown
}

// fill counts a service's tasks.
func (v view) fill(s *service, shown *types.Service) {
	for _, t := range v.c.tasks {
		if t.svc != s {
			continue
		}
		switch m, ok := t.as(v.at); {
		case !ok:
		case m.last == running:
			shown.RunningCount++
		case m.last == pending:
			shown.PendingCount++
		}
	}
	shown.DesiredCount = int32(s.Desired)
	if s.Daemon {
		shown.SchedulingStrategy = types.SchedulingStrategyDaemon
		shown.DesiredCount = 0
		for _, i := range v.c.instances {
			if m, ok := i.as(v.at); ok && m.status == active {
				shown.DesiredCount++
			}
		}
	}
	if s.gone {
		shown.Status = aws.String(inactive)
		shown.DesiredCount = 0
	}
}

func (v view) getTaskProtection(in *ecs.GetTaskProtectionInput) (*ecs.GetTaskProtectionOutput, error) {
	if err := v.request(in.Cluster, in.Tasks, describeMax, "Tasks"); err != nil {
		return nil, err
	}
	out := &ecs.GetTaskProtectionOutput{}
	for _, id := range in.Tasks {
		t, _, ok := v.task(id)
		switch {
		case !ok:
			out.Failures = append(out.Failures, missing(id))
		case t.svc == nil:
			out.Failures = append(out.Failures, types.Failure{Arn: aws.String(t.arn), Reason: aws.String("TASK_NOT_VALID")})
		default:
			out.ProtectedTasks = append(out.ProtectedTasks, protection(t, v.at))
		}
	}
	return out, nil
}

func protection(t *task, at time.Time) types.ProtectedTask {
	shown := types.ProtectedTask{TaskArn: aws.String(t.arn), ProtectionEnabled: t.protected.After(at)}
	if shown.ProtectionEnabled {
		shown.ExpirationDate = aws.Time(t.protected)
	}
	return shown
}
