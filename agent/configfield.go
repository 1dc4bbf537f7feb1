package agent

import (
	"fmt"
	"log/slog"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2/unstable"
)

// configField is where and how a key's value is kept. A problem "" means none.
type configField interface {
	// read takes a value. On a problem the field keeps what it had.
	read(value *unstable.Node) (problem, hint string)
	// check judges the value that the field has.
	check() (problem, hint string)
	// write returns the value as TOML, or "" when it has none.
	write() string
}

// configWrong is the problem of a value of the wrong kind.
func configWrong(value *unstable.Node) string {
	switch value.Kind {
	case unstable.String:
		return "is a text"
	case unstable.Integer:
		return "is a whole number"
	case unstable.Float:
		return "is a decimal number"
	case unstable.Bool:
		return "is a truth value"
	case unstable.Array:
		return "is a list"
	case unstable.InlineTable:
		return "is a table"
	}
	return "is a date or a time"
}

// configDuration is a duration of least to most, both included.
type configDuration struct {
	value       *time.Duration
	least, most time.Duration
}

func (f configDuration) read(value *unstable.Node) (problem, hint string) {
	const form = `a number and a unit in quotes, such as "90s", "25m" or "1h30m"`
	if value.Kind != unstable.String {
		return configWrong(value) + ", not a duration", form
	}
	d, err := time.ParseDuration(string(value.Data))
	if err != nil {
		return fmt.Sprintf("%q is no duration", value.Data), form
	}
	problem, hint = configDuration{&d, f.least, f.most}.check()
	if problem == "" {
		*f.value = d
	}
	return problem, hint
}

func (f configDuration) check() (problem, hint string) {
	hint = fmt.Sprintf("%s to %s", configShort(f.least), configShort(f.most))
	switch d := *f.value; {
	case d < 0:
		return configShort(d) + " is negative", hint
	case d < f.least:
		return configShort(d) + " is too short", hint
	case d > f.most:
		return configShort(d) + " is too long", hint
	}
	return "", ""
}

func (f configDuration) write() string { return configQuote(configShort(*f.value)) }

// configNumber is a whole number of least to most, both included.
type configNumber struct {
	value       *int
	least, most int
}

func (f configNumber) read(value *unstable.Node) (problem, hint string) {
	hint = fmt.Sprintf("%d to %d, without quotes", f.least, f.most)
	if value.Kind != unstable.Integer {
		return configWrong(value) + ", not a whole number", hint
	}
	n, err := strconv.Atoi(string(value.Data))
	if err != nil || configIs(string(value.Data), "+-") != "" {
		return fmt.Sprintf("%s is not a number of this form", value.Data), hint
	}
	problem, hint = configNumber{&n, f.least, f.most}.check()
	if problem == "" {
		*f.value = n
	}
	return problem, hint
}

func (f configNumber) check() (problem, hint string) {
	hint = fmt.Sprintf("%d to %d", f.least, f.most)
	switch n := *f.value; {
	case n < f.least:
		return fmt.Sprintf("%d is too small", n), hint
	case n > f.most:
		return fmt.Sprintf("%d is too large", n), hint
	}
	return "", ""
}

func (f configNumber) write() string { return strconv.Itoa(*f.value) }

// configBool is true or false.
type configBool struct{ value *bool }

func (f configBool) read(value *unstable.Node) (problem, hint string) {
	if value.Kind != unstable.Bool {
		return configWrong(value) + ", not a truth value", "true or false, without quotes"
	}
	*f.value = string(value.Data) == "true"
	return "", ""
}

func (f configBool) check() (problem, hint string) { return "", "" }

func (f configBool) write() string { return strconv.FormatBool(*f.value) }

// configChoice is one of a few words.
type configChoice[T ~string] struct {
	value *T
	words []T
}

func (f configChoice[T]) read(value *unstable.Node) (problem, hint string) {
	if value.Kind != unstable.String {
		return configWrong(value) + ", not a text", f.hint()
	}
	word := T(value.Data)
	problem, hint = configChoice[T]{&word, f.words}.check()
	if problem == "" {
		*f.value = word
	}
	return problem, hint
}

func (f configChoice[T]) check() (problem, hint string) {
	if slices.Contains(f.words, *f.value) {
		return "", ""
	}
	return fmt.Sprintf("%q is none of the choices", string(*f.value)), f.hint()
}

func (f configChoice[T]) hint() string {
	quoted := make([]string, len(f.words))
	for i, word := range f.words {
		quoted[i] = configQuote(string(word))
	}
	return "one of " + strings.Join(quoted, ", ")
}

func (f configChoice[T]) write() string { return configQuote(string(*f.value)) }

// configLevel is one of slog's four levels.
type configLevel struct{ value *slog.Level }

func (f configLevel) read(value *unstable.Node) (problem, hint string) {
	word := ""
	choice := f.choice(&word)
	if problem, hint = choice.read(value); problem == "" {
		*f.value = f.levels()[slices.Index(choice.words, word)]
	}
	return problem, hint
}

func (f configLevel) check() (problem, hint string) {
	word := f.word()
	return f.choice(&word).check()
}

func (f configLevel) write() string { return configQuote(f.word()) }

func (configLevel) levels() []slog.Level {
	return []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
}

func (f configLevel) word() string { return strings.ToLower(f.value.String()) }

func (configLevel) choice(word *string) configChoice[string] {
	return configChoice[string]{word, []string{"debug", "info", "warn", "error"}}
}

// configText is a text that a function judges.
type configText struct {
	value *string
	judge func(string) (problem, hint string)
}

func (f configText) read(value *unstable.Node) (problem, hint string) {
	if value.Kind != unstable.String {
		return configWrong(value) + ", not a text", "a text in quotes"
	}
	text := string(value.Data)
	if problem, hint = f.judge(text); problem == "" {
		*f.value = text
	}
	return problem, hint
}

func (f configText) check() (problem, hint string) { return f.judge(*f.value) }

func (f configText) write() string { return configQuote(*f.value) }

// configIs returns the first part of text that is neither an ASCII letter, a
// digit nor one of others: "" when there is none and text is not empty.
func configIs(text, others string) string {
	for _, c := range text {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune(others, c) {
			return string(c)
		}
	}
	if text == "" {
		return "nothing"
	}
	return ""
}

// configIsCluster takes "", a cluster's name or a cluster's ARN. ECS allows
// names of 1 to 255 letters, digits, hyphens and underscores.
func configIsCluster(text string) (problem, hint string) {
	const form = "a name, or arn:aws:ecs:<region>:<account>:cluster/<name>"
	name := text
	if strings.HasPrefix(text, "arn:") {
		parts := strings.SplitN(text, ":", 6)
		ok := len(parts) == 6 && strings.HasPrefix(parts[1], "aws") && configIs(parts[1], "-") == "" && parts[2] == "ecs" &&
			configIs(parts[3], "-") == "" && len(parts[4]) == 12 && strings.Trim(parts[4], "0123456789") == ""
		if ok {
			name, ok = strings.CutPrefix(parts[5], "cluster/")
		}
		if !ok || name == "" {
			return fmt.Sprintf("%q is no ARN of an ECS cluster", text), form
		}
	}
	if text != "" && (configIs(name, "-_") != "" || len(name) > 255) {
		return fmt.Sprintf("%q is no name of an ECS cluster", name), form
	}
	return "", ""
}

// configIsTable takes a name by DynamoDB's rules.
func configIsTable(text string) (problem, hint string) {
	if configIs(text, "_-.") != "" || len(text) < 3 || len(text) > 255 {
		return fmt.Sprintf("%q is no name of a DynamoDB table", text), "3 to 255 of a-z, A-Z, 0-9, '_', '-', '.'"
	}
	return "", ""
}

// configIsPath takes an absolute path.
func configIsPath(text string) (problem, hint string) {
	switch {
	case text == "":
		return "is empty", "an absolute path"
	case !path.IsAbs(text):
		return fmt.Sprintf("%q is not absolute", text), "a path that starts with /"
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
		return fmt.Sprintf("%q holds a character that no path should", text), ""
	}
	return "", ""
}

// configIsSocket takes a path that fits into a Unix socket's address.
func configIsSocket(text string) (problem, hint string) {
	if problem, hint = configIsPath(text); problem == "" && len(text) > 107 {
		return fmt.Sprintf("is %d bytes long", len(text)), "a Unix socket's path has at most 107"
	}
	return problem, hint
}

// configIsAddress takes http://host:port. The local ECS agent speaks nothing
// else.
func configIsAddress(text string) (problem, hint string) {
	u, err := url.Parse(text)
	if err == nil {
		port, bad := strconv.ParseUint(u.Port(), 10, 16)
		if bad == nil && port > 0 && u.Hostname() != "" && text == "http://"+u.Host {
			return "", ""
		}
	}
	return fmt.Sprintf("%q is no address of this form", text), "http://127.0.0.1:51678"
}

// configQuote is a text as a basic string of TOML.
func configQuote(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			b.WriteString(`\` + string(c))
		case unicode.IsControl(c):
			fmt.Fprintf(&b, `\u%04X`, c)
		default:
			b.WriteRune(c)
		}
	}
	return b.String() + `"`
}
