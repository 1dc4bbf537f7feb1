//go:build !linux

package kernel

import (
	"errors"
	"time"
)

// uptime is Linux's alone: so is the agent. The command line runs anywhere.
func uptime() (time.Duration, error) { return 0, errors.ErrUnsupported }
