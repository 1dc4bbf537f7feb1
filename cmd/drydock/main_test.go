package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The binary under test is the test binary itself.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"drydock": main})
}
