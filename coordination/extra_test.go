package coordination

import (
	"encoding/json"
	"reflect"
	"testing"
)

type sample struct {
	Name  string `json:"name"`
	Count int    `json:"count,omitempty"`
	kept  Kept
}

func TestDecodeKeeping(t *testing.T) {
	raw := func(pairs ...string) Kept {
		kept := make(Kept)
		for i := 0; i < len(pairs); i += 2 {
			kept[pairs[i]] = json.RawMessage(pairs[i+1])
		}
		return kept
	}
	tests := []struct {
		data string
		want sample
		kept Kept
	}{
		{`{}`, sample{}, nil},
		{`null`, sample{}, nil},
		{`{"name":"a","count":2}`, sample{Name: "a", Count: 2}, nil},
		{`{"name":"a","later":{"b":[1, 2]}}`, sample{Name: "a"}, raw("later", `{"b":[1, 2]}`)},
		{`{"name":null,"x":null}`, sample{}, raw("x", `null`)},
		{`{"NAME":"b","name":"a","Name":7}`, sample{Name: "a"}, raw("NAME", `"b"`, "Name", `7`)},
		{`{"kept":{"a":1},"":2}`, sample{}, raw("kept", `{"a":1}`, "", `2`)},
		{`{"x":1,"x":2}`, sample{}, raw("x", `2`)},
	}
	for _, test := range tests {
		var got sample
		kept, err := DecodeKeeping([]byte(test.data), &got)
		if err != nil || !reflect.DeepEqual(got, test.want) || !reflect.DeepEqual(kept, test.kept) {
			t.Errorf("%s is %+v with %s kept, %v", test.data, got, kept, err)
		}
	}
	for _, data := range []string{``, `[]`, `"a"`, `{"name":1}`, `{"count":"1"}`, `{"name":"a"`} {
		if _, err := DecodeKeeping([]byte(data), new(sample)); err == nil {
			t.Errorf("%s was read", data)
		}
	}
}

func TestEncodeKeeping(t *testing.T) {
	tests := []struct {
		v    any
		kept Kept
		want string
	}{
		{sample{Name: "a", Count: 1, kept: Kept{"x": json.RawMessage(`1`)}}, nil, `{"name":"a","count":1}`},
		{sample{Name: "a"}, Kept{"later": json.RawMessage(`[ 1 ]`)}, `{"later":[1],"name":"a"}`},
		{sample{Name: "a", Count: 1}, Kept{"name": json.RawMessage(`["b"]`)}, `{"count":1,"name":["b"]}`},
	}
	for _, test := range tests {
		if got, err := EncodeKeeping(test.v, test.kept); err != nil || string(got) != test.want {
			t.Errorf("%+v with %s is %s, %v", test.v, test.kept, got, err)
		}
	}
	if _, err := EncodeKeeping(sample{}, Kept{"later": json.RawMessage(`{`)}); err == nil {
		t.Error("kept members that are no JSON were written")
	}
	if _, err := EncodeKeeping(struct{ C chan int }{}, nil); err == nil {
		t.Error("a channel was written")
	}
}
