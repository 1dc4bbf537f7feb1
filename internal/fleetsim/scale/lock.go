package scale

import (
	"context"
	"fmt"

	"github.com/drydock-ecs/drydock/coordination"
)

// lock is coordination.Fleet but for one thing: hosts that look at the same
// record share what it was decoded to. Ten thousand copies of it are what the
// simulation would have to hold in memory, and no rule changes the record that it
// is given.
type lock struct {
	*coordination.Fleet
	door door
}

// Look is coordination.Fleet's.
func (l lock) Look(ctx context.Context) (coordination.Record, error) {
	value, err := l.door.Fetch(ctx, l.ARN)
	if err != nil {
		return coordination.Record{}, fmt.Errorf("read the lock record: %w", err)
	}
	r, ok := l.door.decoded(value.Token)
	if !ok {
		if r, err = coordination.Decode(value.Body); err != nil {
			return r, fmt.Errorf("read the lock record: %w", err)
		}
		l.door.keep(value.Token, r)
	}
	return r, nil
}
