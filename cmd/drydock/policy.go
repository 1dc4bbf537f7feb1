package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/coordination"
)

// newPolicyCommand shows and replaces the policy of a fleet.
func newPolicyCommand(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Show or replace the policy of a fleet",
		Long: `The policy holds for every host of the fleet: slots, max_failures, maintenance
windows, and what goes before the hosts' own settings. It is TOML, at most 4 KB, and
stands in the lock record.`,
		Example: `  drydock policy show --fleet web > policy.toml
  drydock policy set policy.toml --fleet web`,
	}
	cmd.AddCommand(newPolicyShowCommand(env), newPolicySetCommand(env))
	return cmd
}

func newPolicyShowCommand(env environment) *cobra.Command {
	var at fleetFlags
	cmd := &cobra.Command{
		Use:                   "show --fleet F [--table T]",
		Short:                 "Print the policy as it is written",
		Args:                  cobra.NoArgs,
		DisableFlagsInUseLine: true,
		RunE: onFleet(&at, env, func(ctx context.Context, lock fleetLock, _ []string) error {
			return showPolicy(ctx, lock, env)
		}),
	}
	at.bind(cmd, env)
	return cmd
}

func showPolicy(ctx context.Context, lock fleetLock, env environment) error {
	r, err := lock.Look(ctx)
	if err != nil {
		return explainRecord(err, lock.table, lock.ARN)
	}
	if _, err := agent.ParsePolicy(r.Policy); err != nil {
		fmt.Fprintln(env.stderr, "warning: this policy cannot be read, so nothing starts:", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	text := strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) || c == '\n' || c == '\t' {
			return c
		}
		return '?'
	}, r.Policy)
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	_, err = io.WriteString(env.stdout, text)
	return err
}

func newPolicySetCommand(env environment) *cobra.Command {
	var at fleetFlags
	cmd := &cobra.Command{
		Use:   "set FILE --fleet F [--table T]",
		Short: "Replace the policy by a file, or by standard input (-)",
		Long: `Check a policy, put it in place of the fleet's, and print the values that change.
What the file does not give has its default, slots and max_failures too.`,
		Args:                  one("FILE", nil),
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readPolicy(args[0], env)
			if err != nil {
				return err
			}
			return onFleet(&at, env, func(ctx context.Context, lock fleetLock, _ []string) error {
				return setPolicy(ctx, newAct(ctx, "policy", lock, env), text)
			})(cmd, args)
		},
	}
	at.bind(cmd, env)
	return cmd
}

// readPolicy reads a policy that is good.
func readPolicy(file string, env environment) (string, error) {
	in := env.stdin
	if file != "-" {
		opened, err := os.Open(file)
		if err != nil {
			return "", misused("read policy: %v", err)
		}
		defer opened.Close()
		in = opened
	}
	data, err := io.ReadAll(io.LimitReader(in, 1<<20)) // far above what a policy may have
	if err != nil {
		return "", misused("read policy: %v", err)
	}
	if settingless(string(data)) { // the end of a pipe whose begin has failed
		return "", agent.Faults{{File: file, Problem: "holds no settings, which would take slots and windows away",
			Hint: "name at least the slots: slots = 1"}}
	}
	_, err = agent.ParsePolicy(string(data))
	return string(data), inFile(file, err)
}

// settingless says whether a TOML text has nothing but comments and tables.
func settingless(text string) bool {
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") && strings.Contains(line, "=") {
			return false
		}
	}
	return true
}

func setPolicy(ctx context.Context, a act, text string) error {
	c, err := a.apply(ctx, coordination.Edit(func(string) (string, error) { return text, nil }))
	if err != nil {
		return err
	}
	if !c.made {
		a.say("already so: this is the fleet's policy")
		return nil
	}
	changes := policyChanges(c.before.Policy, text)
	if len(changes) == 0 {
		a.note(ctx, coordination.Event{}, "policy: no value changes")
		a.say("policy: replaced; no value changes")
		return nil
	}
	a.note(ctx, coordination.Event{}, "policy: %s", strings.Join(changes, "; "))
	for _, text := range changes {
		a.say("%s", text)
	}
	warnOfWindows(a.env.stderr, text)
	if limits, err := limitsOf(text); err == nil {
		a.sayEffect(c.after, limits.Slots)
	}
	return nil
}

// policyChanges are the values that differ between two policies, in the order
// of the policy's own text.
func policyChanges(before, after string) []string {
	was, err := agent.ParsePolicy(before)
	if err != nil {
		return append([]string{"before: it could not be read: " + strings.ReplaceAll(err.Error(), "\n", "; ")},
			policyChanges("", after)...)
	}
	is, _ := agent.ParsePolicy(after) // it was checked
	old, new := policyValues(was), policyValues(is)
	var changes []string
	for _, name := range mergedNames(old, new) {
		if a, b := old.get(name), new.get(name); a != b {
			changes = append(changes, fmt.Sprintf("%s: %s -> %s", name, a, b))
		}
	}
	return changes
}

// values are settings by name, in their order.
type values struct {
	names []string
	texts map[string]string
}

func (v values) get(name string) string {
	if text, ok := v.texts[name]; ok {
		return text
	}
	return "none"
}

func (v *values) add(name, text string) {
	if v.texts == nil {
		v.texts = make(map[string]string)
	}
	if before, ok := v.texts[name]; ok {
		v.texts[name] = before + ", " + text
		return
	}
	v.names = append(v.names, name)
	v.texts[name] = text
}

// policyValues reads the text that Policy.TOML writes, a value a line, so that
// it knows every setting that the policy has. The values of one window are one.
func policyValues(p agent.Policy) values {
	var v values
	section, windows := "", 0
	for line := range strings.Lines(p.TOML()) {
		line = strings.TrimSpace(line)
		name, text, ok := strings.Cut(line, " = ")
		switch {
		case line == "[[window]]":
			windows++
			section = fmt.Sprintf("window %d", windows)
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]") + "."
		case strings.HasPrefix(line, "#") || !ok:
		case windows > 0:
			v.add(section, name+" "+text)
		default:
			v.add(section+name, text)
		}
	}
	return v
}

func mergedNames(a, b values) []string {
	names := slices.Clone(a.names)
	for _, name := range b.names {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}
