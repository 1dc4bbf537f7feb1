package agent

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/drydock-ecs/drydock/internal/zone"
)

// Window is a time of the week at which updates may run. Start and end are
// readings of the zone's wall clock, so a window is an hour shorter or longer
// on a night on which that clock is changed.
type Window struct {
	Days   []time.Weekday // on which it starts; none: every day
	Start  time.Duration  // since midnight, whole minutes, below 24 h
	Length time.Duration  // 1 min to 168 h; it may cross midnight
	Zone   *time.Location // default UTC
}

// Windows are the maintenance windows of a policy. Windows that touch or
// overlap are one. No windows at all leave every time open.
type Windows []Window

// windowSpan is one occurrence of a window, or of several that touch.
type windowSpan struct {
	start, end time.Time // in the zone of the window that begins it; end excluded
}

// Open reports whether an update that needs so much time may start now: it
// must be able to end before the window does.
func (w Windows) Open(now time.Time, need time.Duration) bool {
	if len(w) == 0 {
		return true
	}
	span, ok := w.first(now, max(need, 0))
	return ok && !span.start.After(now)
}

// Next returns the window that is open now, or else the next one. It is not ok
// when there are no windows. An end that never comes is given as some time
// more than a week away.
func (w Windows) Next(now time.Time) (start, end time.Time, ok bool) {
	span, ok := w.first(now, 0)
	return span.start, span.end, ok
}

// Text says when an update that needs so much time may start: "next window Sat
// 22:00-02:00 Europe/Berlin (in 3h10m)". It is "" while Open.
func (w Windows) Text(now time.Time, need time.Duration) string {
	if w.Open(now, need) {
		return ""
	}
	span, ok := w.first(now, max(need, 0))
	if !ok {
		return fmt.Sprintf("no window is as long as the %s that an update may need", configShort(need))
	}
	form := "15:04"
	if span.end.Sub(span.start) >= 24*time.Hour {
		form = "Mon 15:04"
	}
	wait := span.start.Sub(now).Truncate(time.Minute) + time.Minute
	if span.start.Sub(now)%time.Minute == 0 {
		wait -= time.Minute
	}
	return fmt.Sprintf("next window %s-%s %s (in %s)", span.start.Format("Mon 15:04"), span.end.Format(form),
		span.start.Location(), configShort(wait))
}

// Ever says whether an update that needs so much time fits into a window.
func (w Windows) Ever(now time.Time, need time.Duration) bool {
	_, ok := w.first(now, need)
	return ok || w.Open(now, need)
}

// first returns the first span that has so much time left after now.
func (w Windows) first(now time.Time, need time.Duration) (windowSpan, bool) {
	for _, span := range w.spans(now, need) {
		from := span.start
		if from.Before(now) {
			from = now
		}
		if from.Before(span.end) && !from.Add(need).After(span.end) {
			return span, true
		}
	}
	return windowSpan{}, false
}

// spans returns, in order, everything that is open from now on, far enough to
// find each window once with the whole of the need behind it.
func (w Windows) spans(now time.Time, need time.Duration) []windowSpan {
	const reach = 8 // days: a window is at most a week long and recurs weekly
	var all []windowSpan
	for _, window := range w {
		today := now.In(window.Zone)
		for day := -reach; day <= 2*reach+int(need/(24*time.Hour)); day++ {
			at := func(clock time.Duration) time.Time {
				return time.Date(today.Year(), today.Month(), today.Day()+day, 0, 0, int(clock/time.Second), 0, window.Zone)
			}
			if len(window.Days) == 0 || slices.Contains(window.Days, at(12*time.Hour).Weekday()) {
				all = append(all, windowSpan{at(window.Start), at(window.Start + window.Length)})
			}
		}
	}
	return windowMerge(all)
}

// windowMerge makes one of spans that touch.
func windowMerge(all []windowSpan) []windowSpan {
	slices.SortFunc(all, func(a, b windowSpan) int { return a.start.Compare(b.start) })
	var merged []windowSpan
	for _, span := range all {
		if !span.start.Before(span.end) {
			continue // it lies in an hour that the clock skips
		}
		last := len(merged) - 1
		switch {
		case last < 0 || span.start.After(merged[last].end):
			merged = append(merged, span)
		case span.end.After(merged[last].end):
			merged[last].end = span.end.In(merged[last].start.Location())
		}
	}
	return merged
}

// windowKeys is the table of one [[window]].
func windowKeys(w *Window) []configKey {
	return []configKey{
		{"days", "on which it starts; none: every day", windowDays{&w.Days}},
		{"start", "by the wall clock of the zone", windowClock{&w.Start}},
		{"length", "how long it is open", configDuration{&w.Length, time.Minute, 168 * time.Hour}},
		{"zone", "IANA name of the zone", windowZone{&w.Zone}},
	}
}

// windowDays is a list of days of the week.
type windowDays struct{ value *[]time.Weekday }

const windowDaysHint = `a list of "mon", "tue", "wed", "thu", "fri", "sat", "sun"`

func (f windowDays) read(value *unstable.Node) (problem, hint string) {
	if value.Kind != unstable.Array {
		return configWrong(value) + ", not a list of days", windowDaysHint
	}
	var days []time.Weekday
	for it := value.Children(); it.Next(); {
		day := it.Node()
		if day.Kind != unstable.String {
			return "has an element that " + configWrong(day), windowDaysHint
		}
		i := slices.Index(windowDayNames(), string(day.Data))
		if i < 0 {
			return fmt.Sprintf("%q is no day", day.Data), windowDaysHint
		}
		days = append(days, time.Weekday(i))
	}
	problem, hint = windowDays{&days}.check()
	if problem == "" {
		*f.value = days
	}
	return problem, hint
}

func (f windowDays) check() (problem, hint string) {
	for i, day := range *f.value {
		if slices.Contains((*f.value)[:i], day) {
			return fmt.Sprintf("has %q twice", windowDayNames()[day]), ""
		}
	}
	return "", ""
}

func (f windowDays) write() string {
	names := make([]string, len(*f.value))
	for i, day := range *f.value {
		names[i] = configQuote(windowDayNames()[day])
	}
	return "[" + strings.Join(names, ", ") + "]"
}

// windowDayNames are the names of the days, by time.Weekday.
func windowDayNames() []string { return []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} }

// windowClock is a reading of a clock, hh:mm. Below zero it is missing.
type windowClock struct{ value *time.Duration }

func (f windowClock) read(value *unstable.Node) (problem, hint string) {
	const form = `"00:00" to "23:59", in quotes`
	if value.Kind != unstable.String {
		return configWrong(value) + ", not a text", form
	}
	t, err := time.Parse("15:04", string(value.Data))
	if err != nil || len(value.Data) != len("15:04") {
		return fmt.Sprintf("%q is no time of day", value.Data), form
	}
	*f.value = time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
	return "", ""
}

func (f windowClock) check() (problem, hint string) {
	if *f.value < 0 || *f.value >= 24*time.Hour {
		return "is no time of day", `"00:00" to "23:59"`
	}
	return "", ""
}

func (f windowClock) write() string {
	return fmt.Sprintf(`"%02d:%02d"`, int(f.value.Hours()), int(f.value.Minutes())%60)
}

// windowZone is a time zone by its IANA name.
type windowZone struct{ value **time.Location }

func (f windowZone) read(value *unstable.Node) (problem, hint string) {
	const form = `an IANA name, such as "UTC" or "Europe/Berlin"`
	if value.Kind != unstable.String {
		return configWrong(value) + ", not a text", form
	}
	name := string(value.Data)
	// "" and "Local" would mean something else on each host.
	loaded, err := zone.Load(name)
	if err != nil || name == "" || name == "Local" {
		return fmt.Sprintf("%q is no time zone", name), form
	}
	*f.value = loaded
	return "", ""
}

func (f windowZone) check() (problem, hint string) { return "", "" }

func (f windowZone) write() string { return configQuote((*f.value).String()) }
