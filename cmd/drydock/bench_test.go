package main_test

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/drydock-ecs/drydock/apiclientx/apitest"
)

// What the binary may cost.
const (
	maxSize   = 12e6
	maxMemory = 16e6
	maxStart  = 50 * time.Millisecond
	maxECS    = 12
	maxWrites = 6
)

// BenchmarkProcess measures the built binary (DRYDOCK_BENCH, which `make
// bench` sets) as a process on this machine. Each part is one run, and times of
// operations mean nothing. DRYDOCK_BENCH_ENV ("GOGC=10 GOMAXPROCS=4") adds to
// the agents' environment.
func BenchmarkProcess(b *testing.B) {
	binary := os.Getenv("DRYDOCK_BENCH")
	if binary == "" {
		b.Skip("DRYDOCK_BENCH names no binary: make bench")
	}
	var t report
	b.Run("Size", func(b *testing.B) { benchSize(b, binary, &t) })
	b.Run("Update", func(b *testing.B) { benchUpdate(b, binary, &t) })
	b.Run("Start", func(b *testing.B) { benchStart(b, binary, &t) })
	t.print()
}

func benchSize(b *testing.B, binary string, t *report) {
	info, err := os.Stat(binary)
	if err != nil {
		b.Fatal(err)
	}
	metric(b, float64(info.Size()), "bytes")
	t.megabytes("static, stripped binary", float64(info.Size()), maxSize)
}

// benchUpdate takes a host from idling through one update back to idling, and
// looks at its agents' memory and calls on the way.
func benchUpdate(b *testing.B, binary string, t *report) {
	h := newBenchHost(b, binary)
	defer h.kill()
	h.start()
	const checks = 8
	h.until("started", func() bool { return h.checks() >= 2 }, nil)
	began := h.processor()
	h.reset()
	h.until("checked", func() bool { return h.checks() >= checks }, nil)
	idle, used := h.sample(), h.processor()
	calls, reads := h.counted("ecs"), h.counted("lock-read")
	h.reset()
	h.api.Offer(apitest.Release{Version: newRelease})
	var drain, verify []memory
	h.until("drained", func() bool { return len(h.downs) > 0 }, func() {
		if h.draining() {
			drain = append(drain, h.sample())
		}
	})
	h.reboot()
	h.start()
	h.until("restored", func() bool { return !h.draining() && !h.holds() }, func() { verify = append(verify, h.sample()) })
	ecs, writes, looks := h.counted("ecs"), h.counted("lock-write"), h.counted("lock-read")
	h.reset()
	h.until("checked again", func() bool { return h.checks() >= checks }, nil)
	after := h.sample()

	metric(b, float64(ecs), "ecs-calls/update")
	metric(b, float64(writes), "lock-writes/update")
	metric(b, float64(looks), "lock-reads/update")
	metric(b, float64(calls), "ecs-calls/idle")
	metric(b, (used-began).Seconds()*1000/checks, "cpu-ms/check")
	for _, at := range []struct {
		name string
		memory
	}{{"idle", idle}, {"draining", typical(drain)}, {"verifying", typical(verify)}, {"after", after}} {
		metric(b, at.rss, at.name+"-rss-B")
		metric(b, at.pss, at.name+"-pss-B")
		metric(b, at.anonymous, at.name+"-anon-B")
		t.memory("resident, "+at.name, at.memory)
	}
	t.number("calls of ECS an update", ecs, maxECS)
	t.number("writes of the lock an update", writes, maxWrites)
	t.number("reads of the lock an update", looks, noTarget)
	t.number(fmt.Sprintf("calls of ECS in %d checks", checks), calls, 0)
	t.number(fmt.Sprintf("reads of the lock in %d checks", checks), reads, noTarget)
	t.add("processor time a check", fmt.Sprint(((used - began) / checks).Round(100*time.Microsecond)), "", true)
}

// benchStart measures starts in the middle of an update, where the agent looks
// at its host at once: an idle one waits first, so that hosts started together
// do not ask together.
func benchStart(b *testing.B, binary string, t *report) {
	h := newBenchHost(b, binary)
	defer h.kill()
	h.api.Offer(apitest.Release{Version: newRelease})
	h.start()
	h.until("drained", func() bool { return len(h.downs) > 0 }, nil)
	h.ecs.AgentDown(h.id) // so that it stays in verifying
	h.reboot()
	var metadata, host []time.Duration
	for range 20 {
		began := h.start()
		h.until("asked", func() bool { return !h.firstOf("os").IsZero() }, nil)
		metadata = append(metadata, h.firstOf("imds").Sub(began))
		host = append(host, h.firstOf("os").Sub(began))
		h.kill()
	}
	for _, calls := range []struct {
		name string
		took []time.Duration
	}{{"metadata service", metadata}, {"Bottlerocket API", host}} {
		slices.Sort(calls.took)
		t.times("start to first call of the "+calls.name, calls.took)
	}
	metric(b, float64(metadata[len(metadata)/2])/1e6, "first-call-ms")
	metric(b, float64(host[len(host)/2])/1e6, "first-os-ms")
}

// metric reports a number in place of the time of an operation, which means
// nothing here.
func metric(b *testing.B, n float64, unit string) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(n, unit)
}

// report is the summary for people.
type report []finding

// finding is a line of it.
type finding struct{ what, measured, target, verdict string }

// add writes down a finding, over an earlier one of the same thing: package
// testing may run a short benchmark more than once.
func (t *report) add(what, measured, target string, holds bool) {
	f := finding{what: what, measured: measured, target: target}
	switch {
	case target == "":
	case holds:
		f.verdict = "ok"
	default:
		f.verdict = "MISSED"
	}
	i := slices.IndexFunc(*t, func(f finding) bool { return f.what == what })
	if i < 0 {
		*t = append(*t, f)
		return
	}
	(*t)[i] = f
}

func (t *report) megabytes(what string, n, limit float64) {
	t.add(what, fmt.Sprintf("%.2f MB", n/1e6), fmt.Sprintf("<= %.0f MB", limit/1e6), n <= limit)
}

func (t *report) memory(what string, m memory) {
	t.add(what, fmt.Sprintf("%.1f MB (anon %.1f, file %.1f; pss %.1f, peak %.1f)",
		m.rss/1e6, m.anonymous/1e6, m.file/1e6, m.pss/1e6, m.peak/1e6), fmt.Sprintf("<= %.0f MB", maxMemory/1e6), m.rss <= maxMemory)
}

const noTarget = -1

func (t *report) number(what string, n, limit int) {
	target := fmt.Sprintf("<= %d", limit)
	if limit == noTarget {
		target = ""
	}
	t.add(what, fmt.Sprint(n), target, n <= limit)
}

func (t *report) times(what string, took []time.Duration) {
	median, longest := took[len(took)/2].Round(100*time.Microsecond), took[len(took)-1].Round(100*time.Microsecond)
	t.add(what, fmt.Sprintf("median %v, longest of %d: %v", median, len(took), longest), fmt.Sprintf("<= %v", maxStart), median <= maxStart)
}

func (t report) print() {
	fmt.Println()
	for _, f := range t {
		fmt.Printf("  %-45s %-55s %-9s %s\n", f.what, f.measured, f.target, f.verdict)
	}
	fmt.Println()
}
