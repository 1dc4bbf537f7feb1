package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/drydock-ecs/drydock/coordination"
)

// fleetStatus is what `drydock status --json` prints. Members are added over
// time and neither renamed nor removed. Times are RFC 3339, by the clock of the
// host that they are about; lengths are in seconds.
type fleetStatus struct {
	Fleet string    `json:"fleet"` // cluster ARN
	Table string    `json:"table"`
	Asked time.Time `json:"asked"` // by the clock of this command

	Slots       int         `json:"slots"`        // hosts that may be out of service; 0 when the policy cannot be read
	SlotsUsed   int         `json:"slots_used"`   // holders, stuck ones too
	Halted      string      `json:"halted"`       // why nothing may start; "" when something may
	Halt        *haltStatus `json:"halt"`         // the operator's own halt; null without
	MaxFailures int         `json:"max_failures"` // failures that halt the fleet; 0 when the policy cannot be read
	Policy      string      `json:"policy"`       // its text
	PolicyFault string      `json:"policy_fault"` // why the policy cannot be read; "" when it can
	Generation  int64       `json:"generation"`   // grants so far
	AverageHold int64       `json:"average_hold"` // time from grant to return; 0 before the first return
	Incarnation string      `json:"incarnation"`  // random name of this lock record

	Holders  []holderStatus  `json:"holders"`
	Failures []failureStatus `json:"failures"`
	Refused  []refusalStatus `json:"refused"`
	// Hosts has the holders first, then by phase, then by instance id.
	Hosts []hostStatus `json:"hosts"`
}

type haltStatus struct {
	Who    string    `json:"who"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

type holderStatus struct {
	Host       string    `json:"host"`
	Generation int64     `json:"generation"`
	Phase      string    `json:"phase"`
	Since      time.Time `json:"since"`
	// Until is the announced end of the phase. A holder that is past it may
	// be found stuck by the others.
	Until   time.Time `json:"until"`
	Granted time.Time `json:"granted"`
	From    string    `json:"from"`
	Target  string    `json:"target"`
	Zone    string    `json:"zone"`
	// Seen is the last sign of life: a write of its entry or of its row.
	Seen    time.Time `json:"seen"`
	Stuck   bool      `json:"stuck"`   // it did not keep its announcement and still uses its slot
	Restore bool      `json:"restore"` // an operator asked for its restoration
}

type failureStatus struct {
	Host       string    `json:"host"`
	Generation int64     `json:"generation"`
	Cause      string    `json:"cause"`
	Release    string    `json:"release"`
	At         time.Time `json:"at"`
}

type refusalStatus struct {
	Release string    `json:"release"`
	Host    string    `json:"host"` // that it fell back on
	At      time.Time `json:"at"`
}

// hostStatus is one host, out of its row and of its entry in the record.
type hostStatus struct {
	Host    string    `json:"host"`    // EC2 instance id
	Version string    `json:"version"` // running release; "" when unknown
	Offered string    `json:"offered"` // release that it would install; "" when none
	Phase   string    `json:"phase"`   // "" when unknown
	Since   time.Time `json:"since"`   // begin of the phase
	Reason  string    `json:"reason"`  // why it is not updating; "" when it is
	Slot    int64     `json:"slot"`    // generation of the slot that it holds; 0 without
	Stuck   bool      `json:"stuck"`
	Ticket  int64     `json:"ticket"` // its place in the queue; 0 without
	// Ahead is the number of tickets before it that may still wait, 0 at the
	// front; null when it is not in the queue.
	Ahead *int64            `json:"ahead"`
	Wait  int64             `json:"wait"` // estimated seconds to its turn; 0 when unknown
	Zone  string            `json:"zone"`
	ARN   string            `json:"arn"` // container instance
	Waves map[string]string `json:"waves"`
	Agent string            `json:"agent"` // version of its agent
	// Written is when the host last wrote its row; 0001-01-01T00:00:00Z when
	// it has none.
	Written time.Time `json:"written"`
}

// newFleetStatus puts the record and the rows together.
func newFleetStatus(table, fleet string, r coordination.Record, rows []coordination.HostRow, now time.Time) fleetStatus {
	s := fleetStatus{
		Fleet: fleet, Table: table, Asked: now,
		SlotsUsed: len(r.Holders), Generation: r.Generation, AverageHold: int64(r.AverageHold),
		Policy: r.Policy, Incarnation: r.Incarnation,
		Holders: []holderStatus{}, Failures: []failureStatus{}, Refused: []refusalStatus{}, Hosts: []hostStatus{},
	}
	limits, err := limitsOf(r.Policy)
	if err != nil {
		limits = coordination.Limits{}
		s.PolicyFault, s.Halted = err.Error(), "the policy cannot be read"
	} else {
		s.Slots, s.MaxFailures, s.Halted = limits.Slots, limits.MaxFailures, r.Halted(limits)
	}
	if h := r.Halt; h != nil {
		s.Halt = &haltStatus{h.Who, h.At, h.Reason}
	}
	for _, h := range r.Holders {
		s.Holders = append(s.Holders, holderStatus{
			Host: h.Host, Generation: h.Generation, Phase: string(h.Phase), Since: h.Since, Granted: h.GrantedAt,
			Until: h.Since.Add(seconds(h.Announced)), From: h.From, Target: h.Target, Zone: h.Zone,
			Seen: lastSeen(h, rows), Stuck: h.Stuck, Restore: h.Restore,
		})
	}
	for _, f := range r.Failures {
		s.Failures = append(s.Failures, failureStatus{f.Host, f.Generation, f.Cause, f.Release, f.At})
	}
	for _, f := range r.Refused {
		s.Refused = append(s.Refused, refusalStatus{f.Release, f.Host, f.At})
	}
	s.addHosts(r, limits, rows)
	return s
}

// lastSeen is the last sign of life of a holder.
func lastSeen(h coordination.Holder, rows []coordination.HostRow) time.Time {
	seen := h.Since
	for _, row := range rows {
		if row.Host == h.Host && row.Written.After(seen) {
			seen = row.Written
		}
	}
	return seen
}

// addHosts lists every host that has a row or a slot.
func (s *fleetStatus) addHosts(r coordination.Record, limits coordination.Limits, rows []coordination.HostRow) {
	for _, row := range rows {
		h := hostStatus{
			Host: row.Host, Version: row.Version, Offered: row.Offered, Phase: row.Phase, Since: row.Since,
			Reason: row.Reason, Zone: row.Zone, ARN: row.ARN, Waves: row.Waves, Agent: row.Agent, Written: row.Written,
		}
		if row.Ticket > 0 && row.Ticket < r.Queue.Next {
			place := r.Place(coordination.Ticket{Number: row.Ticket}, limits)
			h.Ticket, h.Ahead = row.Ticket, new(int64(place.Ahead))
			if s.Halted == "" { // nobody's turn comes before that is lifted
				h.Wait = int64(r.Wait(place, limits) / time.Second)
			}
		}
		s.Hosts = append(s.Hosts, h)
	}
	for _, holder := range r.Holders {
		i := slices.IndexFunc(s.Hosts, func(h hostStatus) bool { return h.Host == holder.Host })
		if i < 0 {
			i = len(s.Hosts)
			s.Hosts = append(s.Hosts, hostStatus{Host: holder.Host, Zone: holder.Zone, ARN: holder.ARN})
		}
		s.Hosts[i].hold(holder)
	}
	for i := range s.Hosts {
		s.Hosts[i].miss(s.Asked)
	}
	slices.SortFunc(s.Hosts, byUrgency)
}

// hold adds what the record says of a holder. Of the two phases the later one
// counts, by the host's own clock: the row knows phases that the record does
// not, and it may be lost.
func (h *hostStatus) hold(holder coordination.Holder) {
	h.Slot, h.Stuck, h.Ticket, h.Ahead, h.Wait = holder.Generation, holder.Stuck, 0, nil, 0
	if h.Since.Before(holder.Since) {
		h.Phase, h.Since, h.Reason = string(holder.Phase), holder.Since, ""
	}
	h.Offered = cmp.Or(h.Offered, holder.Target)
}

// lateRow is how much later than the record a host's row may be.
const lateRow = 2 * time.Minute

// miss says of a host that its row shows in an update, and the record without a
// slot, that it was freed: the host is gone, or has not looked since.
func (h *hostStatus) miss(now time.Time) {
	switch coordination.Phase(h.Phase) {
	case coordination.Draining, coordination.Rebooting, coordination.Verifying, coordination.Sick:
		if h.Slot == 0 && h.Reason == "" && now.Sub(h.Written) >= lateRow {
			h.Reason = "its slot was freed: the instance is gone, or its agent does not run"
		}
	}
}

// byUrgency orders holders before the others, then by phase, then by host.
func byUrgency(a, b hostStatus) int {
	holds := func(h hostStatus) int {
		if h.Slot > 0 {
			return 0
		}
		return 1
	}
	return cmp.Or(holds(a)-holds(b), urgency(a.Phase)-urgency(b.Phase), cmp.Compare(a.Host, b.Host))
}

// urgency is the place of a phase in the list: what needs an operator first.
func urgency(phase string) int {
	order := []string{"sick", "restoring", "verifying", "rebooting", "draining", "granted", "waiting", "staging", "starting", "idle"}
	if i := slices.Index(order, phase); i >= 0 {
		return i
	}
	return len(order)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// age puts a length in words, by its largest unit.
func age(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(0, int(d/time.Second)))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d/time.Minute))
	case d < 2*day:
		return fmt.Sprintf("%dh", int(d/time.Hour))
	}
	return fmt.Sprintf("%dd", int(d/day))
}
