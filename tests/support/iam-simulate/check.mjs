// Holds deploy/aws to what the operator does and to what must never be possible:
// - every call that a whole run of the tests recorded (the file that the argument names, written by `cargo xtask ci --only
//   simulator`) is allowed, or denied where its category says so, by the policies of its category;
// - every attack of attacks.json is denied to the operator; what only the boundary prevents is allowed without it, and what
//   an additional file grants is allowed with it only;
// - roles made by the operator are held by the permissions boundary (boundary.json), the operator's own role by the trust
//   policies (trust.json).
// And holds the lists to the policies: without any one statement, action or condition some case must turn out differently;
// what no case needs is either too much or untested.
import { readFileSync } from 'node:fs'
import { runSimulation } from '@cloud-copilot/iam-simulate'

const read = (path) => readFileSync(new URL(path, import.meta.url), 'utf8')
const list = (value) => (Array.isArray(value) ? value : [value])
const fill = (text, values) =>
  Object.entries(values).reduce((filled, [name, value]) => filled.replaceAll('${' + name + '}', value), text)
const policy = (name) => JSON.parse(read(`../../../deploy/aws/${name}.json`))

// Of attacks, and of what the policies of trust and boundary are shown. The simulator knows the condition keys of OIDC
// providers by name: the policy has a placeholder there, so any of those it knows stands for the cluster's.
const PLACEHOLDERS = {
  Partition: 'aws',
  AccountId: '111111111111',
  IamPath: '/aurora-log-export/',
  ClusterName: 'cluster',
  PermissionsBoundaryArn: 'arn:aws:iam::111111111111:policy/aurora-log-export-boundary',
  OidcProvider: 'accounts.google.com',
  ClusterArn: 'arn:aws:eks:eu-west-1:111111111111:cluster/cluster',
  OperatorRoleArn: 'arn:aws:iam::100000000000:role/aurora-log-export-operator',
  ExternalId: 'external-id'
}
// AWS answers GetCallerIdentity without any permission; the policy names it for whoever reads it.
const UNTESTABLE = ['sts:GetCallerIdentity']
const EVERYTHING = { Version: '2012-10-17', Statement: { Effect: 'Allow', Action: '*', Resource: '*' } }

// What an operator, or a thief of its credentials, asks for.
function byOperator({ action, resource, context = {} }, files, account) {
  // Roles are assumed from the operator's own account: across accounts both sides must agree, and here the question is
  // what the operator's side says.
  const assumes = action.startsWith('sts:') && action !== 'sts:GetCallerIdentity'
  const principal = `arn:aws:iam::${assumes ? '100000000000' : account}:role/aurora-log-export-operator`
  const trusts = { Effect: 'Allow', Principal: { AWS: principal }, Action: action }
  return {
    request: {
      principal,
      action,
      resource: { resource, accountId: resource.split(':')[4] || account },
      contextVariables: context
    },
    identityPolicies: files,
    resourcePolicy: assumes ? { Version: '2012-10-17', Statement: trusts } : undefined
  }
}

// What a role that the operator made asks for, with the widest policy that anybody could have given it.
function byMadeRole({ action, resource, context = {} }, files, account) {
  return {
    request: {
      principal: `arn:aws:iam::${account}:role${PLACEHOLDERS.IamPath}orders`,
      action,
      resource: { resource, accountId: account },
      contextVariables: context
    },
    identityPolicies: [{ name: 'everything', policy: EVERYTHING }],
    permissionBoundaryPolicies: files
  }
}

// What somebody asks of the operator's own role; whoever has an identity in AWS may do everything as far as that goes.
function toOperatorsRole({ principal, action, context = {} }, [{ policy }], account) {
  const isIdentity = /:(role|user|assumed-role)\//.test(principal)
  const role = `arn:aws:iam::${account}:role/aurora-log-export-operator`
  return {
    request: { principal, action, resource: { resource: role, accountId: account }, contextVariables: context },
    identityPolicies: isIdentity ? [{ name: 'everything', policy: EVERYTHING }] : [],
    resourcePolicy: policy
  }
}

async function isAllowed({ ask, files, values, request }, changed = {}) {
  const filled = files.map((name) => ({
    name,
    policy: JSON.parse(fill(JSON.stringify(changed[name] ?? policy(name)), values))
  }))
  const simulation = { ...ask(request, filled, values.AccountId), serviceControlPolicies: [], resourceControlPolicies: [] }
  const result = await runSimulation(simulation, { simulationMode: 'Strict' })
  if (result.resultType === 'error') {
    throw new Error(`${request.action} on ${request.resource}: ${JSON.stringify(result.errors)}`)
  }
  return result.overallResult === 'Allowed'
}

// Every case of a list file, its placeholders filled in.
function listed(path, ask, files, expected) {
  return JSON.parse(read(path)).map((entry) => {
    const values = { ...PLACEHOLDERS, ...entry.placeholders }
    const request = JSON.parse(fill(JSON.stringify(entry), values))
    return { ask, files: files(entry), values, request, what: entry.attack ?? entry.case, allowed: expected(entry) }
  })
}

const recorded = JSON.parse(readFileSync(process.argv[2], 'utf8')).cases.map(
  ({ files, placeholders, allowed, ...request }) => ({
    ask: byOperator,
    files,
    values: placeholders,
    request: JSON.parse(fill(JSON.stringify(request), placeholders)),
    what: `recorded in ${request.test}`,
    allowed
  })
)
// The additional files hold no Deny, so what is denied with all of them is denied with fewer. An attack that one of them
// grants is shown to the policies without that file as well.
const ADDITIONAL = ['operator-policy-adoption', 'operator-policy-exclusive']
const attacks = ['operator-policy', 'operator-policy-without-boundary'].flatMap((variant) => {
  const withoutBoundary = variant === 'operator-policy-without-boundary'
  const granted = listed(
    'attacks.json',
    byOperator,
    () => [variant, ...ADDITIONAL],
    (attack) => 'grantedBy' in attack || (withoutBoundary && attack.preventedBy === 'boundary')
  )
  const withheld = listed(
    'attacks.json',
    byOperator,
    (attack) => [variant, ...ADDITIONAL.filter((file) => file !== attack.grantedBy)],
    () => false
  )
  return [...granted, ...withheld.filter(({ request }) => 'grantedBy' in request)]
})
const boundary = listed('boundary.json', byMadeRole, () => ['permissions-boundary'], (entry) => 'case' in entry)
const trust = listed('trust.json', toOperatorsRole, (entry) => [entry.file], (entry) => 'case' in entry)
const cases = [...recorded, ...attacks, ...boundary, ...trust]

const failures = []
for (const one of cases) {
  if ((await isAllowed(one)) !== one.allowed) {
    const verdict = one.allowed ? 'denied' : 'allowed'
    failures.push(`${verdict} by ${one.files.join(' and ')}: ${one.what}: ${JSON.stringify(one.request)}`)
  }
}

// The policy without each one of its statements, actions and conditions.
function* mutants(source) {
  for (const [index, statement] of source.Statement.entries()) {
    const changed = (change) => {
      const copy = structuredClone(source)
      if (change(copy.Statement[index]) === 'gone') copy.Statement.splice(index, 1)
      return copy
    }
    const actions = list(statement.Action)
    if (actions.length > 1) yield { without: `statement ${statement.Sid}`, actions, policy: changed(() => 'gone') }
    for (const action of actions) {
      if (UNTESTABLE.includes(action)) continue
      const without = changed((copy) => {
        copy.Action = actions.filter((other) => other !== action)
        return copy.Action.length === 0 ? 'gone' : 'less'
      })
      yield { without: `${action} in ${statement.Sid}`, actions: [action], policy: without }
    }
    for (const [operator, keys] of Object.entries(statement.Condition ?? {})) {
      for (const key of Object.keys(keys)) {
        const without = changed((copy) => {
          delete copy.Condition[operator][key]
          if (Object.keys(copy.Condition[operator]).length === 0) delete copy.Condition[operator]
        })
        yield { without: `condition ${operator} ${key} in ${statement.Sid}`, actions, policy: without }
      }
    }
  }
}

// That an attack gets through is no reason to grant it.
const reasons = [...recorded, ...attacks.filter(({ allowed }) => !allowed), ...boundary, ...trust]
let noticed = 0
for (const name of new Set(cases.flatMap(({ files }) => files))) {
  for (const { without, actions, policy: mutant } of mutants(policy(name))) {
    const concerned = reasons.filter(({ files, request }) => files.includes(name) && actions.includes(request.action))
    let isNoticed = false
    for (const one of concerned) {
      isNoticed = (await isAllowed(one, { [name]: mutant })) !== one.allowed
      if (isNoticed) break
    }
    if (isNoticed) noticed += 1
    else failures.push(`no case needs ${without} of ${name}.json`)
  }
}

const prevented = attacks.filter(({ request }) => 'preventedBy' in request)
const granted = attacks.filter(({ request }) => 'grantedBy' in request)
const count = (cases, allowed) => cases.filter((one) => one.allowed === allowed).length
if (recorded.length < 100 || count(attacks, false) < 80) failures.push('the lists are shorter than they should be')
console.log(
  [
    `recorded: ${count(recorded, true)} different requests of the operator are allowed, ${count(recorded, false)} denied as documented`,
    `attacks with the operator's credentials: ${count(attacks, false)} denied, ${count(prevented, true)} that only the boundary prevents allowed without it, ${count(granted, true)} that an additional policy grants allowed with it`,
    `a role behind the boundary: ${count(boundary, true)} requests allowed, ${count(boundary, false)} attacks denied`,
    `the operator's own role: ${count(trust, true)} requests allowed, ${count(trust, false)} attacks denied`,
    `${noticed} removals of a statement, an action or a condition are noticed`
  ].join('\n    ')
)
for (const failure of failures) console.error(failure)
process.exitCode = failures.length === 0 ? 0 : 1
