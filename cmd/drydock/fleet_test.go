package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/drydock-ecs/drydock/agent/containerinstance"
	"github.com/drydock-ecs/drydock/internal/hint"
	"github.com/drydock-ecs/drydock/internal/imdstest"
)

func TestFleetFlagsCheck(t *testing.T) {
	for _, test := range []struct{ fleet, wrong, region string }{
		{fleet: "", wrong: "is missing"},
		{fleet: "web"},
		{fleet: "web_1-a"},
		{fleet: "web/1", wrong: "neither"},
		{fleet: "web 1", wrong: "neither"},
		{fleet: "cluster:web", wrong: "neither"},
		{fleet: testFleet, region: "eu-north-1"},
		{fleet: "arn:aws-cn:ecs:cn-north-1:1:cluster/web", region: "cn-north-1"},
		{fleet: "arn:aws:ecs:eu-north-1:1:cluster/", wrong: "no ARN"},
		{fleet: "arn:aws:ecs:eu-north-1:1:cluster/a/b", wrong: "no ARN"},
		{fleet: "arn:aws:ecs:eu-north-1:1:service/web", wrong: "no ARN"},
		{fleet: "arn:aws:ecs::1:cluster/web", wrong: "no ARN"},
		{fleet: "arn:aws:ecs:eu-north-1::cluster/web", wrong: "no ARN"},
		{fleet: "arn:aws:ec2:eu-north-1:1:cluster/web", wrong: "no ARN"},
		{fleet: "arn:aws:ecs", wrong: "no ARN"},
	} {
		f := fleetFlags{fleet: test.fleet}
		err := f.check()
		switch {
		case test.wrong == "" && err != nil:
			t.Errorf("%q: %v", test.fleet, err)
		case test.wrong != "" && (err == nil || !strings.Contains(err.Error(), test.wrong)):
			t.Errorf("%q: %v, want an error that says %q", test.fleet, err, test.wrong)
		}
		if got := f.preferredRegion(); got != test.region {
			t.Errorf("%q: Region %q, want %q", test.fleet, got, test.region)
		}
	}
}

// The Region of the flag goes before the ARN's.
func TestRegionFlag(t *testing.T) {
	f := fleetFlags{fleet: testFleet, region: "eu-west-1"}
	if got := f.preferredRegion(); got != "eu-west-1" {
		t.Errorf("Region %q", got)
	}
}

// caller is STS with one answer.
type caller struct {
	account *string
	err     error
}

func (c caller) GetCallerIdentity(context.Context, *sts.GetCallerIdentityInput, ...func(*sts.Options)) (*sts.GetCallerIdentityOutput, error) {
	return &sts.GetCallerIdentityOutput{Account: c.account}, c.err
}

func TestCompleteFleet(t *testing.T) {
	denied := errors.New("denied")
	for name, test := range map[string]struct {
		fleet, region, want string
		caller              caller
		fails               bool
	}{
		"an ARN asks nobody":    {fleet: testFleet, caller: caller{err: denied}, want: testFleet},
		"a name":                {fleet: "web", region: "eu-north-1", caller: caller{account: aws.String(testAccount)}, want: testFleet},
		"another partition":     {fleet: "w", region: "cn-north-1", caller: caller{account: aws.String("1")}, want: "arn:aws-cn:ecs:cn-north-1:1:cluster/w"},
		"STS refuses":           {fleet: "web", region: "eu-north-1", caller: caller{err: denied}, fails: true},
		"STS names no account":  {fleet: "web", region: "eu-north-1", caller: caller{}, fails: true},
		"STS says \"\" account": {fleet: "web", region: "eu-north-1", caller: caller{account: aws.String("")}, fails: true},
	} {
		got, err := completeFleet(t.Context(), test.fleet, test.region, test.caller)
		if got != test.want || (err != nil) != test.fails {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if test.fails && hint.Of(err) == "" {
			t.Errorf("%s: no hint in %v", name, err)
		}
	}
}

func TestFindRegion(t *testing.T) {
	metadata := imdstest.New(imdstest.Host{Instance: "i-1", Region: "eu-north-1"})
	instance := containerinstance.NewEC2(metadata)
	for _, test := range []struct {
		known, want string
		down, fails bool
	}{
		{known: "eu-west-1", down: true, want: "eu-west-1"},
		{want: "eu-north-1"},
		{down: true, fails: true},
	} {
		metadata.SetDown(test.down)
		got, err := findRegion(t.Context(), test.known, instance)
		if got != test.want || (err != nil) != test.fails {
			t.Errorf("%+v: %q, %v", test, got, err)
		}
		if test.fails && !strings.Contains(hint.Of(err), "--region") {
			t.Errorf("hint of %v: %q", err, hint.Of(err))
		}
	}
}
