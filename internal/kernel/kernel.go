// Package kernel asks the host's kernel which boot this is and makes the
// process the one agent of the host.
package kernel

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"

	"github.com/drydock-ecs/drydock/agent"
)

// claimPort is the port of the claim where there are no abstract sockets. It
// lies below the range from which the kernel picks ports of its own.
const claimPort = 17717

// Kernel is the kernel under this process. New makes one.
type Kernel struct {
	bootID string
	listen func(network, address string) (net.Listener, error)

	mu      sync.Mutex
	claimed string
	claim   net.Listener // kept reachable, or the collector would close it
}

// New returns the kernel whose boot id is read from a file, as a rule
// /proc/sys/kernel/random/boot_id.
func New(bootIDFile string) *Kernel {
	return &Kernel{bootID: bootIDFile, listen: net.Listen}
}

// Boot returns the id of this boot and the time since it, counting the time
// that the machine slept. The uptime is the kernel's own, also where the id
// comes from another file.
func (k *Kernel) Boot() (agent.Boot, error) {
	data, err := os.ReadFile(k.bootID)
	if err != nil {
		return agent.Boot{}, fmt.Errorf("read boot id: %w", err)
	}
	id := strings.TrimSpace(string(data))
	if id == "" || len(id) > 128 || strings.ContainsAny(id, " \t\r\n\x00") {
		return agent.Boot{}, fmt.Errorf("read boot id: %s holds no id", k.bootID)
	}
	up, err := uptime()
	if err != nil {
		return agent.Boot{}, fmt.Errorf("read uptime: %w", err)
	}
	return agent.Boot{ID: id, Uptime: up}, nil
}

// Claim makes this process the one agent of the instance, for the rest of its
// life. It binds the abstract Unix socket @drydock/<instance>, which the
// kernel gives back when the process is gone, however it went: nothing is left
// to clean up and nothing can be stale. Host containers share the host's
// network namespace, in which such names live. Where abstract sockets are not
// allowed it binds a loopback address that is derived from the instance.
//
// It fails with agent.ErrClaimed while another process has the claim. Claimed
// again by the same Kernel it is still claimed.
func (k *Kernel) Claim(instance string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.claim != nil && k.claimed == instance {
		return nil
	}
	if k.claim != nil {
		return fmt.Errorf("claim host: %s was claimed before %s", k.claimed, instance)
	}
	listener, err := k.listen("unix", "@drydock/"+instance)
	if err != nil && !errors.Is(err, syscall.EADDRINUSE) && unavailable(err) {
		listener, err = k.listen("tcp4", loopback(instance))
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("claim host: %w", agent.ErrClaimed)
	}
	if err != nil {
		return fmt.Errorf("claim host: %w", err)
	}
	k.claimed, k.claim = instance, listener
	return nil
}

// unavailable reports whether this kernel, or its security policy, has no
// abstract sockets for us.
func unavailable(err error) bool {
	for _, errno := range []syscall.Errno{syscall.EPERM, syscall.EACCES, syscall.EINVAL,
		syscall.EAFNOSUPPORT, syscall.EPROTONOSUPPORT, syscall.EOPNOTSUPP, syscall.ENOENT} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// loopback is an address of 127.128.0.0/9 by the instance's name: two hosts
// that share a network namespace get two, and other programs use none of them.
func loopback(instance string) string {
	sum := sha256.Sum256([]byte(instance))
	return fmt.Sprintf("127.%d.%d.%d:%d", sum[0]|0x80, sum[1], sum[2], claimPort)
}
