package apiclientx

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"
)

// The routes that the program uses.
const (
	osPath       = "/os"
	statusPath   = "/updates/status"
	settingsPath = "/settings"
	actionsPath  = "/actions/"
	rebootPath   = actionsPath + "reboot"
)

const (
	defaultSocket  = "/run/api.sock"
	defaultPoll    = 5 * time.Second
	defaultTimeout = 10 * time.Second

	// maxAnswer bounds an answer, head and body. The longest, the status with
	// a few hundred releases, has a few kilobytes.
	maxAnswer = 1 << 20
	// maxComplaint bounds the part of an error body that is kept.
	maxComplaint = 1 << 10
)

// Client talks to the Bottlerocket API. Its zero value works; it may be used
// from several goroutines. Set the fields before the first use.
type Client struct {
	// Socket is the path of the API's Unix socket; "" means /run/api.sock.
	Socket string
	// Dial opens a connection to the API, instead of one to Socket.
	Dial func(ctx context.Context) (net.Conn, error)
	// Poll is the time between two looks at an API that is busy; 0 means 5 s.
	// Shorter is unkind: a look takes a shared lock that keeps commands out.
	Poll time.Duration
	// Timeout bounds a call, from dialing to the last byte; 0 means 10 s. The
	// API has one worker thread, so a call may have to wait for another's.
	Timeout time.Duration
}

// OS returns the running operating system.
func (c *Client) OS(ctx context.Context) (OS, error) {
	var os OS
	if err := c.get(ctx, osPath, &os); err != nil {
		return OS{}, fmt.Errorf("read OS: %w", err)
	}
	return os, nil
}

// Updates returns the update status. It fails with ErrBusy while a command
// runs, and with ErrUninitialized before the first refresh of a boot.
func (c *Client) Updates(ctx context.Context) (Status, error) {
	var status Status
	if err := c.get(ctx, statusPath, &status); err != nil {
		return Status{}, fmt.Errorf("read update status: %w", err)
	}
	return status, nil
}

// Start starts an action. No error means that it was accepted and runs; how it
// ends is for Updates to tell. It fails with ErrBusy, ErrRefused or ErrNothing.
func (c *Client) Start(ctx context.Context, action Action) error {
	_, err := c.send(ctx, http.MethodPost, actionsPath+string(action))
	return err
}

// Do starts an action, waits for its end and returns the status after it; see
// the function [Do].
func (c *Client) Do(ctx context.Context, action Action) (Status, error) {
	return Do(ctx, c, action, c.Poll)
}

// Reboot asks for a reboot. No error means only that it was asked for: the
// host goes down seconds or, with delay inhibitors, minutes later. A
// connection cut after the request was sent is the host going down, and no
// error. A StatusError with code 500 says that an inhibitor blocks the reboot or
// that it failed; ErrUnreachable, that nothing was asked; ErrNoAnswer, that a
// reboot may come.
func (c *Client) Reboot(ctx context.Context) error {
	_, err := c.send(ctx, http.MethodPost, rebootPath)
	if err == nil || wasCut(err) {
		return nil
	}
	return fmt.Errorf("request reboot: %w", err)
}

// wasCut says that the other end hung up after it had got the request.
func wasCut(err error) bool {
	if !errors.Is(err, ErrNoAnswer) {
		return false
	}
	for _, hangup := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, hangup) {
			return true
		}
	}
	return false
}

// Settings returns the settings whose keys begin with prefix ("updates",
// "ecs.cluster"), as a tree without the outer "settings"; all of them for the
// prefix "". A prefix that matches nothing gives an empty map.
func (c *Client) Settings(ctx context.Context, prefix string) (map[string]json.RawMessage, error) {
	path := settingsPath
	if prefix != "" {
		path += "?prefix=" + url.QueryEscape(prefix)
	}
	tree := map[string]json.RawMessage{}
	if err := c.get(ctx, path, &tree); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	return tree, nil
}

// UpdateSettings returns settings.updates (seed, version-lock, ignore-waves
// and others) as text: strings bare, everything else as JSON.
func (c *Client) UpdateSettings(ctx context.Context) (map[string]string, error) {
	tree, err := c.Settings(ctx, "updates")
	if err != nil {
		return nil, err
	}
	updates := map[string]json.RawMessage{}
	if raw, ok := tree["updates"]; ok {
		if err := json.Unmarshal(raw, &updates); err != nil {
			return nil, fmt.Errorf("read settings: updates: %w", err)
		}
	}
	texts := make(map[string]string, len(updates))
	for key, raw := range updates {
		var text string
		if json.Unmarshal(raw, &text) != nil {
			text = string(raw)
		}
		texts[key] = text
	}
	return texts, nil
}

// ECSCluster returns settings.ecs.cluster, the name of the ECS cluster that
// the host is told to join, or "" when it is not set.
func (c *Client) ECSCluster(ctx context.Context) (string, error) {
	tree, err := c.Settings(ctx, "ecs.cluster")
	if err != nil {
		return "", err
	}
	var ecs struct {
		Cluster string `json:"cluster"`
	}
	if raw, ok := tree["ecs"]; ok {
		if err := json.Unmarshal(raw, &ecs); err != nil {
			return "", fmt.Errorf("read settings: ecs.cluster: %w", err)
		}
	}
	return ecs.Cluster, nil
}

// get reads one JSON document. Unknown fields are passed over: a later release
// of the host may have more.
func (c *Client) get(ctx context.Context, path string, into any) error {
	body, err := c.send(ctx, http.MethodGet, path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}

// send makes one request on a connection of its own and returns the answer's
// body. The server closes idle connections after 5 s, so a kept one would now and
// then be dead when a POST needs it, and a POST must not be sent twice.
//
// The error says how far the request got: ErrUnreachable when it did not get
// out, ErrNoAnswer when it did and no whole answer came back, a StatusError when
// the answer is not the wanted one. A request that never got out because ctx
// ended is none of these.
func (c *Client) send(ctx context.Context, method, path string) ([]byte, error) {
	timeout := cmp.Or(c.Timeout, defaultTimeout)
	call, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("nothing within %v", timeout))
	defer cancel()
	code, body, err := c.exchange(ctx, call, method, path)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if code != wanted(method) {
		text := bytes.TrimSpace(body[:min(len(body), maxComplaint)])
		return nil, NewStatusError(method, path, code, string(text))
	}
	return body, nil
}

// wanted is the one status code that means yes.
func wanted(method string) int {
	if method == http.MethodPost {
		return http.StatusNoContent
	}
	return http.StatusOK
}

// exchange writes a request and reads its answer, within call, which is ctx
// with the call's own deadline.
func (c *Client) exchange(ctx, call context.Context, method, path string) (int, []byte, error) {
	if ctx.Err() != nil {
		return 0, nil, ctx.Err()
	}
	conn, err := c.dial(call)
	if err != nil {
		return 0, nil, unsent(ctx, call, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(call, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	request, err := http.NewRequestWithContext(call, method, "http://bottlerocket"+path, nil)
	if err != nil {
		return 0, nil, err
	}
	request.Close = true
	request.Header.Set("User-Agent", "drydock")
	if err := request.Write(conn); err != nil {
		return 0, nil, unsent(ctx, call, err)
	}
	// From here on the request may take effect, whatever becomes of the answer.
	code, body, err := receive(conn, request)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", ErrNoAnswer, cmp.Or(ctx.Err(), context.Cause(call), err))
	}
	return code, body, nil
}

// unsent is the error of a request that did not get out.
func unsent(ctx, call context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, cmp.Or(context.Cause(call), err))
}

func receive(conn net.Conn, request *http.Request) (int, []byte, error) {
	bounded := http.MaxBytesReader(nil, conn, maxAnswer)
	response, err := http.ReadResponse(bufio.NewReader(bounded), request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, body, err
}

func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	if c.Dial != nil {
		return c.Dial(ctx)
	}
	return new(net.Dialer).DialContext(ctx, "unix", cmp.Or(c.Socket, defaultSocket))
}
