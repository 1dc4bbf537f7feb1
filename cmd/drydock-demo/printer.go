package main

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"
)

// printer writes one line an event, for a terminal and a file alike:
//
//	seconds since the start, who, a mark, what
//
// The mark is "*" for what the world does, as seen from outside, and "|" for a
// line of an agent's own log.
type printer struct {
	start time.Time

	mu  sync.Mutex
	out io.Writer
}

func newPrinter(out io.Writer) *printer { return &printer{start: time.Now(), out: out} }

func (p *printer) line(who, mark, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.out, "%6.1fs  %-8s %s %s\n", time.Since(p.start).Seconds(), who, mark, text)
}

// world tells what happens in the simulated world.
func (p *printer) world(who, text string) { p.line(who, "*", text) }

// agent shows a line of an agent's log.
func (p *printer) agent(who, text string) { p.line(who, "|", trim(text)) }

// text writes a block as it is.
func (p *printer) text(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintln(p.out, strings.TrimRight(text, "\n"))
}

// trim leaves out of an agent's log line what the line's beginning says: the
// host. The journal's priority is put in words where it is not the usual one.
func trim(line string) string {
	level := ""
	if priority, rest, ok := strings.Cut(strings.TrimPrefix(line, "<"), ">"); ok && len(priority) == 1 {
		line, level = rest, map[string]string{"3": "ERROR ", "4": "WARN ", "7": "DEBUG "}[priority]
	}
	return level + strings.TrimSpace(ownHost.ReplaceAllString(line, ""))
}

// ownHost is the attribute by which an agent names its own host.
var ownHost = regexp.MustCompile(`\bhost=i-[0-9a-f]+ ?`)

// describe puts an entry of the ledger in words; "" is not worth a line.
func describe(e entry) string {
	switch e.what {
	case draining:
		return "ECS: DRAINING"
	case drained:
		return "ECS: the last task has STOPPED"
	case wentDown:
		return "down for a reboot"
	case cameUp:
		return "booted, runs " + e.text
	case hung:
		return "does not come back: it hangs in the new release"
	case connected:
		return "ECS: the agent is connected"
	case nowActive:
		return "ECS: ACTIVE"
	case killed:
		return "agent killed (SIGKILL) " + e.text
	case cutOff:
		return "DynamoDB is out of its reach"
	case cutHealed:
		return "DynamoDB is in its reach again"
	case terminated:
		return "EC2 has terminated the instance"
	case launched:
		return "launched by the autoscaler on " + e.text
	case markedStuck:
		return "lock record: marked stuck"
	case askedEC2:
		return "asks EC2 about " + e.text
	}
	return ""
}
