package fleetsim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/drydock-ecs/drydock/apiclientx/apitest"
)

// Options is one run. The same options give the same run, up to the order in
// which the runtime wakes goroutines of one instant.
type Options struct {
	Seed    uint64
	Hosts   int
	Slots   int
	Fate    apitest.Fate  // of the release that is offered
	Sick    bool          // the ECS agent does not come back under the release
	Horizon time.Duration // virtual time after which the run ends

	// MaxFailures is the failures that halt the fleet; 0: one.
	MaxFailures int

	Faults    float64 // chance that a write fails, is lost, or kills the process
	Resets    bool    // hosts are reset at random moments
	Outages   bool    // hosts lose the table for a while, one or all of them
	Operators bool    // people drain and undrain hosts
	BadDisks  bool    // the intent file is lost or damaged now and then
	Jobs      bool    // standalone tasks come and go

	SlowReboots bool // a requested reboot comes minutes later

	Latency      bool // the table takes its time, and is throttled for minutes
	Partitions   bool // hosts lose ECS for a while, or ECS and the table
	Pauses       bool // processes stand still for minutes and go on
	Replacements bool // an autoscaler ends hosts and starts others with the old image
	OldImages    bool // idle hosts come up again with the old image
	Evidence     bool // hosts may ask EC2 about others
	BadEvidence  bool // EC2 gives errors, empty answers and incomplete ones
	Empty        bool // EC2's answers are empty
	Blind        bool // EC2 overlooks every instance once, the asker's own apart
	Verbs        bool // operators use their commands
	Careless     bool // and free slots of hosts that are alive: promises 1 and 4 are off

	// Script decides the fate of each write in place of chance. It may act on
	// the world.
	Script func(w *World, write Write) Fate
}

// Write is one durable write or act of one process.
type Write struct {
	Host  string
	Name  string // "record:draining", "intent:armed", "ecs:DRAINING", …
	Count int    // how many writes of this name the host has made, this one counted
}

// Fate answers two questions about a write: was it applied, and what became of
// the process that made it.
type Fate struct {
	Lost bool // it was not applied
	End  End
	Late time.Duration // it is applied that much later; Lost must be set, End NoAnswer
}

// End is what the process sees.
type End int

// The ends of a write.
const (
	Answer   End = iota // the truth
	NoAnswer            // an error that leaves the outcome open
	Crash               // nothing: the process is gone
	Reset               // nothing: the machine is reset in this moment
)

func (f Fate) String() string {
	applied := "applied"
	if f.Lost {
		applied = "lost"
	}
	if f.Late > 0 {
		applied = "late"
	}
	return applied + "/" + [...]string{"answer", "error", "crash", "reset"}[f.End]
}

// Random makes the options of a seed: releases that are good, that fall back,
// that take the host with them, and that come up sick; half of the seeds without
// resets, because resets heal what is stuck.
func Random(seed uint64) Options {
	r := rand.New(rand.NewPCG(seed, 1))
	once := func(n int) bool { return r.IntN(n) == 0 }
	o := Options{Seed: seed, Hosts: 3 + r.IntN(2), Slots: 1 + r.IntN(2), Horizon: 18 * time.Hour, MaxFailures: 1 + r.IntN(5)/4}
	o.Replacements = once(3)
	switch r.IntN(6) {
	case 0, 1:
		o.Fate = apitest.FallsBack
	case 2:
		o.Sick = true
	case 3:
		if o.Replacements {
			o.Fate = apitest.NeverReturns
		}
	}
	o.Faults = []float64{0, 0.02, 0.08, 0.2}[r.IntN(4)]
	o.Resets = seed%2 == 1
	o.Outages, o.Operators, o.BadDisks, o.Jobs, o.SlowReboots = once(3), once(4), once(4), once(4), once(4)
	o.Latency, o.Partitions, o.Pauses, o.OldImages = once(4), once(4), once(4), once(6)
	o.Evidence = !once(4)
	o.BadEvidence = o.Evidence && once(3)
	o.Verbs = once(4)
	o.Careless = o.Verbs && once(4)
	return o
}

// String names what is not as usual.
func (o Options) String() string {
	text := fmt.Sprintf("seed %d: %d hosts, %d slots, %d failures halt, fate %d, faults %.2f", o.Seed, o.Hosts, o.Slots, max(o.MaxFailures, 1), o.Fate, o.Faults)
	for _, on := range []struct {
		name string
		is   bool
	}{
		{"sick", o.Sick}, {"resets", o.Resets}, {"outages", o.Outages}, {"operators", o.Operators}, {"bad disks", o.BadDisks}, {"jobs", o.Jobs},
		{"slow reboots", o.SlowReboots}, {"latency", o.Latency}, {"partitions", o.Partitions}, {"pauses", o.Pauses}, {"replacements", o.Replacements},
		{"old images", o.OldImages}, {"evidence", o.Evidence}, {"bad evidence", o.BadEvidence}, {"empty", o.Empty}, {"blind", o.Blind}, {"verbs", o.Verbs}, {"careless", o.Careless},
	} {
		if on.is {
			text += ", " + on.name
		}
	}
	return text
}
