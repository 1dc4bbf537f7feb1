package main

import (
	"os"
	"slices"
	"strings"
)

// region is where the simulated cluster is; the stand-ins' own default.
const region = "eu-west-1"

// endpoints are the addresses of the simulated services.
type endpoints struct {
	ecs, dynamodb, ec2, others string
}

// environment is what a drydock process gets: everything inherited that has
// nothing to do with AWS or with a service manager, and the simulated services.
// The caller is the access key id by which the services tell the hosts apart.
func (e endpoints) environment(inherited []string, caller, imds string) []string {
	env := slices.DeleteFunc(slices.Clone(inherited), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return strings.HasPrefix(name, "AWS_") || slices.Contains([]string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM"}, name)
	})
	env = append(env,
		"AWS_REGION="+region,
		"AWS_ACCESS_KEY_ID="+caller,
		"AWS_SECRET_ACCESS_KEY=not-a-secret",
		"AWS_CONFIG_FILE="+os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE="+os.DevNull,
		"AWS_ENDPOINT_URL="+e.others,
		"AWS_ENDPOINT_URL_ECS="+e.ecs,
		"AWS_ENDPOINT_URL_DYNAMODB="+e.dynamodb,
		"AWS_ENDPOINT_URL_EC2="+e.ec2,
	)
	if imds != "" {
		return append(env, "AWS_EC2_METADATA_SERVICE_ENDPOINT="+imds)
	}
	return append(env, "AWS_EC2_METADATA_DISABLED=true")
}
