package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/apiclientx"
	"github.com/drydock-ecs/drydock/internal/durable"
	"github.com/drydock-ecs/drydock/internal/hint"
)

// stateDir looks whether the intent could be kept. It writes nothing there.
func (p *preflight) stateDir(dir string) {
	const mend = "run it as a Bottlerocket host container, which has this directory, or correct host.state_dir"
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		p.problem("state", hint.Wrap(fmt.Errorf("look for the directory of the intent: %w", err), mend))
		return
	case !info.IsDir():
		p.problem("state", hint.Wrap(fmt.Errorf("%s is no directory", dir), mend))
		return
	}
	if err := unix.Access(dir, unix.W_OK); err != nil {
		p.problem("state", hint.Wrap(fmt.Errorf("nothing can be kept in %s: %w", dir, err), mend))
		return
	}
	_, err = durable.New(dir).Load()
	switch {
	case errors.Is(err, agent.ErrNoIntent):
		p.ok("state", dir+", no intent yet")
	case err != nil:
		p.problem("state", hint.Wrap(err, "let the agent run: it sets the file aside, and asks the lock record what it has to undo"))
	default:
		p.ok("state", dir+", with an intent")
	}
}

// bottlerocket asks the local API who it is. That it is busy is normal.
func (p *preflight) bottlerocket(ctx context.Context, settings agent.Config) {
	const what = "Bottlerocket API"
	client := &apiclientx.Client{Socket: settings.Host.APISocket}
	os, err := client.OS(ctx)
	if err == nil {
		_, err = client.Updates(ctx)
	}
	switch {
	case errors.Is(err, apiclientx.ErrUnreachable):
		p.problem(what, hint.Wrap(err, "run it as a Bottlerocket host container, which has /run/api.sock; where the socket is there and nobody answers, restart the container: it holds the socket of an API that is gone"))
	case err != nil && !errors.Is(err, apiclientx.ErrBusy) && !errors.Is(err, apiclientx.ErrUninitialized):
		p.problem(what, hint.Wrap(err, "read journalctl -u apiserver on the host"))
	case !strings.Contains(os.VariantID, "ecs"):
		p.problem(what, hint.Wrap(fmt.Errorf("this is variant %s of Bottlerocket", os.VariantID), "use a variant for ECS, such as aws-ecs-2"))
	default:
		p.ok(what, fmt.Sprintf("Bottlerocket %s, %s", os.VersionID, os.VariantID))
	}
}

// roots looks for the certificates that AWS's own are checked against, and
// returns those that are not the SDK's affair.
func (p *preflight) roots() []byte {
	const what = "roots of trust"
	if file := p.env.getenv(envRoots); file != "" {
		p.ok(what, envRoots+" names "+file)
		return nil
	}
	if roots := rootsOf(hostRoots, slog.New(slog.DiscardHandler), p.env); roots != nil {
		p.ok(what, hostRoots)
		return roots
	}
	pool, err := x509.SystemCertPool()
	switch {
	case err != nil:
		p.problem(what, fmt.Errorf("read the image's CA certificates: %w", err))
	case pool.Equal(x509.NewCertPool()):
		p.problem(what, hint.Wrap(errors.New("there are no CA certificates, neither of the host ("+hostRoots+") nor of the image"),
			"use an image of drydock that has them, or Bottlerocket 1.28 or later, which gives a host container its own"))
	default:
		p.ok(what, "those of the image; the host has none for it ("+hostRoots+")")
	}
	return nil
}
