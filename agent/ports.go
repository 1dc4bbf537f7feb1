package agent

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/drydock-ecs/drydock/apiclientx"
	"github.com/drydock-ecs/drydock/coordination"
)

// Host is the local Bottlerocket API. *apiclientx.Client is one.
type Host interface {
	OS(ctx context.Context) (apiclientx.OS, error)
	Updates(ctx context.Context) (apiclientx.Status, error)
	// Do starts an action, waits until it has finished, and returns the
	// status after it. It fails unless the action succeeded.
	Do(ctx context.Context, action apiclientx.Action) (apiclientx.Status, error)
	// Reboot asks for a reboot. No error means only that it was asked for.
	Reboot(ctx context.Context) error
}

// Node is this host's ECS container instance. One call of a method is one
// call of ECS, except Self, which is local and free.
type Node interface {
	// Self asks the local ECS agent who it is. It fails while the agent is
	// not registered.
	Self(ctx context.Context) (Self, error)
	// Look describes the container instance.
	Look(ctx context.Context, self Self) (Instance, error)
	// Drain sets it DRAINING. The call is made once, without retries: an error
	// that is ErrUnanswered may be applied later.
	Drain(ctx context.Context, self Self) error
	// Activate sets it ACTIVE and returns what ECS shows then. What got no
	// answer is not tried again: such an error is ErrUnanswered, and the call
	// may be applied later.
	Activate(ctx context.Context, self Self) (Instance, error)
}

// Tasks are the tasks placed on this host.
type Tasks interface {
	// Classify says of every task what it is and what keeps it from being
	// drained. At most three calls of ECS for up to ten services.
	Classify(ctx context.Context, self Self) (Inventory, error)
	// Local lists what the local ECS agent knows to be not yet stopped. Free:
	// it may be asked every second.
	Local(ctx context.Context) ([]Task, error)
	// Remaining lists every task whose lastStatus is not STOPPED, by ECS's own
	// paginated lists. At most three calls of ECS for up to 100 tasks.
	Remaining(ctx context.Context, self Self) ([]Task, error)
	// Stop stops one task.
	Stop(ctx context.Context, self Self, task Task) error
}

// Surroundings are the host's EC2 instance and its kernel.
type Surroundings interface {
	// Identity says which EC2 instance this is (IMDSv2). It never changes.
	Identity(ctx context.Context) (Identity, error)
	// Leaving says why the instance is about to go away, or "" (IMDS: target
	// lifecycle state, spot interruption). An error tells neither.
	Leaving(ctx context.Context) (string, error)
	// Boot returns the kernel's boot id and the time since that boot.
	Boot() (Boot, error)
	// Claim makes this process the one agent of the host until it ends. It
	// fails with ErrClaimed while another process has the claim.
	Claim(instance string) error
}

// Evidence is what EC2 knows of instances, this one and others.
type Evidence interface {
	// Instances returns the state of those of the instances that EC2 knows:
	// "pending", "running", "shutting-down", "terminated", "stopping", "stopped".
	// An instance that is in no answer is not known to EC2.
	Instances(ctx context.Context, ids []string) (map[string]string, error)
}

// IntentFile is the durable file of the host's intent.
type IntentFile interface {
	// Load returns the bytes last saved. It fails with ErrNoIntent when there
	// is no file, and with ErrDamaged when there is one that cannot be read.
	Load() ([]byte, error)
	// Save makes data durable, file and directory, or leaves what was there.
	Save(data []byte) error
	// SetAside moves the file out of the way and returns where it went.
	SetAside(why string) (string, error)
}

// Fleet is one fleet's lock and rows: *coordination.Fleet.
type Fleet interface {
	// Look reads the lock record.
	Look(ctx context.Context) (coordination.Record, error)
	// Apply changes the record by a rule, again after each lost race, and
	// returns the record as it then is.
	Apply(ctx context.Context, rule coordination.Rule) (coordination.Record, error)
	// PutHost and PutEvent write what is for eyes only.
	PutHost(ctx context.Context, row coordination.HostRow) error
	PutEvent(ctx context.Context, event coordination.Event) error
}

// Ports are the agent's doors to the world. All are needed but those that say
// what nil means.
type Ports struct {
	Host         Host
	Node         Node
	Tasks        Tasks
	Surroundings Surroundings
	Intent       IntentFile
	// Evidence says whether a late holder is gone for good; nil: only an
	// operator can say it.
	Evidence Evidence
	// Fleet opens a fleet's lock; the table and the fleet of a duty come
	// before those of the settings.
	Fleet func(table, fleet string) Fleet
	// Cluster reads the cluster's name from the host's own settings
	// (Bottlerocket's settings.ecs.cluster), for a host whose ECS agent does
	// not answer and whose settings leave it open; nil: it stays unknown.
	Cluster func(ctx context.Context) (string, error)
	// Waves reads the operating system's own wave settings, for the host's
	// row; nil or an error leaves them out.
	Waves func(ctx context.Context) (map[string]string, error)
	// Notify tells the service manager, as sd_notify does.
	Notify func(state string)
	// Watchdog is how often the service manager wants a sign of life; 0: never.
	Watchdog time.Duration
	Log      *slog.Logger
}

// Errors of the ports, to be tested with errors.Is.
var (
	ErrUnanswered = errors.New("no answer: the call may still be applied")
	ErrClaimed    = errors.New("another agent runs on this host")
	ErrNoIntent   = errors.New("no intent file")
	ErrDamaged    = errors.New("intent file is damaged")
)

// Identity is what EC2 says of the host.
type Identity struct {
	Instance string // EC2 instance id
	Region   string
	Account  string
	Zone     string // Availability Zone
}

// Boot names one boot of the kernel.
type Boot struct {
	ID     string        // /proc/sys/kernel/random/boot_id
	Uptime time.Duration // since that boot, counting time asleep
}

// Self is the host as ECS knows it.
type Self struct {
	Cluster string // cluster ARN: the fleet's key
	ARN     string // container-instance ARN; a new registration has a new one
}

// Instance is the container instance as DescribeContainerInstances shows it.
// Status "" means that ECS knows no such instance (MISSING).
type Instance struct {
	Status    string // ACTIVE, DRAINING, INACTIVE, …; "" when missing
	Connected bool   // agentConnected
	Impaired  string // health checks that are IMPAIRED, in words; "" when none
	Tasks     int    // runningTasksCount + pendingTasksCount: a hint, never proof
}

// TaskKind says what a drain does with a task.
type TaskKind string

// The kinds of task. A drain moves replica tasks, stops daemon tasks, and
// leaves standalone ones alone.
const (
	Replica    TaskKind = "replica"
	Daemon     TaskKind = "daemon"
	Standalone TaskKind = "standalone"
)

// Task is one task on this host.
type Task struct {
	ARN       string
	Kind      TaskKind  // "" when it was not classified
	Service   string    // service name, "" for standalone tasks
	Family    string    // task definition family and revision
	Status    string    // lastStatus, or the local agent's known status
	Protected time.Time // scale-in protection lasts until then; zero without
}

// Inventory is what a look at all tasks of the host found.
type Inventory struct {
	Tasks []Task
	// Stuck names each replica service whose drain could never end, with the
	// numbers that say so. Empty when the drain can end.
	Stuck []string
}
