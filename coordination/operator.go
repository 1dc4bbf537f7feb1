package coordination

import (
	"slices"
	"time"
)

// The rules in this file are those of operators. None of them adds a holder,
// and each asked again after it had its way answers ErrDone.

// RestoredReason is the reason of the halt under which a record stands that
// came from a backup.
const RestoredReason = "restored from a backup"

// Stop halts the fleet in an operator's name. A halt that stands already stays
// as it is, with the one who set it. Only Lift takes it away.
func Stop(who, reason string, now time.Time) Rule {
	return Rule{Change: func(r Record) (Record, error) {
		if r.Halt != nil {
			return r, ErrDone
		}
		r = r.clone()
		r.Halt = &Halt{Who: who, At: now, Reason: reason}
		return r, nil
	}}
}

// Lift takes away what an operator was shown to halt the fleet, and nothing
// else: this very halt (nil: none was shown) and these failures. What has come
// since stays, because nobody has judged it yet: also what a host itself said in
// place of what a watcher had said of it.
func Lift(halt *Halt, failures []Failure) Rule {
	return Rule{Change: func(r Record) (Record, error) {
		lifts := sameHalt(r.Halt, halt)
		shown := func(f Failure) bool {
			return slices.ContainsFunc(failures, func(s Failure) bool {
				return s.Host == f.Host && s.Generation == f.Generation && s.Cause == f.Cause
			})
		}
		if !lifts && !slices.ContainsFunc(r.Failures, shown) {
			return r, ErrDone
		}
		r = r.clone()
		r.Failures = slices.DeleteFunc(r.Failures, shown)
		if lifts {
			r.Halt = nil
		}
		return r, nil
	}}
}

// sameHalt says whether the halt that stands is the one shown. Where both are
// missing there is none to lift.
func sameHalt(stands, shown *Halt) bool {
	return stands != nil && shown != nil && stands.Who == shown.Who && stands.Reason == shown.Reason && stands.At.Equal(shown.At)
}

// Edit changes the policy text by a function of the present one, which also
// validates what it returns. Its error is denied as BadPolicy, and so is a text
// that no record may have.
func Edit(edit func(policy string) (string, error)) Rule {
	return Rule{Change: func(r Record) (Record, error) {
		text, err := edit(r.Policy)
		switch {
		case err != nil:
			return denied(BadPolicy, "the policy is left as it is: %v", err)
		case len(text) > MaxPolicy:
			return denied(BadPolicy, "the policy would have %d bytes, at most %d may be", len(text), MaxPolicy)
		case text == r.Policy:
			return r, ErrDone
		}
		r = r.clone()
		r.Policy = text
		return r, nil
	}}
}

// Free takes the slot of a host that is gone. The generation is that of the
// slot that the operator saw: a later slot of the same host is left alone.
//
// Before the reboot nothing has been proved of the release, so the failure that
// a watcher may have noted goes with the entry. From the reboot on, and in
// phases that this version does not know, it may be the release that took the
// host away: a failure stays behind, with cause CauseFreed, in place of a watcher's
// (see Mark), also where an operator has lifted that since: then nobody knew yet
// that the host would not come back. A sick host's was counted by itself (see Fail).
func Free(host string, generation int64, now time.Time) Rule {
	return Rule{Change: func(r Record) (Record, error) {
		i := r.index(host, generation)
		if i < 0 {
			return r, ErrDone
		}
		gone := r.Holders[i]
		r = r.clone()
		r.Holders = slices.Delete(r.Holders, i, i+1)
		switch {
		case gone.Phase == Granted || gone.Phase == Draining:
			r.withdraw(host, generation)
		case r.failure(host, generation) >= 0:
			r.rename(host, generation, CauseFreed)
		case gone.Phase != Sick:
			r.fail(Failure{Host: host, Generation: generation, Cause: CauseFreed, Release: gone.Target, At: now})
		}
		return r, nil
	}}
}

// Recall asks a holder to go back into service. A sick one does so at its next
// look; one that has not asked for its reboot turns back at its next re-assert.
func Recall(host string, generation int64) Rule {
	return Rule{Change: func(r Record) (Record, error) {
		i := r.index(host, generation)
		if i < 0 {
			return denied(NotHolder, "%s has no slot of generation %d", host, generation)
		}
		if r.Holders[i].Restore {
			return r, ErrDone
		}
		r = r.clone()
		r.Holders[i].Restore = true
		return r, nil
	}}
}

// Allow takes a release off the refused ones. Failures stay.
func Allow(release string) Rule {
	return Rule{Change: func(r Record) (Record, error) {
		if !r.Refuses(release) {
			return r, ErrDone
		}
		r = r.clone()
		r.Refused = slices.DeleteFunc(r.Refused, func(f Refusal) bool { return f.Release == release })
		return r, nil
	}}
}

// Restored is for a record that came from a backup: it may lack holders that
// are out of service now and show some that are not. It gets a new
// incarnation, so that tickets drawn since the backup are void, and is halted
// in the operator's name, over a halt that came with the backup. Holders stay:
// a host that has no use for its entry gives it back by itself.
func Restored(incarnation, who string, now time.Time) Rule {
	return Rule{Change: func(r Record) (Record, error) {
		if r.Incarnation == incarnation {
			return r, ErrDone
		}
		r = r.clone()
		r.Incarnation = incarnation
		r.Queue.Next = max(r.Queue.Next, 1)
		r.Queue.Pointer = r.Queue.Next // nobody waits with a ticket that is void
		for i := range r.Holders {
			r.Holders[i].Ticket = 0
		}
		r.Halt = &Halt{Who: who, At: now, Reason: RestoredReason}
		return r, nil
	}}
}
