// Package agent is the update of one host: the machine that decides, the
// intent that remembers, and the loop that acts.
package agent

//go:generate go test . -run ^TestStateMachineDoc$ -update
