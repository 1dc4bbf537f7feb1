package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drydock-ecs/drydock/agent"
)

// runIn runs a command line with a standard input and returns what it left.
func runIn(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), args, environment{strings.NewReader(stdin), &out, &err, func(string) string { return "" }})
	return code, out.String(), err.String()
}

func TestConfigCheck(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good.toml", "[lock]\ntable = \"prod\"\n")
	bad := file("bad.toml", "chek_interval = \"1h\"\n\n[drain]\ntimeout = 25\n")
	policy := file("policy.toml", "slots = 3\n[verify]\nsoak = \"2m\"\n")

	effective := agent.DefaultConfig()
	effective.Lock.Table = "prod"
	for _, test := range []struct {
		args   []string
		stdin  string
		code   int
		stdout string   // all of it
		stderr []string // parts of it
	}{
		{[]string{good}, "", 0, effective.TOML(), nil},
		{[]string{"-"}, "", 2, "", []string{"standard input: holds no settings (name at least the table of the lock: "}},
		{[]string{"-"}, agent.DefaultConfig().TOML(), 0, agent.DefaultConfig().TOML(), nil},
		{[]string{bad}, "", 2, "", []string{
			bad + ":1: chek_interval: is no key here (did you mean check_interval?)\n",
			bad + ":4: drain.timeout: is a whole number, not a duration (a number and a unit in quotes, such as \"90s\", \"25m\" or \"1h30m\")\n"}},
		{[]string{"-"}, "[lock]\n\xff\x00\x01", 2, "", []string{"standard input: is no text: some of its bytes are no UTF-8 (the setting user-data takes the base64 of the settings: "}},
		{[]string{"-"}, "cluster", 2, "", []string{"standard input:1: column 7: expected '=' after key\n"}},
		{[]string{filepath.Join(dir, "none.toml")}, "", 2, "", []string{"read settings: ", "no such file"}},
		{[]string{"--policy", policy}, "", 0, "# how many hosts may be out of service at once (default 1)\nslots = 3\n" +
			"# so many failures halt the fleet\nmax_failures = 1\n" +
			"# Availability Zones with hosts out of service at once; 0: no cap\nmax_zones = 0\n" +
			"# take a release that is older than the running one\nallow_downgrade = false\n" +
			"\n[verify]\n# keep the slot this long after ACTIVE\nsoak = \"2m\"\n", nil},
		{[]string{"--policy", good}, "", 2, "", []string{good + ":1: lock: is no key here (it is set host by host, in the host container's user-data)\n"}},
		{[]string{policy}, "", 2, "", []string{policy + ":1: slots: is no key here (it is set for the whole fleet, in the policy of the lock record)\n"}},
		{nil, "", 2, "", []string{"usage: drydock config check FILE"}},
	} {
		code, stdout, stderr := runIn(t, test.stdin, append([]string{"config", "check"}, test.args...)...)
		if code != test.code || stdout != test.stdout {
			t.Errorf("%v: ends with %d and prints\n%s\n%s", test.args, code, stdout, stderr)
		}
		for _, part := range test.stderr {
			if !strings.Contains(stderr, part) {
				t.Errorf("%v: %q is not in\n%s", test.args, part, stderr)
			}
		}
		if test.stderr == nil && stderr != "" {
			t.Errorf("%v: says %s", test.args, stderr)
		}
	}
	// What is printed can be used.
	if code, again, stderr := runIn(t, effective.TOML(), "config", "check", "-"); code != 0 || again != effective.TOML() {
		t.Errorf("the printed settings end with %d\n%s", code, stderr)
	}
}
