package agent

import (
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// OnTimeout says what happens to an update whose drain takes too long.
type OnTimeout string

// What a host does when its drain reaches drain.timeout.
const (
	// OnTimeoutAbort turns back: the host goes ACTIVE again and queues anew.
	OnTimeoutAbort OnTimeout = "abort"
	// OnTimeoutForce stops the tasks that are left and goes on.
	OnTimeoutForce OnTimeout = "force"
)

// StandaloneTasks says what an update does about tasks that no service
// started, which a drain leaves alone.
type StandaloneTasks string

// What a host does about its standalone tasks.
const (
	// StandaloneDefer takes no slot while there is one.
	StandaloneDefer StandaloneTasks = "defer"
	// StandaloneWait takes the slot and waits for them, up to drain.timeout.
	StandaloneWait StandaloneTasks = "wait"
	// StandaloneStop stops them once the host is DRAINING.
	StandaloneStop StandaloneTasks = "stop"
)

// LogFormat is the form of the log's lines.
type LogFormat string

// The forms of the log.
const (
	LogText LogFormat = "text"
	LogJSON LogFormat = "json"
)

// Config is the host's settings. ParseConfig and DefaultConfig make one; it is
// a plain value that may be compared with ==.
type Config struct {
	// Cluster is the ECS cluster, as a name or an ARN. Default "": asked of the
	// local ECS agent, which knows it best. A value guards against a host
	// that joined the wrong cluster.
	Cluster string
	// CheckInterval is the time between two questions for a release, ±10 %.
	// Default 1 h: a release is never that urgent and the repository is
	// shared. 1 s to 168 h.
	CheckInterval time.Duration
	Lock          LockConfig
	Drain         DrainConfig
	Verify        VerifyConfig
	Timing        TimingConfig
	Log           LogConfig
	Host          HostConfig
}

// LockConfig says where the fleet's lock is and how often to look at it.
type LockConfig struct {
	// Table is the DynamoDB table. Default "drydock". 3 to 255 characters of
	// a-z, A-Z, 0-9, '_', '-' and '.'.
	Table string
	// RebootAllowance is the length announced for the phase rebooting: nobody
	// calls the host late before it has passed. Default 20 min: twice
	// Timing.RebootDeadline, as slow machines boot for minutes after the
	// request. Timing.RebootDeadline to 24 h.
	RebootAllowance time.Duration
	// PollMin is the pause between two looks at the lock at the front of the
	// queue. Default 5 s: what a hand-off may cost. 100 ms to PollMax.
	PollMin time.Duration
	// PollMax is that pause far back in the queue. Default 30 min: reads are
	// what a large fleet pays for. PollMin to 24 h.
	PollMax time.Duration
}

// DrainConfig says how tasks leave the host.
type DrainConfig struct {
	// Timeout is how long tasks may take to leave. Default 25 min: a
	// replacement's start and its load balancer's deregistration delay fit in
	// it. 10 s to 24 h; less would stop no task in an orderly way.
	Timeout time.Duration
	// OnTimeout is what happens then. Default abort: no task dies for an
	// update.
	OnTimeout OnTimeout
	// StandaloneTasks says what to do about tasks that a drain leaves alone.
	// Default defer: nobody would start them again.
	StandaloneTasks StandaloneTasks
}

// VerifyConfig says when an updated host counts as healthy.
type VerifyConfig struct {
	// Timeout is how long the ECS agent may take, after the boot, to be
	// connected and healthy. Default 15 min. 1 s to 24 h.
	Timeout time.Duration
	// Soak is how long the slot is kept after the host is ACTIVE again.
	// Default 0: the next host starts at once. 0 to 24 h; it is paid once for
	// every host.
	Soak time.Duration
}

// TimingConfig holds the constants of the rules. They are changed in tests and
// demonstrations alone. Each is from 10 ms to 24 h.
type TimingConfig struct {
	// RebootDeadline is how long a reboot request may stay alive. Default
	// 10 min: inhibitors may hold it that long.
	RebootDeadline time.Duration
	// SecondLook lies between seeing a late holder and marking it. Default
	// 3 min: longer than an outage that watcher and holder share.
	SecondLook time.Duration
	// EvidenceGap lies between two proofs that an instance is gone. Default
	// 5 min: EC2's answers are eventually consistent.
	EvidenceGap time.Duration
	// ReassertWithin is the longest time from a re-assert to its act. Default
	// 60 s. It must be shorter than SecondLook, else a host could act after
	// its slot was marked.
	ReassertWithin time.Duration
	// FreeSlotLook is how soon a free slot is looked at again. Default 15 s.
	FreeSlotLook time.Duration
}

// LogConfig says what the log holds.
type LogConfig struct {
	// Level is the lowest level that is written: debug, info, warn or error.
	// Default info: about ten lines an update.
	Level slog.Level
	// Format is the form of the lines. Default text, for journalctl.
	Format LogFormat
}

// HostConfig says where things are on the host. The defaults are those of a
// Bottlerocket host container; they are changed in tests alone. Paths are
// absolute.
type HostConfig struct {
	// APISocket is the Unix socket of the Bottlerocket API, at most 107 bytes.
	// Default /run/api.sock.
	APISocket string
	// Introspection is the local ECS agent's address, http://host:port.
	// Default http://127.0.0.1:51678.
	Introspection string
	// StateDir keeps the intent. It must survive reboots and updates. Default
	// /.bottlerocket/host-containers/current.
	StateDir string
	// BootIDFile holds the kernel's boot id. Default
	// /proc/sys/kernel/random/boot_id.
	BootIDFile string
}

// DefaultConfig returns the settings of a host that was given none.
func DefaultConfig() Config {
	return Config{
		CheckInterval: time.Hour,
		Lock: LockConfig{
			Table:           "drydock",
			RebootAllowance: 20 * time.Minute,
			PollMin:         5 * time.Second,
			PollMax:         30 * time.Minute,
		},
		Drain: DrainConfig{
			Timeout:         25 * time.Minute,
			OnTimeout:       OnTimeoutAbort,
			StandaloneTasks: StandaloneDefer,
		},
		Verify: VerifyConfig{Timeout: 15 * time.Minute},
		Timing: TimingConfig{
			RebootDeadline: 10 * time.Minute,
			SecondLook:     3 * time.Minute,
			EvidenceGap:    5 * time.Minute,
			ReassertWithin: 60 * time.Second,
			FreeSlotLook:   15 * time.Second,
		},
		Log: LogConfig{Level: slog.LevelInfo, Format: LogText},
		Host: HostConfig{
			APISocket:     "/run/api.sock",
			Introspection: "http://127.0.0.1:51678",
			StateDir:      "/.bottlerocket/host-containers/current",
			BootIDFile:    "/proc/sys/kernel/random/boot_id",
		},
	}
}

// ParseConfig reads host settings: the defaults, the text over them, and the
// rules. Name is how faults call the text. A text without a single setting is
// refused: it is more often one that was lost on its way than one that was
// meant, and the defaults name a table that may be another fleet's. The error
// is Faults with everything that is wrong; the Config then has every key that
// is good by itself, and defaults for the rest: enough to undo what was begun,
// not to start.
func ParseConfig(name string, data []byte) (Config, error) {
	c := DefaultConfig()
	r := configReader{file: name, foreign: configForeign()}
	r.read(data, configKeys(&c))
	if len(r.root.lines) == 0 && len(r.faults) == 0 {
		r.fault(0, "", "holds no settings", `name at least the table of the lock: [lock] table = "drydock"`)
	}
	r.check(c.contradictions())
	return c, r.err()
}

// Validate reports every rule that c breaks, as Faults without lines. It is
// for settings that were not parsed.
func (c Config) Validate() error {
	r := configReader{file: "settings"}
	r.read(nil, configKeys(&c))
	r.check(c.contradictions())
	return r.err()
}

// TOML returns the settings as a commented text that ParseConfig reads back to
// the same value.
func (c Config) TOML() string {
	return configWrite(configKeys(&c), configKeys(new(DefaultConfig())))
}

// configKeys is the one table of the host settings: name, meaning in one line,
// and where and how the value is kept in c.
func configKeys(c *Config) []configKey {
	const ms, day = time.Millisecond, 24 * time.Hour
	timing := func(d *time.Duration) configField { return configDuration{d, 10 * ms, day} }
	return []configKey{
		{"cluster", "ECS cluster, name or ARN; empty: asked of the local ECS agent",
			configText{&c.Cluster, configIsCluster}},
		{"check_interval", "how often to ask for a release, ±10 %",
			configCheckInterval(&c.CheckInterval)},
		{"lock.table", "DynamoDB table of the lock",
			configText{&c.Lock.Table, configIsTable}},
		{"lock.reboot_allowance", "length announced for the phase rebooting",
			configDuration{&c.Lock.RebootAllowance, 10 * ms, day}},
		{"lock.poll_min", "pause between looks at the lock while waiting",
			configDuration{&c.Lock.PollMin, 100 * ms, day}},
		{"lock.poll_max", "the longest pause between two looks, far back in the queue",
			configDuration{&c.Lock.PollMax, 100 * ms, day}},
		{"drain.timeout", "how long tasks may take to leave",
			configDrainTimeout(&c.Drain.Timeout)},
		{"drain.on_timeout", "what then: abort, force",
			configOnTimeout(&c.Drain.OnTimeout)},
		{"drain.standalone_tasks", "tasks that a drain leaves alone: defer, wait, stop",
			configStandaloneTasks(&c.Drain.StandaloneTasks)},
		{"verify.timeout", "for the ECS agent to reconnect and be healthy",
			configVerifyTimeout(&c.Verify.Timeout)},
		{"verify.soak", "keep the slot this long after ACTIVE",
			configSoak(&c.Verify.Soak)},
		{"timing.reboot_deadline", "a reboot request may live this long", timing(&c.Timing.RebootDeadline)},
		{"timing.second_look", "between seeing a late holder and marking it", timing(&c.Timing.SecondLook)},
		{"timing.evidence_gap", "between two proofs that an instance is gone", timing(&c.Timing.EvidenceGap)},
		{"timing.reassert_within", "from a re-assert to its act", timing(&c.Timing.ReassertWithin)},
		{"timing.free_slot_look", "a free slot is looked at again after this; then the next in line may be passed", timing(&c.Timing.FreeSlotLook)},
		{"log.level", "lowest level written: debug, info, warn, error", configLevel{&c.Log.Level}},
		{"log.format", "form of the lines: text, json",
			configChoice[LogFormat]{&c.Log.Format, []LogFormat{LogText, LogJSON}}},
		{"host.api_socket", "Unix socket of the Bottlerocket API", configText{&c.Host.APISocket, configIsSocket}},
		{"host.introspection", "address of the local ECS agent", configText{&c.Host.Introspection, configIsAddress}},
		{"host.state_dir", "where the intent is kept", configText{&c.Host.StateDir, configIsPath}},
		{"host.boot_id_file", "where the kernel's boot id is read", configText{&c.Host.BootIDFile, configIsPath}},
	}
}

// The fields that a policy can give as well.
func configCheckInterval(d *time.Duration) configField {
	return configDuration{d, time.Second, 168 * time.Hour}
}

func configDrainTimeout(d *time.Duration) configField {
	return configDuration{d, 10 * time.Second, 24 * time.Hour}
}

func configOnTimeout(v *OnTimeout) configField {
	return configChoice[OnTimeout]{v, []OnTimeout{OnTimeoutAbort, OnTimeoutForce}}
}

func configStandaloneTasks(v *StandaloneTasks) configField {
	return configChoice[StandaloneTasks]{v, []StandaloneTasks{StandaloneDefer, StandaloneWait, StandaloneStop}}
}

func configVerifyTimeout(d *time.Duration) configField {
	return configDuration{d, time.Second, 24 * time.Hour}
}

func configSoak(d *time.Duration) configField { return configDuration{d, 0, 24 * time.Hour} }

// contradictions are the rules between two keys. None of their keys can be set
// by a policy, so a valid policy over valid settings is valid.
func (c Config) contradictions() []configRule {
	return []configRule{
		{"lock.poll_min", "lock.poll_max", c.Lock.PollMin <= c.Lock.PollMax,
			fmt.Sprintf("%s is longer than lock.poll_max, %s", configShort(c.Lock.PollMin), configShort(c.Lock.PollMax)),
			"the front of the queue looks at least as often as its end"},
		{"timing.reassert_within", "timing.second_look", c.Timing.ReassertWithin < c.Timing.SecondLook,
			fmt.Sprintf("%s is not shorter than timing.second_look, %s", configShort(c.Timing.ReassertWithin), configShort(c.Timing.SecondLook)),
			"a host must act or look again before it can be marked"},
		{"lock.reboot_allowance", "timing.reboot_deadline", c.Lock.RebootAllowance >= c.Timing.RebootDeadline,
			fmt.Sprintf("%s is shorter than timing.reboot_deadline, %s", configShort(c.Lock.RebootAllowance), configShort(c.Timing.RebootDeadline)),
			"a host would be called late while its reboot request may still be alive"},
	}
}

// configForeign are the keys of the policy that host settings cannot hold,
// each with the hint that says where it belongs.
func configForeign() map[string]string {
	const hint = "it is set for the whole fleet, in the policy of the lock record"
	foreign := map[string]string{"window": hint}
	for _, name := range []string{"slots", "max_failures", "max_zones", "allow_downgrade"} {
		foreign[name] = hint
	}
	return foreign
}

// configShort is a duration as people write it: 25m, not 25m0s.
func configShort(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
