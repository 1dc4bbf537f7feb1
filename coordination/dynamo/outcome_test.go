package dynamo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// answered is an error as the SDK returns it for an HTTP answer.
func answered(status int, err error) error {
	return &smithy.OperationError{ServiceID: "DynamoDB", OperationName: "UpdateItem", Err: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}}, Err: err,
	}}
}

func code(name string) error { return &smithy.GenericAPIError{Code: name} }

// TestDefinite: only what proves that nothing was written may say so.
func TestDefinite(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want bool
	}{
		{"condition failed", answered(400, &types.ConditionalCheckFailedException{}), true},
		{"throttled", answered(400, code("ThrottlingException")), true},
		{"throttled, retries used up", &retry.MaxAttemptsError{Attempt: 3, Err: answered(400, code("ThrottlingException"))}, true},
		{"throttled, retry quota used up", errors.Join(answered(400, code("ThrottlingException")), errors.New("quota")), true},
		{"access denied", answered(400, code("AccessDeniedException")), true},
		{"validation", answered(400, code("ValidationException")), true},
		{"no such table", answered(400, &types.ResourceNotFoundException{}), true},
		{"client fault without HTTP", &types.ConditionalCheckFailedException{}, true},
		{"connection refused", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, true},
		{"proxy refused", &net.OpError{Op: "proxyconnect", Err: syscall.ECONNREFUSED}, true},
		{"no such name", &net.DNSError{IsNotFound: true}, true},
		{"parameters", smithy.InvalidParamsError{}, true},

		{"500", answered(500, &types.InternalServerError{}), false},
		{"500 without HTTP", &types.InternalServerError{}, false},
		{"503", answered(503, code("ServiceUnavailable")), false},
		{"503 that says throttled", answered(503, code("ThrottlingException")), false},
		{"408", answered(408, code("RequestTimeout")), false},
		{"a proxy's 403", answered(403, code("UnknownError")), false},
		{"4xx without a code", answered(400, errors.New("not JSON")), false},
		{"200 that cannot be read", answered(200, code("")), false},
		{"reset", &net.OpError{Op: "read", Err: syscall.ECONNRESET}, false},
		{"reset while writing", &net.OpError{Op: "write", Err: syscall.EPIPE}, false},
		{"deadline", context.DeadlineExceeded, false},
		{"cancelled between attempts", &aws.RequestCanceledError{Err: context.Canceled}, false},
		{"something new", errors.New("something new"), false},
	}
	for _, test := range tests {
		for _, err := range []error{test.err, fmt.Errorf("wrapped: %w", test.err)} {
			if got := definite(err); got != test.want {
				t.Errorf("%s: definite is %v", test.name, got)
			}
		}
		if !test.want && newRetryer().IsErrorRetryable(test.err) {
			t.Errorf("%s: a write would be sent again", test.name)
		}
	}
}

// TestAttemptsFitIntoTheTimeout: however the jitter falls, a call that fails at once
// each time ends with that failure, not with its deadline.
func TestAttemptsFitIntoTheTimeout(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	for name, r := range map[string]aws.Retryer{"reads": newReadRetryer(), "writes": newRetryer()} {
		for range 1000 {
			var waited time.Duration
			for attempt := 1; attempt < r.MaxAttempts(); attempt++ {
				wait, err := r.RetryDelay(attempt, refused)
				if err != nil {
					t.Fatal(err)
				}
				waited += wait
			}
			if waited > Timeout/2 {
				t.Fatalf("%s: %s of %s are spent between the attempts", name, waited, Timeout)
			}
		}
	}
}
