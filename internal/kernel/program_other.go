//go:build !linux

package kernel

import "errors"

// ForgetProgram is Linux's alone: so is the agent.
func ForgetProgram() error { return errors.ErrUnsupported }
