package hosttest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// restartDelay stands for the 45 s after which systemd starts a host container
// again.
const restartDelay = time.Second

// memoryLimit is four times what the agent should need. Bottlerocket sets none.
const memoryLimit = 64 << 20

// unit is host-containers@drydock.service: it keeps one host container running
// until it is told to stop.
type unit struct {
	t      *testing.T
	host   *host
	ctr    *containerd
	extra  []string // more options for ctr run, after those of host-ctr
	mounts []mount

	stdout, stderr output

	mu    sync.Mutex
	run   *exec.Cmd
	exits []int         // codes of the runs that have ended
	stops chan struct{} // closed by stop
	ended chan struct{} // closed when nothing runs any more
}

// mount is a bind mount of a host container.
type mount struct{ from, to, options string }

// newUnit defines the unit with the mounts that host-ctr makes; ctr itself
// mounts /etc/hosts and /etc/resolv.conf with the host's network. It starts
// nothing.
func newUnit(h *host, c *containerd) *unit {
	u := &unit{t: h.t, host: h, ctr: c, mounts: []mount{
		{h.state(), "/.bottlerocket/host-containers/" + name, "rbind:rw"},
		{h.state(), "/.bottlerocket/host-containers/current", "rbind:rw"},
		{h.socket(), "/run/api.sock", "bind:rw"},
		{h.path("apiclient"), "/usr/local/bin/apiclient", "bind:ro"},
		{h.path("etc/os-release"), "/etc/bottlerocket-release", "bind:ro"},
		{h.path("certs"), certsFolder, "bind:ro"},
		{h.path("inventory/application.json"), "/var/lib/bottlerocket/inventory/application.json", "bind:ro"},
		{h.path("support"), "/.bottlerocket/support", "bind:ro"},
	}}
	h.t.Cleanup(func() {
		u.stop()
		if h.t.Failed() {
			h.t.Logf("stdout of the host container:\n%s\nits stderr:\n%s", u.stdout.String(), u.stderr.String())
		}
	})
	return u
}

const certsFolder = "/.bottlerocket/certs"

// userData gives the host container its user-data as the settings have it, in
// base64; what the host writes is decoded.
func (u *unit) userData(encoded string) {
	u.t.Helper()
	data, err := base64.StdEncoding.DecodeString(encoded)
	u.host.must(err)
	u.host.must(os.WriteFile(filepath.Join(u.host.state(), "user-data"), data, 0o644))
}

func encoded(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// args are those of ctr run. What ctr gives a container by itself is what
// host-ctr starts from: namespaces, 14 capabilities, no new privileges, /run
// and /dev of its own, /proc and /sys masked.
func (u *unit) args() []string {
	args := u.ctr.args("run", "--rm", "--snapshotter", snapshotter, "--pid-file", u.host.path("pid"),
		"--net-host", "--seccomp", "--memory-limit", strconv.Itoa(memoryLimit),
		"--env", "NO_PROXY=localhost,127.0.0.1", "--env", "no_proxy=localhost,127.0.0.1",
		"--mount", "type=cgroup,src=cgroup,dst=/sys/fs/cgroup,options=ro")
	for _, m := range u.mounts {
		args = append(args, "--mount", fmt.Sprintf("type=bind,src=%s,dst=%s,options=%s:rprivate", m.from, m.to, m.options))
	}
	return append(append(args, u.extra...), imageName, name)
}

// start starts the unit.
func (u *unit) start() {
	u.stops, u.ended = make(chan struct{}), make(chan struct{})
	go u.keep(u.stops, u.ended)
}

// keep runs the container again and again.
func (u *unit) keep(stops, ended chan struct{}) {
	defer close(ended)
	for {
		u.ctr.remove(name)
		_ = os.Remove(u.host.path("pid"))
		run := exec.Command("ctr", u.args()...)
		run.Stdout, run.Stderr = &u.stdout, &u.stderr
		u.mu.Lock()
		err := run.Start()
		u.run = run
		u.mu.Unlock()
		if err != nil {
			fmt.Fprintln(&u.stderr, "start ctr:", err)
			return
		}
		_ = run.Wait() // the code says how
		u.mu.Lock()
		u.exits = append(u.exits, run.ProcessState.ExitCode())
		u.mu.Unlock()
		select {
		case <-stops:
			return
		case <-time.After(restartDelay):
		}
	}
}

// stop stops the unit as host-ctr does: SIGTERM to the container's process,
// SIGKILL after 20 s. It returns the time that passed and whether it had to
// kill.
func (u *unit) stop() (took time.Duration, killed bool) {
	if u.stops == nil {
		return 0, false
	}
	began := time.Now()
	close(u.stops)
	u.stops = nil
	u.mu.Lock()
	_ = u.run.Process.Signal(unix.SIGTERM) // ctr passes it on
	u.mu.Unlock()
	select {
	case <-u.ended:
	case <-time.After(stopTime):
		killed = true
		u.ctr.run("task", "kill", "--signal", "SIGKILL", name)
		<-u.ended
	}
	u.ctr.remove(name)
	return time.Since(began), killed
}

// pid is the agent's process, 0 while there is none.
func (u *unit) pid() int {
	text, _ := os.ReadFile(u.host.path("pid"))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	if program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); pid == 0 || err != nil || filepath.Base(program) != "drydock" {
		return 0 // not there yet, or runc still prepares it
	}
	return pid
}

// awaitStart waits until the agent's process runs the agent, and returns when
// that was, give or take a few milliseconds.
func (u *unit) awaitStart() (pid int, at time.Time) {
	u.t.Helper()
	until(u.t, patience, "the agent's process runs", func() bool {
		at = time.Now()
		pid = u.pid()
		return pid > 0
	})
	return pid, at
}

// codes are the exit codes so far.
func (u *unit) codes() []int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]int(nil), u.exits...)
}

// output is what a container wrote.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
