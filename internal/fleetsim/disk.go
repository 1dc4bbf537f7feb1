package fleetsim

import (
	"encoding/json"
	"sync"

	"github.com/drydock-ecs/drydock/agent"
)

// disk is the host's persistent directory. It outlives processes and boots.
type disk struct {
	host *Host
	mu   sync.Mutex
	data []byte
	bad  bool
	duty []byte // the latest content with a duty in it, of whatever process
}

func (d *disk) damage(lose bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if lose {
		d.host.w.say(d.host.id, "loses its intent file")
		d.data, d.bad = nil, false
		return
	}
	if d.data != nil {
		d.host.w.say(d.host.id, "has its intent file damaged")
		d.bad = true
	}
}

// replace puts another content into the file: one of another disk, or one that
// was there before.
func (d *disk) replace(what string, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.host.w.say(d.host.id, "finds %s in its intent file", what)
	d.data, d.bad = data, false
}

// old is the latest content with a duty, where there is none in the file now.
func (d *disk) old() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bad || hasDuty(d.data) {
		return nil
	}
	return d.duty
}

// copied is the content with a duty, for another disk.
func (d *disk) copied() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.duty
}

func hasDuty(data []byte) bool {
	var in struct {
		Duty *agent.Duty `json:"duty"`
	}
	return json.Unmarshal(data, &in) == nil && in.Duty != nil
}

type intentPort struct{ *process }

func (i intentPort) Load() ([]byte, error) {
	i.disk.mu.Lock()
	defer i.disk.mu.Unlock()
	switch {
	case i.disk.bad:
		return nil, agent.ErrDamaged
	case i.disk.data == nil:
		return nil, agent.ErrNoIntent
	}
	return i.disk.data, nil
}

func (i intentPort) Save(data []byte) error {
	i.disk.mu.Lock()
	before := i.disk.data
	i.disk.mu.Unlock()
	_, err := perform(i.process, "intent:"+intentWrite(before, data), errRefuse, errRefuse, func() (struct{}, error) {
		i.disk.mu.Lock()
		defer i.disk.mu.Unlock()
		i.disk.data, i.disk.bad = data, false
		if hasDuty(data) {
			i.disk.duty = data
		}
		return struct{}{}, nil
	})
	return err
}

func (i intentPort) SetAside(string) (string, error) {
	i.disk.mu.Lock()
	defer i.disk.mu.Unlock()
	i.disk.data, i.disk.bad = nil, false
	return "aside", nil
}
