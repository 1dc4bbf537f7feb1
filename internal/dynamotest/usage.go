package dynamotest

import "maps"

// Usage is what calls cost and how many there were. Calls that were lost,
// throttled, denied or cut off are not counted.
type Usage struct {
	Calls     map[string]int // by operation
	Reads     float64        // read units: 1 a consistent read of 4 KB, ½ otherwise
	Writes    float64        // write units: 1 a KB, failed conditions included
	Conflicts int            // failed conditions
}

// Usage adds up what the callers used since the start or the last ResetUsage;
// without callers it adds up all of them.
func (s *Server) Usage(callers ...string) Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := Usage{Calls: make(map[string]int)}
	if len(callers) == 0 {
		for caller := range maps.Keys(s.usage) {
			callers = append(callers, caller)
		}
	}
	for _, caller := range callers {
		u := s.usage[caller]
		if u == nil {
			continue
		}
		for op, n := range u.Calls {
			sum.Calls[op] += n
		}
		sum.Reads += u.Reads
		sum.Writes += u.Writes
		sum.Conflicts += u.Conflicts
	}
	return sum
}

// ResetUsage forgets what was used so far.
func (s *Server) ResetUsage() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.usage)
}

// bill returns the caller's account, to be used under the lock.
func (s *Server) bill(caller string) *Usage {
	u := s.usage[caller]
	if u == nil {
		u = &Usage{Calls: make(map[string]int)}
		s.usage[caller] = u
	}
	return u
}

// write bills a write by the larger of the item before and after.
func (u *Usage) write(before, after item) {
	u.Writes += units(max(before.size(), after.size()), 1024)
}

// read bills a read of so many bytes.
func (u *Usage) read(bytes int, consistent bool) {
	n := units(bytes, 4096)
	if !consistent {
		n /= 2
	}
	u.Reads += n
}

// units is at least 1: what is not there costs as much as what is small.
func units(bytes, unit int) float64 {
	return float64(max(1, (bytes+unit-1)/unit))
}
