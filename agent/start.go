package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/internal/hint"
)

// claimDelay is the time between two tries to be the host's one agent.
const claimDelay = 30 * time.Second

// start reads the facts and asks Resume. It is taken again until the facts
// that cannot be done without are known: the instance id, the claim to be the
// one agent, the intent file or what stands for it.
func (a *Agent) start(ctx context.Context) Outcome {
	if o, ok := a.identify(ctx); !ok {
		return o
	}
	var unread error
	if !a.loaded {
		unread = a.load()
		// Neither read nor set aside: what the record says is undone all the
		// same, and nothing is started before the file is usable again.
		a.memoryless = a.memoryless || unread != nil
	}
	if a.finishing && a.intent.Duty == nil {
		return Outcome{Kind: Resumed, To: Idle}
	}
	a.learnSelf(ctx)
	f, trouble := a.facts(ctx)
	if f.HasDuty {
		a.learnRunning(ctx)
		f.Running = a.running
	}
	if d := f.Duty; f.HasDuty && d.Outcome != "" && d.DrainCalls > 0 && !d.Restored {
		a.update.lateActive = time.Now() // an earlier process may have called, and died before the answer
	}
	o := Resume(f)
	if unread != nil && !f.HasDuty {
		return a.again("the intent file cannot be read", hint.Wrap(unread, "check the host container's persistent directory"))
	}
	if o.Kind == Resumed && o.To == Idle {
		o.Reason = trouble
	}
	if o.Kind == Resumed && a.newer && o.To != Idle {
		o = a.undoNewer(f, o)
	}
	return o
}

// identify learns which instance this is and becomes its one agent. Both hold
// for the life of the process.
func (a *Agent) identify(ctx context.Context) (Outcome, bool) {
	if a.identity.Instance == "" {
		id, err := a.ports.Surroundings.Identity(ctx)
		if err != nil {
			return a.again("the instance metadata service does not say which instance this is",
				hint.Wrap(err, "check that IMDSv2 is enabled on the instance")), false
		}
		a.identity = id
	}
	if !a.claimed {
		if err := a.ports.Surroundings.Claim(a.identity.Instance); err != nil {
			return a.unclaimed(err), false
		}
		a.claimed = true
	}
	if a.boot == "" {
		b, err := a.ports.Surroundings.Boot()
		if err != nil {
			return a.again("the boot id cannot be read", err), false
		}
		a.boot = b.ID
	}
	return Outcome{}, true
}

// unclaimed is a start that has to wait for the claim.
func (a *Agent) unclaimed(err error) Outcome {
	o := a.again("whether another agent runs on this host cannot be found out", err)
	if errors.Is(err, ErrClaimed) {
		o = a.again("another agent runs on this host; this one stays idle", hint.Wrap(err, "disable one of the two host containers"))
	}
	o.After = claimDelay
	return o
}

// load reads the intent file. What cannot be used is set aside and said, never
// guessed at.
func (a *Agent) load() error {
	data, err := a.ports.Intent.Load()
	if errors.Is(err, ErrNoIntent) {
		return a.startWithoutIntent()
	}
	if err == nil {
		a.intent, err = decodeIntent(data)
	}
	a.newer = errors.Is(err, errNewerIntent)
	switch {
	case a.newer:
		a.ports.Log.Error("the intent is of a newer version of Drydock: restoring only", slog.Any(keyError, err),
			slog.String(keyHint, "run the newer version again"))
	case errors.Is(err, ErrDamaged):
		return a.setAside("damaged", err)
	case err != nil:
		return err
	case a.intent.foreign(a.identity.Instance):
		return a.setAside("foreign", fmt.Errorf("intent of %s on %s: the disk was copied", a.intent.Instance, a.identity.Instance))
	}
	a.loaded, a.memoryless = true, false
	return nil
}

func (a *Agent) startWithoutIntent() error {
	a.intent = Intent{Schema: IntentSchema, Instance: a.identity.Instance}
	a.loaded, a.memoryless = true, true
	return nil
}

func (a *Agent) setAside(why string, cause error) error {
	path, err := a.ports.Intent.SetAside(why)
	if err != nil {
		return fmt.Errorf("set the %s intent file aside: %w", why, err)
	}
	a.ports.Log.Error("the intent file cannot be used and was set aside", slog.Any(keyError, cause), slog.String(keyPath, path),
		slog.String(keyHint, "what stands in the lock record is undone; if the container instance stays DRAINING after that, set it ACTIVE by hand"))
	return a.startWithoutIntent()
}

// foreign says whether the intent was written on another instance.
func (in Intent) foreign(instance string) bool {
	return in.Instance != "" && in.Instance != instance || in.Duty != nil && in.Duty.Instance != instance
}

// facts gathers what Resume needs. The record is asked only where there is no
// duty: a duty says more than the record. The trouble is why nothing will be
// started on a host that has nothing to undo.
func (a *Agent) facts(ctx context.Context) (f Facts, trouble string) {
	f = Facts{Boot: a.boot, Memoryless: a.memoryless, Running: a.running}
	if d := a.intent.Duty; d != nil {
		a.openFleet(d.Table, d.Fleet)
		f.Duty, f.HasDuty = *d, true
		return f, ""
	}
	r, err := a.lookRecord(ctx)
	if err != nil {
		a.err = err
		return f, recordTrouble(err)
	}
	f.RecordRead = true
	h, ok := r.Holder(a.identity.Instance)
	if !ok {
		if a.err = a.beginMemory(); a.err != nil {
			trouble = intentTrouble
		}
		return f, trouble
	}
	ended := a.intent.Memory.Ended
	covered := ended.covers(a.fleetKey[1], h)
	if covered {
		h.Phase = coordination.Granted // nothing of it is left to undo
	}
	d := adopt(h, a.fleetKey[1], a.fleetKey[0], Boot{ID: a.boot, Uptime: a.uptime()}, a.terms())
	if covered && h.Generation == ended.Generation {
		d.Outcome = cmp.Or(ended.Outcome, d.Outcome) // told again: the backup may be from before it was
	}
	a.ports.Log.Warn("the lock record shows a slot of this host that its intent file knows nothing of; it is undone and returned",
		slog.Int64(keyGeneration, h.Generation), slog.String("phase", string(h.Phase)))
	next := a.intent
	next.Duty, next.Memory.Ticket = &d, HeldTicket{}
	if err := a.save(next); err != nil {
		// Undoing does not need the file: it goes on, and a restart adopts the
		// same entry again.
		a.err, a.intent = err, next
	}
	f.Duty, f.HasDuty = d, true
	return f, ""
}

// intentTrouble is why a host without a file that it can write starts nothing.
const intentTrouble = "the intent file cannot be written: nothing is started"

// beginMemory writes an empty intent on a host that has none, so that the next
// start knows that there is nothing to undo.
func (a *Agent) beginMemory() error {
	if !a.memoryless || !a.loaded {
		return nil
	}
	if err := a.save(a.intent); err != nil {
		return hint.Wrap(fmt.Errorf("begin the intent file: %w", err), hintDisk)
	}
	return nil
}

// undoNewer restores a host whose intent a later version wrote. Only what can
// be undone is: while a reboot may still come, or the new boot has not been
// judged, that version's own phases hold, and they are the same ones.
func (a *Agent) undoNewer(f Facts, o Outcome) Outcome {
	if o.To == Draining {
		return resumed(Restoring, f.Duty, TurnedBack, "the intent is of a newer version")
	}
	return o
}

// learnSelf asks the local ECS agent; a host whose ECS agent is not up yet
// stays unknown to itself.
func (a *Agent) learnSelf(ctx context.Context) error {
	self, err := a.ports.Node.Self(ctx)
	if err != nil {
		return err
	}
	a.self = self
	return nil
}

// learnRunning asks what runs; an API that does not answer leaves it unknown.
func (a *Agent) learnRunning(ctx context.Context) error {
	os, err := a.ports.Host.OS(ctx)
	if a.heard(err) != nil {
		return err
	}
	a.running = os.VersionID
	return nil
}

// errNoFleet: neither the settings nor the local ECS agent say which cluster.
var errNoFleet = errors.New("which cluster this host is in is not known")

// lookRecord reads the lock record of this host's fleet and takes the policy
// over from it.
func (a *Agent) lookRecord(ctx context.Context) (coordination.Record, error) {
	if a.intent.Duty == nil {
		arn := a.fleetARN(ctx)
		if arn == "" {
			return coordination.Record{}, hint.Wrap(errNoFleet, "check that the ECS agent is registered, or set cluster in the settings")
		}
		a.openFleet(a.settings.Lock.Table, arn)
	}
	began := time.Now()
	r, err := a.fleet.Look(ctx)
	if err != nil {
		a.watcher.entries.Missed()
		a.watcher.late, a.watcher.due = nil, nil
		return r, err
	}
	if p, err := ParsePolicy(r.Policy); err == nil {
		a.policy, a.config = p, p.Apply(a.settings)
	}
	a.record, a.recordAt = r, time.Now()
	a.watcher.late, a.watcher.due = a.watcher.entries.Look(r, began, a.recordAt, a.config.Timing.SecondLook)
	return r, nil
}

// fleetARN is the fleet's key: what the ECS agent says, else the settings,
// else the host's own settings, completed by region and account where they
// have only a name. "" while none of them says.
func (a *Agent) fleetARN(ctx context.Context) string {
	name := a.settings.Cluster
	if a.self.Cluster == "" && name == "" && a.ports.Cluster != nil {
		name, _ = a.ports.Cluster(ctx)
	}
	switch {
	case a.self.Cluster != "":
		return a.self.Cluster
	case name == "" || strings.HasPrefix(name, "arn:"):
		return name
	default:
		return ClusterARN(a.identity.Region, a.identity.Account, name)
	}
}

// ClusterARN completes a cluster's name, in the region's partition.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
func ClusterARN(region, account, name string) string {
	partition := "aws"
	switch {
	case strings.HasPrefix(region, "cn-"):
		partition = "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		partition = "aws-us-gov"
	}
	return fmt.Sprintf("arn:%s:ecs:%s:%s:cluster/%s", partition, region, account, name)
}

// save makes the intent durable and then the agent's own.
func (a *Agent) save(in Intent) error {
	if !a.newer {
		in.Schema = IntentSchema
	}
	in.Instance = a.identity.Instance
	data, err := in.encode()
	if err != nil {
		return err
	}
	if err := a.ports.Intent.Save(data); err != nil {
		return fmt.Errorf("save the intent: %w", err)
	}
	a.intent, a.loaded, a.memoryless, a.update.diskless = in, true, false, time.Time{}
	return nil
}

// note changes the duty and makes it durable. When it fails the duty stays as
// it was, and the act that the note stands for must not be done.
func (a *Agent) note(change func(*Duty)) error {
	d := a.intent.Duty.clone()
	change(&d)
	next := a.intent
	next.Duty = &d
	return a.save(next)
}

// noteAnyway is note for undoing, which never waits for the disk: a note that
// cannot be made durable holds for this process, and the next one undoes again
// what is undone already.
func (a *Agent) noteAnyway(change func(*Duty)) {
	d := a.intent.Duty.clone()
	change(&d)
	next := a.intent
	next.Duty = &d
	if err := a.save(next); err != nil {
		a.err = hint.Wrap(err, hintDisk)
		a.intent = next
	}
}
