package main_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/apiclientx"
	"github.com/drydock-ecs/drydock/apiclientx/apitest"
	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/coordination/dynamo"
	"github.com/drydock-ecs/drydock/internal/dynamotest"
	"github.com/drydock-ecs/drydock/internal/ecstest"
	"github.com/drydock-ecs/drydock/internal/imdstest"
)

const (
	benchTable  = "drydock"
	benchRegion = "eu-north-1"
	oldRelease  = "1.50.0"
	newRelease  = "1.51.0"
	patience    = 30 * time.Second // with anything that a benchmark waits for
	lookDelay   = 5 * time.Millisecond
)

// benchHost is one host with everything that an agent on it speaks to: AWS
// over TLS, with the roots that the machine has, because certificates and
// connections are a part of what an agent needs.
type benchHost struct {
	b      *testing.B
	id     string
	binary string
	dir    string
	env    []string
	api    *apitest.Host
	ecs    *ecstest.Cluster
	db     *dynamotest.Server
	fleet  *coordination.Fleet
	downs  chan struct{} // a requested reboot has taken effect

	agent *exec.Cmd
	log   bytes.Buffer // of all its agents

	mu     sync.Mutex
	first  map[string]time.Time // by name: the first request since the agent's start
	counts map[string]int       // by name: requests since the last reset
}

// newBenchHost makes a host in a cluster of two, whose other half has room for
// its tasks. No agent runs yet.
func newBenchHost(b *testing.B, binary string) *benchHost {
	var id [8]byte
	_, _ = rand.Read(id[:]) // it never fails
	h := &benchHost{
		b: b, id: fmt.Sprintf("i-0%x", id), binary: binary, dir: b.TempDir(), db: dynamotest.New(),
		downs: make(chan struct{}, 1), first: make(map[string]time.Time), counts: make(map[string]int),
	}
	h.ecs = ecstest.New(ecstest.Config{
		Region: benchRegion,
		Life: ecstest.Life{
			Pending: 100 * time.Millisecond, Deactivating: 2 * time.Second,
			Stopping: 500 * time.Millisecond, Deprovisioning: 100 * time.Millisecond,
		},
		// Between two of the agent's looks, one a second: ECS is asked once more where
		// its agent has registered at a look and is not connected yet.
		Agent: ecstest.AgentLife{Register: 3500 * time.Millisecond, Connect: 50 * time.Millisecond, Deliver: 50 * time.Millisecond},
		Fault: func(ecstest.Call) ecstest.Fault { h.count("ecs"); return ecstest.Fault{} },
	})
	b.Cleanup(h.ecs.Close)
	for _, name := range []string{h.id, "i-other"} {
		h.must(h.ecs.AddHost(ecstest.Host{ID: name, Zone: benchRegion + "a"}))
	}
	h.ecs.AddService(ecstest.Service{Name: "web", Desired: 4})
	h.ecs.AddService(ecstest.Service{Name: "logs", Daemon: true})
	h.api = apitest.New(apitest.Config{
		Version:  oldRelease,
		OnReboot: func() { h.downs <- struct{}{} },
		Fault:    func(op string) apitest.Fault { h.count(op); return apitest.Fault{} },
	})
	b.Cleanup(h.api.Close)
	h.connect()
	h.makeRecord()
	h.boot()
	return h
}

func (h *benchHost) path(name string) string { return filepath.Join(h.dir, name) }

func (h *benchHost) must(err error) {
	h.b.Helper()
	if err != nil {
		h.b.Fatal(err)
	}
}

// connect opens the host's doors and writes the agent's settings.
func (h *benchHost) connect() {
	_, err := h.api.ListenUnix(h.path("api.sock"))
	h.must(err)
	imds := imdstest.New(imdstest.Host{Instance: h.id, Region: benchRegion, AccessKey: h.id})
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.count("imds")
		imds.ServeHTTP(w, r)
	}))
	local := httptest.NewServer(h.ecs.Agent(h.id))
	ecs, db := httptest.NewTLSServer(h.ecs), httptest.NewTLSServer(h.db)
	for _, server := range []*httptest.Server{metadata, local, ecs, db} {
		server.Config.ErrorLog = log.New(io.Discard, "", 0) // killed clients leave broken connections
		h.b.Cleanup(server.Close)
	}
	// A table that answers everybody else is for the benchmark's own eyes.
	h.db.Faults(func(c dynamotest.Call) dynamotest.Fault {
		switch {
		case c.Caller != h.id || c.Item != "lock":
		case c.Write:
			h.count("lock-write")
		default:
			h.count("lock-read")
		}
		return dynamotest.Fault{}
	})
	h.env = []string{
		"HOME=" + h.dir, "PATH=" + os.Getenv("PATH"),
		"AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
		"AWS_CA_BUNDLE=" + h.roots(ecs),
		"AWS_EC2_METADATA_SERVICE_ENDPOINT=" + metadata.URL,
		"AWS_ENDPOINT_URL_ECS=" + ecs.URL, "AWS_ENDPOINT_URL_DYNAMODB=" + db.URL,
	}
	h.env = append(h.env, strings.Fields(os.Getenv("DRYDOCK_BENCH_ENV"))...)
	c := agent.DefaultConfig()
	c.CheckInterval = time.Second
	c.Host.APISocket, c.Host.StateDir, c.Host.BootIDFile = h.path("api.sock"), h.dir, h.path("boot_id")
	c.Host.Introspection = local.URL
	h.must(os.WriteFile(h.path("settings.toml"), []byte(c.TOML()), 0o600))
}

// roots writes the certificates that the agent is to believe: the servers' own
// beside those of this machine, of which a host has about 140.
func (h *benchHost) roots(server *httptest.Server) string {
	var text []byte
	for _, file := range []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"} {
		if data, err := os.ReadFile(file); err == nil {
			text = append(data, '\n')
			break
		}
	}
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})...)
	h.must(os.WriteFile(h.path("roots.pem"), text, 0o600))
	return h.path("roots.pem")
}

// makeRecord creates the table and the lock record.
func (h *benchHost) makeRecord() {
	table := dynamo.New(h.db.Client("benchmark"), benchTable)
	h.fleet = &coordination.Fleet{ARN: h.ecs.ARN(), Store: table, Rows: table}
	_, err := table.Ensure(context.Background())
	h.must(err)
	body, err := coordination.NewRecord("benchmark", "slots = 1\n").Encode()
	h.must(err)
	_, err = table.Create(context.Background(), h.ecs.ARN(), body)
	h.must(err)
}

// boot writes the boot id of a new boot.
func (h *benchHost) boot() {
	h.must(os.WriteFile(h.path("boot_id"), []byte(rand.Text()+"\n"), 0o600))
}

// start starts the agent and forgets what was asked by the one before.
func (h *benchHost) start() time.Time {
	h.agent = exec.Command(h.binary, "agent", "--config", h.path("settings.toml"))
	h.agent.Env, h.agent.Stdout, h.agent.Stderr = h.env, &h.log, &h.log
	h.mu.Lock()
	clear(h.first)
	h.mu.Unlock()
	at := time.Now()
	h.must(h.agent.Start())
	return at
}

// kill ends the agent by force.
func (h *benchHost) kill() {
	if h.agent != nil {
		_ = h.agent.Process.Kill()
		_ = h.agent.Wait() // how it ended is known
		h.agent = nil
	}
}

// reboot takes the host through the reboot that its agent requested.
func (h *benchHost) reboot() {
	h.ecs.HostDown(h.id)
	h.kill()
	h.boot()
	if booted := h.api.Boot(); booted.Version != newRelease {
		h.b.Fatalf("booted %+v", booted)
	}
	h.ecs.HostUp(h.id)
}

// count notes one request. It may be called with a stand-in's lock held.
func (h *benchHost) count(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts[name]++
	if h.first[name].IsZero() {
		h.first[name] = time.Now()
	}
}

// reset begins to count anew.
func (h *benchHost) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.counts)
}

func (h *benchHost) counted(name string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.counts[name]
}

func (h *benchHost) firstOf(name string) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.first[name]
}

// checks is how often the agent asked for a release.
func (h *benchHost) checks() int { return h.counted(string(apiclientx.Refresh)) }

// holds says whether the record shows the host with a slot.
func (h *benchHost) holds() bool {
	r, err := h.fleet.Look(context.Background())
	h.must(err)
	_, ok := r.Holder(h.id)
	return ok
}

func (h *benchHost) draining() bool { return h.ecs.Status(h.id) == "DRAINING" }

// until waits until something is so, and calls each in between, if there is
// one.
func (h *benchHost) until(what string, so func() bool, each func()) {
	h.b.Helper()
	look := time.NewTicker(lookDelay)
	defer look.Stop()
	over := time.After(patience)
	for !so() {
		if each != nil {
			each()
		}
		select {
		case <-look.C:
		case <-over:
			h.kill()
			h.b.Fatalf("still not so: %s; the agents' log:\n%s", what, &h.log)
		}
	}
}

// memory is what a process has resident, in bytes.
type memory struct{ rss, anonymous, file, pss, peak float64 }

// typical is the middle one of the samples, by rss, with the highest peak.
func typical(samples []memory) memory {
	if len(samples) == 0 {
		return memory{}
	}
	slices.SortFunc(samples, func(a, b memory) int { return cmp.Compare(a.rss, b.rss) })
	m := samples[len(samples)/2]
	for _, s := range samples {
		m.peak = max(m.peak, s.peak)
	}
	return m
}

// sample reads what the agent has resident now. An agent that has just ended
// has nothing.
func (h *benchHost) sample() memory {
	proc := fmt.Sprintf("/proc/%d/", h.agent.Process.Pid)
	status := kilobytes(proc + "status")
	return memory{
		rss: status["VmRSS"], anonymous: status["RssAnon"], file: status["RssFile"] + status["RssShmem"],
		peak: status["VmHWM"], pss: kilobytes(proc + "smaps_rollup")["Pss"],
	}
}

// processor is the processor time that the agent's threads have used.
func (h *benchHost) processor() (sum time.Duration) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", h.agent.Process.Pid))
	h.must(err)
	for _, thread := range threads {
		text, _ := os.ReadFile(thread) // a thread may have ended
		used, _, _ := strings.Cut(string(text), " ")
		n, _ := strconv.ParseInt(used, 10, 64)
		sum += time.Duration(n)
	}
	return sum
}

// kilobytes reads the lines "name: N kB" of a file, as bytes.
func kilobytes(path string) map[string]float64 {
	sizes := make(map[string]float64)
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, ":")
		if size, ok := strings.CutSuffix(strings.TrimSpace(rest), " kB"); ok {
			if n, err := strconv.ParseFloat(size, 64); err == nil {
				sizes[name] = n * 1024
			}
		}
	}
	return sizes
}
