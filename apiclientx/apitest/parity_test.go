package apitest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drydock-ecs/drydock/apiclientx"
	"github.com/drydock-ecs/drydock/apiclientx/apitest"
)

// client is what both doors give, and what the update agent takes.
type client interface {
	OS(context.Context) (apiclientx.OS, error)
	Updates(context.Context) (apiclientx.Status, error)
	Do(context.Context, apiclientx.Action) (apiclientx.Status, error)
	Reboot(context.Context) error
}

var (
	_ client = (*apiclientx.Client)(nil)
	_ client = (*apitest.DirectClient)(nil)
)

// The same random story, through both doors, gives the same answers, the same
// errors to the letter, at the same times.
func TestBothDoorsAlike(t *testing.T) {
	for seed := range uint64(300) {
		direct := tell(t, seed, func(h *apitest.Host) client { return h.Client() })
		wire := tell(t, seed, func(h *apitest.Host) client { return h.Listen().Client() })
		for i := range max(len(direct), len(wire)) {
			if i >= len(direct) || i >= len(wire) || direct[i] != wire[i] {
				t.Fatalf("seed %d, line %d\ndirect:\n%s\nwire:\n%s", seed, i, upTo(direct, i), upTo(wire, i))
			}
		}
	}
}

func upTo(lines []string, i int) string { return strings.Join(lines[:min(i+1, len(lines))], "\n") }

// tell runs the story of a seed and returns its transcript.
func tell(t *testing.T, seed uint64, open func(*apitest.Host) client) (lines []string) {
	synctest.Test(t, func(t *testing.T) {
		s := &story{random: rand.New(rand.NewPCG(seed, 1)), start: time.Now()}
		s.host = apitest.New(apitest.Config{
			Version: "1.25.0",
			Fault:   s.fault,
			OnReboot: func() {
				s.host.Boot()
			},
			Lengths: apitest.Lengths{
				Refresh: s.length(), Prepare: 10 * s.length(), Activate: s.length() / 10, Deactivate: s.length() / 10, Reboot: s.length(),
			},
			Releases: []apitest.Release{{Version: "1.26.0", Fate: apitest.Fate(s.random.IntN(2))}},
		})
		t.Cleanup(s.host.Close)
		s.client = open(s.host)
		for range 25 {
			s.step(t.Context())
			synctest.Wait() // a reboot that a step ran into has its boot behind it
		}
		lines = s.lines
	})
	return lines
}

type story struct {
	random *rand.Rand
	start  time.Time
	host   *apitest.Host
	client client
	lines  []string

	mu   sync.Mutex
	next apitest.Fault // of one request,
	skip int           // after so many others
}

// length has nanoseconds in it, so that nothing falls together with a look,
// whose order would then be chance.
func (s *story) length() time.Duration { return time.Duration(s.random.Int64N(3e9)) }

func (s *story) fault(string) apitest.Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.skip--; s.skip >= 0 {
		return apitest.Fault{}
	}
	fault := s.next
	s.next = apitest.Fault{}
	return fault
}

func (s *story) step(ctx context.Context) {
	if s.random.IntN(3) == 0 {
		s.mu.Lock()
		s.next, s.skip = s.trouble(), s.random.IntN(3)
		s.mu.Unlock()
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(s.random.Int64N(60e9)))
	defer cancel()
	switch s.random.IntN(12) {
	case 0:
		s.host.Offer(apitest.Release{Version: fmt.Sprintf("1.%d.0", 24+s.random.IntN(6))})
	case 1:
		s.host.StopAPI()
	case 2:
		s.host.StartAPI()
	case 3:
		s.tell("boot", s.host.Boot(), nil)
	case 4:
		s.host.Inhibit(apitest.Inhibitor{Block: []string{"", "backup"}[s.random.IntN(2)]})
		s.tell("reboot", nil, s.client.Reboot(ctx))
	case 5:
		os, err := s.client.OS(ctx)
		s.tell("os", os, err)
	case 6:
		status, err := s.client.Updates(ctx)
		s.tell("status", status, err)
	default:
		action := []apiclientx.Action{refresh, refresh, prepare, activate, deactivate}[s.random.IntN(5)]
		status, err := s.client.Do(ctx, action)
		s.tell(string(action), status, err)
	}
}

func (s *story) trouble() apitest.Fault {
	return []apitest.Fault{
		{Answer: apitest.Drop},
		{Answer: apitest.Drop, Apply: true},
		{Answer: apitest.Hang},
		{Answer: apitest.Hang, Apply: true},
		{Answer: apitest.Say, Code: 500, Body: "the dispatcher failed"},
		{Answer: apitest.Say, Code: 423, Body: "locked"},
		{Answer: apitest.Say, Code: 404, Body: "nothing"},
		{Answer: apitest.Say, Code: 409, Body: "not now"},
		{Answer: apitest.Say, Code: 200, Body: "{}"},
		{Answer: apitest.Say, Code: 200, Body: "}"},
		{Answer: apitest.Say, Code: 204},
		{Delay: 12 * time.Second},
		{Delay: 2 * time.Second},
		{Vanish: true},
		{Fail: "no space left"},
		{Edit: func(s *apiclientx.Status) { s.Last = nil }},
		{Edit: func(s *apiclientx.Status) { s.State = "Postponed" }},
	}[s.random.IntN(17)]
}

func (s *story) tell(what string, got any, err error) {
	text, _ := json.Marshal(got)
	s.lines = append(s.lines, fmt.Sprintf("%v %s %s: %v", time.Since(s.start), what, text, err))
}

func TestHTTP(t *testing.T) {
	h := newHost(t)
	tests := []struct {
		method, path string
		code         int
		kind, body   string
	}{
		{"GET", "/os", 200, "application/json", `{"pretty_name":"Bottlerocket OS 1.25.0 (aws-ecs-2)","variant_id":"aws-ecs-2","version_id":"1.25.0","build_id":"0a1b2c3d","arch":"x86_64"}`},
		{"GET", "/updates/status", 404, "text/plain; charset=utf-8", "The update status is uninitialized"},
		{"POST", "/actions/activate-update", 409, "text/plain; charset=utf-8", "The action is not allowed in the state Idle"},
		{"GET", "/updates/status", 200, "application/json", `{"update_state":"Idle","available_updates":[],"chosen_update":null,"active_partition":{"image":{"arch":"x86_64","version":"1.25.0","variant":"aws-ecs-2"},"next_to_boot":true},"staging_partition":null,"most_recent_command":null}`},
		{"GET", "/settings?prefix=updates", 200, "application/json", `{"updates":{"ignore-waves":false,"seed":1625,"version-lock":"latest"}}`},
		{"GET", "/settings?prefix=settings.updates.seed", 200, "application/json", `{"updates":{"seed":1625}}`},
		{"GET", "/settings?prefix=kernel", 200, "application/json", `{}`},
		{"GET", "/settings", 200, "application/json", `{"ecs":{"cluster":"c1"},"updates":{"ignore-waves":false,"seed":1625,"version-lock":"latest"}}`},
		{"GET", "/settings?prefix=", 400, "text/plain; charset=utf-8", "The prefix must not be empty"},
		{"POST", "/actions/refresh-updates", 204, "", ""},
		{"GET", "/updates/status", 423, "text/plain; charset=utf-8", "The update lock is held by a command"},
		{"POST", "/actions/reboot", 204, "", ""},
		{"GET", "/nowhere", 404, "text/plain; charset=utf-8", "404 page not found"},
	}
	for _, tt := range tests {
		w := &recorder{header: http.Header{}, code: 200}
		r, err := http.NewRequestWithContext(t.Context(), tt.method, tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		h.Handler().ServeHTTP(w, r)
		if got := strings.TrimSpace(w.body.String()); w.code != tt.code || w.header.Get("Content-Type") != tt.kind || got != tt.body {
			t.Errorf("%s %s: %d %q %s\nwant %d %q %s", tt.method, tt.path, w.code, w.header.Get("Content-Type"), got, tt.code, tt.kind, tt.body)
		}
	}
}

type recorder struct {
	header http.Header
	code   int
	body   strings.Builder
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(code int)        { r.code = code }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }

// A caller that hangs is let go when the host goes down, by both doors.
func TestHangEndsWithTheHost(t *testing.T) {
	doors := map[string]func(*apitest.Host) client{
		"direct": func(h *apitest.Host) client { return h.Client() },
		"memory": func(h *apitest.Host) client { return h.Listen().Client() },
	}
	for name, open := range doors {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t)
				h.SetFault(func(string) apitest.Fault { return apitest.Fault{Answer: apitest.Hang} })
				c := open(h)
				start := time.Now()
				time.AfterFunc(3*time.Second, h.PowerOff)
				_, err := c.OS(t.Context())
				if !errors.Is(err, apiclientx.ErrNoAnswer) || time.Since(start) != 3*time.Second {
					t.Errorf("after %v: %v", time.Since(start), err)
				}
				if _, err := c.OS(t.Context()); !errors.Is(err, apiclientx.ErrUnreachable) {
					t.Errorf("down: %v", err)
				}
				h.SetFault(nil)
				h.Boot()
				if _, err := c.OS(t.Context()); err != nil {
					t.Errorf("up again: %v", err)
				}
			})
		})
	}
}

// Serve works on any listener, and ends with it.
func TestServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		l := apitest.Listen()
		ended := make(chan error)
		go func() { ended <- h.Serve(l) }()
		c := &apiclientx.Client{Dial: l.Dial}
		if _, err := c.OS(t.Context()); err != nil {
			t.Error(err)
		}
		h.StopAPI()
		if _, err := c.OS(t.Context()); !errors.Is(err, apiclientx.ErrNoAnswer) {
			t.Errorf("down: %v", err)
		}
		l.Close()
		if err := <-ended; err == nil {
			t.Error("Serve ended without an error")
		}
		if _, err := c.OS(t.Context()); !errors.Is(err, apiclientx.ErrUnreachable) {
			t.Errorf("closed: %v", err)
		}
	})
}

// The story covers what it is meant to.
func TestStoryIsRich(t *testing.T) {
	var all []string
	for seed := range uint64(100) {
		all = append(all, tell(t, seed, func(h *apitest.Host) client { return h.Client() })...)
	}
	for _, want := range []string{
		"<nil>", "Ready", apiclientx.ErrVanished.Error(), apiclientx.ErrNoAnswer.Error(), apiclientx.ErrUnreachable.Error(),
		apiclientx.ErrBusy.Error(), ": 409:", "inhibited: backup", "no space left", apiclientx.ErrNoUpdate.Error(), "1.26.0",
	} {
		if !slices.ContainsFunc(all, func(line string) bool { return strings.Contains(line, want) }) {
			t.Errorf("no story has %q", want)
		}
	}
}
