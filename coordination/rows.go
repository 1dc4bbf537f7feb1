package coordination

import (
	"fmt"
	"time"
)

// HostRow is what a host says of itself, for `drydock status`. It is written
// when something in it changes and at most once a day otherwise.
type HostRow struct {
	Host    string `json:"host"`              // EC2 instance id
	Version string `json:"version,omitempty"` // running release, "" when unknown
	Offered string `json:"offered,omitempty"` // release that this host would install next
	Phase   string `json:"phase"`
	// Since is when the phase began, by the host's own clock.
	Since time.Time `json:"since"`
	// Reason says why the host is not updating, in words; "" when it is.
	Reason     string `json:"reason,omitempty"`
	Generation int64  `json:"generation,omitempty"` // of the slot that it holds, 0 without
	Ticket     int64  `json:"ticket,omitempty"`     // place in the queue, 0 without
	Zone       string `json:"zone,omitempty"`       // Availability Zone
	ARN        string `json:"arn,omitempty"`        // container instance
	// Waves are the operating system's own wave settings: seed, version-lock,
	// ignore-waves, as the Bottlerocket API shows them.
	Waves map[string]string `json:"waves,omitempty"`
	// Agent is the version of the agent that wrote the row.
	Agent string `json:"agent,omitempty"`
	// Written is when the row was written, by the host's own clock.
	Written time.Time `json:"written"`
}

// OutcomeGone is the outcome of an update whose instance is gone, by the word of
// the host that freed its slot.
const OutcomeGone = "gone"

// EventLife is how long an event row is kept before DynamoDB's TTL removes it.
const EventLife = 400 * 24 * time.Hour

// Event is one finished update, or one act of an operator.
type Event struct {
	Generation int64     `json:"generation,omitempty"`
	Host       string    `json:"host,omitempty"`
	At         time.Time `json:"at"`
	From       string    `json:"from,omitempty"`
	To         string    `json:"to,omitempty"`
	Outcome    string    `json:"outcome"`
	// Seconds spent in each phase, by the host's own clock.
	Seconds map[string]float64 `json:"seconds,omitempty"`
	Who     string             `json:"who,omitempty"`  // operator acts only
	What    string             `json:"what,omitempty"` // operator acts only
}

// Key is the event's sort key: the same event always has the same one, so a
// write after a lost answer is the same row again.
func (e Event) Key() string {
	if e.Who != "" {
		return fmt.Sprintf("event#op#%s#%s", e.At.UTC().Format("20060102T150405.000000000Z"), e.Outcome)
	}
	key := fmt.Sprintf("event#%d#%s", e.Generation, e.Host)
	if e.Outcome == OutcomeGone {
		key += "#" + OutcomeGone // beside what the host itself may have written
	}
	return key
}
