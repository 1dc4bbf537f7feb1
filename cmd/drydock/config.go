package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/drydock-ecs/drydock/agent"
)

// newConfigCommand holds what is about the host settings.
func newConfigCommand(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check host settings and policies before they are used",
	}
	cmd.AddCommand(newConfigCheckCommand(env))
	return cmd
}

// newConfigCheckCommand reads a text as a host would.
func newConfigCheckCommand(env environment) *cobra.Command {
	var policy bool
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Print the settings that a file gives, or everything that is wrong with it",
		Long: `Read FILE ("-" is standard input) as a host reads its user-data and print all
settings that come of it, defaults among them. With --policy, read it as the
policy text of the lock record.

It needs nothing but the file. It ends with 0 when the file is good, and with
2 after one line for each fault: file, line, key, what is wrong and what would
be right.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			text, name, err := readText(env, args[0])
			if err != nil {
				return err
			}
			effective, err := effectiveText(name, text, policy)
			if err != nil {
				return err
			}
			if policy {
				warnOfWindows(env.stderr, string(text))
			}
			_, err = io.WriteString(env.stdout, effective)
			return err
		},
	}
	cmd.Flags().BoolVar(&policy, "policy", false, "the file is a policy, not host settings")
	return cmd
}

// warnOfWindows says of a good policy that no update fits into its windows. Before
// the first one has ended, drain.timeout stands for what an update may need.
func warnOfWindows(w io.Writer, policy string) {
	p, err := agent.ParsePolicy(policy)
	if err != nil || len(p.Windows) == 0 {
		return
	}
	need := p.Apply(agent.DefaultConfig()).Drain.Timeout
	if !p.Windows.Ever(time.Now(), need) {
		fmt.Fprintf(w, "warning: no window is as long as drain.timeout (%s): nothing starts before updates were seen to take less\n", age(need))
	}
}

// inFile names the file in which a policy's faults are: to the agent, which has it
// from the lock record, it is of none.
func inFile(name string, err error) error {
	faults, ok := errors.AsType[agent.Faults](err)
	if !ok {
		return err
	}
	faults = slices.Clone(faults)
	for i := range faults {
		faults[i].File = name
	}
	return faults
}

// effectiveText is what a text comes to, or its faults.
func effectiveText(name string, text []byte, policy bool) (string, error) {
	if policy {
		p, err := agent.ParsePolicy(string(text))
		return p.TOML(), inFile(name, err)
	}
	c, err := parseSettings(name, text)
	return c.TOML(), err
}

// readText reads a file, or standard input for "-", and says how to call it.
func readText(env environment, path string) (text []byte, name string, err error) {
	if path == "-" {
		text, name = nil, "standard input"
		text, err = io.ReadAll(env.stdin)
	} else {
		name = path
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, "", misused("read settings: %w", err)
	}
	return text, name, nil
}
