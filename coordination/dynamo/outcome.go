package dynamo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/internal/hint"
)

// longestBackOff is the most that is waited between two attempts of a call. All
// of them must fit into its Timeout: else the error would be that of the deadline,
// and say nothing of what is wrong.
const longestBackOff = time.Second

// fullJitter spreads the attempts of hosts that were throttled together.
var fullJitter = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return rand.N(longestBackOff), nil })

// newReadRetryer returns the retries of reads: the SDK's own.
func newReadRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) { o.Backoff = fullJitter })
}

// promptly gives one call the retries of newReadRetryer.
func (t *Table) promptly(o *dynamodb.Options) { o.Retryer = t.reads }

// newRetryer returns the retries of writes: only after an answer that proves
// that nothing was written (throttling, a connection never made, a skewed
// clock). So the last error of a call speaks for all its attempts, and a
// timeout or a 5xx followed by a throttle cannot pass for "nothing written".
func newRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.Backoff = fullJitter
		never := retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
			if definite(err) {
				return aws.UnknownTernary // the checks after this one decide
			}
			return aws.FalseTernary
		})
		o.Retryables = append([]retry.IsErrorRetryable{never}, o.Retryables...)
	})
}

// certainly gives one call the retries of newRetryer.
func (t *Table) certainly(o *dynamodb.Options) { o.Retryer = t.again }

// definite reports whether err proves that nothing was written. Whatever is
// not known to be such a proof is none.
func definite(err error) bool { return unsent(err) || refused(err) }

// unsent reports whether the request never left this host.
func unsent(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == "dial" || op.Op == "proxyconnect") {
		return true
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return true
	}
	if _, ok := errors.AsType[smithy.InvalidParamsError](err); ok {
		return true
	}
	return unsigned(err)
}

// unsigned reports whether there were no credentials to sign with. The SDK has
// no type for it, only these words.
func unsigned(err error) bool {
	return strings.Contains(err.Error(), "get identity: ") || strings.Contains(err.Error(), "no identity resolver")
}

// refused reports whether DynamoDB itself said no, which is a 4xx with one of
// its error codes. A 4xx without a code is some proxy's, and 408 says that
// somebody waited.
func refused(err error) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok || api.ErrorCode() == "" || api.ErrorCode() == "UnknownError" {
		return false
	}
	if answer, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		code := answer.HTTPStatusCode()
		return code >= 400 && code < 500 && code != 408
	}
	return api.ErrorFault() == smithy.FaultClient
}

// writeFault says what a failed write means. A nil error stays nil.
func (t *Table) writeFault(action string, err error) error {
	if err == nil {
		return nil
	}
	if definite(err) {
		return t.readFault(action, err)
	}
	return t.readFault(action, fmt.Errorf("%w: %w", coordination.ErrUnknown, err))
}

// readFault adds to err what this package knows of it: the sentinel for a
// missing table, and what an operator can do.
func (t *Table) readFault(action string, err error) error {
	if _, ok := errors.AsType[*types.ResourceNotFoundException](err); ok {
		err = fmt.Errorf("table %s: %w: %w", t.name, coordination.ErrNoTable, err)
		return hint.Wrap(err, fmt.Sprintf("run: drydock init --table %s --fleet CLUSTER --slots 1, if the table's name and the Region are right", t.name))
	}
	if advice := t.advice(action, err); advice != "" {
		return hint.Wrap(err, advice)
	}
	return err
}

func (t *Table) advice(action string, err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		switch api.ErrorCode() {
		case "AccessDeniedException":
			return fmt.Sprintf("allow dynamodb:%s on table %s in the IAM role", action, t.name)
		case "ExpiredTokenException", "UnrecognizedClientException", "InvalidSignatureException", "MissingAuthenticationTokenException":
			return "check the AWS credentials and the clock"
		}
		return ""
	}
	if unsigned(err) {
		return "give the instance an IAM role (instance profile), or set AWS credentials"
	}
	if unsent(err) || errors.Is(err, context.DeadlineExceeded) {
		return "let the host reach DynamoDB on port 443: a gateway endpoint in the route table of its subnet, or a NAT"
	}
	return ""
}
