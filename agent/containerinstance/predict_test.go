package containerinstance

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"pgregory.net/rapid"
)

func TestDrainable(t *testing.T) {
	tests := []struct {
		name string
		load load
		want bool
	}{
		{"defaults", load{Desired: 1, Running: 1, Here: 1, Minimum: 100, Maximum: 200}, true},
		{"no slack at all", load{Desired: 4, Running: 4, Here: 1, Minimum: 100, Maximum: 100}, false},
		{"rounding up: 50 % of 1 is 1", load{Desired: 1, Running: 1, Here: 1, Minimum: 50, Maximum: 100}, false},
		{"rounding up: 75 % of 2 is 2", load{Desired: 2, Running: 2, Here: 1, Minimum: 75, Maximum: 100}, false},
		{"rounding down: 125 % of 3 is 3", load{Desired: 3, Running: 3, Here: 1, Minimum: 100, Maximum: 125}, false},
		{"125 % of 4 is 5", load{Desired: 4, Running: 4, Here: 1, Minimum: 100, Maximum: 125}, true},
		{"50 % of 2 is 1", load{Desired: 2, Running: 2, Here: 2, Minimum: 50, Maximum: 100}, true},
		{"no minimum", load{Desired: 1, Running: 1, Here: 1, Minimum: 0, Maximum: 100}, true},
		{"too few run already", load{Desired: 4, Running: 2, Here: 1, Minimum: 50, Maximum: 100}, false},
		{"excess covers those here", load{Desired: 1, Running: 2, Here: 1, Minimum: 100, Maximum: 100}, true},
		{"excess does not", load{Desired: 1, Running: 2, Here: 2, Minimum: 100, Maximum: 100}, false},
		{"wanted no more", load{Desired: 0, Running: 2, Here: 2, Minimum: 100, Maximum: 100}, true},
		{"32 bits are not enough", load{Desired: 1 << 30, Running: 1 << 30, Here: 1, Minimum: 100, Maximum: 200}, true},
	}
	for _, tt := range tests {
		if got := tt.load.drainable(); got != tt.want {
			low, high := tt.load.bounds()
			t.Errorf("%s: %+v (at least %d, at most %d): got %v", tt.name, tt.load, low, high, got)
		}
	}
}

// twin is a service under a drain, moved one task at a time: those that run
// here, and those that run elsewhere.
type twin struct{ here, elsewhere int }

// slow asks whether some order of the scheduler's moves empties the host. The
// scheduler may stop a task here while enough others run, and start one
// elsewhere while it wants one and there is room.
func slow(l load) bool {
	seen := make(map[twin]bool)
	var empties func(twin) bool
	empties = func(s twin) bool {
		if s.here == 0 {
			return true
		}
		if seen[s] {
			return false
		}
		seen[s] = true
		run := s.here + s.elsewhere
		mayStop := (run-1)*100 >= l.Desired*l.Minimum
		mayStart := s.elsewhere < l.Desired && (run+1)*100 <= l.Desired*l.Maximum
		return mayStop && empties(twin{s.here - 1, s.elsewhere}) ||
			mayStart && empties(twin{s.here, s.elsewhere + 1})
	}
	return empties(twin{l.Here, l.Running - l.Here})
}

// judge compares the arithmetic with the twin. They agree, but for a service
// that is short of tasks: there the arithmetic does not count on those that
// are missing, and may say no where the twin, in which every start succeeds,
// says yes. It then has to have the reason that it names.
func judge(l load) (fault string) {
	got, can := l.drainable(), slow(l)
	low, high := l.bounds()
	switch {
	case got && !can:
		return "said to drain, and the scheduler cannot"
	case !got && can && l.Running >= l.Desired:
		return "said to be stuck, and the scheduler can"
	case !got && l.Running < l.Desired && (low < l.Running || high > l.Desired):
		return "said to be stuck without its reason"
	}
	return ""
}

// TestDrainableIsWhatTheSchedulerCanDo judges every small service.
func TestDrainableIsWhatTheSchedulerCanDo(t *testing.T) {
	for desired := range 8 {
		for running := 1; running <= desired+3; running++ {
			for here := 1; here <= running; here++ {
				for _, minimum := range []int{0, 1, 25, 33, 34, 50, 66, 75, 90, 99, 100} {
					for _, maximum := range []int{100, 101, 110, 125, 133, 134, 150, 175, 199, 200, 300} {
						l := load{desired, running, here, minimum, maximum}
						if fault := judge(l); fault != "" {
							t.Fatalf("%+v: %s", l, fault)
						}
					}
				}
			}
		}
	}
}

func TestDrainableIsWhatTheSchedulerCanDoAtRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := load{
			Desired: rapid.IntRange(0, 60).Draw(t, "desired"),
			Minimum: rapid.IntRange(0, 100).Draw(t, "minimum"),
			Maximum: rapid.IntRange(100, 400).Draw(t, "maximum"),
		}
		l.Running = rapid.IntRange(1, l.Desired+10).Draw(t, "running")
		l.Here = rapid.IntRange(1, l.Running).Draw(t, "here")
		if fault := judge(l); fault != "" {
			t.Fatalf("%+v: %s", l, fault)
		}
	})
}

func TestLoadOf(t *testing.T) {
	config := func(low, high *int32) *types.DeploymentConfiguration {
		return &types.DeploymentConfiguration{MinimumHealthyPercent: low, MaximumPercent: high}
	}
	controller := func(kind types.DeploymentControllerType) *types.DeploymentController {
		return &types.DeploymentController{Type: kind}
	}
	tests := []struct {
		name      string
		service   types.Service
		low, high int
	}{
		{"no configuration", types.Service{}, 100, 200},
		{"an empty one", types.Service{DeploymentConfiguration: config(nil, nil)}, 100, 200},
		{"half of one", types.Service{DeploymentConfiguration: config(aws.Int32(0), nil)}, 0, 200},
		{"the other half", types.Service{DeploymentConfiguration: config(nil, aws.Int32(150))}, 100, 150},
		{"ECS's own controller", types.Service{DeploymentConfiguration: config(aws.Int32(50), aws.Int32(100)), DeploymentController: controller(types.DeploymentControllerTypeEcs)}, 50, 100},
		{"CodeDeploy", types.Service{DeploymentConfiguration: config(aws.Int32(50), aws.Int32(100)), DeploymentController: controller(types.DeploymentControllerTypeCodeDeploy)}, 100, 200},
		{"external", types.Service{DeploymentConfiguration: config(aws.Int32(50), aws.Int32(100)), DeploymentController: controller(types.DeploymentControllerTypeExternal)}, 100, 200},
	}
	for _, tt := range tests {
		tt.service.DesiredCount, tt.service.RunningCount = 5, 4
		want := load{Desired: 5, Running: 4, Here: 2, Minimum: tt.low, Maximum: tt.high}
		if got := loadOf(tt.service, 2); got != want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, want)
		}
	}
}

func TestStuckNamesTheNumbers(t *testing.T) {
	got := stuck("web", load{Desired: 3, Running: 3, Here: 1, Minimum: 90, Maximum: 125})
	const want = "service web: desired 3, running 3, minimum 90 %, maximum 125 %: at least 3 must run and at most 3 may exist, so none of its 1 task here can leave"
	if got != want {
		t.Errorf("got %q", got)
	}
}

func TestServiceOf(t *testing.T) {
	tests := []struct{ group, startedBy, want string }{
		{"service:web", "ecs-svc/123", "web"},
		{"service:web", "me", ""},
		{"service:web", "", ""},
		{"family:web", "ecs-svc/123", ""},
		{"", "", ""},
	}
	for _, tt := range tests {
		task := types.Task{Group: &tt.group, StartedBy: &tt.startedBy}
		if got := serviceOf(task); got != tt.want {
			t.Errorf("%+v: got %q", tt, got)
		}
	}
	if got := serviceOf(types.Task{}); got != "" {
		t.Errorf("a task without marks: got %q", got)
	}
}

func TestInstanceARN(t *testing.T) {
	const prefix = "arn:aws-cn:ecs:cn-north-1:111122223333:"
	tests := []struct{ arn, cluster, fault string }{
		{prefix + "container-instance/demo/abc", "demo", ""},
		{prefix + "container-instance/abc", "", ""},
		{"", "", "no ARN of ECS"},
		{"i-1", "", "no ARN of ECS"},
		{"arn:aws:ec2:eu-west-1:111122223333:container-instance/abc", "", "no ARN of ECS"},
		{"arn:aws:ecs::111122223333:container-instance/abc", "", "no ARN of ECS"},
		{prefix + "task/demo/abc", "", "no ARN of a container instance"},
		{prefix + "container-instance", "", "no ARN of a container instance"},
		{prefix + "container-instance/", "", "no ARN of a container instance"},
		{prefix + "container-instance/a/b/c", "", "no ARN of a container instance"},
	}
	for _, tt := range tests {
		got, err := parseInstanceARN(tt.arn)
		switch {
		case tt.fault != "":
			if err == nil || !strings.Contains(err.Error(), tt.fault) {
				t.Errorf("%q: got %v, want %q", tt.arn, err, tt.fault)
			}
		case err != nil || got != instanceARN{prefix, tt.cluster}:
			t.Errorf("%q: got %+v, %v", tt.arn, got, err)
		}
	}
}
