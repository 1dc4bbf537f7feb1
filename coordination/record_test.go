package coordination

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// laterMembers is a record with members that this version does not know, at
// every level. Each has a value that names its place.
const laterMembers = `{
	"schema": 1, "incarnation": "first", "generation": 7, "policy": "5 5 0", "average_hold": 60.5,
	"later": "at record",
	"holders": [
		{"host": "i-a", "generation": 5, "phase": "draining", "granted_at": "2026-03-01T12:00:00Z", "since": "2026-03-01T12:01:00.000000001Z",
		 "announced": 1800, "from": "1.0", "target": "2.0", "boot": "boot-a", "arn": "arn-a", "zone": "za", "later": {"is": "at i-a"}},
		{"host": "i-b", "generation": 6, "phase": "verifying", "granted_at": "2026-03-01T12:00:00+02:00", "since": "2026-03-01T12:01:00Z",
		 "announced": 0.25, "from": "1.0", "target": "2.0", "boot": "", "arn": "", "stuck": true, "restore": true, "later": ["at i-b"]}
	],
	"failures": [{"host": "i-b", "generation": 6, "cause": "stuck", "release": "2.0", "at": "2026-03-01T12:05:00Z", "later": "at failure"}],
	"refused": [{"release": "1.9", "host": "i-z", "at": "2026-03-01T12:05:00Z", "later": "at refusal"}],
	"halt": {"who": "ann", "at": "2026-03-01T12:05:00Z", "reason": "lunch", "later": "at halt"},
	"queue": {"next": 3, "pointer": 3, "later": "at queue"}
}`

func mustDecode(t fataler, text string) Record {
	t.Helper()
	r, err := Decode([]byte(text))
	if err != nil {
		t.Fatalf("decode %s: %v", text, err)
	}
	return r
}

// TestUnknownMembersStay: an older agent never drops what a newer one stored.
// Only what a rule removes goes, with all that stands in it.
func TestUnknownMembersStay(t *testing.T) {
	unhalted := strings.Replace(laterMembers, `"halt": {"who": "ann", "at": "2026-03-01T12:05:00Z", "reason": "lunch", "later": "at halt"},`, "", 1)
	places := []string{"at record", "at i-a", "at i-b", "at failure", "at refusal", "at halt", "at queue"}
	without := func(gone ...string) []string {
		var left []string
		for _, p := range places {
			if !strings.Contains(strings.Join(gone, ","), p) {
				left = append(left, p)
			}
		}
		return left
	}
	keep := Rule{Change: func(r Record) (Record, error) { return r, nil }}
	tests := []struct {
		name string
		text string
		rule Rule
		want []string
	}{
		{"none", laterMembers, keep, places},
		{"grant", unhalted, Grant(claimOf(func(c *Claim) { c.Host = "i-c" }), numbers, clock(9)), without("at halt")},
		{"reassert", unhalted, Reassert("i-a", 5, Rebooting, time.Hour, numbers, clock(9)), without("at halt")},
		{"announce", laterMembers, Announce("i-b", 6, Verifying, time.Hour, clock(9)), places},
		{"fail, anew", laterMembers, Fail("i-a", 5, "sick", time.Hour, clock(9)), places},
		{"fail, in place of another", laterMembers, Fail("i-b", 6, "sick", time.Hour, clock(9)), places},
		{"return, good", laterMembers, Return("i-a", 5, Report{}, clock(9)), without("at i-a")},
		{"return, withdrawing", laterMembers, Return("i-b", 6, Report{}, clock(9)), without("at i-b", "at failure")},
		{"return, failing", laterMembers, Return("i-b", 6, Report{Cause: "sick", Release: "2.0"}, clock(9)), without("at i-b")},
		{"return, refusing", laterMembers, Return("i-a", 5, Report{Cause: "fell_back", Release: "2.0", Refuse: true}, clock(9)), without("at i-a")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			next, err := change(t, mustDecode(t, test.text), test.rule)
			if err != nil {
				t.Fatal(err)
			}
			text := stored(t, mustDecode(t, stored(t, next)))
			for _, place := range places {
				want := strings.Contains(strings.Join(test.want, ","), place)
				if got := strings.Contains(text, place); got != want {
					t.Errorf("what stood %s is there: %t, want %t\n%s", place, got, want, text)
				}
			}
		})
	}
}

// TestDecodeReads pins the names and forms of the stored record.
func TestDecodeReads(t *testing.T) {
	r := mustDecode(t, laterMembers)
	want := Record{
		Schema: 1, Incarnation: "first", Generation: 7, Policy: "5 5 0", AverageHold: 60.5, Queue: Queue{Next: 3, Pointer: 3},
		Holders: []Holder{
			{Host: "i-a", Generation: 5, Phase: Draining, GrantedAt: clock(0), Since: clock(1).Add(1), Announced: 1800,
				From: "1.0", Target: "2.0", Boot: "boot-a", ARN: "arn-a", Zone: "za"},
			{Host: "i-b", Generation: 6, Phase: Verifying, GrantedAt: clock(-120), Since: clock(1), Announced: 0.25,
				From: "1.0", Target: "2.0", Stuck: true, Restore: true},
		},
		Failures: []Failure{{Host: "i-b", Generation: 6, Cause: "stuck", Release: "2.0", At: clock(5)}},
		Refused:  []Refusal{{Release: "1.9", Host: "i-z", At: clock(5)}},
		Halt:     &Halt{Who: "ann", At: clock(5), Reason: "lunch"},
	}
	if got := bare(r); !reflect.DeepEqual(got, bare(want)) {
		t.Errorf("read as\n%+v, want\n%+v", got, bare(want))
	}
}

func TestNewRecord(t *testing.T) {
	r := mustDecode(t, stored(t, NewRecord("first", "1 1 0")))
	want := Record{Schema: Schema, Incarnation: "first", Policy: "1 1 0", Queue: Queue{Next: 1, Pointer: 1}}
	if !reflect.DeepEqual(bare(r), bare(want)) {
		t.Errorf("a new record is %+v", r)
	}
}

func TestDecodeNullLists(t *testing.T) {
	for _, lists := range []string{
		`"holders":null,"failures":null,"refused":null,"halt":null`,
		`"holders":[],"failures":[],"refused":[]`,
		`"generation":0`,
	} {
		r := mustDecode(t, `{"schema":1,"incarnation":"x","policy":"1 1 0",`+lists+`}`)
		if len(r.Holders)+len(r.Failures)+len(r.Refused) != 0 || r.Halt != nil || r.Halted(Limits{MaxFailures: 1}) != "" {
			t.Errorf("%s is read as %+v", lists, r)
		}
		if _, err := change(t, r, Grant(claimOf(), numbers, clock(0))); err != nil {
			t.Errorf("%s: no grant: %v", lists, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	holder := func(members string) string {
		return `{"schema":1,"incarnation":"x","generation":3,"holders":[` + members + `]}`
	}
	tests := []struct {
		name string
		body string
		want error
		text string
	}{
		{"nothing", ``, ErrNonsense, "unexpected end"},
		{"no JSON", `lock`, ErrNonsense, "invalid character"},
		{"null", `null`, ErrNonsense, "schema is 0"},
		{"a list", `[]`, ErrNonsense, "array"},
		{"cut off", `{"schema":1,"incarnation":"x"`, ErrNonsense, "unexpected end"},
		{"more behind it", `{"schema":1,"incarnation":"x"}{}`, ErrNonsense, "after top-level value"},
		{"no schema", `{"incarnation":"x"}`, ErrNonsense, "schema is 0"},
		{"schema below one", `{"schema":-1,"incarnation":"x"}`, ErrNonsense, "schema is -1"},
		{"schema of another type", `{"schema":"1","incarnation":"x"}`, ErrNonsense, "string"},
		{"a newer schema", `{"schema":2,"incarnation":"x"}`, ErrNewer, "2, this version knows up to 1"},
		{"a newer schema of another form", `{"schema":2,"holders":{"i-a":1}}`, ErrNewer, "2"},
		{"no incarnation", `{"schema":1}`, ErrNonsense, "incarnation is missing"},
		{"negative generation", `{"schema":1,"incarnation":"x","generation":-1}`, ErrNonsense, "generation is -1"},
		{"fractional generation", `{"schema":1,"incarnation":"x","generation":1.5}`, ErrNonsense, "1.5"},
		{"a long policy", `{"schema":1,"incarnation":"x","policy":"` + strings.Repeat("a", MaxPolicy+1) + `"}`, ErrNonsense, "4097 bytes, at most 4096"},
		{"a holder without a name", holder(`{"generation":1,"phase":"granted"}`), ErrNonsense, `holder "" stands there twice or has no name`},
		{"a holder that is null", holder(`null`), ErrNonsense, `holder ""`},
		{"a holder twice", holder(`{"host":"i-a","generation":1,"phase":"granted"},{"host":"i-a","generation":2,"phase":"granted"}`), ErrNonsense, `holder "i-a" stands there twice`},
		{"a holder without a generation", holder(`{"host":"i-a","phase":"granted"}`), ErrNonsense, "holder i-a has generation 0, grants so far are 3"},
		{"a holder from the future", holder(`{"host":"i-a","generation":4,"phase":"granted"}`), ErrNonsense, "holder i-a has generation 4, grants so far are 3"},
		{"a holder without a phase", holder(`{"host":"i-a","generation":1}`), ErrNonsense, "holder i-a has no phase"},
		{"a time that is none", holder(`{"host":"i-a","generation":1,"phase":"granted","since":"yesterday"}`), ErrNonsense, "yesterday"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Decode([]byte(test.body))
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%v, want %v that says %q", err, test.want, test.text)
			}
		})
	}
	if _, err := Decode([]byte(`{"schema":1,"incarnation":"x","policy":"` + strings.Repeat("a", MaxPolicy) + `"}`)); err != nil {
		t.Errorf("a policy of %d bytes: %v", MaxPolicy, err)
	}
}

// bare is the record without what is kept for later versions, in one form:
// lists are nil when empty, times in UTC.
func bare(r Record) Record {
	r = r.clone()
	r.kept, r.Queue.kept = nil, nil
	for i := range r.Holders {
		h := &r.Holders[i]
		h.kept, h.GrantedAt, h.Since = nil, h.GrantedAt.UTC(), h.Since.UTC()
	}
	for i := range r.Failures {
		r.Failures[i].kept, r.Failures[i].At = nil, r.Failures[i].At.UTC()
	}
	for i := range r.Refused {
		r.Refused[i].kept, r.Refused[i].At = nil, r.Refused[i].At.UTC()
	}
	if r.Halt != nil {
		r.Halt = &Halt{Who: r.Halt.Who, At: r.Halt.At.UTC(), Reason: r.Halt.Reason}
	}
	r.Holders, r.Failures, r.Refused = orNil(r.Holders), orNil(r.Failures), orNil(r.Refused)
	return r
}

func orNil[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

func genKept(t *rapid.T) Kept {
	// Names that differ from ours in case alone are unknown ones, too.
	names := rapid.SampledFrom([]string{"later", "Policy", "HOST", "ſchema", "holderſ", "<&>", "ключ", "x.y"})
	values := rapid.SampledFrom([]string{`1`, `"text"`, `null`, `{"a":[1,2.50,{"b":false}]}`, `[]`, `-0.0`, `12345678901234567890123`, `"<\u2028>"`})
	kept := make(Kept)
	for range rapid.IntRange(0, 2).Draw(t, "kept") {
		kept[names.Draw(t, "name")] = json.RawMessage(values.Draw(t, "value"))
	}
	if len(kept) == 0 {
		return nil
	}
	return kept
}

func genTime(t *rapid.T) time.Time {
	at := time.Unix(rapid.Int64Range(-62135596800, 253402300799).Draw(t, "seconds"), rapid.Int64Range(0, 999999999).Draw(t, "nanoseconds"))
	return at.UTC()
}

func genRecord(t *rapid.T) Record {
	text := rapid.StringMatching(`[a-z0-9<>&" \\é-]{0,8}`)
	r := Record{
		Schema: Schema, Incarnation: "i" + text.Draw(t, "incarnation"), Generation: rapid.Int64Range(3, 1<<62).Draw(t, "generation"),
		Policy: text.Draw(t, "policy"), AverageHold: rapid.Float64Range(0, 7200).Draw(t, "average"), kept: genKept(t),
		Queue: Queue{Next: rapid.Int64Range(1, 1<<62).Draw(t, "next"), kept: genKept(t)},
	}
	r.Queue.Pointer = rapid.Int64Range(0, r.Queue.Next).Draw(t, "pointer")
	for i := range rapid.IntRange(0, 3).Draw(t, "holders") {
		r.Holders = append(r.Holders, Holder{
			Host: fmt.Sprint("i-", i), Generation: rapid.Int64Range(1, r.Generation).Draw(t, "of"), Phase: rapid.SampledFrom([]Phase{Granted, Sick, "later"}).Draw(t, "phase"),
			GrantedAt: genTime(t), Since: genTime(t), Announced: rapid.Float64Range(0, 1e9).Draw(t, "announced"), From: text.Draw(t, "from"),
			Target: text.Draw(t, "target"), Boot: text.Draw(t, "boot"), ARN: text.Draw(t, "arn"), Zone: text.Draw(t, "zone"),
			Ticket: rapid.Int64Range(0, r.Queue.Next).Draw(t, "ticket"), Stuck: rapid.Bool().Draw(t, "stuck"), Restore: rapid.Bool().Draw(t, "restore"), kept: genKept(t),
		})
	}
	for range rapid.IntRange(0, 3).Draw(t, "failures") {
		r.Failures = append(r.Failures, Failure{
			Host: text.Draw(t, "host"), Generation: rapid.Int64().Draw(t, "of"), Cause: text.Draw(t, "cause"), Release: text.Draw(t, "release"), At: genTime(t), kept: genKept(t),
		})
	}
	for range rapid.IntRange(0, 2).Draw(t, "refused") {
		r.Refused = append(r.Refused, Refusal{Release: text.Draw(t, "release"), Host: text.Draw(t, "host"), At: genTime(t), kept: genKept(t)})
	}
	if rapid.Bool().Draw(t, "halted") {
		r.Halt = &Halt{Who: text.Draw(t, "who"), At: genTime(t), Reason: text.Draw(t, "reason"), kept: genKept(t)}
	}
	return r
}

func TestRecordRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := genRecord(t)
		checkRoundTrip(t, r)
	})
}

// checkRoundTrip checks that a record comes back from its stored form, and
// that nothing of it was lost: neither what is known nor what is not.
func checkRoundTrip(t fataler, r Record) {
	t.Helper()
	body := stored(t, r)
	again := mustDecode(t, body)
	if !reflect.DeepEqual(bare(r), bare(again)) {
		t.Fatalf("stored as %s\n%+v came back as\n%+v", body, bare(r), bare(again))
	}
	if second := stored(t, again); second != body {
		t.Fatalf("stored as\n%s and then as\n%s", body, second)
	}
	for _, pair := range keptPairs(r, again) {
		if got, want := meaning(t, pair[1]), meaning(t, pair[0]); !reflect.DeepEqual(got, want) {
			t.Fatalf("kept %v came back as %v", want, got)
		}
	}
}

// keptPairs are the members kept at each level of two records of one form.
func keptPairs(a, b Record) [][2]Kept {
	pairs := [][2]Kept{{a.kept, b.kept}, {a.Queue.kept, b.Queue.kept}}
	for i := range a.Holders {
		pairs = append(pairs, [2]Kept{a.Holders[i].kept, b.Holders[i].kept})
	}
	for i := range a.Failures {
		pairs = append(pairs, [2]Kept{a.Failures[i].kept, b.Failures[i].kept})
	}
	for i := range a.Refused {
		pairs = append(pairs, [2]Kept{a.Refused[i].kept, b.Refused[i].kept})
	}
	if a.Halt != nil {
		pairs = append(pairs, [2]Kept{a.Halt.kept, b.Halt.kept})
	}
	return pairs
}

// meaning is what the kept members say, however they are written. Numbers stay
// texts, so that none is rounded.
func meaning(t fataler, kept Kept) map[string]any {
	t.Helper()
	all := make(map[string]any)
	for name, raw := range kept {
		d := json.NewDecoder(strings.NewReader(string(raw)))
		d.UseNumber()
		var value any
		if err := d.Decode(&value); err != nil {
			t.Fatalf("kept %s: %v", raw, err)
		}
		all[name] = value
	}
	return all
}

// FuzzDecode: a record is read or refused by name, and what was read comes
// back from its stored form.
func FuzzDecode(f *testing.F) {
	f.Add(laterMembers)
	f.Add(`{"schema":1,"incarnation":"x"}`)
	f.Add(`{"schema":1,"incarnation":"x","Policy":"1 1 0","SCHEMA":7,"ſchema":0}`)
	f.Add(`{"schema":1,"incarnation":"x","generation":2,"holders":[{"host":"i-a","Host":"i-b","generation":1,"phase":"granted"}],"holderſ":[null]}`)
	f.Add(`{"schema":1,"incarnation":"x","failures":[null,{}],"refused":[null]}`)
	f.Add(`{"schema":1,"incarnation":"x","generation":1,"holders":[{"host":"i-a","generation":1,"phase":"p","since":"0001-01-01T00:00:00+23:59","announced":1e300}]}`)
	f.Add(`{"schema":1,"schema":2,"incarnation":"x","a":" \u2028<","a":2,"average_hold":-0}`)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Decode([]byte(text))
		switch {
		case err == nil:
			checkRoundTrip(t, r)
		case !errors.Is(err, ErrNewer) && !errors.Is(err, ErrNonsense):
			t.Errorf("%q: %v has no name", text, err)
		}
	})
}
