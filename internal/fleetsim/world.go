package fleetsim

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/coordination/coordtest"
	"github.com/drydock-ecs/drydock/internal/ecstest"
)

// The releases of every run.
const (
	oldRelease = "1.50.0"
	newRelease = "1.51.0"
)

// World is one simulated fleet. It lives in a synctest bubble.
type World struct {
	Options Options
	Cluster *ecstest.Cluster
	Memory  *coordtest.Memory

	net      *network
	replaced int // hosts that the autoscaler has ended; used by trouble alone

	mu         sync.Mutex
	fleet      []*Host // a copy is made when one joins
	over       bool
	overlooked map[string]time.Time // by EC2, and when last
	rand       *rand.Rand
	start      time.Time
	transcript strings.Builder
	broken     []string
	judge      *judge
	running    sync.WaitGroup
	last       coordination.Record // the lock record at the end
	behind     []string            // live hosts that did not run the release then
}

// Run runs one fleet to its end and returns the promises that it broke. It
// must be called in a synctest bubble.
func Run(o Options) *World {
	w := &World{Options: o, rand: rand.New(rand.NewPCG(o.Seed, 2)), start: time.Now(), Memory: coordtest.NewMemory(), overlooked: make(map[string]time.Time)}
	w.judge, w.net = newJudge(w), newNetwork(w)
	w.Cluster = ecstest.New(ecstest.Config{
		Life:           ecstest.Life{Pending: 5 * time.Second, Healthy: 20 * time.Second, Deactivating: 20 * time.Second, Stopping: 10 * time.Second, Deprovisioning: 3 * time.Second},
		Agent:          ecstest.AgentLife{Register: 10 * time.Second, Connect: 2 * time.Second, Disconnect: time.Minute, Deliver: time.Second},
		SchedulerDelay: 2 * time.Second,
		Observe:        w.judge.statusChanged,
		Fault:          w.net.ecs,
	})
	w.Memory.Faults(w.net.table)
	w.Memory.Watch(w.judge.recordChanged)
	w.begin()
	w.live()
	w.last, w.behind = w.record(), w.notUpdated()
	if len(w.Broken()) == 0 {
		w.judge.atTheEnd()
	}
	w.end()
	return w
}

// Broken returns the promises that were broken, in words.
func (w *World) Broken() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.broken
}

// Transcript is what happened, one line an event.
func (w *World) Transcript() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.transcript.String()
}

func (w *World) say(host, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(&w.transcript, "%10s %-4s %s\n", time.Since(w.start).Round(time.Millisecond), host, fmt.Sprintf(format, args...))
}

func (w *World) breach(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.say("!!!!", "%s", text)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = append(w.broken, text)
}

func (w *World) chance(p float64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rand.Float64() < p
}

func (w *World) number(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rand.IntN(n)
}

// begin builds the fleet, its services and its lock, and starts the agents.
func (w *World) begin() {
	o := w.Options
	for i := range o.Hosts {
		w.add(newHost(w, i))
	}
	w.Cluster.AddService(ecstest.Service{Name: "web", Desired: o.Hosts, Limits: &ecstest.Limits{Minimum: 50, Maximum: 200}})
	w.Cluster.AddService(ecstest.Service{Name: "logs", Daemon: true})
	record := coordination.NewRecord("simulated", w.policy(o.Slots))
	body, err := record.Encode()
	if err == nil {
		_, err = w.Memory.Create(context.Background(), w.Cluster.ARN(), body)
	}
	if err != nil {
		w.breach("the lock cannot be created: %v", err)
	}
	time.Sleep(2 * time.Minute)
	for _, h := range w.hosts() {
		h.startAgent(0)
	}
}

// live lets the fleet run, with random events, until it has settled or the
// horizon has come.
func (w *World) live() {
	quiet := 0
	for time.Since(w.start) < w.Options.Horizon {
		time.Sleep(time.Minute)
		if time.Since(w.start) < w.Options.Horizon*2/3 {
			w.trouble()
		}
		w.judge.check()
		if len(w.Broken()) > 0 {
			return
		}
		if quiet = w.quietFor(quiet); quiet > 15 {
			return
		}
	}
}

// quietFor counts the minutes in which every host runs the release, is in
// service, and has no slot.
func (w *World) quietFor(before int) int {
	for _, h := range w.hosts() {
		if !h.isGone() && (!h.isUp() || h.machine().Running() != newRelease || w.Cluster.Status(h.id) != "ACTIVE") {
			return 0
		}
	}
	if len(w.record().Holders) > 0 {
		return 0
	}
	return before + 1
}

func (w *World) notUpdated() []string {
	var behind []string
	for _, h := range w.hosts() {
		if !h.isGone() && h.machine().Running() != newRelease {
			behind = append(behind, h.id)
		}
	}
	return behind
}

// hosts are all that ever were, oldest first. The slice is not changed.
func (w *World) hosts() []*Host {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fleet
}

func (w *World) add(h *Host) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fleet = append(w.fleet[:len(w.fleet):len(w.fleet)], h)
}

// isOver says whether the run has ended: nothing is to be started any more.
func (w *World) isOver() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.over
}

func (w *World) host(id string) *Host {
	for _, h := range w.hosts() {
		if h.id == id {
			return h
		}
	}
	return nil
}

func (w *World) end() {
	w.mu.Lock()
	w.over = true
	w.mu.Unlock()
	for _, h := range w.hosts() {
		h.stop()
	}
	w.running.Wait()
	w.Cluster.Close()
}

func (w *World) record() coordination.Record {
	value, err := w.Memory.Fetch(context.Background(), w.Cluster.ARN())
	if err != nil {
		return coordination.Record{}
	}
	r, err := coordination.Decode(value.Body)
	if err != nil {
		w.breach("the lock record cannot be read: %v", err)
	}
	return r
}

// operate is an operator who changes the record by hand.
func (w *World) operate(what string, change func(*coordination.Record)) {
	w.say("", "an operator %s", what)
	value, err := w.Memory.Fetch(context.Background(), w.Cluster.ARN())
	if err == nil {
		r := w.record()
		change(&r)
		body, _ := r.Encode()
		_, err = w.Memory.Replace(context.Background(), value, body)
	}
	if err != nil {
		w.breach("the operator's change did not go through: %v", err)
	}
}

// settings are those of every agent: the defaults, with fewer looks while
// waiting so that many fleets can be run.
func settings() agent.Config {
	c := agent.DefaultConfig()
	c.CheckInterval = 20 * time.Minute
	c.Lock.PollMin = 30 * time.Second
	return c
}

// lineHandler writes an agent's log into the transcript.
type lineHandler struct {
	w     *World
	host  string
	attrs []slog.Attr
}

func (h lineHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (h lineHandler) WithGroup(string) slog.Handler                { return h }

func (h lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.attrs = append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)
	return h
}

func (h lineHandler) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	add := func(a slog.Attr) bool {
		if a.Key != "host" {
			line += fmt.Sprintf(" %s=%q", a.Key, a.Value.String())
		}
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	h.w.say(h.host, "  %s %s", r.Level, line)
	return nil
}
