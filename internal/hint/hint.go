// Package hint keeps what an operator can do about an error apart from the
// error itself, so that the error says what happened and the hint says what
// to do, each on its own.
package hint

import "errors"

type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }

// Wrap gives err a hint: one sentence in the imperative that names a command,
// a setting or a permission. A nil error stays nil.
func Wrap(err error, text string) error {
	if err == nil {
		return nil
	}
	return &hinted{err, text}
}

// Of returns the outermost hint of err, or "".
func Of(err error) string {
	if h, ok := errors.AsType[*hinted](err); ok {
		return h.hint
	}
	return ""
}
