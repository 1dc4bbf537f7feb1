package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/internal/dynamotest"
)

// The members of the JSON are a promise: this list may only grow.
func TestStatusMembers(t *testing.T) {
	record := coordination.Record{
		Schema: 1, Policy: "slots = 1\n", Generation: 3,
		Holders:  []coordination.Holder{{Host: "i-1", Generation: 3}},
		Failures: []coordination.Failure{{Host: "i-1"}},
		Refused:  []coordination.Refusal{{Release: "1.0.0"}},
		Halt:     &coordination.Halt{Who: "op"},
	}
	var out bytes.Buffer
	if err := newFleetStatus("t", testFleet, record, nil, time.Now()).write(&out, look{json: true}); err != nil {
		t.Fatal(err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(out.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	check := func(name, want string, members map[string]json.RawMessage) {
		if got := strings.Join(slices.Sorted(maps.Keys(members)), " "); got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
	check("status", "asked average_hold failures fleet generation halt halted holders hosts incarnation max_failures policy policy_fault refused slots slots_used table", all)
	for name, want := range map[string]string{
		"holders":  "from generation granted host phase restore seen since stuck target until zone",
		"failures": "at cause generation host release",
		"refused":  "at host release",
		"hosts":    "agent ahead arn host offered phase reason since slot stuck ticket version wait waves written zone",
	} {
		var list []map[string]json.RawMessage
		if err := json.Unmarshal(all[name], &list); err != nil || len(list) != 1 {
			t.Fatalf("%s: %s, %v", name, all[name], err)
		}
		check(name, want, list[0])
	}
}

// A fleet without anything has empty lists, not null.
func TestStatusEmpty(t *testing.T) {
	var out bytes.Buffer
	if err := newFleetStatus("t", testFleet, coordination.NewRecord("x", ""), nil, time.Now()).write(&out, look{json: true}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"holders": []`, `"failures": []`, `"refused": []`, `"hosts": []`, `"halt": null`, `"slots": 1`, `"halted": ""`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
}

func TestStatusHalted(t *testing.T) {
	now := time.Now()
	for name, test := range map[string]struct {
		record coordination.Record
		state  string
		slots  string
	}{
		"going on": {coordination.Record{Policy: "slots = 2\n"}, "going on", "0 of 2 in use"},
		"by an operator": {
			coordination.Record{Halt: &coordination.Halt{Who: "op", Reason: "look", At: now.Add(-time.Hour)}},
			"halted by op: look (1h ago)", "0 of 1 in use",
		},
		"by failures": {
			coordination.Record{Failures: []coordination.Failure{{Host: "i-1", Release: "1.0.0", Cause: "sick"}}},
			"halted: 1 of 1 failures; the last: 1.0.0 sick on i-1", "0 of 1 in use",
		},
		"by its policy": {
			coordination.Record{Policy: "slots = 0\nzones = 1\n", Holders: []coordination.Holder{{Host: "i-1"}}},
			"halted: the policy cannot be read: policy:1: slots: ", "1 in use",
		},
	} {
		s := newFleetStatus("t", testFleet, test.record, nil, now)
		if got := s.stateText(); !strings.HasPrefix(got, test.state) || strings.Contains(got, "\n") {
			t.Errorf("%s: state %q, want %q", name, got, test.state)
		}
		if got := s.slotsText(); !strings.HasPrefix(got, test.slots) {
			t.Errorf("%s: slots %q, want %q", name, got, test.slots)
		}
	}
}

// A holder's phase is the later one of its row and its entry.
func TestStatusHolderPhase(t *testing.T) {
	now := time.Now()
	holder := coordination.Holder{Host: "i-1", Generation: 7, Phase: coordination.Verifying, Since: now.Add(-time.Hour), Target: "2"}
	for name, test := range map[string]struct {
		rows  []coordination.HostRow
		phase string
	}{
		"no row":        {nil, "verifying"},
		"an older row":  {[]coordination.HostRow{{Host: "i-1", Phase: "waiting", Since: now.Add(-2 * time.Hour), Ticket: 3}}, "verifying"},
		"a later row":   {[]coordination.HostRow{{Host: "i-1", Phase: "restoring", Since: now}}, "restoring"},
		"a row of both": {[]coordination.HostRow{{Host: "i-1", Phase: "verifying", Since: now.Add(-time.Hour)}}, "verifying"},
	} {
		s := newFleetStatus("t", testFleet, coordination.Record{Generation: 7, Holders: []coordination.Holder{holder}}, test.rows, now)
		if len(s.Hosts) != 1 {
			t.Fatalf("%s: %d hosts", name, len(s.Hosts))
		}
		if h := s.Hosts[0]; h.Phase != test.phase || h.Slot != 7 || h.Ahead != nil || h.Offered != "2" {
			t.Errorf("%s: %+v", name, h)
		}
	}
}

// A host whose slot was freed in an update says so no more by itself.
func TestStatusFreed(t *testing.T) {
	now := time.Now()
	row := func(host, phase, reason string, age time.Duration) coordination.HostRow {
		return coordination.HostRow{Host: host, Phase: phase, Reason: reason, Written: now.Add(-age)}
	}
	s := newFleetStatus("t", testFleet, coordination.Record{Holders: []coordination.Holder{{Host: "i-holds", Generation: 7, Phase: coordination.Rebooting}}},
		[]coordination.HostRow{row("i-holds", "rebooting", "", time.Hour), row("i-freed", "rebooting", "", time.Hour),
			row("i-just", "verifying", "", time.Second), row("i-idle", "idle", "", time.Hour), row("i-says", "draining", "why", time.Hour)}, now)
	want := map[string]string{"i-holds": "", "i-freed": "its slot was freed: the instance is gone, or its agent does not run", "i-just": "", "i-idle": "", "i-says": "why"}
	for _, h := range s.Hosts {
		if h.Reason != want[h.Host] {
			t.Errorf("%s: %q", h.Host, h.Reason)
		}
	}
}

// A host that never wrote more than rubbish does not move the terminal.
func TestStatusTextIsPrintable(t *testing.T) {
	nasty := "a\x1b[2Jb\r\n\tc\u202ed\x00\xff"
	record := coordination.Record{
		Holders: []coordination.Holder{{Host: nasty, From: nasty, Target: nasty, Phase: coordination.Phase(nasty)}},
		Refused: []coordination.Refusal{{Release: nasty, Host: nasty}}, Halt: &coordination.Halt{Who: nasty, Reason: nasty},
		Failures: []coordination.Failure{{Host: nasty, Cause: nasty, Release: nasty}},
	}
	row := coordination.HostRow{Host: nasty, Version: nasty, Offered: nasty, Phase: nasty, Reason: nasty}
	var out bytes.Buffer
	if err := newFleetStatus("t", nasty, record, []coordination.HostRow{row}, time.Now()).write(&out, look{}); err != nil {
		t.Fatal(err)
	}
	if i := strings.IndexAny(out.String(), "\x1b\r\t\x00\u202e"); i >= 0 {
		t.Errorf("%q", out.String()[i:])
	}
	if n := strings.Count(out.String(), "\n"); n != 10 {
		t.Errorf("%d lines:\n%s", n, out.String())
	}
}

// The rows may be unreadable while the record is not: then there is no status.
func TestStatusWithoutRows(t *testing.T) {
	lock, server := newLock(t)
	if _, _, err := createRecord(t.Context(), lock, coordination.NewRecord("x", "")); err != nil {
		t.Fatal(err)
	}
	server.Faults(func(c dynamotest.Call) dynamotest.Fault {
		if c.Op == "Query" {
			return dynamotest.Fault{Answer: dynamotest.Denied}
		}
		return dynamotest.Fault{}
	})
	var out bytes.Buffer
	if err := status(t.Context(), lock, look{}, &out); err == nil || out.Len() > 0 {
		t.Errorf("%v, printed %q", err, out.String())
	}
}

func TestAge(t *testing.T) {
	for _, test := range []struct {
		d    time.Duration
		want string
	}{
		{-time.Hour, "0s"}, {0, "0s"}, {59*time.Second + 999*time.Millisecond, "59s"}, {time.Minute, "1m"},
		{time.Hour - 1, "59m"}, {time.Hour, "1h"}, {48*time.Hour - 1, "47h"}, {48 * time.Hour, "2d"}, {240 * time.Hour, "10d"},
	} {
		if got := age(test.d); got != test.want {
			t.Errorf("age(%v) = %q, want %q", test.d, got, test.want)
		}
	}
}
