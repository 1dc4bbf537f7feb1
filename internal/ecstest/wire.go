package ecstest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ecs/schemas"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/aws/smithy-go/transport/http/protocol/awsjson"
)

// target is the prefix of the X-Amz-Target header.
const target = "AmazonEC2ContainerServiceV20141113."

// requestMax bounds what is read of one request.
const requestMax = 1 << 20

// ServeHTTP speaks the wire of ECS, awsJson1.1. The caller's name comes from
// the access key id that the request is signed with; the signature itself is
// not checked.
func (c *Cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key, signed := accessKey(r.Header.Get("Authorization"))
	op, named := strings.CutPrefix(r.Header.Get("X-Amz-Target"), target)
	switch {
	case r.Method != http.MethodPost || r.URL.Path != "/" || !named || r.Header.Get("Content-Type") != "application/x-amz-json-1.1":
		writeError(w, http.StatusBadRequest, "UnknownOperationException", "")
		return
	case !signed:
		writeError(w, http.StatusBadRequest, "MissingAuthenticationTokenException", "Missing Authentication Token")
		return
	}
	if c.cfg.Who != nil {
		key = c.cfg.Who(key)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, requestMax))
	if err != nil {
		return // the client is gone
	}
	out, err := c.As(key).call(r.Context(), op, body)
	if err == nil {
		body, err = encode(r.Context(), out)
	}
	if err != nil {
		answerError(w, err)
		return
	}
	answer(w, http.StatusOK, body)
}

// accessKey reads the id out of "AWS4-HMAC-SHA256 Credential=<id>/<scope>, …".
func accessKey(authorization string) (string, bool) {
	_, credential, ok := strings.Cut(authorization, "Credential=")
	id, _, scoped := strings.Cut(credential, "/")
	return id, ok && scoped && id != ""
}

// call makes the call that is in a request.
func (a *Caller) call(ctx context.Context, op string, body []byte) (smithy.Serializable, error) {
	switch op {
	case "DescribeContainerInstances":
		return decoded(ctx, body, a.DescribeContainerInstances)
	case "UpdateContainerInstancesState":
		return decoded(ctx, body, a.UpdateContainerInstancesState)
	case "ListContainerInstances":
		return decoded(ctx, body, a.ListContainerInstances)
	case "ListTasks":
		return decoded(ctx, body, a.ListTasks)
	case "DescribeTasks":
		return decoded(ctx, body, a.DescribeTasks)
	case "StopTask":
		return decoded(ctx, body, a.StopTask)
	case "DescribeServices":
		return decoded(ctx, body, a.DescribeServices)
	case "GetTaskProtection":
		return decoded(ctx, body, a.GetTaskProtection)
	}
	return nil, &smithy.GenericAPIError{Code: "UnknownOperationException", Fault: smithy.FaultClient}
}

// decoded reads an input and makes its call. The SDK's inputs have no JSON
// tags: encoding/json matches their fields without regard to case, and all of
// those used here are strings, numbers and lists of strings.
func decoded[I any, O smithy.Serializable, F any](ctx context.Context, body []byte, call func(context.Context, *I, ...F) (O, error)) (smithy.Serializable, error) {
	var in I
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, &smithy.GenericAPIError{Code: "SerializationException", Message: err.Error(), Fault: smithy.FaultClient}
	}
	out, err := call(ctx, &in)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// encode writes an output by the SDK's own schemas. The protocol only knows
// how to write requests, which look the same.
func encode(ctx context.Context, out smithy.Serializable) ([]byte, error) {
	protocol := awsjson.New11(schemas.AmazonEC2ContainerServiceV20141113)
	operation := smithy.NewOperationSchema(schemas.ListTasks, schemas.ListTasksRequest, schemas.ListTasksResponse)
	req, ok := smithyhttp.NewStackRequest().(*smithyhttp.Request)
	if !ok {
		return nil, errors.New("encode: no request")
	}
	if err := protocol.SerializeRequest(ctx, operation, out, req); err != nil {
		return nil, err
	}
	return io.ReadAll(req.GetStream())
}

// answerError answers with an error of ECS, or breaks the connection for one
// that is none.
func answerError(w http.ResponseWriter, err error) {
	var api smithy.APIError
	if !errors.As(err, &api) {
		hangUp(w)
		return
	}
	status := http.StatusBadRequest
	if api.ErrorFault() == smithy.FaultServer {
		status = http.StatusInternalServerError
	}
	writeError(w, status, api.ErrorCode(), api.ErrorMessage())
}

func writeError(w http.ResponseWriter, status int, code, message string) {
	body, err := json.Marshal(map[string]string{"__type": code, "message": message})
	if err != nil {
		hangUp(w)
		return
	}
	answer(w, status, body)
}

func answer(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Header().Set("X-Amzn-Requestid", "00000000-0000-0000-0000-000000000000")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// hangUp closes the connection without an answer.
func hangUp(w http.ResponseWriter) {
	if h, ok := w.(http.Hijacker); ok {
		if conn, _, err := h.Hijack(); err == nil {
			_ = conn.Close()
			return
		}
	}
	w.WriteHeader(http.StatusBadGateway) // a writer without a connection of its own
}
