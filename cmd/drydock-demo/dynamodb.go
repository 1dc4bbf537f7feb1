package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// tableAway is how long the table stays out of reach after the host is in
// service again.
const tableAway = 4 * time.Second

// dynamodbStory takes the table away from the first host that reboots.
func dynamodbStory() story {
	return story{
		name: "dynamodb",
		expect: "The first host that goes down for its reboot finds the table out of its reach when it is back.\n" +
			"It goes into service all the same; its slot, and with it the roll-out, waits until the table answers again.",
		extra: 15 * time.Second,
		play:  playDynamoDB,
		checks: func() []check {
			calls, out := costs()[0], costs()[2]
			return slices.Concat(always(), complete(), []check{
				{"the host was ACTIVE on the new release while the table was out of its reach", servedWithoutTable},
				{"nobody else was given its slot meanwhile", nobodyGranted},
				calls, out,
			})
		},
	}
}

func playDynamoDB(ctx context.Context, w *world) error {
	h, err := w.first(ctx, wentDown, "the first reboot")
	if err != nil {
		return err
	}
	w.db.Cut(h.id, true)
	w.ledger.add(h.id, cutOff, "")
	if err := w.after(ctx, h, nowActive, "is not ACTIVE again"); err != nil {
		return err
	}
	pause(ctx, tableAway)
	w.db.Cut(h.id, false)
	w.ledger.add(h.id, cutHealed, "")
	return untilComplete(ctx, w)
}

// away is the time for which the table was out of the host's reach.
func (e evidence) away() (host string, from, to time.Time) {
	for _, x := range e.entries {
		switch x.what {
		case cutOff:
			host, from = x.host, x.at
		case cutHealed:
			to = x.at
		}
	}
	return host, from, to
}

func servedWithoutTable(e evidence) string {
	host, from, to := e.away()
	for _, u := range e.updates {
		if u.host == host && u.to == newRelease && u.active.After(from) && u.active.Before(to) && u.returned.After(to) {
			return ""
		}
	}
	return e.name(host) + " was not"
}

// nobodyGranted counts the holders while the table was away.
func nobodyGranted(e evidence) string {
	_, from, to := e.away()
	for _, u := range e.updates {
		if !u.granted.After(from) || !u.granted.Before(to) {
			continue
		}
		held := 0
		for _, other := range e.updates {
			if !other.granted.After(u.granted) && (other.returned.IsZero() || other.returned.After(u.granted)) {
				held++
			}
		}
		if held > e.slots {
			return fmt.Sprintf("%d held a slot when %s got one", held, e.name(u.host))
		}
	}
	return ""
}
