package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/drydock-ecs/drydock/apiclientx"
	"github.com/drydock-ecs/drydock/apiclientx/apitest"
	"github.com/drydock-ecs/drydock/internal/ecstest"
	"github.com/drydock-ecs/drydock/internal/imdstest"
)

// host is one simulated Bottlerocket host: its API on a Unix socket, its
// metadata service, its local ECS agent, its files, and the real agent process.
type host struct {
	name, id, dir string
	args, env     []string // of the agent
	drydock       string
	api           *apitest.Host
	ecs           *ecstest.Cluster
	ledger        *ledger
	say           func(host, line string)
	restart       time.Duration // until a host container that ended is started again
	downs         chan struct{} // a requested reboot has taken effect
	life          context.Context
	end           context.CancelFunc // ends life: the instance is gone for good

	mu    sync.Mutex
	agent *process                      // nil while there is none
	fault func(op string) apitest.Fault // asked about each request of the API
}

// newHost makes a host's files and servers. It is in the cluster and has not
// started its agent.
func newHost(w *world, number int) (*host, error) {
	h := &host{
		name:    fmt.Sprintf("host-%d", number),
		id:      fmt.Sprintf("i-0%s%08x", w.run, number),
		drydock: w.options.drydock,
		ecs:     w.ecs,
		ledger:  w.ledger,
		say:     w.printer.agent,
		restart: restartDelay,
		downs:   make(chan struct{}, 1),
	}
	h.life, h.end = context.WithCancel(context.Background())
	h.dir = filepath.Join(w.dir, h.name)
	if err := os.MkdirAll(h.state(), 0o700); err != nil {
		return nil, fmt.Errorf("make the files of %s: %w", h.name, err)
	}
	if err := h.ecs.AddHost(ecstest.Host{ID: h.id, Zone: region + string("abc"[number%3])}); err != nil {
		return nil, err
	}
	w.ec2.Set(h.id, "running")
	h.api = apitest.New(apitest.Config{
		Version:  oldRelease,
		Settings: apitest.Settings{Cluster: w.clusterName()},
		Lengths:  w.lengths,
		OnReboot: func() { h.downs <- struct{}{} },
		Fault:    h.seeRequest,
	})
	return h, h.build(w, region+string("abc"[number%3]))
}

// build opens the host's doors and writes its settings.
func (h *host) build(w *world, zone string) error {
	if _, err := h.api.ListenUnix(h.socket()); err != nil {
		return fmt.Errorf("open the API socket of %s: %w", h.name, err)
	}
	imds, err := w.servers.serve(imdstest.New(imdstest.Host{Instance: h.id, Region: region, Zone: zone}))
	if err != nil {
		return err
	}
	introspection, err := w.servers.serve(h.ecs.Agent(h.id))
	if err != nil {
		return err
	}
	h.env = w.endpoints.environment(w.inherited, h.id, imds)
	config := agentConfig()
	config.Log.Level = w.logLevel()
	config.Host.APISocket, config.Host.StateDir, config.Host.BootIDFile = h.socket(), h.state(), h.bootID()
	config.Host.Introspection = introspection
	if err := config.Validate(); err != nil {
		return fmt.Errorf("settings of %s: %w", h.name, err)
	}
	settings := filepath.Join(h.dir, "drydock.toml")
	h.args = []string{"agent", "--config", settings}
	if err := os.WriteFile(settings, []byte(config.TOML()), 0o600); err != nil {
		return fmt.Errorf("write the settings of %s: %w", h.name, err)
	}
	return h.newBoot()
}

func (h *host) socket() string { return filepath.Join(h.dir, "api.sock") }
func (h *host) state() string  { return filepath.Join(h.dir, "state") }
func (h *host) bootID() string { return filepath.Join(h.dir, "boot_id") }

// newBoot writes the boot id of a new boot.
func (h *host) newBoot() error {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	id := fmt.Sprintf("%x-%x-%x-%x-%x\n", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
	if err := os.WriteFile(h.bootID(), []byte(id), 0o600); err != nil {
		return fmt.Errorf("boot %s: %w", h.name, err)
	}
	return nil
}

// seeRequest writes down what is asked of the host's API. Whether it will be
// accepted is not told here; the stand-in accepts all of these unless a story
// has something else in mind.
func (h *host) seeRequest(op string) apitest.Fault {
	h.mu.Lock()
	ask := h.fault
	h.mu.Unlock()
	var fault apitest.Fault
	if ask != nil {
		fault = ask(op)
	}
	facts := map[string]fact{
		string(apiclientx.Refresh):  checked,
		string(apiclientx.Prepare):  preparing,
		string(apiclientx.Activate): activating,
		apitest.OpReboot:            askedReboot,
	}
	if what, ok := facts[op]; ok && fault.Answer == apitest.Truth {
		h.ledger.add(h.id, what, "")
	}
	return fault
}

// setFault lets a story into the requests of the host's API from now on.
func (h *host) setFault(ask func(op string) apitest.Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fault = ask
}

// live runs the host until the context ends: its agent, kept alive as systemd
// keeps it, and its reboots.
func (h *host) live(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.life, cancel)()
	defer h.stopAgent()
	for ctx.Err() == nil {
		p, err := h.startAgent()
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.done:
			err = h.recreate(ctx)
		case <-h.downs:
			err = h.reboot(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (h *host) startAgent() (*process, error) {
	p, err := startProcess(h.drydock, h.args, h.env, func(line string) { h.say(h.name, line) })
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.agent = p
	return p, nil
}

// stopAgent ends the agent's process, as a shutdown does.
func (h *host) stopAgent() {
	h.mu.Lock()
	p := h.agent
	h.agent = nil
	h.mu.Unlock()
	if p != nil {
		p.end(shutdownLength)
	}
}

// killAgent kills the agent's process and says whether there was one.
func (h *host) killAgent() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.agent != nil && h.agent.kill()
}

// recreate waits, as systemd does, until the agent that ended is started
// again. A reboot may come meanwhile.
func (h *host) recreate(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-h.downs:
		return h.reboot(ctx)
	case <-time.After(h.restart):
		return nil
	}
}

// reboot takes the host through a reboot. Its API is gone already; its tasks,
// if there are any, die now. A host that does not come back stays in here.
func (h *host) reboot(ctx context.Context) error {
	h.ledger.add(h.id, wentDown, "")
	h.ecs.HostDown(h.id)
	h.stopAgent()
	if !pause(ctx, bootLength) {
		return nil
	}
	if err := h.newBoot(); err != nil {
		return err
	}
	booted := h.api.Boot()
	if !booted.Up {
		h.ledger.add(h.id, hung, "")
		<-ctx.Done()
		return nil
	}
	h.ledger.add(h.id, cameUp, booted.Version)
	h.ecs.HostUp(h.id)
	pause(ctx, containerDelay)
	return nil
}

// pause waits, and says whether it came to its end.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
