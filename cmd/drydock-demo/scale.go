package main

import (
	"time"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/apiclientx/apitest"
	"github.com/drydock-ecs/drydock/internal/ecstest"
)

// How long a run may take: defaultTimeout, or the start and the rounds of a
// fleet for which that is too short.
const (
	defaultTimeout = 90 * time.Second
	startLength    = 30 * time.Second
	roundLength    = 14 * time.Second
)

// The releases.
const (
	oldRelease = "1.25.0"
	newRelease = "1.26.1"
)

// The world is faster than the real one: a drain takes 2.5 s, a reboot 2.6 s, a
// download 2 s.
const (
	shutdownLength = 300 * time.Millisecond // from SIGTERM to SIGKILL
	bootLength     = 1500 * time.Millisecond
	containerDelay = 200 * time.Millisecond // from the API's start to the agent's
	restartDelay   = 700 * time.Millisecond // systemd waits 45 s before it starts a host container again
	sampleDelay    = 10 * time.Millisecond  // between two looks at ECS from outside
	awaitDelay     = 50 * time.Millisecond  // between two looks at what a story waits for
)

func hostLengths() apitest.Lengths {
	return apitest.Lengths{
		Refresh:    100 * time.Millisecond,
		Prepare:    2 * time.Second,
		Activate:   200 * time.Millisecond,
		Deactivate: 100 * time.Millisecond,
		Reboot:     300 * time.Millisecond,
	}
}

func agentLengths() ecstest.AgentLife {
	return ecstest.AgentLife{
		Register:   700 * time.Millisecond,
		Connect:    50 * time.Millisecond,
		Disconnect: 200 * time.Millisecond,
		Deliver:    50 * time.Millisecond,
	}
}

// replicaLife and daemonLife add up to the drain, 2.5 s: replacements start,
// then the replica tasks leave, then the daemon's, which has no network interface
// of its own to be deprovisioned. The agent looks at each full second, so that it
// loses half of one here, which is what it loses on average.
func replicaLife() ecstest.Life {
	return ecstest.Life{
		Pending:        200 * time.Millisecond,
		Healthy:        400 * time.Millisecond,
		Deactivating:   700 * time.Millisecond,
		Stopping:       500 * time.Millisecond,
		Deprovisioning: 100 * time.Millisecond,
	}
}

func daemonLife() ecstest.Life {
	return ecstest.Life{
		Pending:  100 * time.Millisecond,
		Healthy:  100 * time.Millisecond,
		Stopping: 300 * time.Millisecond,
	}
}

// agentConfig are the host's settings, scaled like the world. The rules
// between them are those of every host: agent.Config.Validate knows them.
func agentConfig() agent.Config {
	c := agent.DefaultConfig()
	c.CheckInterval = 2 * time.Second
	c.Lock.PollMin = 500 * time.Millisecond
	c.Lock.PollMax = 2 * time.Second
	c.Lock.RebootAllowance = 15 * time.Second
	c.Drain.Timeout = 30 * time.Second
	c.Verify.Timeout = 20 * time.Second
	c.Timing = agent.TimingConfig{
		RebootDeadline: 15 * time.Second,
		SecondLook:     3 * time.Second,
		EvidenceGap:    5 * time.Second,
		ReassertWithin: 2 * time.Second,
		FreeSlotLook:   time.Second,
	}
	return c
}
