package apitest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drydock-ecs/drydock/apiclientx"
	"github.com/drydock-ecs/drydock/apiclientx/apitest"
)

const (
	refresh    = apiclientx.Refresh
	prepare    = apiclientx.Prepare
	activate   = apiclientx.Activate
	deactivate = apiclientx.Deactivate
)

// newHost returns a host on 1.25.0 that is offered 1.26.1 and 1.26.0, on which every
// command takes a second.
func newHost(t *testing.T) *apitest.Host {
	h := apitest.New(apitest.Config{
		Version:  "1.25.0",
		Settings: apitest.Settings{Cluster: "c1", Seed: 1625},
		Lengths: apitest.Lengths{
			Refresh: time.Second, Prepare: time.Second, Activate: time.Second, Deactivate: time.Second,
			Reboot: 2 * time.Second,
		},
		Releases: []apitest.Release{{Version: "1.25.0"}, {Version: "1.26.0"}, {Version: "1.26.1"}},
	})
	t.Cleanup(h.Close)
	return h
}

// run starts actions one after the other and waits for each; all must be
// accepted.
func run(t testing.TB, h *apitest.Host, actions ...apiclientx.Action) {
	t.Helper()
	for _, action := range actions {
		if err := h.Client().Start(t.Context(), action); err != nil {
			t.Fatalf("%s: %v", action, err)
		}
		time.Sleep(2 * time.Second)
	}
}

func status(t testing.TB, h *apitest.Host) apiclientx.Status {
	t.Helper()
	s, err := h.Client().Updates(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// reach brings a new host to a state. Idle is that of a host that has looked and
// found nothing, and to which a release was offered since.
func reach(t *testing.T, state apiclientx.UpdateState) *apitest.Host {
	h := newHost(t)
	switch state {
	case apiclientx.Idle:
		h.Offer()
		run(t, h, refresh)
		h.Offer(apitest.Release{Version: "1.26.1"})
	case apiclientx.Available:
		run(t, h, refresh)
	case apiclientx.Staged:
		run(t, h, refresh, prepare)
	case apiclientx.Ready:
		run(t, h, refresh, prepare, activate)
	}
	if got := status(t, h).State; got != state {
		t.Fatalf("state is %s, want %s", got, state)
	}
	return h
}

func TestEveryStateAndCommand(t *testing.T) {
	const (
		idle, available = apiclientx.Idle, apiclientx.Available
		staged, ready   = apiclientx.Staged, apiclientx.Ready
	)
	failed := apitest.Fault{Fail: "Metadata error"}
	withdraw := func(h *apitest.Host) { h.Offer() }
	withdrawAndRefresh := func(t *testing.T, h *apitest.Host) { h.Offer(); run(t, h, refresh) }
	tests := []struct {
		state   apiclientx.UpdateState
		action  apiclientx.Action
		name    string
		arrange func(t *testing.T, h *apitest.Host)
		fault   apitest.Fault
		code    int // of a refusal
		to      apiclientx.UpdateState
		result  string
	}{
		{state: idle, action: refresh, to: available, result: "Success"},
		{state: idle, action: refresh, name: "nothing offered", arrange: func(_ *testing.T, h *apitest.Host) { withdraw(h) }, to: idle, result: "Success"},
		{state: idle, action: refresh, name: "failed", fault: failed, to: idle, result: "Failed"},
		{state: idle, action: prepare, code: 409, to: idle},
		{state: idle, action: activate, code: 409, to: idle},
		{state: idle, action: deactivate, code: 409, to: idle},

		{state: available, action: refresh, to: available, result: "Success"},
		{state: available, action: refresh, name: "withdrawn", arrange: func(_ *testing.T, h *apitest.Host) { withdraw(h) }, to: idle, result: "Success"},
		{state: available, action: refresh, name: "failed", fault: failed, to: idle, result: "Failed"},
		{state: available, action: prepare, to: staged, result: "Success"},
		{state: available, action: prepare, name: "failed", fault: failed, to: available, result: "Failed"},
		{state: available, action: prepare, name: "nothing to write", arrange: func(_ *testing.T, h *apitest.Host) { withdraw(h) }, to: staged, result: "Success"},
		{state: available, action: activate, code: 409, to: available},
		{state: available, action: deactivate, code: 409, to: available},

		{state: staged, action: refresh, to: staged, result: "Success"},
		{state: staged, action: refresh, name: "failed", fault: failed, to: staged, result: "Failed"},
		{state: staged, action: prepare, to: staged, result: "Success"},
		{state: staged, action: prepare, name: "failed", fault: failed, to: staged, result: "Failed"},
		{state: staged, action: prepare, name: "choice gone", arrange: withdrawAndRefresh, code: 404, to: staged},
		{state: staged, action: activate, to: ready, result: "Success"},
		{state: staged, action: activate, name: "failed", fault: failed, to: staged, result: "Failed"},
		{state: staged, action: deactivate, code: 409, to: staged},

		{state: ready, action: refresh, to: ready, result: "Success"},
		{state: ready, action: refresh, name: "failed", fault: failed, to: ready, result: "Failed"},
		{state: ready, action: prepare, code: 409, to: ready},
		{state: ready, action: activate, code: 409, to: ready},
		{state: ready, action: deactivate, to: staged, result: "Success"},
		{state: ready, action: deactivate, name: "failed", fault: failed, to: ready, result: "Failed"},
	}
	seen := map[string]bool{}
	for _, tt := range tests {
		seen[fmt.Sprint(tt.state, tt.action)] = true
		t.Run(fmt.Sprintf("%s/%s/%s", tt.state, tt.action, tt.name), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := reach(t, tt.state)
				if tt.arrange != nil {
					tt.arrange(t, h)
				}
				before := status(t, h)
				h.SetFault(func(op string) apitest.Fault {
					if op == string(tt.action) {
						return tt.fault
					}
					return apitest.Fault{}
				})
				err := h.Client().Start(t.Context(), tt.action)
				if code := codeOf(err); code != tt.code {
					t.Fatalf("answer %d (%v), want %d", code, err, tt.code)
				}
				time.Sleep(2 * time.Second)
				after := status(t, h)
				if after.State != tt.to {
					t.Errorf("state %s, want %s", after.State, tt.to)
				}
				if unchanged := after.Last.Timestamp.Equal(before.Last.Timestamp); unchanged != (tt.code != 0) {
					t.Errorf("record unchanged: %v", unchanged)
				}
				if tt.code == 0 && (after.Last.Status != tt.result || after.Last.Type != tt.action.Verb()) {
					t.Errorf("record %s %s, want %s %s", after.Last.Type, after.Last.Status, tt.action.Verb(), tt.result)
				}
			})
		})
	}
	if len(seen) != 16 {
		t.Errorf("%d pairs of state and action, want all 16", len(seen))
	}
}

// codeOf is the status code in an error, or 0.
func codeOf(err error) int {
	if e, ok := errors.AsType[*apiclientx.StatusError](err); ok {
		return e.Code
	}
	return 0
}

// The documents of a whole update, as they are on the wire.
func TestDocuments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		const image, old = `{"arch":"x86_64","version":"1.26.1","variant":"aws-ecs-2"}`, `{"arch":"x86_64","version":"1.25.0","variant":"aws-ecs-2"}`
		steps := []struct {
			action                            apiclientx.Action
			state, active, staging, cmd, text string
		}{
			{refresh, "Available", `true`, `null`, "refresh", ``},
			{prepare, "Staged", `true`, `{"image":` + image + `,"next_to_boot":false}`, "prepare", `Starting update to 1.26.1\n`},
			{activate, "Ready", `false`, `{"image":` + image + `,"next_to_boot":true}`, "activate", ``},
			{deactivate, "Staged", `true`, `{"image":` + image + `,"next_to_boot":false}`, "deactivate", ``},
		}
		for _, step := range steps {
			run(t, h, step.action)
			s := status(t, h)
			got, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			stamp, _ := json.Marshal(s.Last.Timestamp)
			want := `{"update_state":"` + step.state + `","available_updates":["1.26.1","1.26.0","1.25.0"],"chosen_update":` + image +
				`,"active_partition":{"image":` + old + `,"next_to_boot":` + step.active + `},"staging_partition":` + step.staging +
				`,"most_recent_command":{"cmd_type":"` + step.cmd + `","cmd_status":"Success","timestamp":` + string(stamp) + `,"exit_status":0,"stderr":"` + step.text + `"}}`
			if string(got) != want {
				t.Errorf("after %s\n got %s\nwant %s", step.action, got, want)
			}
		}
	})
}

// A refused first action of a boot still leaves a status, without a record.
func TestRefusalInitialises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		if _, err := h.Client().Updates(t.Context()); !errors.Is(err, apiclientx.ErrUninitialized) {
			t.Fatalf("before: %v", err)
		}
		if err := h.Client().Start(t.Context(), prepare); !errors.Is(err, apiclientx.ErrRefused) {
			t.Fatalf("prepare: %v", err)
		}
		s := status(t, h)
		if s.State != apiclientx.Idle || s.Last != nil || s.Active == nil || !s.Active.NextToBoot || s.Chosen != nil {
			t.Errorf("status %+v", s)
		}
	})
}

func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		if err := h.Client().Start(t.Context(), refresh); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := h.Client().Updates(t.Context()); !errors.Is(err, apiclientx.ErrBusy) {
				t.Errorf("status: %v", err)
			}
			if err := h.Client().Start(t.Context(), prepare); !errors.Is(err, apiclientx.ErrBusy) {
				t.Errorf("prepare: %v", err)
			}
		}
		if !h.Busy() {
			t.Error("not busy")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if h.Busy() || status(t, h).State != apiclientx.Available {
			t.Error("refresh has not ended after its length")
		}
	})
}

// Two commands in the same instant have different records.
func TestRecordsDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.SetLengths(apitest.Lengths{})
		var last time.Time
		for range 3 {
			if err := h.Client().Start(t.Context(), refresh); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			stamp := status(t, h).Last.Timestamp
			if !stamp.After(last) {
				t.Errorf("record at %v after one at %v", stamp, last)
			}
			last = stamp
		}
	})
}

func TestFailedRefreshKeepsStaleChoice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := reach(t, apiclientx.Available)
		h.Offer()
		h.SetFault(func(op string) apitest.Fault { return apitest.Fault{Fail: "no network"} })
		run(t, h, refresh)
		s := status(t, h)
		if s.State != apiclientx.Idle || s.Chosen == nil || s.Chosen.Version != "1.26.1" || len(s.Available) != 3 {
			t.Errorf("status %+v", s)
		}
		if *s.Last.ExitStatus != 1 || *s.Last.Stderr != "no network" {
			t.Errorf("record %+v", *s.Last)
		}
	})
}

// Prepare decides afresh: what it writes may not be what the status claims.
func TestPrepareDecidesAfresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := reach(t, apiclientx.Available)
		h.Offer(apitest.Release{Version: "1.27.0"})
		run(t, h, prepare)
		s := status(t, h)
		_, inactive := h.Sets()
		if s.Staging.Image.Version != "1.26.1" || s.Wrote() != "1.27.0" || inactive.Version != "1.27.0" {
			t.Errorf("staged %s, wrote %s, on disk %s", s.Staging.Image.Version, s.Wrote(), inactive.Version)
		}
	})
}

// When there is nothing left to write, prepare succeeds and activate fails,
// with an empty inactive set and with one that holds the version before.
func TestNothingToWrite(t *testing.T) {
	for _, updated := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			h := newHost(t)
			if updated {
				run(t, h, refresh, prepare, activate)
				h.Boot()
				h.Offer(apitest.Release{Version: "1.27.0"})
			}
			before := h.Running()
			run(t, h, refresh)
			h.Offer()
			run(t, h, prepare, activate)
			s := status(t, h)
			if s.State != apiclientx.Staged || s.Last.Type != "activate" || s.Last.Status != "Failed" {
				t.Errorf("status %+v, record %+v", s, *s.Last)
			}
			if h.Boot().Version != before {
				t.Error("something was written")
			}
		})
	}
}

// The flags on both sets through an update, a fallback and an undo.
func TestFlags(t *testing.T) {
	old := func(priority int) apitest.Set {
		return apitest.Set{Version: "1.25.0", Priority: priority, Successful: true}
	}
	fresh := func(priority, tries int, successful bool) apitest.Set {
		return apitest.Set{Version: "1.26.1", Priority: priority, Tries: tries, Successful: successful}
	}
	boot := func(h *apitest.Host) { h.Boot() }
	tests := []struct {
		name             string
		fate             apitest.Fate
		actions          []apiclientx.Action
		then             func(*apitest.Host)
		active, inactive apitest.Set
	}{
		{name: "new", active: old(1), inactive: apitest.Set{}},
		{name: "prepared", actions: []apiclientx.Action{refresh, prepare}, active: old(1), inactive: fresh(0, 1, false)},
		{name: "activated", actions: []apiclientx.Action{refresh, prepare, activate}, active: old(1), inactive: fresh(2, 1, false)},
		{name: "deactivated", actions: []apiclientx.Action{refresh, prepare, activate, deactivate}, active: old(2), inactive: fresh(0, 1, false)},
		{name: "activated again", actions: []apiclientx.Action{refresh, prepare, activate, deactivate, activate}, active: old(1), inactive: fresh(2, 1, false)},
		{name: "prepared and booted", actions: []apiclientx.Action{refresh, prepare}, then: boot, active: old(1), inactive: fresh(0, 1, false)},
		{name: "updated", actions: []apiclientx.Action{refresh, prepare, activate}, then: boot, active: fresh(2, 0, true), inactive: old(1)},
		{name: "fell back", fate: apitest.FallsBack, actions: []apiclientx.Action{refresh, prepare, activate}, then: boot, active: old(1), inactive: fresh(2, 0, false)},
		{name: "hangs", fate: apitest.NeverReturns, actions: []apiclientx.Action{refresh, prepare, activate}, then: boot, active: fresh(2, 0, false), inactive: old(1)},
		{name: "hangs and is reset", fate: apitest.NeverReturns, actions: []apiclientx.Action{refresh, prepare, activate}, then: func(h *apitest.Host) { h.Boot(); h.Boot() }, active: old(1), inactive: fresh(2, 0, false)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t)
				h.Offer(apitest.Release{Version: "1.26.1", Fate: tt.fate})
				run(t, h, tt.actions...)
				if tt.then != nil {
					tt.then(h)
				}
				if active, inactive := h.Sets(); active != tt.active || inactive != tt.inactive {
					t.Errorf("got %+v %+v, want %+v %+v", active, inactive, tt.active, tt.inactive)
				}
			})
		})
	}
}

func TestBoot(t *testing.T) {
	tests := []struct {
		release apitest.Release
		want    apitest.Booted
		again   apitest.Booted
	}{
		{apitest.Release{Version: "1.26.1"}, apitest.Booted{Up: true, Version: "1.26.1"}, apitest.Booted{Up: true, Version: "1.26.1"}},
		{apitest.Release{Version: "1.26.1", Fate: apitest.FallsBack}, apitest.Booted{Up: true, Version: "1.25.0"}, apitest.Booted{Up: true, Version: "1.25.0"}},
		{apitest.Release{Version: "1.26.1", Fate: apitest.NeverReturns}, apitest.Booted{}, apitest.Booted{Up: true, Version: "1.25.0"}},
		{apitest.Release{Version: "1.26.1", Fate: apitest.BootsElsewhere, Elsewhere: "1.24.9"}, apitest.Booted{Up: true, Version: "1.24.9"}, apitest.Booted{Up: true, Version: "1.24.9"}},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.release.Fate), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t)
				h.Offer(tt.release)
				run(t, h, refresh, prepare, activate)
				h.Offer() // a withdrawn release keeps its fate
				for _, want := range []apitest.Booted{tt.want, tt.again} {
					if got := h.Boot(); got != want || h.Running() != want.Version {
						t.Fatalf("booted %+v, runs %q, want %+v", got, h.Running(), want)
					}
					os, err := h.Client().OS(t.Context())
					if want.Up && (err != nil || os.VersionID != want.Version) {
						t.Errorf("OS %+v, %v", os, err)
					}
					if !want.Up && !errors.Is(err, apiclientx.ErrUnreachable) {
						t.Errorf("OS of a host that hangs: %v", err)
					}
					if _, err := h.Client().Updates(t.Context()); want.Up && !errors.Is(err, apiclientx.ErrUninitialized) {
						t.Errorf("status survived the boot: %v", err)
					}
				}
			})
		})
	}
}

// A second update goes to the other set, which held the version before last.
func TestTwoUpdates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		for _, version := range []string{"1.26.1", "1.27.0", "1.28.0"} {
			h.Offer(apitest.Release{Version: version})
			run(t, h, refresh, prepare, activate)
			if got := h.Boot(); got.Version != version {
				t.Fatalf("booted %+v, want %s", got, version)
			}
		}
	})
}

func TestReboot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took := make(chan time.Time, 2)
		h := apitest.New(apitest.Config{
			Version:  "1.25.0",
			Lengths:  apitest.Lengths{Reboot: 2 * time.Second},
			OnReboot: func() { took <- time.Now() },
		})
		t.Cleanup(h.Close)
		c := h.Client()

		h.Inhibit(apitest.Inhibitor{Block: "backup"})
		if err := c.Reboot(t.Context()); codeOf(err) != 500 || h.Rebooting() {
			t.Fatalf("blocked: %v", err)
		}
		h.Inhibit(apitest.Inhibitor{Delay: time.Minute})
		start := time.Now()
		for range 2 { // the second request changes nothing
			if err := c.Reboot(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.OS(t.Context()); err != nil || !h.Rebooting() {
			t.Errorf("before the effect: %v", err)
		}
		if lag := (<-took).Sub(start); lag != 62*time.Second {
			t.Errorf("took effect after %v", lag)
		}
		if _, err := c.OS(t.Context()); !errors.Is(err, apiclientx.ErrUnreachable) || h.Running() != "" {
			t.Errorf("after the effect: %v", err)
		}
		if got := h.Boot(); !got.Up || h.Rebooting() {
			t.Errorf("booted %+v", got)
		}
		time.Sleep(time.Hour)
		if len(took) != 0 {
			t.Error("rebooted twice")
		}
	})
}

// A boot from outside, before a requested reboot took effect, forgets the request.
func TestBootForgetsReboot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		if err := h.Client().Reboot(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.Boot()
		time.Sleep(time.Hour)
		if h.Running() == "" {
			t.Error("the old request took the new boot down")
		}
	})
}

// A command dies with the API, without a record; what prepare had cleared
// stays unbootable.
func TestStopAPIKillsCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := reach(t, apiclientx.Staged)
		before := status(t, h)
		if err := h.Client().Start(t.Context(), prepare); err != nil {
			t.Fatal(err)
		}
		h.StopAPI()
		if _, err := h.Client().Updates(t.Context()); !errors.Is(err, apiclientx.ErrUnreachable) {
			t.Errorf("while stopped: %v", err)
		}
		if h.Running() != "1.25.0" {
			t.Error("the system went down with the API")
		}
		time.Sleep(time.Hour)
		h.StartAPI()
		after := status(t, h)
		if !after.Last.Timestamp.Equal(before.Last.Timestamp) || h.Busy() {
			t.Errorf("record %+v", *after.Last)
		}
		run(t, h, activate)
		if s := status(t, h); s.Last.Status != "Failed" {
			t.Errorf("half an image was activated: %+v", *s.Last)
		}
	})
}

func TestWaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		at := func(h int) time.Time { return start.Add(time.Duration(h) * time.Hour) }
		waves := []apitest.Wave{{Seed: 0, At: at(1)}, {Seed: 20, At: at(3)}, {Seed: 120, At: at(13)}}
		tests := []struct {
			seed   int
			ignore bool
			from   time.Duration
		}{
			{seed: 0, from: 0},
			{seed: 10, from: 2 * time.Hour},
			{seed: 20, from: 3 * time.Hour},
			{seed: 50, from: 8 * time.Hour},
			{seed: 110, from: 13*time.Hour + 0},
			{seed: 2000, from: 13 * time.Hour},
			{seed: 2000, ignore: true, from: 0},
		}
		for _, tt := range tests {
			h := newHost(t)
			h.SetLengths(apitest.Lengths{})
			h.Configure(apitest.Settings{Seed: tt.seed, IgnoreWaves: tt.ignore})
			h.Offer(apitest.Release{Version: "1.26.1", Waves: waves})
			appears := time.Duration(-1)
			began := time.Now()
			shift := began.Sub(start)
			moved := make([]apitest.Wave, len(waves))
			for i, w := range waves {
				moved[i] = apitest.Wave{Seed: w.Seed, At: w.At.Add(shift)}
			}
			h.Offer(apitest.Release{Version: "1.26.1", Waves: moved})
			for time.Since(began) < 20*time.Hour && appears < 0 {
				looked := time.Since(began)
				if err := h.Client().Start(t.Context(), refresh); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if status(t, h).Chosen != nil {
					appears = looked
				}
				time.Sleep(30 * time.Minute)
			}
			if appears != tt.from {
				t.Errorf("seed %d (ignore %v): appears after %v, want %v", tt.seed, tt.ignore, appears, tt.from)
			}
		}
	})
}

func TestChoice(t *testing.T) {
	list := func(versions ...string) (releases []apitest.Release) {
		for _, v := range versions {
			releases = append(releases, apitest.Release{Version: v})
		}
		return releases
	}
	tests := []struct {
		name     string
		releases []apitest.Release
		lock     string
		want     string
	}{
		{"highest", list("1.9.0", "1.30.0", "1.26.1"), "", "1.30.0"},
		{"only older", list("1.9.0", "1.25.0"), "latest", ""},
		{"nothing", nil, "latest", ""},
		{"locked", list("1.30.0", "1.26.1"), "1.26.1", "1.26.1"},
		{"locked with v", list("1.30.0", "1.26.1"), "v1.26.1", "1.26.1"},
		{"locked to older", list("1.30.0", "1.9.0"), "1.9.0", "1.9.0"},
		{"locked to running", list("1.30.0", "1.25.0"), "1.25.0", ""},
		{"locked to absent", list("1.30.0"), "1.26.1", ""},
		{"above max", []apitest.Release{{Version: "1.30.0", Max: "1.29.0"}, {Version: "1.29.0", Max: "1.29.0"}}, "", "1.29.0"},
		{"downgrade", []apitest.Release{{Version: "1.24.0", Max: "1.24.1"}}, "", "1.24.0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t)
				h.Configure(apitest.Settings{VersionLock: tt.lock})
				h.Offer(tt.releases...)
				run(t, h, refresh)
				got := ""
				if s := status(t, h); s.Chosen != nil {
					got = s.Chosen.Version
				}
				if got != tt.want {
					t.Errorf("chose %q, want %q", got, tt.want)
				}
			})
		})
	}
}

// Whatever is done to a host, in whatever order, a version that was not
// activated does not boot, and at most one reset from outside is ever needed.
func TestNeverBricked(t *testing.T) {
	for seed := range uint64(400) {
		synctest.Test(t, func(t *testing.T) {
			h := apitest.New(apitest.Config{Version: "1.25.0", Lengths: apitest.Lengths{Prepare: time.Second}})
			t.Cleanup(h.Close)
			random := rand.New(rand.NewPCG(seed, 0))
			for range 60 {
				mistreat(t, h, random)
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
		})
	}
}

// mistreat does one random thing to a host and checks what came of it.
func mistreat(t *testing.T, h *apitest.Host, random *rand.Rand) {
	switch random.IntN(10) {
	case 0:
		h.Offer(apitest.Release{Version: fmt.Sprintf("1.%d.0", 24+random.IntN(5)), Fate: apitest.Fate(random.IntN(3))})
	case 1:
		time.Sleep(time.Second)
	case 2:
		h.StopAPI()
		h.StartAPI()
	case 3:
		before := h.Running()
		s, _ := h.Client().Updates(t.Context())
		booted := h.Boot()
		if !booted.Up {
			booted = h.Boot()
		}
		if !booted.Up || booted.Version != before && s.State != apiclientx.Ready {
			t.Errorf("%s became %+v in state %q", before, booted, s.State)
		}
	default:
		action := []apiclientx.Action{refresh, prepare, activate, deactivate}[random.IntN(4)]
		err := h.Client().Start(t.Context(), action)
		if code := codeOf(err); err != nil && code != 404 && code != 409 && code != 423 {
			t.Errorf("%s: %v", action, err)
		}
		synctest.Wait()
	}
}
