package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/internal/hint"
)

const (
	// evidenceLimit bounds one question to EC2.
	evidenceLimit = 30 * time.Second
	// evidenceAgain is the time after an answer that proves nothing; it doubles
	// up to longestEvidence, because every host of the fleet asks.
	evidenceAgain   = time.Hour
	longestEvidence = 24 * time.Hour
)

// watcher is what this process has seen of the fleet's holders. Every look at
// the record is one of its looks, so a holder that is late is found when nobody
// waits. All of it may be lost: the next process watches anew.
type watcher struct {
	entries coordination.Watch
	late    []coordination.Holder
	due     []coordination.Entry
	proofs  map[slot]proof
	at      time.Time // watching needs a look then; zero: the regular ones are enough
	told    time.Time // EC2's refusal was logged
}

// errNotShown: an answer of EC2 that proves nothing.
var errNotShown = errors.New("EC2's answer does not show this instance running")

// slot names one grant.
type slot struct {
	host       string
	generation int64
}

// proof is what EC2 has said of a late holder.
type proof struct {
	first    time.Time // end of the first answer that proves it gone; zero: none has
	complete bool      // a second one has proved it: EC2 is not asked any more
	again    time.Time // nothing is asked or written before this
	vainly   int       // answers that proved nothing, or writes that were not made
}

func slotOf(h coordination.Holder) slot { return slot{h.Host, h.Generation} }

// lookAfterOthers marks holders that are late, and frees the slots of those
// that are gone on the evidence of EC2. Nothing here keeps the host from its own
// work: what fails is tried at a later look. It returns the record as it is then.
func (a *Agent) lookAfterOthers(ctx context.Context, r coordination.Record) coordination.Record {
	if a.newer {
		return r
	}
	for _, e := range a.watcher.due {
		r = a.mark(ctx, r, e)
	}
	for _, h := range a.seekEvidence(ctx) {
		r = a.free(ctx, r, h)
	}
	a.record, a.watcher.at = r, a.nextLook(time.Now())
	return r
}

// mark marks a late holder. Whoever of the fleet is first does it; for the
// others there is nothing to change.
func (a *Agent) mark(ctx context.Context, r coordination.Record, e coordination.Entry) coordination.Record {
	rule, changed := telling(coordination.Mark(e, time.Now()))
	next, err := a.fleet.Apply(ctx, rule)
	if err != nil {
		a.ports.Log.Debug("late holder not marked", slog.String(keyOther, e.Host), slog.Any(keyError, err))
		return r
	}
	if !*changed {
		return next // another host was faster
	}
	a.ports.Log.Warn("a host is late and was marked stuck: it keeps its slot and counts as a failure", slog.String(keyHost, a.identity.Instance),
		slog.String(keyOther, e.Host), slog.Int64(keyGeneration, e.Generation), slog.String("phase", string(e.Phase)),
		slog.String(keyHint, "look at its log; if its instance is gone for good: "+a.releaseCommand(e.Host)))
	return next
}

// releaseCommand is what an operator runs anywhere to free a host's slot.
func (a *Agent) releaseCommand(host string) string {
	return fmt.Sprintf("drydock release %s --fleet %s --table %s", host, a.fleetKey[1], a.fleetKey[0])
}

// telling is a rule that tells whether its last change was one. Of all the hosts
// that see the same, only the one that did it says so.
func telling(rule coordination.Rule) (coordination.Rule, *bool) {
	changed := new(bool)
	change := rule.Change
	rule.Change = func(r coordination.Record) (coordination.Record, error) {
		next, err := change(r)
		*changed = err == nil
		return next, err
	}
	return rule, changed
}

// seekEvidence asks EC2 about the holders that are stuck, or sick and silent,
// and returns those that are proved gone: two answers say so that are
// evidence_gap apart, and each of them also shows this instance running.
func (a *Agent) seekEvidence(ctx context.Context) []coordination.Holder {
	now := time.Now()
	var about, gone []coordination.Holder
	proofs := make(map[slot]proof)
	for _, h := range a.watcher.late {
		if !h.Stuck && h.Phase != coordination.Sick {
			continue
		}
		p := a.watcher.proofs[slotOf(h)]
		proofs[slotOf(h)] = p
		switch {
		case now.Before(p.again):
		case p.complete:
			gone = append(gone, h)
		default:
			about = append(about, h)
		}
	}
	a.watcher.proofs = proofs // those that are late no more are forgotten
	if a.ports.Evidence == nil || len(about) == 0 {
		return gone
	}
	states, err := a.instances(ctx, about)
	ended := time.Now()
	for _, h := range about {
		state, known := states[h.Host]
		p := proofs[slotOf(h)].judge(err == nil && (!known || state == "terminated"), ended, a.config.Timing.EvidenceGap)
		if p.complete {
			gone = append(gone, h)
		}
		proofs[slotOf(h)] = p
	}
	return gone
}

// judge adds an answer, which is never asked for before the time for it. A proof
// that is complete need not be asked again.
func (p proof) judge(gone bool, ended time.Time, gap time.Duration) proof {
	switch {
	case !gone:
		return proof{again: ended.Add(doubling(evidenceAgain, p.vainly, longestEvidence)), vainly: p.vainly + 1}
	case p.first.IsZero():
		return proof{first: ended, again: ended.Add(gap), vainly: p.vainly}
	default:
		return proof{first: p.first, complete: true}
	}
}

// doubling is a wait after so many tries in vain.
func doubling(first time.Duration, tries int, longest time.Duration) time.Duration {
	return min(first<<min(tries, 10), longest)
}

// instances asks EC2 in one call that is about this instance as well. An answer
// that does not show it running is none: it may come from elsewhere.
func (a *Agent) instances(ctx context.Context, about []coordination.Holder) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, evidenceLimit)
	defer cancel()
	ids := []string{a.identity.Instance}
	for _, h := range about {
		ids = append(ids, h.Host)
	}
	states, err := a.ports.Evidence.Instances(ctx, ids)
	if err == nil && states[a.identity.Instance] != "running" {
		err = hint.Wrap(errNotShown, "check that the agent asks EC2 in the host's own Region and account")
	}
	if err != nil && time.Since(a.watcher.told) >= longestEvidence {
		a.watcher.told = time.Now()
		a.ports.Log.Warn("EC2 does not say whether a late host is gone: only an operator can free its slot", slog.String(keyHost, a.identity.Instance),
			slog.String(keyOther, about[0].Host), slog.Any(keyError, err),
			slog.String(keyHint, hintOr(err, "give the hosts' role ec2:DescribeInstances, or run "+a.releaseCommand(about[0].Host))))
	}
	return states, err
}

// free takes the slot of a host that is gone. Its phase decides whether a
// failure stays: see coordination.Free.
func (a *Agent) free(ctx context.Context, r coordination.Record, h coordination.Holder) coordination.Record {
	now := time.Now()
	rule, changed := telling(coordination.Free(h.Host, h.Generation, now))
	next, err := a.fleet.Apply(ctx, rule)
	if err != nil {
		a.ports.Log.Debug("slot not freed", slog.String(keyOther, h.Host), slog.Any(keyError, err))
		p := a.watcher.proofs[slotOf(h)]
		p.again, p.vainly = now.Add(jittered(doubling(recheckDelay, p.vainly, evidenceAgain), 0.5)), p.vainly+1
		a.watcher.proofs[slotOf(h)] = p
		return r
	}
	delete(a.watcher.proofs, slotOf(h))
	if !*changed {
		return next // another host was faster, or an operator
	}
	a.ports.Log.Warn("the instance of a late host is gone: its slot was freed", slog.String(keyHost, a.identity.Instance),
		slog.String(keyOther, h.Host), slog.Int64(keyGeneration, h.Generation), slog.String("phase", string(h.Phase)))
	fleet, log := a.fleet, a.ports.Log
	event := coordination.Event{Generation: h.Generation, Host: h.Host, At: now, From: h.From, To: h.Target, Outcome: coordination.OutcomeGone, What: "freed by " + a.identity.Instance}
	a.outbox.note(func(ctx context.Context) {
		if err := fleet.PutEvent(ctx, event); err != nil {
			log.Debug("event row not written", slog.Any(keyError, err))
		}
	})
	return next
}

// nextLook is when watching needs the next look at the record; zero: the host's
// regular looks are enough.
func (a *Agent) nextLook(now time.Time) time.Time {
	var at time.Time
	sooner := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	if a.watcher.entries.Suspects() {
		sooner(now.Add(a.config.Timing.SecondLook * 3 / 5)) // two looks that follow are further apart than SecondLook
	}
	for _, p := range a.watcher.proofs {
		if !p.first.IsZero() {
			sooner(p.again.Add(time.Second))
		}
	}
	return at
}

// watchDue says whether watching needs a look now, also where the host's own
// gates are red.
func (a *Agent) watchDue() bool {
	return !a.watcher.at.IsZero() && !time.Now().Before(a.watcher.at)
}

// attentive shortens the wait of a host without a slot to what watching needs.
// A look that was due and could not be taken is tried again after a minute.
func (a *Agent) attentive(p Phase, wait time.Duration) time.Duration {
	if p != Idle && p != Waiting || a.watcher.at.IsZero() {
		return wait
	}
	left := time.Until(a.watcher.at)
	if left <= 0 {
		left = jittered(recheckDelay, 0.2)
	}
	return min(wait, max(left, time.Second))
}
