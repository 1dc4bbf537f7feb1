package dynamo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// ProbeUpdate tries whether the caller may write a fleet's lock record, on the
// condition of a nonce that nobody has drawn: nothing is written. No error means
// that it may.
func (t *Table) ProbeUpdate(ctx context.Context, fleet string) error {
	err := t.update(ctx, &dynamodb.UpdateItemInput{
		TableName:                 aws.String(t.name),
		Key:                       key(fleet, lockItem),
		UpdateExpression:          aws.String("SET #nonce = :new"),
		ConditionExpression:       aws.String("#nonce = :old"),
		ExpressionAttributeNames:  map[string]string{"#nonce": attrNonce},
		ExpressionAttributeValues: attributes{":old": text(rand.Text()), ":new": text(rand.Text())},
	})
	return probed("try to write the lock record", err)
}

// ProbePut is ProbeUpdate for a host's row, which has no nonce at all.
func (t *Table) ProbePut(ctx context.Context, fleet, host string) error {
	err := t.put(ctx, &dynamodb.PutItemInput{
		TableName:                 aws.String(t.name),
		Item:                      key(fleet, hostPrefix+host),
		ConditionExpression:       aws.String("#nonce = :old"),
		ExpressionAttributeNames:  map[string]string{"#nonce": attrNonce},
		ExpressionAttributeValues: attributes{":old": text(rand.Text())},
	})
	return probed("try to write the row of host "+host, err)
}

// probed reads what a write said whose condition cannot hold.
func probed(act string, err error) error {
	if _, failed := errors.AsType[*types.ConditionalCheckFailedException](err); failed {
		return nil
	}
	if err == nil {
		err = errors.New("a condition that cannot hold was met")
	}
	return fmt.Errorf("%s: %w", act, err)
}
