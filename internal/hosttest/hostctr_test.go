package hosttest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The parts of host-ctr's stand-in, where no containerd can run. The first is
// what the unit starts; it starts the second, in namespaces of its own, which
// makes the mounts and becomes the image's program.
const (
	hostCtrRole   = "host-ctr"
	containerRole = "container"
)

// Where the machine under systemd has the test's files.
const (
	inside      = "/hosttest"
	insideRoot  = inside + "/root" // the image's files
	insideState = inside + "/local/host-containers/" + name
)

// hostCtr runs the host container until it ends. What the container writes
// goes through pipes: the container has neither the journal's stream nor its
// socket nor a word of either in its environment.
func hostCtr(args []string) int {
	fmt.Printf("time=%q level=info msg=%q\n", time.Now().UTC().Format(time.RFC3339), "Container started with PID 1")
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, "host-ctr:", err)
		return 1
	}
	cmd := exec.CommandContext(ctx, self, append([]string{containerRole}, args...)...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Stdout, cmd.Stderr = struct{ io.Writer }{os.Stdout}, struct{ io.Writer }{os.Stderr} // no *os.File, so a pipe
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	cmd.WaitDelay = stopTime // then SIGKILL
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS}
	err = cmd.Run()
	if cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, "host-ctr:", err)
		return 1
	}
	return cmd.ProcessState.ExitCode()
}

// container makes the host container's mounts and becomes the agent.
func container() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to ourselves: %w", err)
	}
	for _, m := range []struct{ from, to, kind string }{
		{insideRoot, "/", ""},
		{"proc", "/proc", "proc"},
		{"tmpfs", "/run", "tmpfs"},
		{"tmpfs", "/dev/shm", "tmpfs"},
		{inside + "/run/api.sock", "/run/api.sock", ""},
		{insideState, "/.bottlerocket/host-containers/current", ""},
		{inside + "/certs", certsFolder, ""},
		{"/etc/hosts", "/etc/hosts", ""},
	} {
		if err := bring(m.from, filepath.Join(insideRoot, m.to), m.kind); err != nil {
			return fmt.Errorf("mount %s: %w", m.to, err)
		}
	}
	if err := unix.Chroot(insideRoot); err != nil {
		return fmt.Errorf("change root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("go to the root: %w", err)
	}
	return unix.Exec("/drydock", []string{"/drydock", "agent"}, os.Environ())
}

// bring mounts a filesystem, or what is at another place.
func bring(from, to, kind string) error {
	var flags uintptr
	info, err := os.Stat(from)
	if kind == "" {
		flags = unix.MS_BIND | unix.MS_REC
	}
	switch {
	case kind != "" || err == nil && info.IsDir():
		err = os.MkdirAll(to, 0o755)
	case err == nil:
		err = errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, nil, 0o644))
	}
	if err != nil {
		return err
	}
	return unix.Mount(from, to, kind, flags, "")
}
