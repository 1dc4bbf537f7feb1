package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// lostHostStory is a host that EC2 takes away while it reboots.
func lostHostStory() story {
	return story{
		name: "lost-host",
		expect: "EC2 terminates the first host that goes down for its reboot. It is late, the others mark it stuck, and two answers of EC2 free its slot.\n" +
			"Its failure stays, since it may have been the release: nobody starts until an operator has looked and resumes. Then the others go on.",
		extra: 60 * time.Second,
		play:  playLostHost,
		checks: func() []check {
			return slices.Concat(always(), complete(), []check{
				{"the slot of the lost host was freed on two answers of EC2, after it was marked stuck", freedOnEvidence},
				{"nobody was given a slot between the mark and the operator's resume", nobodyStarted},
				{"the failure of the lost host stayed until the operator lifted it", failureStayed},
			})
		},
	}
}

func playLostHost(ctx context.Context, w *world) error {
	h, err := w.first(ctx, wentDown, "the first reboot")
	if err != nil {
		return err
	}
	w.terminate(ctx, h)
	if err := w.after(ctx, h, markedStuck, "is not marked stuck"); err != nil {
		return err
	}
	if err := w.after(ctx, h, returned, "has still its slot"); err != nil {
		return err
	}
	w.printer.world("world", "waiting whether anybody else starts")
	pause(ctx, 3*time.Second)
	out, err := w.command(ctx, "resume")
	if err != nil {
		return err
	}
	w.printer.line("operator", "*", "drydock resume")
	for line := range strings.Lines(out) {
		w.printer.line("operator", "|", strings.TrimRight(line, "\n"))
	}
	w.ledger.add(h.id, resumed, out)
	return untilComplete(ctx, w)
}

// find returns the first entry of that kind, of a host or, for "", of any.
func (e evidence) find(host string, what fact) (entry, bool) {
	i := slices.IndexFunc(e.entries, func(x entry) bool { return x.what == what && (host == "" || x.host == host) })
	if i < 0 {
		return entry{}, false
	}
	return e.entries[i], true
}

// freedOnEvidence wants of each host that was terminated with a slot: stuck,
// then two questions of one host that are the evidence gap apart, then free.
func freedOnEvidence(e evidence) string {
	lost := 0
	for _, u := range e.updates {
		if !u.lost {
			continue
		}
		lost++
		name := e.name(u.host)
		stuck, marked := e.find(u.host, markedStuck)
		switch {
		case u.returned.IsZero():
			return name + " has still its slot"
		case !marked || stuck.at.After(u.returned):
			return name + " was freed without a mark"
		}
		if !e.askedTwice(name, u.returned) {
			return name + " was freed without two answers of EC2 that are far enough apart"
		}
	}
	if lost == 0 {
		return "no host was lost"
	}
	return ""
}

// askedTwice says whether some host asked EC2 about another twice before a
// moment. The question is seen before its answer, and the gap begins after that:
// it cannot be shorter from outside.
func (e evidence) askedTwice(about string, before time.Time) bool {
	gap, first := agentConfig().Timing.EvidenceGap, make(map[string]time.Time)
	for _, x := range e.entries {
		if x.what != askedEC2 || x.at.After(before) || !slices.Contains(strings.Split(x.text, ", "), about) {
			continue
		}
		if from, ok := first[x.host]; ok && x.at.Sub(from) >= gap {
			return true
		} else if !ok {
			first[x.host] = x.at
		}
	}
	return false
}

func nobodyStarted(e evidence) string {
	mark, marked := e.find("", markedStuck)
	lifted, resumed := e.find("", resumed)
	if !marked || !resumed {
		return "there was no mark or no resume"
	}
	for _, x := range e.entries {
		if x.what == granted && x.at.After(mark.at.Add(lookDelay)) && x.at.Before(lifted.at.Add(-lookDelay)) {
			return fmt.Sprintf("%s was, %.1f s after the mark", e.name(x.host), x.at.Sub(mark.at).Seconds())
		}
	}
	return ""
}

func failureStayed(e evidence) string {
	lost, gone := e.find("", terminated)
	lifted, ok := e.find("", resumed)
	switch {
	case !gone || !ok:
		return "no host was lost, or nobody resumed"
	case !strings.Contains(lifted.text, "failure of "+lost.host):
		return "resume did not find it"
	}
	return ""
}
