package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/drydock-ecs/drydock/coordination"
)

// IntentSchema is the newest form of the intent that this version reads and
// writes. The members of Duty up to Seconds are the frozen core: every later
// version keeps them with their meaning, so that any version can restore a
// host from any intent.
const IntentSchema = 1

// Intent is the host's durable memory: what it is doing and must undo, and
// what it has tried. It is the one truth about the host's own update.
type Intent struct {
	Schema   int    `json:"schema"`
	Instance string `json:"instance"` // EC2 instance id: a copied disk has another one
	Duty     *Duty  `json:"duty"`     // nil when there is nothing to undo or return
	Memory   Memory `json:"memory"`

	kept coordination.Kept
}

// Duty is an update under way, as far as it must be undone, finished and told.
// Each mark is written before the act that it stands for, except those that
// say that an act is over.
type Duty struct {
	Instance   string `json:"instance"`
	Fleet      string `json:"fleet"` // cluster ARN
	Table      string `json:"table"`
	ARN        string `json:"arn"` // container instance that was drained
	Generation int64  `json:"generation"`
	From       string `json:"from"`
	Target     string `json:"target"`
	Boot       string `json:"boot"` // boot id in which the update began; nothing before the reboot outlives it

	DrainCalls int  `json:"drain_calls"` // DRAINING calls of ours that were or will be made
	DrainOpen  int  `json:"drain_open"`  // those without an answer: they may land late
	Drained    bool `json:"drained"`     // ECS showed it DRAINING while a call was open: an ACTIVE after that is someone's decision
	Activating bool `json:"activating"`  // the release is or will be the next to boot
	Armed      bool `json:"armed"`       // a reboot was or will be requested
	// ArmedUptime is the uptime of the latest reboot request, in nanoseconds.
	ArmedUptime time.Duration `json:"armed_uptime"`
	Asks        int           `json:"asks"`        // reboot requests so far
	Outcome     Result        `json:"outcome"`     // "" while open; durable before anything is disarmed
	MadeActive  bool          `json:"made_active"` // ECS accepted our ACTIVE: a later drain is someone else's
	Restored    bool          `json:"restored"`    // ECS is not touched again; only the slot is owed
	Adopted     bool          `json:"adopted"`     // made from the holder entry: only ever undone

	Seen  string `json:"seen"`  // latest boot id after Boot in which an agent looked at the host
	Boots int    `json:"boots"` // boots seen since it was armed

	// Phase, PhaseBoot, PhaseUptime and PhaseAt say since when the phase runs:
	// uptime for deadlines, which hold in that boot alone; wall time for eyes.
	Phase       string        `json:"phase"`
	PhaseBoot   string        `json:"phase_boot"`
	PhaseUptime time.Duration `json:"phase_uptime"`
	PhaseAt     time.Time     `json:"phase_at"`
	// Seconds spent in each finished phase.
	Seconds map[string]float64 `json:"seconds"`

	// Terms are the values that the update began with; a policy that changes
	// meanwhile does not reach it.
	Terms Terms `json:"terms"`

	kept coordination.Kept
}

// Terms are the settings that hold for one update from its begin to its end.
type Terms struct {
	DrainTimeout     time.Duration   `json:"drain_timeout"`
	Force            bool            `json:"force"` // go on when the drain timed out
	StandaloneTasks  StandaloneTasks `json:"standalone_tasks"`
	RebootAllowance  time.Duration   `json:"reboot_allowance"`
	VerifyTimeout    time.Duration   `json:"verify_timeout"`
	Soak             time.Duration   `json:"soak"`
	MaxFailures      int             `json:"max_failures"`
	RebootDeadline   time.Duration   `json:"reboot_deadline"`
	ReassertInterval time.Duration   `json:"reassert_within"`
}

// Memory is what outlives a duty: the attempts for each release, the place in
// the queue, and which update was the last that ended.
type Memory struct {
	Attempts map[string]Attempts `json:"attempts"`
	Ticket   HeldTicket          `json:"ticket,omitzero"`
	Ended    EndedUpdate         `json:"ended,omitzero"`
}

// EndedUpdate is the last update of this host that was undone or finished, slot
// returned. An entry that shows it, or one before it, later stood in a backup.
type EndedUpdate struct {
	Fleet      string    `json:"fleet"` // cluster ARN
	Generation int64     `json:"generation"`
	Outcome    Result    `json:"outcome"`
	At         time.Time `json:"at"` // by this host's clock, as is the grant in its entries
}

// covers says whether the entry is of an update that has ended. In a record that
// was made anew generations are small again, and grants are late.
func (e EndedUpdate) covers(fleet string, h coordination.Holder) bool {
	return e.Fleet == fleet && h.Generation <= e.Generation && h.GrantedAt.Before(e.At)
}

// HeldTicket is a ticket of the host's own that was not served. It outlives the
// process, so that a restart costs no place in the queue.
type HeldTicket struct {
	coordination.Ticket
	Fleet   string `json:"fleet"`   // cluster ARN: whose queue it is of
	Release string `json:"release"` // what it was drawn for
}

// Attempts counts how often this host has begun to update to a release.
type Attempts struct {
	Count int       `json:"count"`
	Last  time.Time `json:"last"` // by this host's clock
}

// maxReleases bounds the memory: the releases tried least recently are
// forgotten.
const maxReleases = 8

// record counts one more attempt.
func (m Memory) record(release string, now time.Time) Memory {
	next := m.clone()
	if next.Attempts == nil {
		next.Attempts = make(map[string]Attempts)
	}
	next.Attempts[release] = Attempts{Count: m.Attempts[release].Count + 1, Last: now}
	for len(next.Attempts) > maxReleases {
		others := maps.Clone(next.Attempts)
		delete(others, release) // it stays, also when the clock was set back
		oldest := slices.MinFunc(slices.Collect(maps.Keys(others)), func(a, b string) int {
			return others[a].Last.Compare(others[b].Last)
		})
		delete(next.Attempts, oldest)
	}
	return next
}

// refund takes one attempt back: the host was stopped by the fleet and not by
// anything of its own.
func (m Memory) refund(release string) Memory {
	next := m.clone()
	a, ok := next.Attempts[release]
	if a.Count--; a.Count > 0 {
		next.Attempts[release] = a
	} else if ok {
		delete(next.Attempts, release)
	}
	return next
}

// forget drops what is remembered of a release that runs now.
func (m Memory) forget(release string) Memory {
	next := m.clone()
	delete(next.Attempts, release)
	return next
}

func (m Memory) clone() Memory {
	m.Attempts = maps.Clone(m.Attempts)
	return m
}

// Back-off after attempts that did not end in the release: it doubles from
// the first to the longest and never ends, because the release itself can be
// fine and the host's tasks in the way.
const (
	firstBackOff   = 30 * time.Minute
	longestBackOff = 24 * time.Hour
)

// wait says how long the host must still leave the release alone. A clock that
// was set back counts as no time passed, and never waits longer than the
// back-off itself.
func (m Memory) wait(release string, now time.Time) time.Duration {
	a := m.Attempts[release]
	if a.Count <= 0 {
		return 0
	}
	backOff := longestBackOff
	if a.Count < 7 {
		backOff = min(firstBackOff<<(a.Count-1), longestBackOff)
	}
	passed := max(now.Sub(a.Last), 0)
	return max(backOff-passed, 0)
}

// errNewerIntent: a later version of Drydock wrote the intent. What must be
// undone can still be read; nothing may be started.
var errNewerIntent = errors.New("intent is of a newer schema")

// decodeIntent reads an intent. With errNewerIntent the intent is there as
// far as the frozen core goes; with ErrDamaged it is not.
func decodeIntent(data []byte) (Intent, error) {
	var in Intent
	err := json.Unmarshal(data, &in)
	if in.Schema > IntentSchema {
		in, err = decodeCore(data)
	}
	if err != nil {
		return Intent{}, fmt.Errorf("%w: %v", ErrDamaged, err)
	}
	if in.Schema < 1 {
		return Intent{}, fmt.Errorf("%w: schema is %d", ErrDamaged, in.Schema)
	}
	if err := in.Duty.check(); err != nil {
		return Intent{}, fmt.Errorf("%w: %v", ErrDamaged, err)
	}
	if in.Schema > IntentSchema {
		return in, fmt.Errorf("%w: %d, this version knows up to %d", errNewerIntent, in.Schema, IntentSchema)
	}
	return in, nil
}

// Begun says whether an intent file has an update that must be finished or
// undone. A file that cannot be used has none that is known.
func Begun(file []byte) bool {
	in, err := decodeIntent(file)
	return (err == nil || errors.Is(err, errNewerIntent)) && in.Duty != nil
}

// decodeCore reads the frozen core of a later version's intent. Memory and
// terms are not of it and may have any form: they are kept as they stand, to be
// written back. What of the terms can be read holds, and defaults for the rest.
func decodeCore(data []byte) (Intent, error) {
	var top struct {
		Schema   int               `json:"schema"`
		Instance string            `json:"instance"`
		Duty     coordination.Kept `json:"duty"`
	}
	kept, err := coordination.DecodeKeeping(data, &top)
	if err != nil {
		return Intent{}, err
	}
	in := Intent{Schema: top.Schema, Instance: top.Instance, kept: kept}
	if top.Duty == nil {
		return in, nil
	}
	terms := top.Duty["terms"]
	delete(top.Duty, "terms")
	core, err := json.Marshal(top.Duty)
	if err != nil {
		return Intent{}, err
	}
	in.Duty = &Duty{Terms: termsOf(DefaultConfig(), DefaultPolicy())}
	if err := json.Unmarshal(core, in.Duty); err != nil {
		return Intent{}, fmt.Errorf("duty: %w", err)
	}
	in.Duty.keepTerms(terms)
	return in, nil
}

func (d *Duty) keepTerms(raw json.RawMessage) {
	if raw == nil {
		return
	}
	if terms := d.Terms; json.Unmarshal(raw, &terms) == nil {
		d.Terms = terms
	}
	if d.kept == nil {
		d.kept = make(coordination.Kept)
	}
	d.kept["terms"] = raw
}

func (d *Duty) check() error {
	if d == nil {
		return nil
	}
	for name, value := range map[string]string{"instance": d.Instance, "fleet": d.Fleet, "table": d.Table, "boot": d.Boot} {
		if strings.TrimSpace(value) == "" {
			return fmt.Errorf("duty has no %s", name)
		}
	}
	if d.Generation < 1 {
		return fmt.Errorf("duty has generation %d", d.Generation)
	}
	return nil
}

type (
	plainIntent Intent
	plainDuty   Duty
)

// UnmarshalJSON keeps unknown members for MarshalJSON.
func (in *Intent) UnmarshalJSON(data []byte) (err error) {
	in.kept, err = coordination.DecodeKeeping(data, (*plainIntent)(in))
	return err
}

// MarshalJSON writes unknown members back.
func (in Intent) MarshalJSON() ([]byte, error) {
	return coordination.EncodeKeeping(plainIntent(in), in.kept)
}

// UnmarshalJSON keeps unknown members for MarshalJSON.
func (d *Duty) UnmarshalJSON(data []byte) (err error) {
	d.kept, err = coordination.DecodeKeeping(data, (*plainDuty)(d))
	return err
}

// MarshalJSON writes unknown members back.
func (d Duty) MarshalJSON() ([]byte, error) {
	return coordination.EncodeKeeping(plainDuty(d), d.kept)
}

// adopt makes a duty of the host's entry in the record, for a host whose own
// intent is lost. A slot that was only granted is only returned. Anything
// later is undone as if every act that the phase allows had been done: a call
// to drain that may still land, and in phase rebooting of this boot a reboot
// request that is still alive from now on.
func adopt(h coordination.Holder, fleet, table string, boot Boot, terms Terms) Duty {
	d := Duty{
		Instance: h.Host, Fleet: fleet, Table: table, ARN: h.ARN, Generation: h.Generation,
		From: h.From, Target: h.Target, Boot: h.Boot, Adopted: true, Terms: terms,
	}
	if d.Boot == "" {
		d.Boot = boot.ID
	}
	if h.Phase == coordination.Granted {
		d.Outcome, d.Restored = TurnedBack, true
		return d
	}
	d.DrainCalls, d.DrainOpen = 1, 1
	if h.Phase == coordination.Draining {
		return d
	}
	d.Activating = true
	if h.Phase == coordination.Rebooting && d.Boot == boot.ID {
		d.Armed, d.ArmedUptime = true, boot.Uptime
	}
	return d
}

// encode writes the intent in its stored form.
func (in Intent) encode() ([]byte, error) {
	data, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("encode the intent: %w", err)
	}
	return data, nil
}

func (d *Duty) clone() Duty {
	next := *d
	next.Seconds = maps.Clone(d.Seconds)
	return next
}

// turnPage closes the running phase's account and opens the next one.
func (d *Duty) turnPage(p Phase, boot string, now stopwatch) {
	if d.Phase != "" && !d.PhaseAt.IsZero() {
		if d.Seconds == nil {
			d.Seconds = make(map[string]float64)
		}
		spent := now.at.Sub(d.PhaseAt)
		if d.PhaseBoot == boot {
			spent = now.uptime - d.PhaseUptime // which no clock that is set can change
		}
		d.Seconds[d.Phase] += max(spent, 0).Seconds()
	}
	d.Phase, d.PhaseBoot, d.PhaseUptime, d.PhaseAt = p.String(), boot, now.uptime, now.at
}

// termsOf are the terms of an update that begins now.
func termsOf(c Config, p Policy) Terms {
	return Terms{
		DrainTimeout: c.Drain.Timeout, Force: c.Drain.OnTimeout == OnTimeoutForce, StandaloneTasks: c.Drain.StandaloneTasks,
		RebootAllowance: c.Lock.RebootAllowance, VerifyTimeout: c.Verify.Timeout, Soak: c.Verify.Soak, MaxFailures: p.MaxFailures,
		RebootDeadline: c.Timing.RebootDeadline, ReassertInterval: c.Timing.ReassertWithin,
	}
}
