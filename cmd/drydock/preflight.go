package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/internal/hint"
)

// preflightWithin is for all questions of a preflight.
const preflightWithin = 2 * time.Minute

// newPreflightCommand looks at a host before, or while, its agent runs.
func newPreflightCommand(env environment) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "preflight [--config FILE]",
		Short: "Say what this host lacks for its agent to work",
		Long: `Look, on a host, at everything that its agent needs: settings, files, the Bottlerocket
API, the instance's metadata and role, the way to AWS, the clock, the local ECS agent,
every permission, the table and the fleet's lock record.

Each has a line: ok, PROBLEM with what to do about it, or "not checked" with the reason.
It changes nothing, and may run beside the agent. Calls that write are tried on what does
not exist, or on a condition that cannot hold. It ends with 0 when there is no problem,
and with 1 when there is one.`,
		Args:                  cobra.NoArgs,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), preflightWithin)
			defer cancel()
			p := &preflight{env: env}
			p.run(ctx, file)
			if p.problems > 0 {
				row(env.stdout, fmt.Sprintf("problems: %d", p.problems))
				return errLogged // each is said
			}
			row(env.stdout, "no problems")
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "config", userData(), "file with the host settings (TOML)")
	return cmd
}

// preflight prints what it finds as it finds it.
type preflight struct {
	env      environment
	problems int
}

// Width of the first column, and so the indent of what to do.
const verdictWidth = len("not checked")

func (p *preflight) line(verdict, what, detail string) {
	row(p.env.stdout, fmt.Sprintf("%-*s  %s: %s", verdictWidth, verdict, what, detail))
}

func (p *preflight) ok(what, detail string)   { p.line("ok", what, detail) }
func (p *preflight) skip(what, reason string) { p.line("not checked", what, reason) }

// problem prints an error and its hint.
func (p *preflight) problem(what string, err error) {
	p.problems++
	f := found(explainWay(err, time.Now()))
	p.line("PROBLEM", what, f.wrong)
	if f.mend != "" {
		row(p.env.stdout, strings.Repeat(" ", verdictWidth+2)+f.mend)
	}
}

// verdict prints an error as a problem, and none as ok.
func (p *preflight) verdict(what, detail string, err error) {
	if err != nil {
		p.problem(what, err)
		return
	}
	p.ok(what, detail)
}

// run asks from the inside to the outside, so that the first problem is the
// cause of those below it. What cannot be asked for want of another answer is
// said not to be checked.
func (p *preflight) run(ctx context.Context, file string) {
	p.ok("drydock", fmt.Sprintf("%s %s/%s", version(), runtime.GOOS, runtime.GOARCH))
	settings := p.settings(file)
	p.stateDir(settings.Host.StateDir)
	p.bottlerocket(ctx, settings)
	a, err := openAWS(ctx, p, settings)
	if err != nil {
		p.problem("AWS settings", err)
		return
	}
	a.identify(ctx)
	a.reach(ctx)
	a.findFleet(ctx)
	a.checkECS(ctx)
	a.checkTable(ctx)
	a.checkEvidence(ctx)
}

// settings prints every fault of a file and returns what is good in it.
func (p *preflight) settings(file string) agent.Config {
	settings, err := readSettings(file)
	if err == nil {
		p.ok("settings", file)
		return settings
	}
	faults, _ := errors.AsType[agent.Faults](err)
	for _, fault := range faults {
		mend := fault.Hint
		fault.Hint = ""
		p.problem("settings", hint.Wrap(fault, mend))
	}
	if settings == (agent.Config{}) {
		return agent.DefaultConfig()
	}
	return settings
}
