package dynamo

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/internal/hint"
)

// Fetch reads the lock record, strongly consistent. It fails with
// coordination.ErrNotFound or coordination.ErrNoTable, each with a hint.
func (t *Table) Fetch(ctx context.Context, fleet string) (coordination.Value, error) {
	item, err := t.read(ctx, fleet)
	if err != nil {
		return coordination.Value{}, fmt.Errorf("read lock record of %s: %w", fleet, err)
	}
	if len(item) == 0 {
		err := fmt.Errorf("read lock record of %s in table %s: %w", fleet, t.name, coordination.ErrNotFound)
		return coordination.Value{}, hint.Wrap(err, fmt.Sprintf("run: drydock init --table %s --fleet %s --slots 1", t.name, fleet))
	}
	nonce, hasNonce := textOf(item, attrNonce)
	body, hasBody := textOf(item, attrBody)
	if !hasNonce || !hasBody {
		err := fmt.Errorf("read lock record of %s in table %s: the item lacks nonce or body", fleet, t.name)
		return coordination.Value{}, hint.Wrap(err, "something else wrote this item: restore the table from a backup, then run drydock init --restored")
	}
	return coordination.Value{Fleet: fleet, Token: nonce, Body: []byte(body)}, nil
}

// Create stores the first record of a fleet. Bodies are UTF-8 text, at most
// about 400 KB.
func (t *Table) Create(ctx context.Context, fleet string, body []byte) (coordination.Value, error) {
	next, err := newValue(fleet, body)
	if err == nil {
		item := key(fleet, lockItem)
		item[attrNonce] = text(next.Token)
		item[attrBody] = text(string(body))
		item[attrSchema] = number(schemaOf(body))
		err = t.put(ctx, &dynamodb.PutItemInput{
			TableName:                           aws.String(t.name),
			Item:                                item,
			ConditionExpression:                 aws.String("attribute_not_exists(#fleet)"),
			ExpressionAttributeNames:            map[string]string{"#fleet": attrFleet},
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		})
		err = t.settle(ctx, next, err)
	}
	if err != nil {
		return coordination.Value{}, fmt.Errorf("create lock record of %s: %w", fleet, err)
	}
	return next, nil
}

// Replace stores body in place of old, on the one condition that the item
// still carries old's nonce.
func (t *Table) Replace(ctx context.Context, old coordination.Value, body []byte) (coordination.Value, error) {
	next, err := newValue(old.Fleet, body)
	if err == nil {
		// An update, not a put: attributes that this version does not know stay.
		err = t.update(ctx, &dynamodb.UpdateItemInput{
			TableName:           aws.String(t.name),
			Key:                 key(old.Fleet, lockItem),
			UpdateExpression:    aws.String("SET #nonce = :new, #body = :body, #schema = :schema"),
			ConditionExpression: aws.String("#nonce = :old"),
			ExpressionAttributeNames: map[string]string{
				"#nonce": attrNonce, "#body": attrBody, "#schema": attrSchema,
			},
			ExpressionAttributeValues: attributes{
				":old": text(old.Token), ":new": text(next.Token),
				":body": text(string(body)), ":schema": number(schemaOf(body)),
			},
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		})
		err = t.settle(ctx, next, err)
	}
	if err != nil {
		return coordination.Value{}, fmt.Errorf("replace lock record of %s: %w", old.Fleet, err)
	}
	return next, nil
}

// settle turns a failed condition into its meaning. A failed condition need
// not be a lost race: whoever sent the request a second time (a proxy; the
// SDK would not, see newRetryer) met our own write. The nonce tells.
func (t *Table) settle(ctx context.Context, mine coordination.Value, err error) error {
	failed, ok := errors.AsType[*types.ConditionalCheckFailedException](err)
	if !ok {
		return err
	}
	item := failed.Item
	if len(item) == 0 {
		// There is no item, or the server does not return it.
		if item, err = t.read(ctx, mine.Fleet); err != nil {
			return fmt.Errorf("%w: the condition failed, then: %w", coordination.ErrUnknown, err)
		}
	}
	if nonce, _ := textOf(item, attrNonce); nonce == mine.Token {
		return nil
	}
	return coordination.ErrConflict
}

// read returns the lock item, empty when there is none.
func (t *Table) read(ctx context.Context, fleet string) (attributes, error) {
	ctx, cancel := t.within(ctx)
	defer cancel()
	out, err := t.api.GetItem(ctx, &dynamodb.GetItemInput{
		TableName:      aws.String(t.name),
		Key:            key(fleet, lockItem),
		ConsistentRead: aws.Bool(true),
	}, t.promptly)
	if err != nil {
		return nil, t.readFault("GetItem", err)
	}
	return out.Item, nil
}

func (t *Table) put(ctx context.Context, in *dynamodb.PutItemInput) error {
	if err := ctx.Err(); err != nil {
		return err // nothing was sent
	}
	ctx, cancel := t.within(ctx)
	defer cancel()
	_, err := t.api.PutItem(ctx, in, t.certainly)
	return t.writeFault("PutItem", err)
}

func (t *Table) update(ctx context.Context, in *dynamodb.UpdateItemInput) error {
	if err := ctx.Err(); err != nil {
		return err // nothing was sent
	}
	ctx, cancel := t.within(ctx)
	defer cancel()
	_, err := t.api.UpdateItem(ctx, in, t.certainly)
	return t.writeFault("UpdateItem", err)
}

// newValue makes the value of one write: its token is 130 random bits, so that
// the same body written twice is two values.
func newValue(fleet string, body []byte) (coordination.Value, error) {
	if !utf8.Valid(body) {
		// The SDK would replace the bad bytes without a word.
		return coordination.Value{}, errors.New("the body is not UTF-8 text")
	}
	return coordination.Value{Fleet: fleet, Token: rand.Text(), Body: append([]byte(nil), body...)}, nil
}

// schemaOf returns the number `schema` of the document, 0 when it has none. As
// an attribute of its own it can be read without reading the document.
func schemaOf(body []byte) int64 {
	var document struct {
		Schema int64 `json:"schema"`
	}
	if json.Unmarshal(body, &document) != nil {
		return 0
	}
	return document.Schema
}
