package apitest

import "errors"

// Set is one of the two sets of partitions that hold an operating system, with
// the boot loader's flags on it.
type Set struct {
	Version    string // of the image in it, "" when there is none whole
	Priority   int    // the boot loader takes the highest; 0 is never taken
	Tries      int    // boots that are left to prove itself
	Successful bool   // it has booted and proved itself
}

// bootable says whether the boot loader may take the set.
func (s Set) bootable() bool { return s.Priority > 0 && (s.Tries > 0 || s.Successful) }

// disk is both sets. It survives everything.
type disk struct {
	sets   [2]Set
	active int // the set that runs, or ran last
}

// newDisk is that of a machine image before its first update.
func newDisk(version string) disk {
	return disk{sets: [2]Set{{Version: version, Priority: 1, Successful: true}, {}}}
}

func (d *disk) running() *Set  { return &d.sets[d.active] }
func (d *disk) inactive() *Set { return &d.sets[1-d.active] }

// next is the index of the set that the boot loader would take: the first of
// the highest priority; ok is false when there is none.
func (d *disk) next() (index int, ok bool) {
	for i, set := range d.sets {
		if set.bootable() && (!ok || set.Priority > d.sets[index].Priority) {
			index, ok = i, true
		}
	}
	return index, ok
}

// load does the boot loader's part of a boot: it uses up a try of the set that
// it takes.
func (d *disk) load() (*Set, bool) {
	i, ok := d.next()
	if !ok {
		return nil, false
	}
	d.active = i
	d.sets[i].Tries = max(0, d.sets[i].Tries-1)
	return &d.sets[i], true
}

// clear makes the inactive set unbootable before it is written to.
func (d *disk) clear() { *d.inactive() = Set{} }

// write puts a whole image into the inactive set and gives it its one try.
func (d *disk) write(version string) {
	d.inactive().Version = version
	d.inactive().Tries = 1
}

// activate makes the inactive set the next to boot.
func (d *disk) activate() error {
	set := d.inactive()
	switch {
	case set.Priority > 0 || set.Successful:
		return errors.New("the inactive set is already marked for an upgrade")
	case set.Tries == 0:
		return errors.New("the inactive set holds no valid image")
	}
	set.Priority = 2
	d.running().Priority = 1
	return nil
}

// deactivate takes activate back. The inactive set keeps its try.
func (d *disk) deactivate() {
	d.inactive().Priority = 0
	d.running().Priority = 2
}
