package dynamotest

import (
	"maps"
	"slices"
	"strings"
)

// expressions are the placeholders of one call. Each must be used: DynamoDB
// refuses those that are not.
type expressions struct {
	names  map[string]string
	values item
	used   map[string]bool
}

func newExpressions(names map[string]string, values item) (*expressions, error) {
	if names != nil && len(names) == 0 || values != nil && len(values) == 0 {
		return nil, invalid("ExpressionAttributeNames and ExpressionAttributeValues must not be empty")
	}
	if err := values.check(); err != nil {
		return nil, err
	}
	return &expressions{names, values, make(map[string]bool)}, nil
}

// name resolves a #name.
func (e *expressions) name(token string) (string, error) {
	name, ok := e.names[token]
	if !ok {
		return "", invalid("An expression attribute name used in the document path is not defined; attribute name: %s", token)
	}
	e.used[token] = true
	return name, nil
}

// value resolves a :value.
func (e *expressions) value(token string) (value, error) {
	v, ok := e.values[token]
	if !ok {
		return value{}, invalid("An expression attribute value used in expression is not defined; attribute value: %s", token)
	}
	e.used[token] = true
	return v, nil
}

// pair resolves a #name and a :value.
func (e *expressions) pair(name, val string) (string, value, error) {
	n, err := e.name(name)
	if err != nil {
		return "", value{}, err
	}
	v, err := e.value(val)
	return n, v, err
}

// finish refuses placeholders that no expression used.
func (e *expressions) finish() error {
	for _, keys := range [][]string{slices.Sorted(maps.Keys(e.names)), slices.Sorted(maps.Keys(e.values))} {
		for _, key := range keys {
			if !e.used[key] {
				return invalid("Value provided in ExpressionAttributeNames or ExpressionAttributeValues unused in expressions: keys: {%s}", key)
			}
		}
	}
	return nil
}

// condition asks whether an item may be written.
type condition func(item) bool

// condition reads `attribute_not_exists(#a)` or `#a = :v`; no text is no
// condition.
func (e *expressions) condition(text *string) (condition, error) {
	if text == nil {
		return func(item) bool { return true }, nil
	}
	tokens := tokenize(*text)
	if p, ok := match(tokens, "attribute_not_exists", "(", "#", ")"); ok {
		name, err := e.name(p[0])
		return func(it item) bool { _, there := it[name]; return !there }, err
	}
	if p, ok := match(tokens, "#", "=", ":"); ok {
		name, want, err := e.pair(p[0], p[1])
		return func(it item) bool { v, there := it[name]; return there && v.equal(want) }, err
	}
	return nil, invalid("ConditionExpression %q is not known to this stand-in", *text)
}

// update reads `SET #a = :v, #b = :w, …`.
func (e *expressions) update(text *string) (item, error) {
	if text == nil {
		return nil, invalid("an UpdateItem without UpdateExpression is not known to this stand-in")
	}
	unknown := invalid("UpdateExpression %q is not known to this stand-in", *text)
	tokens := tokenize(*text)
	if len(tokens) == 0 || tokens[0] != "SET" {
		return nil, unknown
	}
	set := make(item)
	for rest := tokens; len(rest) > 0; rest = rest[4:] {
		// Each assignment follows SET or a comma.
		if len(rest) < 4 || rest[0] != "SET" && rest[0] != "," {
			return nil, unknown
		}
		p, ok := match(rest[1:4], "#", "=", ":")
		if !ok {
			return nil, unknown
		}
		name, v, err := e.pair(p[0], p[1])
		if err != nil {
			return nil, err
		}
		if _, twice := set[name]; twice {
			return nil, invalid("Two document paths overlap with each other; must remove or rewrite one of these paths; path: [%s]", name)
		}
		set[name] = v
	}
	return set, nil
}

// keys reads `#hash = :h AND begins_with(#range, :p)`.
func (e *expressions) keys(text *string, t *table) (hash, prefix string, err error) {
	if text == nil {
		return "", "", invalid("a Query without KeyConditionExpression is not known to this stand-in")
	}
	p, ok := match(tokenize(*text), "#", "=", ":", "AND", "begins_with", "(", "#", ",", ":", ")")
	if !ok {
		return "", "", invalid("KeyConditionExpression %q is not known to this stand-in", *text)
	}
	hashName, h, err := e.pair(p[0], p[1])
	if err != nil {
		return "", "", err
	}
	rangeName, r, err := e.pair(p[2], p[3])
	if err != nil {
		return "", "", err
	}
	if hashName != t.hash || rangeName != t.rng || h.S == nil || r.S == nil {
		return "", "", invalid("Query condition missed key schema element: %s and %s, strings", t.hash, t.rng)
	}
	return *h.S, *r.S, nil
}

// tokenize splits an expression at blanks, keeping ( ) , and = as tokens.
func tokenize(text string) []string {
	for _, mark := range []string{"(", ")", ",", "="} {
		text = strings.ReplaceAll(text, mark, " "+mark+" ")
	}
	return strings.Fields(text)
}

// match compares tokens with a pattern, in which "#" and ":" stand for any
// placeholder of that kind, and returns the placeholders.
func match(tokens []string, pattern ...string) ([]string, bool) {
	if len(tokens) != len(pattern) {
		return nil, false
	}
	var found []string
	for i, want := range pattern {
		token := tokens[i]
		switch {
		case (want == "#" || want == ":") && len(token) > 1 && strings.HasPrefix(token, want):
			found = append(found, token)
		case want != token:
			return nil, false
		}
	}
	return found, true
}
