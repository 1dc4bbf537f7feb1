// Command drydock-demo runs a simulated ECS cluster of Bottlerocket hosts on
// one machine, with the real drydock binary as the agent of each host, offers
// them a release, and checks the promises from outside: by what the stand-ins
// for ECS, DynamoDB and the hosts have seen, not by what the agents say.
//
// It listens on 127.0.0.1 alone, needs no AWS account and no privileges, and
// ends every process that it starts.
//
//	exit 0  every check holds
//	exit 1  a check failed, or something is missing at the deadline
//	exit 2  the flags make no sense
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
