package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"
	"pgregory.net/rapid"
)

func TestConfigDefaults(t *testing.T) {
	for _, text := range []string{"", "\n# nothing\n", "[lock]\n"} {
		empty, err := ParseConfig("user-data", []byte(text))
		want := `user-data: holds no settings (name at least the table of the lock: [lock] table = "drydock")`
		if err == nil || err.Error() != want || empty != DefaultConfig() {
			t.Fatalf("%q gives %+v, %v", text, empty, err)
		}
	}
	if err := DefaultConfig().Validate(); err != nil {
		t.Fatalf("the defaults are refused: %v", err)
	}
	// The file spells every key out, so a key or a default that changes
	// without it is found.
	data, err := os.ReadFile("testdata/config-defaults.toml")
	if err != nil {
		t.Fatal(err)
	}
	spelled, err := ParseConfig("config-defaults.toml", data)
	if err != nil || spelled != DefaultConfig() {
		t.Fatalf("the spelled-out defaults give %+v, %v", spelled, err)
	}
	for _, k := range configKeys(new(Config)) {
		_, last, _ := strings.Cut("."+k.name, ".")
		if i := strings.LastIndexByte(last, '.'); i >= 0 {
			last = last[i+1:]
		}
		if !strings.Contains(string(data), "\n"+last+" ") {
			t.Errorf("%s is not spelled out", k.name)
		}
	}
}

func TestConfigForms(t *testing.T) {
	want := DefaultConfig()
	want.Drain.Timeout = 90 * time.Second
	want.Log.Level = slog.LevelDebug
	for _, text := range []string{
		"[drain]\ntimeout = \"90s\"\n[log]\nlevel = 'debug'\n",
		"drain.timeout = \"1m30s\"\nlog . level = \"debug\"",
		"drain = { timeout = \"90s\" }\nlog = { level = \"debug\" }\n",
		"\"drain\".\"timeout\" = \"90s\"\r\n[log]\r\nlevel = \"debug\" # why not\r\n",
		"[log]\nlevel = \"\"\"debug\"\"\"\n\n[drain]\ntimeout = \"0.025h\"",
	} {
		if got, err := ParseConfig("f", []byte(text)); err != nil || got != want {
			t.Errorf("%q: %v %s", text, err, cmp.Diff(want, got))
		}
	}
}

// faultTest is a text and the faults it must have, as they are printed.
type faultTest struct {
	text string
	want []string
}

func (f faultTest) run(t *testing.T, parse func(string) error) {
	t.Helper()
	var got []string
	if err := parse(f.text); err != nil {
		if _, ok := errors.AsType[Faults](err); !ok {
			t.Fatalf("%q: the error is a %T", f.text, err)
		}
		got = strings.Split(err.Error(), "\n")
	}
	if diff := cmp.Diff(f.want, got); diff != "" {
		t.Errorf("%q:\n%s", f.text, diff)
	}
}

func TestConfigFaults(t *testing.T) {
	const units = `a number and a unit in quotes, such as "90s", "25m" or "1h30m"`
	const fleet = "it is set for the whole fleet, in the policy of the lock record"
	for _, test := range []faultTest{
		// Names.
		{"chek_interval = \"1h\"", []string{`f:1: chek_interval: is no key here (did you mean check_interval?)`}},
		{"\n\nCheck-Interval = \"1h\"", []string{`f:3: Check-Interval: is no key here (did you mean check_interval?)`}},
		{"timeout = \"1h\"", []string{`f:1: timeout: is no key here (did you mean drain.timeout or verify.timeout?)`}},
		{"[drain]\nsoak = \"1m\"", []string{`f:2: drain.soak: is no key here (did you mean verify.soak?)`}},
		{"[drain]\nxyzzy = \"1m\"", []string{`f:2: drain.xyzzy: is no key here (keys here: timeout, on_timeout, standalone_tasks)`}},
		{"[quux]\nxyzzy = \"1m\"\n[drain]\n", []string{`f:1: quux: is no key here (keys here: cluster, check_interval)`}},
		{"[quux.corge]\nxyzzy = \"1m\"", []string{`f:1: quux.corge: is no key here (sections: lock, drain, verify, timing, log, host)`}},
		{"[lokc]\ntable = \"drydock\"", []string{`f:1: lokc: is no key here (did you mean lock?)`}},
		{"\"drain.timeout\" = \"1h\"", []string{`f:1: "drain.timeout": is no key here (did you mean drain.timeout?)`}},
		{"slots = 3\n[[window]]\nstart = \"22:00\"", []string{
			`f:1: slots: is no key here (` + fleet + `)`,
			`f:2: window: is no key here (` + fleet + `)`}},
		{"drain = \"1h\"", []string{`f:1: drain: is a section (write [drain] and its keys below it)`}},
		{"cluster.name = \"prod\"", []string{`f:1: cluster.name: cluster is no section (write cluster = …)`}},
		{"[cluster]\nname = 1", []string{`f:1: cluster: cluster is no section (write cluster = …)`}},
		{"[[drain]]\ntimeout = \"1h\"", []string{`f:1: drain: is not a list (write [drain])`}},
		// Twice.
		{"cluster = \"a\"\ncluster = \"b\"", []string{`f:2: cluster: is given twice, first on line 1`}},
		{"drain.timeout = \"1h\"\n[drain]\ntimeout = \"1h\"", []string{`f:3: drain.timeout: is given twice, first on line 1`}},
		{"[log]\n[drain]\n[log]\nlevel = 1", []string{
			`f:3: log: is opened twice, first on line 1`,
			`f:4: log.level: is a whole number, not a text (one of "debug", "info", "warn", "error")`}},
		// Kinds.
		{"check_interval = 60", []string{`f:1: check_interval: is a whole number, not a duration (` + units + `)`}},
		{"check_interval = true", []string{`f:1: check_interval: is a truth value, not a duration (` + units + `)`}},
		{"check_interval = \"1d\"", []string{`f:1: check_interval: "1d" is no duration (` + units + `)`}},
		{"check_interval = \"60\"", []string{`f:1: check_interval: "60" is no duration (` + units + `)`}},
		{"cluster = 1.5", []string{`f:1: cluster: is a decimal number, not a text (a text in quotes)`}},
		{"cluster = [\"a\"]", []string{`f:1: cluster: is a list, not a text (a text in quotes)`}},
		{"cluster = { a = 1 }", []string{`f:1: cluster: is a table, not a text (a text in quotes)`}},
		{"cluster = 2026-01-01", []string{`f:1: cluster: is a date or a time, not a text (a text in quotes)`}},
		{"drain = { timeout = 1, tiemout = 2 }", []string{
			`f:1: drain.timeout: is a whole number, not a duration (` + units + `)`,
			`f:1: drain.tiemout: is no key here (did you mean drain.timeout?)`}},
		// Ranges.
		{"check_interval = \"-1h\"", []string{`f:1: check_interval: -1h is negative (1s to 168h)`}},
		{"check_interval = \"0s\"", []string{`f:1: check_interval: 0s is too short (1s to 168h)`}},
		{"check_interval = \"169h\"", []string{`f:1: check_interval: 169h is too long (1s to 168h)`}},
		{"drain.timeout = \"9s\"", []string{`f:1: drain.timeout: 9s is too short (10s to 24h)`}},
		{"verify.soak = \"240h\"", []string{`f:1: verify.soak: 240h is too long (0s to 24h)`}},
		{"verify.timeout = \"-5m\"\ntiming.second_look = \"0s\"", []string{
			`f:1: verify.timeout: -5m is negative (1s to 24h)`,
			`f:2: timing.second_look: 0s is too short (10ms to 24h)`}},
		// Words.
		{"drain.on_timeout = \"panic\"", []string{`f:1: drain.on_timeout: "panic" is none of the choices (one of "abort", "force")`}},
		{"drain.standalone_tasks = \"\"", []string{`f:1: drain.standalone_tasks: "" is none of the choices (one of "defer", "wait", "stop")`}},
		{"log.level = \"INFO\"\nlog.format = \"logfmt\"", []string{
			`f:1: log.level: "INFO" is none of the choices (one of "debug", "info", "warn", "error")`,
			`f:2: log.format: "logfmt" is none of the choices (one of "text", "json")`}},
		// Texts.
		{"cluster = \"my cluster\"", []string{`f:1: cluster: "my cluster" is no name of an ECS cluster (a name, or arn:aws:ecs:<region>:<account>:cluster/<name>)`}},
		{"cluster = \"arn:aws:ecs:eu-west-1:12:cluster/a\"", []string{`f:1: cluster: "arn:aws:ecs:eu-west-1:12:cluster/a" is no ARN of an ECS cluster (a name, or arn:aws:ecs:<region>:<account>:cluster/<name>)`}},
		{"lock.table = \"ab\"", []string{`f:1: lock.table: "ab" is no name of a DynamoDB table (3 to 255 of a-z, A-Z, 0-9, '_', '-', '.')`}},
		{"lock.table = \"dry/dock\"", []string{`f:1: lock.table: "dry/dock" is no name of a DynamoDB table (3 to 255 of a-z, A-Z, 0-9, '_', '-', '.')`}},
		{"host.state_dir = \"\"\nhost.boot_id_file = \"boot_id\"", []string{
			`f:1: host.state_dir: is empty (an absolute path)`,
			`f:2: host.boot_id_file: "boot_id" is not absolute (a path that starts with /)`}},
		{"host.state_dir = \"/a\\nb\"", []string{`f:1: host.state_dir: "/a\nb" holds a character that no path should`}},
		{"host.api_socket = \"/" + strings.Repeat("a", 107) + "\"", []string{`f:1: host.api_socket: is 108 bytes long (a Unix socket's path has at most 107)`}},
		{"host.introspection = \"127.0.0.1:51678\"", []string{`f:1: host.introspection: "127.0.0.1:51678" is no address of this form (http://127.0.0.1:51678)`}},
		// Contradictions.
		{"[lock]\npoll_min = \"1h\"", []string{`f:2: lock.poll_min: 1h is longer than lock.poll_max, 30m (the front of the queue looks at least as often as its end)`}},
		{"[lock]\npoll_min = \"10s\"\npoll_max = \"1s\"", []string{`f:3: lock.poll_min: 10s is longer than lock.poll_max, 1s (the front of the queue looks at least as often as its end)`}},
		{"timing.reassert_within = \"3m\"", []string{`f:1: timing.reassert_within: 3m is not shorter than timing.second_look, 3m (a host must act or look again before it can be marked)`}},
		{"lock.reboot_allowance = \"5m\"", []string{`f:1: lock.reboot_allowance: 5m is shorter than timing.reboot_deadline, 10m (a host would be called late while its reboot request may still be alive)`}},
		// A key that has a fault contradicts nothing.
		{"[lock]\npoll_min = \"1h\"\npoll_max = 3", []string{`f:3: lock.poll_max: is a whole number, not a duration (` + units + `)`}},
	} {
		test.run(t, func(text string) error { _, err := ParseConfig("f", []byte(text)); return err })
	}
}

func TestConfigSyntax(t *testing.T) {
	for _, test := range []faultTest{
		{"cluster", []string{`f:1: column 7: expected '=' after key`}},
		{"cluster = prod", []string{`f:1: column 11: unexpected character U+0070 'p' at start of value (texts and durations stand in quotes: cluster = "prod")`}},
		{"\ncluster = ", []string{`f:2: column 10: expected value, not end of input`}},
		{"[drain\ntimeout = 4\n[log]\nlevel = \"loud\"", []string{
			`f:1: column 7: expected ']' to close table name`,
			`f:4: log.level: "loud" is none of the choices (one of "debug", "info", "warn", "error")`}},
		// One broken line hides nothing behind it.
		{"cluster = a\n[drain]\ntimeout = 10 m\non_timeout = \"x\"\ny = 1\n", []string{
			`f:1: column 11: unexpected character U+0061 'a' at start of value (texts and durations stand in quotes: cluster = "a")`,
			`f:3: column 14: expected newline but got U+006D 'm' (texts and durations stand in quotes: timeout = "10 m")`,
			`f:4: drain.on_timeout: "x" is none of the choices (one of "abort", "force")`,
			`f:5: drain.y: is no key here (keys here: timeout, on_timeout, standalone_tasks)`}},
		{"cluster = \"a\nb\nc\n[log]\nx = 1", []string{
			`f:1: column 13: basic strings cannot have new lines`,
			`f:5: log.x: is no key here (keys here: level, format)`}},
	} {
		test.run(t, func(text string) error { _, err := ParseConfig("f", []byte(text)); return err })
	}
	_, err := ParseConfig("f", []byte(strings.Repeat("?\n", 5000)))
	if faults, _ := errors.AsType[Faults](err); len(faults) == 0 || len(faults) > configMaxSyntax {
		t.Errorf("a text that is no TOML has %d faults", len(faults))
	}
	_, err = ParseConfig("f", make([]byte, configMaxBytes+1))
	if want := "f: 65537 bytes are too many (at most 65536)"; err == nil || err.Error() != want {
		t.Errorf("a huge text gives %v", err)
	}
}

// The keys that are good are kept, so that a host with bad settings can still
// find what it has to undo.
func TestConfigKeepsWhatIsGood(t *testing.T) {
	got, err := ParseConfig("f", []byte("lock.table = \"prod\"\ncheck_interval = \"-1h\"\nlog.level = 1"))
	want := DefaultConfig()
	want.Lock.Table = "prod"
	if err == nil || got != want {
		t.Errorf("%v\n%s", err, cmp.Diff(want, got))
	}
}

func TestConfigAccepts(t *testing.T) {
	for _, text := range []string{
		`cluster = "prod-1_b"`,
		`cluster = "arn:aws:ecs:eu-west-1:123456789012:cluster/prod"`,
		`cluster = "arn:aws-us-gov:ecs:us-gov-west-1:123456789012:cluster/prod"`,
		`lock.table = "a.b-c_D9"`,
		`host.introspection = "http://[::1]:80"`,
		`verify.soak = "24h"`,
		`log.format = "json"`,
	} {
		if _, err := ParseConfig("f", []byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, address := range []string{"https://a:1", "http://a", "http://a:0", "http://a:99999", "http://:1", "http://a:1/", "http://u@a:1", "http://a:1?x", ""} {
		if problem, _ := configIsAddress(address); problem == "" {
			t.Errorf("%q is taken", address)
		}
	}
	for _, cluster := range []string{
		"arn:aws:ecs:eu-west-1:123456789012:cluster/", "arn:aws:ecs:eu-west-1:123456789012:service/a", "arn:aws:s3:eu-west-1:123456789012:cluster/a",
		"arn:x:ecs:eu-west-1:123456789012:cluster/a", "arn:aws:ecs:eu-west-1:12345678901x:cluster/a", "arn:aws:ecs:::cluster/a", strings.Repeat("a", 256), "a/b",
	} {
		if problem, _ := configIsCluster(cluster); problem == "" {
			t.Errorf("%q is taken", cluster)
		}
	}
}

func TestConfigValidate(t *testing.T) {
	c := DefaultConfig()
	c.Drain.OnTimeout = "explode"
	c.Log.Level = slog.LevelInfo + 1
	c.Lock.PollMin = 2 * c.Lock.PollMax
	c.Verify.Soak = -1
	err := c.Validate()
	for _, want := range []string{"settings: drain.on_timeout: ", "settings: log.level: ", "settings: lock.poll_min: ", "settings: verify.soak: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no fault %q in\n%v", want, err)
		}
	}
}

// genDuration draws durations of whole units and of odd ones.
func genDuration(t *rapid.T, label string, least, most time.Duration) time.Duration {
	d := rapid.Int64Range(int64(least), int64(most)).Draw(t, label)
	unit := rapid.SampledFrom([]time.Duration{1, time.Millisecond, time.Second, time.Minute}).Draw(t, label+" unit")
	return max(time.Duration(d).Truncate(unit), least)
}

func genConfig(t *rapid.T) Config {
	const ms, day = time.Millisecond, 24 * time.Hour
	c := DefaultConfig()
	c.Cluster = rapid.SampledFrom([]string{"", "prod", "arn:aws:ecs:eu-west-1:123456789012:cluster/prod"}).Draw(t, "cluster")
	c.CheckInterval = genDuration(t, "check", time.Second, 7*day)
	c.Lock.Table = rapid.StringMatching(`[a-zA-Z0-9_.-]{3,20}`).Draw(t, "table")
	c.Lock.PollMin = genDuration(t, "poll_min", 100*ms, day)
	c.Lock.PollMax = genDuration(t, "poll_max", c.Lock.PollMin, day)
	c.Timing.RebootDeadline = genDuration(t, "reboot_deadline", 10*ms, day)
	c.Lock.RebootAllowance = genDuration(t, "allowance", c.Timing.RebootDeadline, day)
	c.Timing.ReassertWithin = genDuration(t, "reassert", 10*ms, day-time.Hour)
	c.Timing.SecondLook = genDuration(t, "second_look", c.Timing.ReassertWithin+1, day)
	c.Drain.Timeout = genDuration(t, "drain", 10*time.Second, day)
	c.Drain.OnTimeout = rapid.SampledFrom([]OnTimeout{OnTimeoutAbort, OnTimeoutForce}).Draw(t, "on_timeout")
	c.Drain.StandaloneTasks = rapid.SampledFrom([]StandaloneTasks{StandaloneDefer, StandaloneWait, StandaloneStop}).Draw(t, "standalone")
	c.Verify.Soak = genDuration(t, "soak", 0, day)
	c.Log.Level = rapid.SampledFrom([]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}).Draw(t, "level")
	c.Log.Format = rapid.SampledFrom([]LogFormat{LogText, LogJSON}).Draw(t, "format")
	c.Host.StateDir = "/" + rapid.StringOf(rapid.RuneFrom([]rune(`ab "\'#=[]äö€😀/.`))).Draw(t, "state_dir")
	return c
}

func TestConfigRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := genConfig(t)
		if err := c.Validate(); err != nil {
			t.Fatalf("the generator is wrong: %v", err)
		}
		got, err := ParseConfig("printed", []byte(c.TOML()))
		if err != nil || got != c {
			t.Fatalf("%v\n%s\n%s", err, cmp.Diff(c, got), c.TOML())
		}
	})
}

func TestConfigPrints(t *testing.T) {
	c := DefaultConfig()
	c.Drain.Timeout = 40 * time.Minute
	for _, want := range []string{
		"# ECS cluster, name or ARN; empty: asked of the local ECS agent\ncluster = \"\"\n",
		"\n[drain]\n# how long tasks may take to leave (default \"25m\")\ntimeout = \"40m\"\n",
		"# keep the slot this long after ACTIVE\nsoak = \"0s\"\n",
	} {
		if !strings.Contains(c.TOML(), want) {
			t.Errorf("%q is not in\n%s", want, c.TOML())
		}
	}
}

// What the reader takes, TOML's own decoder takes as well, and finds the same
// durations and texts in it. Nothing makes the reader panic.
func FuzzConfig(f *testing.F) {
	f.Add(DefaultConfig().TOML())
	f.Add("drain = { timeout = \"10s\" }\n[lock]\npoll_min = \"1s\"")
	f.Add("\"a\" = '''\n'''\n[[window]]\n[x")
	f.Add("cluster = \"\\u0061\"\nhost.state_dir = \"\"\"/a\"\"\"")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseConfig("f", []byte(text))
		if faults, ok := errors.AsType[Faults](err); ok {
			for _, fault := range faults {
				if fault.Line < 0 || fault.Line > 1+strings.Count(text, "\n") || fault.Problem == "" {
					t.Fatalf("%q has the fault %+v", text, fault)
				}
			}
			return
		}
		var twin struct {
			Cluster       *string
			CheckInterval *string `toml:"check_interval"`
			Drain         struct{ Timeout *string }
			Verify        struct{ Soak *string }
		}
		if err := toml.Unmarshal([]byte(text), &twin); err != nil {
			t.Fatalf("%q is taken, but is no TOML: %v", text, err)
		}
		duration := func(s *string, want time.Duration) {
			if s == nil {
				return
			}
			if d, err := time.ParseDuration(*s); err != nil || d != want {
				t.Fatalf("%q: %s is read as %s", text, *s, want)
			}
		}
		duration(twin.CheckInterval, c.CheckInterval)
		duration(twin.Drain.Timeout, c.Drain.Timeout)
		duration(twin.Verify.Soak, c.Verify.Soak)
		if twin.Cluster != nil && *twin.Cluster != c.Cluster {
			t.Fatalf("%q: cluster is read as %q", text, c.Cluster)
		}
	})
}

func TestConfigShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", time.Second: "1s", 10 * time.Minute: "10m", time.Hour: "1h", 90 * time.Minute: "1h30m",
		time.Hour + time.Second: "1h0m1s", 20 * time.Hour: "20h", -time.Hour: "-1h", 10 * time.Millisecond: "10ms",
	} {
		if got := configShort(d); got != want {
			t.Errorf("%v is written %q, want %q", d, got, want)
		}
	}
}

func ExampleFaults() {
	_, err := ParseConfig("user-data", []byte("chek_interval = \"1h\"\n[drain]\ntimeout = 25\n"))
	fmt.Println(err)
	// Output:
	// user-data:1: chek_interval: is no key here (did you mean check_interval?)
	// user-data:3: drain.timeout: is a whole number, not a duration (a number and a unit in quotes, such as "90s", "25m" or "1h30m")
}
