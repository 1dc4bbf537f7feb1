package apiclientx

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// API is what [Do] needs of the Bottlerocket API: to look, and to start an
// action. Both return at once. *Client is one.
type API interface {
	Updates(ctx context.Context) (Status, error)
	Start(ctx context.Context, action Action) error
}

const (
	// secondLook is the wait before an action is said to have vanished.
	secondLook = time.Second
	// maxFaults is the number of looks in a row that may fail while an action
	// runs; at the default pace, half a minute of silence ends the wait.
	maxFaults = 5
)

// waitBefore is the whole pace of looking at a running action: the wait before
// its look number n (from 0), and poll for what the table does not have.
//
//	action      n=0     1       2       3       4      then
//	refresh     200 ms                                 poll
//	prepare     200 ms                                 poll
//	activate    100 ms  250 ms  500 ms  1 s     2 s    poll
//	deactivate  100 ms  250 ms  500 ms  1 s     2 s    poll
//
// Looking takes a shared lock that can keep a command from starting, so a host on
// which several programs look often starves; hence poll, 5 s. Activate and
// deactivate end well within a second and are done while the host is out of
// service: there 5 s would be lost whenever the first look comes too early. A
// poll shorter than an entry replaces it.
func waitBefore(action Action, n int, poll time.Duration) time.Duration {
	table := []time.Duration{200 * time.Millisecond}
	if action == Activate || action == Deactivate {
		table = []time.Duration{100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second}
	}
	if n < len(table) {
		return min(table[n], poll)
	}
	return poll
}

// Do starts an action, waits until it has finished, and returns the status
// after it. Poll is the time between two looks while a command runs; 0 means
// 5 s. Do waits as long as ctx lets it: give it a deadline (a prepare may take
// 15 minutes, a refresh 2, the others seconds).
//
// Somebody else's running command is waited for. Without an error the action
// succeeded, and the status may be believed: after Refresh its chosen update,
// after Prepare its Wrote, after Activate that the staged image boots next.
// The errors, each to be told by errors.Is or errors.As:
//
//   - *CommandError: it ran and failed. The status is returned with it, and the
//     chosen update in it is stale. A cmd_status that is not known is a failure.
//   - ErrRefused, ErrNothing: the state does not allow it; look and plan again.
//   - ErrNoUpdate, ErrNotReady: prepare wrote nothing, activate changed nothing.
//     The status is returned with it.
//   - ErrVanished: it was accepted and left no record: it died, or another
//     command's record has replaced its own.
//   - ErrNoAnswer: the API did not say whether it accepted it, and there is no
//     record of it either; or it went silent while the action ran.
//   - ErrUnreachable: nothing was started, or the API went away meanwhile.
//   - ErrBusy, with the error of ctx: time ran out while a command was running.
//
// If the process dies in here, the action goes on by itself and its record is
// in the status for whoever looks next; nothing is left to clean up.
func Do(ctx context.Context, api API, action Action, poll time.Duration) (Status, error) {
	a := attempt{api, action, cmp.Or(poll, defaultPoll)}
	status, err := a.do(ctx)
	if err != nil {
		return status, fmt.Errorf("%s: %w", action.words(), err)
	}
	return status, nil
}

// attempt is one run of Do.
type attempt struct {
	api    API
	action Action
	poll   time.Duration
}

func (a attempt) do(ctx context.Context) (Status, error) {
	before, lost, err := a.start(ctx)
	if err != nil {
		return Status{}, err
	}
	status, err := a.finish(ctx, before, lost)
	if err != nil {
		return Status{}, err
	}
	return status, a.judge(status)
}

// start gets the action started and returns the time of the record that stood
// before it, zero for none. The error lost is that of a start whose answer was
// lost: whether it runs is then for the record to say.
//
// Each try looks first. After a busy answer the old time would be that of before
// somebody else's command, whose record would then pass for ours.
func (a attempt) start(ctx context.Context) (before time.Time, lost, err error) {
	for {
		status, err := a.api.Updates(ctx)
		if err == nil || errors.Is(err, ErrUninitialized) {
			before = recordedAt(status)
			err = a.api.Start(ctx, a.action)
			if errors.Is(err, ErrNoAnswer) {
				return before, err, nil
			}
		}
		if !errors.Is(err, ErrBusy) {
			return before, nil, err
		}
		if ended := sleep(ctx, a.poll); ended != nil {
			return before, nil, fmt.Errorf("%w before it could start: %w", ErrBusy, ended)
		}
	}
}

func recordedAt(status Status) time.Time {
	if status.Last == nil {
		return time.Time{}
	}
	return status.Last.Timestamp
}

// finish waits for the action's record. The child that carries the action out
// has its lock before the start is answered, so the first look that is not
// refused as busy shows what came of it. A status without a new record is all the same
// looked at twice: the second look costs a second, once, in a case that should not
// happen, and would unmask a server that answers before it locks.
func (a attempt) finish(ctx context.Context, before time.Time, lost error) (Status, error) {
	missing, faults := 0, 0
	wait := waitBefore(a.action, 0, a.poll)
	for look := 1; ; look++ {
		if ended := sleep(ctx, wait); ended != nil {
			return Status{}, unfinished(lost, ended)
		}
		wait = waitBefore(a.action, look, a.poll)
		status, err := a.api.Updates(ctx)
		switch {
		case err == nil && status.Last != nil && !status.Last.Timestamp.Equal(before):
			return status, a.own(status, lost)
		case err == nil || errors.Is(err, ErrUninitialized):
			if missing++; missing == 2 {
				return Status{}, cmp.Or(lost, ErrVanished)
			}
			wait = secondLook
		case errors.Is(err, ErrBusy):
			missing, faults = 0, 0
		default:
			if faults++; faults > maxFaults {
				return Status{}, fmt.Errorf("its end was not seen: %w", err)
			}
		}
	}
}

// unfinished is the error of a wait that ctx ended.
func unfinished(lost, ended error) error {
	return fmt.Errorf("%w when time ran out: %w", cmp.Or(lost, ErrBusy), ended)
}

// own checks that a new record is that of this action. If it is not, somebody
// else's command ran after ours and replaced its record: it will not come back.
func (a attempt) own(status Status, lost error) error {
	if status.Last.Type == a.action.Verb() {
		return nil
	}
	return fmt.Errorf("%w: the record is that of %q", cmp.Or(lost, ErrVanished), status.Last.Type)
}

// judge says whether the action did what it is for.
func (a attempt) judge(status Status) error {
	if status.Last.Status != success {
		return &CommandError{Command: *status.Last}
	}
	if a.action == Prepare && status.Wrote() == "" {
		return ErrNoUpdate
	}
	next := status.Staging != nil && status.Staging.NextToBoot
	if a.action == Activate && (status.State != Ready || !next) {
		return fmt.Errorf("%w: the update state is %s", ErrNotReady, status.State)
	}
	return nil
}

// sleep waits for d, or until ctx ends, and then returns its error.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
