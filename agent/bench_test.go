package agent

import "testing"

// BenchmarkParsePolicy is what an agent does at each look at the lock, once
// for itself and once for the rule.
func BenchmarkParsePolicy(b *testing.B) {
	const text = `slots = 3
max_failures = 2

[drain]
timeout = "40m"

[[window]]
days = ["sat", "sun"]
start = "22:00"
length = "4h"
zone = "Europe/Berlin"
`
	b.ReportAllocs()
	for b.Loop() {
		if p, err := ParsePolicy(text); err != nil || p.Slots != 3 {
			b.Fatal(p.Slots, err)
		}
	}
}

// BenchmarkNext is one decision.
func BenchmarkNext(b *testing.B) {
	b.ReportAllocs()
	s := State{Phase: Idle}
	for b.Loop() {
		if next := Next(s, Outcome{Kind: Done, Target: "1.51.0"}); next.Phase != Staging {
			b.Fatal(next.Phase)
		}
	}
}
