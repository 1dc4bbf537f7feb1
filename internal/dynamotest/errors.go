package dynamotest

import (
	"fmt"
	"net/http"
)

// apiError is an error answer. The wire has __type and message, and the item
// for a failed condition that asked for it.
type apiError struct {
	status  int
	Type    string `json:"__type"`
	Message string `json:"message"`
	Item    item   `json:"Item,omitempty"`
}

func (e *apiError) Error() string { return e.Type + ": " + e.Message }

const namespace = "com.amazonaws.dynamodb.v20120810#"

func fail(status int, kind, message string) *apiError {
	return &apiError{status: status, Type: kind, Message: message}
}

// invalid is the answer to whatever is wrong or not known.
func invalid(format string, args ...any) *apiError {
	return fail(http.StatusBadRequest, "com.amazon.coral.validate#ValidationException", fmt.Sprintf(format, args...))
}

func unknownOperation(what string) *apiError {
	return fail(http.StatusBadRequest, "com.amazon.coral.service#UnknownOperationException", "not known to this stand-in: "+what)
}

func notFound(message string) *apiError {
	return fail(http.StatusBadRequest, namespace+"ResourceNotFoundException", message)
}

func inUse(message string) *apiError {
	return fail(http.StatusBadRequest, namespace+"ResourceInUseException", message)
}

func noBackups() *apiError {
	return fail(http.StatusBadRequest, namespace+"ContinuousBackupsUnavailableException", "Backups are being enabled for the table. Please retry later")
}

func conditionFailed(found item) *apiError {
	e := fail(http.StatusBadRequest, namespace+"ConditionalCheckFailedException", "The conditional request failed")
	e.Item = found
	return e
}

func throttled() *apiError {
	return fail(http.StatusBadRequest, namespace+"ThrottlingException", "Throughput exceeds the current capacity of your table")
}

func denied(call Call) *apiError {
	return fail(http.StatusBadRequest, "com.amazon.coral.service#AccessDeniedException",
		fmt.Sprintf("User: %s is not authorized to perform: dynamodb:%s on resource: %s", call.Caller, call.Op, call.Table))
}

func internal() *apiError {
	return fail(http.StatusInternalServerError, namespace+"InternalServerError", "Internal server error")
}
