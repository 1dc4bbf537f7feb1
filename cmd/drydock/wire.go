package main

import (
	"cmp"
	"context"
	"log/slog"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/agent/containerinstance"
	"github.com/drydock-ecs/drydock/apiclientx"
	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/coordination/dynamo"
	"github.com/drydock-ecs/drydock/internal/durable"
	"github.com/drydock-ecs/drydock/internal/ec2api"
	"github.com/drydock-ecs/drydock/internal/journal"
	"github.com/drydock-ecs/drydock/internal/kernel"
)

// surroundings are the host's EC2 instance and its kernel.
type surroundings struct {
	*containerinstance.EC2
	*kernel.Kernel
}

// wireAgent builds the agent's doors. It calls nobody.
func wireAgent(ctx context.Context, settings agent.Config, log *slog.Logger, env environment) (agent.Ports, error) {
	metadata := imds.New(imds.Options{}, containerinstance.IMDSv2Only)
	config, err := sdk{metadata: metadata, roots: rootsOf(hostRoots, log, env), log: log}.load(ctx)
	if err != nil {
		return agent.Ports{}, err
	}
	host := &apiclientx.Client{Socket: settings.Host.APISocket}
	door := containerinstance.New(containerinstance.Options{
		API:      regionalECS{ecs.NewFromConfig(config)},
		Local:    containerinstance.NewLocalAgent(settings.Host.Introspection),
		Cluster:  settings.Cluster,
		Settings: host.ECSCluster,
	})
	instance := containerinstance.NewEC2(metadata)
	within, _ := journal.Watchdog()
	return agent.Ports{
		Host:         host,
		Node:         door,
		Tasks:        door,
		Surroundings: surroundings{instance, kernel.New(settings.Host.BootIDFile)},
		Intent:       durable.New(settings.Host.StateDir),
		Evidence:     newEvidence(config, instance),
		Fleet:        func(table, fleet string) agent.Fleet { return newFleet(config, table, fleet) },
		Cluster:      host.ECSCluster,
		Waves:        host.UpdateSettings,
		Notify:       notify,
		Watchdog:     within,
		Log:          log,
	}, nil
}

// newEvidence asks EC2 in the Region of the host itself.
func newEvidence(config aws.Config, instance *containerinstance.EC2) agent.Evidence {
	return containerinstance.NewEvidence(instance.Identity, func(region string) containerinstance.InstanceAPI {
		there := config.Copy()
		there.Region = region
		return ec2api.New(there, containerinstance.EvidenceAttempts)
	})
}

// newFleet is a fleet's lock in a table of the fleet's own Region, unless the
// SDK's settings name a Region.
func newFleet(config aws.Config, table, fleet string) *coordination.Fleet {
	config.Region = cmp.Or(config.Region, regionOf(fleet))
	store := dynamo.New(dynamodb.NewFromConfig(config), table)
	return &coordination.Fleet{ARN: fleet, Store: store, Rows: store}
}

// openFleet opens a fleet's lock for an operator. It asks AWS only for what
// the flags leave open.
func openFleet(ctx context.Context, at fleetFlags, env environment) (fleetLock, error) {
	metadata := imds.New(imds.Options{}, containerinstance.IMDSv2Only)
	log := slog.New(slog.DiscardHandler)
	config, err := sdk{at.preferredRegion(), metadata, rootsOf(hostRoots, log, env), log}.load(ctx)
	if err != nil {
		return fleetLock{}, err
	}
	if config.Region, err = findRegion(ctx, config.Region, containerinstance.NewEC2(metadata)); err != nil {
		return fleetLock{}, err
	}
	caller := sts.NewFromConfig(config)
	arn, err := completeFleet(ctx, at.fleet, config.Region, caller)
	if err != nil {
		return fleetLock{}, err
	}
	store := dynamo.New(dynamodb.NewFromConfig(config), at.table)
	return fleetLock{
		Fleet:   coordination.Fleet{ARN: arn, Store: store, Rows: store},
		table:   at.table,
		ensure:  store.Ensure,
		examine: store.Examine,
		who:     func(ctx context.Context) (string, error) { return callerARN(ctx, caller) },
	}, nil
}
