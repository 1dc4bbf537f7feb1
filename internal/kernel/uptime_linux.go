package kernel

import (
	"time"

	"golang.org/x/sys/unix"
)

// uptime is the time since the boot. CLOCK_BOOTTIME goes on during a suspend,
// and nobody can set it.
func uptime() (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, err
	}
	return time.Duration(ts.Nano()), nil
}
