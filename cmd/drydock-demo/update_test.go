package main

import (
	"strings"
	"testing"
	"time"
)

func TestUpdatesOf(t *testing.T) {
	entries := entriesOf("i-1", 0)
	// A slot that was returned before anything was done with it is no update.
	entries = append([]entry{{at(-20), "i-1", granted, ""}, {at(-15), "i-1", returned, ""}}, entries...)
	// A later update of the same host, whose grant was seen after its effect.
	second := entriesOf("i-1", 100)
	second[0], second[1] = second[1], second[0]
	entries = append(entries, second...)
	updates := updatesOf(entries, oldRelease)
	if len(updates) != 2 {
		t.Fatalf("got %d updates, want 2", len(updates))
	}
	u := updates[0]
	if u.from != oldRelease || u.to != newRelease || updates[1].from != newRelease {
		t.Errorf("versions %s to %s, then from %s", u.from, u.to, updates[1].from)
	}
	for name, length := range map[string]struct{ got, want time.Duration }{
		"drain":  {u.drain(), 3000 * time.Millisecond},
		"reboot": {u.reboot(), 2600 * time.Millisecond},
		"out":    {u.out(), 6200 * time.Millisecond},
		"beyond": {u.beyond(), 800 * time.Millisecond},
	} {
		if length.got != length.want {
			t.Errorf("%s: got %v, want %v", name, length.got, length.want)
		}
	}
}

// A host that had asked ECS for leave and was given a later slot lost a race,
// and may ask again.
func TestLostRace(t *testing.T) {
	e := good()
	e.add(entry{at(-1), "i-1", askedGate, ""}, entry{at(1), "i-2", askedGate, ""}, entry{at(139), "i-3", askedGate, ""})
	for i, want := range []bool{false, true, false} {
		if got := e.updates[i].lostRace; got != want {
			t.Errorf("%s lost a race: %v, want %v", e.updates[i].host, got, want)
		}
	}
	e.updates[1].ecsCalls = maxECSCalls + raceCalls
	if broken := tooManyCalls(e); broken != "" {
		t.Errorf("the calls of a lost race are not allowed: %s", broken)
	}
	e.updates[0].ecsCalls = maxECSCalls + 1
	if broken := tooManyCalls(e); broken == "" {
		t.Error("the calls of a lost race are allowed without one")
	}
}

// What did not come about has no length.
func TestUpdateWithoutEnd(t *testing.T) {
	u := updatesOf(entriesOf("i-1", 0)[:3], oldRelease)[0]
	if u.reboot() != 0 || u.out() != 0 || u.beyond() != 0 || u.drain() == 0 {
		t.Errorf("reboot %v, out %v, beyond %v, drain %v", u.reboot(), u.out(), u.beyond(), u.drain())
	}
}

func TestTable(t *testing.T) {
	lines := strings.Split(table(good()), "\n")
	for i, want := range []string{
		"host from to drain reboot out of service beyond ECS calls lock writes",
		"host-1 1.25.0 1.26.1 3.0 s 2.6 s 6.2 s 0.8 s 12 5",
		"host-2 1.25.0 1.26.1 3.0 s 2.6 s 6.2 s 0.8 s 12 5",
		"host-3 1.25.0 1.26.1 3.0 s 2.6 s 6.2 s 0.8 s 12 5",
		"mean 3.0 s 2.6 s 6.2 s 0.8 s 12.0 5.0",
		"",
		"updates: 3, from the first grant to the last return: 20.4 s",
		"a returned slot stood free for 0.6 s on average",
		"hosts that lost a race for a slot: 0; ECS calls by idle hosts: 0; agents killed: 0",
	} {
		if got := strings.Join(strings.Fields(lines[i]), " "); got != want {
			t.Errorf("line %d: got %q, want %q", i, got, want)
		}
	}
	if text := table(hangs()); !strings.Contains(text, " none ") || strings.Count(text, " -") < 5 {
		t.Errorf("a host that hangs:\n%s", text)
	}
	if text := table(evidence{}); !strings.Contains(text, "updates: 0") {
		t.Errorf("a run without updates:\n%s", text)
	}
}

// The ledger's idea of where a host is goes by updates: what agents ask in
// between and what is seen late do not move it back.
func TestLedgerAt(t *testing.T) {
	l := newLedger(func(entry) {})
	steps := []struct {
		what fact
		want fact
	}{
		{checked, checked}, {preparing, preparing}, {checked, preparing}, {granted, granted}, {draining, draining},
		{granted, draining}, {killed, draining}, {drained, drained}, {cutOff, drained}, {wentDown, wentDown},
		{returned, returned}, {granted, granted},
	}
	for i, s := range steps {
		l.add("i-1", s.what, "")
		if got := l.at("i-1"); got != s.want {
			t.Errorf("step %d: at %v, want %v", i, got, s.want)
		}
	}
	if n := l.count("i-1", granted); n != 3 {
		t.Errorf("counted %d grants, want 3", n)
	}
	if n := l.count("i-2", granted); n != 0 {
		t.Errorf("counted %d grants of another host", n)
	}
}
