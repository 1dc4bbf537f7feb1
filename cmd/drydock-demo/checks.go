package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// What an update may cost.
const (
	maxECSCalls = 12
	raceCalls   = 4 // more, for the questions that are asked again when a race for a slot was lost
	maxBeyond   = 2 * time.Second
	sharedCost  = time.Second // more, where holders of several slots write to the one record
	maxExtraOut = 3 * time.Second
)

// check is one promise, judged from outside.
type check struct {
	promise string
	// broken says how it is broken, "" when it holds.
	broken func(evidence) string
}

// always are the checks of every story.
func always() []check {
	return []check{
		{"never more hosts out of service at once than slots", tooManyOut},
		{"no task was killed by a reboot", tasksKilled},
		{"no slot was returned before its host was ACTIVE and connected", returnedTooEarly},
		{"no call of ECS while there was nothing to do", idleCalls},
	}
}

// complete are the checks of every story in which the release reaches all.
func complete() []check {
	return []check{
		{"every host that there is is ACTIVE on the new release", allServing(newRelease)},
		{"no host was set ACTIVE on it before its ECS agent was connected", activeTooEarly},
		{"all slots are returned, nothing failed, nothing is refused", cleanRecord},
	}
}

// costs are the checks of what updates may cost where nothing went wrong.
func costs() []check {
	return []check{
		{fmt.Sprintf("at most %d calls of ECS an update (%d more where a race for the slot was lost)", maxECSCalls, raceCalls), tooManyCalls},
		{fmt.Sprintf("at most %v beyond drain and reboot an update (%v more with several slots)", maxBeyond, sharedCost), tooLong},
		{fmt.Sprintf("out of service for at most drain + reboot + %v", maxExtraOut), outTooLong},
	}
}

// tooManyOut goes through the run moment by moment. A host is out from
// DRAINING to ACTIVE, and while it is down.
func tooManyOut(e evidence) string {
	drains, down, gone := make(map[string]bool), make(map[string]bool), make(map[string]bool)
	for _, x := range e.entries {
		switch x.what {
		case draining:
			drains[x.host] = true
		case nowActive:
			delete(drains, x.host)
		case wentDown:
			down[x.host] = true
		case cameUp:
			delete(down, x.host)
		case terminated:
			gone[x.host] = true
		case returned:
			if gone[x.host] { // what is gone for good counts until its slot is free
				delete(drains, x.host)
				delete(down, x.host)
			}
		}
		out := make(map[string]bool)
		for host := range drains {
			out[host] = true
		}
		for host := range down {
			out[host] = true
		}
		if len(out) > e.slots {
			return fmt.Sprintf("%d were out when %s was %s", len(out), e.name(x.host), word(x.what))
		}
	}
	return ""
}

func word(what fact) string {
	if what == draining {
		return "set DRAINING"
	}
	return "down"
}

func tasksKilled(e evidence) string {
	var all []string
	for _, k := range e.killed {
		all = append(all, fmt.Sprintf("%s task of %s %s on %s", k.Kind, k.Service, k.Family, e.name(k.Host)))
	}
	return strings.Join(all, ", ")
}

// lookDelay is what the observer itself may be late by on a busy machine.
const lookDelay = 100 * time.Millisecond

func returnedTooEarly(e evidence) string {
	for _, u := range e.updates {
		rebooted := !u.down.IsZero()
		switch {
		case u.returned.IsZero(), u.lost:
		case u.active.IsZero() || u.returned.Before(u.active):
			return e.name(u.host) + " was not ACTIVE"
		case rebooted && (u.connected.IsZero() || u.returned.Before(u.connected.Add(-lookDelay))):
			return e.name(u.host) + " was not connected"
		}
	}
	return ""
}

func activeTooEarly(e evidence) string {
	for _, u := range e.updates {
		early := u.connected.IsZero() || u.active.Before(u.connected.Add(-lookDelay))
		if u.to == newRelease && !u.active.IsZero() && early {
			return e.name(u.host)
		}
	}
	return ""
}

func idleCalls(e evidence) string {
	for _, h := range e.hosts {
		if n := e.idle[h.id]; n > 0 {
			return fmt.Sprintf("%d by %s before the release appeared", n, h.name)
		}
		if n := e.rested[h.id]; n > 0 {
			return fmt.Sprintf("%d by %s after the end", n, h.name)
		}
	}
	return ""
}

func allServing(release string) func(evidence) string {
	return func(e evidence) string { return notServing(e.hosts, release) }
}

// notServing lists the hosts that are not in service on a release, of those
// that there still are.
func notServing(hosts []hostEnd, release string) string {
	var others []string
	for _, h := range hosts {
		if !h.gone && !h.serving(release) {
			others = append(others, h.String())
		}
	}
	return strings.Join(others, "; ")
}

func cleanRecord(e evidence) string {
	r := e.record
	switch {
	case len(r.Holders) > 0:
		return fmt.Sprintf("%s has one, in phase %s", e.name(r.Holders[0].Host), r.Holders[0].Phase)
	case len(r.Failures) > 0:
		return fmt.Sprintf("%s failed: %s", e.name(r.Failures[0].Host), r.Failures[0].Cause)
	case len(r.Refused) > 0:
		return r.Refused[0].Release + " is refused"
	}
	return ""
}

func tooManyCalls(e evidence) string {
	return worst(e, func(u *update) string {
		limit := maxECSCalls
		if u.lostRace {
			limit += raceCalls
		}
		if u.ecsCalls <= limit {
			return ""
		}
		return fmt.Sprintf("%d (%s)", u.ecsCalls, u.ecsOps)
	})
}

func tooLong(e evidence) string {
	limit := maxBeyond
	if e.slots > 1 {
		limit += sharedCost
	}
	return worst(e, func(u *update) string {
		if u.beyond() <= limit {
			return ""
		}
		return fmt.Sprintf("%.1f s", u.beyond().Seconds())
	})
}

func outTooLong(e evidence) string {
	return worst(e, func(u *update) string {
		if u.active.IsZero() {
			return "never came back"
		}
		extra := u.out() - u.drain() - u.reboot()
		if extra <= maxExtraOut {
			return ""
		}
		return fmt.Sprintf("%.1f s more", extra.Seconds())
	})
}

// worst lists the updates that a rule finds something about. Without any
// update there is nothing that could hold.
func worst(e evidence, rule func(*update) string) string {
	if len(e.updates) == 0 {
		return "there was no update"
	}
	var all []string
	for _, u := range e.updates {
		if text := rule(u); text != "" {
			all = append(all, e.name(u.host)+" "+text)
		}
	}
	return strings.Join(all, ", ")
}

// name is how the output calls a host.
func (e evidence) name(id string) string {
	if i := slices.IndexFunc(e.hosts, func(h hostEnd) bool { return h.id == id }); i >= 0 {
		return e.hosts[i].name
	}
	return id
}

// judge prints every check and says whether all of them hold.
func judge(p *printer, checks []check, e evidence) bool {
	all := true
	for _, c := range checks {
		verdict := "ok      " + c.promise
		if broken := c.broken(e); broken != "" {
			all = false
			verdict = "FAILED  " + c.promise + ": " + broken
		}
		p.text(verdict)
	}
	return all
}
