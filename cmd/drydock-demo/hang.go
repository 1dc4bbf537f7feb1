package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drydock-ecs/drydock/apiclientx/apitest"
	"github.com/drydock-ecs/drydock/coordination"
)

// hangStory is a host that does not come back from its reboot.
func hangStory() story {
	return story{
		name: "hang",
		expect: newRelease + " hangs while it boots: the host does not come back, and nothing runs on it that could say so.\n" +
			"Its slot stays taken and nobody else goes; drydock status shows the host past the time that it announced.",
		fate: apitest.NeverReturns,
		play: playHang,
		checks: func() []check {
			return slices.Concat(always(), []check{
				{"the host that hangs still has its slot", holdsOn},
				{"all other hosts are ACTIVE on the old release", othersServe},
				{"drydock status names the host and says that it is overdue", statusSaysOverdue},
			})
		},
	}
}

// overdueWithin bounds the wait for the others' verdict: the length that the
// host announced, and two looks of somebody else at it.
const overdueWithin = 30 * time.Second

func playHang(ctx context.Context, w *world) error {
	h, err := w.first(ctx, hung, "the host that hangs")
	if err != nil {
		return err
	}
	w.printer.world("world", "waiting until "+h.name+" is overdue, and for what the others do about it")
	bounded, cancel := context.WithTimeout(ctx, overdueWithin)
	defer cancel()
	// Whether they mark it or leave it alone, it keeps its slot: that is what
	// the checks ask.
	_ = await(bounded, func() string {
		r, err := w.fleet.Look(ctx)
		alive := func(h coordination.Holder) bool { return !h.Stuck }
		if err != nil || slices.ContainsFunc(r.Holders, alive) {
			return "the verdict"
		}
		return ""
	})
	w.printer.text(fmt.Sprintf(`
What an operator does: look at the instance's console; then reset it (the boot loader takes %s
again, the agent restores the host, and %s is refused), or terminate it: the others learn of that
from EC2 and give its slot back. Without the right to ask EC2:
  drydock release %s --fleet %s --yes`, oldRelease, newRelease, h.id, w.ecs.ARN()))
	return ctx.Err()
}

func holdsOn(e evidence) string {
	hangs := count(e.entries, "", hung)
	if hangs == 0 {
		return "no host hangs"
	}
	for _, x := range e.entries {
		if _, ok := e.record.Holder(x.host); x.what == hung && !ok {
			return e.name(x.host) + " has lost it"
		}
	}
	return ""
}

func othersServe(e evidence) string {
	return notServing(slices.DeleteFunc(slices.Clone(e.hosts), func(h hostEnd) bool {
		return count(e.entries, h.id, hung) > 0
	}), oldRelease)
}

func statusSaysOverdue(e evidence) string {
	for _, x := range e.entries {
		if x.what != hung {
			continue
		}
		for line := range strings.Lines(e.status) {
			overdue := strings.Contains(line, "LATE") || strings.Contains(line, "STUCK")
			if overdue && strings.Contains(line, x.host) {
				return ""
			}
		}
	}
	return "it does not"
}
