// Package containerinstance is the agent's door to Amazon ECS and to the EC2
// instance around it: who the host is, what runs on it, whether a drain can
// end, and the two calls that take it out of service and back.
//
// What is local is asked of the local ECS agent and of the instance metadata
// service and costs nothing. What is asked of ECS is counted: each method says
// how many calls it makes, because ECS throttles by account and Region.
package containerinstance
