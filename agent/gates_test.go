package agent

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drydock-ecs/drydock/coordination"
)

// gateWorld answers the gates. Every call is counted.
type gateWorld struct {
	leaving     string
	leavingErr  error
	self        Self
	selfErr     error
	instance    Instance
	lookErr     error
	inventory   Inventory
	classifyErr error
	calls       map[string]int
}

func newGateWorld() *gateWorld {
	return &gateWorld{
		self: Self{Cluster: "arn:fleet", ARN: "arn:x/mine"}, instance: Instance{Status: "ACTIVE", Connected: true}, calls: map[string]int{},
	}
}

func (w *gateWorld) Identity(context.Context) (Identity, error) { return Identity{}, nil }
func (w *gateWorld) Boot() (Boot, error)                        { return Boot{ID: bootNow}, nil }
func (w *gateWorld) Claim(string) error                         { return nil }
func (w *gateWorld) Leaving(context.Context) (string, error)    { return w.leaving, w.leavingErr }
func (w *gateWorld) Self(context.Context) (Self, error)         { return w.self, w.selfErr }

func (w *gateWorld) Look(_ context.Context, self Self) (Instance, error) {
	w.calls["look at "+self.ARN]++
	return w.instance, w.lookErr
}

func (w *gateWorld) Classify(_ context.Context, self Self) (Inventory, error) {
	w.calls["classify on "+self.ARN]++
	return w.inventory, w.classifyErr
}

// A gate changes nothing and asks for nothing else.
func (w *gateWorld) Drain(context.Context, Self) error                { panic("a gate drains") }
func (w *gateWorld) Activate(context.Context, Self) (Instance, error) { panic("a gate activates") }
func (w *gateWorld) Local(context.Context) ([]Task, error)            { panic("a gate lists tasks") }
func (w *gateWorld) Remaining(context.Context, Self) ([]Task, error)  { panic("a gate lists tasks") }
func (w *gateWorld) Stop(context.Context, Self, Task) error           { panic("a gate stops a task") }

// gateAgent is an idle agent that runs 1.0, in a fleet without trouble.
func gateAgent(w *gateWorld) *Agent {
	a := New(DefaultConfig(), "test", Ports{Node: w, Tasks: w, Surroundings: w})
	a.policy, a.running, a.boot, a.self = DefaultPolicy(), "1.0.0", bootNow, w.self
	a.fleetKey = [2]string{"drydock", "arn:fleet"}
	return a
}

func mustPolicy(t *testing.T, text string) Policy {
	t.Helper()
	p, err := ParsePolicy(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func checkReason(t *testing.T, got, want string) {
	t.Helper()
	if want == "" && got != "" || want != "" && !strings.Contains(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if strings.Contains(got, "\n") {
		t.Errorf("%q is more than one line", got)
	}
}

// TestReleaseGates asks whether a release may be begun at all.
func TestReleaseGates(t *testing.T) {
	tests := []struct {
		name    string
		release string
		setup   func(*Agent, *coordination.Record)
		want    string
	}{
		{"nothing in the way", "2.0.0", func(*Agent, *coordination.Record) {}, ""},
		{"a policy that cannot be read", "2.0.0", func(_ *Agent, r *coordination.Record) { r.Policy = "slots = 0\nmax_failures = \"x\"" }, "the fleet's policy cannot be read"},
		{"refused", "2.0.0", func(_ *Agent, r *coordination.Record) {
			r.Refused = []coordination.Refusal{{Release: "1.9.0", Host: "i-y"}, {Release: "2.0.0", Host: "i-z"}}
		}, "the fleet refuses 2.0.0: it fell back on i-z"},
		{"another is refused", "2.0.0", func(_ *Agent, r *coordination.Record) { r.Refused = []coordination.Refusal{{Release: "2.0.1"}} }, ""},
		{"a downgrade", "0.9.9", func(*Agent, *coordination.Record) {}, "0.9.9 is older than 1.0.0"},
		{"a downgrade by number, not by letter", "1.10.0", func(a *Agent, _ *coordination.Record) { a.running = "1.9.0" }, ""},
		{"the same version again", "1.0.0", func(*Agent, *coordination.Record) {}, ""},
		{"a downgrade that is allowed", "0.9.9", func(a *Agent, _ *coordination.Record) { a.policy.AllowDowngrade = true }, ""},
		{"backing off", "2.0.0", func(a *Agent, _ *coordination.Record) {
			a.intent.Memory = Memory{}.record("2.0.0", time.Now()).record("2.0.0", time.Now())
		}, "backing off until 2000-01-01 01:00Z after 2 attempts at 2.0.0"},
		{"backing off from another release", "2.0.0", func(a *Agent, _ *coordination.Record) { a.intent.Memory = Memory{}.record("2.0.1", time.Now()) }, ""},
		{"the back-off is over", "2.0.0", func(a *Agent, _ *coordination.Record) {
			a.intent.Memory = Memory{}.record("2.0.0", time.Now().Add(-30*time.Minute))
		}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, r := gateAgent(newGateWorld()), coordination.NewRecord("first", "")
				test.setup(a, &r)
				checkReason(t, a.mayStage(r, test.release), test.want)
				// What keeps a release from being staged keeps it from being started.
				checkReason(t, firstRed(t, a, r, test.release), test.want)
			})
		})
	}
}

// TestStartGates asks whether the host may go out of service now. What cannot
// be known is a no, and its cause goes to the log.
func TestStartGates(t *testing.T) {
	odd := errors.New("odd")
	tests := []struct {
		name  string
		setup func(*gateWorld, *Agent, *coordination.Record)
		want  string
		err   error
	}{
		{"nothing in the way", func(*gateWorld, *Agent, *coordination.Record) {}, "", nil},
		{"an operator halted", func(_ *gateWorld, _ *Agent, r *coordination.Record) {
			r.Halt = &coordination.Halt{Who: "ann", Reason: "lunch"}
		}, "the fleet is halted: halted by ann: lunch", nil},
		{"failures at the limit", func(_ *gateWorld, _ *Agent, r *coordination.Record) {
			r.Failures = []coordination.Failure{{Host: "i-x", Generation: 1, Cause: "sick", Release: "2.0.0"}}
		}, "the fleet is halted: 1 of 1 failures", nil},
		{"failures below the limit", func(_ *gateWorld, _ *Agent, r *coordination.Record) {
			r.Policy = "max_failures = 2"
			r.Failures = []coordination.Failure{{Host: "i-x", Generation: 1, Cause: "sick", Release: "2.0.0"}}
		}, "", nil},
		{"outside the window", func(_ *gateWorld, a *Agent, _ *coordination.Record) {
			a.policy = mustPolicy(t, "[[window]]\nstart = \"22:00\"\nlength = \"2h\"")
		}, "outside the maintenance window: next window Sat 22:00-00:00 UTC", nil},
		{"inside the window", func(_ *gateWorld, a *Agent, _ *coordination.Record) {
			a.policy = mustPolicy(t, "[[window]]\nstart = \"23:30\"\nlength = \"2h\"")
		}, "", nil},
		{"too late in the window for a drain", func(_ *gateWorld, a *Agent, _ *coordination.Record) {
			a.policy = mustPolicy(t, "[[window]]\nstart = \"23:30\"\nlength = \"54m\"")
		}, "outside the maintenance window", nil},
		{"early enough for the average", func(_ *gateWorld, a *Agent, r *coordination.Record) {
			a.policy = mustPolicy(t, "[[window]]\nstart = \"23:30\"\nlength = \"54m\"")
			r.AverageHold = 24 * 60
		}, "", nil},
		{"too late for the average", func(_ *gateWorld, a *Agent, r *coordination.Record) {
			a.policy = mustPolicy(t, "[[window]]\nstart = \"23:30\"\nlength = \"1h\"")
			r.AverageHold = 31 * 60
		}, "outside the maintenance window", nil},
		{"the instance is leaving", func(w *gateWorld, _ *Agent, _ *coordination.Record) { w.leaving = "spot interruption" }, "the instance is leaving: spot interruption", nil},
		{"whether it is leaving is not known", func(w *gateWorld, _ *Agent, _ *coordination.Record) { w.leavingErr = odd }, "is not known", odd},
		{"the ECS agent does not answer", func(w *gateWorld, _ *Agent, _ *coordination.Record) { w.selfErr = odd }, "the local ECS agent does not answer", odd},
		{"the ECS agent is in another cluster", func(w *gateWorld, _ *Agent, _ *coordination.Record) { w.self.Cluster = "arn:other" }, "is in arn:other and the lock is of arn:fleet", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // a bubble begins at Sat 2000-01-01 00:00 UTC
				w, r := newGateWorld(), coordination.NewRecord("first", "")
				a := gateAgent(w)
				test.setup(w, a, &r)
				checkReason(t, firstRed(t, a, r, "2.0.0"), test.want)
				if !errors.Is(a.err, test.err) {
					t.Errorf("the log gets %v, want %v", a.err, test.err)
				}
				if len(w.calls) > 0 {
					t.Errorf("calls of ECS: %v", w.calls)
				}
			})
		})
	}
}

// TestGateWindowIsCalm: while nothing changes the reason does not either, so
// that it is logged once.
func TestGateWindowIsCalm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, r := gateAgent(newGateWorld()), coordination.NewRecord("first", "")
		a.policy = mustPolicy(t, "[[window]]\nstart = \"22:00\"\nlength = \"2h\"")
		a.intent.Memory = Memory{}.record("2.0.0", time.Now())
		window, backOff := a.gateWindow(t.Context(), r), a.gateBackOff(r, "2.0.0")
		for range 5 {
			time.Sleep(3 * time.Minute)
			if got := a.gateWindow(t.Context(), r); got != window {
				t.Errorf("%q became %q", window, got)
			}
			if got := a.gateBackOff(r, "2.0.0"); got != backOff {
				t.Errorf("%q became %q", backOff, got)
			}
		}
	})
}

// TestGateDrain asks ECS whether this host is ours to drain and whether the
// drain can end.
func TestGateDrain(t *testing.T) {
	odd := errors.New("odd")
	alone := Task{ARN: "arn:x/t1", Kind: Standalone, Family: "batch:3"}
	until := func(d time.Duration) Task {
		return Task{ARN: "arn:x/t2", Kind: Replica, Service: "web", Protected: time.Now().Add(d)}
	}
	tests := []struct {
		name  string
		setup func(*gateWorld, *Agent)
		want  string
		err   error
	}{
		{"empty", func(*gateWorld, *Agent) {}, "", nil},
		{"tasks of services", func(w *gateWorld, _ *Agent) {
			w.inventory.Tasks = []Task{{ARN: "t3", Kind: Replica, Service: "web"}, {ARN: "t4", Kind: Daemon, Service: "logs"}}
		}, "", nil},
		{"drained by someone else", func(w *gateWorld, _ *Agent) { w.instance.Status = "DRAINING" }, "DRAINING, and not by us", nil},
		{"unknown to ECS", func(w *gateWorld, _ *Agent) { w.instance = Instance{} }, "ECS does not know the container instance", nil},
		{"inactive", func(w *gateWorld, _ *Agent) { w.instance.Status = "INACTIVE" }, "the container instance is INACTIVE", nil},
		{"not connected", func(w *gateWorld, _ *Agent) { w.instance.Connected = false }, "not connected", nil},
		{"ECS does not answer", func(w *gateWorld, _ *Agent) { w.lookErr = odd }, "is not known", odd},
		{"the tasks cannot be classified", func(w *gateWorld, _ *Agent) { w.classifyErr = odd }, "is not known", odd},
		{"a service that can never move", func(w *gateWorld, _ *Agent) { w.inventory.Stuck = []string{"web: 2 of 2", "api: 1 of 1"} },
			"the drain could never end: web: 2 of 2; api: 1 of 1", nil},
		{"a protected task", func(w *gateWorld, _ *Agent) { w.inventory.Tasks = []Task{until(2 * time.Hour)} }, "task t2 of service web is protected until 2000-01-01 02:00Z", nil},
		{"a protection that is over", func(w *gateWorld, _ *Agent) { w.inventory.Tasks = []Task{until(-time.Second)} }, "", nil},
		{"a standalone task", func(w *gateWorld, _ *Agent) { w.inventory.Tasks = []Task{alone} }, "standalone task t1 (batch:3) runs here, and drain.standalone_tasks is defer", nil},
		{"a standalone task to wait for", func(w *gateWorld, a *Agent) {
			w.inventory.Tasks, a.config.Drain.StandaloneTasks = []Task{alone}, StandaloneWait
		}, "", nil},
		{"a standalone task to stop", func(w *gateWorld, a *Agent) {
			w.inventory.Tasks, a.config.Drain.StandaloneTasks = []Task{alone}, StandaloneStop
		}, "", nil},
		{"a standalone task to stop, and it is protected", func(w *gateWorld, a *Agent) {
			protected := alone
			protected.Protected = time.Now().Add(time.Hour)
			w.inventory.Tasks, a.config.Drain.StandaloneTasks = []Task{protected}, StandaloneStop
		}, "is protected until", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newGateWorld()
				a := gateAgent(w)
				test.setup(w, a)
				checkReason(t, a.gateDrain(t.Context()), test.want)
				if !errors.Is(a.err, test.err) {
					t.Errorf("the log gets %v, want %v", a.err, test.err)
				}
				if n := w.calls["classify on arn:x/mine"]; n > 1 || w.calls["look at arn:x/mine"] != 1 {
					t.Errorf("calls of ECS: %v", w.calls)
				}
			})
		})
	}
}

// TestGateDrainIsCheap: an answer holds for five minutes, good or bad; no
// answer holds not at all.
func TestGateDrainIsCheap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newGateWorld()
		a := gateAgent(w)
		ask := func(wantCalls int, want string) {
			t.Helper()
			checkReason(t, a.gateDrain(t.Context()), want)
			if n := w.calls["look at arn:x/mine"]; n != wantCalls {
				t.Errorf("%d looks so far, want %d", n, wantCalls)
			}
		}
		w.lookErr = errors.New("odd")
		ask(1, "is not known")
		ask(2, "is not known")
		w.lookErr = nil
		ask(3, "")
		w.instance.Status = "DRAINING"
		time.Sleep(gateFreshness - 1)
		ask(3, "")
		time.Sleep(time.Nanosecond)
		ask(4, "DRAINING")
		w.instance.Status = "ACTIVE"
		time.Sleep(gateFreshness - 1)
		ask(4, "DRAINING")
		time.Sleep(time.Nanosecond)
		ask(5, "")
	})
}

// TestGateOrder: what costs nothing is asked first, and the first no is the
// reason that the fleet sees.
func TestGateOrder(t *testing.T) {
	var names []string
	for _, g := range releaseGates {
		names = append(names, g.name)
	}
	for _, g := range startGates {
		names = append(names, g.name)
	}
	want := []string{"policy", "refused", "downgrade", "back-off", "halt", "window", "leaving", "registered"}
	if !slices.Equal(names, want) {
		t.Errorf("gates are %v, want %v", names, want)
	}
	synctest.Test(t, func(t *testing.T) {
		w, r := newGateWorld(), coordination.NewRecord("first", "")
		a := gateAgent(w)
		a.policy = mustPolicy(t, "[[window]]\nstart = \"22:00\"\nlength = \"2h\"")
		r.Halt, w.leaving, w.selfErr = &coordination.Halt{Who: "ann"}, "soon", errors.New("odd")
		steps := []struct {
			want string
			fix  func()
		}{
			{"halted", func() { r.Halt = nil }},
			{"window", func() { a.policy = DefaultPolicy() }},
			{"leaving", func() { w.leaving = "" }},
			{"does not answer", func() { w.selfErr = nil }},
			{"", func() {}},
		}
		for _, s := range steps {
			checkReason(t, firstRed(t, a, r, "2.0.0"), s.want)
			s.fix()
		}
	})
}

func TestShortARN(t *testing.T) {
	for arn, want := range map[string]string{"arn:aws:ecs:x:1:task/c/abc": "abc", "abc": "abc", "": "", "a/": ""} {
		if got := shortARN(arn); got != want {
			t.Errorf("%q is %q for short, want %q", arn, got, want)
		}
	}
}

// firstRed is the reason of the first gate that is red.
func firstRed(t *testing.T, a *Agent, r coordination.Record, release string) string {
	t.Helper()
	reason, _ := a.mayStart(t.Context(), r, release)
	return reason
}
