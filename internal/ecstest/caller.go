package ecstest

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"slices"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Caller makes calls in somebody's name. Its methods are those of the SDK's
// client, its errors have the same types inside the same wrapping; it retries
// nothing and ignores the options.
type Caller struct {
	cluster *Cluster
	name    string
}

// As returns a Caller of the name, by custom the id of the calling host.
func (c *Cluster) As(name string) *Caller { return &Caller{c, name} }

// Count is the number of calls of one operation by one caller.
type Count struct {
	Caller, Op string
	N          int
}

type callKey struct{ caller, op string }

// Calls counts the calls that reached the model, by caller and operation.
func (c *Cluster) Calls() []Count {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := make([]Count, 0, len(c.calls))
	for k, n := range c.calls {
		counts = append(counts, Count{k.caller, k.op, n})
	}
	slices.SortFunc(counts, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Caller, b.Caller), cmp.Compare(a.Op, b.Op))
	})
	return counts
}

// Count returns the calls of op by caller; "" stands for all.
func (c *Cluster) Count(caller, op string) int {
	n := 0
	for _, count := range c.Calls() {
		if (caller == "" || count.Caller == caller) && (op == "" || count.Op == op) {
			n += count.N
		}
	}
	return n
}

// ResetCalls starts counting anew.
func (c *Cluster) ResetCalls() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.calls)
}

// SetFault changes what goes wrong with calls from now on; nil: nothing.
func (c *Cluster) SetFault(fault func(Call) Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = fault
}

// count counts a call and asks what goes wrong with it.
func (c *Cluster) count(caller, op string, input any) Fault {
	c.mu.Lock()
	key := callKey{caller, op}
	c.calls[key]++
	call, fault := Call{op, caller, c.calls[key], input}, c.fault
	c.mu.Unlock()
	if fault == nil {
		return Fault{}
	}
	return fault(call)
}

// do takes one call through its fault: run is what the call does, on a view of
// the model, with the model locked.
func do[T any](ctx context.Context, a *Caller, op string, input any, run func(view) (*T, error)) (*T, error) {
	if ctx.Err() != nil {
		return nil, wrap(op, canceled(ctx))
	}
	c := a.cluster
	f := c.count(a.name, op, input)
	if f.Report == Unreachable {
		return nil, wrap(op, noConnection())
	}
	if err := c.pause(ctx, f.Latency); err != nil {
		return nil, wrap(op, err)
	}
	var out *T
	var err error
	atOnce := !f.Lose && f.ApplyAfter <= 0
	switch {
	case atOnce:
		c.lock()
		out, err = run(view{c, c.now.Add(-f.Stale), a.name})
		c.unlock()
	case !f.Lose:
		c.lock()
		c.at(c.now.Add(f.ApplyAfter), func() { _, _ = run(view{c, c.now, a.name}) })
		c.unlock()
	}
	if fault := c.reported(ctx, f, atOnce); fault != nil {
		return nil, wrap(op, fault)
	}
	if err != nil {
		return nil, wrap(op, err)
	}
	return out, nil
}

// pause waits for d, the end of ctx, or the model's.
func (c *Cluster) pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return canceled(ctx)
	case <-c.closed:
		return broken()
	}
}

// reported is the error that a fault shows in place of the answer, or nil.
func (c *Cluster) reported(ctx context.Context, f Fault, answered bool) error {
	switch {
	case f.Report == Throttle:
		return &smithy.GenericAPIError{Code: "ThrottlingException", Message: "Rate exceeded", Fault: smithy.FaultClient}
	case f.Report == ServerError:
		return &types.ServerException{Message: aws.String("Service Unavailable. Please try again later.")}
	case f.Report == Hang:
		select {
		case <-ctx.Done():
			return canceled(ctx)
		case <-c.closed:
			return broken()
		}
	case f.Report == Drop || f.Err == nil && !answered:
		return broken()
	}
	return f.Err
}

// The ends of a call without an answer, as the SDK shows them.
func canceled(ctx context.Context) error { return &aws.RequestCanceledError{Err: ctx.Err()} }

func broken() error {
	return &smithyhttp.RequestSendError{Err: &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}}
}

func noConnection() error {
	return &smithyhttp.RequestSendError{Err: &net.OpError{Op: "dial", Net: "tcp", Err: syscall.EHOSTUNREACH}}
}

// wrap puts an error in the wrapping of the SDK.
func wrap(op string, err error) error {
	if api, ok := err.(smithy.APIError); ok {
		status := http.StatusBadRequest
		if api.ErrorFault() == smithy.FaultServer {
			status = http.StatusInternalServerError
		}
		err = &awshttp.ResponseError{
			RequestID: "00000000-0000-0000-0000-000000000000",
			ResponseError: &smithyhttp.ResponseError{
				Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody}},
				Err:      err,
			},
		}
	}
	return &smithy.OperationError{ServiceID: ecs.ServiceID, OperationName: op, Err: err}
}

// DescribeContainerInstances is a call of ECS.
func (a *Caller) DescribeContainerInstances(ctx context.Context, in *ecs.DescribeContainerInstancesInput, _ ...func(*ecs.Options)) (*ecs.DescribeContainerInstancesOutput, error) {
	return do(ctx, a, "DescribeContainerInstances", in, func(v view) (*ecs.DescribeContainerInstancesOutput, error) {
		return v.describeContainerInstances(in)
	})
}

// UpdateContainerInstancesState is a call of ECS.
func (a *Caller) UpdateContainerInstancesState(ctx context.Context, in *ecs.UpdateContainerInstancesStateInput, _ ...func(*ecs.Options)) (*ecs.UpdateContainerInstancesStateOutput, error) {
	return do(ctx, a, "UpdateContainerInstancesState", in, func(v view) (*ecs.UpdateContainerInstancesStateOutput, error) {
		return v.updateContainerInstancesState(in)
	})
}

// ListContainerInstances is a call of ECS.
func (a *Caller) ListContainerInstances(ctx context.Context, in *ecs.ListContainerInstancesInput, _ ...func(*ecs.Options)) (*ecs.ListContainerInstancesOutput, error) {
	return do(ctx, a, "ListContainerInstances", in, func(v view) (*ecs.ListContainerInstancesOutput, error) {
		return v.listContainerInstances(in)
	})
}

// ListTasks is a call of ECS.
func (a *Caller) ListTasks(ctx context.Context, in *ecs.ListTasksInput, _ ...func(*ecs.Options)) (*ecs.ListTasksOutput, error) {
	return do(ctx, a, "ListTasks", in, func(v view) (*ecs.ListTasksOutput, error) {
		return v.listTasks(in)
	})
}

// DescribeTasks is a call of ECS.
func (a *Caller) DescribeTasks(ctx context.Context, in *ecs.DescribeTasksInput, _ ...func(*ecs.Options)) (*ecs.DescribeTasksOutput, error) {
	return do(ctx, a, "DescribeTasks", in, func(v view) (*ecs.DescribeTasksOutput, error) {
		return v.describeTasks(in)
	})
}

// StopTask is a call of ECS.
func (a *Caller) StopTask(ctx context.Context, in *ecs.StopTaskInput, _ ...func(*ecs.Options)) (*ecs.StopTaskOutput, error) {
	return do(ctx, a, "StopTask", in, func(v view) (*ecs.StopTaskOutput, error) {
		return v.stopTask(in)
	})
}

// DescribeServices is a call of ECS.
func (a *Caller) DescribeServices(ctx context.Context, in *ecs.DescribeServicesInput, _ ...func(*ecs.Options)) (*ecs.DescribeServicesOutput, error) {
	return do(ctx, a, "DescribeServices", in, func(v view) (*ecs.DescribeServicesOutput, error) {
		return v.describeServices(in)
	})
}

// GetTaskProtection is a call of ECS.
func (a *Caller) GetTaskProtection(ctx context.Context, in *ecs.GetTaskProtectionInput, _ ...func(*ecs.Options)) (*ecs.GetTaskProtectionOutput, error) {
	return do(ctx, a, "GetTaskProtection", in, func(v view) (*ecs.GetTaskProtectionOutput, error) {
		return v.getTaskProtection(in)
	})
}
