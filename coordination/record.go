package coordination

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Schema is the newest form of the record that this version reads and writes.
const Schema = 1

// MaxPolicy is the largest policy text, in bytes.
const MaxPolicy = 4096

// Errors of a record that is there and cannot be used. After either, an agent
// starts nothing, writes nothing to the record, and still restores its host.
var (
	// ErrNewer: a later version of Drydock wrote the record.
	ErrNewer = errors.New("lock record is of a newer schema")
	// ErrNonsense: the record contradicts itself.
	ErrNonsense = errors.New("lock record makes no sense")
)

// Phase is what a holder is busy with, as the record shows it.
type Phase string

// The phases of a holder.
const (
	Granted   Phase = "granted"   // the slot is given; nothing has been done with it
	Draining  Phase = "draining"  // the container instance is being drained
	Rebooting Phase = "rebooting" // the reboot is near, under way, or asked for
	Verifying Phase = "verifying" // a new boot is being looked at
	Sick      Phase = "sick"      // it runs the release and is not healthy
)

// Record is the lock of one fleet: who may be out of service, what failed,
// and whether anything may start. The zero value is no valid record.
type Record struct {
	Schema int `json:"schema"`
	// Incarnation is a random name given by `drydock init`. Tickets are valid
	// in the incarnation that they were drawn in and in no other.
	Incarnation string `json:"incarnation"`
	// Generation is the number of grants so far.
	Generation int64 `json:"generation"`
	// Policy is the fleet's policy: TOML, at most MaxPolicy bytes. Slots and
	// the failure limit live in it and nowhere else.
	Policy string `json:"policy"`
	// Holders are the hosts that have a slot, in order of their grants.
	Holders []Holder `json:"holders"`
	// Failures is a set, at most one entry a host and generation. Its size is
	// the number of failures.
	Failures []Failure `json:"failures"`
	// Refused is the set of releases that the fleet does not start again.
	Refused []Refusal `json:"refused"`
	// Halt is the operator's own flag; nil when no operator has set it.
	Halt *Halt `json:"halt,omitempty"`
	// Queue counts tickets.
	Queue Queue `json:"queue"`
	// AverageHold is the moving average of the time from grant to return, in
	// seconds; 0 before the first return.
	AverageHold float64 `json:"average_hold"`

	kept Kept
}

// Holder is a host that has a slot. Host and Generation together are its
// identity; From, Target, Boot and ARN are enough to undo what it did when
// its own intent file is lost.
type Holder struct {
	Host       string `json:"host"`
	Generation int64  `json:"generation"`
	Phase      Phase  `json:"phase"`
	// GrantedAt and Since (begin of the phase) are by the host's own clock,
	// for eyes and for its own arithmetic. No other host's clock is compared
	// with them.
	GrantedAt time.Time `json:"granted_at"`
	Since     time.Time `json:"since"`
	// Announced is how long the host said that the phase may last, in seconds.
	Announced float64 `json:"announced"`
	From      string  `json:"from"`
	Target    string  `json:"target"`
	Boot      string  `json:"boot"`
	ARN       string  `json:"arn"`
	Zone      string  `json:"zone,omitempty"`
	// Ticket is the number with which the slot was granted; 0: without one.
	Ticket int64 `json:"ticket,omitempty"`
	// Stuck: a watcher found the phase unchanged for longer than announced.
	// A stuck holder still uses its slot.
	Stuck bool `json:"stuck,omitempty"`
	// Restore: an operator asked that the host goes back into service now.
	Restore bool `json:"restore,omitempty"`

	kept Kept
}

// Failure is an update that failed and counts. Host and Generation are its
// identity.
type Failure struct {
	Host       string    `json:"host"`
	Generation int64     `json:"generation"`
	Cause      string    `json:"cause"`
	Release    string    `json:"release"`
	At         time.Time `json:"at"`

	kept Kept
}

// CauseFreed is the cause of a failure whose host was gone when its slot was
// taken back; the host itself may name a better one if it returns.
const CauseFreed = "freed"

// Refusal is a release that fell back on a host.
type Refusal struct {
	Release string    `json:"release"`
	Host    string    `json:"host"`
	At      time.Time `json:"at"`

	kept Kept
}

// Halt is an operator's word that nothing may start.
type Halt struct {
	Who    string    `json:"who"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`

	kept Kept
}

// Queue counts tickets: Next is the one that the next host to join will get,
// Pointer the lowest one that has not been served or passed.
type Queue struct {
	Next    int64 `json:"next"`
	Pointer int64 `json:"pointer"`

	kept Kept
}

// Limits are the numbers of the policy that the rules need.
type Limits struct {
	Slots       int // holders at one time, 1 to 100
	MaxFailures int // failures that halt the fleet, at least 1
	MaxZones    int // Availability Zones with holders at one time; 0: no cap
}

// LimitsOf reads the limits out of a policy text.
type LimitsOf func(policy string) (Limits, error)

// NewRecord is the record that `drydock init` creates.
func NewRecord(incarnation, policy string) Record {
	return Record{Schema: Schema, Incarnation: incarnation, Policy: policy, Queue: Queue{Next: 1, Pointer: 1}}
}

// Holder returns the host's entry.
func (r Record) Holder(host string) (Holder, bool) {
	i := slices.IndexFunc(r.Holders, func(h Holder) bool { return h.Host == host })
	if i < 0 {
		return Holder{}, false
	}
	return r.Holders[i], true
}

// Refuses says whether the fleet does not start the release.
func (r Record) Refuses(release string) bool {
	return slices.ContainsFunc(r.Refused, func(f Refusal) bool { return f.Release == release })
}

// Halted says why nothing may start, or "". It is derived each time: an
// operator said so, or there are as many failures as the limit.
func (r Record) Halted(limits Limits) string {
	if r.Halt != nil {
		return fmt.Sprintf("halted by %s: %s", r.Halt.Who, r.Halt.Reason)
	}
	limit := max(limits.MaxFailures, 1)
	if len(r.Failures) < limit {
		return ""
	}
	last := r.Failures[len(r.Failures)-1]
	return fmt.Sprintf("%d of %d failures; the last: %s %s on %s", len(r.Failures), limit,
		last.Release, last.Cause, last.Host)
}

// Decode reads a stored record. It fails with ErrNewer or ErrNonsense, and
// says what it saw.
func Decode(body []byte) (Record, error) {
	var r Record
	err := r.UnmarshalJSON(body)
	// Schema is the first field: it is read before a member whose form a newer
	// version may have changed.
	if r.Schema > Schema {
		return Record{}, fmt.Errorf("%w: %d, this version knows up to %d", ErrNewer, r.Schema, Schema)
	}
	if err != nil {
		return Record{}, fmt.Errorf("%w: %v", ErrNonsense, err)
	}
	if err := r.check(); err != nil {
		return Record{}, fmt.Errorf("%w: %v", ErrNonsense, err)
	}
	return r, nil
}

// Encode writes the record in its stored form.
func (r Record) Encode() ([]byte, error) { return json.Marshal(r) }

func (r Record) check() error {
	switch {
	case r.Schema < 1:
		return fmt.Errorf("schema is %d", r.Schema)
	case r.Incarnation == "":
		return errors.New("incarnation is missing")
	case r.Generation < 0:
		return fmt.Errorf("generation is %d", r.Generation)
	case r.Queue.Next > 1<<62 || r.Queue.Pointer < 0 || r.Queue.Pointer > max(r.Queue.Next, 1):
		return fmt.Errorf("queue has pointer %d, the next ticket is %d", r.Queue.Pointer, r.Queue.Next)
	case len(r.Policy) > MaxPolicy:
		return fmt.Errorf("policy has %d bytes, at most %d may be", len(r.Policy), MaxPolicy)
	}
	seen := make(map[string]bool)
	for _, h := range r.Holders {
		if h.Host == "" || seen[h.Host] {
			return fmt.Errorf("holder %q stands there twice or has no name", h.Host)
		}
		if h.Generation < 1 || h.Generation > r.Generation {
			return fmt.Errorf("holder %s has generation %d, grants so far are %d", h.Host, h.Generation, r.Generation)
		}
		if h.Phase == "" {
			return fmt.Errorf("holder %s has no phase", h.Host)
		}
		seen[h.Host] = true
	}
	return nil
}

// clone copies whatever a rule may change, so that the record it was given
// stays as it was.
func (r Record) clone() Record {
	r.Holders = slices.Clone(r.Holders)
	r.Failures = slices.Clone(r.Failures)
	r.Refused = slices.Clone(r.Refused)
	return r
}

// The stored forms keep members that this version does not know. The plain
// types have no methods, so that encoding/json does not call these again.
type (
	plainRecord  Record
	plainHolder  Holder
	plainFailure Failure
	plainRefusal Refusal
	plainHalt    Halt
	plainQueue   Queue
)

// UnmarshalJSON keeps unknown members for MarshalJSON.
func (r *Record) UnmarshalJSON(data []byte) (err error) {
	r.kept, err = DecodeKeeping(data, (*plainRecord)(r))
	return err
}

// MarshalJSON writes unknown members back.
func (r Record) MarshalJSON() ([]byte, error) { return EncodeKeeping(plainRecord(r), r.kept) }

// UnmarshalJSON keeps unknown members for MarshalJSON.
func (h *Holder) UnmarshalJSON(data []byte) (err error) {
	h.kept, err = DecodeKeeping(data, (*plainHolder)(h))
	return err
}

// MarshalJSON writes unknown members back.
func (h Holder) MarshalJSON() ([]byte, error) { return EncodeKeeping(plainHolder(h), h.kept) }

// UnmarshalJSON keeps unknown members for MarshalJSON.
func (f *Failure) UnmarshalJSON(data []byte) (err error) {
	f.kept, err = DecodeKeeping(data, (*plainFailure)(f))
	return err
}

// MarshalJSON writes unknown members back.
func (f Failure) MarshalJSON() ([]byte, error) { return EncodeKeeping(plainFailure(f), f.kept) }

// UnmarshalJSON keeps unknown members for MarshalJSON.
func (f *Refusal) UnmarshalJSON(data []byte) (err error) {
	f.kept, err = DecodeKeeping(data, (*plainRefusal)(f))
	return err
}

// MarshalJSON writes unknown members back.
func (f Refusal) MarshalJSON() ([]byte, error) { return EncodeKeeping(plainRefusal(f), f.kept) }

// UnmarshalJSON keeps unknown members for MarshalJSON.
func (h *Halt) UnmarshalJSON(data []byte) (err error) {
	h.kept, err = DecodeKeeping(data, (*plainHalt)(h))
	return err
}

// MarshalJSON writes unknown members back.
func (h Halt) MarshalJSON() ([]byte, error) { return EncodeKeeping(plainHalt(h), h.kept) }

// UnmarshalJSON keeps unknown members for MarshalJSON.
func (q *Queue) UnmarshalJSON(data []byte) (err error) {
	q.kept, err = DecodeKeeping(data, (*plainQueue)(q))
	return err
}

// MarshalJSON writes unknown members back.
func (q Queue) MarshalJSON() ([]byte, error) { return EncodeKeeping(plainQueue(q), q.kept) }
