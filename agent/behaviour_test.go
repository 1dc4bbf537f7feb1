package agent_test

import (
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/apiclientx/apitest"
	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/coordination/coordtest"
	"github.com/drydock-ecs/drydock/internal/ecstest"
)

// story is one transcript.
type story struct {
	name    string // of the file
	title   string
	options options
	act     func(w *world)
}

// TestTranscripts holds what an operator would see of an update, story by
// story, to testdata/transcripts. To rewrite them, and then read what changed:
// go test ./agent -run ^TestTranscripts$ -update.
func TestTranscripts(t *testing.T) {
	told := make(map[string]bool)
	for _, s := range stories() {
		if told[s.name] {
			t.Fatalf("two stories are called %s", s.name)
		}
		told[s.name] = true
		t.Run(s.name, func(t *testing.T) {
			var got string
			inWorld(t, s.options, func(w *world) {
				s.act(w)
				got = "# " + s.title + "\n\n" + w.transcript()
			})
			golden(t, filepath.Join("testdata", "transcripts", s.name+".txt"), got)
		})
	}
	files, err := filepath.Glob(filepath.Join("testdata", "transcripts", "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !told[strings.TrimSuffix(filepath.Base(file), ".txt")] {
			t.Errorf("%s is of no story", file)
		}
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := string(data)
	if want == got {
		return
	}
	have := strings.Split(got, "\n")
	for i, line := range strings.Split(want, "\n") {
		if i >= len(have) || have[i] != line {
			t.Errorf("%s: line %d must be\n\t%s\nthe whole transcript is\n%s", file, i+1, line, got)
			return
		}
	}
	t.Errorf("%s: %d lines are too many:\n%s", file, len(have)-strings.Count(want, "\n")-1, got)
}

func stories() []story {
	return []story{
		{"updated", "A good day: the release is staged, the host drained, rebooted, looked at and put back.", options{}, goodDay},
		{"falls_back", "The release does not boot: the boot loader takes the old one, and the fleet refuses the release.",
			options{release: apitest.Release{Version: newRelease, Fate: apitest.FallsBack}}, fallsBack},
		{"sick_then_healthy", "The ECS agent does not come back after the boot; half an hour later it does.", options{}, sickThenHealthy},
		{"sick_then_restored", "The host is impaired after the boot, and an operator wants it back as it is.", options{}, sickThenRestored},
		{"grant_unanswered", "The answer to the grant is lost: the next look settles it.", options{}, grantUnanswered},
		{"grant_late", "The grant lands half a minute late, when the host has given up on it: the slot goes back.", options{}, grantLate},
		{"active_while_draining", "An operator sets the instance ACTIVE while it drains.", options{services: slowToLeave(2 * time.Hour)}, activeWhileDraining},
		{"drain_aborts", "A task does not leave, and the policy says to turn back.", options{services: slowToLeave(2 * time.Hour)}, drainAborts},
		{"drain_forces", "A task does not leave, and the policy says to go on.",
			options{services: slowToLeave(2 * time.Hour), policy: "drain.on_timeout = \"force\""}, goodDay},
		{"standalone_defers", "A standalone task runs here: the host waits for its end without a slot.",
			options{prepare: job(2 * time.Hour)}, goodDay},
		{"standalone_waits", "A standalone task runs here: the host waits for its end with a slot.",
			options{prepare: job(70 * time.Minute), policy: "drain.standalone_tasks = \"wait\"\ndrain.timeout = \"2h\""}, goodDay},
		{"standalone_stopped", "A standalone task runs here, and the policy says to stop it.",
			options{prepare: job(0), policy: "drain.standalone_tasks = \"stop\""}, goodDay},
		{"standalone_slips_in", "A standalone task is placed between the prediction and the drain.", options{}, standaloneSlipsIn},
		{"protected", "A task is protected from being scaled in: the host waits for the end of that.", options{prepare: protect(2 * time.Hour)}, goodDay},
		{"never_drains", "A service may neither start a task beyond its number nor miss one, until someone gives it room.",
			options{services: []ecstest.Service{{Name: "web", Desired: 1, Limits: &ecstest.Limits{Minimum: 50, Maximum: 100}}}}, neverDrains},
		{"late_and_gone", "Another host is late, is marked stuck, and its instance is gone: its slot is freed, and once an operator has looked, the host goes.",
			options{prepare: slotOf(coordination.Rebooting, 20*time.Minute)}, lateAndGone},
		{"late_and_back", "Another host is late, is marked stuck, and comes back good: it withdraws its failure, and the host goes.",
			options{prepare: slotOf(coordination.Rebooting, 20*time.Minute)}, lateAndBack},
		{"withdrawn", "The release is withdrawn while the host waits for a slot.", options{prepare: slotTaken}, withdrawn},
		{"newer_release", "A newer release appears while the host waits for a slot.", options{prepare: slotTaken}, newerRelease},
		{"elsewhere", "The boot brings up a version that is neither the one before nor the release.",
			options{release: apitest.Release{Version: newRelease, Fate: apitest.BootsElsewhere, Elsewhere: "1.50.9"}}, elsewhere},
		{"reboot_refused", "Something on the host blocks reboots until the deadline.", options{}, rebootRefused},
		{"killed_in_each_phase", "The agent is killed once in each phase.", options{}, killedInEachPhase},
		{"killed_around_the_reboot", "The agent is killed when it has armed the intent, before it asks for the reboot.", options{}, killedAroundTheReboot},
		{"drain_unanswered", "The call to drain gets no answer and lands half a minute later.", options{}, drainUnanswered},
		{"reset_while_draining", "The machine is reset while it drains.", options{services: slowToLeave(10 * time.Minute)}, resetWhileDraining},
		{"reset_before_activation", "The machine is reset right before the release is activated: that proves nothing of the release.", options{}, resetBeforeActivation},
		{"halted_while_draining", "An operator halts the fleet while the host drains, and lifts the halt.", options{services: slowToLeave(10 * time.Minute)}, haltedWhileDraining},
	}
}

func goodDay(w *world) {
	w.start()
	w.untilUpdated()
}

func fallsBack(w *world) {
	w.start()
	w.until("refused", 2*time.Hour, func() bool { return w.record().Refuses(newRelease) })
	w.untilPhase(agent.Idle, time.Minute)
	w.pass(time.Minute)
}

// afterReboot acts when the requested reboot has taken the host down.
func afterReboot(w *world, do func()) {
	w.once("api:reboot", func(*process) error {
		time.AfterFunc(10*time.Second, do)
		return nil
	})
}

func sickThenHealthy(w *world) {
	afterReboot(w, func() { w.cluster.AgentDown(mine) })
	w.start()
	w.untilPhase(agent.Sick, 2*time.Hour)
	w.pass(30 * time.Minute)
	// Between two looks, so that none of them sees it half back.
	w.once("record:read", func(*process) error {
		time.AfterFunc(20*time.Second, func() {
			w.say("host", "its ECS agent starts")
			w.cluster.AgentUp(mine)
		})
		return nil
	})
	w.untilUpdated()
}

func sickThenRestored(w *world) {
	afterReboot(w, func() { w.cluster.Impair(mine, types.InstanceHealthCheckTypeContainerRuntime, "docker is slow") })
	w.start()
	w.untilPhase(agent.Sick, 2*time.Hour)
	w.pass(30 * time.Minute)
	w.operate("restores the host", func(r *coordination.Record) { r.Holders[0].Restore = true })
	w.until("at rest", time.Hour, w.atRest)
	w.pass(time.Minute)
}

// faultOnce gives the host's next call of the store a fault.
func faultOnce(w *world, op string, fault coordtest.Fault) {
	var done atomic.Bool
	w.memory.Faults(func(got, caller string) coordtest.Fault {
		if got != op || caller != mine || done.Swap(true) {
			return coordtest.Fault{}
		}
		return fault
	})
}

func grantUnanswered(w *world) {
	faultOnce(w, coordtest.Replace, coordtest.Fault{Err: coordination.ErrUnknown})
	w.start()
	w.untilUpdated()
}

// grantLate: the write is on its way for half a minute; meanwhile the table is
// away, so that the host cannot ask again.
func grantLate(w *world) {
	faultOnce(w, coordtest.Replace, coordtest.Fault{Late: 30 * time.Second})
	w.once("record:granted", func(*process) error {
		time.AfterFunc(time.Microsecond, func() { w.cutTable(true) }) // before it is tried again
		time.AfterFunc(5*time.Minute, func() { w.cutTable(false) })
		return nil
	})
	w.start()
	w.untilUpdated()
}

// slowToLeave is a service whose tasks take long to stop.
func slowToLeave(stopping time.Duration) []ecstest.Service {
	return []ecstest.Service{{Name: "web", Desired: 2, Limits: &ecstest.Limits{Minimum: 50, Maximum: 200},
		Life: &ecstest.Life{Pending: 5 * time.Second, Healthy: 20 * time.Second, Stopping: stopping}}}
}

func activeWhileDraining(w *world) {
	w.start()
	w.untilPhase(agent.Draining, time.Hour)
	w.pass(5*time.Minute + 30*time.Second)
	w.cluster.SetStatus(mine, "ACTIVE", operator)
	began := time.Now()
	w.until("at rest", time.Hour, w.atRest)
	if took := time.Since(began); took > 5*time.Minute {
		w.Errorf("it took the host %s to see that an operator set it ACTIVE", took)
	}
	w.pass(time.Minute)
}

func drainAborts(w *world) {
	w.start()
	w.untilPhase(agent.Draining, time.Hour)
	w.until("at rest", time.Hour, w.atRest)
	w.pass(time.Minute)
}

func job(length time.Duration) func(w *world) {
	return func(w *world) {
		if _, err := w.cluster.Run(mine, ecstest.Standalone{Family: "backup:3", Length: length}); err != nil {
			w.Fatal(err)
		}
	}
}

func standaloneSlipsIn(w *world) {
	w.once("record:granted", func(*process) error {
		job(20 * time.Minute)(w)
		delay(2 * time.Second)
		return nil
	})
	w.start()
	w.untilUpdated()
}

func protect(d time.Duration) func(w *world) {
	return func(w *world) {
		for _, task := range w.cluster.Tasks() {
			if task.Host == mine && task.Service == "web" {
				w.cluster.Protect(task.ARN, d)
			}
		}
	}
}

func neverDrains(w *world) {
	w.start()
	w.untilPhase(agent.Waiting, time.Hour)
	w.pass(time.Hour)
	// Between two looks, so that none of them sees the second task on its way.
	w.once("ecs:classify", func(*process) error {
		time.AfterFunc(time.Minute, func() {
			w.say(operator[:4], "wants one task more of web")
			w.cluster.SetDesired("web", 2)
		})
		return nil
	})
	w.untilUpdated()
}

// slotTaken: another host has the slot, for longer than any story lasts.
func slotTaken(w *world) { slotOf(coordination.Draining, 24*time.Hour)(w) }

// slotOf: another host has the slot, in this phase and for as long as it says.
func slotOf(phase coordination.Phase, announced time.Duration) func(*world) {
	return func(w *world) {
		w.operate("", func(r *coordination.Record) {
			r.Generation = 7
			r.Holders = []coordination.Holder{{Host: other, Generation: 7, Phase: phase, From: oldRelease, Target: newRelease, Boot: "boot-x", ARN: "arn:x", Announced: announced.Seconds()}}
		})
	}
}

func lateAndGone(w *world) {
	w.ec2Says(map[string]string{mine: "running", other: "terminated"})
	w.start()
	w.until("freed", 3*time.Hour, func() bool { return len(w.record().Holders) == 0 })
	w.rule("looks, and resumes", coordination.Lift(nil, w.record().Failures))
	w.untilUpdated()
}

func lateAndBack(w *world) {
	w.start()
	w.until("marked", 3*time.Hour, func() bool { return w.record().Holders[0].Stuck })
	w.pass(time.Hour)
	w.rule("sees i-2 come back", coordination.Return(other, 7, coordination.Report{}, time.Now()))
	w.untilUpdated()
}

// rule lets someone else apply a rule of the record.
func (w *world) rule(what string, rule coordination.Rule) {
	w.Helper()
	w.operate(what, func(r *coordination.Record) {
		next, err := rule.Change(*r)
		if err != nil {
			w.Fatalf("%s: %v", what, err)
		}
		*r = next
	})
}

func withdrawn(w *world) {
	w.start()
	w.untilPhase(agent.Waiting, time.Hour)
	w.pass(time.Minute)
	w.say("repo", "withdraws 1.51.0")
	w.api.Offer()
	w.untilPhase(agent.Idle, 2*time.Hour)
	w.pass(time.Hour)
}

func newerRelease(w *world) {
	w.start()
	w.untilPhase(agent.Waiting, time.Hour)
	w.pass(time.Minute)
	w.say("repo", "offers 1.52.0")
	w.api.Offer(apitest.Release{Version: newRelease}, apitest.Release{Version: "1.52.0"})
	w.untilPhase(agent.Idle, 2*time.Hour)
	w.untilPhase(agent.Waiting, time.Hour)
	w.operate("frees the slot of i-2", func(r *coordination.Record) { r.Holders = nil })
	w.until("updated", time.Hour, func() bool { return w.api.Running() == "1.52.0" && w.atRest() })
	w.pass(time.Second)
}

func elsewhere(w *world) {
	w.start()
	w.until("updated", 2*time.Hour, func() bool { return w.api.Running() == "1.50.9" && w.atRest() })
	w.pass(time.Second)
}

func rebootRefused(w *world) {
	w.api.Inhibit(apitest.Inhibitor{Block: "a backup is running"})
	w.start()
	w.untilPhase(agent.Rebooting, time.Hour)
	w.until("at rest", time.Hour, w.atRest)
	w.pass(time.Minute)
}

// kill is SIGKILL in the moment of an act, before it.
func kill(p *process) error {
	p.say("agent", "is killed")
	p.die()
	return errDead
}

func killedInEachPhase(w *world) {
	for _, phase := range []agent.Phase{agent.Idle, agent.Staging, agent.Waiting, agent.Draining, agent.Rebooting, agent.Verifying, agent.Restoring} {
		w.once("status:"+phase.String(), kill)
	}
	w.start()
	w.untilUpdated()
}

func killedAroundTheReboot(w *world) {
	w.once("api:reboot", kill)
	w.start()
	w.untilUpdated()
}

func drainUnanswered(w *world) {
	w.cluster.SetFault(func(c ecstest.Call) ecstest.Fault {
		if c.Op == "UpdateContainerInstancesState" && c.N == 1 {
			return ecstest.Fault{ApplyAfter: 30 * time.Second}
		}
		return ecstest.Fault{}
	})
	w.start()
	w.untilUpdated()
}

func resetWhileDraining(w *world) {
	w.start()
	w.untilPhase(agent.Draining, time.Hour)
	w.pass(time.Minute)
	w.say("host", "is reset")
	w.reset()
	w.until("at rest", 10*time.Minute, w.atRest)
	w.pass(time.Minute)
}

func resetBeforeActivation(w *world) {
	w.once("api:activate", func(*process) error {
		w.say("host", "is reset")
		w.reset()
		return errDead
	})
	w.start()
	w.until("counted", 2*time.Hour, func() bool { return len(w.record().Failures) > 0 && w.atRest() })
	w.pass(time.Minute)
}

func haltedWhileDraining(w *world) {
	w.start()
	w.untilPhase(agent.Draining, time.Hour)
	w.pass(time.Minute)
	w.operate("halts the fleet", func(r *coordination.Record) {
		r.Halt = &coordination.Halt{Who: operator, At: time.Now(), Reason: "to look"}
	})
	w.until("at rest", time.Hour, func() bool { return w.phase() != "draining" && w.cluster.Status(mine) == "ACTIVE" })
	w.pass(time.Hour)
	w.operate("resumes", func(r *coordination.Record) { r.Halt = nil })
	w.untilUpdated()
}

// TestBudgets counts what an update costs when nothing is wrong.
func TestBudgets(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		w.start()
		w.untilPhase(agent.Staging, time.Hour)
		w.cluster.ResetCalls()
		w.untilUpdated()
		w.pass(time.Minute)
		if n := w.calls(); n > 12 {
			t.Errorf("%d calls of ECS: %+v", n, w.cluster.Calls())
		}
		if n := w.writes(); n > 6 {
			t.Errorf("%d writes of the lock record", n)
		}
		if n := len(w.logged(slog.LevelInfo)); n > 11 {
			t.Errorf("%d lines in the log", n)
		}
		if lines := w.logged(slog.LevelWarn); len(lines) > 0 {
			t.Errorf("a good update has warnings: %+v", lines)
		}
		t.Logf("an update: %d calls of ECS %+v, %d writes and %d reads of the record, %d rows, %d lines", w.calls(), w.cluster.Calls(), w.writes(),
			w.memory.Calls(mine, coordtest.Fetch), w.memory.Calls(mine, coordtest.PutHost), len(w.logged(slog.LevelInfo)))
	})
}

// TestIdleDay counts what a day without a release costs: the first one, with
// the start in it, and one after that.
func TestIdleDay(t *testing.T) {
	for _, first := range []bool{true, false} {
		inWorld(t, options{release: apitest.Release{Version: oldRelease}}, func(w *world) {
			w.start()
			if !first {
				w.pass(36 * time.Hour)
			}
			reads, rows, lines := w.memory.Calls(mine, coordtest.Fetch), w.memory.Calls(mine, coordtest.PutHost), len(w.logged(slog.LevelInfo))
			w.pass(24 * time.Hour)
			reads, rows = w.memory.Calls(mine, coordtest.Fetch)-reads, w.memory.Calls(mine, coordtest.PutHost)-rows
			if n := w.calls(); n > 0 {
				t.Errorf("%d calls of ECS", n)
			}
			if n := w.writes(); n > 0 {
				t.Errorf("%d writes of the lock record", n)
			}
			if rows > 2 {
				t.Errorf("%d writes of the host's row", rows)
			}
			if reads > 28 {
				t.Errorf("%d reads of the lock record", reads)
			}
			if n := len(w.logged(slog.LevelInfo)) - lines; n > 0 {
				t.Errorf("%d lines in the log", n)
			}
			w.wantReason("no newer release is offered")
		})
	}
}

// TestRowsGiveReasons looks at the host's row all through the stories: whenever
// the host is not updating, it says why.
func TestRowsGiveReasons(t *testing.T) {
	for _, s := range stories() {
		if s.name == "grant_late" {
			continue // its table is away, with the row in it
		}
		t.Run(s.name, func(t *testing.T) {
			inWorld(t, s.options, func(w *world) {
				var silent sync.Map
				w.on("row", func(p *process) error {
					time.AfterFunc(10*time.Second, func() {
						row := w.row()
						rests := row.Phase == "idle" || row.Phase == "waiting" || row.Phase == "sick"
						if rests && row.Reason == "" && time.Since(row.Written) >= 10*time.Second && !p.dead.Load() {
							silent.Store(row.Phase, true)
						}
					})
					return nil
				})
				s.act(w)
				silent.Range(func(phase, _ any) bool {
					t.Errorf("the row of a host in phase %s does not say why it does not update", phase)
					return true
				})
			})
		})
	}
}

// TestRowThatWasLost: a row that could not be written is written later.
func TestRowThatWasLost(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		heal := w.fail(errRefused, "row")
		w.start()
		w.untilUpdated()
		w.pass(time.Minute)
		heal()
		w.pass(2 * time.Hour)
		if row := w.row(); row.Phase != "idle" || row.Version != newRelease {
			t.Errorf("the row still says %s in phase %s", row.Version, row.Phase)
		}
	})
}

// notified are the words to the service manager that begin with a prefix.
func (w *world) notified(prefix string) []notice {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []notice
	for _, n := range w.notices {
		if strings.HasPrefix(n.text, prefix) {
			found = append(found, n)
		}
	}
	return found
}

// TestServiceManager: READY once a process and not before the facts are known,
// STATUS when it changes, WATCHDOG all the time.
func TestServiceManager(t *testing.T) {
	inWorld(t, options{watchdog: time.Minute, prepare: job(time.Hour)}, func(w *world) {
		heal := w.fail(errRefused, "imds:identity")
		w.start()
		w.pass(10 * time.Minute)
		if n := len(w.notified("READY=1")); n > 0 {
			t.Error("READY before the host knows who it is")
		}
		if s := w.notified("STATUS="); len(s) == 0 || !strings.Contains(s[len(s)-1].text, "starting: the instance metadata service") {
			t.Errorf("the last status is %+v", s)
		}
		heal()
		w.untilUpdated()
		if n := len(w.notified("READY=1")); n != 2 {
			t.Errorf("READY %d times by 2 processes", n)
		}
		checkStatus(w)
		checkPings(w, time.Minute)
	})
}

// checkStatus: no status is told twice in a row, and each says the phase.
func checkStatus(w *world) {
	last := ""
	for _, n := range w.notified("STATUS=") {
		if n.text == last && !strings.HasPrefix(n.text, "STATUS=starting") {
			w.Errorf("%q is told twice", n.text)
		}
		last = n.text
	}
	if want := "STATUS=waiting 1.51.0: standalone task"; len(w.notified(want)) == 0 {
		w.Errorf("no status begins with %q", want)
	}
}

// checkPings: while a process runs there is no gap between two signs of life
// that the service manager would not stand.
func checkPings(w *world, most time.Duration) {
	var last time.Time
	for _, n := range w.notified("WATCHDOG=1") {
		reboot := bootLength + agentStart + most
		if gap := n.at.Sub(last); !last.IsZero() && gap > most && gap > reboot {
			w.Errorf("no sign of life for %s before %s", gap, n.at)
		}
		last = n.at
	}
	if time.Since(last) > most {
		w.Errorf("no sign of life for %s", time.Since(last))
	}
}

// TestWatchdog: a turn that hangs past its own limit, in a call that does not
// heed its context, gets no more signs of life; one that goes on gets them again.
func TestWatchdog(t *testing.T) {
	tests := []struct {
		act   string
		phase agent.Phase
		limit time.Duration // of the phase's turn
	}{
		{"imds:identity", agent.Starting, time.Minute},
		{"api:refresh", agent.Idle, 3 * time.Minute},
		{"api:prepare", agent.Staging, 33 * time.Minute},
		{"imds:leaving", agent.Waiting, 4 * time.Minute},
		{"ecs:remaining", agent.Draining, 3 * time.Minute},
		{"api:activate", agent.Rebooting, 3 * time.Minute},
		{"ecs:ACTIVE", agent.Restoring, 3 * time.Minute},
	}
	for _, test := range tests {
		t.Run(test.act, func(t *testing.T) {
			inWorld(t, options{watchdog: time.Minute}, func(w *world) {
				var hung moment
				goOn := make(chan struct{})
				w.once(test.act, func(*process) error {
					hung.hit()
					select {
					case <-goOn:
					case <-w.ended:
					}
					return nil
				})
				w.start()
				w.untilIs(&hung, "hung")
				w.pass(3 * time.Hour)
				pings := w.notified("WATCHDOG=1")
				// The first ping may have gone before the loop had its deadline.
				if test.phase != agent.Starting || len(pings) > 0 {
					after := pings[len(pings)-1].at.Sub(hung.at())
					if least, most := test.limit-time.Minute, test.limit+time.Minute; after < least || after > most {
						t.Errorf("the last sign of life came %s after the turn hung, want %s to %s", after, least, most)
					}
				}
				close(goOn)
				w.pass(bootLength + agentStart + 2*time.Minute)
				if n := len(w.notified("WATCHDOG=1")); n == len(pings) {
					t.Error("no sign of life since the turn has gone on")
				}
			})
		})
	}
}
