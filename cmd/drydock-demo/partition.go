package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// partitionLength is how long the table is out of reach: shorter than a host
// announces to be away for a reboot. Whoever is longer in silence is marked, and
// withdraws that himself.
const partitionLength = 8 * time.Second

// partitionStory cuts a part of the fleet off from the table, twice.
func partitionStory() story {
	return story{
		name: "partition",
		expect: fmt.Sprintf("Twice %v long half of the hosts cannot reach the table: from the first drain, and from the first reboot after that.\n", partitionLength) +
			"Nobody is marked who lives, nothing stays drained, and all hosts end ACTIVE on " + newRelease + ".",
		extra: 60 * time.Second,
		play:  playPartition,
		checks: func() []check {
			return slices.Concat(always(), complete(), []check{
				{"the partitions met hosts in the middle of an update, and others", partitionsMet},
				{"no host was marked stuck", nobodyMarked},
				{"nobody else was given the slot of a host that was cut off", slotsKept},
			})
		},
	}
}

func playPartition(ctx context.Context, w *world) error {
	from := time.Time{}
	for _, moment := range []fact{draining, wentDown} {
		h, err := w.next(ctx, moment, from)
		if err != nil {
			return err
		}
		cut := w.half(h)
		for _, c := range cut {
			w.db.Cut(c.id, true)
			w.ledger.add(c.id, cutOff, "")
		}
		pause(ctx, partitionLength)
		for _, c := range cut {
			w.db.Cut(c.id, false)
			w.ledger.add(c.id, cutHealed, "")
		}
		from = time.Now()
	}
	return untilComplete(ctx, w)
}

// next waits for the first time after a moment that something happens.
func (w *world) next(ctx context.Context, what fact, after time.Time) (*host, error) {
	var found *host
	err := await(ctx, func() string {
		for _, e := range w.ledger.all() {
			if e.what == what && e.at.After(after) {
				found = w.find(e.host)
				return ""
			}
		}
		return "an update in the middle of which to cut hosts off"
	})
	return found, err
}

// half is every second host and the one named, but not all.
func (w *world) half(with *host) []*host {
	cut := []*host{with}
	all := w.all()
	for i, h := range all {
		if h != with && i%2 == 0 && len(cut)+1 < len(all) {
			cut = append(cut, h)
		}
	}
	return cut
}

// partitionsMet wants two partitions that began with a host out of service and
// met at least one other.
func partitionsMet(e evidence) string {
	met, others := 0, 0
	for _, x := range e.entries {
		if x.what != cutOff {
			continue
		}
		busy := slices.ContainsFunc(e.updates, func(u *update) bool {
			return u.host == x.host && !u.draining.After(x.at) && (u.returned.IsZero() || u.returned.After(x.at))
		})
		if busy {
			met++
		} else {
			others++
		}
	}
	if met < 2 || others < 1 {
		return fmt.Sprintf("%d in an update, %d others", met, others)
	}
	return ""
}

func nobodyMarked(e evidence) string {
	var marked []string
	for _, x := range e.entries {
		if x.what == markedStuck {
			marked = append(marked, e.name(x.host))
		}
	}
	return strings.Join(marked, ", ")
}

// slotsKept counts the holders at each grant.
func slotsKept(e evidence) string {
	holders := make(map[string]bool)
	for _, x := range e.entries {
		switch x.what {
		case granted:
			holders[x.host] = true
		case returned:
			delete(holders, x.host)
		}
		if len(holders) > e.slots {
			return fmt.Sprintf("%d held one when %s got its own", len(holders), e.name(x.host))
		}
	}
	return ""
}
