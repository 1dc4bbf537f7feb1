package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/agent/containerinstance"
	"github.com/drydock-ecs/drydock/apiclientx"
	"github.com/drydock-ecs/drydock/apiclientx/apitest"
	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/coordination/coordtest"
	"github.com/drydock-ecs/drydock/internal/ecstest"
	"github.com/drydock-ecs/drydock/internal/journal"
)

const (
	mine       = "i-1" // the host with the agent
	other      = "i-2" // a host beside it, for the tasks to go to
	operator   = "operator"
	oldRelease = "1.50.0"
	newRelease = "1.51.0"

	bootLength   = 40 * time.Second
	agentStart   = 5 * time.Second  // from the boot to the agent's container
	agentRestart = 45 * time.Second // as the host container's unit does
)

var (
	errDead    = errors.New("the process is dead")
	errRefused = errors.New("refused")
)

// options are what differs between the worlds. The zero value is a good day.
type options struct {
	release  apitest.Release // default newRelease, which boots well
	policy   string          // default one slot, one failure
	services []ecstest.Service
	settings func(*agent.Config)
	watchdog time.Duration
	noRecord bool           // there is no lock record
	nameless bool           // the host's own settings do not name the cluster
	prepare  func(w *world) // before the agent starts
	intent   string         // the intent file as the agent finds it
}

// world is one host with its agent and everything that it talks to, in virtual
// time. All that an operator could see of it is in its transcript.
type world struct {
	*testing.T
	options  options
	cluster  *ecstest.Cluster
	memory   *coordtest.Memory
	api      *apitest.Host
	ended    chan struct{} // closed when the world ends: calls that hang go on
	unusable atomic.Bool   // the settings cannot be used: processes only finish
	missing  atomic.Bool   // the next ACTIVE is answered as of an instance that ECS does not know

	mu      sync.Mutex
	lines   []string
	records []logged
	notices []notice
	hooks   map[string][]func(*process) error
	quiet   bool // nothing is written to the transcript
	intent  []byte
	damaged bool
	aside   int
	leaving string
	ec2     map[string]string // what EC2 knows of instances; nil: that both are running
	claim   *process

	up       bool
	boots    int
	bootedAt time.Time
	stopped  bool // the agent is not started again by itself
	process  *process
	running  sync.WaitGroup
}

// logged is one line of the agent's log.
type logged struct {
	at    time.Time
	level slog.Level
	text  string // the message
	attrs map[string]string
}

// notice is one word to the service manager.
type notice struct {
	at   time.Time
	text string
}

// inWorld runs a story in a world of its own.
func inWorld(t *testing.T, o options, story func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, o)
		defer w.end()
		story(w)
	})
}

func newWorld(t *testing.T, o options) *world {
	if o.release.Version == "" {
		o.release.Version = newRelease
	}
	if o.policy == "" {
		o.policy = "slots = 1\nmax_failures = 1\n"
	}
	w := &world{
		T: t, options: o, memory: coordtest.NewMemory(), hooks: make(map[string][]func(*process) error), ended: make(chan struct{}),
		up: true, boots: 1, bootedAt: time.Now(), intent: []byte(o.intent),
	}
	w.cluster = ecstest.New(ecstest.Config{
		Life:           ecstest.Life{Pending: 5 * time.Second, Healthy: 20 * time.Second, Deactivating: 20 * time.Second, Stopping: 10 * time.Second, Deprovisioning: 3 * time.Second},
		Agent:          ecstest.AgentLife{Register: 10 * time.Second, Connect: 2 * time.Second, Disconnect: time.Minute, Deliver: time.Second},
		SchedulerDelay: 2 * time.Second,
		Observe: func(c ecstest.Change) {
			w.say("ecs", "%s: %s → %s by %s", c.Host, c.From, c.To, c.By)
		},
	})
	w.api = apitest.New(apitest.Config{
		Version:  oldRelease,
		Releases: []apitest.Release{o.release},
		Lengths:  apitest.Lengths{Refresh: time.Second, Prepare: 40 * time.Second, Activate: 210 * time.Millisecond, Deactivate: 210 * time.Millisecond, Reboot: 3 * time.Second},
		OnReboot: func() { w.goDown() },
	})
	w.memory.Watch(w.recordChanged)
	w.settle()
	return w
}

// settle builds the cluster and its lock and waits until its tasks run.
func (w *world) settle() {
	w.quiet = true
	for i, id := range []string{mine, other} {
		if err := w.cluster.AddHost(ecstest.Host{ID: id, Zone: fmt.Sprintf("eu-west-1%c", 'a'+i)}); err != nil {
			w.Fatal(err)
		}
	}
	services := w.options.services
	if services == nil {
		services = []ecstest.Service{{Name: "web", Desired: 2, Limits: &ecstest.Limits{Minimum: 50, Maximum: 200}}, {Name: "logs", Daemon: true, Life: &ecstest.Life{Pending: time.Second, Stopping: 5 * time.Second}}}
	}
	for _, s := range services {
		w.cluster.AddService(s)
	}
	if !w.options.noRecord {
		w.createRecord()
	}
	w.pass(2 * time.Minute)
	if w.options.prepare != nil {
		w.options.prepare(w)
	}
	w.mu.Lock()
	w.quiet = false
	w.mu.Unlock()
}

func (w *world) createRecord() {
	body, err := coordination.NewRecord("first", w.options.policy).Encode()
	if err == nil {
		_, err = w.memory.Create(context.Background(), w.cluster.ARN(), body)
	}
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) end() {
	w.mu.Lock()
	w.stopped = true
	p := w.process
	w.mu.Unlock()
	if p != nil {
		p.die()
	}
	close(w.ended)
	w.api.Close()
	w.cluster.Close()
	w.running.Wait()
	if w.Failed() {
		w.Logf("what happened:\n%s", w.transcript())
	}
}

// say adds a line to the transcript.
func (w *world) say(who, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.quiet {
		w.lines = append(w.lines, fmt.Sprintf("%-6s ", who)+fmt.Sprintf(format, args...))
	}
}

// Write is the log of the agent, as the journal would have it.
func (w *world) Write(line []byte) (int, error) {
	text := strings.TrimSuffix(string(line), "\n")
	for prefix, level := range map[string]string{"<6>": "", "<4>": "WARNING ", "<3>": "ERROR "} {
		if rest, ok := strings.CutPrefix(text, prefix); ok {
			text = level + rest
		}
	}
	w.say("agent", "%s", text)
	return len(line), nil
}

// What differs from run to run by the jitter of the paces, and what is too long
// to read.
var (
	variable = regexp.MustCompile(`took=\S+`)
	minutes  = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\dZ`)
	arns     = regexp.MustCompile(`arn:aws:ecs:[^ "]*:(cluster|container-instance|task)/[a-z]*/?`)
	numbers  = regexp.MustCompile(`[0-9a-f]{32}`)
)

// transcript is what happened so far, one line an event, without times.
func (w *world) transcript() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := strings.Join(w.lines, "\n") + "\n"
	text = strings.ReplaceAll(text, " host="+mine, "")
	text = variable.ReplaceAllString(text, "took=…")
	text = minutes.ReplaceAllString(text, "<time>")
	text = arns.ReplaceAllString(text, "")
	names := make(map[string]string)
	return numbers.ReplaceAllStringFunc(text, func(number string) string {
		if names[number] == "" {
			names[number] = fmt.Sprintf("#%d", len(names)+1)
		}
		return names[number]
	})
}

// pass lets time pass.
func (w *world) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// until lets time pass until something holds, and fails when it takes too
// long.
func (w *world) until(what string, limit time.Duration, holds func() bool) {
	w.Helper()
	for began := time.Now(); !holds(); w.pass(time.Second) {
		if time.Since(began) > limit {
			w.Fatalf("after %s, still not %s", limit, what)
		}
	}
}

// delay is what something in the way takes: an act's hook may use it.
func delay(d time.Duration) { time.Sleep(d) }

// moment is when something happened for the first time.
type moment struct{ nanos atomic.Int64 }

// hit is the moment; it says whether it is the first.
func (m *moment) hit() bool { return m.nanos.CompareAndSwap(0, time.Now().UnixNano()) }

// is tells whether it has come.
func (m *moment) is() bool { return m.nanos.Load() != 0 }

// at is when it came.
func (m *moment) at() time.Time { return time.Unix(0, m.nanos.Load()) }

// untilIs lets time pass until the moment comes.
func (w *world) untilIs(m *moment, what string) {
	w.Helper()
	w.until(what, 2*time.Hour, m.is)
}

// untilPhase waits for a phase that lasts a while.
func (w *world) untilPhase(phase agent.Phase, limit time.Duration) {
	w.Helper()
	w.until("in phase "+phase.String(), limit, func() bool { return w.phase() == phase.String() })
}

// untilUpdated waits for the usual end.
func (w *world) untilUpdated() {
	w.Helper()
	w.until("updated", 3*time.Hour, func() bool { return w.api.Running() == newRelease && w.atRest() })
	w.pass(time.Second)
}

// atRest: the host is idle, in service, and has no slot.
func (w *world) atRest() bool {
	_, holds := w.record().Holder(mine)
	return !holds && w.phase() == "idle" && w.cluster.Status(mine) == "ACTIVE"
}

// phase is what the agent told the service manager last; "" while no agent
// runs.
func (w *world) phase() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.process == nil || w.process.dead.Load() {
		return ""
	}
	phase, _, _ := strings.Cut(w.process.status, ":")
	phase, _, _ = strings.Cut(phase, " ")
	return phase
}

// record is the lock record; the zero Record when there is none.
func (w *world) record() coordination.Record {
	w.Helper()
	value, err := w.memory.Fetch(context.Background(), w.cluster.ARN())
	if err != nil {
		return coordination.Record{}
	}
	r, err := coordination.Decode(value.Body)
	if err != nil {
		return coordination.Record{}
	}
	return r
}

// operate is an operator who changes the record.
func (w *world) operate(what string, change func(*coordination.Record)) {
	w.Helper()
	r := w.record()
	change(&r)
	body, err := r.Encode()
	if err != nil {
		w.Fatal(err)
	}
	w.overwrite(what, body)
}

// overwrite puts any bytes in the place of the record.
func (w *world) overwrite(what string, body []byte) {
	w.Helper()
	w.say(operator[:4], "%s", what)
	value, err := w.memory.Fetch(context.Background(), w.cluster.ARN())
	if err == nil {
		_, err = w.memory.As(operator).Replace(context.Background(), value, body)
	}
	if err != nil {
		w.Fatal(err)
	}
}

// row is what the host shows to the fleet.
func (w *world) row() coordination.HostRow {
	w.Helper()
	rows, err := w.memory.Hosts(context.Background(), w.cluster.ARN())
	if err != nil {
		w.Fatal(err)
	}
	for _, row := range rows {
		if row.Host == mine {
			return row
		}
	}
	return coordination.HostRow{}
}

// writes is how often the host has changed the record.
func (w *world) writes() int {
	n := 0
	for _, a := range w.memory.History() {
		if a.Caller == mine {
			n++
		}
	}
	return n
}

// calls is how often the host has called ECS.
func (w *world) calls() int { return w.cluster.Count(mine, "") }

// drains is how often the host has called ECS to change its own state.
func (w *world) drains() int { return w.cluster.Count(mine, "UpdateContainerInstancesState") }

// find returns the lines of the log that have the message.
func (w *world) find(message string) []logged {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []logged
	for _, l := range w.records {
		if strings.Contains(l.text, message) {
			found = append(found, l)
		}
	}
	return found
}

// wantLog fails unless the log has a line of the level whose message holds the
// text, and which shows an error and a hint that hold theirs.
func (w *world) wantLog(level slog.Level, message, cause, advice string) {
	w.Helper()
	for _, l := range w.find(message) {
		if l.level == level && strings.Contains(l.attrs["error"], cause) && strings.Contains(l.attrs["hint"], advice) {
			return
		}
	}
	w.Errorf("the log has no %s %q with error %q and hint %q", level, message, cause, advice)
}

// wantReason fails unless the host's row gives the reason.
func (w *world) wantReason(want string) {
	w.Helper()
	w.pass(time.Millisecond)
	if got := w.row(); !strings.Contains(got.Reason, want) || want == "" && got.Reason != "" {
		w.Errorf("the row of the host says %q in phase %s, want %q", got.Reason, got.Phase, want)
	}
}

// on has something done right before each act of the name; its error is what
// the agent gets in place of the act.
func (w *world) on(act string, do func(p *process) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hooks[act] = append(w.hooks[act], do)
}

// once is on for the next act alone.
func (w *world) once(act string, do func(p *process) error) {
	var done atomic.Bool
	w.on(act, func(p *process) error {
		if done.Swap(true) {
			return nil
		}
		return do(p)
	})
}

// fail makes every act of the name fail until the returned function is called.
func (w *world) fail(err error, acts ...string) (heal func()) {
	var healed atomic.Bool
	for _, act := range acts {
		w.on(act, func(*process) error {
			if healed.Load() {
				return nil
			}
			return err
		})
	}
	return func() { healed.Store(true) }
}

// cutTable takes the table away from the host, and gives it back.
func (w *world) cutTable(off bool) {
	if off {
		w.say("table", "does not answer any more")
	} else {
		w.say("table", "answers again")
	}
	w.memory.Cut(mine, off)
}

// start starts the agent.
func (w *world) start() *process {
	w.startAgent(0)
	synctest.Wait()
	return w.current()
}

// current is the latest process.
func (w *world) current() *process {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.process
}

func (w *world) startAgent(after time.Duration) {
	time.AfterFunc(after, func() {
		w.mu.Lock()
		alive := w.process != nil && !w.process.dead.Load()
		if !w.up || w.stopped || alive {
			w.mu.Unlock()
			return
		}
		p := w.newProcess()
		w.process = p
		w.mu.Unlock()
		go p.run()
	})
}

// goDown is a reboot that takes effect, or a loss of power.
func (w *world) goDown() {
	w.mu.Lock()
	if !w.up || w.stopped {
		w.mu.Unlock()
		return
	}
	w.up = false
	p := w.process
	w.mu.Unlock()
	w.say("host", "goes down")
	if p != nil {
		p.die()
	}
	w.cluster.HostDown(mine)
	time.AfterFunc(bootLength, w.boot)
}

// reset takes the power away and gives it back.
func (w *world) reset() {
	w.api.PowerOff()
	w.goDown()
}

func (w *world) boot() {
	w.mu.Lock()
	stopped := w.stopped
	w.mu.Unlock()
	if stopped {
		return
	}
	booted := w.api.Boot()
	w.say("host", "boots %s", booted.Version)
	w.mu.Lock()
	w.up, w.boots, w.bootedAt = booted.Up, w.boots+1, time.Now()
	w.mu.Unlock()
	if booted.Up {
		w.cluster.HostUp(mine)
		w.startAgent(agentStart)
	}
}

// process is one life of the agent. Once dead, nothing that it does has an
// effect.
type process struct {
	*world
	ctx    context.Context
	cancel context.CancelFunc
	dead   atomic.Bool
	status string // under the world's lock
	err    error  // of Run, once ended is closed
	over   chan struct{}
}

func (w *world) newProcess() *process {
	p := &process{world: w, over: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	w.running.Add(1)
	return p
}

// die is SIGKILL.
func (p *process) die() {
	p.dead.Store(true)
	p.cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.claim == p {
		p.claim = nil
	}
}

// stopLimit is how long the agent may take to end. Its runtime kills it after
// 20 s.
const stopLimit = 5 * time.Second

// stop is SIGTERM.
func (p *process) stop() {
	p.Helper()
	p.cancel()
	select {
	case <-p.over:
	case <-time.After(stopLimit):
		p.Fatalf("Run has not returned %s after its context ended", stopLimit)
	}
	if p.err != nil {
		p.Errorf("Run returned %v", p.err)
	}
}

func (p *process) run() {
	defer p.running.Done()
	config := agent.DefaultConfig()
	if p.options.settings != nil {
		p.options.settings(&config)
	}
	run := agent.New(config, "test", p.ports()).Run
	if p.unusable.Load() {
		run = agent.New(config, "test", p.ports()).Finish
	}
	p.err = run(p.ctx)
	if !p.dead.Load() {
		p.die()
		if p.err != nil {
			p.say("agent", "ends: %v", p.err)
		} else {
			p.say("agent", "ends")
		}
	}
	close(p.over)
	p.startAgent(agentRestart)
}

func (p *process) ports() agent.Ports {
	door := containerinstance.New(containerinstance.Options{API: p.cluster.As(mine), Local: p.cluster.Agent(mine)})
	return agent.Ports{
		Host:         hostPort{p, p.api.Client()},
		Node:         nodePort{p, door},
		Tasks:        taskPort{p, door},
		Surroundings: surroundings{p},
		Intent:       intentPort{p},
		Evidence:     evidencePort{p},
		Fleet: func(_, fleet string) agent.Fleet {
			return &coordination.Fleet{ARN: fleet, Store: storePort{p, p.memory.As(mine)}, Rows: rowsPort{p, p.memory.As(mine)}}
		},
		Cluster:  p.clusterName,
		Waves:    func(context.Context) (map[string]string, error) { return map[string]string{"seed": "7"}, nil },
		Notify:   p.notify,
		Watchdog: p.options.watchdog,
		Log:      slog.New(slog.NewMultiHandler(journal.New(p.world, journal.Options{}).Handler(), recorder{p, nil})),
	}
}

// clusterName is what the host's own settings say.
func (p *process) clusterName(context.Context) (string, error) {
	if p.options.nameless {
		return "", errors.New("settings.ecs.cluster is not set")
	}
	return "demo", nil
}

// notify is the service manager.
func (p *process) notify(text string) {
	if p.dead.Load() {
		return
	}
	p.mu.Lock()
	p.notices = append(p.notices, notice{time.Now(), text})
	status, ok := strings.CutPrefix(text, "STATUS=")
	if ok {
		p.status = status
	}
	p.mu.Unlock()
	if ok {
		phase, _, _ := strings.Cut(status, ":")
		phase, _, _ = strings.Cut(phase, " ")
		_ = p.act("status:" + phase)
	}
}

// act is asked before each act: its error stands in for the act.
func (p *process) act(name string) error {
	if p.dead.Load() {
		return errDead
	}
	p.mu.Lock()
	hooks := slices.Clone(p.hooks[name])
	p.mu.Unlock()
	for _, hook := range hooks {
		if err := hook(p); err != nil {
			return err
		}
	}
	if p.dead.Load() {
		return errDead
	}
	return nil
}

// recorder keeps the log for the tests to look at.
type recorder struct {
	*process
	attrs []slog.Attr
}

func (r recorder) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (r recorder) WithGroup(string) slog.Handler                { return r }

func (r recorder) WithAttrs(attrs []slog.Attr) slog.Handler {
	r.attrs = slices.Concat(r.attrs, attrs)
	return r
}

func (r recorder) Handle(_ context.Context, record slog.Record) error {
	line := logged{time.Now(), record.Level, record.Message, make(map[string]string)}
	add := func(a slog.Attr) bool { line.attrs[a.Key] = a.Value.String(); return true }
	for _, a := range r.attrs {
		add(a)
	}
	record.Attrs(add)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records = append(r.records, line)
	return nil
}

// hostPort is the Bottlerocket API.
type hostPort struct {
	*process
	client *apitest.DirectClient
}

func (h hostPort) OS(ctx context.Context) (apiclientx.OS, error) {
	if err := h.act("api:os"); err != nil {
		return apiclientx.OS{}, err
	}
	time.Sleep(time.Millisecond) // so that what waits in the outbox goes first
	return h.client.OS(ctx)
}

func (h hostPort) Updates(ctx context.Context) (apiclientx.Status, error) {
	if err := h.act("api:status"); err != nil {
		return apiclientx.Status{}, err
	}
	return h.client.Updates(ctx)
}

func (h hostPort) Do(ctx context.Context, action apiclientx.Action) (apiclientx.Status, error) {
	if err := h.act("api:" + action.Verb()); err != nil {
		return apiclientx.Status{}, err
	}
	if action != apiclientx.Refresh {
		h.say("host", "%s", action.Verb())
	}
	return h.client.Do(ctx, action)
}

func (h hostPort) Reboot(ctx context.Context) error {
	if err := h.act("api:reboot"); err != nil {
		return err
	}
	err := h.client.Reboot(ctx)
	if err == nil {
		h.say("host", "is asked to reboot")
	} else {
		h.say("host", "refuses to reboot")
	}
	return err
}

// nodePort is the container instance.
type nodePort struct {
	*process
	agent.Node
}

func (n nodePort) Self(ctx context.Context) (agent.Self, error) {
	if err := n.act("ecs:self"); err != nil {
		return agent.Self{}, err
	}
	return n.Node.Self(ctx)
}

func (n nodePort) Look(ctx context.Context, self agent.Self) (agent.Instance, error) {
	if err := n.act("ecs:look"); err != nil {
		return agent.Instance{}, err
	}
	return n.Node.Look(ctx, self)
}

func (n nodePort) Drain(ctx context.Context, self agent.Self) error {
	if err := n.act("ecs:DRAINING"); err != nil {
		return err
	}
	return n.Node.Drain(ctx, self)
}

func (n nodePort) Activate(ctx context.Context, self agent.Self) (agent.Instance, error) {
	if err := n.act("ecs:ACTIVE"); err != nil {
		return agent.Instance{}, err
	}
	if n.missing.CompareAndSwap(true, false) {
		return agent.Instance{}, nil
	}
	return n.Node.Activate(ctx, self)
}

// taskPort are the tasks on the host.
type taskPort struct {
	*process
	agent.Tasks
}

func (t taskPort) Classify(ctx context.Context, self agent.Self) (agent.Inventory, error) {
	if err := t.act("ecs:classify"); err != nil {
		return agent.Inventory{}, err
	}
	return t.Tasks.Classify(ctx, self)
}

func (t taskPort) Local(ctx context.Context) ([]agent.Task, error) {
	if err := t.act("ecs:local"); err != nil {
		return nil, err
	}
	return t.Tasks.Local(ctx)
}

func (t taskPort) Remaining(ctx context.Context, self agent.Self) ([]agent.Task, error) {
	if err := t.act("ecs:remaining"); err != nil {
		return nil, err
	}
	return t.Tasks.Remaining(ctx, self)
}

func (t taskPort) Stop(ctx context.Context, self agent.Self, task agent.Task) error {
	if err := t.act("ecs:stop"); err != nil {
		return err
	}
	t.say("ecs", "%s: stop task %s (%s)", mine, task.ARN, task.Family)
	return t.Tasks.Stop(ctx, self, task)
}

// surroundings are the instance and its kernel.
type surroundings struct{ *process }

func (s surroundings) Identity(context.Context) (agent.Identity, error) {
	if err := s.act("imds:identity"); err != nil {
		return agent.Identity{}, err
	}
	return agent.Identity{Instance: mine, Region: "eu-west-1", Account: "111122223333", Zone: "eu-west-1a"}, nil
}

func (s surroundings) Leaving(context.Context) (string, error) {
	if err := s.act("imds:leaving"); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leaving, nil
}

func (s surroundings) Boot() (agent.Boot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return agent.Boot{ID: fmt.Sprintf("boot-%d", s.boots), Uptime: time.Since(s.bootedAt)}, nil
}

func (s surroundings) Claim(string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.claim != nil && s.claim != s.process {
		return agent.ErrClaimed
	}
	s.claim = s.process
	return nil
}

// evidencePort is what EC2 knows of instances.
type evidencePort struct{ *process }

func (e evidencePort) Instances(_ context.Context, ids []string) (map[string]string, error) {
	if err := e.act("ec2:" + strings.Join(ids, ",")); err != nil {
		return nil, err
	}
	if err := e.act("ec2"); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ec2 == nil {
		return map[string]string{mine: "running", other: "running"}, nil
	}
	return e.ec2, nil
}

// ec2Says sets what EC2 knows.
func (w *world) ec2Says(states map[string]string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ec2 = states
}

// storePort is the lock's store. Its writes are named by what they do to the
// host's entry.
type storePort struct {
	*process
	coordination.Store
}

func (s storePort) Fetch(ctx context.Context, fleet string) (coordination.Value, error) {
	if err := s.act("record:read"); err != nil {
		return coordination.Value{}, err
	}
	return s.Store.Fetch(ctx, fleet)
}

func (s storePort) Replace(ctx context.Context, old coordination.Value, body []byte) (coordination.Value, error) {
	if err := s.act("record:" + recordWrite(old.Body, body)); err != nil {
		return coordination.Value{}, err
	}
	return s.Store.Replace(ctx, old, body)
}

func recordWrite(before, after []byte) string {
	b, _ := coordination.Decode(before)
	a, _ := coordination.Decode(after)
	_, was := b.Holder(mine)
	is, ok := a.Holder(mine)
	switch {
	case ok:
		return string(is.Phase)
	case was:
		return "return"
	default:
		return "other"
	}
}

// rowsPort are the rows for eyes only.
type rowsPort struct {
	*process
	coordination.Rows
}

func (r rowsPort) PutHost(ctx context.Context, fleet string, row coordination.HostRow) error {
	if err := r.act("row"); err != nil {
		return err
	}
	return r.Rows.PutHost(ctx, fleet, row)
}

// recordChanged writes what became of the record into the transcript.
func (w *world) recordChanged(c coordtest.Applied) {
	before, _ := coordination.Decode(c.Before)
	after, err := coordination.Decode(c.After)
	switch {
	case c.Caller == operator || c.Caller == "":
		return
	case err != nil:
		w.say("lock", "cannot be read: %v", err)
		return
	}
	was, held := before.Holder(mine)
	is, holds := after.Holder(mine)
	switch {
	case !held && holds:
		w.say("lock", "slot granted, generation %d", is.Generation)
	case held && !holds:
		w.say("lock", "slot returned")
	case was.Phase != is.Phase:
		w.say("lock", "%s", is.Phase)
	case held:
		w.say("lock", "%s again", is.Phase)
	}
	for _, f := range after.Failures[min(len(before.Failures), len(after.Failures)):] {
		w.say("lock", "failure of %s: %s %s", f.Host, f.Release, f.Cause)
	}
	if len(after.Failures) < len(before.Failures) {
		w.say("lock", "failure withdrawn")
	}
	for _, f := range after.Refused[len(before.Refused):] {
		w.say("lock", "%s is refused", f.Release)
	}
}

// intentPort is the host's persistent directory. It outlives processes and
// boots.
type intentPort struct{ *process }

func (i intentPort) Load() ([]byte, error) {
	if err := i.act("intent:load"); err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.damaged:
		return nil, agent.ErrDamaged
	case len(i.intent) == 0:
		return nil, agent.ErrNoIntent
	}
	return i.intent, nil
}

func (i intentPort) Save(data []byte) error {
	before := i.file()
	err := i.act("intent:save")
	if err == nil {
		err = i.act("intent:" + intentWrite(before, data))
	}
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.intent, i.damaged = data, false
	return nil
}

func (i intentPort) SetAside(why string) (string, error) {
	if err := i.act("intent:aside"); err != nil {
		return "", err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.intent, i.damaged = nil, false
	i.aside++
	return "/state/intent." + why, nil
}

// loseIntent takes the intent file away, or damages it.
func (w *world) loseIntent(damage bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if damage {
		w.damaged = true
	} else {
		w.intent = nil
	}
}

// file is the intent file.
func (w *world) file() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.intent
}

// duty is the duty in the intent file; nil without one.
func (w *world) duty() *agent.Duty { return dutyOf(w.file()) }

func dutyOf(intent []byte) *agent.Duty {
	var in struct {
		Duty *agent.Duty `json:"duty"`
	}
	_ = json.Unmarshal(intent, &in)
	return in.Duty
}

// intentWrite names what a save adds to the intent.
func intentWrite(before, after []byte) string {
	b, a := dutyOf(before), dutyOf(after)
	switch {
	case a == nil:
		return "clear"
	case b == nil:
		return "duty"
	case a.Restored && !b.Restored:
		return "restored"
	case a.Outcome != b.Outcome:
		return "outcome"
	case a.Seen != b.Seen:
		return "seen"
	case a.Asks > b.Asks:
		return "armed"
	case a.Activating && !b.Activating:
		return "activating"
	case a.DrainCalls > b.DrainCalls:
		return "drain"
	case a.MadeActive && !b.MadeActive:
		return "active"
	default:
		return "again"
	}
}
