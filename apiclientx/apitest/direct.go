package apitest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/drydock-ecs/drydock/apiclientx"
)

// DirectClient does what apiclientx.Client does, without a wire: it calls the
// host. Its answers and errors are the same, and it takes the same time.
type DirectClient struct {
	host *Host
	// Poll and Timeout are those of apiclientx.Client.
	Poll, Timeout time.Duration
}

// Client returns a client without a wire.
func (h *Host) Client() *DirectClient { return &DirectClient{host: h} }

// OS returns the running operating system.
func (c *DirectClient) OS(ctx context.Context) (apiclientx.OS, error) {
	os, err := read[apiclientx.OS](ctx, c, "/os", OpOS)
	if err != nil {
		return os, fmt.Errorf("read OS: %w", err)
	}
	return os, nil
}

// Updates returns the update status.
func (c *DirectClient) Updates(ctx context.Context) (apiclientx.Status, error) {
	status, err := read[apiclientx.Status](ctx, c, "/updates/status", OpStatus)
	if err != nil {
		return status, fmt.Errorf("read update status: %w", err)
	}
	return status, nil
}

// Start starts an action.
func (c *DirectClient) Start(ctx context.Context, action apiclientx.Action) error {
	_, err := c.send(ctx, http.MethodPost, "/actions/"+string(action), string(action))
	return err
}

// Do starts an action and waits for its end: apiclientx.Do.
func (c *DirectClient) Do(ctx context.Context, action apiclientx.Action) (apiclientx.Status, error) {
	return apiclientx.Do(ctx, c, action, c.Poll)
}

// Reboot asks for a reboot.
func (c *DirectClient) Reboot(ctx context.Context) error {
	answer, err := c.send(ctx, http.MethodPost, "/actions/reboot", OpReboot)
	if err == nil || answer.cut {
		return nil
	}
	return fmt.Errorf("request reboot: %w", err)
}

func read[T any](ctx context.Context, c *DirectClient, path, op string) (T, error) {
	var zero, value T
	answer, err := c.send(ctx, http.MethodGet, path, op)
	if err != nil {
		return zero, err
	}
	if doc, ok := answer.doc.(T); ok {
		return doc, nil
	}
	// A fault said 200 with a body of its own.
	if err := json.Unmarshal([]byte(answer.body), &value); err != nil {
		return zero, fmt.Errorf("GET %s: %w", path, err)
	}
	return value, nil
}

// send is the wire that is not there: it gives the errors that apiclientx.Client
// would see through it.
func (c *DirectClient) send(ctx context.Context, method, path, op string) (answer, error) {
	var got answer
	var err error
	timeout := cmp.Or(c.Timeout, 10*time.Second)
	call, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("nothing within %v", timeout))
	defer cancel()
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case !c.host.reachable():
		err = fmt.Errorf("%w: %w", apiclientx.ErrUnreachable, refused())
	default:
		got, err = c.ask(ctx, call, op)
	}
	if err != nil {
		return got, fmt.Errorf("%s %s: %w", method, path, err)
	}
	want := http.StatusOK
	if method == http.MethodPost {
		want = http.StatusNoContent
	}
	if got.code != want {
		return got, apiclientx.NewStatusError(method, path, got.code, got.body)
	}
	return got, nil
}

func (c *DirectClient) ask(ctx, call context.Context, op string) (answer, error) {
	got := c.host.call(call, op)
	if late := cmp.Or(ctx.Err(), context.Cause(call)); late != nil {
		return answer{}, fmt.Errorf("%w: %w", apiclientx.ErrNoAnswer, late)
	}
	if got.cut {
		return got, fmt.Errorf("%w: %w", apiclientx.ErrNoAnswer, io.ErrUnexpectedEOF)
	}
	return got, nil
}
