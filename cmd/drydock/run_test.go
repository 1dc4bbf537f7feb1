package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/internal/hint"
)

func TestReport(t *testing.T) {
	cause := hint.Wrap(errors.New("read table: denied"), "allow it")
	faults := agent.Faults{{File: "f", Line: 1, Key: "a", Problem: "is bad"}, {File: "f", Line: 2, Key: "b", Problem: "is worse"}}
	for name, test := range map[string]struct {
		err  error
		want string
		code int
	}{
		"an error":           {errors.New("read table: gone"), "drydock: read table: gone\n", exitFailed},
		"with a hint":        {fmt.Errorf("show fleet: %w", cause), "drydock: show fleet: read table: denied\nhint: allow it\n", exitFailed},
		"faults":             {faults, "drydock: f:1: a: is bad\ndrydock: f:2: b: is worse\n", exitMisused},
		"faults as misuse":   {misused("%w", faults), "drydock: f:1: a: is bad\ndrydock: f:2: b: is worse\n", exitMisused},
		"misuse":             {misused("--x is missing"), "drydock: --x is missing\nusage: show\n", exitMisused},
		"in the log already": {errLogged, "", exitFailed},
	} {
		var out bytes.Buffer
		code := report(&out, &cobra.Command{Use: "show", Run: func(*cobra.Command, []string) {}}, test.err)
		if code != test.code || out.String() != test.want {
			t.Errorf("%s: %d and %q, want %d and %q", name, code, out.String(), test.code, test.want)
		}
	}
}

// No two commands have one name, each says what it does, and none takes
// arguments that it would pass over.
func TestCommands(t *testing.T) {
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Short == "" || cmd.RunE == nil || cmd.Args == nil {
			t.Errorf("%s: Short %q, RunE %v, Args %v", cmd.CommandPath(), cmd.Short, cmd.RunE != nil, cmd.Args != nil)
		}
		seen := map[string]bool{}
		for _, sub := range cmd.Commands() {
			if seen[sub.Name()] {
				t.Errorf("two commands %s", sub.CommandPath())
			}
			seen[sub.Name()] = true
			visit(sub)
		}
	}
	visit(newRootCommand(envOf(nil)))
}

func TestRunUntil(t *testing.T) {
	dead := hint.Wrap(errors.New("the socket is dead"), "wait")
	until := func(ctx context.Context) error { <-ctx.Done(); return nil }
	stuck := func(ctx context.Context) error {
		<-ctx.Done()
		time.Sleep(time.Hour) // in a bubble
		return nil
	}
	for name, test := range map[string]struct {
		run   func(context.Context) error
		takes time.Duration
		want  error
		log   string
	}{
		"it ends when told":     {until, time.Minute, nil, ""},
		"it is stuck":           {stuck, time.Minute + stopWithin, nil, ""},
		"it fails":              {func(context.Context) error { return dead }, 0, errLogged, `msg="the agent ends" error="the socket is dead" hint=wait`},
		"it fails while ending": {func(ctx context.Context) error { <-ctx.Done(); return dead }, time.Minute, errLogged, "error="},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var log bytes.Buffer
			begin := time.Now()
			err := runUntil(ctx, slog.New(slog.NewTextHandler(&log, nil)), test.run)
			if took := time.Since(begin); took != test.takes || took > time.Minute+5*time.Second {
				t.Errorf("%s: took %v, want %v", name, took, test.takes)
			}
			time.Sleep(time.Hour) // until what was left behind has ended
			if !errors.Is(err, test.want) || !strings.Contains(log.String(), test.log) || strings.Count(log.String(), "\n") != min(1, len(test.log)) {
				t.Errorf("%s: %v, logged %q", name, err, log.String())
			}
		})
	}
}
