package coordination

import (
	"fmt"
	"testing"
	"time"
)

// crowd is a record with so many holders, none of whom is the host of
// claimOf, and room for one more.
func crowd(holders int) Record {
	return fleetOf(empty, policy(fmt.Sprintf("%d 1 0", holders+1)), func(r *Record) {
		r.Generation = int64(holders)
		for i := range holders {
			r.Holders = append(r.Holders, Holder{
				Host: fmt.Sprintf("i-%017x", i), Generation: int64(i + 1), Phase: Draining,
				GrantedAt: clock(1), Since: clock(2), Announced: time.Hour.Seconds(), From: "1.50.0", Target: "1.51.0",
				Boot: "0c1b4d6e-3f7a-4d7c-9a55-6f1f3e6f8d2b", Zone: "eu-west-1a",
				ARN: fmt.Sprintf("arn:aws:ecs:eu-west-1:111122223333:container-instance/web/%032x", i),
			})
		}
	})
}

// maxHolders is the highest number of slots that a policy may give.
const maxHolders = 100

func BenchmarkDecode(b *testing.B) {
	body, err := crowd(maxHolders).Encode()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if r, err := Decode(body); err != nil || len(r.Holders) != maxHolders {
			b.Fatal(len(r.Holders), err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	r := crowd(maxHolders)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Encode(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGrant(b *testing.B) {
	r := crowd(maxHolders - 1)
	rule := Grant(claimOf(), numbers, clock(5))
	b.ReportAllocs()
	for b.Loop() {
		if after, err := rule.Change(r); err != nil || len(after.Holders) != maxHolders {
			b.Fatal(len(after.Holders), err)
		}
	}
}
