package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/internal/hint"
)

// The ways in which the program ends.
const (
	exitDone    = 0
	exitFailed  = 1 // something could not be done
	exitMisused = 2 // the command line or the settings are wrong; nothing was touched
)

// run runs one command line and returns the exit code. It ends early, and as
// orderly as the command can, when ctx does.
func run(ctx context.Context, args []string, env environment) int {
	root := newRootCommand(env)
	root.SetArgs(args)
	root.SetOut(env.stdout)
	root.SetErr(env.stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	return report(env.stderr, cmd, err)
}

// report prints an error: what was done and why it failed on one line (each
// fault of settings on its own), what the operator can do on another.
func report(w io.Writer, cmd *cobra.Command, err error) int {
	if errors.Is(err, errLogged) {
		return exitFailed
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintln(w, "drydock: "+strings.TrimSuffix(line, "\n"))
	}
	if advice := hint.Of(err); advice != "" {
		fmt.Fprintln(w, "hint: "+advice)
	}
	_, faults := errors.AsType[agent.Faults](err)
	_, misused := errors.AsType[*misuse](err)
	switch {
	case faults:
		return exitMisused
	case misused && cmd.HasSubCommands():
		fmt.Fprintln(w, "usage: "+cmd.CommandPath()+" COMMAND")
		return exitMisused
	case misused:
		fmt.Fprintln(w, "usage: "+cmd.UseLine())
		return exitMisused
	}
	return exitFailed
}

// errLogged is the error of a command whose log has the real one already.
var errLogged = errors.New("see the log")

// misuse is a command line that cannot be followed.
type misuse struct{ error }

func (m *misuse) Unwrap() error { return m.error }

func misused(format string, args ...any) error {
	return &misuse{fmt.Errorf(format, args...)}
}
