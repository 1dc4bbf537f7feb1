package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drydock-ecs/drydock/apiclientx/apitest"
)

// story is what happens in a run.
type story struct {
	name   string
	expect string // two lines: what goes wrong, and what comes of it
	fate   apitest.Fate
	// extra is added to the time that a run may take.
	extra time.Duration
	// begin sets the stage, before the release appears; nil for none.
	begin func(ctx context.Context, w *world)
	// play goes with the story until all that it waits for has come.
	play   func(ctx context.Context, w *world) error
	checks func() []check
}

// stories are all of them; the first is the one in which nothing goes wrong.
func stories() []story {
	return []story{
		{
			expect: "Nothing goes wrong: the hosts stage the release side by side and then take turns.\n" +
				"All of them end ACTIVE on " + newRelease + ".",
			play:   untilComplete,
			checks: func() []check { return slices.Concat(always(), complete(), costs()) },
		},
		killStory(),
		fallbackStory(),
		hangStory(),
		dynamodbStory(),
		lostHostStory(),
		replacedHostStory(),
		partitionStory(),
	}
}

func findStory(name string) (story, bool) {
	all := stories()
	i := slices.IndexFunc(all, func(s story) bool { return s.name == name })
	if i < 0 {
		return story{}, false
	}
	return all[i], true
}

// storyNames are those that can be asked for.
func storyNames() []string {
	var names []string
	for _, s := range stories() {
		if s.name != "" {
			names = append(names, s.name)
		}
	}
	return names
}

// untilComplete waits until every host is in service on the new release and
// every slot is returned.
func untilComplete(ctx context.Context, w *world) error {
	return await(ctx, func() string {
		missing := notServing(w.ends(), newRelease)
		if missing == "" {
			missing = w.slotsOut(ctx)
		}
		return missing
	})
}

// slotsOut names the holders of slots, or "".
func (w *world) slotsOut(ctx context.Context) string {
	r, err := w.fleet.Look(ctx)
	if err != nil {
		return "the lock record: " + err.Error()
	}
	var holders []string
	for _, h := range r.Holders {
		holders = append(holders, fmt.Sprintf("%s has not returned its slot (phase %s)", w.name(h.Host), h.Phase))
	}
	return strings.Join(holders, "; ")
}

// first waits for the first time that something happens and returns the host.
func (w *world) first(ctx context.Context, what fact, words string) (*host, error) {
	var found *host
	err := await(ctx, func() string {
		for _, e := range w.ledger.all() {
			if e.what == what {
				found = w.find(e.host)
				return ""
			}
		}
		return words
	})
	return found, err
}

// after waits until something happened to a host.
func (w *world) after(ctx context.Context, h *host, what fact, words string) error {
	return await(ctx, func() string {
		if w.ledger.count(h.id, what) > 0 {
			return ""
		}
		return h.name + " " + words
	})
}
