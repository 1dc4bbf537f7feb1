package apiclientx_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drydock-ecs/drydock/apiclientx"
	"github.com/drydock-ecs/drydock/apiclientx/apitest"
)

// newHost returns a host on 1.25.0 that is offered 1.26.1.
func newHost(t *testing.T) *apitest.Host {
	h := apitest.New(apitest.Config{
		Version:  "1.25.0",
		Settings: apitest.Settings{Cluster: "blue", Seed: 1625, IgnoreWaves: true},
		Lengths: apitest.Lengths{
			Refresh: time.Second, Prepare: 17 * time.Second, Activate: 300 * time.Millisecond, Deactivate: 300 * time.Millisecond,
			Reboot: 4 * time.Second,
		},
		Releases: []apitest.Release{{Version: "1.26.1"}, {Version: "1.25.0"}},
	})
	t.Cleanup(h.Close)
	return h
}

// once makes a hook that has one fault, for the first request of a name.
func once(op string, fault apitest.Fault) func(string) apitest.Fault {
	var done atomic.Bool
	return func(asked string) apitest.Fault {
		if asked != op || done.Swap(true) {
			return apitest.Fault{}
		}
		return fault
	}
}

// A whole update through the wire, with its lengths.
func TestUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		c := h.Listen().Client()
		start := time.Now()
		steps := []struct {
			action apiclientx.Action
			state  apiclientx.UpdateState
			at     time.Duration
		}{
			{apiclientx.Refresh, apiclientx.Available, 5200 * time.Millisecond},
			{apiclientx.Prepare, apiclientx.Staged, 25400 * time.Millisecond},
			{apiclientx.Activate, apiclientx.Ready, 25750 * time.Millisecond},
			{apiclientx.Deactivate, apiclientx.Staged, 26100 * time.Millisecond},
			{apiclientx.Activate, apiclientx.Ready, 26450 * time.Millisecond},
		}
		for _, step := range steps {
			status, err := c.Do(t.Context(), step.action)
			if err != nil || status.State != step.state || time.Since(start) != step.at {
				t.Fatalf("%s: %s after %v, %v; want %s after %v", step.action, status.State, time.Since(start), err, step.state, step.at)
			}
			if step.action == apiclientx.Prepare && status.Wrote() != status.Chosen.Version {
				t.Errorf("wrote %q, chose %q", status.Wrote(), status.Chosen.Version)
			}
		}
		if err := c.Reboot(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if _, err := c.OS(t.Context()); !errors.Is(err, apiclientx.ErrUnreachable) {
			t.Errorf("while down: %v", err)
		}
		h.Boot()
		os, err := c.OS(t.Context())
		want := apiclientx.OS{PrettyName: "Bottlerocket OS 1.26.1 (aws-ecs-2)", VariantID: "aws-ecs-2", VersionID: "1.26.1", BuildID: "0a1b2c3d", Arch: "x86_64"}
		if err != nil || os != want {
			t.Errorf("OS %+v, %v", os, err)
		}
		if _, err := c.Updates(t.Context()); !errors.Is(err, apiclientx.ErrUninitialized) {
			t.Errorf("status after the boot: %v", err)
		}
	})
}

func TestSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		c := h.Listen().Client()
		updates, err := c.UpdateSettings(t.Context())
		want := map[string]string{"seed": "1625", "version-lock": "latest", "ignore-waves": "true"}
		if err != nil || !maps.Equal(updates, want) {
			t.Errorf("update settings %v, %v", updates, err)
		}
		cluster, err := c.ECSCluster(t.Context())
		if err != nil || cluster != "blue" {
			t.Errorf("cluster %q, %v", cluster, err)
		}
		h.Configure(apitest.Settings{})
		cluster, err = c.ECSCluster(t.Context())
		if err != nil || cluster != "" {
			t.Errorf("no cluster: %q, %v", cluster, err)
		}
		for prefix, keys := range map[string][]string{"": {"updates"}, "updates.seed": {"updates"}, "a b&c": nil} {
			tree, err := c.Settings(t.Context(), prefix)
			if err != nil || !slices.Equal(slices.Collect(maps.Keys(tree)), keys) {
				t.Errorf("settings %q: %v, %v", prefix, tree, err)
			}
		}
		h.SetFault(func(string) apitest.Fault {
			return apitest.Fault{Answer: apitest.Say, Code: 200, Body: `{"updates":3,"ecs":"x"}`}
		})
		if _, err := c.UpdateSettings(t.Context()); err == nil {
			t.Error("settings.updates that is no table was taken")
		}
		if _, err := c.ECSCluster(t.Context()); err == nil {
			t.Error("settings.ecs that is no table was taken")
		}
		h.StopAPI()
		if _, err := c.UpdateSettings(t.Context()); !errors.Is(err, apiclientx.ErrUnreachable) {
			t.Errorf("update settings: %v", err)
		}
		if _, err := c.ECSCluster(t.Context()); !errors.Is(err, apiclientx.ErrUnreachable) {
			t.Errorf("cluster: %v", err)
		}
	})
}

// calls are the requests of a client by the stand-in's names for them.
func calls(c *apiclientx.Client) map[string]func(context.Context) error {
	all := map[string]func(context.Context) error{
		apitest.OpOS:       func(ctx context.Context) error { _, err := c.OS(ctx); return err },
		apitest.OpStatus:   func(ctx context.Context) error { _, err := c.Updates(ctx); return err },
		apitest.OpSettings: func(ctx context.Context) error { _, err := c.Settings(ctx, "updates"); return err },
		apitest.OpReboot:   c.Reboot,
	}
	for _, action := range []apiclientx.Action{apiclientx.Refresh, apiclientx.Prepare, apiclientx.Activate, apiclientx.Deactivate} {
		all[string(action)] = func(ctx context.Context) error { return c.Start(ctx, action) }
	}
	return all
}

var meanings = []error{
	apiclientx.ErrBusy, apiclientx.ErrRefused, apiclientx.ErrNothing, apiclientx.ErrUninitialized, apiclientx.ErrUnreachable, apiclientx.ErrNoAnswer,
}

// Every status code on every request, and what it means there.
func TestStatusCodes(t *testing.T) {
	meaning := func(op string, code int) error {
		action := strings.Contains(op, "-update") || op == apitest.OpReboot
		switch code {
		case 423:
			return apiclientx.ErrBusy
		case 409, 422:
			return apiclientx.ErrRefused
		case 404:
			if op == apitest.OpStatus {
				return apiclientx.ErrUninitialized
			} else if action {
				return apiclientx.ErrNothing
			}
		}
		return nil
	}
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		for op, call := range calls(h.Listen().Client()) {
			for _, code := range []int{200, 201, 204, 302, 400, 404, 409, 422, 423, 500, 503} {
				h.SetFault(once(op, apitest.Fault{Answer: apitest.Say, Code: code, Body: "one sentence\n"}))
				err := call(t.Context())
				post := strings.Contains(op, "-update") || op == apitest.OpReboot
				if post && code == 204 {
					if err != nil {
						t.Errorf("%s %d: %v", op, code, err)
					}
					continue
				}
				e, ok := errors.AsType[*apiclientx.StatusError](err)
				if !post && code == 200 { // the text is no JSON
					if err == nil || ok {
						t.Errorf("%s %d: %v", op, code, err)
					}
					continue
				}
				body := "one sentence"
				if code == 204 {
					body = ""
				}
				if !ok || e.Code != code || e.Body != body {
					t.Errorf("%s %d: %v", op, code, err)
					continue
				}
				for _, m := range meanings {
					if errors.Is(err, m) != (m == meaning(op, code)) {
						t.Errorf("%s %d: is %q: %v", op, code, m, errors.Is(err, m))
					}
				}
			}
		}
	})
}

// What a request's error is when the transport fails, at each place where it
// can, and how long that takes.
func TestTransportFaults(t *testing.T) {
	tests := []struct {
		name  string
		fault func(h *apitest.Host, op string)
		want  error
		after time.Duration
	}{
		{"stopped", func(h *apitest.Host, _ string) { h.StopAPI() }, apiclientx.ErrUnreachable, 0},
		{"cut before applying", func(h *apitest.Host, op string) {
			h.SetFault(once(op, apitest.Fault{Answer: apitest.Drop}))
		}, apiclientx.ErrNoAnswer, 0},
		{"cut after applying", func(h *apitest.Host, op string) {
			h.SetFault(once(op, apitest.Fault{Answer: apitest.Drop, Apply: true}))
		}, apiclientx.ErrNoAnswer, 0},
		{"hangs", func(h *apitest.Host, op string) {
			h.SetFault(once(op, apitest.Fault{Answer: apitest.Hang}))
		}, apiclientx.ErrNoAnswer, 10 * time.Second},
		{"slow", func(h *apitest.Host, op string) {
			h.SetFault(once(op, apitest.Fault{Delay: 9 * time.Second, Answer: apitest.Drop}))
		}, apiclientx.ErrNoAnswer, 9 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for op := range calls(nil) {
					h := newHost(t)
					call := calls(h.Listen().Client())[op]
					tt.fault(h, op)
					start := time.Now()
					err := call(t.Context())
					if time.Since(start) != tt.after {
						t.Errorf("%s: took %v", op, time.Since(start))
					}
					want := tt.want
					if op == apitest.OpReboot && strings.HasPrefix(tt.name, "cut") || op == apitest.OpReboot && tt.name == "slow" {
						want = nil // the host is going down
					}
					if !errors.Is(err, want) || errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("%s: %v, want %v", op, err, want)
					}
				}
			})
		})
	}
}

func TestReboot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		c := h.Listen().Client()
		h.Inhibit(apitest.Inhibitor{Block: "backup"})
		err := c.Reboot(t.Context())
		e, ok := errors.AsType[*apiclientx.StatusError](err)
		if !ok || e.Code != 500 || !strings.Contains(err.Error(), "backup") || h.Rebooting() {
			t.Fatalf("inhibited: %v", err)
		}
		h.Inhibit(apitest.Inhibitor{})
		h.SetFault(once(apitest.OpReboot, apitest.Fault{Answer: apitest.Drop, Apply: true}))
		if err := c.Reboot(t.Context()); err != nil || !h.Rebooting() {
			t.Errorf("cut: %v", err)
		}
		// The host goes down while a second request waits for its answer.
		h.SetFault(once(apitest.OpReboot, apitest.Fault{Answer: apitest.Hang}))
		if err := c.Reboot(t.Context()); err != nil {
			t.Errorf("down while waiting: %v", err)
		}
		if err := c.Reboot(t.Context()); !errors.Is(err, apiclientx.ErrUnreachable) {
			t.Errorf("down: %v", err)
		}
	})
}

// The caller's context ends a call, and its error is the context's.
func TestContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		c := h.Listen().Client()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for op, call := range calls(c) {
			if err := call(ended); !errors.Is(err, context.Canceled) || errors.Is(err, apiclientx.ErrUnreachable) || errors.Is(err, apiclientx.ErrNoAnswer) {
				t.Errorf("%s, ended before: %v", op, err)
			}
			h.SetFault(once(op, apitest.Fault{Answer: apitest.Hang}))
			soon, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := call(soon); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, apiclientx.ErrNoAnswer) {
				t.Errorf("%s, ended meanwhile: %v", op, err)
			}
			cancel()
		}
	})
}

// answering returns a client of a server that reads a request and then does
// whatever serve does with the connection.
func answering(t *testing.T, serve func(net.Conn)) *apiclientx.Client {
	l := apitest.Listen()
	ended := make(chan struct{})
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			http.ReadRequest(bufio.NewReader(conn))
			serve(conn)
			conn.Close()
		}
	}()
	return &apiclientx.Client{Dial: l.Dial}
}

// Answers that are none.
func TestOddAnswers(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\n"
	tests := []struct {
		name, answer string
		fails        error // nil: the answer is good
		notAnswer    bool  // some error that is not ErrNoAnswer
	}{
		{name: "good", answer: head + "Content-Length: 22\r\n\r\n{\"version_id\":\"1.2.3\"}"},
		{name: "chunked", answer: head + "Transfer-Encoding: chunked\r\n\r\n16\r\n{\"version_id\":\"1.2.3\"}\r\n0\r\n\r\n"},
		{name: "until closed", answer: head + "\r\n{\"version_id\":\"1.2.3\"}"},
		{name: "unknown fields", answer: head + "\r\n{\"version_id\":\"1.2.3\",\"mood\":[1,{}]}"},
		{name: "no HTTP", answer: "SSH-2.0-OpenSSH_9.2\r\n", fails: apiclientx.ErrNoAnswer},
		{name: "empty", answer: "", fails: apiclientx.ErrNoAnswer},
		{name: "cut in the head", answer: "HTTP/1.1 200 OK\r\nConte", fails: apiclientx.ErrNoAnswer},
		{name: "cut in the body", answer: head + "Content-Length: 100\r\n\r\n{", fails: apiclientx.ErrNoAnswer},
		{name: "endless head", answer: head + "X: " + strings.Repeat("x", 2<<20), fails: apiclientx.ErrNoAnswer},
		{name: "endless body", answer: head + "\r\n" + strings.Repeat(" ", 2<<20), fails: apiclientx.ErrNoAnswer},
		{name: "no JSON", answer: head + "\r\n<html>", notAnswer: true},
		{name: "nothing in it", answer: head + "\r\n", notAnswer: true},
		{name: "wrong type", answer: head + "\r\n{\"version_id\":3}", notAnswer: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := answering(t, func(conn net.Conn) { io.WriteString(conn, tt.answer) })
				os, err := c.OS(t.Context())
				switch {
				case tt.fails != nil || tt.notAnswer:
					if err == nil || errors.Is(err, apiclientx.ErrNoAnswer) == tt.notAnswer || errors.Is(err, apiclientx.ErrUnreachable) {
						t.Errorf("error %v", err)
					}
				case err != nil || os.VersionID != "1.2.3":
					t.Errorf("%+v, %v", os, err)
				}
			})
		})
	}
}

// An answer that is none is no sign that the host is going down.
func TestRebootOddAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := answering(t, func(conn net.Conn) { io.WriteString(conn, "SSH-2.0-OpenSSH_9.2\r\n") })
		if err := c.Reboot(t.Context()); !errors.Is(err, apiclientx.ErrNoAnswer) {
			t.Errorf("error %v", err)
		}
	})
}

// A request on the wire, to the letter.
func TestRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := apitest.Listen()
		defer l.Close()
		got := make(chan string, 1)
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			var text strings.Builder
			for r := bufio.NewReader(conn); !strings.HasSuffix(text.String(), "\r\n\r\n"); {
				line, err := r.ReadString('\n')
				text.WriteString(line)
				if err != nil {
					break
				}
			}
			got <- text.String()
		}()
		c := &apiclientx.Client{Dial: l.Dial}
		c.Start(t.Context(), apiclientx.Prepare)
		want := "POST /actions/prepare-update HTTP/1.1\r\nHost: bottlerocket\r\nUser-Agent: drydock\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
		if text := <-got; text != want {
			t.Errorf("got %q\nwant %q", text, want)
		}
	})
}

// Whatever the API does, a call ends within its timeout.
func TestTimeout(t *testing.T) {
	stall := func(conn net.Conn) { io.Copy(io.Discard, conn) }
	tests := map[string]func(t *testing.T) *apiclientx.Client{
		"dial": func(*testing.T) *apiclientx.Client {
			return &apiclientx.Client{Dial: func(ctx context.Context) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}}
		},
		"write": func(t *testing.T) *apiclientx.Client {
			return &apiclientx.Client{Dial: func(ctx context.Context) (net.Conn, error) {
				here, there := net.Pipe()
				t.Cleanup(func() { there.Close() })
				return here, nil
			}}
		},
		"head": func(t *testing.T) *apiclientx.Client { return answering(t, stall) },
		"body": func(t *testing.T) *apiclientx.Client {
			return answering(t, func(conn net.Conn) {
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{")
				stall(conn)
			})
		},
		"trickle": func(t *testing.T) *apiclientx.Client {
			return answering(t, func(conn net.Conn) {
				io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
				for {
					if _, err := io.WriteString(conn, " "); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			})
		},
	}
	for name, open := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t)
				c.Timeout = 3 * time.Second
				want := apiclientx.ErrNoAnswer
				if name == "dial" || name == "write" {
					want = apiclientx.ErrUnreachable
				}
				start := time.Now()
				_, err := c.OS(t.Context())
				if !errors.Is(err, want) || time.Since(start) != 3*time.Second || !strings.Contains(err.Error(), "nothing within 3s") {
					t.Errorf("after %v: %v", time.Since(start), err)
				}
			})
		})
	}
}

// A long error body is cut.
func TestLongComplaint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.SetFault(func(string) apitest.Fault {
			return apitest.Fault{Answer: apitest.Say, Code: 500, Body: strings.Repeat("no ", 10_000)}
		})
		_, err := h.Listen().Client().OS(t.Context())
		if e, ok := errors.AsType[*apiclientx.StatusError](err); !ok || len(e.Body) > 1024 {
			t.Errorf("body of %d bytes", len(err.Error()))
		}
	})
}

// Do through the wire: what the scripted API of TestDo cannot show.
func TestDoThroughTheWire(t *testing.T) {
	tests := []struct {
		name  string
		op    string
		fault apitest.Fault
		want  error
	}{
		{"start cut after applying", "refresh-updates", apitest.Fault{Answer: apitest.Drop, Apply: true}, nil},
		{"start cut before applying", "refresh-updates", apitest.Fault{Answer: apitest.Drop}, apiclientx.ErrNoAnswer},
		{"start hangs after applying", "refresh-updates", apitest.Fault{Answer: apitest.Hang, Apply: true}, nil},
		{"child dies", "refresh-updates", apitest.Fault{Vanish: true}, apiclientx.ErrVanished},
		{"start refused as busy", "refresh-updates", apitest.Fault{Answer: apitest.Say, Code: 423}, nil},
		{"first look refused as busy", apitest.OpStatus, apitest.Fault{Answer: apitest.Say, Code: 423}, nil},
		{"first look broken", apitest.OpStatus, apitest.Fault{Answer: apitest.Say, Code: 500}, errServer},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t)
				h.SetFault(once(tt.op, tt.fault))
				status, err := h.Listen().Client().Do(t.Context(), apiclientx.Refresh)
				if tt.want == errServer {
					if e, ok := errors.AsType[*apiclientx.StatusError](err); !ok || e.Code != 500 {
						t.Errorf("error %v", err)
					}
				} else if !errors.Is(err, tt.want) {
					t.Errorf("error %v, want %v", err, tt.want)
				}
				if err == nil && status.State != apiclientx.Available {
					t.Errorf("status %+v", status)
				}
			})
		})
	}
}

var errServer = errors.New("a 500")

// A command that runs when the API stops is lost, and Do says so.
func TestAPIRestartsMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		c := h.Listen().Client()
		if _, err := c.Do(t.Context(), apiclientx.Refresh); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(7*time.Second, h.StopAPI)
		time.AfterFunc(12*time.Second, h.StartAPI)
		if _, err := c.Do(t.Context(), apiclientx.Prepare); !errors.Is(err, apiclientx.ErrVanished) {
			t.Errorf("restarted: %v", err)
		}
		time.AfterFunc(7*time.Second, h.StopAPI)
		if _, err := c.Do(t.Context(), apiclientx.Prepare); !errors.Is(err, apiclientx.ErrUnreachable) {
			t.Errorf("stopped: %v", err)
		}
	})
}

// On a real Unix socket.

func TestUnixSocket(t *testing.T) {
	h := newHost(t)
	h.SetLengths(apitest.Lengths{})
	path := t.TempDir() + "/api.sock"
	c := &apiclientx.Client{Socket: path, Poll: time.Millisecond, Timeout: 5 * time.Second}

	if _, err := c.OS(t.Context()); !errors.Is(err, apiclientx.ErrUnreachable) || !errors.Is(err, syscall.ENOENT) {
		t.Fatalf("no socket: %v", err)
	}
	door, err := h.ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, action := range []apiclientx.Action{apiclientx.Refresh, apiclientx.Prepare, apiclientx.Activate} {
		if _, err := c.Do(t.Context(), action); err != nil {
			t.Fatal(err)
		}
	}
	if os, err := door.Client().OS(t.Context()); err != nil || os.VersionID != "1.25.0" {
		t.Errorf("by the door's own client: %+v, %v", os, err)
	}

	// The API restarts. Whoever has the old inode, as a container's bind mount
	// does, is refused for ever; whoever goes by the path gets through.
	old := path + ".bind"
	if err := os.Link(path, old); err != nil {
		t.Fatal(err)
	}
	h.StopAPI()
	if _, err := c.OS(t.Context()); !errors.Is(err, apiclientx.ErrUnreachable) || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("stopped: %v", err)
	}
	h.StartAPI()
	if _, err := c.OS(t.Context()); err != nil {
		t.Errorf("started again: %v", err)
	}
	stale := &apiclientx.Client{Socket: old}
	if _, err := stale.OS(t.Context()); !errors.Is(err, apiclientx.ErrUnreachable) || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dead inode: %v", err)
	}

	h.SetFault(func(op string) apitest.Fault { return apitest.Fault{Answer: apitest.Drop} })
	if _, err := c.OS(t.Context()); !errors.Is(err, apiclientx.ErrNoAnswer) {
		t.Errorf("cut: %v", err)
	}
	if err := c.Reboot(t.Context()); err != nil {
		t.Errorf("reboot, cut: %v", err)
	}
	h.SetFault(nil)

	if booted := h.Boot(); booted.Version != "1.26.1" {
		t.Errorf("booted %+v", booted)
	}
	if os, err := c.OS(t.Context()); err != nil || os.VersionID != "1.26.1" {
		t.Errorf("after the boot: %+v, %v", os, err)
	}
	if err := door.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.OS(t.Context()); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("closed: %v", err)
	}
}

func TestUnixOddities(t *testing.T) {
	serve := func(t *testing.T, serve func(net.Conn)) *apiclientx.Client {
		path := t.TempDir() + "/api.sock"
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				serve(conn)
				conn.Close()
			}
		}()
		return &apiclientx.Client{Socket: path, Timeout: 100 * time.Millisecond}
	}
	request := func(conn net.Conn) { http.ReadRequest(bufio.NewReader(conn)) }

	t.Run("garbage", func(t *testing.T) {
		c := serve(t, func(conn net.Conn) { request(conn); fmt.Fprint(conn, "220 mail ready\r\n") })
		if _, err := c.OS(t.Context()); !errors.Is(err, apiclientx.ErrNoAnswer) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("silence", func(t *testing.T) {
		c := serve(t, func(conn net.Conn) { io.Copy(io.Discard, conn) })
		if err := c.Reboot(t.Context()); !errors.Is(err, apiclientx.ErrNoAnswer) {
			t.Errorf("error %v", err)
		}
	})
	// Closing with the request unread makes the kernel answer with a reset.
	t.Run("reset", func(t *testing.T) {
		c := serve(t, func(conn net.Conn) { conn.Read(make([]byte, 1)) })
		if _, err := c.OS(t.Context()); !errors.Is(err, apiclientx.ErrNoAnswer) || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("error %v", err)
		}
		if err := c.Reboot(t.Context()); err != nil {
			t.Errorf("reboot: %v", err)
		}
	})
	t.Run("plain file", func(t *testing.T) {
		path := t.TempDir() + "/api.sock"
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		c := &apiclientx.Client{Socket: path}
		if _, err := c.OS(t.Context()); !errors.Is(err, apiclientx.ErrUnreachable) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("nowhere to listen", func(t *testing.T) {
		if _, err := newHost(t).ListenUnix(t.TempDir() + "/none/api.sock"); err == nil {
			t.Error("no error")
		}
	})
}

// The zero value goes to the real socket.
func TestZeroValue(t *testing.T) {
	if _, err := os.Stat("/run/api.sock"); err == nil {
		t.Skip("this is a Bottlerocket host")
	}
	var c apiclientx.Client
	if _, err := c.OS(t.Context()); !errors.Is(err, apiclientx.ErrUnreachable) || !strings.Contains(err.Error(), "/run/api.sock") {
		t.Errorf("error %v", err)
	}
}
