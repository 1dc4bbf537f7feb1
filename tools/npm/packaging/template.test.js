// The template, the documents of packaging/iam, the Terraform module and the
// host container's user data say the same. UPDATE=1 writes the documents.
const test = require('node:test')
const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { root, read, render, policy, places, account } = require('./template')
const documents = require('./documents')

const template = read()
const clusterIn = (place, name = 'web') => `arn:${place.partition}:ecs:${place.region}:${account}:cluster/${name}`
const keyIn = (place) => `arn:${place.partition}:kms:${place.region}:${account}:key/0000-1111`
const all = (place) => ({ Clusters: clusterIn(place), Evidence: 'true', StopStandaloneTasks: 'true', KmsKeyArn: keyIn(place) })
const resources = { host: 'HostPolicy', operator: 'OperatorPolicy' }

for (const [document, resource] of Object.entries(resources)) {
  test(`packaging/iam/${document}.json is the template's ${resource}, in every partition`, () => {
    if (process.env.UPDATE) write(document, resource)
    for (const place of Object.values(places)) {
      const values = documents.values({ place, table: 'drydock', cluster: clusterIn(place), key: keyIn(place) })
      const filled = JSON.parse(documents.fill(documents.text(document), values))
      assert.deepEqual(filled, policy(render(template, all(place), place), resource))
    }
  })
}

// write makes a document of the template: rendered for values that are the
// names of the document.
function write(document, resource) {
  const place = { partition: '${PARTITION}', region: '${REGION}', suffix: '${DNS_SUFFIX}' }
  const open = structuredClone(template)
  for (const parameter of Object.values(open.Parameters)) delete parameter.AllowedPattern
  const given = { ...all(place), Clusters: '${CLUSTER_ARN}', TableName: '${TABLE}', KmsKeyArn: '${KEY_ARN}' }
  const made = JSON.stringify(policy(render(open, given, place), resource), null, 2)
  fs.writeFileSync(documents.fileOf(document), made.replaceAll(account, '${ACCOUNT}') + '\n')
}

test('rights that are optional are left out by their parameters', () => {
  const sids = (given, resource) =>
    policy(render(template, { Clusters: clusterIn(places.stockholm), ...given }), resource).Statement.map((s) => s.Sid)
  const optional = ['StopStandaloneTasks', 'TellATerminatedHostFromALateOne', 'ReadTheTableThroughItsKey']
  const given = (given) => sids(given, 'HostPolicy').filter((sid) => optional.includes(sid))
  assert.deepEqual(given({}), ['TellATerminatedHostFromALateOne'])
  assert.deepEqual(given({ Evidence: 'false' }), [])
  assert.deepEqual(given({ Evidence: 'false', StopStandaloneTasks: 'true' }), ['StopStandaloneTasks'])
  assert.deepEqual(given({ Evidence: 'false', KmsKeyArn: keyIn(places.stockholm) }), ['ReadTheTableThroughItsKey'])
})

test('several clusters are several values', () => {
  const clusters = [clusterIn(places.stockholm), clusterIn(places.stockholm, 'batch')]
  const { Statement } = policy(render(template, { Clusters: clusters.join(', ') }), 'HostPolicy')
  assert.deepEqual(Statement[0].Condition, { 'ForAllValues:StringEquals': { 'dynamodb:LeadingKeys': clusters } })
  assert.deepEqual(Statement[1].Condition, { ArnEquals: { 'ecs:cluster': clusters } })
})

test('ten clusters fit into what IAM takes of a policy', () => {
  const clusters = Array.from({ length: 10 }, (_, i) => clusterIn(places.govcloud, 'production-eu-' + i))
  const given = { ...all(places.govcloud), Clusters: clusters.join(',') }
  for (const resource of Object.values(resources)) {
    const text = JSON.stringify(policy(render(template, given, places.govcloud), resource))
    assert.ok(text.length <= 6144, `${resource} has ${text.length} characters`)
  }
})

test('table, roles, key and log group are there when they are asked for', () => {
  const without = render(template, { Clusters: clusterIn(places.stockholm) }).Resources
  assert.deepEqual(Object.keys(without), ['Table', 'HostPolicy', 'OperatorPolicy'])
  assert.equal(render(template, { Clusters: clusterIn(places.stockholm), MakeTable: 'false' }).Resources.Table, undefined)
  assert.equal(without.Table.Properties.SSESpecification, undefined)
  assert.equal(without.HostPolicy.Properties.Roles, undefined)
  assert.equal(without.OperatorPolicy.Properties.Roles, undefined)
  const given = { ...all(places.stockholm), HostRoles: 'web, batch', OperatorRoles: 'admin', LogGroupName: '/drydock/web' }
  const { Table, HostPolicy, OperatorPolicy, LogGroup } = render(template, given).Resources
  assert.equal(Table.Properties.SSESpecification.KMSMasterKeyId, keyIn(places.stockholm))
  assert.deepEqual(HostPolicy.Properties.Roles, ['web', 'batch'])
  assert.deepEqual(OperatorPolicy.Properties.Roles, ['admin'])
  assert.deepEqual(LogGroup.Properties, { LogGroupName: '/drydock/web', RetentionInDays: 90 })
})

test('parameters refuse what cannot work', () => {
  const good = { Clusters: clusterIn(places.stockholm) }
  const bad = [
    {}, { Clusters: 'web' }, { Clusters: '' }, { Clusters: good.Clusters + ',web' },
    { ...good, HostRoles: `arn:aws:iam::${account}:role/web` }, { ...good, OperatorRoles: 'a b' },
    { ...good, Image: 'an image' }, { ...good, Image: '' }, { ...good, Image: 'x"\nenabled = false' },
    { ...good, TableName: 'a/b' }, { ...good, TableName: 'ab' }, { ...good, Evidence: 'yes' }, { ...good, StopStandaloneTasks: 'no' },
    { ...good, KmsKeyArn: `arn:aws:kms:eu-north-1:${account}:alias/mine` }, { ...good, LogGroupName: 'a b' }, { ...good, LogRetentionDays: 91 },
  ]
  for (const given of bad) assert.throws(() => render(template, given), /^Error: parameter /, JSON.stringify(given))
  render(template, good)
})

test('the user data of the outputs is that of packaging/host-container', () => {
  const bare = (text) => text.split('\n').map((line) => line.replace(/^#.*|\s+#.*$/, '')).filter((line) => line !== '').join('\n')
  const kept = fs.readFileSync(path.join(root, 'host-container', 'user-data.toml'), 'utf8')
  const image = kept.match(/^source = "([^"]+)"/m)[1]
  const { UserData } = render(template, { Clusters: clusterIn(places.stockholm), Image: image }).Outputs
  assert.equal(bare(UserData.Value), bare(kept))
})
