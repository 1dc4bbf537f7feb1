package main

import (
	"slices"
	"time"
)

// update is what one holder of a slot went through, out of the ledger. A
// moment that did not come is zero.
type update struct {
	host               string
	from, to           string // versions that ran before and after
	granted, returned  time.Time
	draining, drained  time.Time
	asked, down, up    time.Time
	connected, active  time.Time
	ecsCalls, dbWrites int
	ecsOps             string // the calls of ECS by operation, in words
	lost               bool   // EC2 terminated the host in it
	lostRace           bool   // it had asked ECS for leave, and another was given the slot
}

// updatesOf puts the entries of a ledger together to updates, in the order in
// which they began. Every host ran the version first.
func updatesOf(entries []entry, first string) []*update {
	var all []*update
	open := make(map[string]*update)
	runs := make(map[string]string)
	for _, e := range entries {
		if runs[e.host] == "" {
			runs[e.host] = first
		}
		switch e.what {
		case cameUp:
			runs[e.host] = e.text
		case hung, terminated:
			runs[e.host] = "none"
		}
		u := open[e.host]
		if u == nil && (e.what == granted || e.what == draining) {
			u = &update{host: e.host, from: runs[e.host]}
			open[e.host] = u
			all = append(all, u)
		}
		if u == nil {
			continue
		}
		u.note(e)
		u.to = runs[e.host]
		if e.what == returned {
			delete(open, e.host)
		}
	}
	for _, u := range all {
		u.lostRace = lostRace(entries, u)
	}
	return slices.DeleteFunc(all, func(u *update) bool { return u.draining.IsZero() })
}

// raceLength is about what a host takes from its question to its grant. A slower
// one is given the allowance of a lost race, too.
const raceLength = 200 * time.Millisecond

// lostRace says whether the host saw a free slot, asked ECS whether it may be
// drained, and was not given that slot.
func lostRace(entries []entry, u *update) bool {
	return slices.ContainsFunc(entries, func(e entry) bool {
		return e.what == askedGate && e.host == u.host && e.at.Before(u.granted.Add(-raceLength))
	})
}

// note takes an entry's moment over. Of what may come twice the first counts
// for what begins, and the last for what ends.
func (u *update) note(e entry) {
	firsts := map[fact]*time.Time{
		granted: &u.granted, draining: &u.draining, askedReboot: &u.asked, wentDown: &u.down,
	}
	lasts := map[fact]*time.Time{
		drained: &u.drained, cameUp: &u.up, connected: &u.connected, nowActive: &u.active, returned: &u.returned,
	}
	u.lost = u.lost || e.what == terminated
	if at, ok := firsts[e.what]; ok && at.IsZero() {
		*at = e.at
	}
	if at, ok := lasts[e.what]; ok {
		*at = e.at
	}
}

// drain is the time from DRAINING to the moment the last task had STOPPED.
func (u *update) drain() time.Duration { return span(u.draining, u.drained) }

// reboot is the time from the accepted reboot request to the ECS agent's
// connection.
func (u *update) reboot() time.Duration { return span(u.asked, u.connected) }

// out is the time out of service: from DRAINING to ACTIVE.
func (u *update) out() time.Duration { return span(u.draining, u.active) }

// beyond is what the update added to drain and reboot while it held the slot:
// the time in which no other host could go on because of Drydock alone.
// It is zero while the slot is not returned.
func (u *update) beyond() time.Duration {
	if u.granted.IsZero() || u.returned.IsZero() {
		return 0
	}
	return span(u.granted, u.returned) - u.drain() - u.reboot()
}

// span is the time between two moments, zero when one of them did not come.
func span(from, to time.Time) time.Duration {
	if from.IsZero() || to.IsZero() {
		return 0
	}
	return to.Sub(from)
}
