package hosttest

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/drydock-ecs/drydock/apiclientx/apitest"
)

const hostUnit = "host-containers@" + name + ".service"

// A whole update in a host container under systemd, whose reboot is a real
// `systemctl reboot`. Priorities reach the journal by the way that a host
// container has: prefixes on a stream that somebody else passes on.
func TestReboot(t *testing.T) {
	h := newHost(t)
	h.write(h.state()+"/user-data", settings().TOML())
	m := newMachine(t, h, hostUnit)
	h.db.Cut(h.id, true) // so that there is something to warn of
	m.on()
	until(t, patience, "it warns", func() bool { return len(m.journal("--unit", hostUnit, "--priority", "warning")) > 0 })
	h.db.Cut(h.id, false)
	update(h, m)
	checkPriorities(t, m)
	checkWords(t, m.journal("--unit", hostUnit))
	if console := m.console.String(); strings.Contains(console, "drydock") {
		t.Errorf("the host's console has something of the agent:\n%s", console)
	}
	t.Logf("journalctl -u %s:\n%s", strings.TrimSuffix(hostUnit, ".service"), m.journalText("--unit", hostUnit, "--output", "short"))
}

// update takes the machine through an update, from any phase before it.
func update(h *host, m *machine) {
	h.t.Helper()
	h.api.Offer(apitest.Release{Version: newRelease})
	until(h.t, patience, "it has requested the reboot", func() bool { return len(h.downs) > 0 })
	<-h.downs
	h.write(h.path("reboot"), "")
	if code := m.code(); code != rebooted {
		h.t.Fatalf("the machine ended with %d, not for a reboot", code)
	}
	h.must(os.Remove(h.path("reboot")))
	h.reboot()
	m.on()
	until(h.t, patience, "the host is back in service on the release", h.updated)
	until(h.t, patience, "its journal says so", func() bool {
		return strings.Contains(m.journalText(), "outcome=updated release="+newRelease)
	})
}

// checkPriorities wants every line of the agent in the journal under its own
// priority and without its prefix.
func checkPriorities(t *testing.T, m *machine) {
	t.Helper()
	for _, e := range m.journal("--unit", hostUnit, "_TRANSPORT=stdout") {
		text := e.text("MESSAGE")
		if strings.HasPrefix(text, "<") {
			t.Errorf("a prefix was left: %q", text)
		}
		if e.text("SYSLOG_IDENTIFIER") != "host-containers@"+name {
			t.Errorf("identifier %q: %q", e.text("SYSLOG_IDENTIFIER"), text)
		}
	}
	for _, e := range m.journal("--unit", hostUnit, "--priority", "warning", "_TRANSPORT=stdout") {
		if text := e.text("MESSAGE"); !strings.Contains(text, "hint=") && !strings.Contains(text, "error=") {
			t.Errorf("no warning: %q", text)
		}
	}
}

// checkWords wants the lines that the README shows, in their order and with
// priority 6.
func checkWords(t *testing.T, entries []entry) {
	t.Helper()
	want := []string{
		"drydock agent version=",
		"staging a release host=",
		"waiting for a slot host=",
		"draining the container instance host=",
		"rebooting into the release host=",
		"drydock agent version=",
		"verifying the new boot host=",
		"putting the host back in service host=",
		"update ended host=",
	}
	for _, e := range entries {
		if len(want) > 0 && strings.HasPrefix(e.text("MESSAGE"), want[0]) {
			want = want[1:]
			if e.text("PRIORITY") != "6" {
				t.Errorf("priority %s: %s", e.text("PRIORITY"), e.text("MESSAGE"))
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("no line %q", want[0])
	}
}

// Where the agent has the journal's own socket its attributes are fields.
// systemd's watchdog kills an agent that is stuck, and the next one finishes
// the update.
func TestJournalAndWatchdog(t *testing.T) {
	h := newHost(t)
	c := settings()
	c.Host.APISocket, c.Host.StateDir, c.Host.BootIDFile = inside+"/run/api.sock", insideState, insideState+"/"+bootFile
	h.write(h.path("settings.toml"), c.TOML())
	m := newMachine(t, h, "drydock.service")
	m.on()
	until(t, patience, "it asks for a release", func() bool { return h.checks() > 0 })
	h.api.Offer(apitest.Release{Version: newRelease})
	until(t, patience, "the host drains", h.drains)
	stuck := m.agent()
	h.must(unix.Kill(stuck, unix.SIGSTOP))
	until(t, patience, "another agent runs", func() bool { pid := m.agent(); return pid > 0 && pid != stuck })
	update(h, m)
	all := m.journal("--unit", "drydock.service")
	checkWords(t, all)
	bites := 0
	for _, e := range all {
		if strings.Contains(e.text("MESSAGE"), "Watchdog timeout") {
			bites++
		}
	}
	if bites != 1 {
		t.Errorf("the watchdog bit %d times, not once", bites)
	}
	checkFields(t, h, m.journal("--unit", "drydock.service", "RELEASE="+newRelease))
}

// checkFields wants what belongs to a release to be found by its fields.
func checkFields(t *testing.T, h *host, found []entry) {
	t.Helper()
	if len(found) < 6 {
		t.Errorf("%d lines have the release as a field", len(found))
	}
	for _, e := range found {
		if e.text("PRIORITY") != "6" || e.text("SYSLOG_IDENTIFIER") != "drydock" || e.text("HOST") != h.id || e.text("_TRANSPORT") != "journal" {
			t.Errorf("fields: %v", e)
		}
	}
}
