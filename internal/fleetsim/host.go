package fleetsim

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/agent/containerinstance"
	"github.com/drydock-ecs/drydock/apiclientx/apitest"
	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/internal/ecstest"
)

// Lengths of a simulated host's life.
const (
	bootLength   = 40 * time.Second
	agentStart   = 5 * time.Second  // from the boot to the agent's container
	agentRestart = 45 * time.Second // as the host container's unit does
)

// Host is one simulated machine with its disk, its API and its agent.
type Host struct {
	w    *World
	id   string
	zone string
	disk disk

	mu           sync.Mutex
	bottlerocket *apitest.Host
	paused       time.Time     // its process stands still until then
	ended        time.Time     // the instance was terminated; zero: it was not
	described    time.Duration // EC2 shows it this long after that
	up           bool
	asked        bool // it goes down by a reboot that the agent requested
	boots        int
	bootedAt     time.Time
	process      *process
	stopped      bool
	counts       map[string]int
	// unsure: the agent cannot know whether a call of its own to drain may
	// still land, so it may take a drain by someone else for its own.
	unsure bool
}

func newHost(w *World, i int) *Host {
	h := &Host{w: w, id: fmt.Sprintf("i-%d", i+1), zone: fmt.Sprintf("eu-west-1%c", 'a'+i%3), up: true, boots: 1, bootedAt: time.Now(), counts: make(map[string]int)}
	h.disk.host = h
	h.bottlerocket = h.image()
	if err := w.Cluster.AddHost(ecstest.Host{ID: h.id, Zone: h.zone}); err != nil {
		w.breach("host cannot be added: %v", err)
	}
	return h
}

// image is a machine with the old release.
func (h *Host) image() *apitest.Host {
	lengths := apitest.Lengths{Refresh: time.Second, Prepare: 40 * time.Second, Activate: 210 * time.Millisecond, Deactivate: 210 * time.Millisecond, Reboot: 3 * time.Second}
	if h.w.Options.SlowReboots {
		lengths.Reboot = time.Duration(1+h.w.number(9)) * 59 * time.Second
	}
	return apitest.New(apitest.Config{
		Version:  oldRelease,
		Releases: []apitest.Release{{Version: newRelease, Fate: h.w.Options.Fate}},
		Lengths:  lengths,
		OnReboot: func() { h.rebooting(true) },
	})
}

// machine is the host's Bottlerocket.
func (h *Host) machine() *apitest.Host {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.bottlerocket
}

// isGone says whether the instance was terminated.
func (h *Host) isGone() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.ended.IsZero()
}

func (h *Host) isUp() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.up
}

// reset takes the power away and gives it back.
func (h *Host) reset() {
	if h.isUp() {
		h.machine().PowerOff()
		h.rebooting(false)
	}
}

// rebooting takes the host down, and up again after its boot.
func (h *Host) rebooting(asked bool) {
	h.mu.Lock()
	if !h.up || h.stopped {
		h.mu.Unlock()
		return
	}
	h.up, h.asked = false, asked
	p := h.process
	h.mu.Unlock()
	h.w.say(h.id, "goes down")
	if p != nil {
		p.die()
	}
	h.w.judge.hostDown(h, asked)
	h.w.Cluster.HostDown(h.id)
	time.AfterFunc(bootLength, h.boot)
}

func (h *Host) boot() {
	h.mu.Lock()
	stopped := h.stopped
	h.mu.Unlock()
	if stopped {
		return
	}
	booted := h.machine().Boot()
	h.w.say(h.id, "boots: up %t, %s", booted.Up, booted.Version)
	h.w.judge.booted(h, booted)
	if !booted.Up {
		return
	}
	h.mu.Lock()
	h.up, h.asked, h.boots, h.bootedAt = true, false, h.boots+1, time.Now()
	h.paused = time.Time{}
	h.mu.Unlock()
	if h.w.Options.Sick && booted.Version == newRelease {
		h.w.Cluster.AgentDown(h.id)
	}
	h.w.Cluster.HostUp(h.id)
	h.w.judge.check()
	h.startAgent(agentStart)
}

// startAgent starts a new process after a while, unless the host is down.
func (h *Host) startAgent(after time.Duration) {
	time.AfterFunc(after, func() {
		h.mu.Lock()
		alive := h.process != nil && !h.process.dead.Load()
		if !h.up || h.stopped || alive {
			h.mu.Unlock()
			return
		}
		p := newProcess(h)
		h.process = p
		h.w.running.Add(1)
		h.mu.Unlock()
		go p.run()
	})
}

func (h *Host) stop() {
	h.mu.Lock()
	h.stopped = true
	p := h.process
	h.mu.Unlock()
	if p != nil {
		p.die()
	}
	h.machine().Close()
}

// fate decides what becomes of a write.
func (h *Host) fate(name string) Fate {
	h.mu.Lock()
	h.counts[name]++
	write := Write{Host: h.id, Name: name, Count: h.counts[name]}
	h.mu.Unlock()
	var f Fate
	switch o := h.w.Options; {
	case o.Script != nil:
		f = o.Script(h.w, write)
	case h.w.chance(o.Faults):
		f = h.chanceFate()
	}
	if f.Late > 0 && strings.HasPrefix(name, "intent:") {
		f.Late = 0 // a disk does not write by itself what it has refused
	}
	h.noteDrain(name, f)
	if f != (Fate{}) {
		h.w.say(h.id, "  write %s #%d: %s", name, write.Count, f)
	}
	return f
}

// chanceFate is one of the fates; resets only where the seed has them.
func (h *Host) chanceFate() Fate {
	fates := []Fate{{Lost: true}, {End: NoAnswer}, {Lost: true, End: NoAnswer}, {End: Crash}, {Lost: true, End: Crash},
		{Lost: true, End: NoAnswer, Late: time.Duration(1+h.w.number(50)) * time.Second}}
	if h.w.Options.Resets {
		fates = append(fates, Fate{End: Reset}, Fate{Lost: true, End: Reset})
	}
	return fates[h.w.number(len(fates))]
}

func (h *Host) noteDrain(name string, f Fate) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case name == "intent:clear" && f == Fate{}:
		h.unsure = false
	case f.End != Answer && (name == "ecs:DRAINING" || name == "ecs:ACTIVE"), f.End >= Crash && (name == "intent:drain" || name == "intent:restored"),
		f.Lost && (name == "intent:answered" || name == "intent:active"):
		h.unsure = true
	}
}

// wellFor is how long a process must have been able to write, for its host to
// be no longer late.
const wellFor = 6 * time.Minute

// couldSpeak says whether the host's agent has had the time to tell the fleet
// that it is alive, where nothing but the network and pauses goes wrong.
func (h *Host) couldSpeak() bool {
	if o := h.w.Options; o.Faults > 0 || o.BadDisks || !h.w.net.reachesTable(h.id, wellFor) {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.process
	return h.ended.IsZero() && h.up && p != nil && !p.dead.Load() && time.Since(p.began) >= wellFor && time.Since(h.paused) >= wellFor
}

func (h *Host) setUnsure() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unsure = true
}

func (h *Host) isUnsure() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.unsure
}

// process is one life of the agent on a host. Once dead, nothing that it does
// has an effect.
type process struct {
	*Host
	dead   atomic.Bool
	began  time.Time
	cancel context.CancelFunc
	ctx    context.Context
}

func newProcess(h *Host) *process {
	ctx, cancel := context.WithCancel(context.Background())
	return &process{Host: h, began: time.Now(), ctx: ctx, cancel: cancel}
}

func (p *process) die() {
	p.dead.Store(true)
	p.cancel()
}

// stand waits while the process stands still, whatever its contexts say. It
// returns false when the process is dead.
func (p *process) stand() bool {
	for {
		p.mu.Lock()
		left := time.Until(p.paused)
		p.mu.Unlock()
		if left <= 0 || p.dead.Load() {
			return !p.dead.Load()
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-p.ctx.Done():
			timer.Stop()
		}
	}
}

// lateCall refuses a call whose time was over before it was sent: the process
// has stood still.
func (p *process) lateCall(ctx context.Context) error {
	if p.w.Options.Pauses {
		return ctx.Err()
	}
	return nil
}

func (p *process) run() {
	defer p.w.running.Done()
	door := containerinstance.New(containerinstance.Options{API: p.w.Cluster.As(p.id), Local: p.w.Cluster.Agent(p.id)})
	ports := agent.Ports{
		Host:         hostPort{p, p.machine().Client()},
		Node:         nodePort{p, door},
		Tasks:        door,
		Surroundings: surroundings{p},
		Intent:       intentPort{p},
		Fleet: func(_, fleet string) agent.Fleet {
			return &coordination.Fleet{ARN: fleet, Store: storePort{p, p.w.Memory.As(p.id)}, Rows: p.w.Memory.As(p.id)}
		},
		Cluster: func(context.Context) (string, error) { return "demo", nil },
		Notify:  func(string) {},
		Log:     slog.New(lineHandler{w: p.w, host: p.id}),
	}
	if p.w.Options.Evidence {
		ports.Evidence = evidencePort{p}
	}
	err := agent.New(settings(), "simulated", ports).Run(p.ctx)
	if !p.dead.Load() {
		p.w.say(p.id, "agent ends: %v", err)
		p.dead.Store(true)
	}
	p.startAgent(agentRestart)
}
