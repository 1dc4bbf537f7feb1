package hosttest

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drydock-ecs/drydock/internal/ociarchive"
)

// rebooted is the exit code of systemd-nspawn when the machine in it wants to
// be started again.
const rebooted = 133

// machine is the host under a systemd of its own, with a real journal: this
// machine's programs, an /etc and a /var that are empty, and our units.
type machine struct {
	t       *testing.T
	host    *host
	units   string
	console output

	run   *exec.Cmd
	ended chan struct{} // closed when it is off
}

// newMachine defines a machine that starts one unit. It starts nothing.
func newMachine(t *testing.T, h *host, unit string) *machine {
	t.Helper()
	m := &machine{t: t, host: h, units: h.path("units")}
	h.must(os.CopyFS(m.units, os.DirFS("testdata/units")))
	h.write(filepath.Join(m.units, "host-containers@.service.d/short.conf"), fmt.Sprintf("[Service]\nRestartSec=%d\n", int(restartDelay.Seconds())))
	wants := filepath.Join(m.units, "multi-user.target.wants")
	h.must(os.MkdirAll(wants, 0o755))
	template := unit
	if base, _, ok := strings.Cut(unit, "@"); ok {
		template = base + "@.service"
	}
	h.must(os.Symlink("../"+template, filepath.Join(wants, unit)))
	h.must(os.Symlink("../reboot.path", filepath.Join(wants, "reboot.path")))
	h.must(os.Symlink("/lib/systemd/system/multi-user.target", filepath.Join(m.units, "default.target")))
	h.must(os.MkdirAll(h.path("journal"), 0o755))
	m.unpack()
	t.Cleanup(func() {
		m.off()
		if t.Failed() {
			t.Logf("console:\n%s\njournal:\n%s", m.console.String(), m.journalText("--unit", unit))
		}
	})
	return m
}

// unpack lays the image's files out for host-ctr's stand-in.
func (m *machine) unpack() {
	m.t.Helper()
	archive, err := ociarchive.Read(os.Getenv(imageEnv))
	m.host.must(err)
	for _, i := range archive.Images {
		if i.Platform != "linux/"+runtime.GOARCH {
			continue
		}
		files, err := i.Files()
		m.host.must(err)
		for name, f := range files {
			if !f.FileInfo().IsDir() {
				path := m.host.path("root", name)
				m.host.must(os.MkdirAll(filepath.Dir(path), 0o755))
				m.host.must(os.WriteFile(path, f.Content, f.FileInfo().Mode().Perm()))
			}
		}
	}
}

// on starts the machine. It shares our network, which has nobody else in it.
func (m *machine) on() {
	m.t.Helper()
	self, err := os.Executable()
	m.host.must(err)
	m.run = exec.Command("systemd-nspawn", "--quiet", "--directory=/", "--volatile=yes", "--boot", "--register=no", "--keep-unit",
		"--console=pipe", "--machine=hosttest", "--resolv-conf=off", "--uuid=0123456789abcdef0123456789abcdef",
		"--bind="+m.host.dir+":"+inside,
		"--bind-ro="+self+":"+inside+"/program",
		"--bind-ro="+m.host.path("certs")+":"+certsFolder,
		"--bind-ro=/etc/hosts",
		"--bind-ro="+m.units+":/etc/systemd/system",
		"--bind="+m.host.path("journal")+":/var/log/journal")
	m.run.Stdout, m.run.Stderr = &m.console, &m.console
	m.host.must(m.run.Start())
	m.ended = make(chan struct{})
	go func(run *exec.Cmd, ended chan struct{}) {
		defer close(ended)
		_ = run.Wait() // the code is looked at by those who care
	}(m.run, m.ended)
}

// code waits until the machine is off, and returns how it ended.
func (m *machine) code() int {
	m.t.Helper()
	select {
	case <-m.ended:
	case <-time.After(patience):
		_ = m.run.Process.Kill()
		m.t.Fatal("the machine does not end")
	}
	return m.run.ProcessState.ExitCode()
}

// off shuts the machine down.
func (m *machine) off() {
	if m.run == nil {
		return
	}
	_ = m.run.Process.Signal(unix.SIGTERM) // which nspawn makes a shutdown of
	select {
	case <-m.ended:
	case <-time.After(patience):
		_ = m.run.Process.Kill()
		<-m.ended
	}
}

// agent is the process of the agent, 0 while there is none. It is in
// namespaces below ours, so it can be seen here.
func (m *machine) agent() int {
	programs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range programs {
		line, _ := os.ReadFile(file)
		if strings.Contains(string(line), "drydock\x00agent") {
			var pid int
			_, _ = fmt.Sscanf(file, "/proc/%d/", &pid)
			return pid
		}
	}
	return 0
}

// entry is a line of the journal with its fields.
type entry map[string]any

func (e entry) text(field string) string { s, _ := e[field].(string); return s }

// journal reads what the machine's journal has, filtered by journalctl.
func (m *machine) journal(args ...string) []entry {
	m.t.Helper()
	out, err := exec.Command("journalctl", append([]string{"--directory", m.host.path("journal"), "--output", "json", "--no-pager", "--quiet"}, args...)...).Output()
	m.host.must(err)
	var all []entry
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var e entry
		if err := d.Decode(&e); err == io.EOF {
			return all
		} else if err != nil {
			m.t.Fatal(err)
		}
		all = append(all, e)
	}
}

// journalText is the journal as a person reads it.
func (m *machine) journalText(args ...string) string {
	out, _ := exec.Command("journalctl", append([]string{"--directory", m.host.path("journal"), "--no-pager", "--quiet", "--utc"}, args...)...).CombinedOutput()
	return string(out)
}
