package dynamo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/drydock-ecs/drydock/coordination"
	"github.com/drydock-ecs/drydock/internal/hint"
)

// How long Ensure waits, and how often it looks.
const (
	activeWithin  = 3 * time.Minute // for a new table to be ACTIVE
	backupsWithin = time.Minute     // for a new table's backups to be available
	lookEvery     = time.Second
)

// Ensure makes the table if there is none, waits until it is ACTIVE, and
// switches on deletion protection (new tables only), TTL on `expires` and
// point-in-time recovery. It may be repeated. What could not be switched on is
// returned as sentences; the lock is as safe without. It fails when the table
// has another key schema, is a global table, or expires items by another
// attribute.
func (t *Table) Ensure(ctx context.Context) (warnings []string, err error) {
	table, err := t.make(ctx)
	if err != nil {
		return nil, fmt.Errorf("prepare table %s: %w", t.name, err)
	}
	if err := t.fit(table); err != nil {
		return nil, err
	}
	if !aws.ToBool(table.DeletionProtectionEnabled) {
		warnings = append(warnings, "deletion protection of table "+t.name+" is off")
	}
	for _, step := range []func(context.Context) (string, error){t.expire, t.backUp} {
		warning, err := step(ctx)
		if err != nil {
			return warnings, fmt.Errorf("prepare table %s: %w", t.name, err)
		}
		if warning != "" {
			warnings = append(warnings, warning)
		}
	}
	return warnings, nil
}

// make returns the ACTIVE table, after creating it if need be. Dying in
// between leaves a table that the next Ensure finds and completes.
func (t *Table) make(ctx context.Context) (*types.TableDescription, error) {
	_, err := t.describe(ctx)
	if errors.Is(err, coordination.ErrNoTable) {
		err = t.create(ctx)
	}
	if err != nil {
		return nil, err
	}
	return t.await(ctx)
}

func (t *Table) create(ctx context.Context) error {
	ctx, cancel := t.within(ctx)
	defer cancel()
	_, err := t.api.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName: aws.String(t.name),
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String(attrFleet), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String(attrItem), AttributeType: types.ScalarAttributeTypeS},
		},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String(attrFleet), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String(attrItem), KeyType: types.KeyTypeRange},
		},
		BillingMode:               types.BillingModePayPerRequest,
		DeletionProtectionEnabled: aws.Bool(true),
	})
	if _, ok := errors.AsType[*types.ResourceInUseException](err); ok {
		return nil // somebody else is creating it, or our first attempt did
	}
	if err != nil {
		return t.readFault("CreateTable", err)
	}
	return nil
}

func (t *Table) describe(ctx context.Context) (*types.TableDescription, error) {
	ctx, cancel := t.within(ctx)
	defer cancel()
	out, err := t.api.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: aws.String(t.name)})
	if err != nil {
		return nil, t.readFault("DescribeTable", err)
	}
	return out.Table, nil
}

// await looks until the table is ACTIVE.
func (t *Table) await(ctx context.Context) (*types.TableDescription, error) {
	ctx, cancel := context.WithTimeout(ctx, activeWithin)
	defer cancel()
	for {
		table, err := t.describe(ctx)
		switch {
		case errors.Is(err, coordination.ErrNoTable):
			// DescribeTable is eventually consistent: not visible yet.
		case err != nil:
			return nil, err
		case table.TableStatus == types.TableStatusActive:
			return table, nil
		case table.TableStatus != types.TableStatusCreating && table.TableStatus != types.TableStatusUpdating:
			return nil, fmt.Errorf("the table is %s", table.TableStatus)
		}
		if err := pause(ctx, lookEvery); err != nil {
			return nil, fmt.Errorf("wait for the table to be ACTIVE: %w", err)
		}
	}
}

// fit refuses a table that the lock cannot live in.
func (t *Table) fit(table *types.TableDescription) error {
	if len(table.Replicas) > 0 {
		err := fmt.Errorf("table %s is a global table: its Regions could grant the same slot twice", t.name)
		return hint.Wrap(err, "use a table without replicas: drydock init --table NAME --fleet CLUSTER --slots N")
	}
	const want = "fleet (S, HASH), item (S, RANGE)"
	if saw := keysOf(table); saw != want {
		err := fmt.Errorf("table %s has the keys %s, not %s", t.name, saw, want)
		return hint.Wrap(err, "choose a table name that is free: drydock init --table NAME --fleet CLUSTER --slots N")
	}
	return nil
}

func keysOf(table *types.TableDescription) string {
	kinds := make(map[string]types.ScalarAttributeType)
	for _, d := range table.AttributeDefinitions {
		kinds[aws.ToString(d.AttributeName)] = d.AttributeType
	}
	var keys []string
	for _, k := range table.KeySchema {
		name := aws.ToString(k.AttributeName)
		keys = append(keys, fmt.Sprintf("%s (%s, %s)", name, kinds[name], k.KeyType))
	}
	return strings.Join(keys, ", ")
}

// expire switches on TTL for event rows. It asks first: DynamoDB refuses to
// switch on what is on.
func (t *Table) expire(ctx context.Context) (string, error) {
	ctx, cancel := t.within(ctx)
	defer cancel()
	now, err := t.api.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: aws.String(t.name)})
	if err != nil {
		return t.optional("DescribeTimeToLive", "TTL on `expires`", err)
	}
	if on, err := t.expires(now.TimeToLiveDescription); on || err != nil {
		return "", err
	}
	_, err = t.api.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName: aws.String(t.name),
		TimeToLiveSpecification: &types.TimeToLiveSpecification{
			AttributeName: aws.String(attrExpires), Enabled: aws.Bool(true),
		},
	})
	if api, ok := errors.AsType[smithy.APIError](err); ok && strings.Contains(api.ErrorMessage(), "already enabled") {
		return "", nil // somebody else did since we asked
	}
	return t.optional("UpdateTimeToLive", "TTL on `expires`", err)
}

func (t *Table) expires(ttl *types.TimeToLiveDescription) (bool, error) {
	if ttl == nil || (ttl.TimeToLiveStatus != types.TimeToLiveStatusEnabled && ttl.TimeToLiveStatus != types.TimeToLiveStatusEnabling) {
		return false, nil
	}
	if name := aws.ToString(ttl.AttributeName); name != attrExpires {
		return false, fmt.Errorf("its TTL removes items by attribute %s, not %s", name, attrExpires)
	}
	return true, nil
}

// backUp switches on point-in-time recovery. It asks first, since switching on
// again would reset a recovery period that an operator chose.
func (t *Table) backUp(ctx context.Context) (string, error) {
	const what = "point-in-time recovery"
	bounded, cancel := context.WithTimeout(ctx, backupsWithin)
	defer cancel()
	for {
		on, action, err := t.backUpOnce(bounded)
		if on {
			return "", nil
		}
		// A table of some seconds' age has no backups yet.
		_, early := errors.AsType[*types.ContinuousBackupsUnavailableException](err)
		if early && pause(bounded, lookEvery) == nil {
			continue
		}
		switch {
		case ctx.Err() != nil: // it was the caller who gave up
			return "", fmt.Errorf("switch on %s: %w", what, ctx.Err())
		case early || bounded.Err() != nil:
			return what + " of table " + t.name + " is not available yet: run drydock init again", nil
		}
		return t.optional(action, what, err)
	}
}

func (t *Table) backUpOnce(ctx context.Context) (on bool, action string, err error) {
	ctx, cancel := t.within(ctx)
	defer cancel()
	now, err := t.api.DescribeContinuousBackups(ctx, &dynamodb.DescribeContinuousBackupsInput{TableName: aws.String(t.name)})
	if err != nil {
		return false, "DescribeContinuousBackups", err
	}
	if d := now.ContinuousBackupsDescription; d != nil && d.PointInTimeRecoveryDescription != nil &&
		d.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus == types.PointInTimeRecoveryStatusEnabled {
		return true, "", nil
	}
	_, err = t.api.UpdateContinuousBackups(ctx, &dynamodb.UpdateContinuousBackupsInput{
		TableName: aws.String(t.name),
		PointInTimeRecoverySpecification: &types.PointInTimeRecoverySpecification{
			PointInTimeRecoveryEnabled: aws.Bool(true),
		},
	})
	return err == nil, "UpdateContinuousBackups", err
}

// optional turns "no such operation", which stand-ins for DynamoDB answer,
// into a warning. Everything else stays an error.
func (t *Table) optional(action, what string, err error) (string, error) {
	if err == nil {
		return "", nil
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorCode() == "UnknownOperationException" {
		return fmt.Sprintf("%s of table %s is not switched on: the server does not know %s", what, t.name, action), nil
	}
	return "", t.readFault(action, err)
}

// pause waits d, or fails when ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
