package apitest

import (
	"time"

	"github.com/drydock-ecs/drydock/apiclientx"
)

// The names of requests that a fault hook is asked about. An update action is
// named by the text of its apiclientx.Action ("prepare-update").
const (
	OpOS       = "os"
	OpStatus   = "status"
	OpSettings = "settings"
	OpReboot   = "reboot"
)

// Fault is what goes wrong with one request. Its zero value is nothing. It
// answers two questions apart: what was reported (Answer), and whether the
// request was carried out all the same (Apply).
type Fault struct {
	Answer Answer
	// Apply carries the request out although Answer tells something else.
	Apply bool
	// Code and Body are the answer with Say; Code 0 means 500.
	Code int
	Body string
	// Delay passes before anything else. Nothing is done for a caller that has
	// gone away by then.
	Delay time.Duration

	// Vanish and Fail are about the command that an action starts. With
	// Vanish it ends without a record of itself and without effect; with Fail it
	// is recorded as failed, with this text on stderr.
	Vanish bool
	Fail   string

	// Edit changes a status document on its way out: unknown values, missing
	// parts.
	Edit func(status *apiclientx.Status)
}

// Answer is what a faulty request is answered.
type Answer int

// The answers.
const (
	Truth Answer = iota // carried out, and answered as it is
	Drop                // the connection is cut
	Hang                // no answer until the caller goes away
	Say                 // Code and Body
)
