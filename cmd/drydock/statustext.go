package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// silence is how old a host's row must be to be doubted: hosts write theirs at
// least once a day.
const (
	silence     = 49 * time.Hour
	silenceText = "49h"
)

// smallFleet is how many hosts have a line each without being asked for.
const smallFleet = 30

// writeText prints the status for people: a line a host in a small fleet or
// when all are asked for, else what fits one page.
func (s fleetStatus) writeText(w io.Writer, all bool) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row(table, "fleet", s.Fleet)
	row(table, "slots", s.slotsText())
	row(table, "state", s.stateText())
	if lift := s.lift(); lift != "" {
		row(table, "go on", lift)
	}
	if all || len(s.Hosts) <= smallFleet {
		s.writeHosts(table)
	} else {
		s.writePage(table)
	}
	return table.Flush()
}

// writeHosts prints a line for everything.
func (s fleetStatus) writeHosts(w io.Writer) {
	lines(w, "failures", s.failureTexts())
	lines(w, "refused", s.refusedTexts())
	lines(w, "holders", s.holderTexts(s.Holders))
	lines(w, "if gone", s.releaseTexts())
	fmt.Fprintln(w)
	row(w, "HOST", "VERSION", "OFFERED", "PHASE", "SINCE", "SLOT", "REASON")
	for _, h := range s.Hosts {
		row(w, h.Host, known(h.Version), known(h.Offered), known(h.Phase), s.ago(h.Since), h.slotText(), known(s.reasonText(h)))
	}
	if len(s.Hosts) == 0 {
		row(w, "no host has written a row yet")
	}
}

// row prints one line. What stands in the table was written by hosts: a
// control character in it must not reach the operator's terminal.
func row(w io.Writer, cells ...string) {
	for i, cell := range cells {
		cells[i] = strings.Map(func(c rune) rune {
			if unicode.IsPrint(c) {
				return c
			}
			return '?'
		}, cell)
	}
	fmt.Fprintln(w, strings.Join(cells, "\t"))
}

// lines prints a name with one line for each text.
func lines(w io.Writer, name string, texts []string) {
	for _, text := range texts {
		row(w, name, text)
		name = ""
	}
}

func (s fleetStatus) slotsText() string {
	if s.PolicyFault != "" {
		return fmt.Sprintf("%d in use", s.SlotsUsed)
	}
	text := fmt.Sprintf("%d of %d in use, %d granted so far", s.SlotsUsed, s.Slots, s.Generation)
	if s.AverageHold > 0 {
		text += fmt.Sprintf(", held for %s on average", age(time.Duration(s.AverageHold)*time.Second))
	}
	return text
}

func (s fleetStatus) stateText() string {
	switch {
	case s.PolicyFault != "":
		return "halted: " + s.Halted + ": " + strings.ReplaceAll(s.PolicyFault, "\n", "; ")
	case s.Halt != nil:
		return s.Halted + " (" + s.ago(s.Halt.At) + ")"
	case s.Halted != "":
		return "halted: " + s.Halted
	}
	return "going on"
}

// lift is the command that lets a halted fleet go on, or "".
func (s fleetStatus) lift() string {
	switch {
	case s.PolicyFault != "":
		return commandFor(s.Table, s.Fleet, "policy", "set", "FILE")
	case s.Halted != "":
		return commandFor(s.Table, s.Fleet, "resume")
	}
	return ""
}

func (s fleetStatus) failureTexts() []string {
	var texts []string
	for i, f := range s.Failures {
		texts = append(texts, fmt.Sprintf("%d of %d: %s %s on %s, generation %d, %s",
			i+1, s.MaxFailures, f.Release, f.Cause, f.Host, f.Generation, s.ago(f.At)))
	}
	return texts
}

func (s fleetStatus) refusedTexts() []string {
	var texts []string
	for _, f := range s.Refused {
		texts = append(texts, fmt.Sprintf("%s, fell back on %s %s", f.Release, f.Host, s.ago(f.At)))
	}
	return texts
}

func (s fleetStatus) holderTexts(holders []holderStatus) []string {
	var texts []string
	for _, h := range holders {
		texts = append(texts, s.holderText(h))
	}
	return texts
}

// releaseTexts are the commands that free the slots of stuck holders, for those
// whose instance is gone for good.
func (s fleetStatus) releaseTexts() []string {
	var texts []string
	for _, h := range s.Holders {
		if h.Stuck {
			texts = append(texts, commandFor(s.Table, s.Fleet, "release", h.Host))
		}
	}
	return first(texts, pageReleases)
}

func (s fleetStatus) holderText(h holderStatus) string {
	text := fmt.Sprintf("%s %s -> %s, generation %d, %s since %s",
		h.Host, known(h.From), known(h.Target), h.Generation, h.Phase, s.ago(h.Since))
	switch left := h.Until.Sub(s.Asked); {
	case h.Stuck:
		text += ", STUCK: it should have ended " + s.ago(h.Until)
	case left < 0:
		text += ", LATE: it should have ended " + s.ago(h.Until)
	default:
		text += ", to end within " + age(left)
	}
	if h.Seen.After(h.Since) {
		text += ", last heard of " + s.ago(h.Seen)
	}
	if h.Restore {
		text += ", restoring asked for"
	}
	return text
}

// slotText is the slot that a host has, or its place in the line for one.
func (h hostStatus) slotText() string {
	switch {
	case h.Stuck:
		return fmt.Sprintf("%d stuck", h.Slot)
	case h.Slot > 0:
		return fmt.Sprint(h.Slot)
	case h.Ahead == nil:
		return "-"
	case h.Wait > 0:
		return fmt.Sprintf("ticket %d, %d ahead, in about %s", h.Ticket, *h.Ahead, age(time.Duration(h.Wait)*time.Second))
	}
	return fmt.Sprintf("ticket %d, %d ahead", h.Ticket, *h.Ahead)
}

// reasonText also says when a host has not been heard of for long: rows of
// hosts that are gone stay.
func (s fleetStatus) reasonText(h hostStatus) string {
	if h.Written.IsZero() || s.Asked.Sub(h.Written) < silence {
		return h.Reason
	}
	text := "last heard of " + s.ago(h.Written)
	if h.Reason != "" {
		text += ": " + h.Reason
	}
	return text
}

// ago is how long before the question a time was, or "-" for none.
func (s fleetStatus) ago(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return age(s.Asked.Sub(t)) + " ago"
}

// known is a text, or "-" for none.
func known(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
