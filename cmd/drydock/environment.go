package main

import "io"

// environment is all that a command sees of the process that it runs in, so
// that a test can be that process.
type environment struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
}
