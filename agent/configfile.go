package agent

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// Fault is one thing that is wrong with a settings text.
type Fault struct {
	File    string // what the text was called
	Line    int    // from 1; 0 when it is in no line
	Key     string // dotted; "" when the text is no TOML there
	Problem string // what is wrong
	Hint    string // what would be right; may be ""
}

// Error is the fault in one line: file:line: key: problem (hint).
func (f Fault) Error() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
	}
	if f.Key != "" {
		b.WriteString(": " + f.Key)
	}
	b.WriteString(": " + f.Problem)
	if f.Hint != "" {
		b.WriteString(" (" + f.Hint + ")")
	}
	return b.String()
}

// Faults is everything that is wrong with a settings text, in order of line.
type Faults []Fault

// Error has one line for each fault.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.Error()
	}
	return strings.Join(lines, "\n")
}

// The limits of a text. A text over them gets one fault instead of thousands.
const (
	configMaxBytes  = 64 << 10
	configMaxSyntax = 10
)

// configKey is one key that a text may hold.
type configKey struct {
	name  string // dotted
	doc   string // one line
	field configField
}

// configRule is a rule between two keys. It is named after the first.
type configRule struct {
	key, other    string
	holds         bool
	problem, hint string
}

// configScope is a table of keys that belong together: the text itself, or one
// element of a list such as [[window]].
type configScope struct {
	name  string // "" for the text itself
	line  int    // of its header
	keys  []configKey
	lines map[string]int  // where each key was given
	bad   map[string]bool // keys that have a fault
}

// configReader reads one text and gathers its faults.
type configReader struct {
	file    string
	lists   map[string]func() []configKey // [[name]]: makes an element, gives its keys
	foreign map[string]string             // keys that belong elsewhere: where

	parser   unstable.Parser
	line     int // of the parser's first line
	root     *configScope
	scope    *configScope   // that the open table belongs to
	elements []*configScope // of lists, in order
	section  string         // name of the open table within the scope
	mute     bool           // the open table is unknown: its keys were not meant for us
	opened   map[string]int
	faults   Faults
}

// read goes through the whole text. It does not stop at a fault.
func (r *configReader) read(data []byte, keys []configKey) {
	r.root = &configScope{keys: keys, lines: map[string]int{}, bad: map[string]bool{}}
	r.scope, r.opened = r.root, map[string]int{}
	defer r.complete()
	if len(data) > configMaxBytes {
		r.fault(0, "", fmt.Sprintf("%d bytes are too many", len(data)), fmt.Sprintf("at most %d", configMaxBytes))
		return
	}
	for syntax, start := 0, 0; syntax < configMaxSyntax; syntax++ {
		// The parser stops at the first error of syntax; it is set up again
		// behind each, so that the rest of the text is judged as well.
		r.line = 1 + bytes.Count(data[:start], []byte("\n"))
		r.parser.Reset(data[start:])
		for r.parser.NextExpression() {
			r.expression(r.parser.Expression())
		}
		if r.parser.Error() == nil {
			return
		}
		start += r.syntax(r.parser.Data(), r.parser.Error())
	}
}

// complete judges the values of keys that the text does not give: they are
// defaults, were made by hand, or are missing from an element of a list.
func (r *configReader) complete() {
	for _, s := range append(r.elements, r.root) {
		for _, k := range s.keys {
			problem, hint := k.field.check()
			if problem == "" || s.lines[k.name] > 0 {
				continue
			}
			if s != r.root {
				problem = "is missing"
			}
			s.bad[k.name] = true
			r.fault(s.line, s.show(k.name), problem, hint)
		}
	}
}

// check adds the rules between keys, as far as both their keys are good.
func (r *configReader) check(rules []configRule) {
	for _, rule := range rules {
		if !rule.holds && !r.root.bad[rule.key] && !r.root.bad[rule.other] {
			r.fault(max(r.root.lines[rule.key], r.root.lines[rule.other]), rule.key, rule.problem, rule.hint)
		}
	}
}

// err returns the faults in order of line, or nil.
func (r *configReader) err() error {
	if len(r.faults) == 0 {
		return nil
	}
	slices.SortStableFunc(r.faults, func(a, b Fault) int { return a.Line - b.Line })
	return r.faults
}

func (r *configReader) fault(line int, key, problem, hint string) {
	r.faults = append(r.faults, Fault{r.file, line, key, problem, hint})
}

// syntax reports an error of the parser and returns how many bytes lie before
// the next line that looks like the start of something.
func (r *configReader) syntax(data []byte, err error) int {
	at, message := 0, err.Error()
	if p, ok := errors.AsType[*unstable.ParserError](err); ok {
		at = min(max(cap(data)-cap(p.Highlight), 0), len(data))
	}
	begin := bytes.LastIndexByte(data[:at], '\n') + 1
	line, rest, _ := bytes.Cut(data[begin:], []byte("\n"))
	r.fault(r.line+bytes.Count(data[:begin], []byte("\n")), "",
		fmt.Sprintf("column %d: %s", at-begin+1, message), configQuoteHint(string(line)))
	if bytes.HasPrefix(bytes.TrimSpace(line), []byte("[")) {
		r.mute = true // whatever table this was to be, its keys follow
	}
	for len(rest) > 0 && !configStarts(rest) {
		_, rest, _ = bytes.Cut(rest, []byte("\n"))
	}
	return len(data) - len(rest)
}

// configStarts reports whether the text's first line looks like a table header
// or a key.
func configStarts(text []byte) bool {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	line = bytes.TrimSpace(line)
	key, _, found := bytes.Cut(line, []byte("="))
	return bytes.HasPrefix(line, []byte("[")) || found && configIs(string(bytes.TrimSpace(key)), "_-.") == ""
}

// configQuoteHint guesses whether a broken line lacks quotes.
func configQuoteHint(line string) string {
	key, value, found := strings.Cut(line, "=")
	value = strings.TrimSpace(value)
	if !found || value == "" || strings.ContainsAny(value[:1], `"'[{`) {
		return ""
	}
	value, _, _ = strings.Cut(value, "#")
	return fmt.Sprintf("texts and durations stand in quotes: %s = %s", strings.TrimSpace(key), configQuote(strings.TrimSpace(value)))
}

// expression takes one top-level expression of the text.
func (r *configReader) expression(node *unstable.Node) {
	switch node.Kind {
	case unstable.KeyValue:
		if !r.mute {
			r.pair(r.section, node)
		}
	case unstable.Table, unstable.ArrayTable:
		r.open(node)
	}
}

// open takes a header, [table] or [[table]].
func (r *configReader) open(node *unstable.Node) {
	name, line := r.name("", node)
	r.scope, r.section, r.mute = r.root, name, false
	element, isList := r.lists[name]
	list := node.Kind == unstable.ArrayTable
	switch {
	case isList && list:
		r.scope = &configScope{name: name, line: line, keys: element(), lines: map[string]int{}, bad: map[string]bool{}}
		r.section, r.elements = "", append(r.elements, r.scope)
		return
	case isList:
		r.fault(line, name, "is a list", "write [["+name+"]] once for each element")
	case list && r.known(name):
		r.fault(line, name, "is not a list", "write ["+name+"]")
	case !r.known(name):
		problem, hint := r.unknown(name)
		r.fault(line, name, problem, hint)
	case r.opened[name] > 0:
		r.fault(line, name, fmt.Sprintf("is opened twice, first on line %d", r.opened[name]), "")
		return // its keys are still judged
	default:
		r.opened[name] = line
		return
	}
	r.mute = true
}

// pair takes key = value, where the key may be dotted and the value may be an
// inline table of more pairs.
func (r *configReader) pair(section string, node *unstable.Node) {
	name, line := r.name(section, node)
	value := node.Value()
	if value.Kind == unstable.InlineTable && r.known(name) {
		for it := value.Children(); it.Next(); {
			r.pair(name, it.Node())
		}
		return
	}
	s, problem, hint := r.scope, "", ""
	i := slices.IndexFunc(s.keys, func(k configKey) bool { return k.name == name })
	switch {
	case i >= 0 && s.lines[name] > 0:
		problem = fmt.Sprintf("is given twice, first on line %d", s.lines[name])
	case i >= 0:
		s.lines[name] = line
		problem, hint = s.keys[i].field.read(value)
	default:
		problem, hint = r.unknown(name)
	}
	if problem != "" {
		s.bad[name] = true
		r.fault(line, s.show(name), problem, hint)
	}
}

// name joins a node's dotted key to a section and finds its line.
func (r *configReader) name(section string, node *unstable.Node) (string, int) {
	var parts []string
	if section != "" {
		parts = append(parts, section)
	}
	line := 0
	for it := node.Key(); it.Next(); {
		if line == 0 {
			line = r.line - 1 + r.parser.Shape(it.Node().Raw).Start.Line
		}
		part := string(it.Node().Data)
		if configIs(part, "_-") != "" {
			part = configQuote(part) // "a.b" is no section
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "."), line
}

// known reports whether name is a section of the open scope.
func (r *configReader) known(name string) bool {
	return slices.ContainsFunc(r.scope.keys, func(k configKey) bool { return strings.HasPrefix(k.name, name+".") })
}

// unknown says why a name is none of the scope's, and which was meant.
func (r *configReader) unknown(name string) (problem, hint string) {
	if r.foreign[name] != "" {
		return "is no key here", r.foreign[name]
	}
	if r.known(name) {
		return "is a section", "write [" + name + "] and its keys below it"
	}
	if _, ok := r.lists[name]; ok && r.scope == r.root {
		return "is a list", "write [[" + name + "]] once for each element"
	}
	section, last := configSplit(name)
	var all, here, namesakes []string
	for _, k := range r.scope.keys {
		if strings.HasPrefix(name+".", k.name+".") {
			return k.name + " is no section", "write " + k.name + " = …"
		}
		s, l := configSplit(k.name)
		if l == last {
			namesakes = append(namesakes, k.name)
		}
		if s == section {
			here = append(here, l)
		}
		all = append(all, k.name)
	}
	if section == "" {
		all = append(all, r.sections()...)
	}
	switch near := configNearest(name, all); {
	case len(namesakes) > 0:
		hint = "did you mean " + strings.Join(namesakes, " or ") + "?"
	case near != "":
		hint = "did you mean " + near + "?"
	case len(here) > 0:
		hint = "keys here: " + strings.Join(here, ", ")
	default:
		hint = "sections: " + strings.Join(r.sections(), ", ")
	}
	return "is no key here", hint
}

// configSplit divides a dotted name into its section and its last part.
func configSplit(name string) (section, last string) {
	i := strings.LastIndexByte(name, '.')
	return name[:max(i, 0)], name[i+1:]
}

// sections lists the tables that the open scope knows, lists among them.
func (r *configReader) sections() []string {
	var names []string
	for _, k := range r.scope.keys {
		if section, _, ok := strings.Cut(k.name, "."); ok && !slices.Contains(names, section) {
			names = append(names, section)
		}
	}
	if r.scope == r.root {
		for name := range r.lists {
			names = append(names, name)
		}
	}
	return names
}

// show is a key's name as people see it.
func (s *configScope) show(key string) string {
	if s.name == "" {
		return key
	}
	return s.name + "." + key
}

// configNearest returns the name that was most likely meant, or "".
func configNearest(name string, known []string) string {
	plain := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }
	best, least := "", 2+len(name)/4
	for _, k := range known {
		if d := configDistance(plain(name), plain(k)); d < least {
			best, least = k, d
		}
	}
	return best
}

// configDistance is the number of single-byte edits between two names.
func configDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

// configWrite prints keys as a commented text, each with its default.
func configWrite(keys, defaults []configKey) string {
	var b strings.Builder
	open := ""
	for i, k := range keys {
		value := k.field.write()
		if value == "" {
			continue // an override that is not set
		}
		section, name := configSplit(k.name)
		if section != open {
			open = section
			fmt.Fprintf(&b, "\n[%s]\n", section)
		}
		fmt.Fprintf(&b, "# %s", k.doc)
		if d := defaults[i].field.write(); d != "" && d != value {
			fmt.Fprintf(&b, " (default %s)", d)
		}
		fmt.Fprintf(&b, "\n%s = %s\n", name, value)
	}
	return b.String()
}
