package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// newRootCommand is the command line as a whole.
func newRootCommand(env environment) *cobra.Command {
	root := &cobra.Command{
		Use:   "drydock",
		Short: "Update the Bottlerocket hosts of an Amazon ECS cluster",
		Long: `Drydock updates the Bottlerocket hosts of an Amazon ECS cluster, so many at a
time as the fleet has slots. Each host runs "drydock agent" in a host container;
the agents share one lock record in a DynamoDB table. The other commands are for
operators, anywhere with access to that table.

Endpoints, Region and credentials follow the AWS SDK's settings: the AWS_*
environment variables and ~/.aws.`,
		Example: `  drydock init --fleet web --slots 2    make table and lock record of cluster web
  drydock status --fleet web            who runs what, and who waits for what`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SuggestionsMinimumDistance = 2 // letters that may be wrong
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return misused("%w", err) })
	group(root, "host", "On a host:", newAgentCommand(env), newExplainCommand(env), newPreflightCommand(env))
	group(root, "fleet", "For a fleet:", newInitCommand(env), newStatusCommand(env), newDoctorCommand(env),
		newHaltCommand(env), newResumeCommand(env), newSlotsCommand(env), newPolicyCommand(env),
		newRestoreCommand(env), newReleaseCommand(env), newAllowCommand(env))
	root.AddCommand(newConfigCommand(env), newUserDataCommand(env), newVersionCommand(env))
	strict(root)
	return root
}

// group adds commands under a title of their own.
func group(root *cobra.Command, id, title string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: id, Title: title})
	for _, cmd := range commands {
		cmd.GroupID = id
		root.AddCommand(cmd)
	}
}

// strict makes a misuse of every argument that a command does not take. A
// command that only holds others shows its help.
func strict(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		strict(sub)
	}
	if cmd.HasSubCommands() && !cmd.Runnable() {
		cmd.Args = knownCommand
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		return
	}
	if takes := cmd.Args; takes != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := takes(cmd, args); err != nil {
				return misused("%w", err)
			}
			return nil
		}
	}
}

// knownCommand is asked when no command of that name was found.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return misused("unknown command %q: did you mean %s?", args[0], strings.Join(near, " or "))
	}
	return misused("unknown command %q", args[0])
}
