package agent

// Facts are what a starting agent has found out. Each may be unknown.
type Facts struct {
	Boot string // boot id; always known
	// Duty is the duty of the intent file or one adopted from the record.
	Duty Duty
	// HasDuty: Duty is one.
	HasDuty bool
	// Memoryless: there is no intent file that can be read. Then only the
	// record can say whether there is something to undo.
	Memoryless bool
	// RecordRead: the record was read, and what it says of this host is in Duty.
	RecordRead bool
	Running    string // running version; "" while unknown
}

// Resume says where an agent begins. It is a total, pure function of facts,
// never of a saved phase: the marks in the duty were made before the acts they
// stand for, so they say what may have been done and must be undone.
func Resume(f Facts) Outcome {
	d := f.Duty
	switch {
	case !f.HasDuty && f.Memoryless && !f.RecordRead:
		// The only case in which restoring waits: file and table both unreadable.
		return Outcome{Kind: Again, Reason: "no intent file, and the lock record cannot be read: whether this host has something to undo is unknown"}
	case !f.HasDuty:
		return Outcome{Kind: Resumed, To: Idle}
	case d.Restored:
		return resumed(Restoring, d, d.Outcome, "")
	case d.Boot == f.Boot:
		return resumeSameBoot(d)
	default:
		return resumeNewBoot(d, f)
	}
}

func resumed(to Phase, d Duty, result Result, reason string) Outcome {
	return Outcome{Kind: Resumed, To: to, Target: d.Target, Result: result, Reason: reason}
}

// resumeSameBoot: no reboot came between. A duty with an outcome was being
// undone; an armed one may still be rebooted under our hands; any other goes
// on, and its first act is the re-assert.
func resumeSameBoot(d Duty) Outcome {
	switch {
	case d.Outcome != "":
		return resumed(Restoring, d, d.Outcome, "")
	case d.Armed:
		return resumed(Rebooting, d, "", "")
	case d.Adopted:
		return resumed(Restoring, d, TurnedBack, "the intent file was lost")
	default:
		return resumed(Draining, d, "", "")
	}
}

// resumeNewBoot: the host was rebooted, by us or by someone else.
func resumeNewBoot(d Duty, f Facts) Outcome {
	switch {
	case d.Outcome == Unhealthy && d.Seen == f.Boot:
		return resumed(Sick, d, Unhealthy, "")
	case d.Outcome == Updated && d.Seen != f.Boot:
		return resumed(Verifying, d, "", "") // booted once more before it was back in service
	case d.Outcome == Unhealthy:
		return resumed(Verifying, d, "", "") // also when it was being restored: it may be well now
	case d.concluded():
		return resumed(Restoring, d, d.Outcome, "")
	case !d.Activating:
		return resumed(Restoring, d, TurnedBack, "the host was rebooted before the release was activated")
	case f.Running != "" && f.Running == d.From: // unknown is no proof of anything
		return resumed(Restoring, d, judgeReturn(d), "the host runs "+d.From+" again")
	default:
		return resumed(Verifying, d, "", "")
	}
}

// concluded says whether the outcome that is noted still holds. One of the boot
// before says nothing of a boot with the release still activated: the host was
// reset before it was deactivated, and may have booted the release after all.
func (d Duty) concluded() bool {
	return d.Outcome != "" && !(d.Outcome.beforeReboot() && d.Activating)
}

// judgeReturn names what brought a host that was activating back on the
// version before. Armed with an earlier boot id, and running that version, is
// proof that the release did not boot; without the arming the host may have
// been reset before the activation was written, which proves nothing. Nor does
// an arming that was adopted: it stands for the worst that may have been done.
func judgeReturn(d Duty) Result {
	if d.Armed && !d.Adopted {
		return FellBack
	}
	return Interrupted
}

// judge names the result of a new boot by what runs.
func judge(d Duty, running string) Result {
	switch {
	case running == d.Target:
		return Updated
	case running != d.From:
		return Elsewhere
	case d.Outcome == Updated:
		return Unhealthy // it ran the target, and somebody had a reason to take it back
	case d.concluded():
		return d.Outcome // judged already; the host was taken back meanwhile
	default:
		return judgeReturn(d)
	}
}
