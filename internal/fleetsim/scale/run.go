package scale

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/drydock-ecs/drydock/coordination"
)

// Run is one run.
type Run struct {
	options Options
	store   *store
	judge   *judge
	hosts   map[string]*host
	running sync.WaitGroup
	ended   chan struct{} // closed when the last host is done

	mu        sync.Mutex
	errs      []error
	closed    bool
	published time.Time // the release is offered since
}

// Measure runs one fleet from the moment in which every host hears of the
// release until the last host is back in service, and returns what it cost. It
// must be called in a synctest bubble. It fails when the fleet does not get
// there, or when anything goes wrong on the way.
func Measure(o Options) (Figures, error) {
	r := &Run{options: o, hosts: make(map[string]*host), ended: make(chan struct{})}
	r.judge = newJudge(r)
	r.store = newStore(r.judge, o.Seed)
	record := coordination.NewRecord("5e9c8bfa44d04c0b", fmt.Sprintf("slots = %d\nmax_failures = 1\n", o.Slots))
	body, err := record.Encode()
	if err != nil {
		return Figures{}, err
	}
	r.store.body = body
	r.populate()
	r.publish()
	limit := time.NewTimer(24*time.Hour + 3*meanHold*time.Duration(o.Hosts/o.Slots+1))
	select {
	case <-r.ended:
	case <-limit.C:
		r.fail(fmt.Errorf("%d of %d hosts are done when the time is over, and %d are gone", r.judge.done, o.Hosts, r.judge.dead))
	}
	limit.Stop()
	r.close()
	return r.figures(), errors.Join(r.errs...)
}

// publish starts the agents and then offers them the release. Figures begin
// when the release can be had.
func (r *Run) publish() {
	starts := r.options.starts()
	for _, id := range slices.Sorted(maps.Keys(r.hosts)) {
		h := r.hosts[id]
		time.AfterFunc(h.draw(0, starts), h.start)
	}
	if !r.options.Rush {
		time.Sleep(starts)
		r.store.reset()
	}
	r.mu.Lock()
	r.published = time.Now()
	r.mu.Unlock()
}

// offered says whether the release can be had.
func (r *Run) offered() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.options.Rush || !r.published.IsZero()
}

// populate makes the hosts, and dooms some of them.
func (r *Run) populate() {
	dice := rand.New(rand.NewPCG(r.options.Seed, 7))
	doomed := int(r.options.Dead * float64(r.options.Hosts))
	for i, n := range dice.Perm(r.options.Hosts) {
		h := newHost(r, n)
		h.doomed = i < doomed
		r.hosts[h.id] = h
	}
}

func (r *Run) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	for _, h := range r.hosts {
		h.die()
	}
	r.running.Wait()
}

func (r *Run) over() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// finish ends the run; the judge calls it once.
func (r *Run) finish() { close(r.ended) }

func (r *Run) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.errs) < 10 {
		r.errs = append(r.errs, err)
	}
}
