package dynamo

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/drydock-ecs/drydock/coordination"
)

// unreadable is the reason that stands in a row which Hosts could not read.
const unreadable = "row cannot be read"

// PutHost writes the host's row. A write that fails with
// coordination.ErrUnknown may simply be made again.
func (t *Table) PutHost(ctx context.Context, fleet string, row coordination.HostRow) error {
	if err := t.putRow(ctx, key(fleet, hostPrefix+row.Host), row); err != nil {
		return fmt.Errorf("write row of host %s: %w", row.Host, err)
	}
	return nil
}

// PutEvent writes an event row, which DynamoDB removes some days after
// coordination.EventLife.
func (t *Table) PutEvent(ctx context.Context, fleet string, event coordination.Event) error {
	item := key(fleet, event.Key())
	item[attrExpires] = number(event.At.Add(coordination.EventLife).Unix())
	if err := t.putRow(ctx, item, event); err != nil {
		return fmt.Errorf("write event row %s: %w", event.Key(), err)
	}
	return nil
}

func (t *Table) putRow(ctx context.Context, item attributes, row any) error {
	body, err := json.Marshal(row)
	if err != nil {
		return err
	}
	item[attrBody] = text(string(body))
	return t.put(ctx, &dynamodb.PutItemInput{TableName: aws.String(t.name), Item: item})
}

// Hosts reads the rows of all hosts, eventually consistent, page by page. A
// row that is no HostRow keeps its place, with the host from its key and a
// Reason that says so.
func (t *Table) Hosts(ctx context.Context, fleet string) ([]coordination.HostRow, error) {
	in := &dynamodb.QueryInput{
		TableName:                 aws.String(t.name),
		KeyConditionExpression:    aws.String("#fleet = :fleet AND begins_with(#item, :prefix)"),
		ExpressionAttributeNames:  map[string]string{"#fleet": attrFleet, "#item": attrItem},
		ExpressionAttributeValues: attributes{":fleet": text(fleet), ":prefix": text(hostPrefix)},
	}
	var rows []coordination.HostRow
	for {
		out, err := t.page(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("read rows of the hosts of %s: %w", fleet, err)
		}
		for _, item := range out.Items {
			rows = append(rows, hostRow(item))
		}
		if len(out.LastEvaluatedKey) == 0 {
			return rows, nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// page reads one page, with a deadline of its own: a big fleet has many.
func (t *Table) page(ctx context.Context, in *dynamodb.QueryInput) (*dynamodb.QueryOutput, error) {
	ctx, cancel := t.within(ctx)
	defer cancel()
	out, err := t.api.Query(ctx, in, t.promptly)
	if err != nil {
		return nil, t.readFault("Query", err)
	}
	return out, nil
}

func hostRow(item attributes) coordination.HostRow {
	sortKey, _ := textOf(item, attrItem)
	host := strings.TrimPrefix(sortKey, hostPrefix)
	var row coordination.HostRow
	body, _ := textOf(item, attrBody)
	if json.Unmarshal([]byte(body), &row) != nil {
		return coordination.HostRow{Host: host, Reason: unreadable}
	}
	row.Host = host // the key is what IAM can guard, the body is not
	return row
}
