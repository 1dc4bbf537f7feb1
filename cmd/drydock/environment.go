package main

import (
	"io"
	_ "time/tzdata" // the image has no zoneinfo: without this no window but one in UTC would be known (450 KB)
)

// environment is all that a command sees of the process that it runs in, so
// that a test can be that process.
type environment struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
}
