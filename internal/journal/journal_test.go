package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/slogtest"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
	"pgregory.net/rapid"
)

func TestPipe(t *testing.T) {
	for _, test := range []struct {
		log  func(*slog.Logger)
		want string
	}{
		{func(l *slog.Logger) { l.Info("phase changed", "phase", "draining", "generation", 7) }, "<6>phase changed phase=draining generation=7\n"},
		{func(l *slog.Logger) { l.Error("drain host", "error", errors.New("no \"answer\"\nat all")) }, `<3>drain host error="no \"answer\"\nat all"` + "\n"},
		{func(l *slog.Logger) { l.Warn("late") }, "<4>late\n"},
		{func(l *slog.Logger) { l.Debug("look") }, "<7>look\n"},
		{func(l *slog.Logger) { l.Log(t.Context(), slog.LevelError+4, "worse") }, "<3>worse\n"},
		{func(l *slog.Logger) { l.Log(t.Context(), slog.LevelDebug-4, "trace") }, ""},
		{func(l *slog.Logger) { l.Info("a\n<0>b") }, `<6>"a\n<0>b"` + "\n"},
		{func(l *slog.Logger) { l.Info("a \"b\" \\ ü") }, "<6>a \"b\" \\ ü\n"},
		{func(l *slog.Logger) { l.Info("bad \xff") }, `<6>"bad \xff"` + "\n"},
		{func(l *slog.Logger) { l.Info("keys", "a b", "c", "d\ne", "f=g") }, `<6>keys "a b"=c "d\ne"="f=g"` + "\n"},
		{func(l *slog.Logger) { l.Info("names", "msg", "m", "level", "l", "time", "t") }, "<6>names msg=m level=l time=t\n"},
		{func(l *slog.Logger) { l.With("host", "i-1").WithGroup("g").With("a", 1).Info("groups", "b", 2) }, "<6>groups host=i-1 g.a=1 g.b=2\n"},
		{func(l *slog.Logger) { l.Info("took", "time", 90*time.Second) }, "<6>took time=1m30s\n"},
	} {
		var b bytes.Buffer
		test.log(New(&b, Options{Level: slog.LevelDebug}))
		if b.String() != test.want {
			t.Errorf("%q, want %q", b.String(), test.want)
		}
	}
}

func TestLevel(t *testing.T) {
	var b bytes.Buffer
	level := new(slog.LevelVar)
	for _, o := range []Options{{}, {Level: level}, {Level: level, JSON: true}} {
		b.Reset()
		level.Set(slog.LevelInfo)
		l := New(&b, o)
		l.Debug("no")
		level.Set(slog.LevelDebug)
		l.Debug("yes")
		if got := strings.Count(b.String(), "\n"); got != map[bool]int{true: 1}[o.Level != nil] || strings.Contains(b.String(), "no") {
			t.Errorf("%+v: %q", o, b.String())
		}
	}
}

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	New(&b, Options{JSON: true}).With("host", "i-1").WithGroup("g").Error("drain\nhost", "level", slog.LevelInfo)
	var got map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil || bytes.Count(b.Bytes(), []byte("\n")) != 1 {
		t.Fatalf("%q: %v", b.String(), err)
	}
	if _, err := time.Parse(time.RFC3339Nano, fmt.Sprint(got["time"])); err != nil {
		t.Error(err)
	}
	delete(got, "time")
	want := map[string]any{"level": "ERROR", "priority": 3.0, "msg": "drain\nhost", "host": "i-1", "g": map[string]any{"level": "INFO"}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// The lines of a file have the time, which the journal would have added.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	New(f, Options{}).Warn("late", "host", "i-1")
	data, err := os.ReadFile(path)
	if want := regexp.MustCompile(`^<4>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z late host=i-1\n$`); err != nil || !want.Match(data) {
		t.Errorf("%q, %v", data, err)
	}
}

func TestFormOf(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, test := range []struct {
		w    io.Writer
		want form
	}{{w, pipe}, {new(bytes.Buffer), pipe}, {null, terminal}} { // a terminal is a character device as well
		if got := formOf(test.w); got != test.want {
			t.Errorf("%T has form %d, want %d", test.w, got, test.want)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got := formOf(w); got != pipe {
		t.Errorf("a closed file has form %d", got)
	}
}

func TestTerminal(t *testing.T) {
	var b bytes.Buffer
	h := newLineHandler(&b, slog.LevelInfo, terminal)
	r := slog.NewRecord(time.Date(2026, 7, 4, 12, 30, 15, 999, time.UTC), slog.LevelWarn, "late", 0)
	r.AddAttrs(slog.String("host", "i-1"))
	if err := h.Handle(t.Context(), r); err != nil || b.String() != "12:30:15 WARN late host=i-1\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
}

// The standard library's own test of handlers. It reads our lines back.
func TestHandlerContract(t *testing.T) {
	var b bytes.Buffer
	slogtest.Run(t, func(*testing.T) slog.Handler {
		b.Reset()
		return newLineHandler(&b, slog.LevelInfo, file)
	}, func(t *testing.T) map[string]any {
		line := strings.TrimSuffix(b.String(), "\n")
		got := map[string]any{slog.LevelKey: line[:3]}
		rest := line[3:]
		if before, after, ok := strings.Cut(rest, "Z "); ok {
			got[slog.TimeKey], rest = before, after
		}
		words := strings.Fields(rest)
		got[slog.MessageKey] = words[0]
		for _, word := range words[1:] {
			key, value, _ := strings.Cut(word, "=")
			parts, at := strings.Split(key, "."), got
			for _, group := range parts[:len(parts)-1] {
				if at[group] == nil {
					at[group] = map[string]any{}
				}
				at = at[group].(map[string]any)
			}
			at[parts[len(parts)-1]] = value
		}
		return got
	})
}

// Whatever is logged, a record is one line, begins with its priority, and ends
// in as many attributes as it has.
func TestOneLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b bytes.Buffer
		message, key, value := rapid.String().Draw(t, "message"), rapid.String().Draw(t, "key"), rapid.String().Draw(t, "value")
		New(&b, Options{}).Info(message, key, value, "last", "x")
		line := b.String()
		if strings.Count(line, "\n") != 1 || !strings.HasPrefix(line, "<6>") || !strings.HasSuffix(line, " last=x\n") || strings.ContainsAny(line, "\r\x00") {
			t.Fatalf("%q", line)
		}
	})
}

func TestConcurrentLines(t *testing.T) {
	var b bytes.Buffer
	l := New(&b, Options{})
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			derived := l.With("worker", i)
			for range 100 {
				derived.Info("line", "same", i)
			}
		})
	}
	wait.Wait()
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	want := regexp.MustCompile(`^<6>line worker=(\d) same=(\d)$`)
	for _, line := range lines {
		if m := want.FindStringSubmatch(line); m == nil || m[1] != m[2] {
			t.Fatalf("%q", line)
		}
	}
	if len(lines) != 800 {
		t.Errorf("%d lines", len(lines))
	}
}

// sent is one call of send.
type sent struct {
	message  string
	priority journal.Priority
	fields   map[string]string
}

func TestFields(t *testing.T) {
	var got []sent
	var fail error
	var stream bytes.Buffer
	l := slog.New(&fieldHandler{lineHandler: newLineHandler(&stream, slog.LevelInfo, pipe),
		send: func(message string, priority journal.Priority, fields map[string]string) error {
			got = append(got, sent{message, priority, fields})
			return fail
		}})
	l.Debug("below the level")
	child := l.With("host", "i-1", "generation", 7)
	child.WithGroup("duty").With("from", "1.2.3").Warn("late", slog.Group("to", "version", "1.3.0"), "message", "m", "n", struct{ A int }{1})
	l.Info("plain\nline", "error", errors.New("a\nb"), slog.Group("", "inline", true))
	want := []sent{
		{"late host=i-1 generation=7 duty.from=1.2.3 duty.to.version=1.3.0 duty.message=m duty.n={A:1}", journal.PriWarning, map[string]string{
			"SYSLOG_IDENTIFIER": "drydock", "HOST": "i-1", "GENERATION": "7",
			"DUTY_FROM": "1.2.3", "DUTY_TO_VERSION": "1.3.0", "DUTY_MESSAGE": "m", "DUTY_N": "{1}"}},
		{`"plain\nline" error="a\nb" inline=true`, journal.PriInfo, map[string]string{
			"SYSLOG_IDENTIFIER": "drydock", "ERROR": "a\nb", "INLINE": "true"}},
	}
	if !slices.EqualFunc(got, want, func(a, b sent) bool {
		return a.message == b.message && a.priority == b.priority && maps.Equal(a.fields, b.fields)
	}) {
		t.Errorf("sent %+v\nwant %+v", got, want)
	}
	if stream.Len() > 0 {
		t.Errorf("the stream has %q", stream.String())
	}
	fail = syscall.ECONNREFUSED
	child.Error("lost")
	if stream.String() != "<3>lost host=i-1 generation=7\n" {
		t.Errorf("without a journal the stream has %q", stream.String())
	}
}

func TestFieldName(t *testing.T) {
	for key, want := range map[string]string{
		"phase": "PHASE", "container-instance": "CONTAINER_INSTANCE", "message": "DRYDOCK_MESSAGE", "_host": "DRYDOCK_HOST", "2nd": "DRYDOCK_2ND",
		"": "DRYDOCK_", "ü": "DRYDOCK_", "priority": "DRYDOCK_PRIORITY", "code_file": "DRYDOCK_CODE_FILE", "messages": "MESSAGES",
		strings.Repeat("a", 70): strings.Repeat("A", 64),
	} {
		if got := fieldName(key); got != want {
			t.Errorf("%q is %q, want %q", key, got, want)
		}
	}
	valid := regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,63}$`)
	rapid.Check(t, func(t *rapid.T) {
		if key := rapid.String().Draw(t, "key"); !valid.MatchString(fieldName(key)) {
			t.Fatalf("%q is %q", key, fieldName(key))
		}
	})
}

// A host container's standard output has the journal behind it and no journal
// socket beside it: lines keep their prefix there. On a machine that has the
// socket the record goes there, and standard output stays empty.
func TestJournalStream(t *testing.T) {
	if os.Getenv("JOURNAL_TEST_CHILD") != "" {
		New(os.Stdout, Options{}).Info("hello from a test of drydock")
		return
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var stat syscall.Stat_t
	if err := syscall.Fstat(int(w.Fd()), &stat); err != nil {
		t.Fatal(err)
	}
	child := exec.Command(os.Args[0], "-test.run=^TestJournalStream$")
	child.Env = append(os.Environ(), "JOURNAL_TEST_CHILD=1", fmt.Sprintf("JOURNAL_STREAM=%d:%d", stat.Dev, stat.Ino))
	child.Stdout = w
	if err := errors.Join(child.Run(), w.Close()); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Contains(string(out), "<6>hello"), !journal.Enabled(); got != want {
		t.Errorf("prefixed lines: %v, want %v: %q", got, want, out)
	}
}

func TestNotify(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	Notify("READY=1") // nobody is there, and nothing happens
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	Notify("STATUS=draining")
	if err := socket.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	n, err := socket.Read(buf)
	if err != nil || string(buf[:n]) != "STATUS=draining" {
		t.Errorf("told %q, %v", buf[:n], err)
	}
}

func TestWatchdog(t *testing.T) {
	for _, test := range []struct {
		usec, pid string
		within    time.Duration
		ok        bool
	}{
		{"", "", 0, false},
		{"30000000", "", 30 * time.Second, true},
		{"30000000", fmt.Sprint(os.Getpid()), 30 * time.Second, true},
		{"30000000", "1", 0, false},
		{"soon", "", 0, false},
		{"-1", "", 0, false},
	} {
		t.Setenv("WATCHDOG_USEC", test.usec)
		t.Setenv("WATCHDOG_PID", test.pid)
		if test.pid == "" {
			os.Unsetenv("WATCHDOG_PID") // t.Setenv puts it back
		}
		if within, ok := Watchdog(); within != test.within && ok || ok != test.ok {
			t.Errorf("%q for %q: %v, %v", test.usec, test.pid, within, ok)
		}
	}
}

// A writer that fails reports it to nobody and harms nobody.
func TestBrokenWriter(t *testing.T) {
	r, w := io.Pipe()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	h := newLineHandler(w, slog.LevelInfo, pipe)
	if err := h.Handle(context.Background(), slog.NewRecord(time.Now(), slog.LevelInfo, "m", 0)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("handle: %v", err)
	}
}
