package agent

import (
	"fmt"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/drydock-ecs/drydock/coordination"
)

// PolicyMaxBytes is the most that a policy text may have: it stands in the
// lock record, which every waiting host reads.
const PolicyMaxBytes = coordination.MaxPolicy

// Policy is what the lock record says to the whole fleet. ParsePolicy and
// DefaultPolicy make one.
type Policy struct {
	// Slots is how many hosts may be out of service at once. Default 1.
	// 1 to 100.
	Slots int
	// MaxFailures is the number of failures at which the fleet is halted.
	// Default 1: the first failure stops it. 1 to 1000. A bad release reaches
	// at most MaxFailures + Slots - 1 hosts.
	MaxFailures int
	// MaxZones is how many Availability Zones may have hosts out of service at
	// once. Default 0: no cap. 0 to 100.
	MaxZones int
	// AllowDowngrade lets hosts take a release that is older than the one that
	// they run. Default false: a downgrade is rarely meant.
	AllowDowngrade bool
	// CheckInterval stands in for Config.CheckInterval; nil leaves the host's.
	CheckInterval *time.Duration
	Drain         PolicyDrain
	Verify        PolicyVerify
	// Windows are the times at which an update may start. Default none: at any
	// time.
	Windows Windows
}

// PolicyDrain stands in for DrainConfig, field by field and with its ranges;
// nil leaves the host's.
type PolicyDrain struct {
	Timeout         *time.Duration
	OnTimeout       *OnTimeout
	StandaloneTasks *StandaloneTasks
}

// PolicyVerify stands in for VerifyConfig, field by field and with its ranges;
// nil leaves the host's.
type PolicyVerify struct {
	Timeout *time.Duration
	Soak    *time.Duration
}

// DefaultPolicy returns what an empty policy text says.
func DefaultPolicy() Policy { return Policy{Slots: 1, MaxFailures: 1} }

// ParsePolicy reads a policy text of at most PolicyMaxBytes. An empty text is
// valid. The error is Faults, as of ParseConfig, in a file called "policy": with
// it nothing may start, and the Policy has what is good by itself.
func ParsePolicy(text string) (Policy, error) {
	p := DefaultPolicy()
	r := configReader{file: "policy", foreign: policyForeign()}
	if len(text) > PolicyMaxBytes {
		r.fault(0, "", fmt.Sprintf("%d bytes are too many", len(text)), fmt.Sprintf("at most %d", PolicyMaxBytes))
		return p, r.err()
	}
	var windows []*Window
	r.lists = map[string]func() []configKey{"window": func() []configKey {
		windows = append(windows, &Window{Start: -1, Zone: time.UTC})
		return windowKeys(windows[len(windows)-1])
	}}
	r.read([]byte(text), policyKeys(&p))
	for _, w := range windows {
		p.Windows = append(p.Windows, *w)
	}
	return p, r.err()
}

// Apply returns c with what the policy gives over it. The order is defaults,
// host settings, policy.
func (p Policy) Apply(c Config) Config {
	policyApply(&c.CheckInterval, p.CheckInterval)
	policyApply(&c.Drain.Timeout, p.Drain.Timeout)
	policyApply(&c.Drain.OnTimeout, p.Drain.OnTimeout)
	policyApply(&c.Drain.StandaloneTasks, p.Drain.StandaloneTasks)
	policyApply(&c.Verify.Timeout, p.Verify.Timeout)
	policyApply(&c.Verify.Soak, p.Verify.Soak)
	return c
}

func policyApply[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// TOML returns the policy as a commented text that ParsePolicy reads back to
// the same value.
func (p Policy) TOML() string {
	var b strings.Builder
	b.WriteString(configWrite(policyKeys(&p), policyKeys(new(DefaultPolicy()))))
	for _, w := range p.Windows {
		b.WriteString("\n[[window]]\n")
		for _, k := range windowKeys(&w) {
			fmt.Fprintf(&b, "%s = %s\n", k.name, k.field.write())
		}
	}
	return b.String()
}

// PolicyWith returns a policy text with one of its first-level keys, such as
// "slots", set to a TOML value. Everything else stays as it was written,
// comments too. The error is that of ParsePolicy for the new text.
func PolicyWith(text, key, value string) (string, error) {
	changed := key + " = " + value + "\n" + text
	var parser unstable.Parser
	parser.Reset([]byte(text))
	for parser.NextExpression() {
		node := parser.Expression()
		if node.Kind != unstable.KeyValue {
			break // the first table: what follows is in it
		}
		it := node.Key()
		if it.Next() && string(it.Node().Data) == key && it.IsLast() {
			raw := node.Value().Raw
			changed = text[:raw.Offset] + value + text[raw.Offset+raw.Length:]
		}
	}
	_, err := ParsePolicy(changed)
	return changed, err
}

// policyKeys is the one table of the policy, apart from its windows.
func policyKeys(p *Policy) []configKey {
	return []configKey{
		{"slots", "how many hosts may be out of service at once", configNumber{&p.Slots, 1, 100}},
		{"max_failures", "so many failures halt the fleet", configNumber{&p.MaxFailures, 1, 1000}},
		{"max_zones", "Availability Zones with hosts out of service at once; 0: no cap", configNumber{&p.MaxZones, 0, 100}},
		{"allow_downgrade", "take a release that is older than the running one", configBool{&p.AllowDowngrade}},
		{"check_interval", "how often to ask for a release, ±10 %",
			policyOverride[time.Duration]{&p.CheckInterval, configCheckInterval}},
		{"drain.timeout", "how long tasks may take to leave",
			policyOverride[time.Duration]{&p.Drain.Timeout, configDrainTimeout}},
		{"drain.on_timeout", "what then: abort, force",
			policyOverride[OnTimeout]{&p.Drain.OnTimeout, configOnTimeout}},
		{"drain.standalone_tasks", "tasks that a drain leaves alone: defer, wait, stop",
			policyOverride[StandaloneTasks]{&p.Drain.StandaloneTasks, configStandaloneTasks}},
		{"verify.timeout", "for the ECS agent to reconnect and be healthy",
			policyOverride[time.Duration]{&p.Verify.Timeout, configVerifyTimeout}},
		{"verify.soak", "keep the slot this long after ACTIVE",
			policyOverride[time.Duration]{&p.Verify.Soak, configSoak}},
	}
}

// policyForeign are the host settings that a policy cannot give, each with the
// hint that says so.
func policyForeign() map[string]string {
	foreign := map[string]string{}
	for _, k := range configKeys(new(Config)) {
		section, _, _ := strings.Cut(k.name, ".")
		foreign[k.name] = "it is set host by host, in the host container's user-data"
		foreign[section] = foreign[k.name]
	}
	return foreign
}

// policyOverride is a host setting that the policy may give. It has no value
// until one is read.
type policyOverride[T any] struct {
	value **T
	field func(*T) configField
}

func (f policyOverride[T]) read(value *unstable.Node) (problem, hint string) {
	fresh := new(T)
	if problem, hint = f.field(fresh).read(value); problem == "" {
		*f.value = fresh
	}
	return problem, hint
}

func (f policyOverride[T]) check() (problem, hint string) {
	if *f.value == nil {
		return "", ""
	}
	return f.field(*f.value).check()
}

func (f policyOverride[T]) write() string {
	if *f.value == nil {
		return ""
	}
	return f.field(*f.value).write()
}
