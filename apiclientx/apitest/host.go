package apitest

import (
	"cmp"
	"fmt"
	"sync"
	"time"

	"github.com/drydock-ecs/drydock/apiclientx"
)

// Config is a new host. Only Version is needed.
type Config struct {
	Version  string // the running version
	Variant  string // default aws-ecs-2
	Arch     string // default x86_64
	Settings Settings
	Lengths  Lengths
	Releases []Release
	// OnReboot is called when a requested reboot takes effect: the host is
	// down then and stays so until Boot. It is called without locks held, on a
	// goroutine of its own.
	OnReboot func()
	// Fault is asked about each request by the request's name; see OpOS. It
	// must not call the host.
	Fault func(op string) Fault
}

// Settings are those of the host's settings that the program looks at.
type Settings struct {
	Cluster     string // settings.ecs.cluster; "" is not set
	Seed        int    // settings.updates.seed, 0 to 2047
	VersionLock string // settings.updates.version-lock; "" is latest
	IgnoreWaves bool   // settings.updates.ignore-waves
}

// Lengths are how long things take. Zero is at once, though never before the
// request has been answered.
type Lengths struct {
	Refresh, Prepare, Activate, Deactivate time.Duration
	// Reboot is the time from an accepted reboot request to its effect.
	Reboot time.Duration
}

func (l Lengths) of(action apiclientx.Action) time.Duration {
	switch action {
	case apiclientx.Refresh:
		return l.Refresh
	case apiclientx.Prepare:
		return l.Prepare
	case apiclientx.Activate:
		return l.Activate
	}
	return l.Deactivate
}

// Inhibitor is a hold on reboots.
type Inhibitor struct {
	Block string        // refuses reboot requests, with this reason; "" does not
	Delay time.Duration // postpones the effect of requests to come
}

// Host is a Bottlerocket host. Its methods may be called from several
// goroutines. Create it with New, inside the synctest bubble if there is one.
type Host struct {
	image    apiclientx.Image // arch and variant, which never change
	onReboot func()

	mu        sync.Mutex
	disk      disk
	power     bool          // the system runs
	stopped   bool          // the API does not, though the system may
	gone      chan struct{} // closed when the API goes down
	releases  []Release
	known     map[string]Release // every release ever offered, for its fate
	settings  Settings
	lengths   Lengths
	inhibitor Inhibitor
	fault     func(op string) Fault

	status  *apiclientx.Status // nil: no file yet in this boot's memory
	command *command           // the one that runs, or nil
	reboot  *reboot            // a requested reboot, or nil
	stamp   time.Time          // of the last record: no two are the same

	doors map[*Door]bool
}

// New returns a host that runs config.Version and has never been updated.
func New(config Config) *Host {
	h := &Host{
		image: apiclientx.Image{
			Arch:    cmp.Or(config.Arch, "x86_64"),
			Variant: cmp.Or(config.Variant, "aws-ecs-2"),
		},
		onReboot: config.OnReboot,
		disk:     newDisk(config.Version),
		power:    true,
		gone:     make(chan struct{}),
		known:    map[string]Release{},
		settings: config.Settings,
		lengths:  config.Lengths,
		fault:    config.Fault,
		doors:    map[*Door]bool{},
	}
	h.offer(config.Releases)
	return h
}

// Offer replaces the releases in the update repository. Those not listed are
// withdrawn; what is written to a disk keeps its fate.
func (h *Host) Offer(releases ...Release) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.offer(releases)
}

func (h *Host) offer(releases []Release) {
	h.releases = append([]Release(nil), releases...)
	for _, r := range releases {
		h.known[r.Version] = r
	}
}

// Configure replaces the settings.
func (h *Host) Configure(settings Settings) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.settings = settings
}

// SetLengths replaces the lengths. What runs already keeps its own.
func (h *Host) SetLengths(lengths Lengths) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lengths = lengths
}

// SetFault replaces the fault hook; nil takes it away.
func (h *Host) SetFault(fault func(op string) Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fault = fault
}

// Inhibit sets the hold on reboots; the zero Inhibitor lifts it. A request
// accepted before keeps its time.
func (h *Host) Inhibit(inhibitor Inhibitor) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inhibitor = inhibitor
}

// Running is the version that runs, or "" while the host is down.
func (h *Host) Running() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.power {
		return ""
	}
	return h.disk.running().Version
}

// Sets shows the partitions: the active set, which runs or ran last, and the
// other one.
func (h *Host) Sets() (active, inactive Set) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return *h.disk.running(), *h.disk.inactive()
}

// Busy says whether a command is running.
func (h *Host) Busy() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.command != nil
}

// Rebooting says whether a requested reboot has yet to take effect.
func (h *Host) Rebooting() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reboot != nil
}

// StopAPI stops the API alone: nobody answers, and the command that runs dies
// without a record, as the children of the API do. What the system had in memory
// stays. A reboot that was requested still comes.
func (h *Host) StopAPI() { h.change(func() { h.stopped = true }) }

// StartAPI starts the API again. On a real Unix socket it has a new inode then.
func (h *Host) StartAPI() { h.change(func() { h.stopped = false }) }

// PowerOff takes the power away at once, and with it the commands, the update
// status and a requested reboot.
func (h *Host) PowerOff() { h.change(func() { h.power = false }) }

// Close lets go of everything: timers, doors, callers that hang. The host is
// then off for good as far as its doors go.
func (h *Host) Close() {
	h.PowerOff()
	h.mu.Lock()
	doors := h.listDoors()
	h.mu.Unlock()
	for _, door := range doors {
		door.Close()
	}
}

// Booted is what came of a boot.
type Booted struct {
	Up      bool   // false: the host hangs and no API answers, until another Boot
	Version string // the version that runs, "" when none does
}

// Boot resets the host, from whatever it is doing, and returns when it is up
// with its API: the time that a boot takes is the caller's. A set that was activated and
// does not come up is tried once; the boot loader then takes the other.
func (h *Host) Boot() Booted {
	h.PowerOff()
	var booted Booted
	h.change(func() {
		booted = h.boot()
		h.power, h.stopped = booted.Up, false
	})
	return booted
}

// boot is the boot loader, the system's start, and the mark on the set that
// the start succeeded.
func (h *Host) boot() Booted {
	for {
		set, ok := h.disk.load()
		if !ok {
			return Booted{}
		}
		if !set.Successful {
			switch r := h.known[set.Version]; r.Fate {
			case FallsBack:
				continue
			case NeverReturns:
				return Booted{}
			case BootsElsewhere:
				set.Version = r.Elsewhere
			}
		}
		set.Successful = true
		return Booted{Up: true, Version: set.Version}
	}
}

// change alters power or API and follows up what that means for commands,
// memory, callers and doors.
func (h *Host) change(alter func()) {
	h.mu.Lock()
	was := h.up()
	alter()
	if was && !h.up() {
		h.killCommand()
		close(h.gone)
	}
	if !was && h.up() {
		h.gone = make(chan struct{})
	}
	if !h.power {
		h.forget()
	}
	doors := h.listDoors()
	h.mu.Unlock()
	for _, door := range doors {
		door.sync()
	}
}

// forget loses what lives in memory.
func (h *Host) forget() {
	h.status = nil
	if h.reboot != nil {
		h.reboot.timer.Stop()
		h.reboot = nil
	}
}

func (h *Host) up() bool { return h.power && !h.stopped }

func (h *Host) listDoors() []*Door {
	doors := make([]*Door, 0, len(h.doors))
	for door := range h.doors {
		doors = append(doors, door)
	}
	return doors
}

func (h *Host) version(version string) apiclientx.Image {
	image := h.image
	image.Version = version
	return image
}

// os is the running system's own description.
func (h *Host) os() apiclientx.OS {
	version := h.disk.running().Version
	return apiclientx.OS{
		PrettyName: fmt.Sprintf("Bottlerocket OS %s (%s)", version, h.image.Variant),
		VariantID:  h.image.Variant,
		VersionID:  version,
		BuildID:    "0a1b2c3d",
		Arch:       h.image.Arch,
	}
}

// now is a time for a record, later than every other. Records have no
// monotonic clock in them: they go through JSON.
func (h *Host) now() time.Time {
	now := time.Now().UTC().Round(0)
	if !now.After(h.stamp) {
		now = h.stamp.Add(1)
	}
	h.stamp = now
	return now
}
