package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drydock-ecs/drydock/apiclientx"
	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/internal/hint"
)

// check is the turn of an idle host: one read of the record, one refresh, no
// call of ECS. Between two regular checks it may look at the record alone.
func (a *Agent) check(ctx context.Context, s State) Outcome {
	a.learnSelf(ctx)
	if err := a.learnRunning(ctx); err != nil {
		return a.soon(a.again("the Bottlerocket API does not answer", socketHint(err)))
	}
	a.learnWaves(ctx)
	if a.newer {
		return Outcome{Kind: Again, Reason: "the intent is of a newer version of Drydock: nothing is started"}
	}
	r, err := a.lookRecord(ctx)
	if err != nil {
		return a.soon(a.again(recordTrouble(err), err))
	}
	if _, holds := r.Holder(a.identity.Instance); holds {
		return Outcome{Kind: Owing, Reason: "the lock record shows a slot of this host"}
	}
	r = a.lookAfterOthers(ctx, r)
	if left := a.config.CheckInterval - time.Since(a.checked); left > a.config.CheckInterval/5 {
		return Outcome{Kind: Again, Reason: s.Reason, After: left}
	}
	if err := a.beginMemory(); err != nil {
		return a.soon(a.again(intentTrouble, err))
	}
	release, o, ok := a.offer(ctx)
	if ok || o.After == 0 {
		a.checked = time.Now()
	}
	if !ok {
		return o
	}
	if reason := a.mayStage(r, release); reason != "" {
		return Outcome{Kind: Again, Reason: reason}
	}
	a.checked = time.Time{}
	return Outcome{Kind: Done, Target: release}
}

// soon is for a check that could not be finished: it is taken again in about
// a minute, and sooner while the API socket is dead.
func (a *Agent) soon(o Outcome) Outcome {
	o.After = min(recheckDelay, a.config.CheckInterval)
	if !a.deadSince.IsZero() {
		o.After = min(o.After, 10*time.Second)
	}
	return o
}

// offer asks for a release. Only a refresh that succeeded is believed.
func (a *Agent) offer(ctx context.Context) (release string, o Outcome, ok bool) {
	status, err := a.refresh(ctx)
	if err != nil {
		return "", a.soon(a.again("asking for a release failed", socketHint(err))), false
	}
	if status.Chosen == nil || status.Chosen.Version == a.running {
		a.offered = ""
		return "", Outcome{Kind: Again}, false
	}
	a.offered = status.Chosen.Version
	return a.offered, Outcome{}, true
}

func (a *Agent) refresh(ctx context.Context) (apiclientx.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, refreshLimit)
	defer cancel()
	status, err := a.ports.Host.Do(ctx, apiclientx.Refresh)
	if a.heard(err) != nil {
		return status, fmt.Errorf("refresh updates: %w", err)
	}
	a.refreshed = time.Now()
	return status, nil
}

// mayStage says why the release is left alone for now, or "".
func (a *Agent) mayStage(r coordination.Record, release string) string {
	for _, g := range releaseGates {
		if reason := g.ask(a, r, release); reason != "" {
			return reason
		}
	}
	return ""
}

// stage downloads the release and writes it to the inactive image set. It
// refreshes right before, because prepare decides anew what it writes, and
// checks after it that what was written is what was chosen.
func (a *Agent) stage(ctx context.Context) Outcome {
	release, o, ok := a.offer(ctx)
	if !ok && o.Reason == "" {
		return Outcome{Kind: Nothing, Reason: ""}
	}
	if !ok {
		return o
	}
	status, err := a.ports.Host.Updates(ctx)
	if a.heard(err) != nil {
		return a.again("the update status cannot be read", socketHint(err))
	}
	if staged(status, release) {
		return Outcome{Kind: Done, Target: release}
	}
	if status.State == apiclientx.Ready {
		return Outcome{Kind: Failed, Reason: fmt.Sprintf("someone activated %s by hand; reboot into it or cancel it", version(status.Staging))}
	}
	status, err = a.prepare(ctx)
	if err != nil {
		a.err = socketHint(err)
		return Outcome{Kind: Failed, Reason: "staging " + release + " failed"}
	}
	if wrote := status.Wrote(); wrote != release || !staged(status, release) {
		return Outcome{Kind: Again, Reason: fmt.Sprintf("staged %s, but %s was chosen", wrote, release)}
	}
	return Outcome{Kind: Done, Target: release}
}

func (a *Agent) prepare(ctx context.Context) (apiclientx.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, prepareLimit)
	defer cancel()
	status, err := a.ports.Host.Do(ctx, apiclientx.Prepare)
	return status, a.heard(err)
}

// staged says whether the release lies in the inactive image set and is still
// the chosen one. What nothing is chosen for was withdrawn.
func staged(s apiclientx.Status, release string) bool {
	ready := s.State == apiclientx.Staged || s.State == apiclientx.Ready
	return ready && version(s.Staging) == release && s.Chosen != nil && s.Chosen.Version == release
}

func version(p *apiclientx.Partition) string {
	if p == nil {
		return ""
	}
	return p.Image.Version
}

func (a *Agent) learnWaves(ctx context.Context) {
	if a.ports.Waves == nil {
		return
	}
	if waves, err := a.ports.Waves(ctx); err == nil {
		a.waves = waves
	}
}

// recordTrouble says in words that the fleet can see why nothing starts.
func recordTrouble(err error) string {
	return recordFault(err, "the lock table cannot be read") + ": nothing is started"
}

// recordFault says in words what is the matter with the lock record; other is
// for what the error does not tell.
func recordFault(err error, other string) string {
	switch {
	case errors.Is(err, coordination.ErrNoTable):
		return "there is no lock table"
	case errors.Is(err, coordination.ErrNotFound):
		return "there is no lock record for this cluster"
	case errors.Is(err, coordination.ErrNewer):
		return "the lock record is of a newer version of Drydock"
	case errors.Is(err, coordination.ErrNonsense):
		return "the lock record makes no sense"
	case errors.Is(err, errNoFleet):
		return "which cluster this host is in is not known"
	default:
		return other
	}
}

// socketHint tells what to do about an API that is not there at all.
func socketHint(err error) error {
	if errors.Is(err, apiclientx.ErrUnreachable) {
		return hint.Wrap(err, "check that the host container has /run/api.sock and that host.api_socket names it")
	}
	return err
}
