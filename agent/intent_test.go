package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/drydock-ecs/drydock/coordination"
)

// minute is the time so many minutes into the tests.
func minute(n int) time.Time {
	return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Minute)
}

// fullIntent has every member, and members that this version does not know at
// both levels.
const fullIntent = `{
	"schema": 1, "instance": "i-a", "later": "at intent",
	"duty": {
		"instance": "i-a", "fleet": "arn:fleet", "table": "drydock", "arn": "arn-a", "generation": 5, "from": "1.0", "target": "2.0",
		"boot": "boot-then", "drain_calls": 2, "drain_open": 1, "activating": true, "armed": true, "armed_uptime": 90000000000, "asks": 3,
		"outcome": "sick", "restored": true, "adopted": true, "seen": "boot-now", "boots": 2,
		"phase": "verifying", "phase_boot": "boot-now", "phase_uptime": 1500000000, "phase_at": "2026-03-01T12:00:00Z",
		"seconds": {"draining": 61.5},
		"terms": {"drain_timeout": 60000000000, "force": true, "standalone_tasks": "stop", "reboot_allowance": 120000000000,
			"verify_timeout": 180000000000, "soak": 240000000000, "max_failures": 3, "reboot_deadline": 300000000000, "reassert_within": 360000000000},
		"later": {"is": "at duty"}
	},
	"memory": {"attempts": {"2.0": {"count": 2, "last": "2026-03-01T12:00:00Z"}}}
}`

func mustIntent(t *testing.T, text string) Intent {
	t.Helper()
	in, err := decodeIntent([]byte(text))
	if err != nil {
		t.Fatalf("decode %s: %v", text, err)
	}
	return in
}

func encoded(t interface{ Fatal(...any) }, in Intent) string {
	data, err := in.encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestIntentReads pins the names and forms of the file: a later version reads
// what this one wrote, and this one what an earlier wrote.
func TestIntentReads(t *testing.T) {
	want := Intent{
		Schema: 1, Instance: "i-a", kept: coordination.Kept{"later": json.RawMessage(`"at intent"`)},
		Memory: Memory{Attempts: map[string]Attempts{"2.0": {Count: 2, Last: minute(0)}}},
		Duty: &Duty{
			Instance: "i-a", Fleet: "arn:fleet", Table: "drydock", ARN: "arn-a", Generation: 5, From: "1.0", Target: "2.0", Boot: bootThen,
			DrainCalls: 2, DrainOpen: 1, Activating: true, Armed: true, ArmedUptime: 90 * time.Second, Asks: 3,
			Outcome: Unhealthy, Restored: true, Adopted: true, Seen: bootNow, Boots: 2,
			Phase: "verifying", PhaseBoot: bootNow, PhaseUptime: 1500 * time.Millisecond, PhaseAt: minute(0), Seconds: map[string]float64{"draining": 61.5},
			Terms: Terms{
				DrainTimeout: time.Minute, Force: true, StandaloneTasks: StandaloneStop, RebootAllowance: 2 * time.Minute, VerifyTimeout: 3 * time.Minute,
				Soak: 4 * time.Minute, MaxFailures: 3, RebootDeadline: 5 * time.Minute, ReassertInterval: 6 * time.Minute,
			},
			kept: coordination.Kept{"later": json.RawMessage(`{"is": "at duty"}`)},
		},
	}
	mustIntent(t, strings.Replace(fullIntent, `"generation": 5`, `"generation": 1`, 1)) // the first grant ever
	if diff := cmp.Diff(want, mustIntent(t, fullIntent), cmp.AllowUnexported(Intent{}, Duty{})); diff != "" {
		t.Errorf("read otherwise (-want +got):\n%s", diff)
	}
	checkNoLoss(t, fullIntent)
}

// checkNoLoss checks that a file is written back with all that stood in it.
func checkNoLoss(t *testing.T, text string) {
	t.Helper()
	in, err := decodeIntent([]byte(text))
	if err != nil && !errors.Is(err, errNewerIntent) {
		t.Fatal(err)
	}
	var before, after any
	if err := errors.Join(json.Unmarshal([]byte(text), &before), json.Unmarshal([]byte(encoded(t, in)), &after)); err != nil {
		t.Fatal(err)
	}
	if lost := missing("", before, after); len(lost) > 0 {
		t.Errorf("written back without %s:\n%s", strings.Join(lost, ", "), encoded(t, in))
	}
}

// missing lists what stands in before and not, or otherwise, in after.
func missing(path string, before, after any) []string {
	from, ok := before.(map[string]any)
	to, also := after.(map[string]any)
	if !ok || !also {
		if reflect.DeepEqual(before, after) {
			return nil
		}
		return []string{path}
	}
	var lost []string
	for name, value := range from {
		if got, ok := to[name]; ok {
			lost = append(lost, missing(path+"."+name, value, got)...)
		} else {
			lost = append(lost, path+"."+name)
		}
	}
	return lost
}

func genIntent(t *rapid.T) Intent {
	text := rapid.StringMatching(`[a-z0-9<é"\\-]{1,8}`)
	kept := func() coordination.Kept {
		if !rapid.Bool().Draw(t, "kept") {
			return nil
		}
		return coordination.Kept{
			rapid.SampledFrom([]string{"later", "Duty", "ARN"}).Draw(t, "name"): json.RawMessage(rapid.SampledFrom([]string{`1`, `null`, `{"a":[]}`}).Draw(t, "value")),
		}
	}
	span := rapid.Custom(func(t *rapid.T) time.Duration { return time.Duration(rapid.Int64().Draw(t, "span")) })
	at := rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(0, 1<<32).Draw(t, "seconds"), rapid.Int64Range(0, 999999999).Draw(t, "nanoseconds")).UTC()
	})
	in := Intent{Schema: IntentSchema, Instance: text.Draw(t, "instance"), kept: kept()}
	in.Memory.Attempts = rapid.MapOfN(text, rapid.Custom(func(t *rapid.T) Attempts {
		return Attempts{Count: rapid.IntRange(1, 100).Draw(t, "count"), Last: at.Draw(t, "last")}
	}), 0, 3).Draw(t, "attempts")
	if rapid.Bool().Draw(t, "idle") {
		return in
	}
	in.Duty = &Duty{
		Instance: text.Draw(t, "instance"), Fleet: text.Draw(t, "fleet"), Table: text.Draw(t, "table"), ARN: text.Draw(t, "arn"),
		Generation: rapid.Int64Range(1, 1<<62).Draw(t, "generation"), From: text.Draw(t, "from"), Target: text.Draw(t, "target"), Boot: text.Draw(t, "boot"),
		DrainCalls: rapid.IntRange(0, 3).Draw(t, "calls"), DrainOpen: rapid.IntRange(0, 3).Draw(t, "open"), Activating: rapid.Bool().Draw(t, "activating"),
		Armed: rapid.Bool().Draw(t, "armed"), ArmedUptime: span.Draw(t, "armed uptime"), Asks: rapid.IntRange(0, 3).Draw(t, "asks"),
		Outcome: rapid.SampledFrom(append(allResults(), "")).Draw(t, "outcome"), Restored: rapid.Bool().Draw(t, "restored"), Adopted: rapid.Bool().Draw(t, "adopted"),
		Seen: text.Draw(t, "seen"), Boots: rapid.IntRange(0, 9).Draw(t, "boots"), Phase: text.Draw(t, "phase"), PhaseBoot: text.Draw(t, "phase boot"),
		PhaseUptime: span.Draw(t, "phase uptime"), PhaseAt: at.Draw(t, "phase at"), Seconds: rapid.MapOfN(text, rapid.Float64Range(0, 1e6), 0, 3).Draw(t, "seconds"),
		Terms: Terms{
			DrainTimeout: span.Draw(t, "drain timeout"), Force: rapid.Bool().Draw(t, "force"), StandaloneTasks: StandaloneTasks(text.Draw(t, "standalone")),
			RebootAllowance: span.Draw(t, "allowance"), VerifyTimeout: span.Draw(t, "verify timeout"), Soak: span.Draw(t, "soak"),
			MaxFailures: rapid.IntRange(1, 1000).Draw(t, "max failures"), RebootDeadline: span.Draw(t, "deadline"), ReassertInterval: span.Draw(t, "reassert"),
		},
		kept: kept(),
	}
	return in
}

func TestIntentRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := genIntent(t)
		again, err := decodeIntent([]byte(encoded(t, in)))
		if err != nil {
			t.Fatalf("%s: %v", encoded(t, in), err)
		}
		if diff := cmp.Diff(in, again, cmp.AllowUnexported(Intent{}, Duty{})); diff != "" {
			t.Fatalf("came back otherwise (-before +after):\n%s", diff)
		}
	})
}

// TestIntentDamaged: what cannot be used is told apart from what is of a later
// version, and says what was seen.
func TestIntentDamaged(t *testing.T) {
	duty := func(from, to string) string { return strings.Replace(fullIntent, from, to, 1) }
	tests := []struct{ name, text, says string }{
		{"nothing", ``, "unexpected end"},
		{"zeros", strings.Repeat("\x00", 64), "invalid character"},
		{"cut off", fullIntent[:200], "unexpected end"},
		{"null", `null`, "schema is 0"},
		{"a list", `[]`, "array"},
		{"no schema", `{"instance":"i-a","duty":null}`, "schema is 0"},
		{"negative schema", `{"schema":-1}`, "schema is -1"},
		{"schema of another type", `{"schema":"1"}`, "string"},
		{"an empty duty", `{"schema":1,"duty":{}}`, "duty has no"},
		{"no instance", duty(`"duty": {
		"instance": "i-a"`, `"duty": {
		"instance": " "`), "duty has no instance"},
		{"no fleet", duty(`"arn:fleet"`, `""`), "duty has no fleet"},
		{"no table", duty(`"drydock"`, `""`), "duty has no table"},
		{"no boot", duty(`"boot-then"`, `""`), "duty has no boot"},
		{"no generation", duty(`"generation": 5`, `"generation": 0`), "duty has generation 0"},
		{"a duty of another type", duty(`"boots": 2`, `"boots": "2"`), "boots"},
		{"memory of another type", duty(`"count": 2`, `"count": "2"`), "count"},
		{"a later version's without a core", `{"schema":2,"duty":{"instance":"i-a"}}`, "duty has no"},
		{"a later version's with another core", strings.Replace(duty(`"boots": 2`, `"boots": "2"`), `"schema": 1`, `"schema": 2`, 1), "boots"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			in, err := decodeIntent([]byte(test.text))
			if !errors.Is(err, ErrDamaged) || errors.Is(err, errNewerIntent) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v, want ErrDamaged that says %q", err, test.says)
			}
			if in.Duty != nil {
				t.Errorf("a damaged intent came with the duty %+v", in.Duty)
			}
		})
	}
}

// TestIntentNewer: of a later version's intent the frozen core is read, and
// everything is written back, whatever has become of the rest.
func TestIntentNewer(t *testing.T) {
	newer := strings.Replace(fullIntent, `"schema": 1`, `"schema": 2`, 1)
	terms := newer[strings.Index(newer, `"terms": `):strings.Index(newer, `"later": {"is"`)]
	memory := newer[strings.Index(newer, `"memory": `):strings.LastIndex(newer, "}")]
	defaults := termsOf(DefaultConfig(), DefaultPolicy())
	readable := mustIntent(t, fullIntent).Duty.Terms
	tests := []struct {
		name  string
		text  string
		terms Terms
	}{
		{"of the same form", newer, readable},
		{"with more in the terms", strings.Replace(newer, `"force": true`, `"force": true, "later": 1`, 1), readable},
		{"with more in the memory", strings.Replace(newer, `"memory": {`, `"memory": {"later": 1, `, 1), readable},
		{"with more in an attempt", strings.Replace(newer, `"count": 2`, `"count": 2, "later": 1`, 1), readable},
		{"with terms in words", strings.Replace(newer, terms, `"terms": {"drain_timeout": "25m"}, `, 1), defaults},
		{"with terms as a list", strings.Replace(newer, terms, `"terms": ["25m"], `, 1), defaults},
		{"with terms of null", strings.Replace(newer, terms, `"terms": null, `, 1), defaults},
		{"without terms", strings.Replace(newer, terms, ``, 1), defaults},
		{"with another memory", strings.Replace(newer, memory, `"memory": [{"release": "2.0"}]`, 1), readable},
		{"without memory", strings.Replace(newer, ",\n\t"+memory, ``, 1), readable},
	}
	core := *mustIntent(t, fullIntent).Duty
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			in, err := decodeIntent([]byte(test.text))
			if !errors.Is(err, errNewerIntent) || !strings.Contains(err.Error(), "2, this version knows up to 1") {
				t.Fatalf("%v, want errNewerIntent", err)
			}
			if in.Schema != 2 || in.Instance != "i-a" || in.Duty == nil {
				t.Fatalf("the core is not there: %+v", in)
			}
			got, want := in.Duty.clone(), core
			if got.Terms != test.terms {
				t.Errorf("terms are %+v, want %+v", got.Terms, test.terms)
			}
			got.Terms, got.kept, want.Terms, want.kept = Terms{}, nil, Terms{}, nil
			if !reflect.DeepEqual(got, want) {
				t.Errorf("the core is\n%+v, want\n%+v", got, want)
			}
			checkNoLoss(t, test.text)
		})
	}
	in, err := decodeIntent([]byte(`{"schema":2,"instance":"i-a","duty":null,"memory":7,"later":1}`))
	if !errors.Is(err, errNewerIntent) || in.Duty != nil || in.Instance != "i-a" {
		t.Errorf("without a duty: %+v, %v", in, err)
	}
	checkNoLoss(t, `{"schema":2,"instance":"i-a","duty":null,"memory":7,"later":1}`)
}

// TestIntentNewerIsUndone: what undoing notes in the core of a later version's
// duty is written, and the rest stays.
func TestIntentNewerIsUndone(t *testing.T) {
	in, err := decodeIntent([]byte(strings.Replace(fullIntent, `"schema": 1`, `"schema": 2`, 1)))
	if !errors.Is(err, errNewerIntent) {
		t.Fatal(err)
	}
	d := in.Duty.clone()
	d.Armed, d.Activating, d.Restored, d.Outcome = false, false, true, FellBack
	in.Duty = &d
	again, err := decodeIntent([]byte(encoded(t, in)))
	if !errors.Is(err, errNewerIntent) || again.Duty.Armed || again.Duty.Activating || !again.Duty.Restored || again.Duty.Outcome != FellBack {
		t.Errorf("read back as %+v, %v", again.Duty, err)
	}
	if text := encoded(t, again); !strings.Contains(text, "at duty") || !strings.Contains(text, "at intent") {
		t.Errorf("something was lost: %s", text)
	}
}

func FuzzIntent(f *testing.F) {
	f.Add(fullIntent)
	f.Add(strings.Replace(fullIntent, `"schema": 1`, `"schema": 2`, 1))
	f.Add(`{"schema":2,"duty":{"instance":"i","fleet":"f","table":"t","boot":"b","generation":1,"terms":"x"},"memory":[]}`)
	f.Add(`{"schema":1,"Schema":9,"duty":null,"memory":{"attempts":{"2.0":{"count":-5}}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		in, err := decodeIntent([]byte(text))
		if err != nil && !errors.Is(err, errNewerIntent) {
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("%q: %v has no name", text, err)
			}
			return
		}
		for release := range in.Memory.Attempts {
			in.Memory.wait(release, minute(0))
		}
		first := encoded(t, in)
		again, err2 := decodeIntent([]byte(first))
		if errors.Is(err, errNewerIntent) != errors.Is(err2, errNewerIntent) || errors.Is(err2, ErrDamaged) {
			t.Fatalf("%q was written as %s: %v", text, first, err2)
		}
		if second := encoded(t, again); second != first {
			t.Fatalf("%q was written as\n%s and then as\n%s", text, first, second)
		}
	})
}

func TestIntentForeign(t *testing.T) {
	tests := []struct {
		name string
		in   Intent
		want bool
	}{
		{"mine", Intent{Instance: "i-a"}, false},
		{"mine, with a duty", Intent{Instance: "i-a", Duty: &Duty{Instance: "i-a"}}, false},
		{"nobody's", Intent{}, false},
		{"of another instance", Intent{Instance: "i-b"}, true},
		{"of another instance, with its duty", Intent{Instance: "i-b", Duty: &Duty{Instance: "i-b"}}, true},
		{"mine, with another's duty", Intent{Instance: "i-a", Duty: &Duty{Instance: "i-b"}}, true},
		{"nobody's, with another's duty", Intent{Duty: &Duty{Instance: "i-b"}}, true},
	}
	for _, test := range tests {
		if got := test.in.foreign("i-a"); got != test.want {
			t.Errorf("%s: foreign is %t", test.name, got)
		}
	}
}

// TestAdopt makes a duty of each entry that the record may show, before and
// after a reboot, and looks what a starting agent does with it.
func TestAdopt(t *testing.T) {
	terms := termsOf(DefaultConfig(), DefaultPolicy())
	boot := Boot{ID: bootNow, Uptime: 7 * time.Minute}
	marks := func(d Duty) string {
		return fmt.Sprintf("drain %d/%d activating=%t armed=%t outcome=%q restored=%t", d.DrainOpen, d.DrainCalls, d.Activating, d.Armed, d.Outcome, d.Restored)
	}
	const (
		owes   = `drain 0/0 activating=false armed=false outcome="turned_back" restored=true`
		undo   = `drain 1/1 activating=false armed=false outcome="" restored=false`
		cancel = `drain 1/1 activating=true armed=false outcome="" restored=false`
		await  = `drain 1/1 activating=true armed=true outcome="" restored=false`
	)
	tests := []struct {
		phase   coordination.Phase
		boot    string
		marks   string
		running string
		to      Phase
		result  Result
	}{
		{coordination.Granted, bootNow, owes, "1.0", Restoring, TurnedBack},
		{coordination.Granted, bootThen, owes, "1.0", Restoring, TurnedBack},
		{coordination.Granted, "", owes, "1.0", Restoring, TurnedBack},
		{coordination.Draining, bootNow, undo, "1.0", Restoring, TurnedBack},
		{coordination.Draining, bootThen, undo, "1.0", Restoring, TurnedBack},
		{coordination.Draining, "", undo, "1.0", Restoring, TurnedBack},
		{coordination.Rebooting, bootNow, await, "1.0", Rebooting, ""},
		{coordination.Rebooting, "", await, "1.0", Rebooting, ""},
		{coordination.Rebooting, bootThen, cancel, "1.0", Restoring, Interrupted},
		{coordination.Rebooting, bootThen, cancel, "2.0", Verifying, ""},
		{coordination.Verifying, bootThen, cancel, "1.0", Restoring, Interrupted},
		{coordination.Verifying, bootThen, cancel, "2.0", Verifying, ""},
		{coordination.Verifying, bootNow, cancel, "2.0", Restoring, TurnedBack},
		{coordination.Sick, bootThen, cancel, "2.0", Verifying, ""},
		{coordination.Sick, bootNow, cancel, "2.0", Restoring, TurnedBack},
		{"of a later version", bootThen, cancel, "2.0", Verifying, ""},
		{"of a later version", bootNow, cancel, "1.0", Restoring, TurnedBack},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%s in %q, running %s", test.phase, test.boot, test.running), func(t *testing.T) {
			h := coordination.Holder{
				Host: "i-a", Generation: 5, Phase: test.phase, From: "1.0", Target: "2.0", Boot: test.boot, ARN: "arn-a", Stuck: true,
			}
			d := adopt(h, "arn:fleet", "drydock", boot, terms)
			if got := marks(d); got != test.marks {
				t.Errorf("%s, want %s", got, test.marks)
			}
			if d.Armed && d.ArmedUptime != boot.Uptime {
				t.Errorf("the request is taken to be %s old", boot.Uptime-d.ArmedUptime)
			}
			wantBoot := test.boot
			if wantBoot == "" {
				wantBoot = bootNow
			}
			want := Duty{
				Instance: "i-a", Fleet: "arn:fleet", Table: "drydock", ARN: "arn-a", Generation: 5, From: "1.0", Target: "2.0", Boot: wantBoot, Adopted: true, Terms: terms,
				DrainCalls: d.DrainCalls, DrainOpen: d.DrainOpen, Activating: d.Activating, Armed: d.Armed, ArmedUptime: d.ArmedUptime, Outcome: d.Outcome, Restored: d.Restored,
			}
			if !reflect.DeepEqual(d, want) {
				t.Errorf("the duty is\n%+v, want\n%+v", d, want)
			}
			if err := d.check(); err != nil {
				t.Errorf("it could not be read back: %v", err)
			}
			o := Resume(Facts{Boot: bootNow, HasDuty: true, Duty: d, Running: test.running, Memoryless: true, RecordRead: true})
			if o.To != test.to || o.Result != test.result {
				t.Errorf("resumes %s with %q, want %s with %q", o.To, o.Result, test.to, test.result)
			}
		})
	}
}

func TestMemoryWait(t *testing.T) {
	tests := []struct {
		name   string
		count  int
		passed time.Duration
		want   time.Duration
	}{
		{"no attempt", 0, 0, 0},
		{"the first", 1, 0, 30 * time.Minute},
		{"the second", 2, 0, time.Hour},
		{"the third", 3, 0, 2 * time.Hour},
		{"the fourth", 4, 0, 4 * time.Hour},
		{"the fifth", 5, 0, 8 * time.Hour},
		{"the sixth", 6, 0, 16 * time.Hour},
		{"the seventh", 7, 0, 24 * time.Hour},
		{"the eighth", 8, 0, 24 * time.Hour},
		{"the thousandth", 1000, 0, 24 * time.Hour},
		{"some of it has passed", 2, 20 * time.Minute, 40 * time.Minute},
		{"just not all", 1, 30*time.Minute - 1, 1},
		{"all of it", 1, 30 * time.Minute, 0},
		{"and more", 1, 1000 * time.Hour, 0},
		{"the clock was set back", 2, -5 * time.Hour, time.Hour},
		{"far back", 7, -100000 * time.Hour, 24 * time.Hour},
		{"a count that makes no sense", -1, 0, 0},
		{"nor this one", -1 << 62, 0, 0},
	}
	for _, test := range tests {
		m := Memory{Attempts: map[string]Attempts{"2.0": {Count: test.count, Last: minute(0)}}}
		if got := m.wait("2.0", minute(0).Add(test.passed)); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
		if got := m.wait("3.0", minute(0)); got != 0 {
			t.Errorf("%s: another release waits %s", test.name, got)
		}
	}
	if got := (Memory{}).wait("2.0", minute(0)); got != 0 {
		t.Errorf("without memory it waits %s", got)
	}
}

func TestMemoryRecord(t *testing.T) {
	var m Memory
	for i := range 3 {
		before := maps.Clone(m.Attempts)
		next := m.record("2.0", minute(i))
		if !maps.Equal(m.Attempts, before) {
			t.Error("record changed the memory that it was asked of")
		}
		if got, want := next.Attempts["2.0"], (Attempts{Count: i + 1, Last: minute(i)}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		m = next
	}
	if m = m.record("3.0", minute(9)); m.Attempts["2.0"].Count != 3 || m.Attempts["3.0"].Count != 1 {
		t.Errorf("two releases are counted as %+v", m.Attempts)
	}
}

// TestMemoryForgets: of more than eight releases the ones tried least recently
// are forgotten, and never the one just tried, whatever the clock says.
func TestMemoryForgets(t *testing.T) {
	var m Memory
	for i := range maxReleases + 3 {
		m = m.record(fmt.Sprint("2.", i), minute(i))
	}
	var want []string
	for i := 3; i < maxReleases+3; i++ {
		want = append(want, fmt.Sprint("2.", i))
	}
	if got := slices.Sorted(maps.Keys(m.Attempts)); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("remembered are %v, want %v", got, want)
	}
	m = m.record("2.4", minute(100)).record("3.0", minute(101))
	if m.Attempts["2.3"].Count != 0 || m.Attempts["2.4"].Count != 2 {
		t.Errorf("an attempt must make a release younger: %v", m.Attempts)
	}
	back := m.record("9.0", minute(-100000))
	if len(back.Attempts) != maxReleases || back.Attempts["9.0"].Count != 1 {
		t.Errorf("the attempt just made was forgotten after the clock was set back: %v", back.Attempts)
	}
	if got := back.wait("9.0", minute(-100000)); got != firstBackOff {
		t.Errorf("it waits %s", got)
	}
}

func TestMemoryRefund(t *testing.T) {
	attempts := func(n int) Memory {
		m := Memory{}
		for i := range n {
			m = m.record("2.0", minute(i))
		}
		return m
	}
	for n := range 4 {
		m := attempts(n)
		got := m.refund("2.0")
		if count := got.Attempts["2.0"].Count; count != max(n-1, 0) {
			t.Errorf("of %d attempts %d are left", n, count)
		}
		if _, ok := got.Attempts["2.0"]; ok != (n > 1) {
			t.Errorf("after a refund of %d attempts the release is remembered: %t", n, ok)
		}
		if m.Attempts["2.0"].Count != n {
			t.Error("refund changed the memory that it was asked of")
		}
		if other := got.refund("3.0"); !maps.Equal(other.Attempts, got.Attempts) {
			t.Errorf("a refund of another release left %v", other.Attempts)
		}
	}
}

func TestMemoryForget(t *testing.T) {
	m := Memory{}.record("2.0", minute(0)).record("2.0", minute(1)).record("3.0", minute(2))
	got := m.forget("2.0")
	if _, ok := got.Attempts["2.0"]; ok || got.Attempts["3.0"].Count != 1 || m.Attempts["2.0"].Count != 2 {
		t.Errorf("of %v is left %v", m.Attempts, got.Attempts)
	}
	if got := (Memory{}).forget("2.0"); len(got.Attempts) != 0 {
		t.Errorf("of nothing is left %v", got.Attempts)
	}
}

// TestTurnPage: each phase is accounted with the uptime that it took, across a
// boot with the wall time, a phase that comes again with the sum, and a clock set
// back with nothing.
func TestTurnPage(t *testing.T) {
	var d Duty
	steps := []struct {
		phase      Phase
		boot       string
		up, minute int                // uptime and wall time, in minutes
		want       map[string]float64 // the account after the step
	}{
		{Draining, bootThen, 100, 0, nil},
		{Rebooting, bootThen, 103, 3, map[string]float64{"draining": 180}},
		{Draining, bootThen, 104, 64, map[string]float64{"draining": 180, "rebooting": 60}}, // the clock was set forward
		{Rebooting, bootThen, 106, -90, map[string]float64{"draining": 300, "rebooting": 60}},
		{Verifying, bootNow, 1, -87, map[string]float64{"draining": 300, "rebooting": 240}},
		{Verifying, bootSeen, 1, -95, map[string]float64{"draining": 300, "rebooting": 240, "verifying": 0}},
		{Restoring, bootSeen, 2, -94, map[string]float64{"draining": 300, "rebooting": 240, "verifying": 60}},
		{Idle, bootSeen, 3, -93, map[string]float64{"draining": 300, "rebooting": 240, "verifying": 60, "restoring": 60}},
	}
	for i, s := range steps {
		now := stopwatch{uptime: time.Duration(s.up) * time.Minute, at: minute(s.minute)}
		d.turnPage(s.phase, s.boot, now)
		if !maps.Equal(d.Seconds, s.want) {
			t.Errorf("step %d: the account is %v, want %v", i, d.Seconds, s.want)
		}
		if d.Phase != s.phase.String() || d.PhaseBoot != s.boot || d.PhaseUptime != now.uptime || !d.PhaseAt.Equal(now.at) {
			t.Errorf("step %d: the page is %s, %s, %s, %s", i, d.Phase, d.PhaseBoot, d.PhaseUptime, d.PhaseAt)
		}
	}
	if total(d.Seconds) != 11*time.Minute {
		t.Errorf("all phases took %s", total(d.Seconds))
	}
	fresh := Duty{Phase: "draining"} // adopted: since when is unknown
	if fresh.turnPage(Restoring, bootNow, stopwatch{at: minute(5)}); len(fresh.Seconds) != 0 {
		t.Errorf("a phase without a begin is accounted with %v", fresh.Seconds)
	}
}

// TestDutyClone: a duty that could not be saved must not have changed.
func TestDutyClone(t *testing.T) {
	up := func(minutes int) stopwatch { return stopwatch{time.Duration(minutes) * time.Minute, minute(minutes)} }
	d := dutyOf(func(d *Duty) { d.turnPage(Draining, bootNow, up(0)) })
	d.turnPage(Rebooting, bootNow, up(1))
	next := d.clone()
	next.Armed = true
	next.turnPage(Restoring, bootNow, up(2))
	if d.Armed || d.Phase != "rebooting" || !maps.Equal(d.Seconds, map[string]float64{"draining": 60}) {
		t.Errorf("a change of the clone reached the duty: %+v", d)
	}
}

// TestTerms: every value of the terms comes from the settings or the policy.
func TestTerms(t *testing.T) {
	c := DefaultConfig()
	c.Drain = DrainConfig{Timeout: time.Minute, OnTimeout: OnTimeoutForce, StandaloneTasks: StandaloneStop}
	c.Lock.RebootAllowance = 2 * time.Minute
	c.Verify = VerifyConfig{Timeout: 3 * time.Minute, Soak: 4 * time.Minute}
	c.Timing.RebootDeadline, c.Timing.ReassertWithin = 5*time.Minute, 6*time.Minute
	p := DefaultPolicy()
	p.MaxFailures = 3
	want := mustIntent(t, fullIntent).Duty.Terms
	if got := termsOf(c, p); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	v := reflect.ValueOf(want)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("%s is not set by this test", v.Type().Field(i).Name)
		}
	}
	if c.Drain.OnTimeout = OnTimeoutAbort; termsOf(c, p).Force {
		t.Error("abort forces")
	}
}
