package coordination

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// queueOf is a fleet with so many slots, tickets 1 to last drawn, the pointer
// at pointer, and holders with these tickets.
func queueOf(slots int, pointer, last int64, held ...int64) Record {
	r := NewRecord("first", fmt.Sprintf("%d 1 0", slots))
	r.Queue = Queue{Next: last + 1, Pointer: pointer}
	for _, n := range held {
		r.Generation++
		r.Holders = append(r.Holders, Holder{Host: fmt.Sprint("i-", n), Generation: r.Generation, Phase: Draining, Ticket: n})
	}
	return r
}

func ticket(n int64) Ticket { return Ticket{Number: n, Incarnation: "first"} }

func TestJoinDrawsOneTicketAfterAnother(t *testing.T) {
	r := NewRecord("first", "1 1 0")
	r.Queue = Queue{} // as an old record has it
	for want := int64(1); want <= 3; want++ {
		var err error
		if r, err = Join().Change(r); err != nil {
			t.Fatal(err)
		}
		if got := r.Drawn(); got != ticket(want) || !r.Valid(got) {
			t.Fatalf("ticket %d is %+v, valid %t", want, got, r.Valid(got))
		}
	}
	if r.Queue.Pointer != 1 {
		t.Errorf("joining moved the pointer to %d", r.Queue.Pointer)
	}
	for _, bad := range []Ticket{{}, ticket(4), {Number: 1, Incarnation: "second"}} {
		if r.Valid(bad) {
			t.Errorf("ticket %+v is valid", bad)
		}
	}
}

func TestGrantGoesByTheQueue(t *testing.T) {
	tests := []struct {
		name    string
		record  Record
		ticket  Ticket
		widened int
		want    Reason
		pointer int64 // after the grant
	}{
		{"no ticket, nobody waits", queueOf(1, 4, 3), Ticket{}, 0, "", 4},
		{"no ticket, one waits", queueOf(1, 3, 3), Ticket{}, 0, NotInTurn, 0},
		{"no ticket, one waits, widened", queueOf(1, 3, 3), Ticket{}, 9, NotInTurn, 0},
		{"the next", queueOf(1, 3, 5), ticket(3), 0, "", 4},
		{"the next but one", queueOf(1, 3, 5), ticket(4), 0, NotInTurn, 0},
		{"the next but one, two slots", queueOf(2, 3, 5), ticket(4), 0, "", 3},
		{"the next, after another was before it", queueOf(2, 3, 5, 4), ticket(3), 0, "", 5},
		{"after one that was served out of turn", queueOf(2, 3, 6, 4), ticket(5), 0, NotInTurn, 0},
		{"after it, three slots", queueOf(3, 3, 6, 4), ticket(5), 0, "", 3},
		{"widened over a dead one", queueOf(1, 3, 5), ticket(4), 1, "", 5},
		{"not widened enough", queueOf(1, 3, 9), ticket(7), 3, NotInTurn, 0},
		{"widened over one that holds", queueOf(2, 3, 9, 5), ticket(4), 1, "", 6},
		{"passed", queueOf(1, 5, 9), ticket(2), 0, "", 5},
		{"passed, none free", queueOf(1, 5, 9, 1), ticket(2), 99, Full, 0},
		{"of another incarnation", queueOf(1, 1, 5), Ticket{1, "zeroth"}, 0, Lapsed, 0},
		{"never drawn", queueOf(1, 1, 5), ticket(6), 99, Lapsed, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			claim := claimOf(func(c *Claim) {
				c.Host, c.Ticket, c.Widened, c.WidenedAt = "i-new", test.ticket, test.widened, test.record.Queue.Pointer
			})
			next, err := change(t, test.record, Grant(claim, numbers, clock(9)))
			if Why(err) != test.want || (err == nil) != (test.want == "") {
				t.Fatalf("got %v, want %q", err, test.want)
			}
			if err == nil && next.Queue.Pointer != test.pointer {
				t.Errorf("the pointer is at %d, want %d", next.Queue.Pointer, test.pointer)
			}
			if mine, _ := next.Holder("i-new"); err == nil && mine.Ticket != test.ticket.Number {
				t.Errorf("the holder's ticket is %d", mine.Ticket)
			}
		})
	}
}

func TestWideningHoldsForItsPointerAlone(t *testing.T) {
	claim := claimOf(func(c *Claim) { c.Host, c.Ticket, c.Widened, c.WidenedAt = "i-new", ticket(5), 7, 2 })
	if _, err := change(t, queueOf(1, 3, 9), Grant(claim, numbers, clock(9))); Why(err) != NotInTurn {
		t.Errorf("a range that was widened before another host was served: %v", err)
	}
}

// TestQueueIsFair: live waiters that look often enough are served in the order
// of their tickets, up to the slots that are free at one time, whatever else
// holds slots and whoever dies in the queue.
func TestQueueIsFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slots := rapid.IntRange(1, 4).Draw(t, "slots")
		r := NewRecord("first", fmt.Sprintf("%d 1000 0", slots))
		limits, _ := numbers(r.Policy)
		var waiting []int64 // the slow twin: live tickets in their order
		dead := map[int64]bool{}
		watch := Widening{}
		now := clock(0)
		grant := func(n int64, widened int) error {
			claim := claimOf(func(c *Claim) {
				c.Host, c.Ticket, c.Widened, c.WidenedAt = fmt.Sprint("i-", n), ticket(n), widened, r.Queue.Pointer
			})
			next, err := Grant(claim, numbers, now).Change(r)
			if err == nil {
				r = next
			}
			return err
		}
		t.Repeat(map[string]func(*rapid.T){
			"join": func(t *rapid.T) {
				r, _ = Join().Change(r)
				waiting = append(waiting, r.Drawn().Number)
			},
			"die": func(t *rapid.T) {
				if len(waiting) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(waiting)-1).Draw(t, "who")
				dead[waiting[i]] = true
				waiting = slices.Delete(waiting, i, i+1)
			},
			"return": func(t *rapid.T) {
				if len(r.Holders) == 0 {
					t.Skip()
				}
				h := rapid.SampledFrom(r.Holders).Draw(t, "who")
				r, _ = Return(h.Host, h.Generation, Report{}, now).Change(r)
			},
			"look in turn": func(t *rapid.T) { // everybody looks once, in any order
				now = now.Add(5 * time.Second)
				var widened int
				watch, widened = watch.Look(r, limits, true, now, 15*time.Second)
				for _, n := range rapid.Permutation(slices.Clone(waiting)).Draw(t, "order") {
					place, free, pointer := slices.Index(waiting, n), slots-len(r.Holders), r.Queue.Pointer
					before := len(slices.DeleteFunc(slices.Clone(waiting[:place]), func(w int64) bool { return w < pointer }))
					if err := grant(n, widened); err != nil {
						if place == 0 && free > 0 && len(dead) == 0 {
							t.Fatalf("the first of the live waiters, %d, is denied with %d slots free: %v\n%+v", n, free, err, r.Queue)
						}
						continue
					}
					if widened == 0 && before >= free && n >= pointer {
						t.Fatalf("ticket %d was served before %d others, with %d slots free", n, before, free)
					}
					waiting = slices.Delete(waiting, place, place+1)
				}
			},
			"": func(t *rapid.T) {
				if r.Queue.Pointer > r.Queue.Next || len(r.Holders) > slots {
					t.Fatalf("queue %+v, %d holders of %d slots", r.Queue, len(r.Holders), slots)
				}
			},
		})
		// At rest nobody starves: everybody looks, and slots come free.
		for rounds := 0; len(waiting) > 0; rounds++ {
			if rounds > 40+8*len(dead)+4*len(waiting) {
				t.Fatalf("%d hosts starve behind %+v, holders %v, dead %v", len(waiting), r.Queue, r.Holders, dead)
			}
			for len(r.Holders) > 0 {
				r, _ = Return(r.Holders[0].Host, r.Holders[0].Generation, Report{}, now).Change(r)
			}
			now = now.Add(5 * time.Second)
			var widened int
			watch, widened = watch.Look(r, limits, true, now, 15*time.Second)
			waiting = slices.DeleteFunc(waiting, func(n int64) bool { return grant(n, widened) == nil })
		}
	})
}

func TestWideningWantsOneUnbrokenWatch(t *testing.T) {
	const step = 15 * time.Second
	free, taken, moved := queueOf(1, 3, 99), queueOf(1, 3, 99, 1), queueOf(1, 4, 99)
	restored, granted := queueOf(1, 3, 99), queueOf(1, 3, 99)
	restored.Incarnation = "second"
	granted.Generation = 7
	type look struct {
		after  time.Duration
		record Record
		closed bool
		want   int
	}
	tests := []struct {
		name  string
		looks []look
	}{
		{"doubles", []look{{0, free, false, 0}, {14 * time.Second, free, false, 0}, {time.Second, free, false, 1}, {step, free, false, 3}, {step, free, false, 7}, {step, free, false, 15}}},
		{"taken in between", []look{{0, free, false, 0}, {step, taken, false, 0}, {step, free, false, 0}, {step, free, false, 1}}},
		{"pointer moved", []look{{0, free, false, 0}, {step, moved, false, 0}, {step, moved, false, 1}}},
		{"another incarnation", []look{{0, free, false, 0}, {step, restored, false, 0}}},
		{"long not looked, nobody was granted", []look{{0, free, false, 0}, {5 * step, free, false, 31}}},
		{"long not looked, somebody was granted", []look{{0, free, false, 0}, {2*step + 1, granted, false, 0}, {step, granted, false, 1}}},
		{"granted between two looks that follow", []look{{0, free, false, 0}, {step, granted, false, 1}}},
		{"halted in between", []look{{0, free, false, 0}, {step, free, true, 0}, {step, free, false, 0}}},
		{"never without end", []look{{0, free, false, 0}, {step, free, false, 1}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var w Widening
			now := clock(0)
			for i, l := range test.looks {
				limits, _ := numbers(l.record.Policy)
				now = now.Add(l.after)
				var got int
				if w, got = w.Look(l.record, limits, !l.closed, now, step); got != l.want {
					t.Fatalf("look %d: wider by %d, want %d", i+1, got, l.want)
				}
			}
		})
	}
	var w Widening
	now, widest := clock(0), 0
	for range 1000 {
		w, widest = w.Look(free, Limits{Slots: 1}, true, now, step)
		now = now.Add(step)
	}
	if widest < 1<<20 || widest != 1<<30-1 {
		t.Errorf("after four hours the range is wider by %d", widest)
	}
}

func TestSleepGrowsWithTheDistance(t *testing.T) {
	poll := Polling{Min: 5 * time.Second, Max: 30 * time.Minute, FreeSlot: 15 * time.Second}
	holders := func(phases ...Phase) func(*Record) {
		return func(r *Record) {
			for i, p := range phases {
				r.Holders = append(r.Holders, Holder{Host: fmt.Sprint("h", i), Generation: 1, Phase: p})
			}
		}
	}
	stuckOne := func(r *Record) { r.Holders[0].Stuck = true }
	of := func(slots int, changes ...func(*Record)) Record {
		r := queueOf(slots, 1, 20000)
		r.AverageHold = 600
		for _, c := range changes {
			c(&r)
		}
		return r
	}
	tests := []struct {
		name   string
		record Record
		ticket int64
		want   time.Duration
	}{
		{"front, the holder verifies", of(1, holders(Verifying)), 1, 5 * time.Second},
		{"front, the holder reboots", of(1, holders(Rebooting)), 1, 5 * time.Second},
		{"front, the holder drains", of(1, holders(Draining)), 1, 15 * time.Second},
		{"front, the holder is stuck", of(1, holders(Verifying), stuckOne), 1, 15 * time.Second},
		{"front, a slot is free", of(1), 1, 5 * time.Second},
		{"one ahead: a whole hold must come first", of(1, holders(Draining)), 2, 180 * time.Second},
		{"one ahead, who may be dead, and a slot comes free soon", of(1, holders(Rebooting)), 2, time.Minute},
		{"far: never longer than the most", of(1, holders(Draining)), 50, 30 * time.Minute},
		{"one ahead of two verifying", of(3, holders(Verifying, Verifying, Draining)), 2, 5 * time.Second},
		{"one ahead, one reboots", of(10, holders(Rebooting, Draining, Draining, Draining, Draining, Draining, Draining, Draining, Draining, Draining)), 2, 20 * time.Second},
		{"far in a large fleet", of(100, holders(slices.Repeat([]Phase{Draining}, 100)...)), 201, 732 * time.Second},
		{"a slot stands free", of(1), 3, 37500 * time.Millisecond},
		{"a slot stands free, far back", of(1), 30, 93750 * time.Millisecond},
		{"half of the slots stand free", of(100, holders(slices.Repeat([]Phase{Draining}, 50)...)), 5001, 243750 * time.Millisecond},
		{"one slot of many stands free", of(100, holders(slices.Repeat([]Phase{Draining}, 99)...)), 201, 732 * time.Second},
		{"passed", of(1, func(r *Record) { r.Queue.Pointer = 9 }, holders(Draining)), 4, time.Minute},
		{"passed, and a slot is free", of(1, func(r *Record) { r.Queue.Pointer = 9 }), 4, 18750 * time.Millisecond},
		{"nothing was returned yet", of(1, func(r *Record) { r.AverageHold = 0 }, holders(Draining)), 3, 360 * time.Second},
		{"an average that makes no sense", of(1, func(r *Record) { r.AverageHold = 1e300 }, holders(Draining)), 20000, 30 * time.Minute},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			limits, _ := numbers(test.record.Policy)
			place := test.record.Place(ticket(test.ticket), limits)
			if got := test.record.Sleep(place, limits, poll); got != test.want {
				t.Errorf("%+v sleeps %s, want %s", place, got, test.want)
			}
		})
	}
}

// TestSleepKeepsItsBounds for any record that may be stored.
func TestSleepKeepsItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := genRecord(t)
		limits := Limits{Slots: rapid.IntRange(0, 100).Draw(t, "slots")}
		poll := Polling{Min: time.Second, Max: time.Hour, FreeSlot: 15 * time.Second}
		at := Ticket{rapid.Int64Range(1, 1<<62).Draw(t, "number"), r.Incarnation}
		place := r.Place(at, limits)
		if place.Ahead < 0 || place.Free < 0 {
			t.Fatalf("place %+v", place)
		}
		if got := r.Sleep(place, limits, poll); got < poll.Min || got > poll.Max {
			t.Fatalf("sleeps %s", got)
		}
		if got := r.Wait(place, limits); got < 0 || got > 24*time.Hour {
			t.Fatalf("waits %s", got)
		}
	})
}

func TestJoinIsNotRepeatable(t *testing.T) {
	r := queueOf(1, 1, 3)
	once, _ := Join().Change(r)
	twice, err := Join().Change(once)
	if err != nil || errors.Is(err, ErrDone) || twice.Drawn() == once.Drawn() {
		t.Errorf("a second Join drew %+v after %+v: %v", twice.Drawn(), once.Drawn(), err)
	}
}

// TestRowsOfDeadTicketsArePassed: whatever the size of the fleet, and however
// rarely a waiter looks, slots that stand free are not left to the dead.
func TestRowsOfDeadTicketsArePassed(t *testing.T) {
	for _, test := range []struct {
		slots, dead int
		hold        float64 // seconds; 0: not known yet
		least       time.Duration
		within      time.Duration
	}{
		{1, 1, 0, 5 * time.Second, time.Minute},
		{1, 20, 0, 5 * time.Second, 5 * time.Minute},
		{10, 20, 0, 5 * time.Second, 5 * time.Minute},
		{10, 20, 120, 5 * time.Second, 5 * time.Minute},
		{12, 20, 180, 5 * time.Second, 5 * time.Minute},
		{40, 1000, 0, 5 * time.Second, 10 * time.Minute},
		{100, 5000, 300, 5 * time.Second, 10 * time.Minute},
		{1, 1, 0, 40 * time.Second, 3 * time.Minute}, // looks more rarely than free_slot_look
	} {
		poll := Polling{Min: test.least, Max: 30 * time.Minute, FreeSlot: 15 * time.Second}
		r := queueOf(test.slots, 1, int64(test.dead)+1)
		r.AverageHold = test.hold
		limits, _ := numbers(r.Policy)
		mine := ticket(int64(test.dead) + 1)
		var watch Widening
		now, looks := clock(0), 0
		for ; now.Sub(clock(0)) < 24*time.Hour; looks++ {
			var widened int
			watch, widened = watch.Look(r, limits, true, now, poll.FreeSlot)
			claim := claimOf(func(c *Claim) {
				c.Host, c.Ticket, c.Widened, c.WidenedAt = "i-new", mine, widened, r.Queue.Pointer
			})
			if _, err := Grant(claim, numbers, now).Change(r); err == nil {
				break
			}
			now = now.Add(r.Sleep(r.Place(mine, limits), limits, poll))
		}
		if took := now.Sub(clock(0)); took > test.within {
			t.Errorf("%+v: it took %s and %d looks", test, took, looks)
		}
	}
}

// A record that was set back by hand stays one that can be read.
func TestGrantLeavesNoNonsense(t *testing.T) {
	r := queueOf(2, 1, 0, 1)
	next, err := Grant(claimOf(func(c *Claim) { c.Host = "i-new" }), numbers, clock(9)).Change(r)
	if err != nil {
		t.Fatal(err)
	}
	mustDecode(t, stored(t, next))
}

func TestPlaceOfNonsense(t *testing.T) {
	r := queueOf(1, 1, 9, 1, 1)
	if p := r.Place(ticket(2), Limits{Slots: 1}); p.Ahead != 0 {
		t.Errorf("two holders of one ticket leave %d ahead", p.Ahead)
	}
}

// TestRestoredQueue: a new incarnation voids all tickets, so none is ahead of the
// first that is drawn in it, and none belongs to a present holder.
func TestRestoredQueue(t *testing.T) {
	r := queueOf(2, 1, 5001, 5002) // a holder that has the ticket to be drawn next
	r, err := Restored("second", "ann", clock(0)).Change(r)
	if err != nil {
		t.Fatal(err)
	}
	r, err = Join().Change(r)
	if err != nil {
		t.Fatal(err)
	}
	limits, _ := numbers(r.Policy)
	if p := r.Place(r.Drawn(), limits); !r.Valid(r.Drawn()) || p != (Place{Free: 1}) {
		t.Errorf("ticket %+v is in place %+v", r.Drawn(), p)
	}
	if r.Holders[0].Ticket != 0 {
		t.Errorf("a holder has ticket %d of the incarnation before", r.Holders[0].Ticket)
	}
}
