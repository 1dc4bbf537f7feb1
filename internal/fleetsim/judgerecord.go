package fleetsim

import (
	"time"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/apiclientx/apitest"
	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/coordination/coordtest"
)

// recordChanged is called with the store locked: the rules of the record that
// hold whatever the agents believe. Changes without a caller are an operator's.
func (j *judge) recordChanged(c coordtest.Applied) {
	after, err := coordination.Decode(c.After)
	if err != nil {
		j.w.breach("%s stored a record that cannot be read: %v", c.Caller, err)
		return
	}
	before, _ := coordination.Decode(c.Before)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.record = after
	j.judgeHolders(c.Caller, before, after)
	j.judgeFailures(c.Caller, before, after)
	for _, h := range before.Holders {
		if _, has := after.Holder(h.Host); !has && c.Caller != "" {
			j.judgeReturn(c.Caller, h, after)
		}
	}
	if len(after.Refused) > 0 && j.w.Options.Fate != apitest.FallsBack {
		j.w.breach("the fleet refuses %s, which boots", after.Refused[0].Release)
	}
	j.slots = max(j.slots, limitsOf(after).Slots)
}

func limitsOf(r coordination.Record) coordination.Limits {
	p, err := agent.ParsePolicy(r.Policy)
	if err != nil {
		return coordination.Limits{}
	}
	return coordination.Limits{Slots: p.Slots, MaxFailures: p.MaxFailures, MaxZones: p.MaxZones}
}

// judgeHolders looks at grants, at hosts that go on, and at marks.
func (j *judge) judgeHolders(caller string, before, after coordination.Record) {
	limits := limitsOf(before)
	for _, h := range after.Holders {
		was, _ := before.Holder(h.Host)
		begins := h.Phase != was.Phase && (h.Phase == coordination.Draining || h.Phase == coordination.Rebooting)
		if begins && after.Refuses(h.Target) {
			j.w.breach("promise 4: %s goes on with %s, which the fleet refuses", h.Host, h.Target)
		}
		if begins && before.Halted(limits) != "" {
			j.w.breach("promise 4: %s goes on with %s in a halted fleet", h.Host, h.Target)
		}
		if begins && was.Stuck {
			j.w.breach("%s goes on with %s and was marked stuck", h.Host, h.Target)
		}
		if was.Host == "" {
			j.judgeGrant(h, before, after)
		}
		if h.Entry() != was.Entry() {
			j.entered[h.Entry()] = time.Now()
		}
		if h.Stuck && !was.Stuck {
			j.judgeMark(caller, h)
		}
	}
}

func (j *judge) judgeGrant(h coordination.Holder, before, after coordination.Record) {
	limits := limitsOf(before)
	if after.Halted(limits) != "" || after.Refuses(h.Target) {
		j.w.breach("promise 4: %s got a slot for %s in a halted fleet or for a refused release", h.Host, h.Target)
	}
	if len(after.Holders) > limits.Slots {
		j.w.breach("promise 1: %s got slot %d of %d", h.Host, len(after.Holders), limits.Slots)
	}
}

// judgeMark: an entry is marked no sooner than it was announced to end and a
// second look after that.
func (j *judge) judgeMark(caller string, h coordination.Holder) {
	stood := time.Since(j.entered[h.Entry()])
	patience := time.Duration(h.Announced*float64(time.Second)) + agent.DefaultConfig().Timing.SecondLook
	if stood < patience {
		j.w.breach("%s marked %s stuck after %s in phase %s, not after %s", caller, h.Host, stood, h.Phase, patience)
	}
	// Who stands still notices no outage.
	if second := agent.DefaultConfig().Timing.SecondLook; !j.w.Options.Pauses && j.w.net.justBack(caller, second) {
		j.w.breach("%s marked %s stuck and has had the table again for less than %s", caller, h.Host, second)
	}
	if host := j.w.host(h.Host); host != nil && host.couldSpeak() {
		j.w.breach("%s marked %s stuck, which has been well and reached the table", caller, h.Host)
	}
}

// judgeReturn looks at a slot that an agent gave back, its own or another's.
func (j *judge) judgeReturn(caller string, h coordination.Holder, after coordination.Record) {
	if caller != h.Host {
		// Who stands still notices no outage.
		if second := agent.DefaultConfig().Timing.SecondLook; !j.w.Options.Pauses && j.w.net.justBack(caller, second) {
			j.w.breach("%s marked %s stuck and has had the table again for less than %s", caller, h.Host, second)
		}
		if host := j.w.host(h.Host); host == nil || !host.isGone() {
			j.w.breach("%s freed the slot of %s, which is alive", caller, h.Host)
		}
		return
	}
	if j.isOut(h.Host) {
		j.w.breach("promise 1: the slot of %s went back while it is out of service", h.Host)
	}
	for _, f := range after.Failures {
		if f.Host == h.Host && f.Generation == h.Generation && f.Cause == coordination.CauseStuck {
			j.w.breach("%s came back and is still counted as stuck", h.Host)
		}
	}
}

// judgeFailures: a failure is counted once, though the host's own word may come
// after a watcher's that an operator has taken away. It is taken away by its host,
// by an operator, or with the slot of a host that is gone.
func (j *judge) judgeFailures(caller string, before, after coordination.Record) {
	for _, f := range after.Failures {
		key := [3]any{f.Host, f.Generation, f.Cause == coordination.CauseStuck}
		if !had(before.Failures, f) {
			if j.counted[key]++; j.counted[key] > 1 {
				j.w.breach("the failure of %s, generation %d, was counted twice", f.Host, f.Generation)
			}
		}
	}
	for _, f := range before.Failures {
		if had(after.Failures, f) || caller == "" || caller == f.Host {
			continue
		}
		h, held := before.Holder(f.Host)
		early := held && (h.Phase == coordination.Granted || h.Phase == coordination.Draining)
		if !early || !j.w.host(f.Host).isGone() {
			j.w.breach("%s took the failure of %s away", caller, f.Host)
		}
	}
}

func had(failures []coordination.Failure, f coordination.Failure) bool {
	for _, other := range failures {
		if other.Host == f.Host && other.Generation == f.Generation {
			return true
		}
	}
	return false
}
