// Package coordination is the lock of a fleet: a record that says which hosts
// may be out of service, and the pure rules by which it changes.
//
// A [Record] is a plain value. A [Rule] takes one record and gives the next,
// and knows neither clock nor network; a [Fleet] reads the record, asks the
// rule, and stores the answer by compare-and-swap, again and again until the
// rule has its way, is denied, or the context ends. Every rule is written so
// that applying it a second time changes nothing: that is how a lost answer
// is settled, by content and not by memory.
package coordination
