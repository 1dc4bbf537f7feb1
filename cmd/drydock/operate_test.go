package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/coordination/dynamo"
	"github.com/drydock-ecs/drydock/internal/dynamotest"
	"github.com/drydock-ecs/drydock/internal/hint"
)

// operated is a fleet in the stand-in, and what an operator is told.
type operated struct {
	*testing.T
	lock     fleetLock
	server   *dynamotest.Server
	out, err bytes.Buffer
}

func operate(t *testing.T, r coordination.Record) *operated {
	t.Helper()
	lock, server := newLock(t)
	o := &operated{T: t, lock: lock, server: server}
	r.Schema, r.Incarnation, r.Generation = 1, "first", 20
	if _, _, err := createRecord(t.Context(), lock, r); err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *operated) act(verb string) act {
	o.out.Reset()
	o.err.Reset()
	return newAct(o.Context(), verb, o.lock, environment{stdout: &o.out, stderr: &o.err, getenv: func(string) string { return "" }})
}

func (o *operated) record() coordination.Record {
	o.Helper()
	r, err := o.lock.Look(o.Context())
	if err != nil {
		o.Fatal(err)
	}
	return r
}

func (o *operated) events() int {
	o.Helper()
	all, err := operatorEvents(o.server)
	if err != nil {
		o.Fatal(err)
	}
	return len(all)
}

// says checks the lines on standard output.
func (o *operated) says(want ...string) {
	o.Helper()
	for _, line := range want {
		if !strings.Contains(o.out.String(), line) {
			o.Errorf("no %q in\n%s", line, o.out.String())
		}
	}
}

// between lets someone else change the record after the operator's first look
// at it, once.
func (o *operated) between(rule coordination.Rule) {
	looks := 0
	other := coordination.Fleet{ARN: testFleet, Store: dynamo.New(o.server.Client("test"), testTable)}
	o.server.Faults(func(c dynamotest.Call) dynamotest.Fault {
		if c.Caller != "operator" || c.Op != "GetItem" {
			return dynamotest.Fault{}
		}
		if looks++; looks == 2 {
			if _, err := other.Apply(context.Background(), rule); err != nil {
				o.Error(err)
			}
		}
		return dynamotest.Fault{}
	})
}

func failureOf(host string, generation int64) coordination.Failure {
	return coordination.Failure{Host: host, Generation: generation, Cause: "sick", Release: "2.0", At: time.Now()}
}

// A failure that comes between the showing and the lifting stays, and is said;
// so is another operator's halt.
func TestResumeLiftsWhatItShowed(t *testing.T) {
	holder := coordination.Holder{Host: "i-2", Generation: 2, Phase: coordination.Verifying, Target: "2.0", Since: time.Now(), Announced: 600}
	o := operate(t, coordination.Record{Holders: []coordination.Holder{holder}, Failures: []coordination.Failure{failureOf("i-1", 1)}})
	o.between(coordination.Fail("i-2", 2, "sick", time.Hour, time.Now()))
	if err := resume(t.Context(), o.act("resume"), false); err != nil {
		t.Fatal(err)
	}
	o.says("to be lifted: failure of i-1, generation 1", "stays, it came in the meantime: failure of i-2, generation 2: 2.0 sick", "it still has its slot (sick)",
		"state: halted: 2 of 1 failures; the last: 2.0 sick on i-2 -> halted: 1 of 1 failures; the last: 2.0 sick on i-2", "to let it go on: drydock resume")
	if r := o.record(); len(r.Failures) != 1 || r.Failures[0].Host != "i-2" {
		t.Errorf("failures left: %+v", r.Failures)
	}

	o = operate(t, coordination.Record{Failures: []coordination.Failure{failureOf("i-1", 1)}})
	o.between(coordination.Stop("ann", "lunch", time.Now().Add(-time.Hour)))
	if err := resume(t.Context(), o.act("resume"), false); err != nil {
		t.Fatal(err)
	}
	o.says("stays, it came in the meantime: halt by ann, 1h ago: lunch", "state: halted by ann: lunch (1h ago), as before")
	if r := o.record(); r.Halt == nil || len(r.Failures) != 0 {
		t.Errorf("%+v, %+v", r.Halt, r.Failures)
	}

	o = operate(t, coordination.Record{Failures: []coordination.Failure{failureOf("i-1", 1)}})
	o.between(coordination.Lift(nil, []coordination.Failure{failureOf("i-1", 1)}))
	if err := resume(t.Context(), o.act("resume"), false); err != nil {
		t.Fatal(err)
	}
	o.says("already so: another operator has just lifted it", "state: going on, as before")
	if n := o.events(); n != 0 {
		t.Errorf("%d events of an act that did nothing", n)
	}
}

// Only the slot that a host failed with makes it one that is still out of
// service: here it has been back since, and updates again.
func TestResumeOfLaterSlot(t *testing.T) {
	holder := coordination.Holder{Host: "i-1", Generation: 2, Phase: coordination.Draining, Target: "2.0", Since: time.Now(), Announced: 600}
	o := operate(t, coordination.Record{Holders: []coordination.Holder{holder}, Failures: []coordination.Failure{failureOf("i-1", 1)}})
	if err := resume(t.Context(), o.act("resume"), false); err != nil {
		t.Fatal(err)
	}
	o.says("state: halted: 1 of 1 failures; the last: 2.0 sick on i-1 -> going on")
	if strings.Contains(o.out.String(), "still has its slot") {
		t.Error(o.out.String())
	}
}

// The slot that is freed is the one that was shown.
func TestReleaseFreesWhatItShowed(t *testing.T) {
	holder := coordination.Holder{Host: "i-2", Generation: 2, Phase: coordination.Rebooting, Target: "2.0", Since: time.Now(), Announced: 600}
	o := operate(t, coordination.Record{Holders: []coordination.Holder{holder}})
	o.between(coordination.Rule{Change: func(r coordination.Record) (coordination.Record, error) {
		again := holder
		again.Generation = 20
		r.Holders = []coordination.Holder{again}
		return r, nil
	}})
	if err := release(t.Context(), o.act("release"), "i-2", true); err != nil {
		t.Fatal(err)
	}
	o.says("already so: the slot of generation 2 is free")
	if r := o.record(); len(r.Holders) != 1 || len(r.Failures) != 0 {
		t.Errorf("%+v", r)
	}
}

// Whatever becomes of the write and its answer, the act is done once and said
// to be done, or said not to be known.
func TestActSettles(t *testing.T) {
	for name, test := range map[string]struct {
		fault dynamotest.Fault
		times int // that the fault comes
		done  bool
	}{
		"well":                 {done: true},
		"applied, answer lost": {fault: dynamotest.Fault{Answer: dynamotest.Dropped}, times: 1, done: true},
		"request lost":         {fault: dynamotest.Fault{Lost: true, Answer: dynamotest.Dropped}, times: 1, done: true},
		"500, not applied":     {fault: dynamotest.Fault{Lost: true, Answer: dynamotest.Failed}, times: 2, done: true},
		"never answered":       {fault: dynamotest.Fault{Lost: true, Answer: dynamotest.Dropped}, times: 1 << 30},
	} {
		t.Run(name, func(t *testing.T) {
			clearAWS(t)
			synctest.Test(t, func(t *testing.T) {
				o := operate(t, coordination.Record{Policy: "slots = 1 # one\n"})
				failing := test.times
				o.server.Faults(func(c dynamotest.Call) dynamotest.Fault {
					if c.Op != "UpdateItem" || failing == 0 {
						return dynamotest.Fault{}
					}
					failing--
					return test.fault
				})
				err := setSlots(t.Context(), o.act("slots"), share{n: 2})
				if !test.done {
					if err == nil || !strings.Contains(hint.Of(err), "do the same again") || o.out.Len() > 0 {
						t.Errorf("%v, hint %q, said %q", err, hint.Of(err), o.out.String())
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				o.says("slots: 1 -> 2\n")
				if r := o.record(); r.Policy != "slots = 2 # one\n" || o.events() != 1 {
					t.Errorf("policy %q, %d events", r.Policy, o.events())
				}
				if err := setSlots(t.Context(), o.act("slots"), share{n: 2}); err != nil || o.events() != 1 {
					t.Errorf("again: %v, %d events", err, o.events())
				}
				o.says("already so: slots 2\n")
			})
		})
	}
}

// An act whose event row is lost is done; that is a warning.
func TestEventRowLost(t *testing.T) {
	o := operate(t, coordination.Record{})
	o.server.Faults(func(c dynamotest.Call) dynamotest.Fault {
		if c.Op == "PutItem" {
			return dynamotest.Fault{Answer: dynamotest.Denied}
		}
		return dynamotest.Fault{}
	})
	if err := halt(t.Context(), o.act("halt"), "look"); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(o.err.String(), "warning: it is done, but its event row is not written: ") || o.record().Halt == nil {
		t.Errorf("%q, %+v", o.err.String(), o.record().Halt)
	}
}

// An operator who interrupts the command after the act leaves a row of it.
func TestEventRowOfInterrupted(t *testing.T) {
	o := operate(t, coordination.Record{})
	a := o.act("halt")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a.note(ctx, coordination.Event{}, "halted")
	if o.err.Len() > 0 || o.events() != 1 {
		t.Errorf("%q, %d events", o.err.String(), o.events())
	}
}

// named is STS that knows a name.
type named struct {
	arn *string
	err error
}

func (n named) GetCallerIdentity(context.Context, *sts.GetCallerIdentityInput, ...func(*sts.Options)) (*sts.GetCallerIdentityOutput, error) {
	return &sts.GetCallerIdentityOutput{Arn: n.arn}, n.err
}

func TestCallerARN(t *testing.T) {
	for name, test := range map[string]struct {
		sts   named
		want  string
		fails bool
	}{
		"known":   {named{arn: aws.String(testOperator)}, testOperator, false},
		"refused": {named{err: errors.New("denied")}, "", true},
		"no ARN":  {named{}, "", true},
		"empty":   {named{arn: aws.String("")}, "", true},
	} {
		if got, err := callerARN(t.Context(), test.sts); got != test.want || (err != nil) != test.fails {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestShare(t *testing.T) {
	for _, test := range []struct {
		arg   string
		hosts int
		want  int // 0: it is nonsense
	}{
		{"1", 0, 1}, {"100", 3, 100}, {"1%", 1, 1}, {"1%", 199, 1}, {"1%", 200, 2}, {"10%", 35, 3}, {"50%", 3, 1}, {"100%", 7, 7}, {"100%", 5000, 100},
		{"0", 1, 0}, {"101", 1, 0}, {"0%", 1, 0}, {"101%", 1, 0}, {"-1", 1, 0}, {"1.5", 1, 0}, {"%", 1, 0}, {"", 1, 0}, {"1%%", 1, 0}, {"9999999999999999999", 1, 0},
	} {
		s, err := parseShare(test.arg)
		if (err != nil) != (test.want == 0) {
			t.Errorf("%q: %v", test.arg, err)
		}
		if err == nil && s.of(test.hosts) != test.want {
			t.Errorf("%q of %d: %d, want %d", test.arg, test.hosts, s.of(test.hosts), test.want)
		}
	}
}

// What is printed to be pasted is one word for a shell, whatever a host called
// itself.
func TestCommandIsQuoted(t *testing.T) {
	for _, test := range []struct{ word, want string }{
		{"i-0a", "i-0a"}, {"10%", "10%"}, {"", "''"}, {"a b", "'a b'"}, {"$(x)", "'$(x)'"}, {"it's", `'it'\''s'`}, {";", "';'"}, {"ä", "'ä'"},
	} {
		if got := quoted(test.word); got != test.want {
			t.Errorf("%q: %s, want %s", test.word, got, test.want)
		}
	}
	if got, want := commandFor("drydock", "arn:x", "resume"), "drydock resume --fleet arn:x"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := commandFor("t", "arn:x", "release", "i-1;x"), "drydock release 'i-1;x' --fleet arn:x --table t"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// doctor finds what a restored table lacks, and sees by the order of a host's
// own times which of row and entry is the newer one.
func TestCheckupComparesOwnTimes(t *testing.T) {
	now := time.Now()
	since := now.Add(-time.Minute)
	holder := coordination.Holder{Host: "i-1", Generation: 7, Phase: coordination.Draining, Since: since, Announced: 600}
	for name, test := range map[string]struct {
		row   coordination.HostRow
		wrong string
	}{
		"same slot":              {coordination.HostRow{Generation: 7, Written: since.Add(time.Second)}, ""},
		"not written since":      {coordination.HostRow{Written: since.Add(-time.Second)}, ""},
		"written since, no slot": {coordination.HostRow{Written: since.Add(time.Second), Phase: "idle"}, "does not know of the slot: idle"},
		"written since, another": {coordination.HostRow{Generation: 6, Written: since.Add(time.Second)}, "does not know of the slot"},
		"silent":                 {coordination.HostRow{Generation: 7, Written: now.Add(-silence)}, "it wrote its row 2d ago"},
		"unreadable":             {coordination.HostRow{}, "its row cannot be read"},
	} {
		test.row.Host = "i-1"
		c := checkup{r: coordination.Record{Holders: []coordination.Holder{holder}}, rows: []coordination.HostRow{test.row}, now: now}
		if got := c.holder(holder); (got == "") != (test.wrong == "") || !strings.Contains(got, test.wrong) {
			t.Errorf("%s: %q, want %q", name, got, test.wrong)
		}
	}
}

// Rows that cannot be read are one finding among the others.
func TestDoctorWithoutRows(t *testing.T) {
	o := operate(t, coordination.Record{Halt: &coordination.Halt{Who: "ann", Reason: "lunch", At: time.Now()}})
	o.server.Faults(func(c dynamotest.Call) dynamotest.Fault {
		if c.Op == "Query" || strings.HasPrefix(c.Op, "DescribeC") {
			return dynamotest.Fault{Answer: dynamotest.Denied}
		}
		return dynamotest.Fault{}
	})
	a := o.act("doctor")
	if err := doctor(t.Context(), o.lock, a.env); !errors.Is(err, errLogged) {
		t.Errorf("%v", err)
	}
	o.says("1. nothing starts: halted by ann: lunch", "2. read rows of the hosts", "   allow dynamodb:Query on table",
		"3. ask for point-in-time recovery", "   allow dynamodb:DescribeContinuousBackups on table")
}

// A restored table gets back what restoring does not bring along.
func TestRestoredTableIsPrepared(t *testing.T) {
	o := operate(t, coordination.Record{})
	prepared := 0
	o.lock.ensure = func(context.Context) ([]string, error) {
		prepared++
		if o.record().Halt == nil {
			t.Error("the table is prepared before the fleet is halted")
		}
		return []string{"deletion protection is off"}, nil
	}
	if err := adoptBackup(t.Context(), o.act("init")); err != nil {
		t.Fatal(err)
	}
	if r := o.record(); prepared != 1 || r.Incarnation == "first" || r.Halt.Who != testOperator {
		t.Errorf("prepared %d times, %+v", prepared, r)
	}
	if got := o.err.String(); got != "warning: deletion protection is off\n" {
		t.Errorf("warned %q", got)
	}
}
