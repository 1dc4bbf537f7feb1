// Package ec2test is a stand-in for the part of Amazon EC2 that the agent
// asks: DescribeInstances over the Query protocol, with a filter of instance
// ids. What the real one would refuse it refuses.
package ec2test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Account is the instances of one account and Region. All methods may be
// called by several goroutines.
type Account struct {
	mu     sync.Mutex
	region string
	states map[string]string
	fault  func(Call) Fault
	page   int
	calls  []Call
}

// Call is a request that was signed and made sense.
type Call struct {
	Caller string   // access key id of its signature
	IDs    []string // values of the filter
	Page   int      // 0 is the first
}

// Fault is what goes wrong with a call. The zero value is nothing.
type Fault struct {
	Status  int    // of the answer; 0 is 400
	Code    string // EC2's error code: "UnauthorizedOperation", "RequestLimitExceeded", …
	Drop    bool   // the connection breaks without an answer
	Body    string // this is the answer, with the status or 200
	Blind   bool   // the answer lacks every instance but the caller's own, if the ids have it
	Message string // of the error
}

// New returns an account without instances.
func New(region string) *Account {
	return &Account{region: region, states: make(map[string]string), page: maxPage}
}

// Set gives an instance a state: "pending", "running", "shutting-down",
// "terminated", "stopping" or "stopped".
func (a *Account) Set(id, state string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.states[id] = state
}

// Forget removes an instance, as EC2 does an hour after its end.
func (a *Account) Forget(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.states, id)
}

// State returns an instance's state, "" for one that is not known.
func (a *Account) State(id string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.states[id]
}

// SetFault asks about each call from now on; nil ends it.
func (a *Account) SetFault(ask func(Call) Fault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fault = ask
}

// SetPage makes pages smaller than they were asked for.
func (a *Account) SetPage(size int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.page = size
}

// Calls returns all calls so far.
func (a *Account) Calls() []Call {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.calls)
}

// note writes a call down and says what goes wrong with it.
func (a *Account) note(c Call) Fault {
	a.mu.Lock()
	a.calls = append(a.calls, c)
	ask := a.fault
	a.mu.Unlock()
	if ask == nil {
		return Fault{}
	}
	return ask(c)
}

// found returns a page of the instances asked for, and whether there is more.
func (a *Account) found(ids []string, page, size int) (rows []row, more bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var known []string
	for _, id := range slices.Sorted(maps.Keys(a.states)) {
		if slices.Contains(ids, id) {
			known = append(known, id)
		}
	}
	size = min(size, a.page)
	from := min(page*size, len(known))
	to := min(from+size, len(known))
	for _, id := range known[from:to] {
		rows = append(rows, row{id, a.states[id]})
	}
	return rows, to < len(known)
}

// signedBy returns the access key id of a signature for EC2 in the Region.
// The signature itself is not checked.
func signedBy(r *http.Request, region string) (key string, ok bool) {
	text := r.Header.Get("Authorization")
	_, scope, ok := strings.Cut(text, "AWS4-HMAC-SHA256 Credential=")
	scope, rest, more := strings.Cut(scope, ", ")
	parts := strings.Split(scope, "/")
	if !ok || !more || len(parts) != 5 || parts[0] == "" || r.Header.Get("X-Amz-Date") == "" {
		return "", false
	}
	for _, must := range []string{"SignedHeaders=", "host", "content-type", "x-amz-date", "Signature="} {
		if !strings.Contains(rest, must) {
			return "", false
		}
	}
	return parts[0], parts[2] == region && parts[3] == "ec2" && parts[4] == "aws4_request"
}
