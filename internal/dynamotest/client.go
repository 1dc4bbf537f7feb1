package dynamotest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// Client returns an SDK client that signs as caller and reaches the server
// without a socket: the whole wire format, the SDK's retries included, also in
// a testing/synctest bubble. The options are applied last.
func (s *Server) Client(caller string, options ...func(*dynamodb.Options)) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		Region:       "eu-north-1",
		BaseEndpoint: aws.String("http://dynamodb.test"),
		Credentials:  credentials.NewStaticCredentialsProvider(caller, "secret", ""),
		HTTPClient:   direct{s},
	}, options...)
}

// direct is an HTTP client whose network is a function call.
type direct struct{ server *Server }

// Do answers as net/http would: with a response, or with the error that a
// broken connection or a cancelled context gives.
func (d direct) Do(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	defer r.Body.Close()
	answer, err := d.server.handle(r)
	if errors.Is(err, errGone) {
		return nil, r.Context().Err()
	}
	if err != nil {
		return nil, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	}
	header := make(http.Header)
	for name, value := range answer.header {
		header.Set(name, value)
	}
	return &http.Response{
		StatusCode: answer.status, Status: http.StatusText(answer.status),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header, Request: r,
		ContentLength: int64(len(answer.body)), Body: io.NopCloser(bytes.NewReader(answer.body)),
	}, nil
}
