package agent

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/drydock-ecs/drydock/apiclientx"
	"github.com/drydock-ecs/drydock/coordination"
)

// releaseGate asks whether the release may be begun at all, from what is at
// hand. It answers "" or the reason why not.
type releaseGate struct {
	name      string
	ofRelease bool // it can be asked of a release alone
	ask       func(a *Agent, r coordination.Record, release string) string
}

// releaseGates are asked before staging and again in the queue.
var releaseGates = []releaseGate{
	{"policy", false, (*Agent).gatePolicy},
	{"refused", true, (*Agent).gateRefused},
	{"downgrade", true, (*Agent).gateDowngrade},
	{"back-off", true, (*Agent).gateBackOff},
}

// startGate asks whether the host may go out of service now.
type startGate struct {
	name string
	// own: the host can ask it again without reading the lock record.
	own bool
	ask func(a *Agent, ctx context.Context, r coordination.Record) string
}

// startGates are asked in the queue, the free ones first. All of them fail
// closed: an answer that cannot be had is a no.
var startGates = []startGate{
	{"halt", false, (*Agent).gateHalt},
	{"window", true, (*Agent).gateWindow},
	{"leaving", true, (*Agent).gateLeaving},
	{"registered", true, (*Agent).gateRegistered},
}

func (a *Agent) gatePolicy(r coordination.Record, _ string) string {
	if _, err := ParsePolicy(r.Policy); err != nil {
		return "the fleet's policy cannot be read: " + strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return ""
}

func (a *Agent) gateRefused(r coordination.Record, release string) string {
	for _, f := range r.Refused {
		if f.Release == release {
			return fmt.Sprintf("the fleet refuses %s: it fell back on %s", release, f.Host)
		}
	}
	return ""
}

func (a *Agent) gateDowngrade(_ coordination.Record, release string) string {
	if apiclientx.CompareVersions(release, a.running) < 0 && !a.policy.AllowDowngrade {
		return fmt.Sprintf("%s is older than %s, and the policy does not allow a downgrade", release, a.running)
	}
	return ""
}

func (a *Agent) gateBackOff(_ coordination.Record, release string) string {
	now := time.Now()
	wait := a.intent.Memory.wait(release, now)
	if wait <= 0 {
		return ""
	}
	tried := a.intent.Memory.Attempts[release]
	attempts := fmt.Sprintf("%d attempts", tried.Count)
	if tried.Count == 1 {
		attempts = "1 attempt"
	}
	return fmt.Sprintf("backing off until %s after %s at %s", now.Add(wait).UTC().Format("2006-01-02 15:04Z"), attempts, release)
}

func (a *Agent) gateHalt(_ context.Context, r coordination.Record) string {
	limits, err := a.limits(r.Policy)
	if err != nil {
		return err.Error()
	}
	if why := r.Halted(limits); why != "" {
		return "the fleet is halted: " + why
	}
	return ""
}

// gateWindow wants a window that is open for as long as the update is expected
// to take: what the fleet needed on average, else the drain's own limit.
func (a *Agent) gateWindow(_ context.Context, r coordination.Record) string {
	need := time.Duration(r.AverageHold * float64(time.Second))
	if need <= 0 {
		need = a.config.Drain.Timeout
	}
	text := a.policy.Windows.Text(time.Now(), need)
	if text == "" {
		return ""
	}
	text, _, _ = strings.Cut(text, " (in ") // the reason stays the same while nothing changes
	return "outside the maintenance window: " + text
}

func (a *Agent) gateLeaving(ctx context.Context, _ coordination.Record) string {
	why, err := a.ports.Surroundings.Leaving(ctx)
	if err != nil {
		a.err = err
		return "whether the instance is about to leave is not known"
	}
	if why != "" {
		return "the instance is leaving: " + why
	}
	return ""
}

func (a *Agent) gateRegistered(ctx context.Context, _ coordination.Record) string {
	if err := a.learnSelf(ctx); err != nil {
		a.err = err
		return "the local ECS agent does not answer"
	}
	if a.self.Cluster != a.fleetKey[1] {
		return fmt.Sprintf("the ECS agent is in %s and the lock is of %s", a.self.Cluster, a.fleetKey[1])
	}
	return ""
}

// ecsView is what ECS said of this host, and when.
type ecsView struct {
	instance   Instance
	lookedAt   time.Time
	inventory  map[string]Task // by ARN
	classified time.Time
	verdict    string // why the drain may not begin; "" when it may
}

// gateDrain asks ECS: is the instance ours to drain, and can the drain end?
// It costs up to four calls, so an answer holds for some minutes, and it is
// asked only when a slot is free.
func (a *Agent) gateDrain(ctx context.Context) string {
	if time.Since(a.seen.classified) < gateFreshness {
		return a.seen.verdict
	}
	verdict, err := a.predict(ctx)
	if err != nil {
		a.err = err
		return "whether the host can be drained is not known"
	}
	a.seen.verdict, a.seen.classified = verdict, time.Now()
	return verdict
}

func (a *Agent) predict(ctx context.Context) (string, error) {
	if err := a.look(ctx, a.self); err != nil {
		return "", err
	}
	if reason := a.notOurs(); reason != "" {
		return reason, nil
	}
	a.seen.inventory = nil // who has been told to stop since is in no new one
	inventory, err := a.classify(ctx, a.self)
	if err != nil {
		return "", err
	}
	return a.obstacle(inventory), nil
}

func (a *Agent) look(ctx context.Context, self Self) error {
	began := time.Now()
	instance, err := a.ports.Node.Look(ctx, self)
	if err != nil {
		return err
	}
	a.seen.instance, a.seen.lookedAt = instance, began
	return nil
}

// notOurs says why the container instance is not to be drained by us.
func (a *Agent) notOurs() string {
	switch i := a.seen.instance; {
	case i.Status == "DRAINING":
		return "the container instance is DRAINING, and not by us"
	case i.Status == "":
		return "ECS does not know the container instance"
	case i.Status != "ACTIVE":
		return "the container instance is " + i.Status
	case !i.Connected:
		return "the ECS agent is not connected"
	default:
		return ""
	}
}

func (a *Agent) classify(ctx context.Context, self Self) (Inventory, error) {
	inventory, err := a.ports.Tasks.Classify(ctx, self)
	if err != nil {
		return inventory, err
	}
	if a.seen.inventory == nil {
		a.seen.inventory = make(map[string]Task)
	}
	for _, task := range inventory.Tasks {
		a.seen.inventory[task.ARN] = task
	}
	return inventory, nil
}

// obstacle says what keeps the drain from ending or what it must not touch.
func (a *Agent) obstacle(inventory Inventory) string {
	if len(inventory.Stuck) > 0 {
		return "the drain could never end: " + strings.Join(inventory.Stuck, "; ")
	}
	now := time.Now()
	for _, task := range inventory.Tasks {
		if task.Protected.After(now) {
			return fmt.Sprintf("task %s of service %s is protected until %s", shortARN(task.ARN), task.Service, task.Protected.UTC().Format("2006-01-02 15:04Z"))
		}
		if task.Kind == Standalone && a.terms().StandaloneTasks == StandaloneDefer {
			return standaloneReason(task)
		}
	}
	return ""
}

func standaloneReason(task Task) string {
	return fmt.Sprintf("standalone task %s (%s) runs here, and drain.standalone_tasks is defer", shortARN(task.ARN), task.Family)
}

// shortARN is the last part of an ARN.
func shortARN(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }
