package apitest

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/drydock-ecs/drydock/apiclientx"
)

// Fate is what becomes of a host that boots a release for the first time.
type Fate int

// The fates. A set that has once proved itself boots well ever after.
const (
	// BootsWell: it runs.
	BootsWell Fate = iota
	// FallsBack: it does not boot, the machine resets itself, and the boot
	// loader takes the old set.
	FallsBack
	// NeverReturns: it hangs in userspace and stays there. Only a reset from
	// outside, that is another Boot, brings the old set back.
	NeverReturns
	// BootsElsewhere: what runs is the version Elsewhere: somebody wrote
	// another image behind the API's back.
	BootsElsewhere
)

// Release is one entry of the update repository.
type Release struct {
	Version   string
	Fate      Fate
	Elsewhere string // the version that runs with the fate BootsElsewhere
	// Max is the highest version that hosts should run: a release above its
	// Max is not offered, and a host above it is offered a lower one. "" means
	// no limit.
	Max string
	// Waves spread the release over the hosts by their seeds, ascending.
	// Without any it is there at once.
	Waves []Wave
}

// Wave is a point of a release's schedule: by At the hosts with seeds up to
// Seed have it, and the others do not.
type Wave struct {
	Seed int
	At   time.Time
}

// visibleFrom is when a host sees the release; the zero time is always.
// Between two waves the absolute seed is multiplied, as the real one does, so
// that in later waves most hosts see it only at the wave's end.
func (r Release) visibleFrom(seed int) time.Time {
	if len(r.Waves) == 0 || seed == 0 {
		return time.Time{}
	}
	i := slices.IndexFunc(r.Waves, func(w Wave) bool { return seed <= w.Seed })
	switch i {
	case -1:
		return r.Waves[len(r.Waves)-1].At
	case 0:
		return time.Time{}
	}
	from, to := r.Waves[i-1], r.Waves[i]
	step := to.At.Sub(from.At) / time.Duration(to.Seed-from.Seed)
	at := from.At.Add(step * time.Duration(seed))
	if at.After(to.At) {
		return to.At
	}
	return at
}

// applicable lists the releases that a host sees, highest first.
func applicable(releases []Release, settings Settings, now time.Time) []Release {
	var list []Release
	for _, r := range releases {
		sane := r.Max == "" || apiclientx.CompareVersions(r.Version, r.Max) <= 0
		if sane && (settings.IgnoreWaves || !now.Before(r.visibleFrom(settings.Seed))) {
			list = append(list, r)
		}
	}
	slices.SortStableFunc(list, func(a, b Release) int {
		return apiclientx.CompareVersions(b.Version, a.Version)
	})
	return list
}

// choose picks the version to update to from an applicable list, or "". The
// version lock may choose an older one.
func choose(list []Release, settings Settings, running string) string {
	lock := strings.TrimPrefix(cmp.Or(settings.VersionLock, latest), "v")
	for _, r := range list {
		above := r.Max != "" && apiclientx.CompareVersions(running, r.Max) > 0
		newer := apiclientx.CompareVersions(running, r.Version) < 0
		if lock == latest && (newer || above) || lock == r.Version && lock != running {
			return r.Version
		}
	}
	return ""
}

// latest is the version lock that locks nothing.
const latest = "latest"
