package coordination

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
)

// Kept holds the members of a JSON object that this version has no field for.
// They are written back as they were read, so that an older agent never drops
// what a newer one has stored.
type Kept map[string]json.RawMessage

// DecodeKeeping decodes data into v, a pointer to a struct whose JSON fields
// are all tagged, and returns the members that v has no field for. Names count
// to the letter: encoding/json would take "HOST" for "host", and so lose one of
// the two.
func DecodeKeeping(data []byte, v any) (Kept, error) {
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
