package coordination

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Fleet is one fleet's lock in a store.
type Fleet struct {
	ARN   string // cluster ARN
	Store Store
	Rows  Rows
}

// Look reads the lock record.
func (f *Fleet) Look(ctx context.Context) (Record, error) {
	value, err := f.Store.Fetch(ctx, f.ARN)
	if err != nil {
		return Record{}, fmt.Errorf("read the lock record: %w", err)
	}
	r, err := Decode(value.Body)
	if err != nil {
		return Record{}, fmt.Errorf("read the lock record: %w", err)
	}
	return r, nil
}

// Apply changes the record by a rule: read, ask the rule, write if it says
// so, and after a lost race or a lost answer the same again. It returns the
// record as it then is; also, with a *Denied, the one that the rule denied.
//
// A process that dies anywhere in here leaves the record as it was or as the
// rule made it; the rule, asked again, finds out which.
func (f *Fleet) Apply(ctx context.Context, rule Rule) (Record, error) {
	for wait := firstWait(rule); ; wait = min(2*wait, longestWait) {
		before, next, err := f.step(ctx, rule)
		switch {
		case err == nil:
			return next, nil
		case errors.Is(err, ErrDone):
			return before, nil
		case !errors.Is(err, ErrConflict) && !errors.Is(err, ErrUnknown):
			return before, err
		}
		if sleepErr := sleep(ctx, rand.N(wait)); sleepErr != nil {
			return Record{}, fmt.Errorf("%w (%w)", err, sleepErr)
		}
	}
}

func (f *Fleet) step(ctx context.Context, rule Rule) (before, next Record, err error) {
	value, err := f.Store.Fetch(ctx, f.ARN)
	if err != nil {
		return before, next, fmt.Errorf("read the lock record: %w", err)
	}
	if before, err = Decode(value.Body); err != nil {
		return before, next, fmt.Errorf("read the lock record: %w", err)
	}
	if next, err = rule.Change(before); err != nil {
		return before, next, err
	}
	if err := next.check(); err != nil {
		return before, next, fmt.Errorf("change the lock record: %w: it would be nonsense: %v", ErrNonsense, err)
	}
	body, err := next.Encode()
	if err != nil {
		return before, next, fmt.Errorf("encode the lock record: %w", err)
	}
	if _, err = f.Store.Replace(ctx, value, body); err != nil {
		return before, next, fmt.Errorf("write the lock record: %w", err)
	}
	return before, next, nil
}

// PutHost writes the host's row.
func (f *Fleet) PutHost(ctx context.Context, row HostRow) error {
	return f.Rows.PutHost(ctx, f.ARN, row)
}

// PutEvent writes an event row.
func (f *Fleet) PutEvent(ctx context.Context, event Event) error {
	return f.Rows.PutEvent(ctx, f.ARN, event)
}

// Waits after a lost race: full jitter up to these, doubling. Who gives
// something back goes before who wants something.
const (
	holderWait  = 100 * time.Millisecond
	joinerWait  = time.Second
	longestWait = 5 * time.Second
)

func firstWait(rule Rule) time.Duration {
	if rule.Joins {
		return joinerWait
	}
	return holderWait
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
