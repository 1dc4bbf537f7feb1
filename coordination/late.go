package coordination

import "time"

// CauseStuck is the cause of the failure of a holder that did not keep the
// length it had announced. The host withdraws it if it comes back good.
const CauseStuck = "stuck"

// Entry names one entry of a holder into a phase. The same phase entered anew
// is another entry.
type Entry struct {
	Host       string
	Generation int64
	Phase      Phase
	since      int64 // nanoseconds by the holder's clock: a name, compared with nothing else
}

// Entry is the holder's present entry.
func (h Holder) Entry() Entry {
	return Entry{h.Host, h.Generation, h.Phase, h.Since.UnixNano()}
}

// longestPhase is the longest length that a watcher believes: a soak of a day
// and all that may come before it are shorter.
const longestPhase = 7 * 24 * time.Hour

// length is what the holder announced for its phase.
func (h Holder) length() time.Duration {
	return time.Duration(min(max(h.Announced, 0), longestPhase.Seconds()) * float64(time.Second))
}

// Mark marks the holder stuck and adds its failure, in one change, if this very
// entry still stands. The slot stays used: late is not free. A sick holder is
// not marked, because its failure stands already.
func Mark(e Entry, now time.Time) Rule {
	return Rule{Change: func(r Record) (Record, error) {
		i := r.index(e.Host, e.Generation)
		if i < 0 || r.Holders[i].Entry() != e || r.Holders[i].Stuck || e.Phase == Sick {
			return r, ErrDone
		}
		r = r.clone()
		r.Holders[i].Stuck = true
		if r.failure(e.Host, e.Generation) < 0 {
			r.fail(Failure{Host: e.Host, Generation: e.Generation, Cause: CauseStuck, Release: r.Holders[i].Target, At: now})
		}
		return r, nil
	}}
}

// Prolong announces that the holder is alive and needs longer in the phase that
// it is in. It asks only that the entry is the host's own.
func Prolong(host string, generation int64, announced time.Duration, now time.Time) Rule {
	return Rule{Change: func(r Record) (Record, error) {
		i := r.index(host, generation)
		if i < 0 {
			return denied(NotHolder, "%s has no slot of generation %d", host, generation)
		}
		return r.enter(i, r.Holders[i].Phase, announced, now), nil
	}}
}

// Watch is one process's watch over the holders of a fleet. Any two of its
// looks at one entry tell how long that has stood, by the watcher's own
// monotonic clock; no two clocks are compared. The zero value has seen nothing.
type Watch struct {
	seen map[Entry]sighting
}

type sighting struct {
	first   time.Time // end of the first look that showed the entry
	suspect time.Time // end of the look that found it late; zero: none has
	between int       // answered looks since then
}

// Look notes a look at the record that was begun and ended at these times. It
// returns the holders whose entry has stood for longer than they announced,
// and those of them that may be marked: they were found late at least second
// ago, and the record was read in between. Holders that are stuck already are
// late from the first look on.
func (w *Watch) Look(r Record, began, ended time.Time, second time.Duration) (late []Holder, due []Entry) {
	seen := make(map[Entry]sighting, len(r.Holders))
	for _, h := range r.Holders {
		e := h.Entry()
		s, known := w.seen[e]
		switch {
		case h.Stuck:
			late = append(late, h)
			continue
		case !known:
			s.first = ended
		case began.Sub(s.first) <= h.length():
		case s.suspect.IsZero():
			s.suspect = ended
			late = append(late, h)
		default:
			late = append(late, h)
			if s.between > 0 && began.Sub(s.suspect) >= second && h.Phase != Sick {
				due = append(due, e)
			}
			s.between++
		}
		seen[e] = s
	}
	w.seen = seen
	return late, due
}

// Missed notes that the record could not be read. Whatever was found late is
// found late anew: a holder may have been cut off from the table as well.
func (w *Watch) Missed() {
	for e, s := range w.seen {
		s.suspect, s.between = time.Time{}, 0
		w.seen[e] = s
	}
}

// Suspects says whether a holder was found late that may have to be marked.
func (w *Watch) Suspects() bool {
	for e, s := range w.seen {
		if !s.suspect.IsZero() && e.Phase != Sick {
			return true
		}
	}
	return false
}
