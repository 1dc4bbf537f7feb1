package apitest

import (
	"net/http"
	"time"

	"github.com/drydock-ecs/drydock/apiclientx"
)

// answer is what the API says to a request, before it takes a wire's form.
type answer struct {
	code int
	body string // the plain text of an error
	doc  any    // the document of a 200
	cut  bool   // no answer: the connection is cut
}

func accepted() answer { return answer{code: http.StatusNoContent} }

func document(doc any) answer { return answer{code: http.StatusOK, doc: doc} }

func complaint(code int, body string) answer { return answer{code: code, body: body} }

func locked() answer {
	return complaint(http.StatusLocked, "The update lock is held by a command")
}

// command is one that runs. It is told from an earlier one by its address: a
// timer that fires for a dead command finds another there, or none.
type command struct {
	action apiclientx.Action
	timer  *time.Timer
	fault  Fault
	target string // of prepare: the version that it decided to write, or ""
	chosen *apiclientx.Image
}

// reboot is one that was requested. Like a command it is told by its address.
type reboot struct{ timer *time.Timer }

// apply carries one request out.
func (h *Host) apply(op string, fault Fault) answer {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case !h.up():
		return answer{cut: true}
	case op == OpOS:
		return document(h.os())
	case op == OpStatus:
		return h.showStatus(fault)
	case op == OpSettings:
		return document(h.settings)
	case op == OpReboot:
		return h.requestReboot()
	}
	return h.start(apiclientx.Action(op), fault)
}

func (h *Host) showStatus(fault Fault) answer {
	if h.command != nil {
		return locked()
	}
	if h.status == nil {
		return complaint(http.StatusNotFound, "The update status is uninitialized")
	}
	status := clone(*h.status)
	if fault.Edit != nil {
		fault.Edit(&status)
	}
	return document(status)
}

// requestReboot arms the reboot. A second request changes nothing.
func (h *Host) requestReboot() answer {
	if h.inhibitor.Block != "" {
		return complaint(http.StatusInternalServerError, "Reboot ended with exit code 1: inhibited: "+h.inhibitor.Block)
	}
	if h.reboot == nil {
		r := &reboot{}
		h.reboot = r
		r.timer = time.AfterFunc(h.lengths.Reboot+h.inhibitor.Delay, func() { h.rebootNow(r) })
	}
	return accepted()
}

func (h *Host) rebootNow(r *reboot) {
	due := false
	h.change(func() {
		if due = h.reboot == r; due {
			h.power = false
		}
	})
	if due && h.onReboot != nil {
		h.onReboot()
	}
}

// start admits an action and starts its command. The file of the status is
// there afterwards, also when the action is refused.
func (h *Host) start(action apiclientx.Action, fault Fault) answer {
	if h.command != nil {
		return locked()
	}
	if h.status == nil {
		h.status = h.initialStatus()
	}
	switch code := admit(h.status, action); code {
	case http.StatusConflict:
		return complaint(code, "The action is not allowed in the state "+string(h.status.State))
	case http.StatusNotFound:
		return complaint(code, "What the action needs does not exist")
	}
	c := &command{action: action, fault: fault, chosen: h.status.Chosen}
	if action == apiclientx.Prepare {
		h.beginPrepare(c)
	}
	h.command = c
	c.timer = time.AfterFunc(h.lengths.of(action), func() { h.finish(c) })
	return accepted()
}

// admit is the table of states and actions: 0 for yes, or the status code of
// the refusal.
func admit(status *apiclientx.Status, action apiclientx.Action) int {
	allowed := map[apiclientx.Action]map[apiclientx.UpdateState]bool{
		apiclientx.Refresh: {
			apiclientx.Idle: true, apiclientx.Available: true, apiclientx.Staged: true, apiclientx.Ready: true,
		},
		apiclientx.Prepare:    {apiclientx.Available: true, apiclientx.Staged: true},
		apiclientx.Activate:   {apiclientx.Staged: true},
		apiclientx.Deactivate: {apiclientx.Ready: true},
	}
	if !allowed[action][status.State] {
		return http.StatusConflict
	}
	if action == apiclientx.Prepare && status.Chosen == nil {
		return http.StatusNotFound
	}
	return 0
}

func (h *Host) initialStatus() *apiclientx.Status {
	next, _ := h.disk.next()
	return &apiclientx.Status{
		State:     apiclientx.Idle,
		Available: []string{},
		Active: &apiclientx.Partition{
			Image:      h.version(h.disk.running().Version),
			NextToBoot: next == h.disk.active,
		},
	}
}

// beginPrepare decides afresh what to write, whatever the status says was
// chosen, and makes the inactive set unbootable if there is something to write.
func (h *Host) beginPrepare(c *command) {
	list := applicable(h.releases, h.settings, time.Now())
	c.target = choose(list, h.settings, h.disk.running().Version)
	if c.target != "" {
		h.disk.clear()
	}
}

func (h *Host) killCommand() {
	if h.command != nil {
		h.command.timer.Stop()
		h.command = nil
	}
}

// finish ends a command: its effect and its record.
func (h *Host) finish(c *command) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.command != c {
		return
	}
	h.command = nil
	if c.fault.Vanish {
		return
	}
	// The status is replaced, not changed: the old one may be in a caller's hands.
	status := clone(*h.status)
	h.status = &status
	if c.fault.Fail != "" {
		h.fail(c, c.fault.Fail)
		return
	}
	switch c.action {
	case apiclientx.Refresh:
		h.finishRefresh(c)
	case apiclientx.Prepare:
		h.finishPrepare(c)
	case apiclientx.Activate:
		h.finishActivate(c)
	case apiclientx.Deactivate:
		h.finishDeactivate(c)
	}
}

// fail records a failure. A failed refresh leaves the old choice in the status
// and takes the state from Available to Idle; the other failures change no state.
func (h *Host) fail(c *command, stderr string) {
	if c.action == apiclientx.Refresh && h.status.State == apiclientx.Available {
		h.status.State = apiclientx.Idle
	}
	if c.target != "" {
		stderr = "Starting update to " + c.target + "\n" + stderr
	}
	h.record(c, "Failed", 1, stderr)
}

func (h *Host) finishRefresh(c *command) {
	list := applicable(h.releases, h.settings, time.Now())
	h.status.Available = make([]string, 0, len(list))
	for _, r := range list {
		h.status.Available = append(h.status.Available, r.Version)
	}
	h.status.Chosen = nil
	if version := choose(list, h.settings, h.disk.running().Version); version != "" {
		image := h.version(version)
		h.status.Chosen = &image
	}
	switch {
	case h.status.State == apiclientx.Staged || h.status.State == apiclientx.Ready:
	case h.status.Chosen != nil:
		h.status.State = apiclientx.Available
	default:
		h.status.State = apiclientx.Idle
	}
	h.record(c, "Success", 0, "")
}

// finishPrepare records what was chosen as staged, not what was written: only
// stderr tells that.
func (h *Host) finishPrepare(c *command) {
	stderr := "No update required\n"
	if c.target != "" {
		h.disk.write(c.target)
		stderr = "Starting update to " + c.target + "\n"
	}
	h.status.State = apiclientx.Staged
	h.status.Staging = &apiclientx.Partition{Image: *c.chosen}
	h.record(c, "Success", 0, stderr)
}

func (h *Host) finishActivate(c *command) {
	if err := h.disk.activate(); err != nil {
		h.fail(c, err.Error()+"\n")
		return
	}
	h.status.State = apiclientx.Ready
	h.status.Staging.NextToBoot, h.status.Active.NextToBoot = true, false
	h.record(c, "Success", 0, "")
}

func (h *Host) finishDeactivate(c *command) {
	h.disk.deactivate()
	h.status.State = apiclientx.Staged
	h.status.Staging.NextToBoot, h.status.Active.NextToBoot = false, true
	h.record(c, "Success", 0, "")
}

func (h *Host) record(c *command, result string, exit int, stderr string) {
	h.status.Last = &apiclientx.Command{
		Type:       c.action.Verb(),
		Status:     result,
		Timestamp:  h.now(),
		ExitStatus: &exit,
		Stderr:     &stderr,
	}
}

// clone copies a status so that nothing is shared.
func clone(s apiclientx.Status) apiclientx.Status {
	s.Available = append([]string{}, s.Available...)
	s.Chosen = copied(s.Chosen)
	s.Active = copied(s.Active)
	s.Staging = copied(s.Staging)
	s.Last = copied(s.Last)
	if s.Last != nil {
		s.Last.ExitStatus = copied(s.Last.ExitStatus)
		s.Last.Stderr = copied(s.Last.Stderr)
	}
	return s
}

func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}
