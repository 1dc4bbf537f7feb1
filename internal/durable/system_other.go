//go:build !linux

package durable

import (
	"errors"
	"syscall"
)

// exchange is Linux's alone; elsewhere the spare is moved and made anew.
func exchange(a, b string) error { return errors.ErrUnsupported }

// unreadable reports whether the disk itself says that it lost the file.
func unreadable(err error) bool {
	return errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EISDIR)
}
