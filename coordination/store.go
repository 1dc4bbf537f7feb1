package coordination

import (
	"context"
	"errors"
)

// Store keeps one value per fleet and changes it by compare-and-swap. It is
// the whole storage contract of the lock: no transaction, no clock, no
// condition but "the value is still the one that I read" and "there is none".
//
// Every method may block on the network and honours its context. Errors that
// are none of the sentinels below say that nothing was written.
type Store interface {
	// Fetch returns the fleet's present value by a strongly consistent read,
	// or ErrNotFound.
	Fetch(ctx context.Context, fleet string) (Value, error)

	// Create stores the first value of a fleet and returns it. It fails with
	// ErrConflict when there is one already, and with ErrUnknown when no
	// answer came.
	Create(ctx context.Context, fleet string, body []byte) (Value, error)

	// Replace stores body in place of old and returns the new value. It fails
	// with ErrConflict when the stored value is not old any more, and with
	// ErrUnknown when no answer came: the write may have been applied, or may
	// still be on its way.
	Replace(ctx context.Context, old Value, body []byte) (Value, error)
}

// Value is what a Store returned. The token names this very write among all
// writes; only a Store makes one, so a blind overwrite cannot be written.
type Value struct {
	Fleet string
	Token string
	Body  []byte
}

// Errors that a Store returns, to be tested with errors.Is.
var (
	// ErrNotFound: the fleet has no lock record. Only `drydock init` makes one.
	ErrNotFound = errors.New("no lock record")
	// ErrNoTable: there is no such table.
	ErrNoTable = errors.New("no such table")
	// ErrConflict: another value was stored first.
	ErrConflict = errors.New("lock record was changed by another")
	// ErrUnknown: the outcome of a write is unknown. The only thing to do next
	// is to look.
	ErrUnknown = errors.New("outcome of the write is unknown")
)

// Rows keeps what is for eyes only: one row a host, one row an event. No rule
// reads them and any of them may be lost.
type Rows interface {
	// PutHost writes the host's own row over the one before.
	PutHost(ctx context.Context, fleet string, row HostRow) error
	// Hosts returns all rows of the fleet, in order of host. The read may lag.
	Hosts(ctx context.Context, fleet string) ([]HostRow, error)
	// PutEvent writes an event row; written again it is the same row.
	PutEvent(ctx context.Context, fleet string, event Event) error
}
