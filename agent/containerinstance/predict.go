package containerinstance

import (
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// ECS's deployment limits where a service has none of its own, in percent.
const (
	defaultMinimum = 100
	defaultMaximum = 200
)

// load is what decides whether the tasks of a replica service can leave.
type load struct {
	Desired int // tasks that the service wants
	Running int // tasks of it that run, anywhere in the cluster
	Here    int // tasks of it on this host
	Minimum int // minimumHealthyPercent
	Maximum int // maximumPercent
}

// Bounds of a service under a deployment or a drain: at least low tasks must
// run (rounded up) and at most high may exist (rounded down).
func (l load) bounds() (low, high int) {
	low = int((int64(l.Desired)*int64(l.Minimum) + 99) / 100)
	high = int(int64(l.Desired) * int64(l.Maximum) / 100)
	return low, high
}

// drainable tells whether the scheduler can ever move the last task off this
// host. It can when it may start one beyond the desired count first (high >
// Desired), or may stop one first (low < Running).
//
// Stopping first is no way out when not one of the desired tasks may be
// missing (low ≥ Desired): then only tasks in excess can go, and more than
// those would have to leave this host.
//
// It speaks of the numbers as they stand. It does not count on tasks that a
// service is short of, and placement (ports, memory, constraints) can still
// hold a replacement up.
func (l load) drainable() bool {
	low, high := l.bounds()
	if high > l.Desired {
		return true
	}
	return low < l.Running && (low < l.Desired || l.Here <= l.Running-low)
}

// stuck says why a service's tasks cannot leave, with the numbers.
func stuck(service string, l load) string {
	low, high := l.bounds()
	return fmt.Sprintf("service %s: desired %d, running %d, minimum %d %%, maximum %d %%: at least %d must run and at most %d may exist, so none of its %s here can leave",
		service, l.Desired, l.Running, l.Minimum, l.Maximum, low, high, count(l.Here, "task"))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// loadOf reads a service with here tasks on this host. Services under
// CODE_DEPLOY or an external controller have the default limits, whatever
// their configuration shows.
func loadOf(s types.Service, here int) load {
	l := load{
		Desired: int(s.DesiredCount),
		Running: int(s.RunningCount),
		Here:    here,
		Minimum: defaultMinimum,
		Maximum: defaultMaximum,
	}
	config := s.DeploymentConfiguration
	if config == nil || foreignController(s.DeploymentController) {
		return l
	}
	if config.MinimumHealthyPercent != nil {
		l.Minimum = int(*config.MinimumHealthyPercent)
	}
	if config.MaximumPercent != nil {
		l.Maximum = int(*config.MaximumPercent)
	}
	return l
}

func foreignController(c *types.DeploymentController) bool {
	return c != nil && (c.Type == types.DeploymentControllerTypeCodeDeploy || c.Type == types.DeploymentControllerTypeExternal)
}

// serviceOf returns the name of the service that a task belongs to, or "" for
// a standalone one. Both marks are needed: whoever runs a task may choose
// either of them.
func serviceOf(t types.Task) string {
	name, ok := strings.CutPrefix(deref(t.Group), "service:")
	if !ok || !strings.HasPrefix(deref(t.StartedBy), "ecs-svc/") {
		return ""
	}
	return name
}
