// Package fleetsim runs whole fleets in virtual time: the real agent, the real
// ECS door and the real lock, on stand-ins for Bottlerocket, ECS and DynamoDB
// that can fail at every step. The promises of docs/design.md are checked from
// outside after every step.
package fleetsim
