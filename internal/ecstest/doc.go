// Package ecstest is a stand-in for Amazon ECS with a memory: one cluster, its
// container instances and their local agents, and a scheduler that moves tasks
// as a drain does.
//
// The model is reached by two doors that share everything. Cluster.As gives a
// Caller with the methods of the SDK's client, for simulations that run
// thousands of times; Cluster.ServeHTTP speaks the wire, for real clients.
//
// It runs on real time. Nothing in it polls: what is due sits in a queue that
// is worked off at each call, and one timer wakes the model for the next entry.
// A model made in a testing/synctest bubble belongs to that bubble; close it
// before the bubble ends.
package ecstest
