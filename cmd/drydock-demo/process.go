package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// process is one run of a host's agent.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and all it wrote was read
}

// startProcess runs a program, whose lines go to line, from both streams.
func startProcess(path string, args, env []string, line func(string)) (*process, error) {
	out := &lines{tell: line}
	cmd := exec.Command(path, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, out, out
	cmd.WaitDelay = time.Second // should a child of its own hold on to the streams
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	p := &process{cmd, make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended is of no interest: only that it did
		out.flush()
		close(p.done)
	}()
	return p, nil
}

// terminate asks the process to end.
func (p *process) terminate() { _ = p.cmd.Process.Signal(syscall.SIGTERM) }

// kill ends it by force, and says whether it was there to be killed.
func (p *process) kill() bool { return p.cmd.Process.Signal(os.Kill) == nil }

// end is a shutdown: SIGTERM, patience, SIGKILL. It returns when the process
// is gone.
func (p *process) end(patience time.Duration) {
	p.terminate()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		p.kill()
		<-p.done
	}
}

// lines cuts a stream into lines.
type lines struct {
	tell func(string)

	mu   sync.Mutex
	rest []byte
}

// Write takes the next piece of the stream.
func (l *lines) Write(piece []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, piece...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok {
			return len(piece), nil
		}
		l.tell(string(line))
		l.rest = rest
	}
}

// flush tells what is left of a stream that ended within a line.
func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.rest) > 0 {
		l.tell(string(l.rest))
	}
	l.rest = nil
}
