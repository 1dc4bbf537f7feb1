package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// How many lines of a kind stand on the page.
const (
	pageFailures = 5
	pageHolders  = 10
	pageReleases = 3
	pageWaiters  = 10
	pageReasons  = 10
	pageVersions = 6
	pageWidth    = 160 // letters of a reason
)

// writePage prints a big fleet so that it fits one page. Hosts that have not
// written for long are counted apart: most of them are gone.
func (s fleetStatus) writePage(w io.Writer) {
	lines(w, "failures", last(s.failureTexts(), pageFailures))
	lines(w, "refused", last(s.refusedTexts(), pageFailures))
	lines(w, "holders", first(s.holderTexts(s.troubledFirst()), pageHolders))
	lines(w, "if gone", s.releaseTexts())
	heard, silent := s.heard()
	fmt.Fprintln(w)
	row(w, "hosts", fmt.Sprintf("%d: %s", len(heard), shares(heard, urgency, func(h hostStatus) string { return h.Phase })))
	row(w, "versions", shares(heard, nil, func(h hostStatus) string { return h.Version }))
	if len(silent) > 0 {
		row(w, "silent", fmt.Sprintf("%d have not written for %s; one of them: %s, %s",
			len(silent), silenceText, silent[0].Host, s.ago(silent[0].Written)))
	}
	waiting, blocked := inLine(heard)
	lines(w, "waiting", s.waitingTexts(waiting))
	lines(w, "blocked", blockedTexts(blocked))
	fmt.Fprintln(w)
	row(w, "a line for every host: "+commandFor(s.Table, s.Fleet, "status", "--all"))
}

// troubledFirst orders the holders: stuck and late ones, sick ones, the others.
func (s fleetStatus) troubledFirst() []holderStatus {
	rank := func(h holderStatus) int {
		switch {
		case h.Stuck, h.Until.Before(s.Asked):
			return 0
		case h.Phase == "sick":
			return 1
		}
		return 2
	}
	holders := slices.Clone(s.Holders)
	slices.SortStableFunc(holders, func(a, b holderStatus) int { return rank(a) - rank(b) })
	return holders
}

// heard divides the hosts by whether they wrote their row lately. A holder
// without a row is news from the record.
func (s fleetStatus) heard() (heard, silent []hostStatus) {
	for _, h := range s.Hosts {
		if h.Slot == 0 && (h.Written.IsZero() || s.Asked.Sub(h.Written) >= silence) {
			silent = append(silent, h)
		} else {
			heard = append(heard, h)
		}
	}
	return heard, silent
}

// shares counts hosts by a text: in the order given, "790 waiting, 4200 idle",
// or without one the most frequent first, "1.26.1: 4200, 1.25.0: 790".
func shares(hosts []hostStatus, order func(string) int, text func(hostStatus) string) string {
	counts := make(map[string]int)
	for _, h := range hosts {
		counts[cmp.Or(text(h), "unknown")]++
	}
	var names []string
	for name := range counts {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if order != nil {
			return cmp.Or(order(a)-order(b), cmp.Compare(a, b))
		}
		return cmp.Or(counts[b]-counts[a], cmp.Compare(a, b))
	})
	var parts []string
	rest := 0
	for i, name := range names {
		if order == nil && i >= pageVersions {
			rest += counts[name]
			continue
		}
		if order != nil {
			parts = append(parts, fmt.Sprintf("%d %s", counts[name], name))
		} else {
			parts = append(parts, fmt.Sprintf("%s: %d", name, counts[name]))
		}
	}
	if rest > 0 {
		parts = append(parts, fmt.Sprintf("others: %d", rest))
	}
	return strings.Join(parts, ", ")
}

// queued begins the reason of a host that nothing but its place keeps waiting.
const queued = "waiting for a slot: "

// inLine divides the hosts without a slot that do not update: those that are
// next, in their order as far as it is known, and those that something keeps.
func inLine(hosts []hostStatus) (waiting, blocked []hostStatus) {
	for _, h := range hosts {
		switch {
		case h.Slot > 0:
		case h.Phase == "waiting" && (h.Reason == "" || strings.HasPrefix(h.Reason, queued)):
			waiting = append(waiting, h)
		case h.Reason != "":
			blocked = append(blocked, h)
		}
	}
	place := func(h hostStatus) int64 {
		if h.Ahead == nil {
			return 1 << 62
		}
		return *h.Ahead
	}
	slices.SortStableFunc(waiting, func(a, b hostStatus) int {
		return cmp.Or(cmp.Compare(place(a), place(b)), a.Since.Compare(b.Since), cmp.Compare(a.Host, b.Host))
	})
	return waiting, blocked
}

func (s fleetStatus) waitingTexts(hosts []hostStatus) []string {
	var texts []string
	for _, h := range hosts {
		text := fmt.Sprintf("%s %s -> %s, since %s", h.Host, known(h.Version), known(h.Offered), s.ago(h.Since))
		if h.Ahead != nil {
			text += ", " + h.slotText()
		}
		texts = append(texts, text)
	}
	return first(texts, pageWaiters)
}

// common leaves out of a reason what makes one reason look like many: ids of
// tasks, times, and how often.
func common(reason string) string {
	words := strings.Fields(reason)
	for i, word := range words {
		counts := i+1 < len(words) && (words[i+1] == "attempts" || words[i+1] == "tasks") && made(word, "0123456789")
		id := len(word) >= 24 && made(word, "0123456789abcdef")
		if counts || id || isTime(word) {
			words[i] = "…"
		}
	}
	return strings.ReplaceAll(strings.Join(words, " "), "… …", "…")
}

// made says whether a word has letters of a set alone.
func made(word, of string) bool { return strings.Trim(word, of) == "" }

func isTime(word string) bool {
	return slices.ContainsFunc([]string{time.DateOnly, "15:04Z", time.RFC3339}, func(form string) bool {
		_, err := time.Parse(form, word)
		return err == nil
	})
}

// blockedTexts groups hosts by what keeps them, the most frequent first, with
// one host each to look at.
func blockedTexts(hosts []hostStatus) []string {
	type group struct {
		reason, host string
		n            int
	}
	var groups []*group
	byReason := make(map[string]*group)
	for _, h := range hosts {
		reason := common(h.Reason)
		if byReason[reason] == nil {
			byReason[reason] = &group{reason: reason, host: h.Host}
			groups = append(groups, byReason[reason])
		}
		byReason[reason].n++
	}
	slices.SortStableFunc(groups, func(a, b *group) int { return b.n - a.n })
	var texts []string
	for _, g := range groups {
		texts = append(texts, fmt.Sprintf("%d %s; one of them: %s", g.n, short(g.reason), g.host))
	}
	return first(texts, pageReasons)
}

// short cuts a text to what a line may have.
func short(text string) string {
	if utf8.RuneCountInString(text) <= pageWidth {
		return text
	}
	return string([]rune(text)[:pageWidth]) + "…"
}

// first is the head of a list, with the number of what is left out.
func first(texts []string, n int) []string {
	if len(texts) <= n {
		return texts
	}
	return append(slices.Clone(texts[:n]), fmt.Sprintf("and %d more", len(texts)-n))
}

// last is the end of a list, with the number of what is left out.
func last(texts []string, n int) []string {
	if len(texts) <= n {
		return texts
	}
	return append([]string{fmt.Sprintf("%d earlier ones, and", len(texts)-n)}, texts[len(texts)-n:]...)
}
