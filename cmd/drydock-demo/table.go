package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// columns are the lengths in the table.
func columns() []func(*update) time.Duration {
	return []func(*update) time.Duration{(*update).drain, (*update).reboot, (*update).out, (*update).beyond}
}

// table lists the updates and what they took.
func table(e evidence) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "host\tfrom\tto\tdrain\treboot\tout of service\tbeyond\tECS calls\tlock writes\t")
	for _, u := range e.updates {
		fmt.Fprintf(w, "%s\t%s\t%s\t", e.name(u.host), u.from, u.to)
		for _, length := range columns() {
			fmt.Fprintf(w, "%s\t", seconds(length(u)))
		}
		fmt.Fprintf(w, "%d\t%d\t\n", u.ecsCalls, u.dbWrites)
	}
	if len(e.updates) > 0 {
		fmt.Fprint(w, "mean\t\t\t")
		for _, length := range columns() {
			fmt.Fprintf(w, "%s\t", mean(e.updates, length))
		}
		fmt.Fprintf(w, "%.1f\t%.1f\t\n", ratio(e.updates, func(u *update) int { return u.ecsCalls }), ratio(e.updates, func(u *update) int { return u.dbWrites }))
	}
	_ = w.Flush() // into memory
	return b.String() + totals(e)
}

// totals are the figures of the whole run.
func totals(e evidence) string {
	idle, races := 0, 0
	for _, n := range e.idle {
		idle += n
	}
	for _, u := range e.updates {
		if u.lostRace {
			races++
		}
	}
	begin, end := bounds(e.updates)
	return fmt.Sprintf(`
updates: %d, from the first grant to the last return: %s
a returned slot stood free for %s on average
hosts that lost a race for a slot: %d; ECS calls by idle hosts: %d; agents killed: %d`,
		len(e.updates), seconds(span(begin, end)), handOff(e), races, idle, count(e.entries, "", killed))
}

// bounds are the first grant and the last return.
func bounds(updates []*update) (begin, end time.Time) {
	for _, u := range updates {
		if begin.IsZero() || u.granted.Before(begin) {
			begin = u.granted
		}
		if u.returned.After(end) {
			end = u.returned
		}
	}
	return begin, end
}

// handOff is the mean time for which a returned slot stood free: from each
// return to the first grant after it that filled no earlier gap.
func handOff(e evidence) string {
	var grants, returns []time.Time
	for _, u := range e.updates {
		grants = append(grants, u.granted)
		if !u.returned.IsZero() {
			returns = append(returns, u.returned)
		}
	}
	slices.SortFunc(grants, time.Time.Compare)
	slices.SortFunc(returns, time.Time.Compare)
	var sum time.Duration
	n := 0
	for _, at := range returns {
		next := slices.IndexFunc(grants, at.Before)
		if next < 0 {
			break
		}
		sum, n, grants = sum+grants[next].Sub(at), n+1, grants[next+1:]
	}
	if n == 0 {
		return "-"
	}
	return seconds(sum / time.Duration(n))
}

// mean is the average of the lengths that came about.
func mean(updates []*update, length func(*update) time.Duration) string {
	var sum time.Duration
	n := 0
	for _, u := range updates {
		if d := length(u); d != 0 {
			sum, n = sum+d, n+1
		}
	}
	if n == 0 {
		return "-"
	}
	return seconds(sum / time.Duration(n))
}

func ratio(updates []*update, of func(*update) int) float64 {
	sum := 0
	for _, u := range updates {
		sum += of(u)
	}
	return float64(sum) / float64(len(updates))
}

// seconds writes a length with a tenth of a second; "-" for one that did not
// come about.
func seconds(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
