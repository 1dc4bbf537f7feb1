package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drydock-ecs/drydock/apiclientx/apitest"
)

// unhealthyLength is how long the autoscaler waits for a host that does not
// answer its checks.
const unhealthyLength = 2 * time.Second

// replacedHostStory is a release that does not come up, under an autoscaler
// that takes away every host that fails.
func replacedHostStory() story {
	return story{
		name: "replaced-host",
		expect: newRelease + " hangs while it boots, and an autoscaler replaces each host that hangs by a fresh one on " + oldRelease + ".\n" +
			"The failure outlives its host: the release reaches as many hosts as there are slots, and none of the fresh ones.",
		fate:  apitest.NeverReturns,
		extra: 60 * time.Second,
		play:  playReplacedHost,
		checks: func() []check {
			return slices.Concat(always(), []check{
				{"the release reached at most max_failures + slots - 1 hosts", triedByMany},
				{"every host that failed was replaced, and its slot freed on two answers of EC2", freedOnEvidence},
				{"no fresh host tried the release", freshHostsIdle},
				{"all hosts that there are, are ACTIVE on the old release", allServing(oldRelease)},
				{"all slots are free, and the failure counts although its host is gone", failureOutlives},
				{"drydock status says that the fleet is halted", statusSays("halted")},
			})
		},
	}
}

// playReplacedHost replaces what hangs until nobody has a slot any more, and
// then waits as long as a fresh host would need to begin.
func playReplacedHost(ctx context.Context, w *world) error {
	if _, err := w.first(ctx, hung, "the host that hangs"); err != nil {
		return err
	}
	replaced := make(map[string]bool)
	for {
		for _, h := range w.all() {
			if replaced[h.id] || w.ledger.count(h.id, hung) == 0 {
				continue
			}
			replaced[h.id] = true
			pause(ctx, unhealthyLength)
			w.terminate(ctx, h)
			if err := w.launch(ctx, apitest.Release{Version: newRelease, Fate: apitest.NeverReturns}); err != nil {
				return err
			}
		}
		missing := w.slotsOut(ctx)
		if missing == "" {
			missing = notServing(w.ends(), oldRelease)
		}
		if missing == "" {
			break
		}
		if !pause(ctx, awaitDelay) {
			return fmt.Errorf("still missing: %s", missing)
		}
	}
	w.printer.world("world", "waiting whether anybody else tries")
	pause(ctx, 8*time.Second)
	return ctx.Err()
}

func freshHostsIdle(e evidence) string {
	fresh := 0
	var tried []string
	for _, x := range e.entries {
		if x.what != launched {
			continue
		}
		fresh++
		if count(e.entries, x.host, granted)+count(e.entries, x.host, draining) > 0 {
			tried = append(tried, e.name(x.host))
		}
		if count(e.entries, x.host, preparing) == 0 {
			tried = append(tried, e.name(x.host)+" did not even see it")
		}
	}
	if fresh == 0 {
		return "there is none"
	}
	return strings.Join(tried, ", ")
}

func failureOutlives(e evidence) string {
	r := e.record
	switch lost, _ := e.find("", terminated); {
	case len(r.Holders) > 0:
		return fmt.Sprintf("%s has a slot, in phase %s", e.name(r.Holders[0].Host), r.Holders[0].Phase)
	case len(r.Failures) == 0:
		return "no failure is counted"
	case r.Failures[0].Host != lost.host:
		return "the failure is that of " + e.name(r.Failures[0].Host)
	}
	return ""
}
