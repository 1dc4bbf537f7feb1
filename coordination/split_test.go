package coordination

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// everything has a field of each kind that decodeInto tells apart.
type everything struct {
	Text   string          `json:"text"`
	Phase  Phase           `json:"phase"`
	Number float64         `json:"number"`
	Count  int64           `json:"count"`
	Small  int8            `json:"small"`
	Yes    bool            `json:"yes"`
	At     time.Time       `json:"at"`
	Many   []Failure       `json:"many"`
	Halt   *Halt           `json:"halt"`
	Texts  []string        `json:"texts"`
	Raw    json.RawMessage `json:"raw"`
}

// decodeSlowly is DecodeKeeping by encoding/json alone.
func decodeSlowly(data []byte, v any) (Kept, error) {
	var all Kept
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	value := reflect.ValueOf(v).Elem()
	for i := range value.NumField() {
		name, _, _ := strings.Cut(value.Type().Field(i).Tag.Get("json"), ",")
		raw, there := all[name]
		if name == "" || !there {
			continue
		}
		if err := json.Unmarshal(raw, value.Field(i).Addr().Interface()); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		delete(all, name)
	}
	if len(all) == 0 {
		return nil, nil
	}
	return all, nil
}

// twins are texts on which the two ways of decoding must agree.
var twins = []string{
	``, ` `, `null`, ` null `, `nul`, `nullx`, `{}`, ` { } `, `{} {}`, `{}x`, `[]`, `{`, `{"`, `{"a`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{,}`, `{"a" 1}`, `{a:1}`,
	`{"text":"a","text":"b"}`, `{"text":1,"text":"b"}`, `{"text":"b","text":1}`, `{"TEXT":"a"}`, `{"t\u0065xt":"a"}`, `{"text":"\u00e9\n\"\\\/\b"}`, `{"text":"é"}`, `{"text":"\ud800"}`,
	"{\"text\":\"\xff\"}", "{\"\xff\":1}", "{\"text\":\"\x01\"}", `{"text":"\x"}`, `{"text":"\u12g4"}`, "{\"text\":\"\\u\x10\x11\x12\x13\"}", `{"text":"\u123`, `{"text":"\`,
	`{"text":null,"phase":null,"number":null,"count":null,"yes":null,"at":null,"many":null,"halt":null,"texts":null,"raw":null}`,
	`{"phase":"sick","number":1.5e3,"count":7,"yes":true,"at":"2026-11-26T10:00:00Z","halt":{"who":"a","later":1},"texts":["a","b"],"raw":{"x":[1, 2]}}`,
	`{"number":-0.5E-2}`, `{"number":01}`, `{"number":1.}`, `{"number":.5}`, `{"number":+1}`, `{"number":-}`, `{"number":1e}`, `{"number":1e999}`, `{"number":"1"}`,
	`{"count":1.5}`, `{"count":-12}`, `{"count":-0}`, `{"count":1e2}`, `{"count":"1"}`, `{"count":[]}`, `{"small":300}`, `{"small":-3}`, `{"count":99999999999999999999}`, `{"yes":1}`, `{"yes":tru}`, `{"yes":false }`, `{"at":"yesterday"}`, `{"at":7}`,
	`{"many":[]}`, `{"many":[ ]}`, `{"many":[{"host":"i-1","later":{"a":1}} , {"generation":2}]}`, `{"many":[null]}`, `{"many":[1]}`, `{"many":[{}`, `{"many":[{},]}`, `{"many":[,]}`, `{"many":[{} {}]}`, `{"many":{}}`, `{"many":"a"}`,
	`{"later":[[[{"a":{}}]]],"x":"y"}`, `{"later":[}`, `{"later":{"a"}}`, `{"later":{"a":}}`, `{"":1}`, `{"kept":1}`,
}

// TestDecodeTwins holds the fast way to the slow one, also in what is refused.
func TestDecodeTwins(t *testing.T) {
	for _, text := range twins {
		compareDecoding(t, text)
	}
}

func compareDecoding(t *testing.T, text string) {
	t.Helper()
	var fast, slow everything
	kept, err := DecodeKeeping([]byte(text), &fast)
	keptSlowly, errSlowly := decodeSlowly([]byte(text), &slow)
	if (err == nil) != (errSlowly == nil) {
		t.Fatalf("%q: %v, encoding/json says %v", text, err, errSlowly)
	}
	if err == nil && (!reflect.DeepEqual(fast, slow) || !reflect.DeepEqual(kept, keptSlowly)) {
		t.Errorf("%q is %+v with %s kept\nencoding/json: %+v with %s", text, fast, kept, slow, keptSlowly)
	}
}

// FuzzDecodeTwins does the same for any text.
func FuzzDecodeTwins(f *testing.F) {
	for _, text := range twins {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { compareDecoding(t, text) })
}

// TestDecodeDepth: a text may be nested as deep as encoding/json takes it, and
// no text brings the process down.
func TestDecodeDepth(t *testing.T) {
	nested := func(depth int) []byte {
		return []byte(`{"later":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + `}`)
	}
	for depth, want := range map[int]bool{1: true, 9999: true, 10001: false, 1000000: false} {
		if _, err := DecodeKeeping(nested(depth), new(everything)); (err == nil) != want {
			t.Errorf("%d levels: %v", depth, err)
		}
	}
}

// TestDecodeKeepsNothingOfTheText: what was decoded does not change with the
// bytes that it was decoded from.
func TestDecodeKeepsNothingOfTheText(t *testing.T) {
	text := []byte(`{"text":"abc","raw":[1,2],"later":"def","many":[{"host":"i-1","x":"y"}]}`)
	var got, want everything
	kept, err := DecodeKeeping(text, &got)
	if err != nil {
		t.Fatal(err)
	}
	copy(text, bytes.Repeat([]byte("#"), len(text)))
	keptWanted, err := DecodeKeeping([]byte(`{"text":"abc","raw":[1,2],"later":"def","many":[{"host":"i-1","x":"y"}]}`), &want)
	if err != nil || !reflect.DeepEqual(got, want) || !reflect.DeepEqual(kept, keptWanted) {
		t.Errorf("%+v with %s", got, kept)
	}
}
