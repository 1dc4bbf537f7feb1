// The Terraform module makes what the template makes.
const test = require('node:test')
const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { execFileSync } = require('node:child_process')
const { parse } = require('@cdktn/hcl2json')
const { root, read, render, policy, places, account } = require('./template')

const template = read()
const dir = path.join(root, 'terraform')
const tools = path.join(root, '..', 'tools')
const program = path.join(tools, 'npm', 'node_modules', '.hcleval')

test.before(() => execFileSync('go', ['build', '-C', tools, '-o', program, './hcleval'], { stdio: 'inherit' }))

/** What the module is for variables, at a place. */
function evaluate(given, place) {
  const data = {
    aws_caller_identity: { here: { account_id: account } },
    aws_partition: { here: { partition: place.partition, dns_suffix: place.suffix } },
  }
  return JSON.parse(execFileSync(program, [dir], { input: JSON.stringify({ var: given, data }), stdio: ['pipe', 'pipe', 'pipe'] }))
}

// The module's names for the template's parameters, and how a value is told.
const list = (text) => String(text).split(',').filter((one) => one !== '')
const variables = {
  Clusters: ['clusters', list], HostRoles: ['host_roles', list], OperatorRoles: ['operator_roles', list],
  Image: ['image', String], TableName: ['table_name', String], KmsKeyArn: ['kms_key_arn', String],
  MakeTable: ['make_table', (text) => text === 'true'],
  Evidence: ['evidence', (text) => text === 'true'], StopStandaloneTasks: ['stop_standalone_tasks', (text) => text === 'true'],
  LogGroupName: ['log_group_name', String], LogRetentionDays: ['log_retention_days', Number],
}
const told = (given) => Object.fromEntries(Object.entries(given).map(([name, text]) => [variables[name][0], variables[name][1](text)]))

const clusters = (place) => ['web', 'batch'].map((name) => `arn:${place.partition}:ecs:${place.region}:${account}:cluster/${name}`)
const bare = (place) => ({ Clusters: clusters(place)[0] })
const full = (place) => ({
  Clusters: clusters(place).join(','), HostRoles: 'web,batch', OperatorRoles: 'admin', Image: 'registry/drydock:v1', TableName: 'other',
  Evidence: 'false', StopStandaloneTasks: 'true', KmsKeyArn: `arn:${place.partition}:kms:${place.region}:${account}:key/0-1`,
  LogGroupName: '/drydock', LogRetentionDays: 7,
})

for (const [name, place] of Object.entries(places)) {
  for (const given of [bare(place), full(place), { ...bare(place), Evidence: 'false', MakeTable: 'false' }]) {
    test(`${name}, with ${Object.keys(given).length} parameters: table, rights, log group and user data are the template's`, () => {
      const made = evaluate(told(given), place)
      const wanted = render(template, given, place)
      const lock = made.resource.aws_dynamodb_table.lock
      assert.deepEqual(lock.count ? table(lock) : undefined, wanted.Resources.Table && tableOf(wanted.Resources.Table))
      assert.deepEqual(JSON.parse(made.resource.aws_iam_policy.host.policy), policy(wanted, 'HostPolicy'))
      assert.deepEqual(JSON.parse(made.resource.aws_iam_policy.operator.policy), policy(wanted, 'OperatorPolicy'))
      const attached = made.resource.aws_iam_role_policy_attachment
      assert.deepEqual(attached.host.for_each.sort(), (wanted.Resources.HostPolicy.Properties.Roles ?? []).sort())
      assert.deepEqual(attached.operator.for_each.sort(), (wanted.Resources.OperatorPolicy.Properties.Roles ?? []).sort())
      const group = made.resource.aws_cloudwatch_log_group.journal
      const groups = group.count ? { LogGroupName: group.name, RetentionInDays: group.retention_in_days } : undefined
      assert.deepEqual(groups, wanted.Resources.LogGroup?.Properties)
      assert.equal(made.output.table, wanted.Outputs.Table.Value)
      assert.equal(made.output.user_data, wanted.Outputs.UserData.Value)
    })
  }
}

// table is a table in Terraform's words, tableOf one in CloudFormation's.
function table(t) {
  return {
    name: t.name, billing: t.billing_mode, protected: t.deletion_protection_enabled,
    keys: [t.hash_key, t.range_key], types: Object.fromEntries(t.attribute.map((a) => [a.name, a.type])),
    expires: t.ttl[0].enabled && t.ttl[0].attribute_name, backups: t.point_in_time_recovery[0].enabled,
    key: t.server_side_encryption?.[0].kms_key_arn, kept: t.lifecycle[0].prevent_destroy,
  }
}

function tableOf({ Properties: p, DeletionPolicy }) {
  return {
    name: p.TableName, billing: p.BillingMode, protected: p.DeletionProtectionEnabled,
    keys: p.KeySchema.map((k) => k.AttributeName), types: Object.fromEntries(p.AttributeDefinitions.map((a) => [a.AttributeName, a.AttributeType])),
    expires: p.TimeToLiveSpecification.Enabled && p.TimeToLiveSpecification.AttributeName, backups: p.PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled,
    key: p.SSESpecification?.KMSMasterKeyId, kept: DeletionPolicy === 'Retain',
  }
}

test('the variables are the parameters, with the same defaults', async () => {
  const { variable } = await parse('variables.tf', fs.readFileSync(path.join(dir, 'variables.tf'), 'utf8'))
  assert.deepEqual(Object.keys(variable).sort(), Object.values(variables).map(([name]) => name).sort())
  assert.deepEqual(Object.keys(template.Parameters).sort(), Object.keys(variables).sort())
  for (const [parameter, [name, tell]] of Object.entries(variables)) {
    const { Default } = template.Parameters[parameter]
    assert.deepEqual(variable[name][0].default, Default === undefined ? undefined : tell(Default), name)
    assert.ok(variable[name][0].description, name)
  }
})

test('what cannot work is refused', () => {
  const good = { clusters: [clusters(places.stockholm)[0]] }
  for (const given of [{}, { clusters: [] }, { clusters: ['web'] }, { ...good, table_name: 'a/b' }, { ...good, evidence: 'maybe' }]) {
    assert.throws(() => evaluate(given, places.stockholm), /hcleval: variable /, JSON.stringify(given))
  }
})
