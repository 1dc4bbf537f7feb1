package containerinstance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/smithy-go"

	"github.com/drydock-ecs/drydock/internal/hint"
)

// fail says what was tried and, where something can be done about it, adds
// what. op is the operation of ECS.
func fail(act, op string, err error) error {
	wrapped := fmt.Errorf("%s: %w", act, err)
	if text := advice(op, err); text != "" {
		return hint.Wrap(wrapped, text)
	}
	return wrapped
}

// refused tells an answer that says no from no answer. Only a status of 4xx with
// one of ECS's error codes, throttling among them, and an input that the client
// itself rejects are sure not to be applied, now or later. After a 5xx, a timeout
// or a broken connection nobody knows. A 4xx without a code is some proxy's, and
// 408 says that somebody waited.
func refused(err error) bool {
	if status, ok := httpStatus(err); ok {
		return status >= 400 && status < 500 && status != http.StatusRequestTimeout && code(err) != "" && code(err) != "UnknownError"
	}
	if _, ok := errors.AsType[smithy.InvalidParamsError](err); ok {
		return true
	}
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial" // no connection, so nothing was sent
}

// httpStatus returns the status of the answer in err, if there was an answer.
func httpStatus(err error) (int, bool) {
	var answer interface{ HTTPStatusCode() int }
	if !errors.As(err, &answer) || answer.HTTPStatusCode() == 0 {
		return 0, false
	}
	return answer.HTTPStatusCode(), true
}

// code returns the error code of an answer, or "".
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// advice returns what an operator can do about err, or "".
func advice(op string, err error) string {
	switch code(err) {
	case "AccessDeniedException", "AccessDenied", "UnauthorizedOperation":
		return "allow ecs:" + op + " on this cluster to the host's instance role"
	case "ClusterNotFoundException":
		return "check that the cluster exists in the Region and account of the agent's AWS settings (AWS_REGION)"
	case "ExpiredTokenException", "ExpiredToken", "RequestExpired":
		return "check the host's clock and its access to the instance metadata service: the role's credentials have expired"
	case "UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException":
		return "check the host's clock and credentials: AWS does not recognise them"
	}
	return networkAdvice(err)
}

// networkAdvice is advice for an error that no answer came with.
func networkAdvice(err error) string {
	if noCredentials(err) {
		return "attach an instance profile to the EC2 instance and let its metadata service answer (IMDSv2, hop limit 1 is enough)"
	}
	var dial *net.OpError
	var dns *net.DNSError
	if errors.As(err, &dns) || errors.As(err, &dial) && dial.Op == "dial" {
		return "give the host a route to the ECS endpoint of its Region: NAT, or the interface endpoint `ecs`"
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "check the route from the host to the ECS endpoint of its Region: it does not answer in time"
	}
	return ""
}

// noCredentials knows the SDK's errors of the credentials chain. They have no
// type of their own.
func noCredentials(err error) bool {
	text := err.Error()
	return strings.Contains(text, "get credentials") || strings.Contains(text, "refresh cached credentials")
}

// failureText puts an entry of failures[] in words.
func failureText(f types.Failure) string {
	text := deref(f.Reason)
	if text == "" {
		text = "no reason given"
	}
	if f.Detail != nil && *f.Detail != "" {
		text += " (" + *f.Detail + ")"
	}
	return text
}

// deref reads an optional string of the SDK.
func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
