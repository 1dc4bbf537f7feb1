package dynamo

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/drydock-ecs/drydock/internal/hint"
)

// Examine looks at what Ensure prepares and changes nothing. It returns what is
// wrong with the table or could not be asked, each with a hint; none when all
// is well. It needs DescribeTable, DescribeTimeToLive and
// DescribeContinuousBackups.
func (t *Table) Examine(ctx context.Context) []error {
	table, err := t.describe(ctx)
	if err != nil {
		return []error{fmt.Errorf("describe table %s: %w", t.name, err)}
	}
	var faults []error
	if err := t.fit(table); err != nil {
		faults = append(faults, err)
	}
	if !aws.ToBool(table.DeletionProtectionEnabled) {
		faults = append(faults, hint.Wrap(fmt.Errorf("deletion protection of table %s is off", t.name),
			"run: aws dynamodb update-table --table-name "+t.name+" --deletion-protection-enabled"))
	}
	for _, look := range []func(context.Context) error{t.examineExpiry, t.examineBackups} {
		if err := look(ctx); err != nil {
			faults = append(faults, err)
		}
	}
	return faults
}

func (t *Table) examineExpiry(ctx context.Context) error {
	ctx, cancel := t.within(ctx)
	defer cancel()
	now, err := t.api.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: aws.String(t.name)})
	if err != nil {
		return t.unasked("DescribeTimeToLive", "TTL", err)
	}
	on, err := t.expires(now.TimeToLiveDescription)
	switch {
	case err != nil:
		return hint.Wrap(fmt.Errorf("table %s: %w", t.name, err), "switch that TTL off: it may remove the lock record, then run drydock init again")
	case !on:
		return t.off("TTL")
	}
	return nil
}

func (t *Table) examineBackups(ctx context.Context) error {
	ctx, cancel := t.within(ctx)
	defer cancel()
	now, err := t.api.DescribeContinuousBackups(ctx, &dynamodb.DescribeContinuousBackupsInput{TableName: aws.String(t.name)})
	if err != nil {
		return t.unasked("DescribeContinuousBackups", "point-in-time recovery", err)
	}
	if !recoverable(now.ContinuousBackupsDescription) {
		return t.off("point-in-time recovery")
	}
	return nil
}

func recoverable(d *types.ContinuousBackupsDescription) bool {
	return d != nil && d.PointInTimeRecoveryDescription != nil &&
		d.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus == types.PointInTimeRecoveryStatusEnabled
}

func (t *Table) off(what string) error {
	return hint.Wrap(fmt.Errorf("%s of table %s is off", what, t.name), fmt.Sprintf("run drydock init again (--table %s --fleet CLUSTER --slots 1): it switches it on and leaves the record alone, slots too", t.name))
}

// unasked says that a setting could not be asked for.
func (t *Table) unasked(action, what string, err error) error {
	if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorCode() == "UnknownOperationException" {
		return hint.Wrap(fmt.Errorf("%s of table %s is off: the server does not know %s", what, t.name, action), "keep backups of the table by other means")
	}
	return fmt.Errorf("ask for %s of table %s: %w", what, t.name, t.readFault(action, err))
}
