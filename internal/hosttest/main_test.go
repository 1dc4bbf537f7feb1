package hosttest

import (
	"fmt"
	"net"
	"os"
	"testing"
	"time"
)

// imageEnv names the OCI archive with the image to test.
const imageEnv = "DRYDOCK_HOST_IMAGE"

// patience is the longest time to wait for anything but the dead socket.
const patience = 60 * time.Second

func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 1 && os.Args[1] == hostCtrRole:
		os.Exit(hostCtr(os.Args[2:]))
	case len(os.Args) > 1 && os.Args[1] == containerRole:
		fmt.Fprintln(os.Stderr, "host-ctr:", container()) // it returns only when it fails
		os.Exit(1)
	}
	if os.Getenv(imageEnv) == "" {
		fmt.Println("these tests need root and the image: make test-host")
		os.Exit(0)
	}
	if err := alone(); err != nil {
		fmt.Println("refusing to run:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// alone fails where the network reaches further than this machine: the tests
// take AWS's names and addresses for themselves.
func alone() error {
	interfaces, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("list network interfaces: %w", err)
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagLoopback == 0 && i.Flags&net.FlagUp != 0 {
			return fmt.Errorf("interface %s is up: run me by make test-host", i.Name)
		}
	}
	return nil
}

// until waits until something is so. what says what that is.
func until(t *testing.T, within time.Duration, what string, so func() bool) {
	t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	over := time.After(within)
	for !so() {
		select {
		case <-look.C:
		case <-over:
			t.Fatalf("still not so after %v: %s", within, what)
		}
	}
}
