package main

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/drydock-ecs/drydock/agent"
)

// explainLimit bounds all questions of one explanation.
const explainLimit = time.Minute

// newExplainCommand says on a host why it does not update.
func newExplainCommand(env environment) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "explain [--config FILE]",
		Short: "Say on a host what stands between it and its next update",
		Long: `Ask, on a host, every gate that its agent asks before an update, and print the
answers in that order: open, shut with the reason, or unknown, which to the agent is
shut. It changes nothing and may run beside the agent:

  apiclient exec drydock /drydock explain

It ends with 0 when all gates are open, else with 1.`,
		Args:                  cobra.NoArgs,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := readSettings(file)
			if err != nil {
				return err
			}
			ports, err := wireAgent(cmd.Context(), settings, slog.New(slog.DiscardHandler), env)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), explainLimit)
			defer cancel()
			return printAnswers(env.stdout, agent.Explain(ctx, settings, ports))
		},
	}
	cmd.Flags().StringVar(&file, "config", userData(), "file with the host settings (TOML)")
	return cmd
}

// printAnswers prints a line for each gate, and below it what to do.
func printAnswers(w io.Writer, answers []agent.Answer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	shut := false
	for _, a := range answers {
		shut = shut || a.Verdict != agent.Open
		row(table, string(a.Verdict), a.Gate, cmp.Or(a.Text, "-"))
		if a.Hint != "" {
			row(table, "", "", a.Hint)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if shut {
		return errLogged // each reason is said
	}
	return nil
}
