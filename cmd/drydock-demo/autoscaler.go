package main

import (
	"context"
	"time"

	"github.com/drydock-ecs/drydock/apiclientx/apitest"
)

// shutDownLength is how long EC2 says "shutting-down" before "terminated".
const shutDownLength = 500 * time.Millisecond

// terminate ends a host for good, as EC2 does: the machine first, and then all
// that knows of it.
func (w *world) terminate(ctx context.Context, h *host) {
	w.ec2.Set(h.id, "shutting-down")
	h.end()
	h.killAgent()
	h.api.PowerOff()
	w.ecs.Terminate(h.id)
	pause(ctx, shutDownLength)
	w.ec2.Set(h.id, "terminated")
	w.ledger.add(h.id, terminated, "")
}

// launch adds a host on the old image, which finds the release like the
// others.
func (w *world) launch(ctx context.Context, release apitest.Release) error {
	if err := w.addHost(len(w.all()) + 1); err != nil {
		return err
	}
	hosts := w.all()
	h := hosts[len(hosts)-1]
	h.api.Offer(release)
	w.ledger.add(h.id, launched, oldRelease)
	select {
	case w.arrivals <- h:
	case <-ctx.Done():
	}
	return ctx.Err()
}
