package scale

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Options is one run.
type Options struct {
	Seed  uint64
	Hosts int
	Slots int
	// Dead is the share of the hosts that vanish after they have joined the
	// queue. Nobody is told.
	Dead float64
	// Rush: all agents start within a minute and find the release at once. By
	// default they have been running when the release is published, and find it
	// at their regular checks.
	Rush bool
}

// starts is the time over which the agents start, and after which the release
// is offered.
func (o Options) starts() time.Duration {
	if o.Rush {
		return time.Minute
	}
	return time.Hour
}

// The lives of hosts. A whole hold is a drain and a reboot, and averages ten
// minutes.
const (
	meanHold     = 600 * time.Second
	holdSpread   = 0.5 // standard deviation by mean
	shutdown     = 3 * time.Second
	bootLength   = 40 * time.Second
	agentStart   = 5 * time.Second // from the boot to the agent's container
	registration = 9 * time.Second // from the boot to the ECS agent's
	connection   = 2 * time.Second // from there to agentConnected
	// overhead is what a hold has besides its drain.
	overhead = shutdown + bootLength + registration + connection + 2*time.Second
	// longestDrain is less than drain.timeout: a drain that times out is not
	// what is measured here.
	longestDrain = 24 * time.Minute
	refresh      = time.Second
	download     = time.Minute // of prepare, on average
)

// drain draws a length of a drain: the hold is lognormal.
func drain(dice *rand.Rand) time.Duration {
	sigma := math.Sqrt(math.Log(1 + holdSpread*holdSpread))
	mu := math.Log(meanHold.Seconds()) - sigma*sigma/2
	for {
		hold := time.Duration(math.Exp(mu+sigma*dice.NormFloat64()) * float64(time.Second))
		if d := hold - overhead; d > 0 && d <= longestDrain {
			return d
		}
	}
}

// between draws evenly from [low, high).
func between(dice *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(dice.Int64N(int64(high-low)))
}

func (o Options) String() string {
	return fmt.Sprintf("%d hosts, %d slots, %.0f %% dead tickets, seed %d", o.Hosts, o.Slots, 100*o.Dead, o.Seed)
}
