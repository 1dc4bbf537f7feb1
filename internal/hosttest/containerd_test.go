package hosttest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// imageName is how the image is called in containerd.
const imageName = "drydock.test/drydock:test"

// containerd is a daemon of the test's own, as host-containerd is one of
// Bottlerocket's own: a socket, a root and a state apart from all others.
type containerd struct {
	t   *testing.T
	dir string
}

// newContainerd starts a daemon and gives it the image.
func newContainerd(t *testing.T) *containerd {
	t.Helper()
	dir, err := os.MkdirTemp("/run", "hosttest-") // a Unix socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	c := &containerd{t, dir}
	config := fmt.Sprintf("version = 2\nroot = %q\nstate = %q\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = %q\n",
		filepath.Join(t.TempDir(), "root"), filepath.Join(dir, "state"), c.socket())
	file := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	daemon := exec.Command("containerd", "--config", file, "--log-level", "warn")
	daemon.Stdout, daemon.Stderr = &log, &log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = daemon.Process.Signal(os.Interrupt)
		_ = daemon.Wait() // how it ended is of no interest
		if t.Failed() {
			t.Logf("containerd:\n%s", log.Bytes())
		}
		_ = os.RemoveAll(dir)
		removeCgroups()
	})
	until(t, patience, "containerd answers", func() bool { return exec.Command("ctr", c.args("version")...).Run() == nil })
	c.run("image", "import", "--base-name", "drydock.test/drydock", "--index-name", imageName, "--snapshotter", snapshotter, os.Getenv(imageEnv))
	return c
}

// snapshotter copies folders, which works on every filesystem.
const snapshotter = "native"

func (c *containerd) socket() string { return filepath.Join(c.dir, "containerd.sock") }

// args are those of ctr, in the namespace that host-ctr uses.
func (c *containerd) args(more ...string) []string {
	return append([]string{"--address", c.socket(), "--namespace", "default"}, more...)
}

func (c *containerd) run(args ...string) string {
	c.t.Helper()
	out, err := exec.Command("ctr", c.args(args...)...).CombinedOutput()
	if err != nil {
		c.t.Fatalf("ctr %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// remove takes away what a container that was killed left behind.
func (c *containerd) remove(container string) {
	for _, args := range [][]string{{"task", "rm", "--force", container}, {"container", "rm", container}, {"snapshot", "--snapshotter", snapshotter, "rm", container}} {
		_ = exec.Command("ctr", c.args(args...)...).Run() // most often there is none
	}
}

// removeCgroups takes away the cgroups that stood above the containers', which
// runc leaves. Those of somebody else are not empty, and stay.
func removeCgroups() {
	for _, pattern := range []string{"/sys/fs/cgroup/default", "/sys/fs/cgroup/*/default"} {
		folders, _ := filepath.Glob(pattern)
		for _, folder := range folders {
			_ = os.Remove(folder)
		}
	}
}

// stopTime is the time between SIGTERM and SIGKILL.
const stopTime = 20 * time.Second
