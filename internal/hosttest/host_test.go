package hosttest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/apiclientx"
	"github.com/drydock-ecs/drydock/apiclientx/apitest"
	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/coordination/dynamo"
	"github.com/drydock-ecs/drydock/internal/durable"
	"github.com/drydock-ecs/drydock/internal/dynamotest"
	"github.com/drydock-ecs/drydock/internal/ecstest"
	"github.com/drydock-ecs/drydock/internal/imdstest"
)

const (
	name       = "drydock" // of the host container
	tableName  = "drydock"
	oldRelease = "1.25.0"
	newRelease = "1.26.1"
)

// socketGroup is the group "api" of Bottlerocket.
const socketGroup = 274

// host is a Bottlerocket host in a cluster of two, whose other half has room
// for its tasks. Its files are where the host has them, below dir.
type host struct {
	t     *testing.T
	id    string
	dir   string
	api   *apitest.Host
	ecs   *ecstest.Cluster
	db    *dynamotest.Server
	fleet *coordination.Fleet
	downs chan struct{} // a requested reboot has taken effect

	mu    sync.Mutex
	calls map[string]int       // requests of the Bottlerocket API by name
	first map[string]time.Time // the first of them since the last forget
}

// newHost makes a host with everything but its agent. There can be one at a
// time: its servers have AWS's addresses.
func newHost(t *testing.T) *host {
	t.Helper()
	var id [8]byte
	_, _ = rand.Read(id[:]) // it never fails
	h := &host{t: t, id: fmt.Sprintf("i-0%x", id), dir: t.TempDir(), db: dynamotest.New(), downs: make(chan struct{}, 1),
		calls: make(map[string]int), first: make(map[string]time.Time)}
	h.ecs = ecstest.New(ecstest.Config{
		Name: "demo", Region: region,
		Life: ecstest.Life{
			Pending: 100 * time.Millisecond, Deactivating: time.Second,
			Stopping: 500 * time.Millisecond, Deprovisioning: 100 * time.Millisecond,
		},
		Agent: ecstest.AgentLife{Register: 200 * time.Millisecond, Connect: 50 * time.Millisecond, Deliver: 50 * time.Millisecond},
	})
	t.Cleanup(h.ecs.Close)
	for _, id := range []string{h.id, "i-other"} {
		h.must(h.ecs.AddHost(ecstest.Host{ID: id, Zone: region + "a"}))
	}
	h.ecs.AddService(ecstest.Service{Name: "web", Desired: 4})
	h.ecs.AddService(ecstest.Service{Name: "logs", Daemon: true})
	h.api = apitest.New(apitest.Config{
		Version:  oldRelease,
		Settings: apitest.Settings{Cluster: "demo"},
		Lengths:  apitest.Lengths{Prepare: 500 * time.Millisecond, Activate: 100 * time.Millisecond, Reboot: 200 * time.Millisecond},
		OnReboot: func() { h.downs <- struct{}{} },
		Fault:    func(op string) apitest.Fault { h.note(op); return apitest.Fault{} },
	})
	t.Cleanup(h.api.Close)
	h.makeFiles()
	h.open()
	return h
}

func (h *host) path(parts ...string) string {
	return filepath.Join(append([]string{h.dir}, parts...)...)
}

// state is the persistent folder of the host container.
func (h *host) state() string { return h.path("local/host-containers", name) }

func (h *host) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) write(path, content string) {
	h.t.Helper()
	h.must(os.MkdirAll(filepath.Dir(path), 0o755))
	h.must(os.WriteFile(path, []byte(content), 0o644))
}

// makeFiles makes the files that a host mounts into its host containers.
func (h *host) makeFiles() {
	h.must(os.MkdirAll(h.state(), 0o700))
	h.must(os.MkdirAll(h.path("support"), 0o755))
	h.must(os.MkdirAll(h.path("run"), 0o755))
	h.cover("/etc/hosts", hostsFile)
	h.cover("/etc/resolv.conf", "nameserver 127.0.0.1\n") // where nobody answers
	h.write(h.path("etc/os-release"), "ID=bottlerocket\nVERSION_ID="+oldRelease+"\nVARIANT_ID=aws-ecs-2\n")
	h.write(h.path("inventory/application.json"), "{}\n")
	h.write(h.path("apiclient"), "")
	h.boot()
}

// cover puts another text in the place of a file of this machine, in this
// mount namespace, until the test ends.
func (h *host) cover(file, text string) {
	h.t.Helper()
	h.write(h.path(file), text)
	h.must(unix.Mount(h.path(file), file, "", unix.MS_BIND, ""))
	h.t.Cleanup(func() { h.must(unix.Unmount(file, unix.MNT_DETACH)) })
}

// open opens the doors of the host and those of AWS.
func (h *host) open() {
	certificate := newCertificate(h.t, h.path("certs/ca-bundle.crt"))
	_, err := h.api.ListenUnix(h.socket())
	h.must(err)
	h.ownSocket()
	serve(h.t, metadataAddress, nil, imdstest.New(imdstest.Host{Instance: h.id, Region: region, AccessKey: h.id}))
	serve(h.t, agentAddress, nil, h.ecs.Agent(h.id))
	serve(h.t, apisAddress, certificate, apis{ecsName: h.ecs, dynamoName: h.db})
	table := dynamo.New(h.db.Client("observer"), tableName)
	h.fleet = &coordination.Fleet{ARN: h.ecs.ARN(), Store: table, Rows: table}
	_, err = table.Ensure(context.Background())
	h.must(err)
	body, err := coordination.NewRecord("hosttest", "slots = 1\n").Encode()
	h.must(err)
	_, err = table.Create(context.Background(), h.ecs.ARN(), body)
	h.must(err)
}

func (h *host) socket() string { return h.path("run/api.sock") }

// ownSocket gives the socket the owner and the mode that it has on a host.
func (h *host) ownSocket() {
	h.must(os.Chown(h.socket(), 0, socketGroup))
	h.must(os.Chmod(h.socket(), 0o660))
}

// bootFile is where the boot id is: on a real host in /proc/sys.
const bootFile = "boot_id"

// boot draws the boot id of a new boot.
func (h *host) boot() { h.write(filepath.Join(h.state(), bootFile), rand.Text()+"\n") }

// reboot takes the host through the reboot that its agent requested. The agent
// must have ended.
func (h *host) reboot() {
	h.t.Helper()
	h.ecs.HostDown(h.id)
	h.boot()
	if booted := h.api.Boot(); !booted.Up {
		h.t.Fatalf("the host did not come up: %+v", booted)
	}
	h.ownSocket()
	h.forget()
	h.ecs.HostUp(h.id)
}

// settings are the host settings of the tests: those of every host, with
// lengths of seconds.
func settings() agent.Config {
	c := agent.DefaultConfig()
	c.CheckInterval = 2 * time.Second
	c.Lock.PollMin, c.Lock.PollMax, c.Lock.RebootAllowance = 500*time.Millisecond, 2*time.Second, 90*time.Second
	c.Drain.Timeout, c.Verify.Timeout = 60*time.Second, 60*time.Second
	c.Timing = agent.TimingConfig{
		RebootDeadline: 90 * time.Second, SecondLook: 3 * time.Second, EvidenceGap: 5 * time.Second,
		ReassertWithin: 2 * time.Second, FreeSlotLook: time.Second,
	}
	c.Host.BootIDFile = filepath.Join(c.Host.StateDir, bootFile)
	return c
}

// note counts a request of the Bottlerocket API.
func (h *host) note(op string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls[op]++
	if h.first[op].IsZero() {
		h.first[op] = time.Now()
	}
}

func (h *host) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.first)
}

func (h *host) firstOf(op string) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.first[op]
}

// checks is how often the agents asked for a release so far.
func (h *host) checks() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.calls[string(apiclientx.Refresh)]
}

// holder is the host's entry in the lock record.
func (h *host) holder() (coordination.Holder, bool) {
	h.t.Helper()
	r, err := h.fleet.Look(context.Background())
	h.must(err)
	return r.Holder(h.id)
}

func (h *host) holds() bool { _, ok := h.holder(); return ok }

func (h *host) status() string { return h.ecs.Status(h.id) }

// drains says whether the host drains and its agent has been told so. An agent
// that ends before that owes ECS another look, which is a minute away.
func (h *host) drains() bool {
	if h.status() != "DRAINING" {
		return false
	}
	content, err := durable.New(h.state()).Load()
	var in agent.Intent
	if err != nil || json.Unmarshal(content, &in) != nil {
		return false // it was just being written
	}
	return in.Duty != nil && in.Duty.DrainOpen == 0
}

// row is what the host says of itself in the table.
func (h *host) row() (coordination.HostRow, bool) {
	h.t.Helper()
	rows, err := h.fleet.Rows.Hosts(context.Background(), h.ecs.ARN())
	h.must(err)
	for _, row := range rows {
		if row.Host == h.id {
			return row, true
		}
	}
	return coordination.HostRow{}, false
}

// updated says whether the host is back in service on the new release.
func (h *host) updated() bool {
	return h.api.Running() == newRelease && h.status() == "ACTIVE" && !h.holds()
}
