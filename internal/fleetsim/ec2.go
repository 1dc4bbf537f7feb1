package fleetsim

import (
	"context"
	"errors"
	"time"
)

var errEC2 = errors.New("RequestLimitExceeded")

// Chances of an answer of EC2 that is none, where the seed has them, and how
// long a terminated instance can still be described.
const (
	evidenceError   = 0.15
	evidenceEmpty   = 0.15
	evidenceBlind   = 0.15
	blindAgain      = 24 * time.Hour // an instance is not overlooked twice in this time
	describedAtMost = 2 * time.Hour
)

// evidencePort is EC2 as one process asks it.
type evidencePort struct{ *process }

func (e evidencePort) Instances(ctx context.Context, ids []string) (map[string]string, error) {
	return read(ctx, e.process, func(context.Context) (map[string]string, error) {
		if e.w.net.isCut(e.id) {
			return nil, errEC2
		}
		return e.w.describe(e.id, ids)
	})
}

// describe is EC2's answer: terminated instances disappear after a while. Where
// the seed has it, it fails, shows nothing at all, or overlooks an instance
// once; all of them are known of EC2.
func (w *World) describe(asker string, ids []string) (map[string]string, error) {
	bad := w.Options.BadEvidence
	switch {
	case bad && w.chance(evidenceError):
		return nil, errEC2
	case w.Options.Empty, bad && w.chance(evidenceEmpty):
		w.say(asker, "EC2 gives an empty answer")
		return map[string]string{}, nil
	}
	states := make(map[string]string)
	for _, id := range ids {
		h := w.host(id)
		if h == nil {
			continue
		}
		if state := h.state(); state != "" && !((bad || w.Options.Blind) && id != asker && w.overlooks(h)) {
			states[id] = state
		}
	}
	w.say(asker, "EC2 says %v", states)
	return states, nil
}

// overlooks says whether an answer leaves the instance out.
func (w *World) overlooks(h *Host) bool {
	blind := w.Options.Blind
	if !blind && !w.chance(evidenceBlind) {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if last, was := w.overlooked[h.id]; was && (blind || time.Since(last) < blindAgain) {
		return false
	}
	w.overlooked[h.id] = time.Now()
	return true
}

// state is what EC2 shows of the instance, "" once it has forgotten it.
func (h *Host) state() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch gone := time.Since(h.ended); {
	case h.ended.IsZero():
		return "running"
	case gone < time.Minute:
		return "shutting-down"
	case gone < h.described:
		return "terminated"
	default:
		return ""
	}
}
