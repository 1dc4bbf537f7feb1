package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/drydock-ecs/drydock/apiclientx"
	"github.com/drydock-ecs/drydock/apiclientx/apitest"
	"github.com/drydock-ecs/drydock/internal/dynamotest"
	"github.com/drydock-ecs/drydock/internal/ecstest"
)

// moment is where in an update an agent is killed.
type moment string

// The moments, each known from outside, in the order of an update.
const (
	inStaging    moment = "while staging"
	inWaiting    moment = "while waiting for a slot"
	inGranted    moment = "right after the grant"
	inDraining   moment = "while draining"
	inActivating moment = "while activating, before the reboot request"
	inRequest    moment = "with the reboot request on its way"
	inReboot     moment = "after the reboot request"
	inVerifying  moment = "while verifying"
	inRestoring  moment = "while setting ACTIVE"
	inReturning  moment = "while returning the slot"
)

func moments() []moment {
	return []moment{inStaging, inWaiting, inGranted, inDraining, inActivating, inRequest, inReboot, inVerifying, inRestoring, inReturning}
}

// killStory kills every agent in every phase, while setting ACTIVE one of
// them.
func killStory() story {
	return story{
		name: "kill",
		expect: fmt.Sprintf("Every agent is killed (SIGKILL) %d times in its update, one of them once more while it sets its host ACTIVE, and started again as systemd would. One reboot request is lost.\n", len(moments())-1) +
			"All hosts end ACTIVE on " + newRelease + ", and never more of them are out than there are slots.",
		extra: 2 * time.Minute,
		begin: beginKilling,
		play:  untilComplete,
		checks: func() []check {
			return slices.Concat(always(), complete(), []check{
				{"every phase had an agent killed in it, every agent at least five times", killedEverywhere},
			})
		},
	}
}

// killer kills each agent once at each moment.
type killer struct {
	w   *world
	ctx context.Context

	mu   sync.Mutex
	done map[killing]bool
	lost bool // the one reboot request has been lost
}

type killing struct {
	host string
	at   moment
}

// beginKilling makes calls and the last seconds of a boot long enough to be
// hit, and lays in wait.
func beginKilling(ctx context.Context, w *world) {
	k := &killer{w: w, ctx: ctx, done: make(map[killing]bool)}
	w.lengths.Reboot = 1600 * time.Millisecond
	for _, h := range w.all() {
		h.api.SetLengths(w.lengths)
		h.setFault(func(op string) apitest.Fault { return k.atAPI(h, op) })
	}
	w.listen(k.atFact)
	w.setFaults(k.atECS, k.atTable)
}

// strike kills a host's agent in a moment from now, spread over the length
// given; once at each moment of its update.
func (k *killer) strike(host string, at moment, after, spread time.Duration) {
	key := killing{host, at}
	if at == inRestoring {
		key.host = "" // one of the fleet: its call may still land, and is waited for a minute long
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.done[key] {
		return
	}
	k.done[key] = true
	time.AfterFunc(after+rand.N(spread+1), func() {
		if k.ctx.Err() == nil && k.w.find(host).killAgent() {
			k.w.ledger.add(host, killed, string(at))
			return
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.done, key) // nobody was there to be killed
	})
}

// atAPI sees the requests of the Bottlerocket API. One reboot request of the
// fleet is lost on its way: not carried out, and not answered.
func (k *killer) atAPI(h *host, op string) apitest.Fault {
	const ms = time.Millisecond
	switch op {
	case string(apiclientx.Prepare):
		k.strike(h.id, inStaging, 0, 1500*ms)
	case string(apiclientx.Activate):
		k.strike(h.id, inActivating, 0, 150*ms)
	case apitest.OpOS:
		if at := k.w.ledger.at(h.id); at == cameUp || at == connected {
			k.strike(h.id, inVerifying, 0, 200*ms)
		}
	case apitest.OpReboot:
		k.strike(h.id, inRequest, 0, 0)
		k.strike(h.id, inReboot, restartDelay+200*ms, 400*ms)
		return k.lose()
	}
	return apitest.Fault{}
}

// lose loses the first request that it is asked about.
func (k *killer) lose() apitest.Fault {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lost {
		return apitest.Fault{}
	}
	k.lost = true
	return apitest.Fault{Answer: apitest.Drop}
}

// atECS sees the calls of ECS and makes them last.
func (k *killer) atECS(c ecstest.Call) ecstest.Fault {
	in, ok := c.Input.(*ecs.UpdateContainerInstancesStateInput)
	if ok && in.Status == types.ContainerInstanceStatusActive {
		k.strike(c.Caller, inRestoring, 0, 80*time.Millisecond)
	}
	return ecstest.Fault{Latency: 40 * time.Millisecond}
}

// atTable sees the calls of DynamoDB and makes them last.
func (k *killer) atTable(c dynamotest.Call) dynamotest.Fault {
	h := k.w.find(c.Caller)
	if h == nil || c.Item != "lock" {
		return dynamotest.Fault{}
	}
	switch at := k.w.ledger.at(h.id); {
	case at == preparing && !c.Write && !h.api.Busy():
		k.strike(h.id, inWaiting, 0, 20*time.Millisecond)
	case at == nowActive && c.Write:
		k.strike(h.id, inReturning, 0, 40*time.Millisecond)
	}
	return dynamotest.Fault{Latency: 20 * time.Millisecond}
}

// atFact sees what is written into the ledger.
func (k *killer) atFact(e entry) {
	switch e.what {
	case granted:
		k.strike(e.host, inGranted, 0, 0)
	case draining:
		k.strike(e.host, inDraining, 200*time.Millisecond, 1500*time.Millisecond)
	}
}

func killedEverywhere(e evidence) string {
	var missing []string
	for _, at := range moments() {
		hit := slices.ContainsFunc(e.entries, func(x entry) bool { return x.what == killed && x.text == string(at) })
		if !hit {
			missing = append(missing, "nobody "+string(at))
		}
	}
	for _, h := range e.hosts {
		if n := count(e.entries, h.id, killed); n < 5 {
			missing = append(missing, fmt.Sprintf("%s only %d times", h.name, n))
		}
	}
	return strings.Join(missing, ", ")
}
