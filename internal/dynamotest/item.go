package dynamotest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// value is an attribute's value: exactly one of the two types that are known.
type value struct {
	S *string `json:"S,omitempty"`
	N *string `json:"N,omitempty"`
}

// item is a set of attributes by name. Items are never changed in place, so
// they can be handed out.
type item map[string]value

func (v value) equal(w value) bool {
	same := func(a, b *string) bool { return (a == nil) == (b == nil) && (a == nil || *a == *b) }
	return same(v.S, w.S) && same(v.N, w.N)
}

// check refuses a value that is empty, double, or a number in another form
// than the one DynamoDB would return it in.
func (v value) check(name string) error {
	if (v.S == nil) == (v.N == nil) {
		return invalid("attribute %s: one type of S and N is known to this stand-in", name)
	}
	if v.N != nil {
		n, err := strconv.ParseInt(*v.N, 10, 64)
		if err != nil || strconv.FormatInt(n, 10) != *v.N {
			return invalid("attribute %s: the number %q is no plain integer, others are not known to this stand-in", name, *v.N)
		}
	}
	return nil
}

func (it item) check() error {
	for _, name := range slices.Sorted(maps.Keys(it)) {
		if name == "" {
			return invalid("attribute name is empty")
		}
		if err := it[name].check(name); err != nil {
			return err
		}
	}
	return nil
}

// size is what DynamoDB counts against its limits: names and values in UTF-8,
// numbers with two digits a byte and one byte more.
func (it item) size() int {
	sum := 0
	for name, v := range it {
		sum += len(name)
		if v.S != nil {
			sum += len(*v.S)
		}
		if v.N != nil {
			sum += 1 + (len(*v.N)+1)/2
		}
	}
	return sum
}

// decode reads the parameters of an operation and refuses those it does not
// know by name.
func decode(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return invalid("not known to this stand-in: %v", err)
	}
	if d.More() {
		return invalid("there is more than one JSON value in the body")
	}
	return nil
}

func (v value) String() string {
	switch {
	case v.S != nil:
		return fmt.Sprintf("%q", *v.S)
	case v.N != nil:
		return *v.N
	}
	return "nothing"
}
