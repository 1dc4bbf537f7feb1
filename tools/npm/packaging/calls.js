// The calls of the program as IAM sees them, and the simulator that judges them.
const { runSimulation } = require('@cloud-copilot/iam-simulate')

/**
 * Where a call goes. `cluster` is a name, its ARN is in the same place; `key`
 * is a KMS key, `via` the service that uses it.
 */
const home = {
  partition: 'aws', region: 'eu-north-1', suffix: 'amazonaws.com', account: '111122223333',
  cluster: 'web', table: 'drydock', key: '0000-1111', via: 'dynamodb',
}

const clusterArn = (at) => `arn:${at.partition}:ecs:${at.region}:${at.account}:cluster/${at.cluster}`
const keyArn = (at) => `arn:${at.partition}:kms:${at.region}:${at.account}:key/${at.key}`
const ecs = (type) => (at) => ({
  resource: `arn:${at.partition}:ecs:${at.region}:${at.account}:${type}/${at.cluster}/0abc`,
  context: { 'ecs:cluster': clusterArn(at) },
})
const table = (at) => ({ resource: `arn:${at.partition}:dynamodb:${at.region}:${at.account}:table/${at.table}`, context: {} })
const item = (at) => ({ ...table(at), context: { 'dynamodb:LeadingKeys': [clusterArn(at)] } })

/** Each action's request, at a place. */
const requests = {
  'dynamodb:GetItem': item,
  'dynamodb:PutItem': item,
  'dynamodb:UpdateItem': item,
  'dynamodb:DeleteItem': item,
  'dynamodb:Query': item,
  'dynamodb:CreateTable': table,
  'dynamodb:DescribeTable': table,
  'dynamodb:DescribeTimeToLive': table,
  'dynamodb:UpdateTimeToLive': table,
  'dynamodb:DescribeContinuousBackups': table,
  'dynamodb:UpdateContinuousBackups': table,
  'ecs:DescribeContainerInstances': ecs('container-instance'),
  'ecs:UpdateContainerInstancesState': ecs('container-instance'),
  'ecs:ListTasks': ecs('container-instance'),
  'ecs:DescribeTasks': ecs('task'),
  'ecs:GetTaskProtection': ecs('task'),
  'ecs:StopTask': ecs('task'),
  'ecs:DescribeServices': ecs('service'),
  'ec2:DescribeInstances': (at) => ({ resource: '*', context: { 'ec2:Region': at.region } }),
  'kms:Decrypt': (at) => ({ resource: keyArn(at), context: { 'kms:ViaService': `${at.via}.${at.region}.${at.suffix}` } }),
}

/** What is not one's own, and whose calls it is told by. */
const elsewhere = [
  { name: 'another cluster', change: { cluster: 'other' }, of: /^(ecs:|dynamodb:.*(Item|Query)$)/ },
  { name: 'a cluster whose name begins the same', change: { cluster: 'web2' }, of: /^(ecs:|dynamodb:.*(Item|Query)$)/ },
  { name: 'another table', change: { table: 'other' }, of: /^dynamodb:/ },
  { name: 'a table whose name begins the same', change: { table: 'drydock2' }, of: /^dynamodb:/ },
  { name: 'another Region', change: { region: 'eu-west-1' }, of: /./ },
  { name: 'another account', change: { account: '444455556666' }, of: /^(ecs|dynamodb|kms):/ },
  { name: 'another key', change: { key: '2222-3333' }, of: /^kms:/ },
  { name: 'the key by another service', change: { via: 's3' }, of: /^kms:/ },
]

const judged = { allowed: 0, denied: 0 }

/** Whether a policy allows a call. Anything that the simulator finds odd in policy or request is an error. */
async function allows(policy, action, { resource, context }) {
  const result = await runSimulation({
    request: {
      principal: `arn:${home.partition}:iam::${home.account}:role/any`,
      action,
      resource: { resource, accountId: home.account },
      contextVariables: context,
    },
    identityPolicies: [{ name: 'policy', policy }],
    serviceControlPolicies: [],
    resourceControlPolicies: [],
    // A key lets the account's IAM decide, as one that KMS makes for you does.
    resourcePolicy: action.startsWith('kms:') ? keyPolicy : undefined,
  }, {})
  if (result.resultType === 'error') throw new Error(`${action}: ${JSON.stringify(result.errors)}`)
  const ignored = result.resultType === 'single' ? result.result.ignoredContextKeys ?? [] : []
  if (ignored.length > 0) throw new Error(`${action} knows no ${ignored}`)
  const allowed = result.overallResult === 'Allowed'
  judged[allowed ? 'allowed' : 'denied']++
  return allowed
}

const keyPolicy = {
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Principal: { AWS: `arn:${home.partition}:iam::${home.account}:root` }, Action: 'kms:*', Resource: '*' }],
}

module.exports = { home, clusterArn, keyArn, requests, elsewhere, allows, judged }
