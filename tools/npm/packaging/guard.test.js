// Our cfn-guard rules hold of the template, and each finds what it is for.
const test = require('node:test')
const assert = require('node:assert/strict')
const path = require('node:path')
const { spawnSync } = require('node:child_process')
const { root, read } = require('./template')

const rules = path.join(root, 'cloudformation', 'rules')
const shipped = path.join(path.dirname(require.resolve('@cdklabs/cdk-validator-cfnguard/package.json')), 'bin')
const guard = path.join(shipped, process.platform === 'darwin' ? 'macos' : 'ubuntu', process.arch === 'arm64' ? 'aarch64' : 'x86_64', 'cfn-guard')

/** The state of each rule for a template. */
function judge(template) {
  const args = ['validate', '--rules', rules, '--structured', '--output-format', 'json', '--show-summary', 'none']
  const { stdout, stderr, error } = spawnSync(guard, args, { input: JSON.stringify(template), encoding: 'utf8' })
  if (error || !stdout.startsWith('[')) throw new Error(`${guard}: ${error ?? stderr + stdout}`)
  const [report] = JSON.parse(stdout)
  return { failed: report.not_compliant.map((r) => r.Rule.name).toSorted(), passed: report.compliant, skipped: report.not_applicable }
}

const statement = (t, resource, sid) => {
  const all = t.Resources[resource].Properties.PolicyDocument.Statement
  return all.map((s) => s['Fn::If']?.[1] ?? s).find((s) => s.Sid === sid)
}

// Faults that somebody may put into the template, and the rules that must find
// them.
const faults = {
  'a key of another name': [['table_has_the_keys_of_the_lock'], (t) => { t.Resources.Table.Properties.KeySchema[0].AttributeName = 'cluster' }],
  'a key of another type': [['table_has_the_keys_of_the_lock'], (t) => { t.Resources.Table.Properties.AttributeDefinitions[1].AttributeType = 'N' }],
  'no table': [['table_has_the_keys_of_the_lock'], (t) => { delete t.Resources.Table }],
  'a table that goes with the stack': [['table_cannot_be_lost_by_mistake'], (t) => { delete t.Resources.Table.DeletionPolicy }],
  'no deletion protection': [['table_cannot_be_lost_by_mistake'], (t) => { t.Resources.Table.Properties.DeletionProtectionEnabled = false }],
  'no backups': [['table_cannot_be_lost_by_mistake'], (t) => { delete t.Resources.Table.Properties.PointInTimeRecoverySpecification }],
  'a TTL that may remove the lock': [['table_expires_events_alone'], (t) => { t.Resources.Table.Properties.TimeToLiveSpecification.AttributeName = 'schema' }],
  'a global table': [['only_these_kinds', 'table_is_in_one_region'], (t) => { t.Resources.Other = { Type: 'AWS::DynamoDB::GlobalTable', Properties: {} } }],
  'planned capacity': [['table_is_paid_by_request'], (t) => { t.Resources.Table.Properties.BillingMode = 'PROVISIONED' }],
  'all actions of a service': [['statements_allow_named_actions'], (t) => { statement(t, 'HostPolicy', 'SeeTasksAndWhatProtectsThem').Action.push('ecs:*') }],
  'an optional wildcard': [['statements_allow_named_actions'], (t) => { statement(t, 'HostPolicy', 'StopStandaloneTasks').Action = ['ecs:Stop*'] }],
  'a Deny': [['statements_allow_named_actions'], (t) => { statement(t, 'OperatorPolicy', 'SeeHowTheTableIsSet').Effect = 'Deny' }],
  'a Sid that says nothing': [['statements_say_why'], (t) => { statement(t, 'OperatorPolicy', 'SeeHowTheTableIsSet').Sid = 'Stmt1' }],
  'every table': [['statements_name_their_resource'], (t) => { statement(t, 'OperatorPolicy', 'SeeHowTheTableIsSet').Resource = '*' }],
  'every task': [['statements_name_their_resource'], (t) => { statement(t, 'HostPolicy', 'StopStandaloneTasks').Resource = '*' }],
  'instances of every Region': [['statements_name_their_resource'], (t) => { delete statement(t, 'HostPolicy', 'TellATerminatedHostFromALateOne').Condition }],
  'every cluster': [['ecs_is_bound_to_the_clusters'], (t) => { delete statement(t, 'HostPolicy', 'PredictWhetherADrainCanEnd').Condition }],
  'tasks of every cluster, optional': [['ecs_is_bound_to_the_clusters'], (t) => { delete statement(t, 'HostPolicy', 'StopStandaloneTasks').Condition }],
  'rows of every fleet': [['items_are_bound_to_the_fleets'], (t) => { delete statement(t, 'OperatorPolicy', 'ReadTheLockAndTheRows').Condition }],
  'the key for everything': [['keys_are_used_through_dynamodb'], (t) => { delete statement(t, 'HostPolicy', 'ReadTheTableThroughItsKey').Condition }],
  'a name for a policy': [['policies_have_no_names'], (t) => { t.Resources.HostPolicy.Properties.ManagedPolicyName = 'drydock' }],
  'a role': [['only_these_kinds'], (t) => { t.Resources.Role = { Type: 'AWS::IAM::Role', Properties: {} } }],
  'a parameter without bounds': [['parameters_are_explained_and_bound'], (t) => { delete t.Parameters.TableName.AllowedPattern }],
  'a parameter without a sentence': [['parameters_are_explained_and_bound'], (t) => { delete t.Parameters.TableName.Description }],
  'bounds that are not told': [['parameters_are_explained_and_bound'], (t) => { delete t.Parameters.TableName.ConstraintDescription }],
  'an output without a sentence': [['parameters_are_explained_and_bound'], (t) => { delete t.Outputs.Table.Description }],
}

test('the rules hold of the template', () => {
  const { failed, passed, skipped } = judge(read())
  assert.deepEqual(failed, [])
  assert.deepEqual(skipped.filter((name) => name !== 'default'), [])
  const wanted = new Set(Object.values(faults).flatMap(([rules]) => rules))
  assert.deepEqual(passed.filter((name) => !wanted.has(name)), [], 'rules that no fault tests')
})

for (const [name, [wanted, plant]] of Object.entries(faults)) {
  test(`the rules find ${name}`, () => {
    const template = read()
    plant(template)
    const { failed } = judge(template)
    for (const rule of wanted) assert.ok(failed.includes(rule), `${rule} holds; what fails: ${failed}`)
  })
}
