package scale

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/drydock-ecs/drydock/coordination"
)

// DynamoDB's limits for one item and its on-demand prices.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/burst-adaptive-capacity.html
// https://aws.amazon.com/dynamodb/pricing/on-demand/ (us-east-1)
const (
	maxReadUnits  = 3000 // a second
	maxWriteUnits = 1000 // a second
	readUnit      = 4096 // bytes, strongly consistent
	writeUnit     = 1024 // bytes
	readPrice     = 0.125e-6
	writePrice    = 0.625e-6
	// attributes is what the lock item has besides its body: key, nonce, schema.
	attributes = 180
)

// errThrottled says that nothing was written or read.
var errThrottled = errors.New("throttled: throughput exceeds what one item may have")

// store is the table with one lock, as its calls see it: they take some
// milliseconds, and too many in one second are throttled.
type store struct {
	judge *judge

	mu     sync.Mutex
	dice   *rand.Rand
	token  int
	body   []byte
	known  string // token of the record that was decoded last
	record coordination.Record
	meter  meter
}

// meter counts what the table was asked for.
type meter struct {
	reads, writes, conflicts, throttled int // of the lock item
	rows                                int // host and event rows written
	readUnits, writeUnits               int // of all
	size                                int // the largest body

	second                                int64 // the second that is being counted
	readsNow, readUnitsNow, writeUnitsNow int   // in it
	peak                                  int   // most reads in one second
	peakAt                                time.Time
}

func newStore(j *judge, seed uint64) *store {
	return &store{judge: j, dice: rand.New(rand.NewPCG(seed, 99))}
}

// reset begins the counts anew.
func (s *store) reset() {
	s.mu.Lock()
	s.meter = meter{}
	s.mu.Unlock()
	s.judge.reset()
}

// decoded is the record of a token, if it is the one decoded last.
func (s *store) decoded(token string) (coordination.Record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.record, s.known == token
}

func (s *store) keep(token string, r coordination.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known, s.record = token, r
}

// units rounds a size up.
func units(bytes, unit int) int { return (bytes + unit - 1) / unit }

// tick begins a new second of the counts. The lock must be held.
func (m *meter) tick() {
	if s := time.Now().Unix(); s != m.second {
		m.second, m.readsNow, m.readUnitsNow, m.writeUnitsNow = s, 0, 0, 0
	}
}

// read counts a read of the lock item; false: it is throttled.
func (m *meter) read(size int) bool {
	m.tick()
	n := units(size+attributes, readUnit)
	if m.readUnitsNow+n > maxReadUnits {
		m.throttled++
		return false
	}
	m.reads++
	m.readUnits += n
	m.readUnitsNow += n
	if m.readsNow++; m.readsNow > m.peak {
		m.peak, m.peakAt = m.readsNow, time.Now()
	}
	return true
}

// write counts a write of the lock item; false: it is throttled. One whose
// condition fails costs as much as one that is applied.
func (m *meter) write(size int) bool {
	m.tick()
	n := units(size+attributes, writeUnit)
	if m.writeUnitsNow+n > maxWriteUnits {
		m.throttled++
		return false
	}
	m.writes++
	m.writeUnits += n
	m.writeUnitsNow += n
	m.size = max(m.size, size)
	return true
}

// cost is the bill in USD.
func (m *meter) cost() float64 {
	return float64(m.readUnits)*readPrice + float64(m.writeUnits)*writePrice
}

// door is the table as one host reaches it.
type door struct {
	*store
	host string
}

// travel is half of a call's time: 5 to 10 ms for both ways.
func (s *store) travel(ctx context.Context) error {
	s.mu.Lock()
	d := between(s.dice, 2500*time.Microsecond, 5*time.Millisecond)
	s.mu.Unlock()
	return pause(ctx, d)
}

// Fetch is coordination.Store's.
func (d door) Fetch(ctx context.Context, fleet string) (coordination.Value, error) {
	if err := d.travel(ctx); err != nil {
		return coordination.Value{}, err
	}
	d.mu.Lock()
	ok := d.meter.read(len(d.body))
	value := coordination.Value{Fleet: fleet, Token: strconv.Itoa(d.token), Body: d.body}
	d.mu.Unlock()
	d.judge.read(d.host)
	if err := d.travel(ctx); err != nil {
		return coordination.Value{}, err
	}
	if !ok {
		return coordination.Value{}, errThrottled
	}
	return value, nil
}

// Create is coordination.Store's; the run itself makes the record.
func (d door) Create(context.Context, string, []byte) (coordination.Value, error) {
	return coordination.Value{}, coordination.ErrConflict
}

// Replace is coordination.Store's.
func (d door) Replace(ctx context.Context, old coordination.Value, body []byte) (coordination.Value, error) {
	if err := d.travel(ctx); err != nil {
		return coordination.Value{}, err
	}
	next, err := d.replace(old, body)
	if sleepErr := d.travel(ctx); sleepErr != nil {
		return coordination.Value{}, errors.Join(coordination.ErrUnknown, sleepErr)
	}
	return next, err
}

func (d door) replace(old coordination.Value, body []byte) (coordination.Value, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case !d.meter.write(len(body)):
		return coordination.Value{}, errThrottled
	case old.Token != strconv.Itoa(d.token):
		d.meter.conflicts++
		return coordination.Value{}, coordination.ErrConflict
	}
	d.token++
	d.body = body
	d.judge.changed(d.host, body)
	return coordination.Value{Fleet: old.Fleet, Token: strconv.Itoa(d.token), Body: body}, nil
}

// PutHost is coordination.Rows'.
func (d door) PutHost(ctx context.Context, _ string, row coordination.HostRow) error {
	return d.put(ctx, row)
}

// PutEvent is coordination.Rows'.
func (d door) PutEvent(ctx context.Context, _ string, event coordination.Event) error {
	return d.put(ctx, event)
}

// Hosts is coordination.Rows'; no agent asks for it.
func (d door) Hosts(context.Context, string) ([]coordination.HostRow, error) { return nil, nil }

// put counts a row and forgets it.
func (d door) put(ctx context.Context, row any) error {
	if err := d.travel(ctx); err != nil {
		return err
	}
	encoded, err := json.Marshal(row)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.meter.rows++
	d.meter.writeUnits += units(len(encoded)+attributes, writeUnit)
	d.mu.Unlock()
	return d.travel(ctx)
}
