package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/drydock-ecs/drydock/apiclientx/apitest"
)

// The ways in which the program ends.
const (
	exitHolds   = 0
	exitBroken  = 1
	exitMisused = 2
)

// run is the program: a run of the fleet from the flags to the verdict.
func run(ctx context.Context, args, env []string, stdout, stderr io.Writer) int {
	o, err := parseOptions(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitHolds
	case err != nil:
		fmt.Fprintln(stderr, "drydock-demo:", err)
		return exitMisused
	}
	holds, err := perform(ctx, o, env, newPrinter(stdout))
	if err != nil {
		fmt.Fprintln(stderr, "drydock-demo:", err)
		return exitBroken
	}
	if !holds {
		return exitBroken
	}
	return exitHolds
}

// perform builds the world, lets it live while the story is played, and
// judges what was seen. Every process has ended when it returns.
func perform(ctx context.Context, o options, env []string, p *printer) (bool, error) {
	w, err := newWorld(o, env, p)
	if err != nil {
		return false, err
	}
	defer w.close()
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("the time is over (%v)", o.timeout))
	defer cancel()
	if err := w.setUp(ctx); err != nil {
		return false, because(ctx, err)
	}
	e, err := w.perform(ctx)
	if err != nil {
		return false, because(ctx, err)
	}
	p.text("\n" + table(e))
	p.text("\nAs seen from outside:")
	return judge(p, o.story.checks(), e), nil
}

// because puts the reason for the end of a context before what was still
// missing then.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("%w; %w", cause, err)
	}
	return err
}

// setUp makes the lock record as an operator would, and starts the services.
func (w *world) setUp(ctx context.Context) error {
	o := w.options
	w.printer.text(o.story.expect)
	w.printer.text("")
	w.printer.world("world", fmt.Sprintf("%d hosts run %s; slots: %d", o.hosts, oldRelease, o.slots))
	w.printer.world("world", fmt.Sprintf("host-1 is %s, and so on", w.all()[0].id))
	if o.keep != "" {
		w.printer.world("world", "their files are in "+w.dir)
	}
	out, err := w.command(ctx, "init", "--slots", fmt.Sprint(o.slots))
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(out, "\n\n")
	for line := range strings.Lines(first) {
		w.printer.line("operator", "|", strings.TrimRight(line, "\n"))
	}
	return w.startServices(ctx)
}

// perform plays the story while the hosts live.
func (w *world) perform(ctx context.Context) (evidence, error) {
	var e evidence
	living, stop := context.WithCancel(ctx)
	defer stop()
	group, living := errgroup.WithContext(living)
	group.Go(func() error { return w.live(living) })
	group.Go(func() (err error) {
		defer stop()
		e, err = w.play(living)
		return err
	})
	err := group.Wait()
	return e, err
}

// play goes through the story: idle hosts, the release, what comes of it, and
// idle hosts again.
func (w *world) play(ctx context.Context) (evidence, error) {
	s := w.options.story
	if err := w.checkedAgain(ctx, 2); err != nil {
		return evidence{}, err
	}
	idle := w.ecsCalls()
	if s.begin != nil {
		s.begin(ctx, w)
	}
	w.printer.world("world", "release "+newRelease+" appears")
	w.offer(apitest.Release{Version: newRelease, Fate: s.fate})
	if err := s.play(ctx, w); err != nil {
		return evidence{}, err
	}
	busy := w.ecsCalls()
	if err := w.checkedAgain(ctx, 2); err != nil {
		return evidence{}, err
	}
	status, err := w.command(ctx, "status")
	if err != nil {
		return evidence{}, err
	}
	w.printer.text("\n$ drydock status --table " + tableName + " --fleet " + w.ecs.ARN() + "\n" + status)
	return w.gather(ctx, idle, busy, status)
}

// checkedAgain waits until every host that is up has asked for releases so
// many times more.
func (w *world) checkedAgain(ctx context.Context, times int) error {
	before := make(map[string]int)
	for _, h := range w.all() {
		before[h.id] = w.ledger.count(h.id, checked)
	}
	return await(ctx, func() string {
		for _, h := range w.all() {
			if h.api.Running() != "" && w.ledger.count(h.id, checked) < before[h.id]+times {
				return h.name + " does not ask for releases"
			}
		}
		return ""
	})
}
