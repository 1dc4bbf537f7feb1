package coordination

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// This file cuts JSON (RFC 8259) into its parts and refuses what is none, as
// encoding/json does. It makes no values: they are made of the parts.

// errNoJSON is a text that is no JSON. Which fault it has is for encoding/json
// to say, which is asked when there is one: see fault.
var errNoJSON = errors.New("invalid JSON")

// deepest is how deep values may be nested, as in encoding/json.
const deepest = 10000

// cutter goes over a text.
type cutter struct {
	text []byte
	at   int
}

// splitObject calls member for each member of the object that data is; null has
// none. The names are decoded, the values stand as they are in data. Both are
// only lent.
func splitObject(data []byte, member func(name, value []byte)) error {
	c := cutter{text: data}
	c.space()
	if c.literal("null") {
		return c.end()
	}
	if !c.take('{') {
		return fault(data, new(map[string]json.RawMessage))
	}
	ok := c.list('}', func() bool {
		name, value, ok := c.member(0)
		if ok {
			member(name, value)
		}
		return ok
	})
	if !ok {
		return fault(data, new(map[string]json.RawMessage))
	}
	return c.end()
}

// splitArray calls element for each element of the array that data is.
func splitArray(data []byte, element func(value []byte) error) error {
	c := cutter{text: data}
	c.space()
	var err error
	ok := c.take('[') && c.list(']', func() bool {
		from := c.at
		if !c.value(0) {
			return false
		}
		err = element(data[from:c.at])
		return err == nil
	})
	switch {
	case err != nil:
		return err
	case !ok:
		return fault(data, new([]json.RawMessage))
	}
	return c.end()
}

// fault is encoding/json's error for the text.
func fault(data []byte, v any) error {
	if err := json.Unmarshal(data, v); err != nil {
		return err
	}
	return errNoJSON
}

// end wants nothing but white space after the value.
func (c *cutter) end() error {
	if c.space(); c.at < len(c.text) {
		return fault(c.text, new(any))
	}
	return nil
}

func (c *cutter) space() {
	for c.at < len(c.text) && (c.text[c.at] == ' ' || c.text[c.at] == '\n' || c.text[c.at] == '\t' || c.text[c.at] == '\r') {
		c.at++
	}
}

// next is the byte at hand, 0 at the end.
func (c *cutter) next() byte {
	if c.at < len(c.text) {
		return c.text[c.at]
	}
	return 0
}

func (c *cutter) take(b byte) bool {
	if c.next() != b {
		return false
	}
	c.at++
	return true
}

func (c *cutter) literal(word string) bool {
	if !bytes.HasPrefix(c.text[c.at:], []byte(word)) {
		return false
	}
	c.at += len(word)
	return true
}

// list goes over what stands between an opening bracket, which was taken, and
// the closing one.
func (c *cutter) list(closing byte, item func() bool) bool {
	c.space()
	if c.take(closing) {
		return true
	}
	for {
		if c.space(); !item() {
			return false
		}
		c.space()
		if c.take(closing) {
			return true
		}
		if !c.take(',') {
			return false
		}
	}
}

// member goes over one member of an object.
func (c *cutter) member(depth int) (name, value []byte, ok bool) {
	from := c.at
	if !c.str() {
		return nil, nil, false
	}
	quoted := c.text[from:c.at]
	c.space()
	if !c.take(':') {
		return nil, nil, false
	}
	c.space()
	from = c.at
	if !c.value(depth) {
		return nil, nil, false
	}
	if plain(quoted) {
		return quoted[1 : len(quoted)-1], c.text[from:c.at], true
	}
	var text string
	err := json.Unmarshal(quoted, &text)
	return []byte(text), c.text[from:c.at], err == nil
}

// plain says whether a valid JSON string is its own value.
func plain(quoted []byte) bool {
	return bytes.IndexByte(quoted, '\\') < 0 && utf8.Valid(quoted)
}

// value goes over one value.
func (c *cutter) value(depth int) bool {
	if depth >= deepest {
		return false
	}
	switch b := c.next(); b {
	case '"':
		return c.str()
	case '{':
		c.at++
		return c.list('}', func() bool {
			if !c.str() {
				return false
			}
			c.space()
			if !c.take(':') {
				return false
			}
			c.space()
			return c.value(depth + 1)
		})
	case '[':
		c.at++
		return c.list(']', func() bool { return c.value(depth + 1) })
	case 't':
		return c.literal("true")
	case 'f':
		return c.literal("false")
	case 'n':
		return c.literal("null")
	default:
		return c.number()
	}
}

// str goes over a string.
func (c *cutter) str() bool {
	if !c.take('"') {
		return false
	}
	for {
		from := c.text[c.at:]
		n := bytes.IndexByte(from, '"')
		if n < 0 {
			return false
		}
		for i, b := range from[:n] {
			if b < ' ' {
				return false
			}
			if b == '\\' {
				n = i
				break
			}
		}
		c.at += n + 1
		if from[n] == '"' {
			return true
		}
		if !c.escape() {
			return false
		}
	}
}

// escape goes over what follows a backslash.
func (c *cutter) escape() bool {
	b := c.next()
	c.at++
	if b != 'u' {
		return b != 0 && bytes.IndexByte([]byte(`"\/bfnrt`), b) >= 0
	}
	for range 4 {
		if bytes.IndexByte([]byte("0123456789abcdefABCDEF"), c.next()) < 0 {
			return false
		}
		c.at++
	}
	return true
}

// number goes over a number.
func (c *cutter) number() bool {
	c.take('-')
	if !c.take('0') && !c.digits() {
		return false
	}
	if c.take('.') && !c.digits() {
		return false
	}
	if b := c.next(); b == 'e' || b == 'E' {
		c.at++
		if !c.take('+') {
			c.take('-')
		}
		return c.digits()
	}
	return true
}

// digits goes over one digit or more.
func (c *cutter) digits() bool {
	from := c.at
	for c.next() >= '0' && c.next() <= '9' {
		c.at++
	}
	return c.at > from
}
