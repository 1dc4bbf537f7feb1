package kernel

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drydock-ecs/drydock/agent"
)

func TestBoot(t *testing.T) {
	file := filepath.Join(t.TempDir(), "boot_id")
	k := New(file)
	if _, err := k.Boot(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
	for _, bad := range []string{"", "\n", "a b", "a\nb", strings.Repeat("a", 129)} {
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if boot, err := k.Boot(); err == nil {
			t.Errorf("%q is taken as the boot %+v", bad, boot)
		}
	}
	const id = "e4b1c9d2-6a0f-4b7e-9a53-0d6f2a1c8b77"
	if err := os.WriteFile(file, []byte(id+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	first, err := k.Boot()
	if err != nil || first.ID != id || first.Uptime <= 0 {
		t.Fatalf("boot is %+v, %v", first, err)
	}
	second, err := k.Boot()
	if err != nil || second.Uptime < first.Uptime || second.Uptime > first.Uptime+time.Hour {
		t.Errorf("boot is then %+v, %v", second, err)
	}
}

func TestBootOfThisKernel(t *testing.T) {
	boot, err := New("/proc/sys/kernel/random/boot_id").Boot()
	if err != nil || len(boot.ID) != 36 {
		t.Fatalf("boot is %+v, %v", boot, err)
	}
	data, err := os.ReadFile("/proc/uptime")
	if err != nil {
		t.Skip(err)
	}
	var seconds float64
	if _, err := fmt.Sscan(string(data), &seconds); err != nil {
		t.Fatal(err)
	}
	if far := boot.Uptime - time.Duration(seconds*float64(time.Second)); far.Abs() > time.Minute {
		t.Errorf("uptime is %s from /proc/uptime", far)
	}
}

// instance is a name that no other run of the tests uses.
func instance(t *testing.T) string { return fmt.Sprintf("i-%s-%d", t.Name(), os.Getpid()) }

func TestClaim(t *testing.T) {
	k, name := New(""), instance(t)
	for range 2 {
		if err := k.Claim(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := New("").Claim(name); !errors.Is(err, agent.ErrClaimed) {
		t.Errorf("a second claim: %v", err)
	}
	if err := New("").Claim(name + "-other"); err != nil {
		t.Errorf("another instance: %v", err)
	}
	if err := k.Claim(name + "-third"); err == nil || errors.Is(err, agent.ErrClaimed) {
		t.Errorf("another instance by the same process: %v", err)
	}
	runtime.GC()
	if err := New("").Claim(name); !errors.Is(err, agent.ErrClaimed) {
		t.Errorf("after a collection: %v", err)
	}
	runtime.KeepAlive(k)
}

func TestClaimWithoutAbstractSockets(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EPERM, syscall.EACCES, syscall.EAFNOSUPPORT} {
		var asked []string
		forbidden := func() *Kernel {
			k := New("")
			k.listen = func(network, address string) (net.Listener, error) {
				asked = append(asked, network)
				if network == "unix" {
					return nil, &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", errno)}
				}
				return net.Listen(network, address)
			}
			return k
		}
		name := instance(t) + errno.Error()
		if err := forbidden().Claim(name); err != nil {
			t.Fatalf("%v: %v", errno, err)
		}
		if err := forbidden().Claim(name); !errors.Is(err, agent.ErrClaimed) {
			t.Errorf("%v: a second claim: %v", errno, err)
		}
		if err := forbidden().Claim(name + "-other"); err != nil {
			t.Errorf("%v: another instance: %v", errno, err)
		}
		if got := strings.Join(asked, " "); got != "unix tcp4 unix tcp4 unix tcp4" {
			t.Errorf("%v: asked for %s", errno, got)
		}
	}
	k := New("")
	k.listen = func(string, string) (net.Listener, error) { return nil, syscall.EMFILE }
	if err := k.Claim("i-1"); !errors.Is(err, syscall.EMFILE) {
		t.Errorf("without file descriptors: %v", err)
	}
}

func TestLoopback(t *testing.T) {
	seen := map[string]bool{}
	for i := range 1000 {
		address := loopback(fmt.Sprintf("i-%017x", i))
		host, _, err := net.SplitHostPort(address)
		if err != nil || !net.ParseIP(host).IsLoopback() || strings.HasPrefix(host, "127.0.") {
			t.Fatalf("%s, %v", address, err)
		}
		seen[address] = true
	}
	if len(seen) != 1000 {
		t.Errorf("1000 instances have %d addresses", len(seen))
	}
}

// Between processes: a child cannot have what the parent has; the parent cannot
// have what a child has, and can as soon as the child was killed.
func TestClaimBetweenProcesses(t *testing.T) {
	if name := os.Getenv("KERNEL_TEST_CLAIM"); name != "" {
		fmt.Println("claim:", New("").Claim(name))
		_, _ = io.Copy(io.Discard, os.Stdin) // until the parent closes it, or kills us
		return
	}
	child := func(name string) (answer string, kill func()) {
		cmd := exec.Command(os.Args[0], "-test.run=^TestClaimBetweenProcesses$")
		cmd.Env = append(os.Environ(), "KERNEL_TEST_CLAIM="+name)
		in, err1 := cmd.StdinPipe()
		out, err2 := cmd.StdoutPipe()
		if err := errors.Join(err1, err2, cmd.Start()); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(line), func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			_ = in.Close()
		}
	}
	name, k := instance(t), New("")
	if err := k.Claim(name); err != nil {
		t.Fatal(err)
	}
	answer, kill := child(name)
	kill()
	if want := "claim: claim host: " + agent.ErrClaimed.Error(); answer != want {
		t.Errorf("the child has %q", answer)
	}
	answer, kill = child(name + "-child")
	if answer != "claim: <nil>" {
		t.Errorf("the child has %q", answer)
	}
	parent := New("")
	if err := parent.Claim(name + "-child"); !errors.Is(err, agent.ErrClaimed) {
		t.Errorf("while the child lives: %v", err)
	}
	kill()
	if err := parent.Claim(name + "-child"); err != nil {
		t.Errorf("after the child was killed: %v", err)
	}
	runtime.KeepAlive(k)
}
