package apiclientx

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// OS is the running operating system (GET /os). After a boot it is the only
// answer of the API that says what runs.
type OS struct {
	PrettyName string `json:"pretty_name"`
	VariantID  string `json:"variant_id"`
	VersionID  string `json:"version_id"`
	BuildID    string `json:"build_id"`
	Arch       string `json:"arch"`
}

// UpdateState is where the API stands (GET /updates/status). Values that this
// list does not have may come from a later release and are kept as they are.
type UpdateState string

// The states of thar-be-updates.
const (
	Idle      UpdateState = "Idle"
	Available UpdateState = "Available"
	Staged    UpdateState = "Staged"
	Ready     UpdateState = "Ready"
)

// Image is one version of the operating system.
type Image struct {
	Arch    string `json:"arch"`
	Version string `json:"version"`
	Variant string `json:"variant"`
}

// Partition is one of the two image sets.
type Partition struct {
	Image      Image `json:"image"`
	NextToBoot bool  `json:"next_to_boot"`
}

// success is the one Command.Status that counts as success.
const success = "Success"

// Command is the last action that finished. Its status decides whether the
// rest of the Status may be believed.
type Command struct {
	Type       string    `json:"cmd_type"`
	Status     string    `json:"cmd_status"` // Success, Failed, Unknown, or newer
	Timestamp  time.Time `json:"timestamp"`
	ExitStatus *int      `json:"exit_status"` // null, or a signal's number when killed
	Stderr     *string   `json:"stderr"`
}

// Status is the update status (GET /updates/status). It lives in memory on
// the host: a reboot erases it.
type Status struct {
	State     UpdateState `json:"update_state"`
	Available []string    `json:"available_updates"` // versions, descending, the running one and older ones among them
	Chosen    *Image      `json:"chosen_update"`     // stale after a failed refresh
	Active    *Partition  `json:"active_partition"`
	Staging   *Partition  `json:"staging_partition"`
	Last      *Command    `json:"most_recent_command"` // may be null even with 200
}

// Action is one of the four update actions of the API. Reboot is not among
// them: it is the one that cannot be waited for.
type Action string

// The update actions (POST /actions/…).
const (
	Refresh    Action = "refresh-updates"
	Prepare    Action = "prepare-update"
	Activate   Action = "activate-update"
	Deactivate Action = "deactivate-update"
)

// Errors of the API by what they mean, to be tested with errors.Is.
var (
	// ErrBusy (423): a command is running. Normal; ask again after 5 s or more.
	ErrBusy = errors.New("a command is running")
	// ErrRefused (409, 422): the state does not allow the action.
	ErrRefused = errors.New("the update state does not allow it")
	// ErrNothing (404 on an action): what the action needs is not there.
	ErrNothing = errors.New("nothing there to act on")
	// ErrUninitialized (404 on the status): no refresh since the boot.
	ErrUninitialized = errors.New("no update command has run since the boot")
	// ErrUnreachable: the socket is missing or nobody answers on it. After an
	// apiserver restart a container's bind mount holds the dead inode for
	// ever; only a new container cures it.
	ErrUnreachable = errors.New("the Bottlerocket API is unreachable")
	// ErrVanished: the action was accepted and ended without leaving a record
	// of itself (the timestamp did not change): it died before it could.
	ErrVanished = errors.New("the action ended without a record")
	// ErrNoUpdate: prepare succeeded and wrote nothing ("No update required").
	ErrNoUpdate = errors.New("prepare found no update to write")
	// ErrNotReady: activate succeeded, yet the status does not say that the
	// staged image boots next.
	ErrNotReady = errors.New("the staged image is not the next to boot")
	// ErrNoAnswer: the request was sent and no whole answer came, so it may
	// have been carried out, or still be. Only a look at the status can tell.
	ErrNoAnswer = errors.New("no answer: the request may have been carried out")
)

// Verb is the action's name in a Command's Type: refresh, prepare, activate or
// deactivate.
func (a Action) Verb() string {
	verb, _, _ := strings.Cut(string(a), "-")
	return verb
}

// words are the action as errors begin with it.
func (a Action) words() string { return strings.ReplaceAll(string(a), "-", " ") }

// What updog's prepare prints on stderr. Prepare decides afresh, without
// regard to the chosen update: the status then still claims what was chosen,
// and this output alone says what was written.
const (
	startingUpdate   = "Starting update to "
	noUpdateRequired = "No update required"
)

// Wrote is the version that the last command, a successful prepare, wrote to
// the inactive partitions, or "" when it wrote nothing or was none. Compare it
// with what was chosen before activating.
func (s Status) Wrote() string {
	last := s.Last
	if last == nil || last.Type != Prepare.Verb() || last.Status != success || last.Stderr == nil {
		return ""
	}
	_, rest, found := strings.Cut(*last.Stderr, startingUpdate)
	words := strings.Fields(rest)
	if !found || len(words) == 0 || strings.Contains(*last.Stderr, noUpdateRequired) {
		return ""
	}
	return words[0]
}

// StatusError is an answer with a status code that is not the wanted one. The
// API's error bodies are one plain sentence.
type StatusError struct {
	Method, Path string
	Code         int
	Body         string
	kind         error
}

// NewStatusError is the error for an answer to a request, with its meaning. The
// same 404 means different things for the status and for an action.
func NewStatusError(method, path string, code int, body string) *StatusError {
	return &StatusError{Method: method, Path: path, Code: code, Body: body, kind: meaning(path, code)}
}

func meaning(path string, code int) error {
	switch {
	case code == 423:
		return ErrBusy
	case code == 409 || code == 422:
		return ErrRefused
	case code == 404 && path == statusPath:
		return ErrUninitialized
	case code == 404 && strings.HasPrefix(path, actionsPath):
		return ErrNothing
	}
	return nil
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s %s: %d: %s", e.Method, e.Path, e.Code, e.Body)
}

// Unwrap gives the error's meaning, one of the sentinels above, or nil.
func (e *StatusError) Unwrap() error { return e.kind }

// CommandError is an action that ran and did not succeed.
type CommandError struct {
	Command Command
}

func (e *CommandError) Error() string {
	text := fmt.Sprintf("%s ended as %s", e.Command.Type, e.Command.Status)
	if e.Command.ExitStatus != nil {
		text += fmt.Sprintf(" with exit status %d", *e.Command.ExitStatus)
	}
	if e.Command.Stderr != nil && *e.Command.Stderr != "" {
		text += ": " + *e.Command.Stderr
	}
	return text
}
