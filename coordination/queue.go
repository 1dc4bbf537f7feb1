package coordination

import (
	"math"
	"math/bits"
	"slices"
	"time"
)

// Ticket is a place in the queue for a slot. It is valid in the incarnation of
// the record that it was drawn in and in no other. The zero value is none.
//
// The record counts tickets and does not list them: nobody knows which of them
// belong to hosts that are gone. What a dead ticket holds up is passed by time,
// see Widening.
type Ticket struct {
	Number      int64  `json:"number"`
	Incarnation string `json:"incarnation"`
}

// Valid says whether the ticket is one of this record's.
func (r Record) Valid(t Ticket) bool {
	return t.Number > 0 && t.Number < r.Queue.Next && t.Incarnation == r.Incarnation
}

// Join draws a ticket: see Drawn. Every call draws another one; a ticket whose
// answer was lost is dead, which costs the fleet one widening.
func Join() Rule {
	return Rule{Joins: true, Change: func(r Record) (Record, error) {
		r.Queue.Next = max(r.Queue.Next, 1) + 1
		r.Queue.Pointer = max(r.Queue.Pointer, 1)
		return r, nil
	}}
}

// Drawn is the ticket that Join has drawn, in the record that it returned.
func (r Record) Drawn() Ticket {
	return Ticket{Number: r.Queue.Next - 1, Incarnation: r.Incarnation}
}

// Place is where a ticket stands at the time of a look.
type Place struct {
	// Ahead is the number of tickets before it that may still be waiting.
	Ahead int
	// Passed: the pointer is behind it. It may take any free slot, and looks
	// rarely, because nobody knows how many there are of its kind.
	Passed bool
	// Free is the number of free slots, never negative.
	Free int
}

// Place says where the ticket stands. Tickets of present holders were served
// out of their turn and wait no more.
func (r Record) Place(t Ticket, limits Limits) Place {
	p := Place{Free: max(limits.Slots-len(r.Holders), 0), Passed: t.Number < r.Queue.Pointer}
	if p.Passed {
		return p
	}
	ahead := t.Number - r.Queue.Pointer
	for _, h := range r.Holders {
		if h.Ticket >= r.Queue.Pointer && h.Ticket < t.Number {
			ahead--
		}
	}
	p.Ahead = int(max(ahead, 0)) // two holders of one ticket are nonsense
	return p
}

// Empty says whether no ticket is waiting that was not passed: then a slot
// needs none.
func (q Queue) Empty() bool { return q.Pointer >= q.Next }

// inTurn says whether the claim's ticket may have a slot now.
func (r Record) inTurn(c Claim, limits Limits) error {
	switch {
	case c.Ticket == Ticket{} && r.Queue.Empty():
		return nil
	case c.Ticket == Ticket{}:
		return &Denied{NotInTurn, "others are in the queue"}
	case !r.Valid(c.Ticket):
		return &Denied{Lapsed, "the ticket is of another incarnation of the lock record"}
	}
	widened := c.Widened
	if c.WidenedAt != r.Queue.Pointer {
		widened = 0 // somebody was served since
	}
	if p := r.Place(c.Ticket, limits); !p.Eligible(widened) {
		return &Denied{NotInTurn, "others are ahead in the queue"}
	}
	return nil
}

// Eligible says whether the place may have a slot, with the range of tickets
// that may have one widened by so many.
func (p Place) Eligible(widened int) bool {
	return p.Free > 0 && (p.Passed || p.Ahead < p.Free+widened)
}

// serve moves the pointer for a claim that gets a slot. A ticket within the
// free slots moves it only when it is the next one; a ticket out of the widened
// range proves that those before it had their time. r has the new holder.
func (r *Record) serve(c Claim, before Place) {
	switch n := c.Ticket.Number; {
	case n == 0 || before.Passed:
	case before.Ahead >= before.Free || n == r.Queue.Pointer:
		r.Queue.Pointer = n + 1
	}
	for r.Queue.Pointer < r.Queue.Next && slices.ContainsFunc(r.Holders, func(h Holder) bool { return h.Ticket == r.Queue.Pointer }) {
		r.Queue.Pointer++
	}
}

// Widening is one waiter's watch over a slot that stands free while the pointer
// does not move: then the tickets that could have it are dead or cannot use it.
// Only the waiter's own looks count, on its own monotonic clock. The zero value
// has seen nothing.
type Widening struct {
	pointer     int64
	generation  int64
	incarnation string
	since, last time.Time
}

// Look notes a look and returns by how many tickets the range is wider for this
// waiter: by 1 after the step, by 3 after two, by 7 after three, and so on, so
// that a long row of dead tickets is passed in little time and those who are
// nearer still go first. open says whether the fleet may start anything.
func (w Widening) Look(r Record, limits Limits, open bool, now time.Time, step time.Duration) (Widening, int) {
	free := limits.Slots > len(r.Holders)
	// Where nobody was granted a slot in between, one that was free stayed so,
	// however long ago the last look was. Else it may have been taken and given back.
	quiet := w.generation == r.Generation || now.Sub(w.last) <= 2*step
	switch {
	case !free || !open:
		return Widening{}, 0
	case w.since.IsZero() || w.pointer != r.Queue.Pointer || w.incarnation != r.Incarnation || !quiet:
		return Widening{r.Queue.Pointer, r.Generation, r.Incarnation, now, now}, 0
	}
	w.last, w.generation = now, r.Generation
	steps := min(int64(now.Sub(w.since)/step), 30)
	return w, 1<<steps - 1
}

// Polling is how often a waiter looks.
type Polling struct {
	Min, Max time.Duration // between two looks
	FreeSlot time.Duration // a free slot is looked at again after this
}

const (
	// unknownHold stands for the average hold before the first slot was returned.
	unknownHold = 10 * time.Minute
	// passedLook is how often a waiter looks that the pointer has passed.
	passedLook = time.Minute
	// caution is the share of the expected wait that a waiter far back sleeps:
	// holds may be much shorter than the average says.
	caution = 0.61
	// nearCaution is that of a waiter that a holder which reboots may serve.
	nearCaution = 0.52
	// farPolls is the least sleep of the others far back, in Polling.Min.
	farPolls = 4
	// shortHold is a hold, as a share of the average, that hardly any is shorter than.
	shortHold = 0.3
)

// Hold is the average time from grant to return, in (0, 2 h].
func (r Record) Hold() time.Duration {
	if r.AverageHold <= 0 {
		return unknownHold
	}
	return scale(time.Second, min(r.AverageHold, maxHold.Seconds()))
}

// Sleep is the time until a waiter in this place should look again. It grows
// with the distance, so that the whole fleet reads about as often as its front.
//
// At the front it goes by the phases of the holders, which say how many slots
// may come free soon: a holder that is verifying gives its slot back within
// seconds, one that is rebooting within a minute or so, one that is draining
// must reboot first.
func (r Record) Sleep(p Place, limits Limits, poll Polling) time.Duration {
	slots := max(limits.Slots, 1)
	every := r.Hold() / time.Duration(slots) // between two returns
	var sleep time.Duration
	soon, later := p.Free+r.count(Verifying), r.count(Rebooting)
	switch behind := p.Ahead - soon; { // returns that must come besides those that come soon
	case p.Passed:
		sleep = passedLook
	case behind < 0, p.Ahead == 0 && soon+later > 0:
		sleep = poll.Min
	case p.Ahead == 0:
		sleep = 3 * poll.Min
	case behind < later:
		sleep = scale(every, nearCaution*float64(behind+1))
		if every > 2*poll.Min { // else many slots come free in the meantime, one as the other
			sleep = min(sleep, 2*poll.Min)
		}
	default:
		sleep = max(r.far(p.Ahead, slots), farPolls*poll.Min)
		if p.Ahead == 1 && soon+later > 0 { // the one before it may be dead, or not able to start
			sleep = min(sleep, 4*poll.FreeSlot)
		}
	}
	// A free slot is nothing strange where one comes free every few seconds, and
	// where many stand free or hand-offs are rare it may be that of the dead.
	if p.Free > 0 && (every > poll.FreeSlot || 4*p.Free >= slots) {
		sleep = min(sleep, p.reach(poll.FreeSlot))
	}
	return within(sleep, poll.Min, poll.Max)
}

// reach is the time after which the widened range comes to this place if the
// pointer does not move: see Widening. With the jitter of sleeps it is a little
// more.
func (p Place) reach(step time.Duration) time.Duration {
	steps := bits.Len(uint(max(p.Ahead-p.Free+1, 1)))
	return time.Duration(steps) * step * 5 / 4
}

// Patience is the sleep of a waiter that a free slot is of no use to, because
// the fleet is halted or holders are in other zones: by the distance alone.
func (r Record) Patience(p Place, limits Limits, poll Polling) time.Duration {
	return within(r.far(p.Ahead, max(limits.Slots, 1)), poll.Min, poll.Max)
}

// far is the sleep of a waiter that no slot of the present holders can reach
// soon: part of the expected wait, and less where chance decides; of the rounds
// of whole holds that must come first each takes its shortest at the least.
func (r Record) far(ahead, slots int) time.Duration {
	hold := r.Hold()
	d := float64(ahead)
	likely := min(caution*d, d-2*math.Sqrt(d)) / float64(slots)
	rounds := shortHold * float64(ahead/slots)
	return scale(hold, max(likely, rounds))
}

func (r Record) count(phase Phase) int {
	n := 0
	for _, h := range r.Holders {
		if h.Phase == phase && !h.Stuck {
			n++
		}
	}
	return n
}

// scale multiplies a length, up to a day: more is never slept.
func scale(d time.Duration, by float64) time.Duration {
	return time.Duration(min(float64(d)*by, float64(24*time.Hour)))
}

func within(d, low, high time.Duration) time.Duration { return min(max(d, low), high) }

// Wait is the expected time until a place gets a slot, for eyes.
func (r Record) Wait(p Place, limits Limits) time.Duration {
	if p.Passed || p.Ahead < p.Free {
		return 0
	}
	return scale(r.Hold(), float64(p.Ahead-p.Free+1)/float64(max(limits.Slots, 1)))
}
