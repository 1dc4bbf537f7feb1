package agent

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestPolicyDefaults(t *testing.T) {
	p, err := ParsePolicy("")
	if err != nil || !policyEqual(p, DefaultPolicy()) || p.Slots != 1 || p.MaxFailures != 1 || p.MaxZones != 0 || p.AllowDowngrade {
		t.Fatalf("an empty policy is %+v, %v", p, err)
	}
	if c := p.Apply(DefaultConfig()); c != DefaultConfig() {
		t.Errorf("an empty policy changes the settings: %s", cmp.Diff(DefaultConfig(), c))
	}
}

func policyEqual(a, b Policy) bool {
	return cmp.Equal(a, b, cmp.Comparer(func(x, y *time.Location) bool { return x.String() == y.String() }))
}

func TestPolicyApply(t *testing.T) {
	p, err := ParsePolicy(`
slots = 3
max_failures = 2
max_zones = 1
allow_downgrade = true
check_interval = "10m"
[drain]
timeout = "1h"
on_timeout = "force"
standalone_tasks = "stop"
[verify]
timeout = "5m"
soak = "2m"
[[window]]
days = ["sat", "sun"]
start = "22:00"
length = "4h"
zone = "Europe/Berlin"
[[window]]
start = "03:30"
length = "30m"
`)
	if err != nil {
		t.Fatal(err)
	}
	if p.Slots != 3 || p.MaxFailures != 2 || p.MaxZones != 1 || !p.AllowDowngrade || len(p.Windows) != 2 {
		t.Errorf("the policy is read as %+v", p)
	}
	w := p.Windows[0]
	if !slices.Equal(w.Days, []time.Weekday{time.Saturday, time.Sunday}) || w.Start != 22*time.Hour || w.Length != 4*time.Hour || w.Zone.String() != "Europe/Berlin" {
		t.Errorf("the window is read as %+v", w)
	}
	if w := p.Windows[1]; w.Days != nil || w.Start != 3*time.Hour+30*time.Minute || w.Length != 30*time.Minute || w.Zone != time.UTC {
		t.Errorf("the second window is read as %+v", w)
	}
	host := DefaultConfig()
	host.Drain.Timeout = 7 * time.Minute
	host.Lock.Table = "prod"
	want := host
	want.CheckInterval = 10 * time.Minute
	want.Drain = DrainConfig{time.Hour, OnTimeoutForce, StandaloneStop}
	want.Verify = VerifyConfig{5 * time.Minute, 2 * time.Minute}
	if got := p.Apply(host); got != want {
		t.Error(cmp.Diff(want, got))
	}
	p, err = ParsePolicy("[verify]\nsoak = \"0s\"") // given, though it is the default
	host.Verify.Soak = time.Hour
	if got := p.Apply(host); err != nil || got.Verify.Soak != 0 || got.Drain != host.Drain {
		t.Errorf("%v: soak is %v, drain %+v", err, got.Verify.Soak, got.Drain)
	}
}

func TestPolicyFaults(t *testing.T) {
	const days = `(a list of "mon", "tue", "wed", "thu", "fri", "sat", "sun")`
	const clock = `("00:00" to "23:59", in quotes)`
	const zone = `(an IANA name, such as "UTC" or "Europe/Berlin")`
	const hosts = `(it is set host by host, in the host container's user-data)`
	const window = "[[window]]\nstart = \"22:00\"\nlength = \"1h\"\n"
	for _, test := range []faultTest{
		{"slots = 0\nmax_failures = 0\nmax_zones = -1", []string{
			`policy:1: slots: 0 is too small (1 to 100)`,
			`policy:2: max_failures: 0 is too small (1 to 1000)`,
			`policy:3: max_zones: -1 is too small (0 to 100)`}},
		{"slots = 101", []string{`policy:1: slots: 101 is too large (1 to 100)`}},
		{"slots = \"2\"", []string{`policy:1: slots: is a text, not a whole number (1 to 100, without quotes)`}},
		{"slots = 0x10", []string{`policy:1: slots: 0x10 is not a number of this form (1 to 100, without quotes)`}},
		{"slots = 99999999999999999999", []string{`policy:1: slots: 99999999999999999999 is not a number of this form (1 to 100, without quotes)`}},
		{"slot = 2", []string{`policy:1: slot: is no key here (did you mean slots?)`}},
		{"allow_downgrade = \"yes\"", []string{`policy:1: allow_downgrade: is a text, not a truth value (true or false, without quotes)`}},
		{"[lock]\ntable = \"x\"", []string{`policy:1: lock: is no key here ` + hosts}},
		{"cluster = \"x\"\nlog.level = \"info\"", []string{
			`policy:1: cluster: is no key here ` + hosts,
			`policy:2: log.level: is no key here ` + hosts}},
		{"[drain]\ntimeout = \"1s\"\non_timeout = \"no\"\n[verify]\nsoak = \"-1s\"", []string{
			`policy:2: drain.timeout: 1s is too short (10s to 24h)`,
			`policy:3: drain.on_timeout: "no" is none of the choices (one of "abort", "force")`,
			`policy:5: verify.soak: -1s is negative (0s to 24h)`}},
		// Windows.
		{"[window]\nstart = 1", []string{`policy:1: window: is a list (write [[window]] once for each element)`}},
		{"window = []", []string{`policy:1: window: is a list (write [[window]] once for each element)`}},
		{"[[windwo]]\nstart = 1", []string{`policy:1: windwo: is no key here (did you mean window?)`}},
		{window + "slots = 2", []string{`policy:4: window.slots: is no key here (keys here: days, start, length, zone)`}},
		{window + "lenght = \"2h\"", []string{`policy:4: window.lenght: is no key here (did you mean length?)`}},
		{window + "length = \"2h\"", []string{`policy:4: window.length: is given twice, first on line 3`}},
		{window + "[[window]]\n\n[[window]]\nlength = \"1h\"", []string{
			`policy:4: window.start: is missing ("00:00" to "23:59")`,
			`policy:4: window.length: is missing (1m to 168h)`,
			`policy:6: window.start: is missing ("00:00" to "23:59")`}},
		{window + "days = \"sat\"", []string{`policy:4: window.days: is a text, not a list of days ` + days}},
		{window + "days = [\"sat\", \"funday\"]", []string{`policy:4: window.days: "funday" is no day ` + days}},
		{window + "days = [6]", []string{`policy:4: window.days: has an element that is a whole number ` + days}},
		{window + "days = [\"sat\", \"sun\", \"sat\"]", []string{`policy:4: window.days: has "sat" twice`}},
		{window + "zone = \"Mars/Olympus\"", []string{`policy:4: window.zone: "Mars/Olympus" is no time zone ` + zone}},
		{window + "zone = \"Local\"", []string{`policy:4: window.zone: "Local" is no time zone ` + zone}},
		{window + "zone = \"\"", []string{`policy:4: window.zone: "" is no time zone ` + zone}},
		{window + "zone = 1", []string{`policy:4: window.zone: is a whole number, not a text ` + zone}},
		{"[[window]]\nstart = \"24:00\"\nlength = \"0s\"", []string{
			`policy:2: window.start: "24:00" is no time of day ` + clock,
			`policy:3: window.length: 0s is too short (1m to 168h)`}},
		{"[[window]]\nstart = 22:00:00\nlength = \"200h\"", []string{
			`policy:2: window.start: is a date or a time, not a text ` + clock,
			`policy:3: window.length: 200h is too long (1m to 168h)`}},
		{"[[window]]\nstart = \"9:30\"\nlength = \"1h\"", []string{`policy:2: window.start: "9:30" is no time of day ` + clock}},
		// A text before a list belongs to no element, one behind it to the last.
		{window + "[verify]\nsoak = \"1m\"\n[[window]]\nstart = \"x\"", []string{
			`policy:6: window.length: is missing (1m to 168h)`,
			`policy:7: window.start: "x" is no time of day ` + clock}},
		{strings.Repeat("#", PolicyMaxBytes+1), []string{`policy: 4097 bytes are too many (at most 4096)`}},
	} {
		test.run(t, func(text string) error { _, err := ParsePolicy(text); return err })
	}
	if _, err := ParsePolicy(strings.Repeat("#", PolicyMaxBytes)); err != nil {
		t.Errorf("a policy of the greatest size is refused: %v", err)
	}
}

func TestPolicyWith(t *testing.T) {
	for _, test := range []struct{ text, key, value, want, fault string }{
		{"", "slots", "3", "slots = 3\n", ""},
		{"# ours\nslots = 1 # one\n\n[drain]\ntimeout = \"1h\"\n", "slots", "3", "# ours\nslots = 3 # one\n\n[drain]\ntimeout = \"1h\"\n", ""},
		{"max_zones = 1\n", "slots", "3", "slots = 3\nmax_zones = 1\n", ""},
		{"\"slots\"=1", "slots", "100", "\"slots\"=100", ""},
		{"[[window]]\nstart = \"22:00\"\nlength = \"1h\"\n", "slots", "2", "slots = 2\n[[window]]\nstart = \"22:00\"\nlength = \"1h\"\n", ""},
		{"slots = 1", "slots", "101", "slots = 101", "policy:1: slots: 101 is too large (1 to 100)"},
		{"slots = 1\nslots = 2", "max_zones", "1", "max_zones = 1\nslots = 1\nslots = 2", "policy:3: slots: is given twice, first on line 2"},
		{"", "slotz", "1", "slotz = 1\n", "policy:1: slotz: is no key here (did you mean slots?)"},
	} {
		got, err := PolicyWith(test.text, test.key, test.value)
		fault := ""
		if err != nil {
			fault = err.Error()
		}
		if got != test.want || fault != test.fault {
			t.Errorf("%q with %s = %s: %q, %s", test.text, test.key, test.value, got, fault)
		}
	}
}

func genPolicy(t *rapid.T) Policy {
	p := Policy{
		Slots:          rapid.IntRange(1, 100).Draw(t, "slots"),
		MaxFailures:    rapid.IntRange(1, 1000).Draw(t, "max_failures"),
		MaxZones:       rapid.IntRange(0, 100).Draw(t, "max_zones"),
		AllowDowngrade: rapid.Bool().Draw(t, "allow_downgrade"),
	}
	c := genConfig(t)
	given := func() bool { return rapid.Bool().Draw(t, "given") }
	if given() {
		p.CheckInterval = &c.CheckInterval
	}
	if given() {
		p.Drain = PolicyDrain{&c.Drain.Timeout, &c.Drain.OnTimeout, &c.Drain.StandaloneTasks}
	}
	if given() {
		p.Verify.Soak = &c.Verify.Soak
	}
	if given() {
		p.Windows = genWindows(t, "UTC", "Europe/Berlin", "Asia/Kathmandu")
	}
	return p
}

func genWindows(t *rapid.T, zones ...string) Windows {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Window {
		w := Window{
			Days:   rapid.SliceOfNDistinct(rapid.Map(rapid.IntRange(0, 6), func(i int) time.Weekday { return time.Weekday(i) }), -1, 7, rapid.ID).Draw(t, "days"),
			Start:  time.Duration(rapid.IntRange(0, 24*60-1).Draw(t, "start")) * time.Minute,
			Length: time.Duration(rapid.IntRange(1, 30*60).Draw(t, "length")) * time.Minute,
			Zone:   zoneOf(t, rapid.SampledFrom(zones).Draw(t, "zone")),
		}
		if len(w.Days) == 0 {
			w.Days = nil
		}
		return w
	}), 1, 4).Draw(t, "windows")
}

func zoneOf(t interface{ Fatal(...any) }, name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func TestPolicyRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := genPolicy(t)
		got, err := ParsePolicy(p.TOML())
		for i, w := range got.Windows { // no list and an empty list say the same
			if len(w.Days) == 0 {
				got.Windows[i].Days = nil
			}
		}
		if err != nil || !policyEqual(got, p) {
			t.Fatalf("%v: %+v\n%s", err, got, p.TOML())
		}
		if err := p.Apply(genConfig(t)).Validate(); err != nil {
			t.Fatalf("a valid policy over valid settings is invalid: %v", err)
		}
	})
}

// openAt is the slow twin: a minute is open when some window of the week says
// so, by arithmetic on the wall clock alone. It knows no change of clocks.
func openAt(w Windows, at time.Time) bool {
	for _, window := range w {
		local := at.In(window.Zone)
		minute := int(local.Weekday())*24*60 + local.Hour()*60 + local.Minute()
		for day := range 7 {
			if len(window.Days) > 0 && !slices.Contains(window.Days, time.Weekday(day)) {
				continue
			}
			since := (minute - day*24*60 - int(window.Start.Minutes()) + 2*7*24*60) % (7 * 24 * 60)
			if since < int(window.Length.Minutes()) {
				return true
			}
		}
	}
	return false
}

// Open and Next agree with a walk from minute to minute, in zones whose clocks
// never change.
func TestWindowsAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWindows(t, "UTC", "Asia/Tokyo", "Asia/Kathmandu", "America/Phoenix")
		now := time.Date(2026, 7, 1, 0, rapid.IntRange(0, 14*24*60).Draw(t, "minute"), 0, 0, time.UTC)
		need := time.Duration(rapid.IntRange(0, 5*60).Draw(t, "need")) * time.Minute
		want := openAt(w, now)
		for at := now; at.Before(now.Add(need)); at = at.Add(time.Minute) {
			want = want && openAt(w, at)
		}
		if got := w.Open(now, need); got != want {
			t.Fatalf("open at %s for %s: %v, minute by minute %v", now, need, got, want)
		}
		start, end, ok := w.Next(now)
		if !ok {
			t.Fatal("windows recur every week, but there is no next one")
		}
		limit := now.Add(8 * 24 * time.Hour)
		first := now
		for !openAt(w, first) && first.Before(limit) {
			first = first.Add(time.Minute)
		}
		if first.After(now) && !start.Equal(first) || first.Equal(now) && start.After(now) {
			t.Fatalf("next window from %s starts %s, minute by minute %s", now, start, first)
		}
		last := first
		for openAt(w, last) && last.Before(limit) {
			last = last.Add(time.Minute)
		}
		if last.Before(limit) && !end.Equal(last) || last.Equal(limit) && end.Before(limit) {
			t.Fatalf("next window from %s ends %s, minute by minute %s", now, end, last)
		}
	})
}

// Around a change of clocks the twin's wall-clock arithmetic still holds in
// every hour that exists once. Windows start and end outside of those hours.
func TestWindowsAcrossClockChanges(t *testing.T) {
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago"} {
		location := zoneOf(t, zone)
		for _, window := range []Window{
			{Start: 22 * time.Hour, Length: 8 * time.Hour, Zone: location},
			{Days: []time.Weekday{time.Saturday}, Start: 20 * time.Hour, Length: 10 * time.Hour, Zone: location},
			{Start: 5 * time.Hour, Length: 24 * time.Hour, Zone: location},
		} {
			w := Windows{window}
			for at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC); at.Year() == 2026; at = at.Add(100 * time.Minute) {
				if hour := at.In(location).Hour(); hour < 4 || hour == 23 {
					continue
				}
				if got, want := w.Open(at, 0), openAt(w, at); got != want {
					t.Fatalf("%s %+v: open at %s is %v", zone, window, at.In(location), got)
				}
			}
		}
	}
}

func TestWindows(t *testing.T) {
	berlin := zoneOf(t, "Europe/Berlin")
	const h, m = time.Hour, time.Minute
	weekend := Windows{{Days: []time.Weekday{time.Saturday, time.Sunday}, Start: 22 * h, Length: 4 * h, Zone: berlin}}
	at := func(month time.Month, day, hour, minute int) time.Time {
		return time.Date(2026, month, day, hour, minute, 0, 0, berlin)
	}
	for _, test := range []struct {
		name    string
		windows Windows
		now     time.Time
		need    time.Duration
		text    string // "" when open
	}{
		{"no windows", nil, at(7, 4, 3, 0), 100 * h, ""},
		{"before", weekend, at(7, 4, 18, 50), h, "next window Sat 22:00-02:00 Europe/Berlin (in 3h10m)"},
		{"first minute", weekend, at(7, 4, 22, 0), h, ""},
		{"just enough time", weekend, at(7, 5, 1, 0), h, ""},
		{"not enough time", weekend, at(7, 5, 1, 1), h, "next window Sun 22:00-02:00 Europe/Berlin (in 20h59m)"},
		{"at the end", weekend, at(7, 5, 2, 0), 0, "next window Sun 22:00-02:00 Europe/Berlin (in 20h)"},
		{"part of a minute", weekend, at(7, 4, 21, 59).Add(1), h, "next window Sat 22:00-02:00 Europe/Berlin (in 1m)"},
		{"now in another zone", weekend, at(7, 4, 18, 50).UTC(), h, "next window Sat 22:00-02:00 Europe/Berlin (in 3h10m)"},
		{"over the week's end", weekend, at(7, 6, 2, 0), h, "next window Sat 22:00-02:00 Europe/Berlin (in 140h)"},
		{"none long enough", weekend, at(7, 4, 23, 0), 4*h + m, "no window is as long as the 4h1m that an update may need"},
		{"a negative need", weekend, at(7, 5, 1, 59), -h, ""},
		{"windows that touch are one", Windows{
			{Start: 22 * h, Length: 2 * h, Zone: berlin}, {Start: 0, Length: h, Zone: berlin}}, at(7, 4, 23, 0), 2 * h, ""},
		{"windows that overlap are one", Windows{
			{Start: 22 * h, Length: 3 * h, Zone: berlin}, {Start: 22 * h, Length: 4 * h, Zone: time.UTC}}, at(7, 4, 22, 0), 6 * h, ""},
		{"a day's length is always", Windows{{Start: 5 * h, Length: 24 * h, Zone: berlin}}, at(7, 4, 4, 59), 300 * h, ""},
		{"a week's length is always", Windows{{Days: []time.Weekday{time.Monday}, Start: 5 * h, Length: 168 * h, Zone: berlin}}, at(7, 4, 4, 59), 300 * h, ""},
		{"longer than a day", Windows{{Days: []time.Weekday{time.Friday}, Start: 20 * h, Length: 56 * h, Zone: berlin}}, at(7, 9, 20, 0), h,
			"next window Fri 20:00-Mon 04:00 Europe/Berlin (in 24h)"},
		// On 29 March 2026 the clock goes from 02:00 to 03:00, on 25 October
		// from 03:00 back to 02:00.
		{"shorter in spring", Windows{{Start: h, Length: 3 * h, Zone: berlin}}, at(3, 29, 1, 0), 2*h + m, "next window Mon 01:00-04:00 Europe/Berlin (in 23h)"},
		{"just the spring's length", Windows{{Start: h, Length: 3 * h, Zone: berlin}}, at(3, 29, 1, 0), 2 * h, ""},
		{"longer in autumn", Windows{{Start: h, Length: 3 * h, Zone: berlin}}, at(10, 25, 1, 0), 4 * h, ""},
		{"within the skipped hour", Windows{{Start: 2 * h, Length: h, Zone: berlin}}, at(3, 29, 1, 0), m, "next window Mon 02:00-03:00 Europe/Berlin (in 24h)"},
	} {
		if got := test.windows.Text(test.now, test.need); got != test.text {
			t.Errorf("%s: %q, want %q", test.name, got, test.text)
		}
		if got := test.windows.Open(test.now, test.need); got != (test.text == "") {
			t.Errorf("%s: open is %v", test.name, got)
		}
	}
	if _, _, ok := (Windows{}).Next(time.Now()); ok {
		t.Error("there is a next window, and no windows")
	}
}

func ExampleWindows_Text() {
	p, _ := ParsePolicy("[[window]]\ndays = [\"sat\", \"sun\"]\nstart = \"22:00\"\nlength = \"4h\"\nzone = \"Europe/Berlin\"")
	now := time.Date(2026, 7, 4, 16, 50, 0, 0, time.UTC)
	fmt.Println(p.Windows.Text(now, time.Hour))
	// Output: next window Sat 22:00-02:00 Europe/Berlin (in 3h10m)
}
