// Package journal writes the log in the form that its reader wants: systemd's
// journal, a pipe that leads there, a terminal, or a program that reads JSON.
package journal

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/coreos/go-systemd/v22/journal"
)

// Options say what the log looks like.
type Options struct {
	// JSON makes each line a JSON object, whoever reads it. It has the syslog
	// priority as "priority" and no prefix.
	JSON bool
	// Level is the lowest level that is written. Nil is Info. A
	// *slog.LevelVar may change it at any time.
	Level slog.Leveler
}

// New returns a logger that writes to w, one line a record:
//
//   - message key=value, each line with the syslog prefix <N>, when w is a pipe
//     or anything else that may lead to the journal, which adds the time;
//   - the same with the time before the message, when w is a regular file;
//   - time LEVEL message key=value without a prefix, when w is a terminal;
//   - straight into the journal, each attribute a field of its own as well,
//     when w is the process's standard output and that is the journal's own
//     stream and its socket is there.
//
// Values are quoted where they must be, so that no value makes a line or a
// field of its own.
func New(w io.Writer, o Options) *slog.Logger {
	if o.Level == nil {
		o.Level = slog.LevelInfo
	}
	if o.JSON {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: o.Level, ReplaceAttr: withPriority}))
	}
	if stream, err := journal.StdoutIsJournalStream(); err == nil && stream && w == os.Stdout && journal.Enabled() {
		return slog.New(&fieldHandler{lineHandler: newLineHandler(w, o.Level, pipe), send: journal.Send})
	}
	return slog.New(newLineHandler(w, o.Level, formOf(w)))
}

// Notify tells the service manager, as sd_notify does: "READY=1",
// "WATCHDOG=1", "STATUS=…". Without one it does nothing. Nobody can act on its
// failure, so it reports none.
func Notify(state string) { _, _ = daemon.SdNotify(false, state) }

// Watchdog returns the time within which the service manager wants to see
// "WATCHDOG=1" again and again. It is not ok when none is wanted.
func Watchdog() (within time.Duration, ok bool) {
	within, err := daemon.SdWatchdogEnabled(false)
	return within, err == nil && within > 0
}

// form is the form of a line.
type form int

const (
	pipe form = iota
	file
	terminal
)

// formOf finds the form for a reader.
func formOf(w io.Writer) form {
	f, ok := w.(*os.File)
	if !ok {
		return pipe
	}
	info, err := f.Stat()
	switch {
	case err != nil:
		return pipe
	case info.Mode()&os.ModeCharDevice != 0:
		return terminal
	case info.Mode().IsRegular():
		return file
	}
	return pipe
}

// priority is a level's syslog priority.
func priority(level slog.Level) journal.Priority {
	switch {
	case level >= slog.LevelError:
		return journal.PriErr
	case level >= slog.LevelWarn:
		return journal.PriWarning
	case level >= slog.LevelInfo:
		return journal.PriInfo
	}
	return journal.PriDebug
}

// withPriority puts the priority beside the level of a JSON line.
func withPriority(groups []string, a slog.Attr) slog.Attr {
	level, ok := a.Value.Any().(slog.Level)
	if len(groups) > 0 || a.Key != slog.LevelKey || !ok {
		return a
	}
	// A group without a name is written in line. Its members come here again:
	// the level must be a mere text by then.
	return slog.Attr{Value: slog.GroupValue(slog.String(a.Key, level.String()), slog.Int("priority", int(priority(level))))}
}

// lineHandler writes records as lines of text. The attributes are written by a
// slog.TextHandler, the rest by us.
type lineHandler struct {
	form  form
	attrs slog.Handler
	*sink
}

// sink is what a handler shares with those that were derived from it.
type sink struct {
	mu  sync.Mutex
	w   io.Writer
	buf bytes.Buffer // what the TextHandler wrote of the present record
}

// unnamed is the message that the TextHandler gets. It is no text that anyone
// logs, so that the attribute can be told from one called "msg".
const unnamed = "\x00"

func newLineHandler(w io.Writer, level slog.Leveler, f form) *lineHandler {
	s := &sink{w: w}
	return &lineHandler{f, slog.NewTextHandler(&s.buf, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			_, isLevel := a.Value.Any().(slog.Level)
			if len(groups) == 0 && (a.Key == slog.LevelKey && isLevel || a.Key == slog.MessageKey && a.Value.String() == unnamed) {
				return slog.Attr{}
			}
			return a
		},
	}), s}
}

// Enabled reports whether the level is written.
func (h *lineHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.attrs.Enabled(ctx, level)
}

// WithAttrs returns the handler with attributes for all its records.
func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &lineHandler{h.form, h.attrs.WithAttrs(attrs), h.sink}
}

// WithGroup returns the handler with a name before all its attributes.
func (h *lineHandler) WithGroup(name string) slog.Handler {
	return &lineHandler{h.form, h.attrs.WithGroup(name), h.sink}
}

// Handle writes a record in one call of Write.
func (h *lineHandler) Handle(ctx context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	text, err := h.text(ctx, r)
	if err != nil {
		return err
	}
	_, err = io.WriteString(h.w, h.head(r)+text+"\n")
	return err
}

// head is what stands before the message.
func (h *lineHandler) head(r slog.Record) string {
	prefix := "<" + strconv.Itoa(int(priority(r.Level))) + ">"
	switch {
	case h.form == terminal:
		return r.Time.Format(time.TimeOnly) + " " + r.Level.String() + " "
	case h.form == file && !r.Time.IsZero():
		return prefix + r.Time.UTC().Format("2006-01-02T15:04:05.000Z07:00") + " "
	}
	return prefix
}

// text is the message and the attributes. The sink must be locked.
func (h *lineHandler) text(ctx context.Context, r slog.Record) (string, error) {
	h.buf.Reset()
	bare := slog.NewRecord(time.Time{}, r.Level, unnamed, 0)
	r.Attrs(func(a slog.Attr) bool { bare.AddAttrs(a); return true })
	if err := h.attrs.Handle(ctx, bare); err != nil {
		return "", err
	}
	message := r.Message
	if !utf8.ValidString(message) || strings.ContainsFunc(message, func(c rune) bool { return !unicode.IsPrint(c) }) {
		message = strconv.Quote(message) // a newline would make two records of it
	}
	return strings.TrimSuffix(message+" "+strings.TrimSpace(h.buf.String()), " "), nil
}

// fieldHandler sends records into the journal. The message is the whole line,
// as journalctl shows nothing else; the attributes are fields to filter by.
type fieldHandler struct {
	*lineHandler
	send   func(message string, priority journal.Priority, fields map[string]string) error
	group  string            // of the attributes to come
	fields map[string]string // of the handler; never changed
}

// WithAttrs returns the handler with attributes for all its records.
func (h *fieldHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	fields := h.copied()
	for _, a := range attrs {
		addField(fields, h.group, a)
	}
	return &fieldHandler{h.lineHandler.WithAttrs(attrs).(*lineHandler), h.send, h.group, fields}
}

// WithGroup returns the handler with a name before all its attributes.
func (h *fieldHandler) WithGroup(name string) slog.Handler {
	return &fieldHandler{h.lineHandler.WithGroup(name).(*lineHandler), h.send, h.group + name + "_", h.fields}
}

// Handle sends a record. What the journal does not take goes to the stream,
// which ends there as well.
func (h *fieldHandler) Handle(ctx context.Context, r slog.Record) error {
	fields := h.copied()
	r.Attrs(func(a slog.Attr) bool { addField(fields, h.group, a); return true })
	h.mu.Lock()
	text, err := h.text(ctx, r)
	h.mu.Unlock()
	if err == nil {
		err = h.send(text, priority(r.Level), fields)
	}
	if err != nil {
		return h.lineHandler.Handle(ctx, r)
	}
	return nil
}

func (h *fieldHandler) copied() map[string]string {
	fields := map[string]string{"SYSLOG_IDENTIFIER": "drydock"}
	for name, value := range h.fields {
		fields[name] = value
	}
	return fields
}

// addField adds an attribute, or those of a group.
func addField(fields map[string]string, group string, a slog.Attr) {
	value := a.Value.Resolve()
	if value.Kind() != slog.KindGroup {
		fields[fieldName(group+a.Key)] = value.String()
		return
	}
	if a.Key != "" {
		group += a.Key + "_"
	}
	for _, member := range value.Group() {
		addField(fields, group, member)
	}
}

// fieldName makes a field's name of a key. The journal takes A-Z, 0-9 and '_',
// up to 64 bytes; a few names have a meaning of their own there.
func fieldName(key string) string {
	name := strings.Map(func(c rune) rune {
		if c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			return c
		}
		return '_'
	}, strings.ToUpper(key))
	switch first, _, _ := strings.Cut(name, "_"); first {
	case "", "MESSAGE", "PRIORITY", "SYSLOG", "CODE", "ERRNO", "DOCUMENTATION", "TID", "UNIT", "USER", "COREDUMP", "OBJECT", "INVOCATION":
		name = "DRYDOCK_" + strings.TrimLeft(name, "_")
	}
	if name[0] >= '0' && name[0] <= '9' {
		name = "DRYDOCK_" + name
	}
	return name[:min(len(name), 64)]
}
