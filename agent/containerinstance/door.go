package containerinstance

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/ecs"

	"github.com/drydock-ecs/drydock/agent"
)

// Limits of one call. The SDK itself sets no limit to the wait for an answer.
const (
	// onceTimeout is for the call that is made once (DRAINING): well under the
	// minute that may pass between a re-assert of the lock and its act.
	onceTimeout = 15 * time.Second
	// callTimeout is for a call with all its retries.
	callTimeout = 30 * time.Second
	// localTimeout is for the local ECS agent and the metadata service.
	localTimeout = 5 * time.Second
)

// Attempts of one call. The SDK's standard retryer has full jitter up to its
// fifth attempt and none from there on.
const (
	readAttempts  = 3
	writeAttempts = 5
)

// Sizes of ECS's batches, from its API reference.
const (
	describeTasksMax    = 100
	describeServicesMax = 10
	protectionMax       = 100
	listTasksMax        = 100
)

// Options are what a Door is made of.
type Options struct {
	// API is ECS in the Region of the host. Needed.
	API API
	// Local is the local ECS agent. Needed.
	Local Introspection
	// Cluster is the cluster that the host is meant to be in, as a name or an
	// ARN. Empty: whatever the local ECS agent says.
	Cluster string
	// Settings returns the cluster's name from the host's own settings
	// (Bottlerocket's settings.ecs.cluster). It completes an answer of the ECS
	// agent that lacks the name, and the message when there is no answer at
	// all. May be nil.
	Settings func(context.Context) (string, error)
}

// Door is the host's container instance and the tasks on it. It keeps no state
// and may be used by several goroutines.
type Door struct {
	api      API
	local    Introspection
	cluster  string
	settings func(context.Context) (string, error)
}

var (
	_ agent.Node  = (*Door)(nil)
	_ agent.Tasks = (*Door)(nil)
)

// New returns a Door. It calls nobody.
func New(o Options) *Door {
	return &Door{api: o.API, local: o.Local, cluster: o.Cluster, settings: o.Settings}
}

// once switches the SDK's retries off: a retry would be a second call, later
// than anyone knows.
func once(o *ecs.Options) { o.Retryer = aws.NopRetryer{} }

// attempts bounds the SDK's retries of one call.
func attempts(n int) func(*ecs.Options) {
	return func(o *ecs.Options) {
		o.Retryer = retry.AddWithMaxAttempts(o.Retryer, n)
	}
}

// attemptsRefused is attempts for a call that must not land later than anyone
// knows: only one that ECS has refused is made again.
func attemptsRefused(n int) func(*ecs.Options) {
	return func(o *ecs.Options) {
		o.Retryer = refusedOnly{retry.AddWithMaxAttempts(o.Retryer, n)}
	}
}

type refusedOnly struct{ aws.Retryer }

// IsErrorRetryable leaves out what got no answer.
func (r refusedOnly) IsErrorRetryable(err error) bool {
	return refused(err) && r.Retryer.IsErrorRetryable(err)
}
