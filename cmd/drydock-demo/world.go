package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drydock-ecs/drydock/apiclientx/apitest"
	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/coordination/dynamo"
	"github.com/drydock-ecs/drydock/internal/dynamotest"
	"github.com/drydock-ecs/drydock/internal/ec2test"
	"github.com/drydock-ecs/drydock/internal/ecstest"
)

// tableName is the fleet's DynamoDB table.
const tableName = "drydock"

// operator is the access key id of the commands that a person would run, and
// observer that of the demo's own eyes.
const (
	operator = "operator"
	observer = "observer"
)

// world is everything around the agents.
type world struct {
	options   options
	inherited []string // environment of this process
	printer   *printer
	ledger    *ledger
	dir       string // the hosts' files
	run       string // eight hex digits that no other run on this machine has
	lengths   apitest.Lengths

	ecs       *ecstest.Cluster
	ec2       *ec2test.Account
	db        *dynamotest.Server
	servers   servers
	endpoints endpoints
	fleet     *coordination.Fleet // the lock record, seen by the observer
	arrivals  chan *host          // hosts that join while the others live

	members sync.RWMutex
	hosts   []*host
	byID    map[string]*host

	mu         sync.Mutex
	lockWrites map[string]int
	ecsFault   func(ecstest.Call) ecstest.Fault
	dbFault    func(dynamotest.Call) dynamotest.Fault
	listener   func(entry)
}

// newWorld builds the services and the hosts; nothing runs yet but servers.
func newWorld(o options, inherited []string, p *printer) (*world, error) {
	var id [4]byte
	_, _ = rand.Read(id[:]) // it never fails
	w := &world{
		options: o, inherited: inherited, printer: p, run: fmt.Sprintf("%x", id),
		lengths: hostLengths(), byID: make(map[string]*host), lockWrites: make(map[string]int),
		ec2: ec2test.New(region), arrivals: make(chan *host),
	}
	w.ledger = newLedger(w.told)
	if err := w.makeFolder(); err != nil {
		return nil, err
	}
	w.db = dynamotest.New()
	w.db.Faults(w.seeTable)
	w.ec2.SetFault(w.seeEC2)
	w.ecs = ecstest.New(ecstest.Config{
		Name: w.clusterName(), Region: region, Life: replicaLife(), Agent: agentLengths(),
		SchedulerDelay: 100 * time.Millisecond, Observe: w.seeStatus, Fault: w.seeECS,
	})
	w.fleet = w.openFleet()
	err := w.serve()
	for i := 0; err == nil && i < o.hosts; i++ {
		err = w.addHost(i + 1)
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *world) clusterName() string { return "demo" }

func (w *world) makeFolder() (err error) {
	if w.options.keep == "" {
		w.dir, err = os.MkdirTemp("", "drydock-demo-")
	} else {
		w.dir = filepath.Join(w.options.keep, "run-"+w.run)
		err = os.MkdirAll(w.dir, 0o700)
	}
	if err != nil {
		return fmt.Errorf("make a folder for the hosts: %w", err)
	}
	return nil
}

// serve puts the services on loopback ports.
func (w *world) serve() (err error) {
	if w.endpoints.ecs, err = w.servers.serve(w.ecs); err != nil {
		return err
	}
	if w.endpoints.dynamodb, err = w.servers.serve(w.db); err != nil {
		return err
	}
	if w.endpoints.ec2, err = w.servers.serve(w.ec2); err != nil {
		return err
	}
	w.endpoints.others, err = w.servers.serve(http.HandlerFunc(others))
	return err
}

func (w *world) addHost(number int) error {
	h, err := newHost(w, number)
	if h != nil {
		w.members.Lock()
		defer w.members.Unlock()
		w.hosts = append(w.hosts, h)
		w.byID[h.id] = h
	}
	return err
}

// all are the hosts that there are and were.
func (w *world) all() []*host {
	w.members.RLock()
	defer w.members.RUnlock()
	return slices.Clone(w.hosts)
}

// find returns a host by its instance id; nil when it is none.
func (w *world) find(id string) *host {
	w.members.RLock()
	defer w.members.RUnlock()
	return w.byID[id]
}

// startServices gives every host two tasks of a replica service and one of a
// daemon service, and waits until they run.
func (w *world) startServices(ctx context.Context) error {
	daemon := daemonLife()
	w.ecs.AddService(ecstest.Service{Name: "web", Desired: 2 * len(w.all())})
	w.ecs.AddService(ecstest.Service{Name: "logs", Daemon: true, Life: &daemon})
	return await(ctx, func() string {
		running := 0
		for _, task := range w.ecs.Tasks() {
			if task.Last == "RUNNING" {
				running++
			}
		}
		if running < 3*len(w.all()) {
			return fmt.Sprintf("%d of %d tasks run", running, 3*len(w.all()))
		}
		return ""
	})
}

// close takes the world down. Agents must have ended.
func (w *world) close() {
	for _, h := range w.all() {
		h.api.Close()
	}
	w.servers.close()
	w.ecs.Close()
	if w.options.keep == "" {
		_ = os.RemoveAll(w.dir)
	}
}

// live runs the hosts and the observer until the context ends or one of them
// fails. It returns when all processes have ended.
func (w *world) live(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, h := range w.all() {
		group.Go(func() error { return h.live(ctx) })
	}
	group.Go(func() error {
		for {
			select {
			case h := <-w.arrivals:
				group.Go(func() error { return h.live(ctx) })
			case <-ctx.Done():
				return nil
			}
		}
	})
	group.Go(func() error { return w.observe(ctx) })
	return group.Wait()
}

// offer puts a release into every host's update repository.
func (w *world) offer(release apitest.Release) {
	for _, h := range w.all() {
		h.api.Offer(release)
	}
}

// command runs a drydock command as an operator would and returns its output.
func (w *world) command(ctx context.Context, name string, args ...string) (string, error) {
	args = append([]string{name, "--table", tableName, "--fleet", w.ecs.ARN()}, args...)
	cmd := exec.CommandContext(ctx, w.options.drydock, args...)
	cmd.Env = w.endpoints.environment(w.inherited, operator, "")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("drydock %s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

func (w *world) openFleet() *coordination.Fleet {
	table := dynamo.New(w.db.Client(observer), tableName)
	return &coordination.Fleet{ARN: w.ecs.ARN(), Store: table, Rows: table}
}

func (w *world) logLevel() slog.Level {
	if w.options.verbose {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// name is how the output calls a host.
func (w *world) name(id string) string {
	if h := w.find(id); h != nil {
		return h.name
	}
	return id
}

// told shows an entry of the ledger.
func (w *world) told(e entry) {
	if text := describe(e); text != "" {
		w.printer.world(w.name(e.host), text)
	}
	w.mu.Lock()
	listener := w.listener
	w.mu.Unlock()
	if listener != nil {
		listener(e)
	}
}

// listen lets a story hear of each entry of the ledger from now on.
func (w *world) listen(listener func(entry)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listener = listener
}

// await looks until nothing is missing any more. At the end of the context it
// fails with what still is.
func await(ctx context.Context, missing func() string) error {
	for {
		what := missing()
		if what == "" {
			return nil
		}
		if !pause(ctx, awaitDelay) {
			return fmt.Errorf("still missing: %s", what)
		}
	}
}
