package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drydock-ecs/drydock/apiclientx/apitest"
)

// fallbackStory is a release that does not boot.
func fallbackStory() story {
	return story{
		name: "fallback",
		expect: newRelease + " does not boot: the boot loader takes the old release again.\n" +
			"As many hosts as there are slots try it and end ACTIVE on " + oldRelease + "; it is refused, the fleet is halted, and nobody else tries.",
		fate: apitest.FallsBack,
		play: playFallback,
		checks: func() []check {
			return slices.Concat(always(), []check{
				{"no more hosts tried it than there are slots", triedByMany},
				{"all hosts are ACTIVE on the old release", allServing(oldRelease)},
				{"all slots are returned, the failure is counted, the release is refused", refusedRecord},
				{"drydock status says that the fleet is halted, and why", statusSays("halted", "fell_back", "refused", newRelease)},
			})
		},
	}
}

// playFallback waits for the end of the first attempts, and then as long again
// as the other hosts would have needed to begin theirs.
func playFallback(ctx context.Context, w *world) error {
	if _, err := w.first(ctx, returned, "the end of the first attempt"); err != nil {
		return err
	}
	err := await(ctx, func() string {
		if missing := notServing(w.ends(), oldRelease); missing != "" {
			return missing
		}
		return w.slotsOut(ctx)
	})
	if err != nil {
		return err
	}
	w.printer.world("world", "waiting whether anybody else tries")
	pause(ctx, 5*time.Second)
	return nil
}

// triedByMany: a bad release reaches max_failures + slots - 1 hosts, with
// max_failures 1.
func triedByMany(e evidence) string {
	hosts := make(map[string]bool)
	for _, u := range e.updates {
		hosts[u.host] = true
	}
	if n := len(hosts); n == 0 || n > e.slots {
		return fmt.Sprintf("%d hosts tried it", n)
	}
	return ""
}

func refusedRecord(e evidence) string {
	r := e.record
	switch {
	case len(r.Holders) > 0:
		return fmt.Sprintf("%s has a slot, in phase %s", e.name(r.Holders[0].Host), r.Holders[0].Phase)
	case len(r.Failures) == 0:
		return "no failure is counted"
	case r.Failures[0].Cause != "fell_back":
		return "the failure's cause is " + r.Failures[0].Cause
	case !r.Refuses(newRelease):
		return newRelease + " is not refused"
	}
	return ""
}

// statusSays wants words in the output of drydock status.
func statusSays(words ...string) func(evidence) string {
	return func(e evidence) string {
		for _, word := range words {
			if !strings.Contains(e.status, word) {
				return fmt.Sprintf("it does not say %q", word)
			}
		}
		return ""
	}
}
