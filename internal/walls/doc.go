// Package walls holds the architecture up by tests: which package may import
// which, and the rules of the house that a program can check. It has no code.
package walls
