package agent_test

import (
	"testing"
	"time"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/coordination"
)

// others puts so many tickets before the host, and a holder.
func others(n int64) func(*world) {
	return func(w *world) {
		slotTaken(w)
		w.operate("", func(r *coordination.Record) { r.Queue = coordination.Queue{Next: n + 1, Pointer: 1} })
	}
}

// A ticket outlives the process.
func TestTicketSurvivesRestart(t *testing.T) {
	inWorld(t, options{prepare: others(3)}, func(w *world) {
		p := w.start()
		w.untilPhase(agent.Waiting, time.Hour)
		w.wantReason("waiting for a slot: ticket 4")
		p.die()
		w.startAgent(agentRestart)
		w.pass(agentRestart + 20*time.Second)
		w.untilPhase(agent.Waiting, 20*time.Second) // not after a sixth of check_interval: its turn may come
		w.pass(time.Minute)
		w.wantReason("waiting for a slot: ticket 4")
		if r := w.record(); r.Queue.Next != 5 {
			t.Errorf("the next ticket is %d", r.Queue.Next)
		}
	})
}

// A ticket of a record that was made anew is void.
func TestTicketIsOfOneIncarnation(t *testing.T) {
	inWorld(t, options{prepare: others(3)}, func(w *world) {
		w.start()
		w.untilPhase(agent.Waiting, time.Hour)
		w.rule("restores a backup", coordination.Restored("second", operator, time.Now()))
		w.operate("lifts the halt", func(r *coordination.Record) { r.Halt = nil })
		w.pass(time.Hour)
		w.wantReason("waiting for a slot: ticket 5")
	})
}

// Dead tickets before the host hold it up for a minute or two, not for ever.
func TestDeadTicketsArePassed(t *testing.T) {
	inWorld(t, options{prepare: others(20)}, func(w *world) {
		w.start()
		w.untilPhase(agent.Waiting, time.Hour)
		w.pass(time.Minute)
		w.operate("frees the slot", func(r *coordination.Record) { r.Holders = nil })
		w.until("its turn", 40*time.Minute, func() bool { _, holds := w.record().Holder(mine); return holds })
		if r := w.record(); r.Queue.Pointer != 22 {
			t.Errorf("the pointer is at %d", r.Queue.Pointer)
		}
		w.untilUpdated()
	})
}

// A host whose own gate is red leaves the lock alone: no write at all, and no
// more looks than an idle host takes.
func TestRedGateLeavesTheLockAlone(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		w.leaving = "the Auto Scaling group wants it Terminated"
		reads := counted(w, "record:read")
		w.start()
		w.untilPhase(agent.Waiting, time.Hour)
		before := reads.Load()
		w.pass(5 * time.Hour)
		if n := reads.Load() - before; n > 6 {
			t.Errorf("looked %d times in five hours", n)
		}
		if n := w.writes(); n > 0 {
			t.Errorf("wrote the record %d times", n)
		}
		w.mu.Lock()
		w.leaving = ""
		w.mu.Unlock()
		w.untilUpdated()
	})
}

// A waiter far back looks seldom; one at the front looks every few seconds.
func TestWaitersSleepByTheirDistance(t *testing.T) {
	looks := func(ahead int64) (n int64) {
		inWorld(t, options{prepare: others(ahead)}, func(w *world) {
			reads := counted(w, "record:read")
			w.start()
			w.untilPhase(agent.Waiting, time.Hour)
			w.pass(time.Minute)
			before := reads.Load()
			w.pass(time.Hour)
			n = reads.Load() - before
		})
		return n
	}
	if n := looks(0); n < 200 || n > 320 { // every 15 s: the holder has its reboot before it
		t.Errorf("the front looked %d times in an hour", n)
	}
	if n := looks(1); n < 16 || n > 26 { // every 180 s ±20 %
		t.Errorf("the next looked %d times in an hour", n)
	}
	if n := looks(50); n > 4 {
		t.Errorf("one far back looked %d times in an hour", n)
	}
}

// Who turns back takes a new ticket.
func TestTurnedBackJoinsAtTheEnd(t *testing.T) {
	inWorld(t, options{services: slowToLeave(2 * time.Hour), prepare: others(2)}, func(w *world) {
		w.start()
		w.untilPhase(agent.Waiting, time.Hour)
		w.operate("frees the slot", func(r *coordination.Record) { r.Holders = nil })
		w.untilPhase(agent.Draining, time.Hour)
		if h, _ := w.record().Holder(mine); h.Ticket != 3 {
			t.Errorf("it holds with ticket %d", h.Ticket)
		}
		w.until("turned back", time.Hour, w.atRest)
		slotTaken(w)
		w.untilPhase(agent.Waiting, 3*time.Hour)
		w.pass(5 * time.Minute)
		w.wantReason("waiting for a slot: ticket 4")
	})
}

// The waiters of an earlier release leave a long row of dead tickets: their slots
// are not left to them.
func TestDeadRowInALargeFleet(t *testing.T) {
	inWorld(t, options{policy: "slots = 40\nmax_failures = 1\n", prepare: func(w *world) {
		w.operate("", func(r *coordination.Record) { r.Queue = coordination.Queue{Next: 1001, Pointer: 1} })
	}}, func(w *world) {
		w.start()
		w.untilUpdated()
	})
}

// Where a free slot is of no use, those far back look as rarely as ever.
func TestUselessSlotWakesNobody(t *testing.T) {
	far := func(w *world) {
		w.operate("", func(r *coordination.Record) { r.Queue = coordination.Queue{Next: 10000, Pointer: 1} })
	}
	reads := func(o options, spoil func(*world)) (n int64) {
		o.prepare = func(w *world) { far(w); spoil(w) }
		inWorld(t, o, func(w *world) {
			w.start()
			w.pass(3 * time.Hour)
			count := counted(w, "record:read")
			w.pass(12 * time.Hour)
			n = count.Load()
		})
		return n
	}
	halted := reads(options{}, func(w *world) {
		w.operate("", func(r *coordination.Record) { r.Queue.Next = 10001 })
		time.AfterFunc(2*time.Hour, func() {
			w.operate("halts", func(r *coordination.Record) { r.Halt = &coordination.Halt{Who: operator, Reason: "x"} })
		})
		slotTaken(w)
		time.AfterFunc(2*time.Hour+time.Minute, func() { w.operate("returns the slot", func(r *coordination.Record) { r.Holders = nil }) })
	})
	zones := reads(options{policy: "slots = 2\nmax_failures = 2\nmax_zones = 1\n"}, func(w *world) {
		slotTaken(w)
		w.operate("", func(r *coordination.Record) { r.Holders[0].Zone = "elsewhere" })
	})
	if halted > 40 || zones > 40 {
		t.Errorf("in twelve hours the record was read %d times under a halt, %d times where the zone is full", halted, zones)
	}
}
