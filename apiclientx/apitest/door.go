package apitest

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/drydock-ecs/drydock/apiclientx"
)

// call serves one request behind the fault hook.
func (h *Host) call(ctx context.Context, op string) answer {
	h.mu.Lock()
	hook, gone := h.fault, h.gone
	h.mu.Unlock()
	var fault Fault
	if hook != nil {
		fault = hook(op)
	}
	if fault.Delay > 0 && !pause(ctx, gone, fault.Delay) {
		return answer{cut: true}
	}
	if fault.Answer == Truth {
		return h.apply(op, fault)
	}
	if fault.Apply {
		h.apply(op, fault)
	}
	switch fault.Answer {
	case Say:
		return answer{code: cmp.Or(fault.Code, http.StatusInternalServerError), body: fault.Body}
	case Hang:
		select {
		case <-ctx.Done():
		case <-gone:
		}
	}
	return answer{cut: true}
}

// pause waits, and says whether it came to its end.
func pause(ctx context.Context, gone <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-gone:
	}
	return false
}

// reachable says whether somebody answers.
func (h *Host) reachable() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.up()
}

// Listener is a listener on memory pipes, which a synctest bubble can see
// through.
type Listener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

// Listen returns a listener whose Dial is for apiclientx.Client.Dial.
func Listen() *Listener {
	return &Listener{conns: make(chan net.Conn), done: make(chan struct{})}
}

// Dial connects to the listener. Once it is closed the connection is refused.
func (l *Listener) Dial(ctx context.Context) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.done:
		return nil, refused()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func refused() error {
	return &net.OpError{Op: "dial", Net: "memory", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}

// Accept waits for the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and refuses Dial.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr names the listener.
func (l *Listener) Addr() net.Addr { return memory{} }

type memory struct{}

func (memory) Network() string { return "memory" }
func (memory) String() string  { return "memory" }

// Door is an HTTP server of a host's API that follows the host: while the API
// is down connections are refused and those that were open are cut.
type Door struct {
	host   *Host
	listen func() (net.Listener, error)
	dial   func(ctx context.Context, l net.Listener) (net.Conn, error)
	path   string // of the Unix socket, or ""

	mu       sync.Mutex
	closed   bool
	server   *http.Server // nil while the API is down
	listener net.Listener
	err      error
}

// Listen opens a door of the host on memory pipes.
func (h *Host) Listen() *Door {
	d := &Door{
		host:   h,
		listen: func() (net.Listener, error) { return Listen(), nil },
		dial: func(ctx context.Context, l net.Listener) (net.Conn, error) {
			return l.(*Listener).Dial(ctx)
		},
	}
	h.open(d)
	return d
}

// ListenUnix opens a door of the host on the Unix socket path. While the API is
// down the socket's file stays and refuses; when it comes up again the file is
// replaced by a new one, as the real API does.
func (h *Host) ListenUnix(path string) (*Door, error) {
	d := &Door{
		host:   h,
		path:   path,
		listen: func() (net.Listener, error) { return listenUnix(path) },
		dial: func(ctx context.Context, _ net.Listener) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}
	if err := h.open(d); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func listenUnix(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	return l, nil
}

func (h *Host) open(d *Door) error {
	h.mu.Lock()
	h.doors[d] = true
	h.mu.Unlock()
	d.sync()
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

// sync makes the door what the host is: up or down. It may be called at any
// time, in any order.
func (d *Door) sync() {
	d.mu.Lock()
	defer d.mu.Unlock()
	up := d.host.reachable() && !d.closed
	switch {
	case up && d.server == nil:
		d.start()
	case !up && d.server != nil:
		d.server.Close()
		d.server, d.listener = nil, nil
	}
}

func (d *Door) start() {
	listener, err := d.listen()
	if err != nil {
		d.err = err
		return
	}
	d.server = &http.Server{Handler: d.host.Handler()}
	d.listener = listener
	go d.server.Serve(listener)
}

// Dial connects through the door; it is for apiclientx.Client.Dial.
func (d *Door) Dial(ctx context.Context) (net.Conn, error) {
	d.mu.Lock()
	listener := d.listener
	d.mu.Unlock()
	if listener == nil {
		return nil, refused()
	}
	return d.dial(ctx, listener)
}

// Client returns a client that comes in by the door.
func (d *Door) Client() *apiclientx.Client { return &apiclientx.Client{Dial: d.Dial} }

// Close closes the door for good, and removes the socket's file. Its error is
// that of the last attempt to listen again, if it failed.
func (d *Door) Close() error {
	d.host.mu.Lock()
	delete(d.host.doors, d)
	d.host.mu.Unlock()
	d.mu.Lock()
	d.closed = true
	err := d.err
	d.mu.Unlock()
	d.sync()
	if d.path != "" {
		os.Remove(d.path)
	}
	return err
}

// Serve serves the host's API on a listener of the caller's until that is
// closed. While the API is down it cuts connections instead of refusing them.
func (h *Host) Serve(l net.Listener) error {
	return http.Serve(l, h.Handler())
}
