// Package apitest is a stand-in for a Bottlerocket host, for tests,
// simulations and demonstrations.
//
// [Host] is the model: two sets of partitions, a boot loader, the update state
// machine, commands that take their time, reboots. It does nothing by itself but
// let commands and reboot requests run out, on timers of package time, so that it
// works under testing/synctest. There are two doors to it, and both answer alike:
// [Host.Client] without a wire, for thousands of runs, and HTTP with the API's
// routes, codes and documents ([Host.Listen] over memory, [Host.ListenUnix] over
// a real Unix socket).
//
// What can be done to a host: offer and withdraw releases, each with a [Fate];
// answer a request with a [Fault]; stop its API, cut its power, and boot it.
// The model is a test's tool and knows no network and no operating system.
package apitest
