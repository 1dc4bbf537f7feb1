package agent_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/coordination"
)

// explained asks the host as `drydock explain` does, beside its agent.
func explained(w *world) map[string]agent.Answer {
	w.Helper()
	settings := agent.DefaultConfig()
	settings.Cluster = w.cluster.ARN()
	answers := map[string]agent.Answer{}
	for _, a := range agent.Explain(w.Context(), settings, (&process{world: w}).ports()) {
		if _, twice := answers[a.Gate]; twice {
			w.Errorf("gate %s answers twice", a.Gate)
		}
		answers[a.Gate] = a
	}
	return answers
}

func encoded(w *world) string {
	body, err := w.record().Encode()
	if err != nil {
		w.Error(err)
	}
	return string(body)
}

func TestExplainAsksEveryGate(t *testing.T) {
	everyGate := "instance intent lock release policy refused downgrade back-off halt window leaving registered drain turn"
	tests := []struct {
		name    string
		options options
		spoil   func(w *world)
		gates   map[string]string // gate → "verdict: part of the text"
	}{
		{"all open", options{}, func(w *world) { w.operate("frees", func(r *coordination.Record) { r.Holders = nil }) }, nil},
		{"behind others", options{}, func(*world) {}, map[string]string{"turn": "shut: 0 of 1 slots are free; ticket 1, 0 ahead, in about 10m"}},
		{"halted, outside the window, leaving", options{policy: "[[window]]\ndays = [\"sat\"]\nstart = \"22:00\"\nlength = \"4h\"\n"}, func(w *world) {
			w.rule("halts", coordination.Stop("ann", "lunch", time.Now()))
			w.leaving = "Spot interruption"
		}, map[string]string{"halt": "shut: halted by ann: lunch", "window": "shut: next window Sat 22:00", "leaving": "shut: Spot interruption", "turn": "shut: "}},
		{"the table is away", options{}, func(w *world) { w.cutTable(true) }, map[string]string{"lock": "unknown: "}},
		{"ECS does not answer", options{}, func(w *world) { w.fail(errors.New("throttled"), "ecs:look") },
			map[string]string{"drain": "unknown: whether the host can be drained is not known: throttled", "turn": "shut: "}},
		{"a copied disk", options{}, func(w *world) { w.intent = []byte(`{"schema":1,"instance":"i-9"}`) },
			map[string]string{"intent": "shut: it is of i-9: the disk was copied", "turn": "shut: "}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.options.prepare = slotTaken
			inWorld(t, test.options, func(w *world) {
				w.start()
				w.until("staged", 2*time.Hour, func() bool { return w.phase() == "waiting" })
				w.pass(time.Minute)
				w.process.die()
				w.stopped = true
				test.spoil(w)
				file, record := string(w.file()), encoded(w)
				answers := explained(w)
				if string(w.file()) != file || encoded(w) != record {
					t.Error("explaining changed the intent file or the record")
				}
				for gate, want := range test.gates {
					verdict, text, _ := strings.Cut(want, ": ")
					if a := answers[gate]; string(a.Verdict) != verdict || !strings.Contains(a.Text, text) {
						t.Errorf("gate %s is %s: %s; want %s", gate, a.Verdict, a.Text, want)
					}
				}
				if test.gates["lock"] != "" {
					return
				}
				for gate := range strings.FieldsSeq(everyGate) {
					a, asked := answers[gate]
					if _, mayBeShut := test.gates[gate]; !asked || !mayBeShut && a.Verdict != agent.Open {
						t.Errorf("gate %s: asked %t, %s: %s", gate, asked, a.Verdict, a.Text)
					}
				}
			})
		})
	}
}

// An update that is under way is said, and nothing of it is touched.
func TestExplainBesideAnUpdate(t *testing.T) {
	inWorld(t, options{services: slowToLeave(20 * time.Minute)}, func(w *world) {
		w.start()
		w.untilPhase(agent.Draining, time.Hour)
		w.pass(time.Minute)
		writes, drains := w.writes(), w.drains()
		answers := explained(w)
		if a := answers["intent"]; a.Verdict != agent.Shut || !strings.Contains(a.Text, "an update from 1.50.0 to 1.51.0 is under way: draining, generation 1") {
			t.Errorf("intent: %+v", a)
		}
		if a := answers["drain"]; a.Verdict != agent.Shut {
			t.Errorf("drain: %+v", a)
		}
		if w.writes() != writes || w.drains() != drains {
			t.Error("explaining wrote the record or drained")
		}
		w.untilUpdated()
	})
}

// What the agent would not use is no reason to fall over.
func TestExplainOfOddIntents(t *testing.T) {
	for name, intent := range map[string]string{
		"newer":   `{"schema":2,"instance":"i-1","duty":{"instance":"i-1","fleet":"f","table":"t","boot":"b","generation":1}}`,
		"foreign": `{"schema":1,"instance":"i-9","duty":{"instance":"i-9","fleet":"f","table":"t","boot":"b","generation":1},"memory":{}}`,
		"damaged": `{"schema":`,
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, options{intent: intent}, func(w *world) {
				answers := explained(w)
				if a := answers["intent"]; a.Verdict == agent.Open || answers["lock"].Gate == "" {
					t.Errorf("intent %+v, lock %+v", a, answers["lock"])
				}
			})
		})
	}
}
