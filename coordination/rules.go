package coordination

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Rule is a pure change of the record.
type Rule struct {
	// Change returns the record as it should be. It fails with ErrDone when
	// the record is so already, and with a *Denied when it may not be changed.
	// It must not modify the record it is given.
	Change func(Record) (Record, error)
	// Joins is set for the rules by which a host asks for a slot. After a lost
	// race they wait longer than the others: holders go before joiners.
	Joins bool
}

// ErrDone says that the record is already as the rule wants it.
var ErrDone = errors.New("nothing to change")

// Reason is why a rule was denied.
type Reason string

// The reasons to deny a rule.
const (
	Full        Reason = "full"         // as many holders as slots
	ZoneFull    Reason = "zone_full"    // holders are in as many zones as may be
	FleetHalted Reason = "halted"       // the fleet is halted
	Refused     Reason = "refused"      // the fleet refuses the release
	NotHolder   Reason = "not_holder"   // the host has no slot of this generation
	MarkedStuck Reason = "stuck"        // a watcher gave up on the holder
	Holding     Reason = "holding"      // the host has a slot already, from an earlier grant
	BadPolicy   Reason = "policy"       // the policy text cannot be read
	BadRestore  Reason = "restore_asks" // an operator asked that the host be restored
	NotInTurn   Reason = "not_in_turn"  // others are before the host in the queue
	Lapsed      Reason = "lapsed"       // the ticket is of another incarnation
)

// Denied is the answer of a rule that does not allow the change.
type Denied struct {
	Reason Reason
	Text   string // the reason in words, with the numbers
}

func (d *Denied) Error() string { return d.Text }

// Why returns the reason in err, or "" when err is no denial.
func Why(err error) Reason {
	if d, ok := errors.AsType[*Denied](err); ok {
		return d.Reason
	}
	return ""
}

func denied(reason Reason, format string, args ...any) (Record, error) {
	return Record{}, &Denied{reason, fmt.Sprintf(format, args...)}
}

// Claim is what a host that wants a slot says of itself.
type Claim struct {
	Host, From, Target, Boot, ARN, Zone string
	Announced                           time.Duration // length of the phase granted
	Ticket                              Ticket        // none only where nobody waits
	Widened                             int           // see Widening; it holds while the pointer is at WidenedAt
	WidenedAt                           int64
}

// Grant gives the host a slot in phase granted, with the next generation. It
// is denied while the fleet is halted or refuses the target, while there are
// as many holders as slots, while the zone rule forbids it, and while it is the
// turn of others.
//
// Asked again for the same claim after a lost answer it finds its own entry
// and changes nothing. Any other entry of the host is denied as Holding: the
// host must settle that one first.
func Grant(c Claim, limitsOf LimitsOf, now time.Time) Rule {
	return Rule{Joins: true, Change: func(r Record) (Record, error) {
		if mine, ok := r.Holder(c.Host); ok {
			if mine.Phase == Granted && mine.Target == c.Target && mine.Boot == c.Boot && mine.GrantedAt.Equal(now) {
				return r, ErrDone
			}
			return denied(Holding, "%s has a slot of generation %d in phase %s", c.Host, mine.Generation, mine.Phase)
		}
		limits, err := limitsOf(r.Policy)
		if err != nil {
			return denied(BadPolicy, "the fleet's policy cannot be read: %v", err)
		}
		if err := r.mayStart(c.Target, limits); err != nil {
			return Record{}, err
		}
		if err := r.fits(c.Zone, limits); err != nil {
			return Record{}, err
		}
		if err := r.inTurn(c, limits); err != nil {
			return Record{}, err
		}
		place := r.Place(c.Ticket, limits)
		r = r.clone()
		r.Generation++
		r.Holders = append(r.Holders, Holder{
			Host: c.Host, Generation: r.Generation, Phase: Granted, GrantedAt: now, Since: now,
			Announced: c.Announced.Seconds(), From: c.From, Target: c.Target, Boot: c.Boot, ARN: c.ARN, Zone: c.Zone,
			Ticket: c.Ticket.Number,
		})
		r.serve(c, place)
		return r, nil
	}}
}

// mayStart is the guard that grants and re-asserts share.
func (r Record) mayStart(target string, limits Limits) error {
	if why := r.Halted(limits); why != "" {
		return &Denied{FleetHalted, "the fleet is halted: " + why}
	}
	if r.Refuses(target) {
		return &Denied{Refused, "the fleet refuses release " + target}
	}
	return nil
}

// fits says whether one more holder in the zone is within the limits.
func (r Record) fits(zone string, limits Limits) error {
	if len(r.Holders) >= limits.Slots {
		return &Denied{Full, fmt.Sprintf("%d of %d slots are taken", len(r.Holders), limits.Slots)}
	}
	if limits.MaxZones == 0 {
		return nil
	}
	zones := make(map[string]bool)
	for _, h := range r.Holders {
		zones[h.Zone] = true
	}
	taken := len(zones)
	if zones[zone] = true; len(zones) > limits.MaxZones {
		return &Denied{ZoneFull, fmt.Sprintf("holders are in %d zones and may be in %d", taken, limits.MaxZones)}
	}
	return nil
}

// Reassert enters a phase before the reboot and proves that the host may still
// act: its entry is there with this generation, not stuck, no operator asked
// for its restoration, the fleet is not halted and the target not refused.
// Whoever acts on it acts within a minute or asks again. It always writes,
// because only a write proves that the proof is of now.
func Reassert(host string, generation int64, phase Phase, announced time.Duration, limitsOf LimitsOf, now time.Time) Rule {
	return Rule{Change: func(r Record) (Record, error) {
		i := r.index(host, generation)
		if i < 0 {
			return denied(NotHolder, "%s has no slot of generation %d", host, generation)
		}
		mine := r.Holders[i]
		if mine.Stuck || mine.Phase == Sick {
			return denied(MarkedStuck, "the slot of generation %d was marked stuck, or its holder found sick", generation)
		}
		if mine.Restore {
			return denied(BadRestore, "an operator asked for %s to be restored", host)
		}
		limits, err := limitsOf(r.Policy)
		if err != nil {
			return denied(BadPolicy, "the fleet's policy cannot be read: %v", err)
		}
		if err := r.mayStart(mine.Target, limits); err != nil {
			return Record{}, err
		}
		return r.enter(i, phase, announced, now), nil
	}}
}

// Announce enters a phase after the reboot, when nothing can turn back: it
// asks only that the entry is the host's own. It is for the eyes of the fleet,
// and nobody waits for it: it may arrive after the host was found sick, or in a
// later boot of a sick host. A sick holder stays so until it returns the slot.
func Announce(host string, generation int64, phase Phase, announced time.Duration, now time.Time) Rule {
	return Rule{Change: func(r Record) (Record, error) {
		i := r.index(host, generation)
		if i < 0 {
			return denied(NotHolder, "%s has no slot of generation %d", host, generation)
		}
		if r.Holders[i].Phase == Sick {
			return r, ErrDone
		}
		return r.enter(i, phase, announced, now), nil
	}}
}

// Fail adds the host's failure while it keeps its slot, in phase sick. A
// holder that is sick already has published its failure, also when an operator
// has taken it away since: then nothing changes.
func Fail(host string, generation int64, cause string, announced time.Duration, now time.Time) Rule {
	return Rule{Change: func(r Record) (Record, error) {
		i := r.index(host, generation)
		if i < 0 {
			return denied(NotHolder, "%s has no slot of generation %d", host, generation)
		}
		if r.Holders[i].Phase == Sick {
			return r, ErrDone
		}
		r = r.enter(i, Sick, announced, now)
		r.fail(Failure{Host: host, Generation: generation, Cause: cause, Release: r.Holders[i].Target, At: now})
		return r, nil
	}}
}

// Report is how an update ended, as the fleet needs to know it.
type Report struct {
	Cause   string // cause of the failure; "" when none: an own failure is withdrawn
	Release string // the target
	Refuse  bool   // the fleet must not start the release again
}

// Return publishes how the update ended and gives the slot back, in one
// change, so that no host can see the free slot and not the failure.
//
// When the host's entry is gone, either an earlier answer was lost, and then
// everything stands there already, or someone freed the slot. A failure with
// another cause than that of the report tells of the second: the host knows
// better than who left it there, and its report takes the failure's place.
//
// In no case is a failure added without an entry: it would be counted a second
// time after an operator has taken it away. A refusal is: of a release that
// fell back on a slot that was freed nothing else may tell. It costs a second
// allow where one came between the write and its lost answer.
func Return(host string, generation int64, report Report, now time.Time) Rule {
	return Rule{Change: func(r Record) (Record, error) {
		f := r.failure(host, generation)
		i := r.index(host, generation)
		counts := i >= 0 || f >= 0 && r.Failures[f].Cause != report.Cause
		untold := f < 0 && report.Refuse && !r.Refuses(report.Release)
		if !counts && !untold {
			return r, ErrDone
		}
		published := i >= 0 && r.Holders[i].Phase == Sick // see Fail
		r = r.clone()
		if i >= 0 {
			if p := r.Holders[i].Phase; p == Rebooting || p == Verifying { // others say nothing of how long an update takes
				r.AverageHold = average(r.AverageHold, now.Sub(r.Holders[i].GrantedAt))
			}
			r.Holders = slices.Delete(r.Holders, i, i+1)
		}
		switch {
		case report.Cause == "":
			r.withdraw(host, generation)
		case counts && (f >= 0 || !published):
			r.fail(Failure{Host: host, Generation: generation, Cause: report.Cause, Release: report.Release, At: now})
		}
		if report.Refuse && !r.Refuses(report.Release) {
			r.Refused = append(r.Refused, Refusal{Release: report.Release, Host: host, At: now})
		}
		return r, nil
	}}
}

// maxHold bounds what one hold may add to the average.
const maxHold = 2 * time.Hour

// average moves the average a fifth of the way to the latest hold. A hold
// that a clock has made negative or endless is left out.
func average(before float64, hold time.Duration) float64 {
	if hold <= 0 || hold > maxHold {
		return before
	}
	if before <= 0 {
		return hold.Seconds()
	}
	return before + (hold.Seconds()-before)/5
}

// enter returns a copy of the record in which holder i begins the phase. An
// entry of the same phase begins anew: its holder is alive and needs longer.
func (r Record) enter(i int, phase Phase, announced time.Duration, now time.Time) Record {
	r = r.clone()
	h := &r.Holders[i]
	if now.Equal(h.Since) {
		now = now.Add(1) // its clock stands still: the entry is another one all the same
	}
	h.Phase, h.Since, h.Announced = phase, now, announced.Seconds()
	return r
}

func (r Record) index(host string, generation int64) int {
	return slices.IndexFunc(r.Holders, func(h Holder) bool { return h.Host == host && h.Generation == generation })
}

func (r Record) failure(host string, generation int64) int {
	return slices.IndexFunc(r.Failures, func(f Failure) bool { return f.Host == host && f.Generation == generation })
}

// fail puts the failure into the set: the host's own word replaces what
// others said of the same host and generation. The receiver must be a clone.
func (r *Record) fail(f Failure) {
	if i := r.failure(f.Host, f.Generation); i >= 0 {
		f.kept = r.Failures[i].kept
		r.Failures[i] = f
		return
	}
	r.Failures = append(r.Failures, f)
}

// rename gives a failure that a watcher has named CauseStuck a better cause.
// The receiver must be a clone.
func (r *Record) rename(host string, generation int64, cause string) {
	if i := r.failure(host, generation); i >= 0 && r.Failures[i].Cause == CauseStuck {
		r.Failures[i].Cause = cause
	}
}

// withdraw takes the host's own failure out of the set. The receiver must be
// a clone.
func (r *Record) withdraw(host string, generation int64) {
	if i := r.failure(host, generation); i >= 0 {
		r.Failures = slices.Delete(r.Failures, i, i+1)
	}
}
