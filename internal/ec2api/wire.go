package ec2api

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/ec2query"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// answerMax bounds what is read of an answer: a page has a thousand instances,
// and EC2 describes each in some 10 KB.
const answerMax = 32 << 20

type serializer = func(context.Context, middleware.SerializeInput, middleware.SerializeHandler) (middleware.SerializeOutput, middleware.Metadata, error)

// serialize writes a request to an address.
func serialize(address string) serializer {
	return func(ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler) (out middleware.SerializeOutput, metadata middleware.Metadata, err error) {
		request, isRequest := in.Request.(*smithyhttp.Request)
		input, isInput := in.Parameters.(*DescribeInstancesInput)
		if !isRequest || !isInput {
			return out, metadata, &smithy.SerializationError{Err: errors.New("nothing of this kind can be written")}
		}
		where, err := url.Parse(address)
		if err != nil {
			return out, metadata, &smithy.SerializationError{Err: err}
		}
		if where.Path == "" {
			where.Path = "/"
		}
		request.Method, request.URL = http.MethodPost, where
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if request, err = request.SetStream(strings.NewReader(form(input).Encode())); err != nil {
			return out, metadata, &smithy.SerializationError{Err: err}
		}
		in.Request = request
		return next.HandleSerialize(ctx, in)
	}
}

// deserialize reads an answer.
func deserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (out middleware.DeserializeOutput, metadata middleware.Metadata, err error) {
	out, metadata, err = next.HandleDeserialize(ctx, in)
	if err != nil {
		return out, metadata, err
	}
	response, ok := out.RawResponse.(*smithyhttp.Response)
	if !ok {
		return out, metadata, &smithy.DeserializationError{Err: errors.New("nothing of this kind can be read")}
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, answerMax))
	if err != nil {
		return out, metadata, &smithy.DeserializationError{Err: err}
	}
	if response.StatusCode != http.StatusOK {
		return out, metadata, errorOf(response.StatusCode, body)
	}
	if out.Result, err = readPage(body); err != nil {
		return out, metadata, &smithy.DeserializationError{Err: err}
	}
	return out, metadata, nil
}

// errorOf is the error in an answer. An answer without one is some proxy's.
func errorOf(status int, body []byte) error {
	found, err := ec2query.GetErrorResponseComponents(bytes.NewReader(body))
	if err != nil || found.Code == "" {
		return &smithy.GenericAPIError{Code: "UnknownError", Message: "the answer names no error of EC2"}
	}
	fault := smithy.FaultClient
	if status >= http.StatusInternalServerError {
		fault = smithy.FaultServer
	}
	return &smithy.GenericAPIError{Code: found.Code, Message: found.Message, Fault: fault}
}

// readPage reads an answer strictly: what is missing in it counts as evidence.
// encoding/xml refuses any other root, and an end before the root's.
func readPage(body []byte) (*DescribeInstancesOutput, error) {
	var page struct {
		XMLName      xml.Name `xml:"DescribeInstancesResponse"`
		Reservations *struct {
			Items []struct {
				Instances []Instance `xml:"instancesSet>item"`
			} `xml:"item"`
		} `xml:"reservationSet"`
		NextToken string `xml:"nextToken"`
	}
	if err := xml.Unmarshal(body, &page); err != nil {
		return nil, err
	}
	if page.Reservations == nil {
		return nil, errors.New("the answer has no reservationSet")
	}
	out := &DescribeInstancesOutput{NextToken: page.NextToken}
	for _, r := range page.Reservations.Items {
		for _, i := range r.Instances {
			if i.ID == "" || i.State == "" {
				return nil, fmt.Errorf("the answer has an instance without an id or a state (%q, %q)", i.ID, i.State)
			}
			out.Instances = append(out.Instances, i)
		}
	}
	return out, nil
}
