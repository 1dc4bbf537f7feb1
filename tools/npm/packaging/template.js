// Reads packaging/cloudformation/drydock.yaml and works out what CloudFormation
// would make of it for given parameters.
const fs = require('node:fs')
const path = require('node:path')
const YAML = require('yaml')

const root = path.join(__dirname, '..', '..', '..', 'packaging')
const file = path.join(root, 'cloudformation', 'drydock.yaml')

// Short forms of the functions in use: !Sub x is {"Fn::Sub": x}.
const long = (name) => (name === 'Ref' ? 'Ref' : 'Fn::' + name)
const kinds = [undefined, 'seq', 'map']
const customTags = ['Ref', 'Sub', 'If', 'Not', 'Equals', 'Join'].flatMap((name) =>
  kinds.map((collection) => ({
    tag: '!' + name,
    collection,
    resolve: (value) => ({ [long(name)]: collection ? value.toJSON() : value }),
  })),
)

/** The template as data, functions in their long form. */
function read() {
  return YAML.parse(fs.readFileSync(file, 'utf8'), { customTags })
}

/** A place to deploy to. */
const places = {
  stockholm: { partition: 'aws', region: 'eu-north-1', suffix: 'amazonaws.com' },
  beijing: { partition: 'aws-cn', region: 'cn-north-1', suffix: 'amazonaws.com.cn' },
  govcloud: { partition: 'aws-us-gov', region: 'us-gov-west-1', suffix: 'amazonaws.com' },
  isolated: { partition: 'aws-iso', region: 'us-iso-east-1', suffix: 'c2s.ic.gov' },
}
const account = '111122223333'

/** What CloudFormation itself gives a template. */
function pseudo(place) {
  return {
    'AWS::Partition': place.partition,
    'AWS::Region': place.region,
    'AWS::URLSuffix': place.suffix,
    'AWS::AccountId': account,
  }
}

const nothing = Symbol('AWS::NoValue')

/**
 * The template with every function replaced by its value, resources without
 * their condition left out. Parameters that are not given take their defaults;
 * one that breaks its own constraints is an error, as it is for CloudFormation.
 */
function render(template, given, place = places.stockholm) {
  const known = { ...pseudo(place), ...parameters(template, given) }
  const conditions = {}
  const at = { known, conditions, names: Object.keys(template.Resources) }
  for (const [name, test] of Object.entries(template.Conditions)) conditions[name] = resolve(test, at)
  const resources = Object.entries(template.Resources).filter(([, r]) => !r.Condition || conditions[r.Condition])
  return {
    Resources: resolve(Object.fromEntries(resources), at),
    Outputs: resolve(template.Outputs, at),
  }
}

function parameters(template, given) {
  for (const name of Object.keys(given)) {
    if (!template.Parameters[name]) throw new Error(`there is no parameter ${name}`)
  }
  const values = {}
  for (const [name, p] of Object.entries(template.Parameters)) {
    const text = given[name] ?? p.Default
    if (text === undefined) throw new Error(`parameter ${name} is missing`)
    const list = p.Type === 'CommaDelimitedList' ? String(text).split(',').map((one) => one.trim()) : [text]
    for (const one of list) {
      if (p.AllowedValues && !p.AllowedValues.includes(one)) throw new Error(`parameter ${name}: ${one} is not allowed`)
      if (p.AllowedPattern && !new RegExp(`^(?:${p.AllowedPattern})$`).test(one)) throw new Error(`parameter ${name}: ${one}: ${p.ConstraintDescription}`)
    }
    values[name] = p.Type === 'CommaDelimitedList' ? list : text
  }
  return values
}

function resolve(node, at) {
  if (Array.isArray(node)) return node.map((one) => resolve(one, at)).filter((one) => one !== nothing)
  if (node === null || typeof node !== 'object') return node
  const [name, argument] = Object.entries(node)[0] ?? []
  if (functions[name] && Object.keys(node).length === 1) return functions[name](argument, at)
  const entries = Object.entries(node).map(([key, value]) => [key, resolve(value, at)])
  return Object.fromEntries(entries.filter(([, value]) => value !== nothing))
}

const functions = {
  Ref: (name, at) => {
    if (name === 'AWS::NoValue') return nothing
    if (at.names.includes(name)) return `resource ${name}`
    return lookUp(name, at.known)
  },
  'Fn::Sub': (argument, at) => {
    const [text, extra] = Array.isArray(argument) ? argument : [argument, {}]
    const known = { ...at.known, ...resolve(extra, at) }
    return text.replace(/\$\{([^}]+)\}/g, (_, name) => lookUp(name, known))
  },
  'Fn::If': ([condition, yes, no], at) => resolve(lookUp(condition, at.conditions) ? yes : no, at),
  'Fn::Not': ([test], at) => !resolve(test, at),
  'Fn::Equals': ([a, b], at) => resolve(a, at) === resolve(b, at),
  'Fn::Join': ([by, list], at) => resolve(list, at).join(by),
  'Fn::Base64': (text, at) => Buffer.from(resolve(text, at)).toString('base64'),
}

function lookUp(name, known) {
  if (!(name in known)) throw new Error(`nothing is called ${name}`)
  return known[name]
}

/** The policy document of a rendered resource. */
const policy = (rendered, name) => rendered.Resources[name].Properties.PolicyDocument

module.exports = { root, file, read, render, policy, places, account }
