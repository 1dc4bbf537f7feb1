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

	Faults    float64 // chance that a write fails, is lost, or kills the process
	Resets    bool    // hosts are reset at random moments
	Outages   bool    // hosts lose the table for a while
	Operators bool    // people drain and undrain hosts
	BadDisks  bool    // the intent file is lost or damaged now and then
	Jobs      bool    // standalone tasks come and go

	SlowReboots bool // a requested reboot comes minutes later

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
// and that come up sick; half of the seeds without resets, because resets heal
// what is stuck.
func Random(seed uint64) Options {
	r := rand.New(rand.NewPCG(seed, 1))
	o := Options{Seed: seed, Hosts: 3 + r.IntN(2), Slots: 1 + r.IntN(2), Horizon: 18 * time.Hour}
	switch r.IntN(6) {
	case 0, 1:
		o.Fate = apitest.FallsBack
	case 2:
		o.Sick = true
	}
	o.Faults = []float64{0, 0.02, 0.08, 0.2}[r.IntN(4)]
	o.Resets = seed%2 == 1
	o.Outages = r.IntN(3) == 0
	o.Operators = r.IntN(4) == 0
	o.BadDisks = r.IntN(4) == 0
	o.Jobs = r.IntN(4) == 0
	o.SlowReboots = r.IntN(4) == 0
	return o
}

func (o Options) String() string {
	return fmt.Sprintf("seed %d: %d hosts, %d slots, fate %d, sick %t, faults %.2f, resets %t, outages %t, operators %t, bad disks %t, jobs %t, slow reboots %t",
		o.Seed, o.Hosts, o.Slots, o.Fate, o.Sick, o.Faults, o.Resets, o.Outages, o.Operators, o.BadDisks, o.Jobs, o.SlowReboots)
}
