package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/spf13/cobra"

	"github.com/drydock-ecs/drydock/agent"
	"github.com/drydock-ecs/drydock/agent/containerinstance"
	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/internal/hint"
)

// Environment variables that stand in for the flags of the same name.
const (
	envTable = "DRYDOCK_TABLE"
	envFleet = "DRYDOCK_FLEET"
)

// lookTimeout bounds the questions that complete a cluster's name.
const lookTimeout = 15 * time.Second

// fleetFlags say which fleet a command is about.
type fleetFlags struct {
	table, fleet, region string
}

// bind adds the flags to a command.
func (f *fleetFlags) bind(cmd *cobra.Command, env environment) {
	flags := cmd.Flags()
	flags.StringVar(&f.table, "table", cmp.Or(env.getenv(envTable), agent.DefaultConfig().Lock.Table),
		"DynamoDB table of the lock ($"+envTable+")")
	flags.StringVar(&f.fleet, "fleet", env.getenv(envFleet),
		"ECS cluster, as an ARN or a name in your account ($"+envFleet+")")
	flags.StringVar(&f.region, "region", "",
		"AWS Region of table and fleet; else that of the ARN, else that of your AWS settings")
}

// check is for what can be said without asking anybody.
func (f *fleetFlags) check() error {
	if f.fleet == "" {
		return misused("--fleet is missing: the ECS cluster, as an ARN or a name")
	}
	if strings.HasPrefix(f.fleet, "arn:") {
		if _, err := parseFleetARN(f.fleet); err != nil {
			return misused("--fleet: %v", err)
		}
		return nil
	}
	if strings.ContainsAny(f.fleet, ":/ \t\n") {
		return misused("--fleet: %q is neither an ARN nor a name of an ECS cluster", f.fleet)
	}
	return nil
}

// preferredRegion is the Region that flags and ARN ask for, or "". The ARN
// goes before the operator's AWS settings, because the fleet's hosts look for
// the table in their own Region.
func (f *fleetFlags) preferredRegion() string {
	if f.region != "" {
		return f.region
	}
	return regionOf(f.fleet)
}

// regionOf is the Region in a cluster's ARN, or "".
func regionOf(fleet string) string {
	arn, err := parseFleetARN(fleet)
	if err != nil {
		return ""
	}
	return arn.region
}

// fleetARN is a cluster's ARN, taken apart.
type fleetARN struct{ region, account, name string }

func parseFleetARN(arn string) (fleetARN, error) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) == 6 && parts[0] == "arn" && parts[1] != "" && parts[2] == "ecs" && parts[3] != "" && parts[4] != "" {
		if name, ok := strings.CutPrefix(parts[5], "cluster/"); ok && name != "" && !strings.Contains(name, "/") {
			return fleetARN{region: parts[3], account: parts[4], name: name}, nil
		}
	}
	return fleetARN{}, fmt.Errorf("%q is no ARN of an ECS cluster", arn)
}

// findRegion returns the Region, if need be that of the EC2 instance that the
// command runs on.
func findRegion(ctx context.Context, region string, instance *containerinstance.EC2) (string, error) {
	if region != "" {
		return region, nil
	}
	identity, err := instance.Identity(ctx)
	if err != nil {
		return "", hint.Wrap(fmt.Errorf("find the Region: no setting names one and %w", err),
			"give --region or AWS_REGION, or --fleet as an ARN")
	}
	return identity.Region, nil
}

// identityAPI tells whose credentials these are: *sts.Client is one.
type identityAPI interface {
	GetCallerIdentity(context.Context, *sts.GetCallerIdentityInput, ...func(*sts.Options)) (*sts.GetCallerIdentityOutput, error)
}

var _ identityAPI = (*sts.Client)(nil)

// completeFleet returns the cluster's ARN. A name is completed with the Region
// and with the account of the caller.
func completeFleet(ctx context.Context, fleet, region string, caller identityAPI) (string, error) {
	if strings.HasPrefix(fleet, "arn:") {
		return fleet, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	who, err := caller.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err == nil && aws.ToString(who.Account) == "" {
		err = errors.New("the answer names no account")
	}
	if err != nil {
		return "", hint.Wrap(fmt.Errorf("ask for the account of fleet %s: %w", fleet, err),
			"check the AWS credentials, or give --fleet as an ARN")
	}
	return agent.ClusterARN(region, aws.ToString(who.Account), fleet), nil
}

// limitsOf reads the limits out of a policy text.
func limitsOf(policy string) (coordination.Limits, error) {
	p, err := agent.ParsePolicy(policy)
	if err != nil {
		return coordination.Limits{}, err
	}
	return coordination.Limits{Slots: p.Slots, MaxFailures: p.MaxFailures, MaxZones: p.MaxZones}, nil
}

// explainRecord adds what an operator can do about a record that cannot be
// read.
func explainRecord(err error, table, fleet string) error {
	switch {
	case errors.Is(err, coordination.ErrNotFound):
		return hint.Wrap(err,
			fmt.Sprintf("check --fleet and --table, or run: drydock init --table %s --fleet %s --slots 1", table, fleet))
	case errors.Is(err, coordination.ErrNewer):
		return hint.Wrap(err, "use the version of drydock that the fleet's hosts run")
	}
	return err
}
