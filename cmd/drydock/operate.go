package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/spf13/cobra"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/internal/hint"
)

const (
	applyWithin = 30 * time.Second // for one change of the record, lost races included
	whoWithin   = 5 * time.Second  // for STS: an operator in a hurry waits no longer to be known by name
)

// fleetLock is one fleet's lock, opened by an operator.
type fleetLock struct {
	coordination.Fleet
	table   string
	ensure  func(context.Context) (warnings []string, err error)
	examine func(context.Context) []error
	who     func(context.Context) (string, error) // ARN of the caller
}

// command is a command line for this fleet, to be pasted.
func (l fleetLock) command(words ...string) string { return commandFor(l.table, l.ARN, words...) }

func commandFor(table, fleet string, words ...string) string {
	words = append([]string{"drydock"}, words...)
	words = append(words, "--fleet", fleet)
	if table != agent.DefaultConfig().Lock.Table {
		words = append(words, "--table", table)
	}
	for i, word := range words {
		words[i] = quoted(word)
	}
	return strings.Join(words, " ")
}

// quoted is a word as a shell takes it: some of them were written by hosts.
func quoted(word string) string {
	plain := func(c rune) bool {
		return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("-_.:/%+@", c)
	}
	if word != "" && !strings.ContainsFunc(word, func(c rune) bool { return !plain(c) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// onFleet is the RunE of a command that is about one fleet.
func onFleet(at *fleetFlags, env environment, do func(ctx context.Context, lock fleetLock, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := at.check(); err != nil {
			return err
		}
		lock, err := openFleet(cmd.Context(), *at, env)
		if err != nil {
			return err
		}
		return do(cmd.Context(), lock, args)
	}
}

// one says that a command takes one argument of that name. What is wrong with
// it is said before anything is asked; nil lets everything pass.
func one(name string, wrong func(arg string) error) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return fmt.Errorf("%s is missing", name)
		case len(args) > 1:
			return fmt.Errorf("one %s at a time, not also %q", name, args[1])
		case wrong == nil:
			return nil
		}
		return wrong(args[0])
	}
}

// instanceID refuses what is no host's name.
func instanceID(arg string) error {
	if !strings.HasPrefix(arg, "i-") || strings.ContainsAny(arg, ":/# \t\n") {
		return fmt.Errorf("HOST: %q is no EC2 instance id (i-…)", arg)
	}
	return nil
}

// act is what one operator does to one fleet. It is made right before the
// record is read.
type act struct {
	verb string
	who  string
	at   time.Time
	lock fleetLock
	env  environment
}

// newAct finds out who asks. Without STS the act is done all the same: a fleet
// can be halted from a network that reaches DynamoDB alone.
func newAct(ctx context.Context, verb string, lock fleetLock, env environment) act {
	who, err := lock.who(ctx)
	if err != nil {
		name, _ := os.Hostname()
		who = fmt.Sprintf("%s on %s, not confirmed by STS", known(env.getenv("USER")), known(name))
		fmt.Fprintf(env.stderr, "warning: the event names you as %q: %v\n", who, err)
	}
	return act{verb, who, time.Now().UTC(), lock, env}
}

// callerARN is the name of the caller for the event rows.
func callerARN(ctx context.Context, caller identityAPI) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, whoWithin)
	defer cancel()
	who, err := caller.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err == nil && aws.ToString(who.Arn) == "" {
		err = errors.New("the answer has no ARN")
	}
	if err != nil {
		return "", fmt.Errorf("ask STS for the caller: %w", err)
	}
	return aws.ToString(who.Arn), nil
}

// say prints one line.
func (a act) say(format string, args ...any) { row(a.env.stdout, fmt.Sprintf(format, args...)) }

// look reads the record.
func (a act) look(ctx context.Context) (coordination.Record, error) {
	r, err := a.lock.Look(ctx)
	if err != nil {
		return r, explainRecord(err, a.lock.table, a.lock.ARN)
	}
	return r, nil
}

// status puts a record into words.
func (a act) status(r coordination.Record) fleetStatus {
	return newFleetStatus(a.lock.table, a.lock.ARN, r, nil, a.at)
}

// change is the record before and after an act. They are the same when it was
// so already.
type change struct {
	made          bool
	before, after coordination.Record
}

// apply changes the record by one rule. Ended anywhere, it leaves the record
// as it was or as the rule makes it, and may be done again.
func (a act) apply(ctx context.Context, rule coordination.Rule) (change, error) {
	ctx, cancel := context.WithTimeout(ctx, applyWithin)
	defer cancel()
	var c change
	witnessed := coordination.Rule{Joins: rule.Joins, Change: func(r coordination.Record) (coordination.Record, error) {
		next, err := rule.Change(r)
		if err == nil {
			c.made, c.before = true, r
		}
		return next, err
	}}
	after, err := a.lock.Apply(ctx, witnessed)
	if err != nil {
		return c, a.explain(err)
	}
	if c.after = after; !c.made {
		c.before = after
	}
	return c, nil
}

func (a act) explain(err error) error {
	if errors.Is(err, coordination.ErrUnknown) || errors.Is(err, coordination.ErrConflict) {
		return hint.Wrap(err, "whether it is done is not known: do the same again, it does no harm twice")
	}
	return explainRecord(err, a.lock.table, a.lock.ARN)
}

// note writes the event row. The act is done by then, so a row that cannot be
// written is a warning; a process that dies before it leaves an act without a
// row.
func (a act) note(ctx context.Context, e coordination.Event, format string, args ...any) {
	e.Who, e.At, e.Outcome, e.What = a.who, a.at, a.verb, fmt.Sprintf(format, args...)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), applyWithin)
	defer cancel()
	if err := a.lock.PutEvent(ctx, e); err != nil {
		fmt.Fprintln(a.env.stderr, "warning: it is done, but its event row is not written:", err)
	}
}

// sayState prints whether anything may start, before and after, and what to do
// where nothing may.
func (a act) sayState(c change) {
	before, after := a.status(c.before), a.status(c.after)
	if b, n := before.stateText(), after.stateText(); b != n {
		a.say("state: %s -> %s", b, n)
	} else {
		a.say("state: %s, as before", n)
	}
	if lift := after.lift(); lift != "" {
		a.say("to let it go on: %s", lift)
	}
}

// holdersIn names the holders that are in one of the phases.
func holdersIn(r coordination.Record, phases ...coordination.Phase) string {
	var names []string
	for _, h := range r.Holders {
		if slices.Contains(phases, h.Phase) {
			names = append(names, h.Host)
		}
	}
	return strings.Join(names, ", ")
}
