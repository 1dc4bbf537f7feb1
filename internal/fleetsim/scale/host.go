package scale

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/coordination"
)

// The releases of every run, and where it plays.
const (
	oldRelease = "1.50.0"
	newRelease = "1.51.0"
	account    = "111122223333"
	region     = "eu-west-1"
	clusterARN = "arn:aws:ecs:" + region + ":" + account + ":cluster/production"
)

var errDown = errors.New("nobody answers")

// host is one machine: as little of Bottlerocket and ECS as an update without
// mishaps sees, in one struct and without goroutines of its own.
type host struct {
	run  *Run
	id   string
	arn  string
	zone string
	// drains is how long its tasks need to leave.
	drains time.Duration
	doomed bool // it vanishes after it has joined the queue

	mu       sync.Mutex
	dice     *rand.Rand
	running  string
	staged   bool
	ready    bool // the release is the next to boot
	draining time.Time
	boots    int
	booted   time.Time
	intent   []byte
	end      context.CancelFunc // of the agent's process
}

func newHost(r *Run, i int) *host {
	dice := rand.New(rand.NewPCG(r.options.Seed, uint64(i)))
	h := &host{
		run: r, id: fmt.Sprintf("i-%017x", dice.Uint64()>>4), zone: region + string(rune('a'+i%3)),
		arn:  fmt.Sprintf("arn:aws:ecs:%s:%s:container-instance/production/%016x%016x", region, account, dice.Uint64(), dice.Uint64()),
		dice: dice, running: oldRelease, booted: time.Now().Add(-between(dice, time.Hour, 30*24*time.Hour)),
	}
	h.drains = drain(dice)
	return h
}

// start runs the agent's process until the host goes down.
func (h *host) start() {
	ctx, cancel := context.WithCancel(context.Background())
	h.mu.Lock()
	h.end = cancel
	h.mu.Unlock()
	a := agent.New(agent.DefaultConfig(), "simulated", agent.Ports{
		Host: bottlerocket{h}, Node: node{h}, Tasks: tasks{h}, Surroundings: surroundings{h}, Intent: intentFile{h},
		Fleet: func(_, fleet string) agent.Fleet {
			door := door{h.run.store, h.id}
			return lock{&coordination.Fleet{ARN: fleet, Store: door, Rows: door}, door}
		},
		Notify: func(string) {},
		Log:    slog.New(slog.DiscardHandler),
	})
	h.run.running.Go(func() {
		if err := a.Run(ctx); err != nil {
			h.run.fail(fmt.Errorf("the agent of %s ends: %w", h.id, err))
		}
	})
}

// die ends the agent's process.
func (h *host) die() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.end != nil {
		h.end()
	}
}

// reboot takes the host down and brings it up again, in the release that is
// the next to boot.
func (h *host) reboot() {
	time.AfterFunc(shutdown, func() {
		h.die()
		time.AfterFunc(bootLength, h.boot)
	})
}

func (h *host) boot() {
	if h.run.over() {
		return
	}
	h.mu.Lock()
	if h.ready {
		h.running = newRelease
	}
	h.staged, h.ready = false, false
	h.boots++
	h.booted = time.Now()
	h.mu.Unlock()
	time.AfterFunc(agentStart, func() {
		if !h.run.over() {
			h.start()
		}
	})
}

// sinceBoot is the uptime.
func (h *host) sinceBoot() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Since(h.booted)
}

// draw draws a length between two others.
func (h *host) draw(low, high time.Duration) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return between(h.dice, low, high)
}

// pause waits, unless the context ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
