package main

import (
	"slices"
	"sync"
	"time"
)

// fact is what somebody outside the agents has seen happen to a host.
type fact int

// The facts, in the order in which one update brings them.
const (
	checked     fact = iota // the host's API was asked for releases
	preparing               // the host's API was asked to download
	granted                 // the lock record shows the host with a slot
	draining                // ECS: DRAINING
	drained                 // ECS: the last task on it has STOPPED
	activating              // the host's API was asked to activate
	askedReboot             // the host's API accepted a reboot
	wentDown                // the host is down
	cameUp                  // the host has booted; text is the version
	hung                    // the host has not come back
	connected               // ECS: its agent is connected, after a boot
	nowActive               // ECS: ACTIVE
	returned                // the lock record shows the host without a slot
	killed                  // its agent was killed; text is where
	askedGate               // it asked ECS whether it may be drained, before it had a slot
	cutOff                  // the table is out of its reach
	cutHealed               // and in its reach again
	terminated              // EC2 has terminated it
	launched                // an autoscaler has launched it
	markedStuck             // the lock record shows it as stuck
	askedEC2                // it asked EC2 about others; text is whom
	resumed                 // an operator lifted halt and failures; text is what resume printed
)

// entry is one fact with its moment.
type entry struct {
	at   time.Time
	host string // EC2 instance id
	what fact
	text string
}

// ledger keeps what happened. It may be used by several goroutines, also by
// one that holds a stand-in's lock: it calls nobody but tell.
type ledger struct {
	tell func(entry) // told each entry; must not call the ledger

	mu      sync.Mutex
	entries []entry
	last    map[string]entry // by host: the latest fact of its update
}

// moves says whether the entry is where its host's update is now. The grant is
// seen by looking, so it can be seen later than what follows it.
func (e entry) moves(from fact) bool {
	late := e.what == granted && from >= draining && from < returned
	return e.what > checked && e.what < killed && !late
}

func newLedger(tell func(entry)) *ledger {
	return &ledger{tell: tell, last: make(map[string]entry)}
}

// add writes down what happened now.
func (l *ledger) add(host string, what fact, text string) {
	l.addAt(entry{time.Now(), host, what, text})
}

func (l *ledger) addAt(e entry) {
	l.mu.Lock()
	l.entries = append(l.entries, e)
	if e.moves(l.last[e.host].what) {
		l.last[e.host] = e
	}
	l.mu.Unlock()
	l.tell(e)
}

// at returns the latest fact of the host's update; checked: there is none.
func (l *ledger) at(host string) fact {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last[host].what
}

// all returns the entries in the order of their moments.
func (l *ledger) all() []entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	entries := slices.Clone(l.entries)
	slices.SortStableFunc(entries, func(a, b entry) int { return a.at.Compare(b.at) })
	return entries
}

// count is how often something happened to a host; "" is any.
func (l *ledger) count(host string, what fact) int {
	return count(l.all(), host, what)
}

func count(entries []entry, host string, what fact) int {
	n := 0
	for _, e := range entries {
		if e.what == what && (host == "" || e.host == host) {
			n++
		}
	}
	return n
}
