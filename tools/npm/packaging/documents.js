// The policy documents of packaging/iam. Their $NAMES are filled by envsubst, by
// the Terraform module, and here.
const fs = require('node:fs')
const path = require('node:path')
const { root, account } = require('./template')

const names = ['host', 'operator', 'setup']
const fileOf = (name) => path.join(root, 'iam', name + '.json')
const text = (name) => fs.readFileSync(fileOf(name), 'utf8')

/** The values of a document's names for one cluster, table and key. */
function values({ place, table, cluster, key = '' }) {
  return {
    PARTITION: place.partition, REGION: place.region, DNS_SUFFIX: place.suffix, ACCOUNT: account,
    TABLE: table, CLUSTER_ARN: cluster, KEY_ARN: key,
  }
}

/** Fills the names in a text; one that is not known is an error. */
function fill(text, values) {
  return text.replace(/\$\{([^}]+)\}/g, (_, name) => {
    if (!(name in values)) throw new Error(`nothing is called ${name}`)
    return values[name]
  })
}

module.exports = { names, fileOf, text, values, fill }
