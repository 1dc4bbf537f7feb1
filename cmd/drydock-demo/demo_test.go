package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestBadFlags(t *testing.T) {
	here, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		args []string
		want string
	}{
		{[]string{"--hosts", "1"}, "--hosts 1"},
		{[]string{"--hosts", "101"}, "--hosts 101"},
		{[]string{"--slots", "0"}, "--slots 0"},
		{[]string{"--hosts", "3", "--slots", "3"}, "at least one host must stay"},
		{[]string{"--timeout", "-1s"}, "--timeout"},
		{[]string{"--break", "everything"}, "kill, fallback, hang, dynamodb, lost-host, replaced-host, partition"},
		{[]string{"--keep", "/" + strings.Repeat("long/", 20)}, "too long for a socket"},
		{[]string{"--drydock", "/nowhere/drydock"}, "build it"},
		{[]string{"--frob"}, "frob"},
		{[]string{"now"}, `"now"`},
	}
	for _, tt := range tests {
		var out, errs bytes.Buffer
		args := append([]string{"--drydock", here}, tt.args...)
		if code := run(t.Context(), args, nil, &out, &errs); code != exitMisused {
			t.Errorf("%v: exit %d, want %d", tt.args, code, exitMisused)
		}
		if !strings.Contains(errs.String(), tt.want) || out.Len() > 0 {
			t.Errorf("%v: says %q and %q, want %q", tt.args, &errs, &out, tt.want)
		}
	}
	if code := run(t.Context(), []string{"-h"}, nil, new(bytes.Buffer), new(bytes.Buffer)); code != exitHolds {
		t.Errorf("-h: exit %d", code)
	}
}

// A fleet for which the usual time is too short gets more.
func TestTimeout(t *testing.T) {
	here, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for want, args := range map[time.Duration][]string{
		90 * time.Second:               {},
		time.Minute:                    {"--timeout", "1m"},
		startLength + 10*roundLength:   {"--hosts", "20", "--slots", "2"},
		90*time.Second + 2*time.Minute: {"--break", "kill"},
	} {
		o, err := parseOptions(append(args, "--drydock", here), new(bytes.Buffer))
		if err != nil || o.timeout != want {
			t.Errorf("%v: %v, %v, want %v", args, o.timeout, err, want)
		}
	}
}

func TestTrim(t *testing.T) {
	for line, want := range map[string]string{
		"<6>waiting for a slot host=i-0ab12 from=1.25.0":   "waiting for a slot from=1.25.0",
		"<4>the table does not answer host=i-0ab12":        "WARN the table does not answer",
		"<3>host is sick host=i-0ab12 reason=\"no agent\"": "ERROR host is sick reason=\"no agent\"",
		"<7>AWS SDK text=hello":                            "DEBUG AWS SDK text=hello",
		"panic: something <6>":                             "panic: something <6>",
		"drydock: load settings: no such file":             "drydock: load settings: no such file",
	} {
		if got := trim(line); got != want {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	}
}

func TestLines(t *testing.T) {
	var got []string
	l := &lines{tell: func(line string) { got = append(got, line) }}
	for _, piece := range []string{"one\ntw", "o\n", "", "\nthree"} {
		if n, err := l.Write([]byte(piece)); n != len(piece) || err != nil {
			t.Fatalf("wrote %d of %d, %v", n, len(piece), err)
		}
	}
	l.flush()
	l.flush()
	if want := "one|two||three"; strings.Join(got, "|") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What the agents get of this process's environment.
func TestEnvironment(t *testing.T) {
	inherited := []string{"PATH=/bin", "AWS_CA_BUNDLE=/x", "AWS_PROFILE=mine", "NOTIFY_SOCKET=/run/x", "JOURNAL_STREAM=1:2", "AWSOME=1"}
	e := endpoints{"http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:5", "http://127.0.0.1:3"}
	got := strings.Join(e.environment(inherited, "i-1", "http://127.0.0.1:4"), "\n")
	for _, want := range []string{"PATH=/bin", "AWSOME=1", "AWS_ACCESS_KEY_ID=i-1", "AWS_ENDPOINT_URL_ECS=http://127.0.0.1:1",
		"AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:2", "AWS_ENDPOINT_URL_EC2=http://127.0.0.1:5", "AWS_ENDPOINT_URL=http://127.0.0.1:3", "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:4"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing", want)
		}
	}
	for _, bad := range []string{"AWS_CA_BUNDLE", "AWS_PROFILE", "NOTIFY_SOCKET", "JOURNAL_STREAM"} {
		if strings.Contains(got, bad) {
			t.Errorf("%s is passed on", bad)
		}
	}
	if alone := strings.Join(e.environment(inherited, operator, ""), "\n"); !strings.Contains(alone, "AWS_EC2_METADATA_DISABLED=true") {
		t.Error("a command without a host asks for metadata")
	}
}

// build makes the drydock binary for the tests that run whole stories.
func build(t *testing.T) string {
	t.Helper()
	if os.Getenv("DRYDOCK_DEMO_TEST") != "1" {
		t.Skip("takes most of a minute; DRYDOCK_DEMO_TEST=1 runs it")
	}
	path := filepath.Join(t.TempDir(), "drydock")
	if out, err := exec.Command("go", "build", "-o", path, "../drydock").CombinedOutput(); err != nil {
		t.Fatalf("build drydock: %v\n%s", err, out)
	}
	return path
}

func TestStories(t *testing.T) {
	binary := build(t)
	for _, s := range stories() {
		t.Run("break="+s.name, func(t *testing.T) {
			t.Parallel()
			var out, errs bytes.Buffer
			args := []string{"--drydock", binary, "--break", s.name, "--timeout", "3m"}
			if code := run(t.Context(), args, os.Environ(), &out, &errs); code != exitHolds {
				t.Errorf("exit %d\n%s\n%s", code, &out, &errs)
			}
		})
	}
}

// However a run ends, it leaves neither files nor processes, and says what was
// missing.
func TestDeadlineAndInterrupt(t *testing.T) {
	binary := build(t)
	t.Setenv("TMPDIR", t.TempDir())
	for name, tt := range map[string]struct {
		interrupt time.Duration
		args      []string
		want      string
	}{
		"deadline":  {time.Minute, []string{"--timeout", "6s"}, "the time is over (6s); still missing: host-"},
		"interrupt": {4 * time.Second, nil, "still missing: host-"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), tt.interrupt)
		var out, errs bytes.Buffer
		code := run(ctx, append(tt.args, "--drydock", binary), os.Environ(), &out, &errs)
		cancel()
		if code != exitBroken || !strings.Contains(errs.String(), tt.want) {
			t.Errorf("%s: exit %d, %q", name, code, &errs)
		}
		left, err := os.ReadDir(os.Getenv("TMPDIR"))
		if err != nil || len(left) > 0 {
			t.Errorf("%s: left %v, %v", name, left, err)
		}
	}
}
