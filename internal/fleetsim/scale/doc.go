// Package scale runs fleets of up to ten thousand hosts in virtual time to
// measure what the lock costs and how fast slots change hands. Agents and lock
// are the real ones; nothing fails but what an Options asks for, and the
// stand-ins for Bottlerocket, ECS and DynamoDB do no more than take their time.
// Package fleetsim has the small fleets in which everything fails.
package scale
