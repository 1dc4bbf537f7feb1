package apiclientx_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drydock-ecs/drydock/apiclientx"
)

// script is an API that answers from two lists; the last entry repeats. It
// notes when it was asked.
type script struct {
	looks  []look
	starts []error
	begin  time.Time
	calls  []string
}

type look struct {
	status apiclientx.Status
	err    error
}

func (s *script) note(what string) {
	s.calls = append(s.calls, fmt.Sprintf("%v %s", time.Since(s.begin), what))
}

func take[T any](list *[]T) T {
	first := (*list)[0]
	if len(*list) > 1 {
		*list = (*list)[1:]
	}
	return first
}

func (s *script) Updates(context.Context) (apiclientx.Status, error) {
	s.note("look")
	l := take(&s.looks)
	return l.status, l.err
}

func (s *script) Start(context.Context, apiclientx.Action) error {
	s.note("start")
	return take(&s.starts)
}

var (
	busy    = look{err: statusError(423)}
	none    = look{err: statusError(404)}
	fault   = look{err: statusError(500)}
	silent  = look{err: apiclientx.ErrNoAnswer}
	away    = look{err: apiclientx.ErrUnreachable}
	yes     error
	refused = apiclientx.NewStatusError("POST", "/actions/prepare-update", 409, "no")
)

func statusError(code int) error {
	return apiclientx.NewStatusError("GET", "/updates/status", code, "plain text")
}

// record is a status with a record of a command, n seconds into some day.
func record(verb, result string, n int, stderr string) look {
	zero := 0
	return look{status: apiclientx.Status{
		State: apiclientx.Staged,
		Last: &apiclientx.Command{
			Type: verb, Status: result, Stderr: &stderr, ExitStatus: &zero,
			Timestamp: time.Date(2026, 1, 1, 0, 0, n, 0, time.UTC),
		},
	}}
}

// activated is a status after activate.
func activated(state apiclientx.UpdateState, next bool) look {
	l := record("activate", "Success", 2, "")
	l.status.State = state
	l.status.Staging = &apiclientx.Partition{NextToBoot: next}
	return l
}

func TestDo(t *testing.T) {
	const (
		refresh    = apiclientx.Refresh
		prepare    = apiclientx.Prepare
		activate   = apiclientx.Activate
		deactivate = apiclientx.Deactivate
	)
	old := record("refresh", "Success", 1, "")
	wrote := record("prepare", "Success", 2, "Starting update to 1.26.1\n")
	null := look{status: apiclientx.Status{State: apiclientx.Idle}}
	noStderr := record("prepare", "Success", 2, "")
	noStderr.status.Last.Stderr = nil
	bare := activated(apiclientx.Ready, true)
	bare.status.Staging = nil
	var failed *apiclientx.CommandError

	tests := []struct {
		name   string
		action apiclientx.Action
		looks  []look
		starts []error
		want   error // errors.Is; nil for success
		also   error
		seen   bool // a status is returned with the error
		calls  string
	}{
		{name: "success", action: prepare, looks: []look{old, wrote}, calls: "0s look, 0s start, 200ms look"},
		{name: "first of a boot", action: refresh, looks: []look{none, record("refresh", "Success", 1, "")}, calls: "0s look, 0s start, 200ms look"},
		{name: "no record before", action: refresh, looks: []look{null, record("refresh", "Success", 1, "")}, calls: "0s look, 0s start, 200ms look"},
		{name: "gentle while busy", action: prepare, looks: []look{old, busy, busy, busy, wrote},
			calls: "0s look, 0s start, 200ms look, 5.2s look, 10.2s look, 15.2s look"},
		{name: "activate looks soon", action: activate, looks: []look{old, busy, busy, busy, busy, busy, busy, activated(apiclientx.Ready, true)},
			calls: "0s look, 0s start, 100ms look, 350ms look, 850ms look, 1.85s look, 3.85s look, 8.85s look, 13.85s look"},
		{name: "deactivate looks soon", action: deactivate, looks: []look{old, busy, record("deactivate", "Success", 2, "")},
			calls: "0s look, 0s start, 100ms look, 350ms look"},
		{name: "other's command first", action: prepare, looks: []look{busy, busy, old, wrote},
			calls: "0s look, 5s look, 10s look, 10s start, 10.2s look"},
		{name: "start refused as busy", action: prepare, looks: []look{old, wrote, record("prepare", "Success", 3, "Starting update to 1.26.2\n")}, starts: []error{busy.err, yes},
			calls: "0s look, 0s start, 5s look, 5s start, 5.2s look"},
		{name: "other's record of the same kind does not pass for ours", action: prepare, looks: []look{old, wrote, busy, wrote, wrote}, starts: []error{busy.err, yes}, want: apiclientx.ErrVanished,
			calls: "0s look, 0s start, 5s look, 5s start, 5.2s look, 10.2s look, 11.2s look"},
		{name: "failed", action: prepare, looks: []look{old, record("prepare", "Failed", 2, "no space")}, want: failed, seen: true},
		{name: "status Unknown is no success", action: refresh, looks: []look{old, record("refresh", "Unknown", 2, "")}, want: failed, seen: true},
		{name: "status of a later release is no success", action: refresh, looks: []look{old, record("refresh", "Postponed", 2, "")}, want: failed, seen: true},
		{name: "refused", action: prepare, looks: []look{old}, starts: []error{refused}, want: apiclientx.ErrRefused, calls: "0s look, 0s start"},
		{name: "nothing", action: prepare, looks: []look{old}, starts: []error{apiclientx.NewStatusError("POST", "/actions/prepare-update", 404, "")}, want: apiclientx.ErrNothing},
		{name: "unreachable at the first look", action: prepare, looks: []look{away}, want: apiclientx.ErrUnreachable, calls: "0s look"},
		{name: "unreachable at the start", action: prepare, looks: []look{old}, starts: []error{apiclientx.ErrUnreachable}, want: apiclientx.ErrUnreachable, calls: "0s look, 0s start"},
		{name: "first look unanswered", action: prepare, looks: []look{silent}, want: apiclientx.ErrNoAnswer, calls: "0s look"},
		{name: "vanished", action: refresh, looks: []look{old, busy, old}, want: apiclientx.ErrVanished,
			calls: "0s look, 0s start, 200ms look, 5.2s look, 6.2s look"},
		{name: "slow to lock", action: refresh, looks: []look{old, old, record("refresh", "Success", 2, "")},
			calls: "0s look, 0s start, 200ms look, 1.2s look"},
		{name: "slow to lock and then busy", action: refresh, looks: []look{old, old, busy, old, record("refresh", "Success", 2, "")},
			calls: "0s look, 0s start, 200ms look, 1.2s look, 6.2s look, 7.2s look"},
		{name: "record became null", action: refresh, looks: []look{old, null}, want: apiclientx.ErrVanished},
		{name: "never a record", action: refresh, looks: []look{none, null}, want: apiclientx.ErrVanished},
		{name: "status gone", action: refresh, looks: []look{old, none}, want: apiclientx.ErrVanished},
		{name: "overtaken", action: prepare, looks: []look{old, record("refresh", "Success", 2, "")}, want: apiclientx.ErrVanished,
			calls: "0s look, 0s start, 200ms look"},
		{name: "unknown kind of command", action: prepare, looks: []look{old, record("rewind", "Success", 2, "")}, want: apiclientx.ErrVanished},
		{name: "lost answer, applied", action: prepare, looks: []look{old, busy, wrote}, starts: []error{apiclientx.ErrNoAnswer},
			calls: "0s look, 0s start, 200ms look, 5.2s look"},
		{name: "lost answer, not applied", action: prepare, looks: []look{old, old}, starts: []error{apiclientx.ErrNoAnswer}, want: apiclientx.ErrNoAnswer,
			calls: "0s look, 0s start, 200ms look, 1.2s look"},
		{name: "lost answer, overtaken", action: prepare, looks: []look{old, record("refresh", "Success", 2, "")}, starts: []error{apiclientx.ErrNoAnswer}, want: apiclientx.ErrNoAnswer},
		{name: "lost answer and time ran out", action: prepare, looks: []look{old, busy}, starts: []error{apiclientx.ErrNoAnswer}, want: apiclientx.ErrNoAnswer, also: context.DeadlineExceeded},
		{name: "faults on the way", action: prepare, looks: []look{old, fault, silent, away, fault, fault, busy, fault, wrote},
			calls: "0s look, 0s start, 200ms look, 5.2s look, 10.2s look, 15.2s look, 20.2s look, 25.2s look, 30.2s look, 35.2s look"},
		{name: "too many faults", action: prepare, looks: []look{old, away}, want: apiclientx.ErrUnreachable,
			calls: "0s look, 0s start, 200ms look, 5.2s look, 10.2s look, 15.2s look, 20.2s look, 25.2s look"},
		{name: "time ran out before", action: prepare, looks: []look{busy}, want: apiclientx.ErrBusy, also: context.DeadlineExceeded},
		{name: "time ran out after", action: prepare, looks: []look{old, busy}, want: apiclientx.ErrBusy, also: context.DeadlineExceeded},
		{name: "no update required", action: prepare, looks: []look{old, record("prepare", "Success", 2, "No update required\n")}, want: apiclientx.ErrNoUpdate, seen: true},
		{name: "prepare without words", action: prepare, looks: []look{old, record("prepare", "Success", 2, "")}, want: apiclientx.ErrNoUpdate, seen: true},
		{name: "prepare without stderr", action: prepare, looks: []look{old, noStderr}, want: apiclientx.ErrNoUpdate, seen: true},
		{name: "activated", action: activate, looks: []look{old, activated(apiclientx.Ready, true)}},
		{name: "activate left another state", action: activate, looks: []look{old, activated(apiclientx.Staged, true)}, want: apiclientx.ErrNotReady, seen: true},
		{name: "activate left an unknown state", action: activate, looks: []look{old, activated("Primed", true)}, want: apiclientx.ErrNotReady, seen: true},
		{name: "activate left no next to boot", action: activate, looks: []look{old, activated(apiclientx.Ready, false)}, want: apiclientx.ErrNotReady, seen: true},
		{name: "activate left no staging", action: activate, looks: []look{old, bare}, want: apiclientx.ErrNotReady, seen: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				if tt.starts == nil {
					tt.starts = []error{yes}
				}
				api := &script{looks: tt.looks, starts: tt.starts, begin: time.Now()}
				status, err := apiclientx.Do(ctx, api, tt.action, 0)
				switch {
				case tt.want == nil:
					if err != nil {
						t.Fatal(err)
					}
				case tt.want == error(failed):
					if e, ok := errors.AsType[*apiclientx.CommandError](err); !ok || e.Command.Type != tt.action.Verb() {
						t.Errorf("error %v, want a CommandError", err)
					}
				case !errors.Is(err, tt.want) || tt.also != nil && !errors.Is(err, tt.also):
					t.Errorf("error %v, want %v", err, tt.want)
				}
				if act := strings.ReplaceAll(string(tt.action), "-", " ") + ": "; err != nil && !strings.HasPrefix(err.Error(), act) {
					t.Errorf("error %q does not begin with the act", err)
				}
				if got := status.Last != nil; got != (tt.seen || tt.want == nil) {
					t.Errorf("status returned: %v (%+v)", got, status)
				}
				if got := strings.Join(api.calls, ", "); tt.calls != "" && got != tt.calls {
					t.Errorf("calls\n got %s\nwant %s", got, tt.calls)
				}
			})
		})
	}
}

// Whatever the API says, no two looks at a busy API are closer than 5 s, but
// for the first of an action and the ramp of the two quick ones.
func TestGentle(t *testing.T) {
	for _, action := range []apiclientx.Action{apiclientx.Refresh, apiclientx.Prepare} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
			defer cancel()
			api := &script{looks: []look{none, busy}, starts: []error{yes}, begin: time.Now()}
			if _, err := apiclientx.Do(ctx, api, action, 0); !errors.Is(err, apiclientx.ErrBusy) {
				t.Errorf("error %v", err)
			}
			if len(api.calls) != 2+15*60/5 {
				t.Errorf("%s: %d calls in 15 minutes", action, len(api.calls))
			}
		})
	}
}

// A short poll shortens all the waits, so that a test need not wait.
func TestShortPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &script{looks: []look{none, busy, busy, activated(apiclientx.Ready, true)}, starts: []error{yes}, begin: time.Now()}
		if _, err := apiclientx.Do(t.Context(), api, apiclientx.Activate, 10*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		want := []string{"0s look", "0s start", "10ms look", "20ms look", "30ms look"}
		if !slices.Equal(api.calls, want) {
			t.Errorf("calls %v, want %v", api.calls, want)
		}
	})
}

func TestDoEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(7*time.Second, cancel)
		api := &script{looks: []look{none, busy}, starts: []error{yes}, begin: time.Now()}
		_, err := apiclientx.Do(ctx, api, apiclientx.Prepare, 0)
		if !errors.Is(err, context.Canceled) || time.Since(api.begin) != 7*time.Second {
			t.Errorf("after %v: %v", time.Since(api.begin), err)
		}
	})
}

func TestWrote(t *testing.T) {
	tests := []struct{ verb, result, stderr, want string }{
		{"prepare", "Success", "Starting update to 1.26.1\n", "1.26.1"},
		{"prepare", "Success", "a warning\nStarting update to 1.26.1-rc.2 \nmore\n", "1.26.1-rc.2"},
		{"prepare", "Success", "Starting update to ", ""},
		{"prepare", "Success", "No update required\n", ""},
		{"prepare", "Success", "Starting update to 1.26.1\nNo update required\n", ""},
		{"prepare", "Failed", "Starting update to 1.26.1\nno space\n", ""},
		{"refresh", "Success", "Starting update to 1.26.1\n", ""},
	}
	for _, tt := range tests {
		if got := record(tt.verb, tt.result, 1, tt.stderr).status.Wrote(); got != tt.want {
			t.Errorf("%s %s %q: wrote %q, want %q", tt.verb, tt.result, tt.stderr, got, tt.want)
		}
	}
	if got := (apiclientx.Status{}).Wrote(); got != "" {
		t.Errorf("no record: wrote %q", got)
	}
}

func TestCompareVersions(t *testing.T) {
	ascending := []string{
		"0.9.9", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11",
		"1.0.0-rc.1", "1.0.0", "1.9.0", "1.10.0", "v1.26.1+b1", "2.0.0", "18446744073709551616.0.0",
	}
	for i, a := range ascending {
		for j, b := range ascending {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := apiclientx.CompareVersions(a, b); got != want {
				t.Errorf("CompareVersions(%q, %q) = %d, want %d", a, b, got, want)
			}
		}
	}
	for _, equal := range [][2]string{{"v1.2.3", "1.2.3"}, {"1.2.3+a", "1.2.3+b"}, {"", ""}} {
		if got := apiclientx.CompareVersions(equal[0], equal[1]); got != 0 {
			t.Errorf("CompareVersions(%q, %q) = %d, want 0", equal[0], equal[1], got)
		}
	}
}
