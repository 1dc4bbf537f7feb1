package hosttest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// memory is what an agent needs, in bytes. A process that has just ended needs
// nothing.
type memory struct {
	resident, anonymous, peak float64 // of the process
	group                     float64 // most that its cgroup was charged with, page cache included
}

// most takes the larger of each.
func (m memory) most(o memory) memory {
	return memory{max(m.resident, o.resident), max(m.anonymous, o.anonymous), max(m.peak, o.peak), max(m.group, o.group)}
}

func (m memory) String() string {
	return fmt.Sprintf("resident %.1f MB (%.1f anonymous), peak %.1f MB, cgroup at most %.1f MB of %.0f MB",
		m.resident/1e6, m.anonymous/1e6, m.peak/1e6, m.group/1e6, float64(memoryLimit)/1e6)
}

// sample reads what a process needs now.
func sample(pid int) memory {
	status := fields(fmt.Sprintf("/proc/%d/status", pid))
	return memory{kilobytes(status["VmRSS"]), kilobytes(status["RssAnon"]), kilobytes(status["VmHWM"]), charged(pid)}
}

// fields reads the lines "name: value" of a file.
func fields(path string) map[string]string {
	found := make(map[string]string)
	text, _ := os.ReadFile(path) // the process may have ended
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok {
			found[key] = strings.TrimSpace(value)
		}
	}
	return found
}

func kilobytes(text string) float64 {
	n, _ := strconv.ParseFloat(strings.TrimSuffix(text, " kB"), 64)
	return n * 1024
}

// charged reads the cgroup's high-water mark: of its memory controller where
// there is one (version 1), of the one hierarchy otherwise.
func charged(pid int) float64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) < 3 {
			continue
		}
		file := ""
		switch parts[1] {
		case "memory":
			file = filepath.Join("/sys/fs/cgroup/memory", parts[2], "memory.max_usage_in_bytes")
		case "":
			file = filepath.Join("/sys/fs/cgroup", parts[2], "memory.peak")
		default:
			continue
		}
		if text, err := os.ReadFile(file); err == nil {
			n, _ := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
			return n
		}
	}
	return 0
}
