package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/coordination/dynamo"
	"github.com/drydock-ecs/drydock/internal/dynalitetest"
	"github.com/drydock-ecs/drydock/internal/dynamotest"
)

// onePage is how many lines a terminal of ordinary size may be asked to show.
const onePage = 50

// bigFleet is a fleet in which everything that there can be is there: more
// than the page has room for.
func bigFleet(hosts int, now time.Time) (coordination.Record, []coordination.HostRow) {
	r := coordination.NewRecord("x", "slots = 100\nmax_failures = 1000\n")
	r.Generation = 500
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for i := range 100 {
		r.Holders = append(r.Holders, coordination.Holder{
			Host: fmt.Sprintf("i-%017x", i), Generation: int64(i + 1), Phase: coordination.Draining, GrantedAt: ago(time.Minute), Since: ago(time.Minute),
			Announced: 1500, From: "1.25.0", Target: "1.26.1", Stuck: i == 70,
		})
	}
	r.Holders[80].Phase = coordination.Sick
	for i := range 40 {
		r.Failures = append(r.Failures, coordination.Failure{Host: fmt.Sprintf("i-%017x", 2000+i), Generation: int64(200 + i), Cause: "sick", Release: "1.26.0", At: ago(time.Hour)})
		r.Refused = append(r.Refused, coordination.Refusal{Release: fmt.Sprintf("1.%d.0", i), Host: "i-1", At: ago(time.Hour)})
	}
	var rows []coordination.HostRow
	for i := range hosts {
		row := coordination.HostRow{
			Host: fmt.Sprintf("i-%017x", i), Version: fmt.Sprintf("1.%d.0", 15+i%12), Offered: "1.26.1", Phase: "idle", Since: ago(time.Duration(i) * time.Second), Zone: "eu-north-1a",
			ARN: fmt.Sprintf("arn:aws:ecs:eu-north-1:111122223333:container-instance/web/%032x", i), Agent: "v0.1.0", Written: ago(time.Hour),
			Waves: map[string]string{"seed": "1234", "version-lock": "latest", "ignore-waves": "false"},
		}
		switch {
		case i < 100:
			row.Phase, row.Generation = "draining", int64(i+1)
		case i%5 == 0:
			row.Phase, row.Reason = "waiting", "waiting for a slot: 100 of 100 slots are taken"
		case i%5 == 1:
			row.Reason = fmt.Sprintf("standalone task %032x (batch-%d) runs here, and drain.standalone_tasks is defer", i, i%20)
		case i%5 == 2:
			row.Reason = fmt.Sprintf("backing off until 2026-03-01 %02d:00Z after %d attempts at 1.26.1", i%24, i%7)
		case i%50 == 3:
			row.Written = ago(60 * time.Hour)
		}
		rows = append(rows, row)
	}
	return r, rows
}

// Thousands of hosts fit one page, with what needs an operator on it.
func TestStatusFitsOnePage(t *testing.T) {
	now := time.Now()
	record, rows := bigFleet(5000, now)
	s := newFleetStatus(testTable, testFleet, record, rows, now)
	var out bytes.Buffer
	if err := s.write(&out, look{}); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	if n := strings.Count(text, "\n"); n > onePage {
		t.Errorf("%d lines, more than %d:\n%s", n, onePage, text)
	}
	for _, want := range []string{
		"100 of 100 in use",
		"35 earlier ones, and\n", "40 of 1000: 1.26.0 sick on",
		"holders   i-00000000000000046 1.25.0 -> 1.26.1, generation 71, draining since 1m ago, STUCK",
		"          i-00000000000000050 1.25.0 -> 1.26.1, generation 81, sick",
		"          and 90 more\n",
		"hosts     4902: 1 sick, 99 draining, 980 waiting, 3822 idle\n",
		"versions  1.15.0: 417, 1.17.0: 417, ", ", others: 2402\n",
		"silent    98 have not written for 49h; one of them: i-00000000000000067, 2d ago\n",
		"waiting   i-00000000000001383 1.18.0 -> 1.26.1, since 1h ago\n", "          and 970 more\n",
		"blocked   980 backing off until … after … attempts at 1.26.1; one of them: i-00000000000000066\n",
		"          245 standalone task … (batch-1) runs here, and drain.standalone_tasks is defer; one of them: i-",
		"a line for every host: drydock status --all --fleet " + testFleet + "\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	out.Reset()
	if err := s.write(&out, look{all: true}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "\ni-"); n != 5000 {
		t.Errorf("--all prints %d hosts", n)
	}
}

func TestCommonReason(t *testing.T) {
	for reason, want := range map[string]string{
		"":                         "",
		"the fleet refuses 1.26.1": "the fleet refuses 1.26.1",
		"backing off until 2026-03-01 12:00Z after 2 attempts at 1.26.1":       "backing off until … after … attempts at 1.26.1",
		"task 0123456789abcdef0123456789abcdef of service web is protected":    "task … of service web is protected",
		"it fell back on i-0123456789abcdef0":                                  "it fell back on i-0123456789abcdef0",
		"outside the maintenance window: next window Sat 22:00-02:00 UTC":      "outside the maintenance window: next window Sat 22:00-02:00 UTC",
		"service web: desired 4, running 4: lo 4 of 100 %, hi 4: it can't end": "service web: desired 4, running 4: lo 4 of 100 %, hi 4: it can't end",
	} {
		if got := common(reason); got != want {
			t.Errorf("%q: %q, want %q", reason, got, want)
		}
	}
}

// Up to thirty hosts have a line each without being asked for.
func TestStatusSmallFleet(t *testing.T) {
	for hosts, page := range map[int]bool{smallFleet: false, smallFleet + 1: true} {
		now := time.Now()
		_, rows := bigFleet(hosts, now)
		var out bytes.Buffer
		if err := newFleetStatus(testTable, testFleet, coordination.NewRecord("x", ""), rows, now).write(&out, look{}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(out.String(), "--all"); got != page {
			t.Errorf("%d hosts: a page %v, want %v", hosts, got, page)
		}
	}
}

// A page cannot be made to move the terminal either, and a long reason is cut.
func TestStatusPageIsPrintable(t *testing.T) {
	now := time.Now()
	_, rows := bigFleet(40, now)
	rows[7].Reason, rows[8].Version, rows[9].Phase = "a\x1b[2J"+strings.Repeat("ä", 500), "\x1b[2J", "\r\n"
	var out bytes.Buffer
	if err := newFleetStatus(testTable, testFleet, coordination.NewRecord("x", ""), rows, now).write(&out, look{}); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\r") || strings.Contains(out.String(), strings.Repeat("ä", pageWidth)) || !strings.Contains(out.String(), "ää…") {
		t.Errorf("%q", out.String())
	}
}

// A watch outlives what passes, and says it.
func TestWatch(t *testing.T) {
	clearAWS(t)
	synctest.Test(t, func(t *testing.T) {
		lock, server := newLock(t)
		if _, _, err := createRecord(t.Context(), lock, coordination.NewRecord("x", "")); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		looks := 0
		server.Faults(func(c dynamotest.Call) dynamotest.Fault {
			if c.Op != "GetItem" {
				return dynamotest.Fault{}
			}
			switch looks++; looks {
			case 2:
				return dynamotest.Fault{Answer: dynamotest.Denied}
			case 4:
				cancel()
			}
			return dynamotest.Fault{}
		})
		var out, errs bytes.Buffer
		began := time.Now()
		if err := watch(ctx, lock, look{watch: true, interval: 10 * time.Second}, environment{stdout: &out, stderr: &errs}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 30*time.Second {
			t.Errorf("four looks took %v", took)
		}
		if n := strings.Count(out.String(), "fleet  "); n != 2 || strings.Contains(out.String(), "\x1b") {
			t.Errorf("%d pages: %q", n, out.String())
		}
		if n := strings.Count(errs.String(), "drydock: read the lock record"); n != 1 {
			t.Errorf("said %q", errs.String())
		}
	})
}

// A watch whose first look fails ends, and one whose reader has gone ends.
func TestWatchEnds(t *testing.T) {
	lock, _ := newLock(t)
	if err := watch(t.Context(), lock, look{interval: time.Hour}, environment{stdout: &bytes.Buffer{}}); !errors.Is(err, coordination.ErrNotFound) {
		t.Errorf("no record: %v", err)
	}
	if _, _, err := createRecord(t.Context(), lock, coordination.NewRecord("x", "")); err != nil {
		t.Fatal(err)
	}
	if err := watch(t.Context(), lock, look{interval: time.Hour}, environment{stdout: broken{}}); !errors.Is(err, errBroken) {
		t.Errorf("broken pipe: %v", err)
	}
}

var errBroken = errors.New("broken pipe")

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errBroken }

// statusWithin is how long an operator with 5,000 hosts may wait for a page.
const statusWithin = 2 * time.Second

// BenchmarkStatusOfThousands reads 5,000 rows over the wire, from a DynamoDB of
// another make, and puts them on a page.
func BenchmarkStatusOfThousands(b *testing.B) {
	lock := thousands(b)
	for b.Loop() {
		var out bytes.Buffer
		if err := status(b.Context(), lock, look{}, &out); err != nil {
			b.Fatal(err)
		}
		if !strings.Contains(out.String(), "hosts     4902: ") {
			b.Fatalf("not all hosts:\n%s", out.String())
		}
	}
	if took := b.Elapsed() / time.Duration(b.N); took > statusWithin {
		b.Errorf("status of 5,000 hosts took %v, more than %v", took, statusWithin)
	}
}

// thousands is a fleet of 5,000 hosts in dynalite.
func thousands(t testing.TB) fleetLock {
	t.Helper()
	clearAWS(t)
	store := dynamo.New(dynalitetest.Start(t), testTable)
	if _, err := store.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	lock := fleetLock{Fleet: coordination.Fleet{ARN: testFleet, Store: store, Rows: store}, table: testTable}
	record, rows := bigFleet(5000, time.Now())
	if _, _, err := createRecord(t.Context(), lock, record); err != nil {
		t.Fatal(err)
	}
	var group errgroup.Group
	group.SetLimit(16)
	for _, row := range rows {
		group.Go(func() error { return store.PutHost(t.Context(), testFleet, row) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	return lock
}
