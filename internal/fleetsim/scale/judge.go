package scale

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/drydock-ecs/drydock/coordination"
)

// judge watches the lock from outside: who waits, who holds, and how long a
// slot stands free while somebody waits who could take it.
type judge struct {
	run *Run

	mu      sync.Mutex
	at      time.Time            // the free slots' accounts are complete up to here
	waiting map[string]bool      // hosts that have staged the release and have no slot
	holders map[string]time.Time // hosts with a slot, and since when
	free    []time.Duration      // the free slots, longest first: how long somebody has waited for it
	opening int                  // slots that nobody has had yet
	reads   map[string]int       // by what the reader was doing
	handOff []time.Duration
	holds   []time.Duration // in order of their grants
	begun   map[string]int  // host → index into holds
	first   time.Time       // grant
	last    time.Time       // return
	done    int
	dead    int
	most    int   // slots in use at one time
	pointer int64 // of the queue
	passed  int   // grants to hosts that the pointer had passed
}

// What the reader of the record was doing.
const (
	queued  = "queued"
	holding = "holding"
	idle    = "idle"
)

func newJudge(r *Run) *judge {
	return &judge{run: r, waiting: map[string]bool{}, holders: map[string]time.Time{}, begun: map[string]int{},
		reads: map[string]int{}, at: time.Now(), opening: r.options.Slots}
}

// reset begins the counts of reads anew.
func (j *judge) reset() {
	j.mu.Lock()
	defer j.mu.Unlock()
	clear(j.reads)
}

// account brings the accounts of the free slots up to now: as many of them as
// there are waiters are wanted, and the one that is free for longest first.
// The lock must be held.
func (j *judge) account() {
	now := time.Now()
	for i := range min(len(j.free), len(j.waiting)) {
		j.free[i] += now.Sub(j.at)
	}
	j.at = now
}

// joins is called when a host has staged the release: it would take a slot.
func (j *judge) joins(h *host) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.account()
	if _, holds := j.holders[h.id]; !holds {
		j.waiting[h.id] = true
	}
}

// read counts a read of the lock.
func (j *judge) read(host string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch _, holds := j.holders[host]; {
	case j.waiting[host]:
		j.reads[queued]++
	case holds:
		j.reads[holding]++
	default:
		j.reads[idle]++
	}
}

// changed is called for each change of the record, with the store locked.
func (j *judge) changed(caller string, body []byte) {
	r, err := coordination.Decode(body)
	if err != nil {
		j.run.fail(fmt.Errorf("%s stored a record that cannot be read: %w", caller, err))
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.account()
	held := make(map[string]bool, len(r.Holders))
	for _, h := range r.Holders {
		held[h.Host] = true
		if _, known := j.holders[h.Host]; !known {
			j.granted(h)
		}
	}
	j.pointer = r.Queue.Pointer
	for host := range j.holders {
		if !held[host] {
			j.returned(host)
		}
	}
	if j.most = max(j.most, len(r.Holders)); j.most > j.run.options.Slots {
		j.run.fail(fmt.Errorf("%d hosts have slots, %d may", j.most, j.run.options.Slots))
	}
	if len(r.Failures) > 0 {
		j.run.fail(fmt.Errorf("a failure where nothing fails: %+v", r.Failures[0]))
	}
	if h := j.run.hosts[caller]; h != nil && h.doomed && !held[caller] && j.waiting[caller] {
		delete(j.waiting, caller)
		j.dead++
		time.AfterFunc(0, h.die)
	}
}

// granted notes a grant. The slots that nobody has had yet are no hand-offs.
func (j *judge) granted(h coordination.Holder) {
	now, host := time.Now(), h.Host
	if h.Ticket > 0 && h.Ticket < j.pointer {
		j.passed++
	}
	switch {
	case len(j.free) > 0:
		j.handOff = append(j.handOff, j.free[0])
		j.free = slices.Delete(j.free, 0, 1)
	case j.opening > 0:
		j.opening--
	}
	if j.first.IsZero() {
		j.first = now
	}
	delete(j.waiting, host)
	j.holders[host] = now
	j.begun[host] = len(j.holds)
	j.holds = append(j.holds, 0)
}

func (j *judge) returned(host string) {
	now := time.Now()
	j.holds[j.begun[host]] = now.Sub(j.holders[host])
	delete(j.holders, host)
	j.last = now
	j.free = append(j.free, 0)
	slices.SortFunc(j.free, func(a, b time.Duration) int { return int(b - a) })
	j.done++
	if j.done+j.dead == j.run.options.Hosts {
		j.run.finish()
	}
}
