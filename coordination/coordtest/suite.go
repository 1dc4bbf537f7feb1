package coordtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/drydock-ecs/drydock/coordination"
)

// Opener opens a store for one test. Several of its stores may share a table:
// the suites use fleets of their own.
type Opener func(t *testing.T) (coordination.Store, coordination.Rows)

// suiteTimeout bounds one test of the suite: no store may hang it.
const suiteTimeout = 2 * time.Minute

// Suite holds a store without faults to the contract of coordination.Store and
// coordination.Rows.
func Suite(t *testing.T, open Opener) {
	tests := []struct {
		name string
		run  func(*bench)
	}{
		{"nothing there", nothingThere},
		{"create", create},
		{"replace", replace},
		{"stale value", staleValue},
		{"token names the write", tokenNamesTheWrite},
		{"bytes are copied", bytesAreCopied},
		{"counter without lost update", counter},
		{"one of many creates", manyCreates},
		{"big bodies", bigBodies},
		{"unicode", unicode},
		{"fleets are apart", fleetsAreApart},
		{"cancelled", cancelled},
		{"host rows", hostRows},
		{"host rows in order, many", manyHosts},
		{"events", events},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			store, rows := open(t)
			ctx, cancel := context.WithTimeout(t.Context(), suiteTimeout)
			defer cancel()
			test.run(&bench{T: t, ctx: ctx, store: store, rows: rows})
		})
	}
}

// bench is what one test works with.
type bench struct {
	*testing.T
	ctx   context.Context
	store coordination.Store
	rows  coordination.Rows
}

// fleet returns a cluster ARN that no other test uses.
func (b *bench) fleet(suffix string) string {
	name := strings.NewReplacer("/", "-", " ", "-", ",", "").Replace(b.Name())
	return "arn:aws:ecs:eu-north-1:111122223333:cluster/" + name + suffix
}

// must stops the test unless the call went well.
func (b *bench) must(v coordination.Value, err error) coordination.Value {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
	return v
}

// wants reports an error that is not the wanted one.
func (b *bench) wants(what string, err, want error) {
	b.Helper()
	if !errors.Is(err, want) {
		b.Errorf("%s: error %v, want %v", what, err, want)
	}
}

// holds reports a fleet whose stored value is another.
func (b *bench) holds(fleet string, want coordination.Value) {
	b.Helper()
	got := b.must(b.store.Fetch(b.ctx, fleet))
	if got.Fleet != want.Fleet || got.Token != want.Token || !bytes.Equal(got.Body, want.Body) {
		b.Errorf("%s holds %.80q (%s), want %.80q (%s)", fleet, got.Body, got.Token, want.Body, want.Token)
	}
}

func nothingThere(b *bench) {
	fleet := b.fleet("")
	_, err := b.store.Fetch(b.ctx, fleet)
	b.wants("fetch", err, coordination.ErrNotFound)
	_, err = b.store.Replace(b.ctx, coordination.Value{Fleet: fleet, Token: "made up"}, []byte(`{}`))
	b.wants("replace of nothing", err, coordination.ErrConflict)
	_, err = b.store.Replace(b.ctx, coordination.Value{Fleet: fleet}, []byte(`{}`))
	b.wants("replace of nothing without a token", err, coordination.ErrConflict)
	_, err = b.store.Fetch(b.ctx, fleet)
	b.wants("fetch after refused writes", err, coordination.ErrNotFound)
	rows, err := b.rows.Hosts(b.ctx, fleet)
	if err != nil || len(rows) != 0 {
		b.Errorf("hosts of an unknown fleet: %v, %v", rows, err)
	}
}

func create(b *bench) {
	fleet := b.fleet("")
	first := b.must(b.store.Create(b.ctx, fleet, []byte(`{"schema":1}`)))
	if first.Fleet != fleet || first.Token == "" || string(first.Body) != `{"schema":1}` {
		b.Errorf("created %+v", first)
	}
	b.holds(fleet, first)
	_, err := b.store.Create(b.ctx, fleet, []byte(`{"schema":1}`))
	b.wants("create again", err, coordination.ErrConflict)
	b.holds(fleet, first)
}

func replace(b *bench) {
	fleet := b.fleet("")
	v := b.must(b.store.Create(b.ctx, fleet, []byte(`{"n":0}`)))
	for n := 1; n <= 3; n++ {
		v = b.must(b.store.Replace(b.ctx, v, fmt.Appendf(nil, `{"n":%d}`, n)))
		b.holds(fleet, v)
	}
	fetched := b.must(b.store.Fetch(b.ctx, fleet))
	b.holds(fleet, b.must(b.store.Replace(b.ctx, fetched, []byte(``))))
}

func staleValue(b *bench) {
	fleet := b.fleet("")
	first := b.must(b.store.Create(b.ctx, fleet, []byte(`1`)))
	second := b.must(b.store.Replace(b.ctx, first, []byte(`2`)))
	for _, stale := range []coordination.Value{first, {Fleet: fleet, Token: "made up"}, {Fleet: fleet}} {
		v, err := b.store.Replace(b.ctx, stale, []byte(`3`))
		b.wants("replace of "+strconv.Quote(stale.Token), err, coordination.ErrConflict)
		if v.Token != "" || v.Body != nil {
			b.Errorf("a failed replace returned %+v", v)
		}
	}
	b.holds(fleet, second)
}

func tokenNamesTheWrite(b *bench) {
	fleet, body := b.fleet(""), []byte(`{"same":true}`)
	first := b.must(b.store.Create(b.ctx, fleet, body))
	second := b.must(b.store.Replace(b.ctx, first, body))
	third := b.must(b.store.Replace(b.ctx, second, body))
	if first.Token == second.Token || second.Token == third.Token || first.Token == third.Token {
		b.Errorf("tokens %q, %q, %q of three writes", first.Token, second.Token, third.Token)
	}
	// The body is back to what it was; the value is not.
	_, err := b.store.Replace(b.ctx, first, body)
	b.wants("replace of an earlier write of the same body", err, coordination.ErrConflict)
}

func bytesAreCopied(b *bench) {
	fleet, body := b.fleet(""), []byte(`{"a":1}`)
	v := b.must(b.store.Create(b.ctx, fleet, body))
	body[0], v.Body[1] = 'X', 'X'
	fetched := b.must(b.store.Fetch(b.ctx, fleet))
	fetched.Body[2] = 'X'
	if got := b.must(b.store.Fetch(b.ctx, fleet)); string(got.Body) != `{"a":1}` {
		b.Errorf("the stored body became %q", got.Body)
	}
}

// counter lets goroutines add to one number by compare-and-swap.
func counter(b *bench) {
	const workers, each = 16, 8
	fleet := b.fleet("")
	b.must(b.store.Create(b.ctx, fleet, []byte(`0`)))
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for range each {
				if err := b.increment(fleet); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	if got := b.must(b.store.Fetch(b.ctx, fleet)); string(got.Body) != strconv.Itoa(workers*each) {
		b.Errorf("counted to %s, want %d", got.Body, workers*each)
	}
}

func (b *bench) increment(fleet string) error {
	for b.ctx.Err() == nil {
		old, err := b.store.Fetch(b.ctx, fleet)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(string(old.Body))
		if err != nil {
			return err
		}
		_, err = b.store.Replace(b.ctx, old, []byte(strconv.Itoa(n+1)))
		if !errors.Is(err, coordination.ErrConflict) {
			return err
		}
	}
	return b.ctx.Err()
}

func manyCreates(b *bench) {
	const workers = 16
	fleet := b.fleet("")
	made := make(chan coordination.Value, workers)
	var group sync.WaitGroup
	for i := range workers {
		group.Go(func() {
			v, err := b.store.Create(b.ctx, fleet, []byte(strconv.Itoa(i)))
			if err == nil {
				made <- v
				return
			}
			b.wants("create", err, coordination.ErrConflict)
		})
	}
	group.Wait()
	if len(made) != 1 {
		b.Fatalf("%d of %d creates went well", len(made), workers)
	}
	b.holds(fleet, <-made)
}

func bigBodies(b *bench) {
	fleet := b.fleet("")
	big := bytes.Repeat([]byte("0123456789"), 30*1024)
	tooBig := bytes.Repeat([]byte("0123456789"), 41*1024)
	v := b.must(b.store.Create(b.ctx, fleet, big))
	b.holds(fleet, v)
	_, err := b.store.Replace(b.ctx, v, tooBig)
	b.definite("replace by 410 KB", err)
	b.holds(fleet, v)
	_, err = b.store.Create(b.ctx, b.fleet("-2"), tooBig)
	b.definite("create of 410 KB", err)
	_, err = b.store.Fetch(b.ctx, b.fleet("-2"))
	b.wants("fetch after a refused create", err, coordination.ErrNotFound)
}

// definite reports an error that is missing or one of the sentinels: it should
// say that nothing was written, and why.
func (b *bench) definite(what string, err error) {
	b.Helper()
	if Kind(err) != "other" {
		b.Errorf("%s: error %v, want one that is no sentinel", what, err)
	}
}

func unicode(b *bench) {
	for i, body := range []string{"{\"who\":\"Ænne Şimşek 🚢\"}", "\u0000\u0001\u2028\"\\", "<a&b>", strings.Repeat("é", 1000)} {
		fleet := b.fleet(strconv.Itoa(i) + "-ö")
		v := b.must(b.store.Create(b.ctx, fleet, []byte(body)))
		b.holds(fleet, v)
		b.holds(fleet, b.must(b.store.Replace(b.ctx, v, []byte(body+body))))
	}
}

func fleetsAreApart(b *bench) {
	one, two := b.fleet("-one"), b.fleet("-one2") // one name begins with the other
	first := b.must(b.store.Create(b.ctx, one, []byte(`1`)))
	second := b.must(b.store.Create(b.ctx, two, []byte(`2`)))
	_, err := b.store.Replace(b.ctx, coordination.Value{Fleet: one, Token: second.Token}, []byte(`3`))
	b.wants("replace by the token of another fleet", err, coordination.ErrConflict)
	b.holds(one, first)
	b.holds(two, b.must(b.store.Replace(b.ctx, second, []byte(`4`))))
	b.holds(one, first)
	b.put(one, coordination.HostRow{Host: "i-1", Phase: "idle"})
	if rows, err := b.rows.Hosts(b.ctx, two); err != nil || len(rows) != 0 {
		b.Errorf("hosts of the other fleet: %v, %v", rows, err)
	}
}

func cancelled(b *bench) {
	fleet := b.fleet("")
	v := b.must(b.store.Create(b.ctx, fleet, []byte(`1`)))
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	_, err := b.store.Fetch(ctx, fleet)
	b.wants("fetch", err, context.Canceled)
	_, err = b.store.Create(ctx, b.fleet("-2"), []byte(`1`))
	b.wants("create", err, context.Canceled)
	b.definite("create", err)
	_, err = b.store.Replace(ctx, v, []byte(`2`))
	b.wants("replace", err, context.Canceled)
	b.definite("replace", err)
	b.wants("put host", b.rows.PutHost(ctx, fleet, coordination.HostRow{Host: "i-1"}), context.Canceled)
	_, err = b.rows.Hosts(ctx, fleet)
	b.wants("hosts", err, context.Canceled)
	b.holds(fleet, v)
}

func (b *bench) put(fleet string, row coordination.HostRow) {
	b.Helper()
	if err := b.rows.PutHost(b.ctx, fleet, row); err != nil {
		b.Fatal(err)
	}
}

func hostRows(b *bench) {
	fleet := b.fleet("")
	at := time.Date(2026, 2, 3, 4, 5, 6, 789, time.UTC)
	lock := b.must(b.store.Create(b.ctx, fleet, []byte(`{}`)))
	full := coordination.HostRow{
		Host: "i-0b", Version: "1.50.0", Offered: "1.51.0", Phase: "waiting", Since: at, Reason: "window closed – „später“",
		Generation: 7, Ticket: 12, Zone: "eu-north-1a", ARN: "arn:aws:ecs:…", Waves: map[string]string{"seed": "42"},
		Agent: "0.1.0", Written: at.Add(time.Minute),
	}
	b.put(fleet, coordination.HostRow{Host: "i-0b", Version: "1.49.0", Phase: "idle", Ticket: 3})
	b.put(fleet, coordination.HostRow{Host: "i-0a", Phase: "idle"})
	b.put(fleet, full)
	b.put(fleet, full)
	got, err := b.rows.Hosts(b.ctx, fleet)
	want := []coordination.HostRow{{Host: "i-0a", Phase: "idle"}, full}
	if err != nil || !reflect.DeepEqual(got, want) {
		b.Errorf("hosts %+v, %v\nwant %+v", got, err, want)
	}
	b.holds(fleet, lock)
}

// manyHosts writes more than one page of DynamoDB holds (1 MB).
func manyHosts(b *bench) {
	const hosts, writers = 1200, 8
	fleet, reason := b.fleet(""), strings.Repeat("a long reason ", 70)
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := w; i < hosts; i += writers {
				row := coordination.HostRow{Host: fmt.Sprintf("i-%05d", (i*7919)%hosts), Phase: "idle", Reason: reason}
				if err := b.rows.PutHost(b.ctx, fleet, row); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	got, err := b.rows.Hosts(b.ctx, fleet)
	if err != nil || len(got) != hosts {
		b.Fatalf("%d hosts, %v; want %d", len(got), err, hosts)
	}
	for i, row := range got {
		if want := fmt.Sprintf("i-%05d", i); row.Host != want || row.Reason != reason {
			b.Fatalf("row %d is %s with a reason of %d bytes, want %s", i, row.Host, len(row.Reason), want)
		}
	}
}

func events(b *bench) {
	fleet := b.fleet("")
	lock := b.must(b.store.Create(b.ctx, fleet, []byte(`{}`)))
	at := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	for _, event := range []coordination.Event{
		{Generation: 7, Host: "i-1", At: at, From: "1.50.0", To: "1.51.0", Outcome: "updated", Seconds: map[string]float64{"draining": 61.5}},
		{Generation: 7, Host: "i-1", At: at, From: "1.50.0", To: "1.51.0", Outcome: "updated"},
		{At: at, Outcome: "halted", Who: "arn:aws:sts::111122223333:assumed-role/op/ada", What: "halt"},
	} {
		if err := b.rows.PutEvent(b.ctx, fleet, event); err != nil {
			b.Errorf("write event %s: %v", event.Key(), err)
		}
	}
	// Events are neither hosts nor the lock.
	if rows, err := b.rows.Hosts(b.ctx, fleet); err != nil || len(rows) != 0 {
		b.Errorf("hosts after events: %v, %v", rows, err)
	}
	b.holds(fleet, lock)
}
