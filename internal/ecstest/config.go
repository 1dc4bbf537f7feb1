package ecstest

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// Config are the knobs of a Cluster. The zero value is a cluster in which
// everything happens at once; Realistic has lengths like those of AWS.
type Config struct {
	Name    string // default "demo"
	Region  string // default "eu-west-1"
	Account string // default "111122223333"

	// Life is how long tasks stay in each state, unless their service says.
	Life Life
	// Agent is how fast the ECS agents are.
	Agent AgentLife
	// SchedulerDelay is from a change to the scheduler's answer to it.
	SchedulerDelay time.Duration
	// RefuseSecondDrain makes DRAINING on a DRAINING instance an error. ECS's
	// documentation reads so; what it does is not known.
	RefuseSecondDrain bool
	// Vary changes each length before it is used, for example by chance. It is
	// called with the model locked, by any goroutine: what it draws from should
	// be its own.
	Vary func(time.Duration) time.Duration
	// Observe is told each change of a container instance's status, in order.
	// It is called with the model locked: it must not call the model.
	Observe func(Change)
	// Fault decides what goes wrong with a call; nil: nothing. It may be called
	// by several goroutines at once.
	Fault func(Call) Fault
	// Who names the caller of a signed HTTP request by its access key id. By
	// default the id is the name.
	Who func(accessKey string) string
}

// Life is how long a task stays in each state of its life.
type Life struct {
	Pending        time.Duration // PENDING, before it runs
	Healthy        time.Duration // RUNNING, before it counts as healthy
	Deactivating   time.Duration // DEACTIVATING: leaving its load balancer
	Stopping       time.Duration // STOPPING: from SIGTERM to its end
	Deprovisioning time.Duration // DEPROVISIONING: its network interface goes
}

// AgentLife is how fast ECS agents are.
type AgentLife struct {
	// Register is from the start of a host to its registration: until then the
	// introspection endpoint does not answer.
	Register time.Duration
	// Connect is from the registration to agentConnected.
	Connect time.Duration
	// Disconnect is from the end of a host to agentConnected = false.
	Disconnect time.Duration
	// Deliver is from the placement of a task to the local agent's hearing of it.
	Deliver time.Duration
}

// Realistic returns a Config with lengths like those of AWS.
func Realistic() Config {
	return Config{
		Life: Life{
			Pending:        5 * time.Second,
			Healthy:        10 * time.Second,
			Deactivating:   20 * time.Second,
			Stopping:       5 * time.Second,
			Deprovisioning: time.Second,
		},
		Agent: AgentLife{
			Register:   10 * time.Second,
			Connect:    5 * time.Second,
			Disconnect: 2 * time.Minute,
			Deliver:    time.Second,
		},
		SchedulerDelay: time.Second,
	}
}

// Host is an EC2 instance of the cluster.
type Host struct {
	ID   string // EC2 instance id
	Zone string // Availability Zone
	// Slots is how many tasks fit; 0: as many as you like.
	Slots int
	// Down: the host is there and has not started. Otherwise it starts out
	// registered, connected and ACTIVE.
	Down bool
}

// Limits are a service's deployment limits, in percent.
type Limits struct {
	Minimum int // minimumHealthyPercent
	Maximum int // maximumPercent
}

// Service is a service of the cluster.
type Service struct {
	Name string
	// Daemon: one task on each ACTIVE instance. Otherwise Desired replicas.
	Daemon  bool
	Desired int
	// Limits: nil is ECS's default, 100 and 200 (daemons: 0 and 100), which
	// DescribeServices then does not show.
	Limits *Limits
	// Controller is the deployment controller; "" is ECS.
	Controller types.DeploymentControllerType
	Family     string // "family:revision"; default the name with revision 1
	Life       *Life  // nil: that of the cluster
	// PerHost is how many of its tasks may be on one host, 1 being the
	// placement constraint distinctInstance; 0: as many as you like.
	PerHost int
	// Protected is for how long each new task is protected from its start.
	Protected time.Duration
}

// Standalone is a task that no service looks after.
type Standalone struct {
	Family string // "family:revision"; default "job:1"
	// Length is how long it runs until it ends by itself; 0: for ever.
	Length time.Duration
	Life   *Life // nil: that of the cluster
	// Group and StartedBy are as whoever runs it chose; default group
	// "family:<family>".
	Group, StartedBy string
}

// Change is a change of a container instance's status.
type Change struct {
	At       time.Time
	Host     string // EC2 instance id
	ARN      string
	From, To string // From is "" at a registration
	// By is the caller of UpdateContainerInstancesState, the person of
	// SetStatus or Deregister, or "ecs-agent".
	By string
}

// Killed is a task whose host went away under it.
type Killed struct {
	At      time.Time
	Host    string
	ARN     string
	Kind    string // replica, daemon or standalone
	Service string // "" for standalone tasks
	Family  string
	// Desired and Last are its states at that moment. Desired STOPPED: it had
	// been told to stop and had not finished. Last PENDING: it had not started.
	Desired, Last string
	Protected     bool
}

// Instance is a container instance, as seen from outside.
type Instance struct {
	Host      string // EC2 instance id
	ARN       string
	Status    string
	Connected bool
	By        string // who set the status last
	Current   bool   // it is the host's present registration
}

// Task is a task, as seen from outside.
type Task struct {
	ARN, Host, Kind, Service, Family string
	Desired, Last                    string
	Protected                        time.Time // zero without
}

// Call is one call of ECS, before anything is done about it.
type Call struct {
	Op     string // "ListTasks"
	Caller string
	N      int // the caller's calls of this operation so far, this one counted
	Input  any // the SDK's input, for reading only
}

// Fault is what happens to a call. The zero value: it is applied and answered.
type Fault struct {
	// Latency passes before the call is applied.
	Latency time.Duration
	// Lose: it is never applied.
	Lose bool
	// ApplyAfter: it is applied that much later, whatever is reported.
	ApplyAfter time.Duration
	// Report is what the caller gets. A call that is not applied at once cannot
	// be answered: OK then means Drop.
	Report Report
	// Err is the answer in place of OK: a smithy.APIError.
	Err error
	// Stale makes a read answer as of that long ago.
	Stale time.Duration
}

// Report is what a caller gets to see of its call.
type Report int

// The reports.
const (
	OK          Report = iota
	Throttle           // 400 ThrottlingException
	ServerError        // 500 ServerException
	Hang               // nothing, until the caller's context ends
	Drop               // the connection breaks
	Unreachable        // no connection comes about; the call is never applied
)
