package agent_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/smithy-go"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/apiclientx"
	"github.com/drydock-ecs/drydock/apiclientx/apitest"
	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/coordination/coordtest"
	"github.com/drydock-ecs/drydock/internal/ecstest"
	"github.com/drydock-ecs/drydock/internal/hint"
)

// remembers is the intent file of a host that has nothing to undo.
const remembers = `{"schema":1,"instance":"i-1","duty":null,"memory":{"attempts":null}}`

// badDay is a day on which nothing may start, for a reason that goes away.
type badDay struct {
	name    string
	options options
	cause   func(w *world) (heal func()) // before the agent starts
	// The line of the log that tells of it.
	level                slog.Level
	message, err, advice string
	reason               string // in the host's row; "-": there is no row
	asks                 bool   // ECS may be asked
	restarts             bool   // the agent ends again and again
}

func refusing(err error, advice string, acts ...string) func(w *world) func() {
	return func(w *world) func() { return w.fail(hint.Wrap(err, advice), acts...) }
}

func badDays() []badDay {
	const rows, reads = "row", "record:read"
	return []badDay{
		{name: "no API socket", restarts: true, cause: func(w *world) func() { w.api.StopAPI(); return w.api.StartAPI },
			level: slog.LevelWarn, message: "the Bottlerocket API does not answer", err: "unreachable", advice: "/run/api.sock",
			reason: "the Bottlerocket API does not answer"},
		{name: "no ECS agent", cause: func(w *world) func() { w.cluster.AgentDown(mine); return func() { w.cluster.AgentUp(mine) } },
			level: slog.LevelWarn, message: "the local ECS agent does not answer", err: "connection refused", advice: "journalctl -u ecs",
			reason: "the local ECS agent does not answer"},
		{name: "no ECS agent, and the cluster unknown", options: options{nameless: true, intent: remembers},
			cause: func(w *world) func() { w.cluster.AgentDown(mine); return func() { w.cluster.AgentUp(mine) } },
			level: slog.LevelWarn, message: "which cluster this host is in is not known", advice: "set cluster in the settings", reason: "-"},
		{name: "no ECS agent, the cluster unknown, and no memory", options: options{nameless: true},
			cause: func(w *world) func() { w.cluster.AgentDown(mine); return func() { w.cluster.AgentUp(mine) } },
			level: slog.LevelWarn, message: "no intent file, and the lock record cannot be read", advice: "set cluster in the settings", reason: "-"},
		{name: "no metadata service", cause: refusing(errors.New("no route"), "", "imds:identity"),
			level: slog.LevelWarn, message: "the instance metadata service does not say which instance this is", err: "no route", advice: "IMDSv2", reason: "-"},
		{name: "metadata service says nothing of leaving", cause: refusing(errors.New("no route"), "", "imds:leaving"),
			level: slog.LevelWarn, message: "whether the instance is about to leave is not known", err: "no route",
			reason: "whether the instance is about to leave is not known"},
		{name: "no table", options: options{intent: remembers}, cause: refusing(coordination.ErrNoTable, "run: drydock init", reads, rows),
			level: slog.LevelWarn, message: "there is no lock table: nothing is started", err: "no such table", advice: "drydock init", reason: "-"},
		{name: "no table, and no memory", cause: refusing(coordination.ErrNoTable, "run: drydock init", reads, rows),
			level: slog.LevelWarn, message: "no intent file, and the lock record cannot be read", err: "no such table", advice: "drydock init", reason: "-"},
		{name: "no record", options: options{intent: remembers, noRecord: true}, cause: func(w *world) func() { return w.createRecord },
			level: slog.LevelWarn, message: "there is no lock record for this cluster: nothing is started", err: "no lock record",
			reason: "there is no lock record for this cluster"},
		{name: "table denied", options: options{intent: remembers}, cause: refusing(errors.New("access denied"), "allow dynamodb:GetItem", reads),
			level: slog.LevelWarn, message: "the lock table cannot be read: nothing is started", err: "access denied", advice: "allow dynamodb:GetItem",
			reason: "the lock table cannot be read"},
		{name: "table may be read and not written", cause: refusing(errors.New("access denied"), "allow dynamodb:PutItem", "record:granted"),
			level: slog.LevelWarn, message: "the slot could not be asked for", err: "access denied", advice: "allow dynamodb:PutItem",
			reason: "the slot could not be asked for", asks: true},
		{name: "table unreachable", options: options{intent: remembers},
			cause: func(w *world) func() { w.cutTable(true); return func() { w.cutTable(false) } },
			level: slog.LevelWarn, message: "the lock table cannot be read: nothing is started", err: "no answer", reason: "-"},
		{name: "record of a newer schema", options: options{intent: remembers}, cause: recordIs(`{"schema":2,"incarnation":{"a":1}}`),
			level: slog.LevelWarn, message: "the lock record is of a newer version of Drydock: nothing is started", err: "newer schema",
			reason: "the lock record is of a newer version of Drydock"},
		{name: "record of nonsense", options: options{intent: remembers}, cause: recordIs(`{"schema":1,"holders":"none"}`),
			level: slog.LevelWarn, message: "the lock record makes no sense: nothing is started", err: "makes no sense",
			reason: "the lock record makes no sense"},
		{name: "policy that cannot be read", cause: policyIs("slots = 1\nslotz = 2\nwindows = 1\n"),
			level: slog.LevelInfo, message: "still idle", reason: "the fleet's policy cannot be read: policy:2: slotz"},
		{name: "outside the window", cause: policyIs("[[window]]\ndays = [\"mon\"]\nstart = \"02:00\"\nlength = \"3h\"\n"),
			level: slog.LevelInfo, message: "still waiting", reason: "outside the maintenance window"},
		{name: "halted", cause: operated(func(r *coordination.Record) { r.Halt = &coordination.Halt{Who: operator, Reason: "to look"} }),
			level: slog.LevelInfo, message: "still waiting", reason: "the fleet is halted: halted by operator: to look"},
		{name: "refused release", cause: operated(func(r *coordination.Record) { r.Refused = []coordination.Refusal{{Release: newRelease, Host: other}} }),
			level: slog.LevelInfo, message: "still idle", reason: "the fleet refuses 1.51.0: it fell back on i-2"},
		{name: "leaving", cause: func(w *world) func() {
			w.leave("the Auto Scaling group wants it Terminated")
			return func() { w.leave("") }
		}, level: slog.LevelInfo, message: "still waiting", reason: "the instance is leaving: the Auto Scaling group wants it Terminated"},
		{name: "Spot interruption", cause: func(w *world) func() {
			w.leave("Spot interruption: stop at 2000-01-01T01:00:00Z")
			return func() { w.leave("") }
		}, level: slog.LevelInfo, message: "still waiting", reason: "the instance is leaving: Spot interruption"},
		{name: "drained by an operator", cause: func(w *world) func() {
			w.cluster.SetStatus(mine, "DRAINING", operator)
			return func() { w.cluster.SetStatus(mine, "ACTIVE", operator) }
		}, level: slog.LevelInfo, message: "still waiting", reason: "the container instance is DRAINING, and not by us", asks: true},
		{name: "ECS does not answer", cause: func(w *world) func() {
			w.cluster.SetFault(func(ecstest.Call) ecstest.Fault { return ecstest.Fault{Report: ecstest.ServerError} })
			return func() { w.cluster.SetFault(nil) }
		}, level: slog.LevelWarn, message: "whether the host can be drained is not known", err: "describe container instance",
			reason: "whether the host can be drained is not known", asks: true},
		{name: "repository does not answer", cause: func(w *world) func() {
			w.api.SetFault(func(op string) apitest.Fault {
				if op == string(apiclientx.Refresh) {
					return apitest.Fault{Fail: "Metadata error: timeout"}
				}
				return apitest.Fault{}
			})
			return func() { w.api.SetFault(nil) }
		}, level: slog.LevelWarn, message: "asking for a release failed", err: "Metadata error: timeout", reason: "asking for a release failed"},
		{name: "someone activated a release by hand", cause: activatedByHand,
			level: slog.LevelInfo, message: "idle until the next check", reason: "someone activated 1.50.5 by hand; reboot into it or cancel it"},
		{name: "intent of a newer schema", options: options{intent: `{"schema":2,"instance":"i-1","duty":null,"memory":7}`}, cause: newerIntent,
			level: slog.LevelError, message: "the intent is of a newer version of Drydock: restoring only", err: "newer schema", advice: "run the newer version again",
			reason: "the intent is of a newer version of Drydock"},
		{name: "intent cannot be read", options: options{intent: remembers}, cause: refusing(errors.New("permission denied"), "", "intent:load"),
			level: slog.LevelWarn, message: "the intent file cannot be read", err: "permission denied", advice: "persistent directory", reason: "-"},
		{name: "intent cannot be begun", cause: refusing(errors.New("no space left"), "", "intent:clear"),
			level: slog.LevelWarn, message: "the intent file cannot be written: nothing is started", err: "no space left",
			reason: "the intent file cannot be written"},
	}
}

func (w *world) leave(why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leaving = why
}

// recordIs puts a text in place of the record, and takes it away.
func recordIs(text string) func(w *world) func() {
	return func(w *world) func() {
		good, err := w.record().Encode()
		if err != nil {
			w.Fatal(err)
		}
		w.overwrite("spoils the record", []byte(text))
		return func() { w.overwrite("repairs the record", good) }
	}
}

func operated(change func(*coordination.Record)) func(w *world) func() {
	return func(w *world) func() {
		before := w.record()
		w.operate("changes the record", change)
		return func() { w.operate("takes that back", func(r *coordination.Record) { *r = before }) }
	}
}

func policyIs(text string) func(w *world) func() {
	return operated(func(r *coordination.Record) { r.Policy = text })
}

// activatedByHand: someone staged and activated an older release with
// apiclient, and cancels it later.
func activatedByHand(w *world) func() {
	w.api.Offer(apitest.Release{Version: "1.50.5"})
	defer w.api.Offer(apitest.Release{Version: newRelease})
	client := w.api.Client()
	for _, action := range []apiclientx.Action{apiclientx.Refresh, apiclientx.Prepare, apiclientx.Activate} {
		if _, err := client.Do(w.Context(), action); err != nil {
			w.Fatal(err)
		}
	}
	return func() {
		if _, err := client.Do(w.Context(), apiclientx.Deactivate); err != nil {
			w.Fatal(err)
		}
	}
}

// newerIntent goes away when the newer version runs again: here, when it has
// written what this version can read.
func newerIntent(w *world) func() {
	return func() {
		w.current().stop()
		w.setIntent(remembers)
	}
}

func (w *world) setIntent(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.intent = []byte(text)
}

// TestBadDays: nothing is started, the log and the row say why, and when the
// cause goes away the update goes on by itself.
func TestBadDays(t *testing.T) {
	for _, day := range badDays() {
		t.Run(day.name, func(t *testing.T) {
			inWorld(t, day.options, func(w *world) {
				heal := day.cause(w)
				history := len(w.memory.History())
				w.start()
				w.pass(3 * time.Hour)
				w.wantLog(day.level, day.message, day.err, day.advice)
				if day.reason != "-" {
					// An agent that starts again and again has not checked yet most of the time.
					w.until("told in the row: "+day.reason, 20*time.Minute, func() bool { return strings.Contains(w.row().Reason, day.reason) })
				}
				if n := len(w.memory.History()) - history; n > 0 {
					t.Errorf("the record was changed %d times", n)
				}
				if n := w.calls(); n > 0 && !day.asks {
					t.Errorf("ECS was called %d times", n)
				}
				if n := w.drains(); n > 0 {
					t.Errorf("the container instance was changed %d times", n)
				}
				if n := len(w.logged(slog.LevelWarn)); n > 8 && !day.restarts {
					t.Errorf("three hours of it give %d warnings", n)
				}
				heal()
				w.untilUpdated()
			})
		})
	}
}

// logged are the lines of the log of at least the level.
func (w *world) logged(level slog.Level) []logged {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []logged
	for _, l := range w.records {
		if l.level >= level {
			found = append(found, l)
		}
	}
	return found
}

// socketDies starts the agent, waits for the phase and takes the API away. It
// returns how long the agent then still runs, and what Run returns.
func socketDies(w *world, phase agent.Phase) (time.Duration, error) {
	w.start()
	w.untilPhase(phase, time.Hour)
	w.pass(time.Minute)
	p := w.current()
	w.api.StopAPI()
	began := time.Now()
	w.until("ended", 3*time.Hour, func() bool {
		select {
		case <-p.over:
			return true
		default:
			return false
		}
	})
	return time.Since(began), p.err
}

// TestDeadSocket: only a new container gets a live socket, so the agent ends
// when it has been dead for a minute, and not before.
func TestDeadSocket(t *testing.T) {
	tests := []struct {
		name        string
		phase       agent.Phase
		options     options
		least, most time.Duration
		writes      int
	}{
		// An idle host asks once an hour.
		{"idle", agent.Idle, options{release: apitest.Release{Version: oldRelease}}, time.Minute, 70 * time.Minute, 0},
		// It has drawn a ticket.
		{"waiting", agent.Waiting, options{prepare: slotTaken}, time.Minute, 90 * time.Second, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inWorld(t, test.options, func(w *world) {
				took, err := socketDies(w, test.phase)
				if !errors.Is(err, agent.ErrSocketDead) || hint.Of(err) == "" {
					t.Errorf("Run returned %v with hint %q", err, hint.Of(err))
				}
				if took < test.least || took > test.most {
					t.Errorf("the agent ended after %s, want %s to %s", took, test.least, test.most)
				}
				if w.writes() != test.writes || w.calls() > 0 {
					t.Errorf("%d writes of the record, %d calls of ECS", w.writes(), w.calls())
				}
				w.api.Offer(apitest.Release{Version: newRelease})
				w.api.StartAPI()
				w.operate("frees the slot", func(r *coordination.Record) { r.Holders = nil })
				w.untilUpdated()
			})
		})
	}
}

// TestDeadSocketForAShortTime: half a minute is nothing to end for.
func TestDeadSocketForAShortTime(t *testing.T) {
	inWorld(t, options{prepare: slotTaken}, func(w *world) {
		p := w.start()
		w.untilPhase(agent.Waiting, time.Hour)
		w.api.StopAPI()
		w.pass(40 * time.Second)
		w.api.StartAPI()
		w.pass(2 * time.Hour)
		if p.dead.Load() {
			t.Errorf("Run returned %v", p.err)
		}
	})
}

// TestDeadSocketWhileRestoring: ACTIVE and the slot come first. The release
// was activated, so the API would be needed; the log says what stays behind.
func TestDeadSocketWhileRestoring(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		// The operator's ACTIVE is seen in the look right before the request.
		w.once("intent:armed", func(p *process) error { w.Error("the intent is armed"); return nil })
		w.once("api:activate", func(*process) error {
			time.AfterFunc(300*time.Millisecond, w.api.StopAPI)
			return nil
		})
		w.once("intent:activating", func(*process) error {
			w.cluster.SetStatus(mine, "ACTIVE", operator)
			return nil
		})
		p := w.start()
		w.until("ended", 3*time.Hour, p.dead.Load)
		if !errors.Is(p.err, agent.ErrSocketDead) {
			t.Errorf("Run returned %v", p.err)
		}
		if _, holds := w.record().Holder(mine); holds || w.cluster.Status(mine) != "ACTIVE" || w.duty() != nil {
			t.Errorf("the agent ended with the instance %s, a slot %t, duty %+v", w.cluster.Status(mine), holds, w.duty())
		}
		w.wantLog(slog.LevelWarn, "the release stays activated", "unreachable", "apiclient update cancel")
	})
}

// TestTableAway takes the table away at a moment of the update. Before the
// reboot request the host turns back, after it it goes forward; either way it
// is in service soon, and returns the slot when the table is back.
func TestTableAway(t *testing.T) {
	tests := []struct {
		moment  string // an act; the table is gone right before it
		outcome agent.Result
		within  time.Duration // until the host is back in service
	}{
		{"intent:duty", agent.TurnedBack, 2 * time.Minute},   // between grant and drain
		{"ecs:remaining", agent.TurnedBack, 4 * time.Minute}, // between drain and reboot
		{"intent:armed", agent.Updated, 4 * time.Minute},
		{"api:reboot", agent.Updated, 4 * time.Minute},
		{"ecs:ACTIVE", agent.Updated, time.Minute},
		{"record:return", agent.Updated, time.Minute},
	}
	for _, test := range tests {
		t.Run(test.moment, func(t *testing.T) {
			inWorld(t, options{}, func(w *world) {
				var cut, asked moment
				w.on(test.moment, func(*process) error {
					if _, holds := w.record().Holder(mine); holds && cut.hit() {
						w.cutTable(true)
					}
					return nil
				})
				w.on("api:reboot", func(*process) error { asked.hit(); return nil })
				w.start()
				w.untilIs(&cut, "cut")
				w.pass(test.within)
				if status := w.cluster.Status(mine); status != "ACTIVE" {
					t.Errorf("the instance is %s %s after the table went away", status, test.within)
				}
				if asked.is() != (test.outcome == agent.Updated) {
					t.Errorf("a reboot was requested: %t", asked.is())
				}
				w.pass(30 * time.Minute)
				w.cutTable(false)
				w.untilUpdated()
				if events := w.memory.Events(w.cluster.ARN()); len(events) == 0 || events[0].Outcome != string(test.outcome) {
					t.Errorf("events %+v, want first %s", events, test.outcome)
				}
				if r := w.record(); len(r.Failures) > 0 {
					t.Errorf("failures %+v", r.Failures)
				}
			})
		})
	}
}

// TestRecordGoneBad: what a begun update does when the record can no longer be
// used: it restores the host, and waits with the slot until it can be returned.
func TestRecordGoneBad(t *testing.T) {
	tests := []struct {
		name   string
		spoil  func(w *world) (heal func())
		reason string
	}{
		{"newer", recordIs(`{"schema":2}`), "the lock record is of a newer version of Drydock"},
		{"nonsense", recordIs(`[]`), "the lock record makes no sense"},
		{"deleted", func(w *world) func() {
			w.memory.Delete(w.cluster.ARN())
			return w.createRecord
		}, "there is no lock record for this cluster"},
	}
	for _, test := range tests {
		for _, before := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, before the reboot %t", test.name, before), func(t *testing.T) {
				inWorld(t, options{services: slowToLeave(5 * time.Minute)}, func(w *world) {
					var spoilt moment
					heal := make(chan func(), 1)
					act := map[bool]string{true: "ecs:DRAINING", false: "api:reboot"}[before]
					w.once(act, func(*process) error { heal <- test.spoil(w); spoilt.hit(); return nil })
					w.start()
					w.untilIs(&spoilt, "spoilt")
					history := len(w.memory.History())
					w.pass(12 * time.Minute)
					if status := w.cluster.Status(mine); status != "ACTIVE" {
						t.Errorf("the instance is %s", status)
					}
					if updated := w.api.Running() == newRelease; updated == before {
						t.Errorf("the host runs %s", w.api.Running())
					}
					w.wantReason("in service; the slot cannot be returned yet: " + test.reason)
					if n := len(w.memory.History()); n != history {
						t.Errorf("the record was changed %d times", n-history)
					}
					if before && len(w.find("putting the host back")) == 1 &&
						!strings.Contains(w.find("putting the host back")[0].attrs["reason"], test.reason) {
						t.Errorf("the host turned back because %q", w.find("putting the host back")[0].attrs["reason"])
					}
					(<-heal)()
					w.untilUpdated()
				})
			})
		}
	}
}

// TestPolicyGoneBad: an update that has begun finishes.
func TestPolicyGoneBad(t *testing.T) {
	for _, act := range []string{"intent:duty", "ecs:DRAINING", "intent:activating", "api:reboot", "ecs:ACTIVE"} {
		t.Run(act, func(t *testing.T) {
			inWorld(t, options{}, func(w *world) {
				w.once(act, func(*process) error { policyIs("slots = 0")(w); return nil })
				w.start()
				w.untilUpdated()
				if n := w.record().Generation; n != 1 {
					t.Errorf("%d slots were granted", n)
				}
			})
		})
	}
}

// TestIntentLost: a host whose intent is lost, damaged or another host's, in
// each phase. What the record shows is undone or judged, and the host ends in
// service, without the slot.
func TestIntentLost(t *testing.T) {
	spoils := map[string]func(w *world){
		"missing": func(w *world) { w.loseIntent(false) },
		"damaged": func(w *world) { w.loseIntent(true) },
		"foreign": func(w *world) {
			w.setIntent(`{"schema":1,"instance":"i-9","duty":{"instance":"i-9","fleet":"arn:f","table":"t","boot":"b","generation":1},"memory":{}}`)
		},
	}
	tests := []struct {
		moment   string
		failures int // that stay
	}{
		{"intent:duty", 0}, {"ecs:DRAINING", 0}, {"ecs:remaining", 0},
		// A reboot request may be alive: it is waited out, and counts as not rebooted.
		{"intent:activating", 1}, {"intent:armed", 1},
		{"api:reboot", 1}, {"intent:seen", 0}, {"ecs:ACTIVE", 0}, {"record:return", 0}, {"intent:clear", 0},
	}
	for how, spoil := range spoils {
		for _, test := range tests {
			t.Run(how+" at "+test.moment, func(t *testing.T) {
				inWorld(t, options{}, func(w *world) {
					var lost moment
					w.on(test.moment, func(p *process) error {
						_, holds := w.record().Holder(mine)
						ready := (holds || test.moment == "intent:clear") && (w.duty() != nil || test.moment == "intent:duty")
						if !ready || !lost.hit() {
							return nil
						}
						err := kill(p)
						spoil(w)
						return err
					})
					w.start()
					w.untilIs(&lost, "lost")
					w.until("at rest", time.Hour, w.atRest)
					if n := len(w.record().Failures); n != test.failures {
						t.Errorf("failures %+v, want %d", w.record().Failures, test.failures)
					}
					if how != "missing" && len(w.find("was set aside")) != 1 {
						t.Error("the log does not tell of the file")
					}
					if active, inactive := w.api.Sets(); inactive.Priority > active.Priority {
						t.Errorf("the next reboot would boot %s", inactive.Version)
					}
				})
			})
		}
	}
}

// TestIntentLostAndTableAway: the only case in which restoring waits.
func TestIntentLostAndTableAway(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		w.once("ecs:remaining", func(p *process) error {
			w.cutTable(true)
			w.loseIntent(false)
			return kill(p)
		})
		w.start()
		w.pass(2 * time.Hour)
		w.wantLog(slog.LevelWarn, "whether this host has something to undo is unknown", "no answer", "")
		if status := w.cluster.Status(mine); status != "DRAINING" || w.phase() != "starting" {
			t.Errorf("the instance is %s, the agent %s", status, w.phase())
		}
		w.cutTable(false)
		w.until("at rest", 2*time.Minute, w.atRest)
		w.untilUpdated()
	})
}

// TestIntentOfANewerVersion: this version undoes what it can read and leaves
// the slot to the version that took it.
func TestIntentOfANewerVersion(t *testing.T) {
	for _, act := range []string{"ecs:DRAINING", "ecs:remaining", "intent:armed", "intent:seen", "ecs:ACTIVE"} {
		t.Run(act, func(t *testing.T) {
			inWorld(t, options{}, func(w *world) {
				w.once(act, func(p *process) error {
					if w.duty() == nil {
						return nil
					}
					err := kill(p)
					var in map[string]any
					if err := json.Unmarshal(w.file(), &in); err != nil {
						w.Error(err)
					}
					in["schema"], in["memory"], in["new"] = 2, 7, "kept"
					data, _ := json.Marshal(in)
					w.setIntent(string(data))
					return err
				})
				w.start()
				w.until("killed", time.Hour, func() bool { return len(w.find("restoring only")) > 0 })
				w.pass(40 * time.Minute)
				if status := w.cluster.Status(mine); status != "ACTIVE" {
					t.Errorf("the instance is %s", status)
				}
				if _, holds := w.record().Holder(mine); !holds {
					t.Error("the slot was returned")
				}
				if text := string(w.file()); !strings.Contains(text, `"schema":2`) || !strings.Contains(text, `"new":"kept"`) || !strings.Contains(text, `"memory":7`) {
					t.Errorf("the intent is now %s", text)
				}
				w.wantReason("in service; the slot is left to the newer version")
			})
		})
	}
}

// TestDiskFull: a duty that cannot be written is no duty, and whatever undoes
// goes on without the disk.
func TestDiskFull(t *testing.T) {
	full := errors.New("no space left on device")
	tests := []struct {
		name, from string // the disk is full from this act on
		message    string
		during     func(w *world) string
	}{
		{"duty", "intent:duty", "no drain is started", func(w *world) string {
			if w.drains() > 0 || w.cluster.Status(mine) != "ACTIVE" {
				return "the host was drained"
			}
			return slotKept(w)
		}},
		{"drain", "intent:drain", "the intent cannot be written: no drain is started", func(w *world) string {
			if w.cluster.Status(mine) != "ACTIVE" {
				return "the host is drained"
			}
			return slotKept(w)
		}},
		{"armed", "intent:armed", "the intent cannot be written: no reboot is requested", func(w *world) string {
			if w.api.Rebooting() || w.api.Running() != oldRelease || w.cluster.Status(mine) != "ACTIVE" {
				return "the host was rebooted, or is still drained"
			}
			return slotKept(w)
		}},
		{"outcome", "intent:outcome", "in service; the intent file cannot be written", backAnyway},
		{"clear", "intent:clear", "in service; the intent file cannot be written", backAnyway},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inWorld(t, options{intent: remembers}, func(w *world) {
				var since, healed moment
				w.on("intent:save", func(*process) error {
					if since.is() && !healed.is() {
						return full
					}
					return nil
				})
				w.on(test.from, func(*process) error {
					if healed.is() || w.duty() == nil && test.from != "intent:duty" {
						return nil
					}
					since.hit()
					return full
				})
				w.start()
				w.untilIs(&since, "full")
				reads, calls, writes := w.memory.Calls(mine, coordtest.Fetch), w.calls(), w.writes()
				w.pass(40 * time.Minute)
				w.wantLog(slog.LevelWarn, test.message, "no space left", "")
				if problem := test.during(w); problem != "" {
					t.Error(problem)
				}
				if n := w.memory.Calls(mine, coordtest.Fetch) - reads; n > 120 {
					t.Errorf("%d reads of the record in 40 minutes", n)
				}
				if n := w.calls() - calls; n > 120 {
					t.Errorf("%d calls of ECS in 40 minutes", n)
				}
				if n := w.writes() - writes; n > 15 {
					t.Errorf("%d writes of the record in 40 minutes", n)
				}
				healed.hit()
				w.untilUpdated()
				if f := w.record().Failures; len(f) > 0 {
					t.Errorf("failures %+v", f)
				}
			})
		})
	}
}

func slotKept(w *world) string {
	if _, holds := w.record().Holder(mine); holds {
		return "the slot was kept"
	}
	return ""
}

func backAnyway(w *world) string {
	if w.cluster.Status(mine) != "ACTIVE" || w.api.Running() != newRelease {
		return "the host is not back in service with the release"
	}
	return slotKept(w)
}

// TestSecondAgent: one of two agents idles, and takes over when the other
// ends, though it be in the middle of an update.
func TestSecondAgent(t *testing.T) {
	inWorld(t, options{services: slowToLeave(5 * time.Minute)}, func(w *world) {
		first := w.start()
		w.untilPhase(agent.Draining, time.Hour)
		w.mu.Lock()
		w.stopped = true
		w.mu.Unlock()
		writes, drains := w.writes(), w.drains()
		second := w.newProcess()
		go second.run()
		w.pass(2 * time.Minute)
		w.wantLog(slog.LevelWarn, "another agent runs on this host; this one stays idle", "", "disable one of the two host containers")
		if w.writes() != writes || w.drains() != drains {
			t.Error("the second agent did something")
		}
		first.die()
		w.mu.Lock()
		w.stopped, w.process = false, second
		w.mu.Unlock()
		w.untilUpdated()
		if g := w.record().Generation; g != 1 {
			t.Errorf("%d slots were granted", g)
		}
	})
}

// TestNeverBack: the ECS agent never comes back after the boot. The failure is
// published once, through restarts and reboots.
func TestNeverBack(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		afterReboot(w, func() { w.cluster.AgentDown(mine) })
		w.start()
		w.untilPhase(agent.Sick, 2*time.Hour)
		w.wantReason("the ECS agent has not registered since the boot")
		w.wantLog(slog.LevelError, "host is sick", "", "")
		w.pass(5 * time.Hour)
		w.current().stop()
		w.pass(2 * time.Hour)
		w.reset()
		w.pass(5 * time.Hour)
		if status := w.cluster.Status(mine); status != "DRAINING" {
			t.Errorf("the instance is %s", status)
		}
		h, holds := w.record().Holder(mine)
		if f := w.record().Failures; len(f) != 1 || f[0].Cause != string(agent.Unhealthy) || !holds || h.Phase != coordination.Sick {
			t.Errorf("failures %+v, holder %+v", f, h)
		}
		w.wantReason("the ECS agent has not registered since the boot")
		w.cluster.AgentUp(mine)
		w.untilUpdated()
		if f := w.record().Failures; len(f) != 0 {
			t.Errorf("failures %+v", f)
		}
	})
}

// TestNewRegistration: the host comes back from its reboot under a new ARN:
// there is nothing of ours to undo, and nothing is touched.
func TestNewRegistration(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		afterReboot(w, func() { w.cluster.NewRegistration(mine) })
		w.start()
		w.untilUpdated()
		w.wantLog(slog.LevelWarn, "the host has registered anew", "", "")
		if n := w.drains(); n != 1 {
			t.Errorf("the container instance was changed %d times", n)
		}
	})
}

// TestNewRegistrationWhileDraining: the host registers anew while it drains.
func TestNewRegistrationWhileDraining(t *testing.T) {
	inWorld(t, options{services: slowToLeave(5 * time.Minute)}, func(w *world) {
		w.start()
		w.untilPhase(agent.Draining, time.Hour)
		w.pass(time.Minute)
		w.cluster.NewRegistration(mine)
		w.until("at rest", 30*time.Minute, w.atRest)
		if w.api.Rebooting() || w.api.Running() != oldRelease {
			t.Error("the host was rebooted")
		}
		w.untilUpdated()
	})
}

// TestDeregistered: the container instance is INACTIVE when it is to be
// restored. A new registration is waited for; when none comes the slot goes
// back.
func TestDeregistered(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		w.once("ecs:ACTIVE", func(*process) error { w.cluster.Deregister(mine, operator); return nil })
		w.start()
		w.untilPhase(agent.Restoring, time.Hour)
		w.pass(time.Second)
		w.wantReason("the container instance is not registered")
		w.until("idle", 20*time.Minute, func() bool { return w.phase() == "idle" })
		w.wantLog(slog.LevelError, "the host is in no cluster", "", "register the host again")
		if problem := slotKept(w); problem != "" {
			t.Error(problem)
		}
		if n := w.drains(); n > 20 {
			t.Errorf("ECS was asked %d times for what it does not know", n)
		}
	})
}

// TestDeregisteredAndRegistered: the new registration comes in time.
func TestDeregisteredAndRegistered(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		w.once("ecs:ACTIVE", func(*process) error {
			w.cluster.Deregister(mine, operator)
			time.AfterFunc(5*time.Minute, func() { w.cluster.NewRegistration(mine) })
			return nil
		})
		w.start()
		w.untilPhase(agent.Restoring, time.Hour)
		w.untilUpdated()
		w.wantLog(slog.LevelWarn, "the host has registered anew", "", "")
	})
}

// TestLeavingMeanwhile: a holder that is about to leave keeps its duty.
func TestLeavingMeanwhile(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		w.once("ecs:DRAINING", func(*process) error { w.leave("Spot interruption"); return nil })
		w.start()
		w.untilUpdated()
	})
}

// TestDrainedByAnotherInTime: an operator drains the host between our look and
// our call. It is not ours, and stays.
func TestDrainedByAnotherInTime(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		w.once("intent:duty", func(*process) error {
			delay(3 * time.Second) // the look before is too old then
			w.cluster.SetStatus(mine, "DRAINING", operator)
			return nil
		})
		w.start()
		w.until("turned back", time.Hour, func() bool { return len(w.find("update ended")) > 0 })
		w.pass(3 * time.Hour)
		if n := w.drains(); n > 0 || w.cluster.Status(mine) != "DRAINING" {
			t.Errorf("the instance is %s after %d calls", w.cluster.Status(mine), n)
		}
		w.cluster.SetStatus(mine, "ACTIVE", operator)
		w.untilUpdated()
	})
}

// acts are those of a good update, with some reads among them.
var acts = []string{
	"status:idle", "status:staging", "status:waiting", "status:draining", "status:rebooting", "status:verifying", "status:restoring",
	"imds:identity", "intent:load", "record:read", "api:refresh", "api:prepare", "imds:leaving", "ecs:look", "ecs:classify", "record:granted", "intent:duty",
	"record:draining", "intent:drain", "ecs:DRAINING", "ecs:local", "ecs:remaining", "record:rebooting", "intent:activating", "api:activate",
	"intent:armed", "api:reboot", "intent:seen", "record:verifying", "intent:outcome", "ecs:ACTIVE", "intent:restored", "record:return", "intent:clear",
}

// TestTerminated: SIGTERM at any moment ends Run within 5 s and without an
// error, and the next agent finishes the update.
func TestTerminated(t *testing.T) {
	for _, slow := range []bool{false, true} {
		for _, act := range acts {
			t.Run(fmt.Sprintf("%s, slow calls %t", act, slow), func(t *testing.T) {
				inWorld(t, options{}, func(w *world) {
					p := w.start() // idle until the first check
					if slow {
						slowCalls(w)
					}
					terminate(w, p, act, slow)
					w.untilUpdated()
					if r := w.record(); len(r.Failures)+len(r.Refused) > 0 {
						t.Errorf("failures %+v, refused %+v", r.Failures, r.Refused)
					}
					if lines := w.logged(slog.LevelError); len(lines) > 0 {
						t.Errorf("the log has errors: %+v", lines)
					}
				})
			})
		}
	}
}

// slowCalls makes each call of ECS and of the table take two seconds.
func slowCalls(w *world) {
	w.cluster.SetFault(func(ecstest.Call) ecstest.Fault { return ecstest.Fault{Latency: 2 * time.Second} })
	w.memory.Faults(func(_, caller string) coordtest.Fault {
		if caller != mine {
			return coordtest.Fault{}
		}
		return coordtest.Fault{Latency: 2 * time.Second}
	})
}

// terminate ends the context of whichever process comes to the moment: right
// before the act or, with slow calls, a second later.
func terminate(w *world, p *process, act string, slow bool) {
	w.Helper()
	told := make(chan *process, 1)
	w.once(act, func(p *process) error {
		told <- p
		p.say("agent", "is told to end")
		if slow {
			time.AfterFunc(time.Second, p.cancel)
		} else {
			p.cancel()
		}
		return nil
	})
	if act == "imds:identity" || act == "intent:load" || act == "status:idle" {
		p.stop() // those are over: another process comes to them
	}
	w.until("told to end", 2*time.Hour, func() bool { return len(told) > 0 })
	(<-told).stop()
}

// TestTerminatedWhileUndoing: what was activated is not forgotten when the
// agent is told to end in the middle of undoing it.
func TestTerminatedWhileUndoing(t *testing.T) {
	for _, act := range []string{"api:status", "api:deactivate"} {
		t.Run(act, func(t *testing.T) {
			inWorld(t, options{}, func(w *world) {
				w.once("intent:armed", func(*process) error { return errRefused }) // activated
				w.once("status:rebooting", func(*process) error {
					time.AfterFunc(time.Second, func() { w.cluster.SetStatus(mine, "ACTIVE", operator) })
					return nil
				})
				var undoing, told moment
				w.once("intent:outcome", func(*process) error { undoing.hit(); return nil })
				w.on(act, func(p *process) error {
					if undoing.is() && told.hit() {
						p.cancel()
					}
					return nil
				})
				w.start()
				w.untilIs(&told, "told to end")
				w.until("at rest", 10*time.Minute, w.atRest)
				if active, inactive := w.api.Sets(); inactive.Priority > active.Priority {
					t.Error("the release stays activated")
				}
				if n := len(w.find("the release stays activated")); n > 0 {
					t.Error("the log says that the release stays activated")
				}
			})
		})
	}
}

// TestClockSetBack: the host's clock was set back by an hour after an attempt.
// The back-off counts as not begun, is not longer than itself, and ends.
func TestClockSetBack(t *testing.T) {
	ahead := time.Date(2000, 1, 1, 1, 5, 0, 0, time.UTC) // the bubble begins at midnight
	inWorld(t, options{intent: fmt.Sprintf(`{"schema":1,"instance":"i-1","duty":null,"memory":{"attempts":{"1.51.0":{"count":1,"last":%q}}}}`, ahead.Format(time.RFC3339))},
		func(w *world) {
			w.start()
			w.until("backing off", 15*time.Minute, func() bool { return strings.Contains(w.row().Reason, "backing off until") })
			var until time.Time
			if _, rest, ok := strings.Cut(w.row().Reason, "backing off until "); ok {
				until, _ = time.Parse("2006-01-02 15:04Z", rest[:len("2006-01-02 15:04Z")])
			}
			if left := time.Until(until); left > 31*time.Minute || left < 29*time.Minute {
				t.Errorf("%s: %s from now", w.row().Reason, left)
			}
			w.untilUpdated()
			if time.Now().After(ahead.Add(3 * time.Hour)) {
				t.Errorf("updated at %s only", time.Now())
			}
		})
}

// TestDeadSocketAfterTheBoot: a new container gets a live socket also where
// the new boot is verified, and a sick host stays sick through it.
func TestDeadSocketAfterTheBoot(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		afterReboot(w, func() { w.cluster.AgentDown(mine) })
		w.start()
		w.untilPhase(agent.Verifying, 2*time.Hour)
		for _, phase := range []agent.Phase{agent.Verifying, agent.Sick} {
			w.untilPhase(phase, time.Hour)
			p := w.current()
			w.api.StopAPI()
			w.until("ended", 5*time.Minute, p.dead.Load)
			if !errors.Is(p.err, agent.ErrSocketDead) {
				t.Errorf("in phase %s Run returned %v", phase, p.err)
			}
			w.api.StartAPI()
			w.untilPhase(phase, 5*time.Minute)
		}
		if f := w.record().Failures; len(f) != 1 {
			t.Errorf("failures %+v", f)
		}
		w.cluster.AgentUp(mine)
		w.untilUpdated()
	})
}

// TestECSAgentAwayWhileUpdating: the local ECS agent is restarted while the
// host is out of service, for five minutes. What lasts is not asked all the
// time, and the update goes on when it is over, or turns back.
func TestECSAgentAwayWhileUpdating(t *testing.T) {
	for _, act := range []string{"ecs:DRAINING", "ecs:remaining", "record:rebooting", "intent:armed"} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, agent restarted %t", act, restart), func(t *testing.T) {
				inWorld(t, options{}, func(w *world) {
					var away moment
					w.once(act, func(p *process) error {
						away.hit()
						time.AfterFunc(5*time.Minute, w.fail(errors.New("connection refused"), "ecs:self", "ecs:local"))
						if restart {
							return kill(p)
						}
						return nil
					})
					w.start()
					w.untilIs(&away, "away")
					writes, calls := w.writes(), w.calls()
					w.pass(5 * time.Minute)
					if n := w.writes() - writes; n > 8 {
						t.Errorf("%d writes of the record in five minutes", n)
					}
					if n := w.calls() - calls; n > 60 {
						t.Errorf("%d calls of ECS in five minutes", n)
					}
					w.until("at rest", 15*time.Minute, func() bool { return w.atRest() && w.api.Running() == newRelease })
					if g := w.record().Generation; g != 1 {
						t.Errorf("%d slots were granted", g)
					}
				})
			})
		}
	}
}

// TestECSAwayWhileUpdating: ECS does not answer for five minutes. It is asked
// less and less often, as all hosts of an account share its limits.
func TestECSAwayWhileUpdating(t *testing.T) {
	for _, act := range []string{"record:draining", "ecs:remaining", "record:rebooting", "intent:seen", "ecs:ACTIVE"} {
		for _, report := range []ecstest.Report{ecstest.ServerError, ecstest.Throttle, ecstest.Drop, ecstest.Hang} {
			t.Run(fmt.Sprintf("%s, report %d", act, report), func(t *testing.T) {
				inWorld(t, options{}, func(w *world) {
					var away moment
					w.once(act, func(*process) error {
						away.hit()
						w.cluster.SetFault(func(ecstest.Call) ecstest.Fault { return ecstest.Fault{Report: report, Lose: true} })
						time.AfterFunc(5*time.Minute, func() { w.cluster.SetFault(nil) })
						return nil
					})
					w.start()
					w.untilIs(&away, "away")
					calls := w.calls()
					w.pass(5*time.Minute - time.Second)
					// After a boot a host is looked at each second for a minute.
					if n := w.calls() - calls; n > 80 {
						t.Errorf("%d calls of ECS in five minutes", n)
					}
					w.untilUpdated()
					if f := w.record().Failures; len(f) > 0 {
						t.Errorf("failures %+v", f)
					}
				})
			})
		}
	}
}

// TestImpairedForLong: a host that ECS shows impaired, or without its agent, is
// not looked at each second for a quarter of an hour.
func TestImpairedForLong(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		afterReboot(w, func() { w.cluster.Impair(mine, types.InstanceHealthCheckTypeContainerRuntime, "docker is slow") })
		w.start()
		w.untilPhase(agent.Verifying, 2*time.Hour)
		calls := w.calls()
		w.untilPhase(agent.Sick, time.Hour)
		if n := w.calls() - calls; n > 130 {
			t.Errorf("%d calls of ECS until the host was found sick", n)
		}
	})
}

// TestRestoredAndNotConnected: the operator wants a sick host back whose ECS
// agent is down. It is ACTIVE at once; the slot goes back when it is connected.
func TestRestoredAndNotConnected(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		afterReboot(w, func() { w.cluster.AgentDown(mine) })
		w.start()
		w.untilPhase(agent.Sick, 2*time.Hour)
		w.operate("restores the host", func(r *coordination.Record) { r.Holders[0].Restore = true })
		w.until("restoring", 2*time.Minute, func() bool { return w.cluster.Status(mine) == "ACTIVE" })
		w.wantReason("the ECS agent is not connected")
		calls := w.calls()
		w.pass(24 * time.Hour)
		if n := w.calls() - calls; n > 1600 {
			t.Errorf("%d calls of ECS in a day", n)
		}
		w.cluster.AgentUp(mine)
		w.until("at rest", 5*time.Minute, w.atRest)
	})
}

// TestStagingFails: a release that cannot be staged is tried again at the
// next check, not all the time, and the log warns of it.
func TestStagingFails(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		var tries atomic.Int64
		w.on("api:prepare", func(*process) error { tries.Add(1); return nil })
		w.api.SetFault(func(op string) apitest.Fault {
			if op == string(apiclientx.Prepare) {
				return apitest.Fault{Fail: "no space left on device"}
			}
			return apitest.Fault{}
		})
		w.start()
		w.pass(6 * time.Hour)
		w.wantLog(slog.LevelWarn, "staging 1.51.0 failed", "no space left on device", "")
		w.wantReason("staging 1.51.0 failed")
		if n := tries.Load(); n < 5 || n > 8 {
			t.Errorf("%d downloads in six hours", n)
		}
		w.api.SetFault(nil)
		w.untilUpdated()
	})
}

// TestSoak: the slot is kept for a while after ACTIVE, and a host that is
// unhealthy by then fails in service.
func TestSoak(t *testing.T) {
	for _, healthy := range []bool{true, false} {
		inWorld(t, options{policy: "verify.soak = \"30m\""}, func(w *world) {
			w.start()
			w.until("back", 2*time.Hour, func() bool { return w.api.Running() == newRelease && w.cluster.Status(mine) == "ACTIVE" })
			w.wantReason("soaking")
			if !healthy {
				w.cluster.Impair(mine, types.InstanceHealthCheckTypeContainerRuntime, "docker is slow")
			}
			w.pass(29 * time.Minute)
			if slotKept(w) == "" {
				t.Error("the slot went back before the end of the soak")
			}
			w.until("at rest", 2*time.Minute, w.atRest)
			if f := w.record().Failures; healthy != (len(f) == 0) {
				t.Errorf("healthy %t: failures %+v", healthy, f)
			}
			if got := len(w.find("the host is unhealthy at the end of the soak")); healthy != (got == 0) {
				t.Errorf("healthy %t: the log tells of it %d times", healthy, got)
			}
		})
	}
}

// TestDrainDenied: the role may look and not drain. Each attempt turns back at
// once, and they become rarer.
func TestDrainDenied(t *testing.T) {
	inWorld(t, options{}, func(w *world) {
		w.cluster.SetFault(func(c ecstest.Call) ecstest.Fault {
			if c.Op != "UpdateContainerInstancesState" {
				return ecstest.Fault{}
			}
			return ecstest.Fault{Lose: true, Err: &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "not authorized"}}
		})
		w.start()
		w.pass(6 * time.Hour)
		w.wantLog(slog.LevelWarn, "ECS refused to drain the container instance", "not authorized", "allow ecs:UpdateContainerInstancesState")
		w.wantReason("backing off until")
		if g := w.record().Generation; g < 2 || g > 4 {
			t.Errorf("%d attempts in six hours", g)
		}
		if n := w.drains(); n > 4 || slotKept(w) != "" || w.cluster.Status(mine) != "ACTIVE" {
			t.Errorf("%d calls; the instance is %s; %s", n, w.cluster.Status(mine), slotKept(w))
		}
		w.cluster.SetFault(nil)
		w.pass(8 * time.Hour)
		w.untilUpdated()
	})
}

// TestDeadlinesSurviveRestarts: an agent that is killed again and again does
// not begin its deadline anew each time.
func TestDeadlinesSurviveRestarts(t *testing.T) {
	restarts := func(w *world, phase agent.Phase) (rounds int) {
		w.untilPhase(phase, 2*time.Hour)
		for began := time.Now(); time.Since(began) < time.Hour; rounds++ {
			w.pass(4 * time.Minute)
			if w.phase() != phase.String() {
				return rounds
			}
			w.current().die()
			w.startAgent(agentRestart)
			w.pass(agentRestart + time.Second)
		}
		return rounds
	}
	t.Run("draining", func(t *testing.T) {
		inWorld(t, options{services: slowToLeave(2 * time.Hour)}, func(w *world) {
			w.start()
			if rounds := restarts(w, agent.Draining); rounds > 6 {
				t.Errorf("still draining after %d restarts", rounds)
			}
			w.wantLog(slog.LevelWarn, "putting the host back in service", "", "")
		})
	})
	t.Run("verifying", func(t *testing.T) {
		inWorld(t, options{}, func(w *world) {
			afterReboot(w, func() { w.cluster.AgentDown(mine) })
			w.start()
			if rounds := restarts(w, agent.Verifying); rounds > 4 {
				t.Errorf("still verifying after %d restarts", rounds)
			}
			w.wantLog(slog.LevelError, "host is sick", "", "")
		})
	})
}

// TestStandaloneOnItsWayOut: a standalone task that has been told to stop leaves
// by itself: it is waited for, and no reason to turn back, whatever was known of
// it before.
func TestStandaloneOnItsWayOut(t *testing.T) {
	tests := []struct {
		name string
		life ecstest.Life
		seen bool // it kept the host from draining before it was told to stop
	}{
		{"stopping", ecstest.Life{Stopping: 10 * time.Minute}, false},
		{"its network interface goes", ecstest.Life{Deprovisioning: 10 * time.Minute}, false},
		{"stopping, and seen before", ecstest.Life{Stopping: 10 * time.Minute}, true},
		{"its network interface goes, and seen before", ecstest.Life{Deprovisioning: 10 * time.Minute}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inWorld(t, options{}, func(w *world) {
				arn, err := w.cluster.Run(mine, ecstest.Standalone{Life: &test.life})
				if err != nil {
					t.Fatal(err)
				}
				w.start()
				w.untilPhase(agent.Staging, time.Hour)
				if test.seen {
					w.untilPhase(agent.Waiting, time.Hour)
					w.pass(10 * time.Minute)
				}
				w.cluster.Stop(arn)
				w.untilUpdated()
				if g := w.record().Generation; g != 1 {
					t.Errorf("%d slots were granted", g)
				}
			})
		})
	}
}
