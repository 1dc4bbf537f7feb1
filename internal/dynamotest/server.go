// Package dynamotest is a stand-in for DynamoDB, in process, that speaks its
// wire protocol: awsJson1.0 with typed errors and checksums.
//
// It is strict. It knows the operations, parameters, attribute types and
// expressions that package dynamo uses; anything else is an error that names
// it and is never ignored. Attribute names in expressions must be #names, since
// the list of reserved words is not kept here; numbers must be plain integers.
//
// Each call can be made to fail in two independent ways: whether it was
// applied, and what was answered (Fault). Callers are told apart by the access
// key id that they sign with; the signature itself is not checked.
package dynamotest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limits of DynamoDB.
const (
	maxItem = 400 * 1024       // bytes of one item, names included
	maxPage = 1 << 20          // bytes of one Query page
	maxBody = 16 * 1024 * 1024 // bytes of one request
)

// Server is a region of DynamoDB. It is an http.Handler; Client gives an SDK
// client that needs no socket and so works under testing/synctest.
type Server struct {
	// CreateFor is how long a new table is CREATING, and BackupsAfter how long
	// after its creation it has no backups. To be set before the first call.
	CreateFor    time.Duration
	BackupsAfter time.Duration

	mu     sync.Mutex
	tables map[string]*table
	usage  map[string]*Usage // by caller
	cut    map[string]bool   // callers that do not reach the server
	hook   func(Call) Fault
	calls  int
}

// New returns a server without tables, faults or traffic.
func New() *Server {
	return &Server{tables: make(map[string]*table), usage: make(map[string]*Usage), cut: make(map[string]bool)}
}

// Call is one request, as the fault hook sees it.
type Call struct {
	N      int    // number of the call, from 1
	Caller string // access key id
	Op     string // GetItem, UpdateItem, …
	Table  string
	Item   string // sort key of the item, "" when the call names none
	Write  bool   // whether it may change an item
}

// Fault is what goes wrong with one call. The zero Fault is nothing.
type Fault struct {
	// Lost: the request is not applied. Throttled and Denied imply it.
	Lost bool
	// Latency passes before the request is applied. A caller that gives up
	// meanwhile does not stop it: the write lands late.
	Latency time.Duration
	// Answer is what the caller is told.
	Answer Answer
}

// Answer is what a caller is told of its call.
type Answer int

// The answers. Lost with Truth is answered as Dropped: nobody can say that a
// lost request went well.
const (
	Truth     Answer = iota // what happened
	Throttled               // 400 ThrottlingException
	Denied                  // 400 AccessDeniedException
	Failed                  // 500 InternalServerError
	Dropped                 // the connection closes without an answer
	Hung                    // nothing until the caller gives up
)

// Faults sets the hook that is asked of every call; nil for none. It may be
// called from several goroutines at once.
func (s *Server) Faults(hook func(Call) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = hook
}

// Cut takes a caller off the network or back on it. Calls of a caller that is
// cut off are neither applied nor answered.
func (s *Server) Cut(caller string, off bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut[caller] = off
}

// ServeHTTP answers one request. It does not return before the answer, or
// before the client has gone where there is none.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := s.handle(r)
	if err != nil {
		panic(http.ErrAbortHandler) // net/http's way to close without an answer
	}
	for name, value := range answer.header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(answer.status)
	_, _ = w.Write(answer.body) // a client that left meanwhile is its own affair
}

// response is a whole answer.
type response struct {
	status int
	header map[string]string
	body   []byte
}

var (
	errDropped = errors.New("connection reset by peer")
	errGone    = errors.New("caller gave up")
)

// handle runs one request through faults and operations. An error means that
// there is no answer.
func (s *Server) handle(r *http.Request) (response, error) {
	in, err := readRequest(r)
	if err != nil {
		return respond("", nil, err), nil
	}
	fault, cut := s.begin(&in.Call)
	if cut {
		<-r.Context().Done()
		return response{}, errGone
	}
	if fault.Answer == Throttled || fault.Answer == Denied {
		fault.Lost = true
	}
	answer, err := s.land(r.Context(), in, fault)
	if err != nil {
		return response{}, err
	}
	return fault.report(r.Context(), in.Call, answer)
}

// begin numbers the call and asks what is to go wrong with it.
func (s *Server) begin(call *Call) (fault Fault, cut bool) {
	s.mu.Lock()
	s.calls++
	call.N = s.calls
	hook, cut := s.hook, s.cut[call.Caller]
	s.mu.Unlock()
	if hook == nil || cut {
		return Fault{}, cut
	}
	return hook(*call), false
}

// land applies the request after its latency, whether or not the caller still
// waits for it.
func (s *Server) land(ctx context.Context, in request, fault Fault) (response, error) {
	apply := func() response {
		if fault.Lost {
			return response{}
		}
		out, err := s.apply(in)
		return respond(strconv.Itoa(in.N), out, err)
	}
	if fault.Latency <= 0 {
		return apply(), nil
	}
	landed := make(chan response, 1)
	time.AfterFunc(fault.Latency, func() { landed <- apply() })
	select {
	case answer := <-landed:
		return answer, nil
	case <-ctx.Done():
		return response{}, errGone
	}
}

// report turns what happened into what is told.
func (f Fault) report(ctx context.Context, call Call, truth response) (response, error) {
	id := strconv.Itoa(call.N)
	switch f.Answer {
	case Throttled:
		return respond(id, nil, throttled()), nil
	case Denied:
		return respond(id, nil, denied(call)), nil
	case Failed:
		return respond(id, nil, internal()), nil
	case Hung:
		<-ctx.Done()
		return response{}, errGone
	case Dropped:
		return response{}, errDropped
	}
	if f.Lost {
		return response{}, errDropped
	}
	return truth, nil
}

// request is one call with its parameters.
type request struct {
	Call
	body []byte
}

const targetPrefix = "DynamoDB_20120810."

// readRequest checks the envelope of a request and names what it is about.
func readRequest(r *http.Request) (request, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil || len(body) > maxBody {
		return request{}, fail(http.StatusRequestEntityTooLarge, "com.amazon.coral.service#SerializationException", "the body cannot be read or is too long")
	}
	if r.Method != http.MethodPost || r.URL.Path != "/" {
		return request{}, unknownOperation(r.Method + " " + r.URL.Path)
	}
	if kind := r.Header.Get("Content-Type"); kind != "application/x-amz-json-1.0" {
		return request{}, unknownOperation("Content-Type " + kind)
	}
	op, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	if !ok {
		return request{}, unknownOperation("X-Amz-Target " + r.Header.Get("X-Amz-Target"))
	}
	caller, err := callerOf(r.Header.Get("Authorization"))
	if err != nil {
		return request{}, err
	}
	in := request{Call: Call{Caller: caller, Op: op}, body: body}
	in.describe()
	return in, nil
}

// callerOf takes the access key id from the credential scope
// (AKID/date/region/dynamodb/aws4_request).
func callerOf(authorization string) (string, error) {
	_, rest, ok := strings.Cut(authorization, "Credential=")
	if !ok || !strings.HasPrefix(authorization, "AWS4-HMAC-SHA256 ") {
		return "", fail(http.StatusBadRequest, "com.amazon.coral.service#MissingAuthenticationTokenException", "Request is missing Authentication Token")
	}
	scope, _, _ := strings.Cut(rest, ",")
	parts := strings.Split(scope, "/")
	if len(parts) != 5 || parts[3] != "dynamodb" || parts[4] != "aws4_request" {
		return "", fail(http.StatusBadRequest, "com.amazon.coral.service#InvalidSignatureException", "credential scope "+scope)
	}
	return parts[0], nil
}

// describe fills in table, item and kind from the parameters, as far as they
// can be read; the operation checks them properly.
func (in *request) describe() {
	var body struct {
		TableName string
		Key       item
		Item      item
	}
	_ = json.Unmarshal(in.body, &body)
	in.Table = body.TableName
	in.Write = slices.Contains([]string{"PutItem", "UpdateItem", "DeleteItem"}, in.Op)
	for _, it := range []item{body.Key, body.Item} {
		if v := it["item"]; v.S != nil {
			in.Item = *v.S
		}
	}
}

// respond makes the answer of a result or an error.
func respond(id string, out any, err error) response {
	status := http.StatusOK
	if err != nil {
		failure, ok := errors.AsType[*apiError](err)
		if !ok {
			failure = internal()
		}
		status, out = failure.status, failure
	}
	body, err := json.Marshal(out)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{}`)
	}
	return response{status, map[string]string{
		"Content-Type":     "application/x-amz-json-1.0",
		"X-Amz-Crc32":      fmt.Sprint(crc32.ChecksumIEEE(body)),
		"X-Amzn-Requestid": id,
	}, body}
}
