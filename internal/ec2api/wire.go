package ec2api

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/ec2query"
	"github.com/aws/smithy-go"
)

// answerMax bounds what is read of an answer: a page has a thousand instances,
// and EC2 describes each in some 10 KB.
const answerMax = 32 << 20

// read reads an answer.
func read(response *http.Response) (*DescribeInstancesOutput, error) {
	body, err := io.ReadAll(io.LimitReader(response.Body, answerMax))
	if err != nil {
		return nil, &smithy.DeserializationError{Err: err}
	}
	if response.StatusCode != http.StatusOK {
		return nil, errorOf(response.StatusCode, body)
	}
	page, err := readPage(body)
	if err != nil {
		return nil, &smithy.DeserializationError{Err: err}
	}
	return page, nil
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
