package agent

import (
	"context"
	"errors"
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
	first  time.Time // end of the first answer that proves it gone; zero: none has
	again  time.Time // not asked before this
	vainly int       // answers that proved nothing
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
	a.record = r
	return r
}

// mark marks a late holder. Whoever of the fleet is first does it; for the
// others there is nothing to change.
func (a *Agent) mark(ctx context.Context, r coordination.Record, e coordination.Entry) coordination.Record {
	next, err := a.fleet.Apply(ctx, coordination.Mark(e, time.Now()))
	if err != nil {
		a.ports.Log.Debug("late holder not marked", slog.String(keyOther, e.Host), slog.Any(keyError, err))
		return r
	}
	a.ports.Log.Warn("a host is late and was marked stuck: it keeps its slot and counts as a failure", slog.String(keyHost, a.identity.Instance),
		slog.String(keyOther, e.Host), slog.Int64(keyGeneration, e.Generation), slog.String("phase", string(e.Phase)),
		slog.String(keyHint, "look at its log; if its instance is gone for good: drydock release "+e.Host))
	return next
}

// seekEvidence asks EC2 about the holders that are stuck, or sick and silent,
// and returns those that are proved gone: two answers say so that are
// evidence_gap apart, and each of them also shows this instance running.
func (a *Agent) seekEvidence(ctx context.Context) []coordination.Holder {
	now := time.Now()
	var about []coordination.Holder
	proofs := make(map[slot]proof)
	for _, h := range a.watcher.late {
		if !h.Stuck && h.Phase != coordination.Sick {
			continue
		}
		p := a.watcher.proofs[slotOf(h)]
		proofs[slotOf(h)] = p
		if !now.Before(p.again) {
			about = append(about, h)
		}
	}
	a.watcher.proofs = proofs // those that are late no more are forgotten
	if a.ports.Evidence == nil || len(about) == 0 {
		return nil
	}
	states, err := a.instances(ctx, about)
	ended := time.Now()
	var gone []coordination.Holder
	for _, h := range about {
		state, known := states[h.Host]
		p := proofs[slotOf(h)].judge(err == nil && (!known || state == "terminated"), ended, a.config.Timing.EvidenceGap)
		if !p.first.IsZero() && p.again.IsZero() {
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
		again := min(evidenceAgain<<min(p.vainly, 5), longestEvidence)
		return proof{again: ended.Add(again), vainly: p.vainly + 1}
	case p.first.IsZero():
		return proof{first: ended, again: ended.Add(gap), vainly: p.vainly}
	default:
		p.again = time.Time{}
		return p
	}
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
			slog.String(keyHint, hintOr(err, "give the hosts' role ec2:DescribeInstances, or run drydock release "+about[0].Host)))
	}
	return states, err
}

// free takes the slot of a host that is gone. Its phase decides whether a
// failure stays: see coordination.Free.
func (a *Agent) free(ctx context.Context, r coordination.Record, h coordination.Holder) coordination.Record {
	now := time.Now()
	next, err := a.fleet.Apply(ctx, coordination.Free(h.Host, h.Generation, now))
	if err != nil {
		a.ports.Log.Debug("slot not freed", slog.String(keyOther, h.Host), slog.Any(keyError, err))
		return r
	}
	a.ports.Log.Warn("the instance of a late host is gone: its slot was freed", slog.String(keyHost, a.identity.Instance),
		slog.String(keyOther, h.Host), slog.Int64(keyGeneration, h.Generation), slog.String("phase", string(h.Phase)))
	fleet, log := a.fleet, a.ports.Log
	event := coordination.Event{Generation: h.Generation, Host: h.Host, At: now, From: h.From, To: h.Target, Outcome: "gone", What: "freed by " + a.identity.Instance}
	a.outbox.note(func(ctx context.Context) {
		if err := fleet.PutEvent(ctx, event); err != nil {
			log.Debug("event row not written", slog.Any(keyError, err))
		}
	})
	return next
}

// watchAgain is how soon watching needs the next look at the record; 0: the
// host's regular looks are enough.
func (a *Agent) watchAgain() time.Duration {
	if a.newer {
		return 0
	}
	var soon time.Duration
	sooner := func(d time.Duration) {
		if soon == 0 || d < soon {
			soon = max(d, time.Second)
		}
	}
	if a.watcher.entries.Suspects() {
		sooner(a.config.Timing.SecondLook * 3 / 5) // two looks that follow are further apart than SecondLook
	}
	for _, p := range a.watcher.proofs {
		if !p.first.IsZero() {
			sooner(time.Until(p.again) + time.Second)
		}
	}
	return soon
}

// attentive shortens a wait to what watching needs.
func (a *Agent) attentive(o Outcome) Outcome {
	if soon := a.watchAgain(); soon > 0 && o.Kind == Again && (o.After == 0 || soon < o.After) {
		o.After = soon
	}
	return o
}
