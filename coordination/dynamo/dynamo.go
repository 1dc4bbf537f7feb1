// Package dynamo keeps the lock record and the rows of fleets in one DynamoDB
// table.
//
// Partition key `fleet` (string, the cluster ARN), sort key `item` (string):
//
//	lock                  nonce, schema, body; changed by compare-and-swap on nonce
//	host#<instance-id>    body; written by that host alone
//	event#<…>             body, expires; written once, removed by TTL
//
// body is a JSON document. Other attributes of the lock item are left alone by
// a Replace, so that a newer version may add some.
package dynamo

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drydock-ecs/drydock/coordination"
)

// Timeout is how long one call may take, retries included, unless a Table says
// otherwise.
const Timeout = 5 * time.Second

// Names of the attributes. All of them reach DynamoDB as #placeholders, since
// its list of reserved words grows.
const (
	attrFleet   = "fleet"
	attrItem    = "item"
	attrNonce   = "nonce"
	attrSchema  = "schema"
	attrBody    = "body"
	attrExpires = "expires"
)

// Sort keys. Events bring their own (coordination.Event.Key).
const (
	lockItem   = "lock"
	hostPrefix = "host#"
)

// ItemAPI reads and writes items: all that an agent needs.
type ItemAPI interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	UpdateItem(context.Context, *dynamodb.UpdateItemInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
}

// TableAPI makes and describes tables. Only Ensure uses it.
type TableAPI interface {
	CreateTable(context.Context, *dynamodb.CreateTableInput, ...func(*dynamodb.Options)) (*dynamodb.CreateTableOutput, error)
	DescribeTable(context.Context, *dynamodb.DescribeTableInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error)
}

// SettingsAPI reads and sets what a table does on its own. Only Ensure uses it.
type SettingsAPI interface {
	DescribeTimeToLive(context.Context, *dynamodb.DescribeTimeToLiveInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTimeToLiveOutput, error)
	UpdateTimeToLive(context.Context, *dynamodb.UpdateTimeToLiveInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateTimeToLiveOutput, error)
	DescribeContinuousBackups(context.Context, *dynamodb.DescribeContinuousBackupsInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeContinuousBackupsOutput, error)
	UpdateContinuousBackups(context.Context, *dynamodb.UpdateContinuousBackupsInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateContinuousBackupsOutput, error)
}

// API is every call that this package makes. *dynamodb.Client is one.
type API interface {
	ItemAPI
	TableAPI
	SettingsAPI
}

// Table is one DynamoDB table. It may be used by several goroutines at once.
type Table struct {
	// Timeout bounds each call, retries included; zero means the constant
	// Timeout. To be set before the first call.
	Timeout time.Duration

	api   API
	name  string
	again aws.Retryer
	reads aws.Retryer
}

var (
	_ coordination.Store = (*Table)(nil)
	_ coordination.Rows  = (*Table)(nil)
	_ API                = (*dynamodb.Client)(nil)
)

// New returns the table of that name. It makes no call.
func New(api API, name string) *Table {
	return &Table{api: api, name: name, again: newRetryer(), reads: newReadRetryer()}
}

// within gives one call its deadline.
func (t *Table) within(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := t.Timeout
	if limit <= 0 {
		limit = Timeout
	}
	return context.WithTimeout(ctx, limit)
}

// attributes are those of one item.
type attributes = map[string]types.AttributeValue

func key(fleet, item string) attributes {
	return attributes{attrFleet: text(fleet), attrItem: text(item)}
}

func text(s string) types.AttributeValue {
	return &types.AttributeValueMemberS{Value: s}
}

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: fmt.Sprint(n)}
}

// textOf returns a string attribute; false when it is missing or no string.
func textOf(item attributes, name string) (string, bool) {
	s, ok := item[name].(*types.AttributeValueMemberS)
	if !ok {
		return "", false
	}
	return s.Value, true
}
