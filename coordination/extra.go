package coordination

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"strings"
	"sync"
)

// Kept holds the members of a JSON object that this version has no field for.
// They are written back as they were read, so that an older agent never drops
// what a newer one has stored.
type Kept map[string]json.RawMessage

// DecodeKeeping decodes data into v, a pointer to a struct whose JSON fields
// are all tagged, and returns the members that v has no field for. Names count
// to the letter: encoding/json would take "HOST" for "host", and so lose one of
// the two.
//
// It goes over the text once for each level of nesting. encoding/json goes over
// it twice for each level before it calls an UnmarshalJSON, and what that calls
// does so again: for a record of a hundred holders five times the time.
func DecodeKeeping(data []byte, v any) (Kept, error) {
	value := reflect.ValueOf(v).Elem()
	fields := fieldsOf(value.Type())
	found := make([][]byte, len(fields))
	var kept Kept
	next := 0 // most members stand in the order of the fields
	err := splitObject(data, func(name, raw []byte) {
		for i := range fields {
			if at := (next + i) % len(fields); fields[at].name == string(name) && len(name) > 0 {
				found[at], next = raw, at+1
				return
			}
		}
		if kept == nil {
			kept = make(Kept)
		}
		kept[string(name)] = bytes.Clone(raw)
	})
	if err != nil {
		return nil, err
	}
	for i, raw := range found {
		if raw == nil {
			continue
		}
		if err := fields[i].decode(raw, value.Field(i)); err != nil {
			return nil, fmt.Errorf("%s: %w", fields[i].name, err)
		}
	}
	return kept, nil
}

// field is what decoding needs to know of a field of a struct.
type field struct {
	name string       // JSON name, "" without one
	kind reflect.Kind // of those that are decoded here; Invalid for the rest
}

// knownFields keeps what fieldsOf found, by type.
var knownFields sync.Map

var (
	unmarshaler     = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func fieldsOf(t reflect.Type) []field {
	if fields, ok := knownFields.Load(t); ok {
		return fields.([]field)
	}
	fields := make([]field, t.NumField())
	for i := range fields {
		f := t.Field(i)
		fields[i].name, _, _ = strings.Cut(f.Tag.Get("json"), ",")
		kind, p := f.Type.Kind(), reflect.PointerTo(f.Type)
		switch {
		case p.Implements(unmarshaler) || p.Implements(textUnmarshaler):
		case kind == reflect.String || kind == reflect.Int64 || kind == reflect.Float64:
			fields[i].kind = kind
		case kind == reflect.Slice && reflect.PointerTo(f.Type.Elem()).Implements(unmarshaler):
			fields[i].kind = kind
		}
	}
	knownFields.Store(t, fields)
	return fields
}

// decode decodes valid JSON into the field: what a record has most of by
// itself, and the rest by encoding/json, with the same results.
func (f field) decode(raw []byte, into reflect.Value) error {
	switch first := raw[0]; {
	case f.kind == reflect.String && first == '"' && plain(raw):
		into.SetString(string(raw[1 : len(raw)-1]))
		return nil
	case f.kind == reflect.Slice && first == '[':
		return decodeSlice(raw, into)
	case f.kind == reflect.Int64:
		if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
			into.SetInt(n)
			return nil
		}
	case f.kind == reflect.Float64 && first != 'n':
		if x, err := strconv.ParseFloat(string(raw), 64); err == nil {
			into.SetFloat(x)
			return nil
		}
	case f.kind == reflect.Invalid:
		if u, ok := into.Addr().Interface().(json.Unmarshaler); ok {
			return u.UnmarshalJSON(raw)
		}
	}
	return json.Unmarshal(raw, into.Addr().Interface())
}

// decodeSlice decodes an array whose elements decode themselves.
func decodeSlice(raw []byte, field reflect.Value) error {
	all := reflect.MakeSlice(field.Type(), 0, 0)
	one := reflect.New(field.Type().Elem())
	err := splitArray(raw, func(element []byte) error {
		one.Elem().SetZero()
		if err := one.Interface().(json.Unmarshaler).UnmarshalJSON(element); err != nil {
			return err
		}
		all = reflect.Append(all, one.Elem())
		return nil
	})
	if err != nil {
		return err
	}
	field.Set(all)
	return nil
}

// EncodeKeeping encodes v, a struct, together with the members kept apart. Of
// a member that is in both, the one kept is written.
func EncodeKeeping(v any, kept Kept) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil || len(kept) == 0 {
		return data, err
	}
	var all Kept
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	maps.Copy(all, kept)
	return json.Marshal(all)
}
