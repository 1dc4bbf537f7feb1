package coordination

import (
	"encoding/json"
	"reflect"
	"strings"
)

// Kept holds the members of a JSON object that this version has no field for.
// They are written back as they were read, so that an older agent never drops
// what a newer one has stored.
type Kept map[string]json.RawMessage

// DecodeKeeping decodes data into v, a pointer to a struct, and returns the
// members that v has no field for.
func DecodeKeeping(data []byte, v any) (Kept, error) {
	if err := json.Unmarshal(data, v); err != nil {
		return nil, err
	}
	var all Kept
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	for name := range memberNames(v) {
		delete(all, name)
	}
	if len(all) == 0 {
		return nil, nil
	}
	return all, nil
}

// EncodeKeeping encodes v, a struct, together with the members kept apart.
func EncodeKeeping(v any, kept Kept) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil || len(kept) == 0 {
		return data, err
	}
	var all Kept
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	for name, value := range kept {
		if _, ours := all[name]; !ours {
			all[name] = value
		}
	}
	return json.Marshal(all)
}

// memberNames are the JSON names of the fields of the struct v points to.
func memberNames(v any) map[string]bool {
	names := make(map[string]bool)
	for field := range reflect.TypeOf(v).Elem().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name != "" && name != "-" {
			names[name] = true
		}
	}
	return names
}
