package packaging_test

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drydock-ecs/drydock/coordination/dynamo"
	"github.com/drydock-ecs/drydock/internal/dynamotest"
)

// recorder keeps what a table was asked to be.
type recorder struct {
	dynamo.API
	table *dynamodb.CreateTableInput
	ttl   *dynamodb.UpdateTimeToLiveInput
	pitr  *dynamodb.UpdateContinuousBackupsInput
}

func newRecorder() *recorder { return &recorder{API: dynamotest.New().Client("test")} }

func (r *recorder) CreateTable(ctx context.Context, in *dynamodb.CreateTableInput, options ...func(*dynamodb.Options)) (*dynamodb.CreateTableOutput, error) {
	r.table = in
	return r.API.CreateTable(ctx, in, options...)
}

func (r *recorder) UpdateTimeToLive(ctx context.Context, in *dynamodb.UpdateTimeToLiveInput, options ...func(*dynamodb.Options)) (*dynamodb.UpdateTimeToLiveOutput, error) {
	r.ttl = in
	return r.API.UpdateTimeToLive(ctx, in, options...)
}

func (r *recorder) UpdateContinuousBackups(ctx context.Context, in *dynamodb.UpdateContinuousBackupsInput, options ...func(*dynamodb.Options)) (*dynamodb.UpdateContinuousBackupsOutput, error) {
	r.pitr = in
	return r.API.UpdateContinuousBackups(ctx, in, options...)
}

// template is the same in the template's words.
func (r *recorder) template() []string {
	lines := []string{
		fmt.Sprintf("      BillingMode: %s\n", r.table.BillingMode),
		fmt.Sprintf("      DeletionProtectionEnabled: %t\n", aws.ToBool(r.table.DeletionProtectionEnabled)),
		fmt.Sprintf("        AttributeName: %s\n        Enabled: %t\n",
			aws.ToString(r.ttl.TimeToLiveSpecification.AttributeName), aws.ToBool(r.ttl.TimeToLiveSpecification.Enabled)),
		fmt.Sprintf("        PointInTimeRecoveryEnabled: %t\n", aws.ToBool(r.pitr.PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled)),
	}
	return append(lines, schema(r.table.KeySchema), attributes(r.table.AttributeDefinitions))
}

func schema(keys []types.KeySchemaElement) string {
	text := "      KeySchema:\n"
	for _, k := range keys {
		text += fmt.Sprintf("        - { AttributeName: %s, KeyType: %s }\n", aws.ToString(k.AttributeName), k.KeyType)
	}
	return text
}

func attributes(all []types.AttributeDefinition) string {
	text := "      AttributeDefinitions:\n"
	for _, a := range all {
		text += fmt.Sprintf("        - { AttributeName: %s, AttributeType: %s }\n", aws.ToString(a.AttributeName), a.AttributeType)
	}
	return text
}
