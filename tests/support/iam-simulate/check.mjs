// Holds deploy/aws/operator-policy.json to two lists: every call of a representative run of the operator
// (target/iam-calls.json, written by `cargo test --test it a_representative_run`) is allowed, and every attack of
// attacks.json is denied. And holds the lists to the policy: without any one of its statements, or of its allowed
// actions, some case must turn out differently; what no case needs is either too much or untested.
// Usage: npm ci && npm run check
import { readFileSync } from 'node:fs'
import { runSimulation } from '@cloud-copilot/iam-simulate'

const root = new URL('../../../', import.meta.url)
const read = (path) => readFileSync(new URL(path, root), 'utf8')
const run = JSON.parse(read('target/iam-calls.json'))
// Adoption is granted by a file of its own, which an account that allows it adds.
const FILES = ['operator-policy', 'operator-policy-adoption']
// Needed by nothing that a test can record. GetCallerIdentity: AWS answers it without any permission; the policy names
// it for whoever reads it.
const UNTESTABLE = ['sts:GetCallerIdentity']

/// The text with its placeholders filled in; an attack may set some of them otherwise.
const fill = (text, placeholders) =>
  Object.entries({ ...run.placeholders, ...placeholders }).reduce(
    (filled, [name, value]) => filled.replaceAll('${' + name + '}', value),
    text
  )
const source = FILES.map((name) => ({ name, policy: JSON.parse(read(`deploy/aws/${name}.json`)) }))
const account = run.placeholders.AccountId

async function allowed(policies, { action, resource, context, placeholders }) {
  const owner = resource.split(':')[4] || account
  // Roles are assumed from the operator's own account: across accounts both sides must agree, and here the question is
  // what the operator's side says.
  const assumes = action.startsWith('sts:') && action !== 'sts:GetCallerIdentity'
  const principal = `arn:aws:iam::${assumes ? '100000000000' : account}:role/aurora-log-export-operator`
  const simulation = {
    request: {
      principal,
      action,
      resource: { resource, accountId: owner },
      contextVariables: context
    },
    identityPolicies: JSON.parse(fill(JSON.stringify(policies), placeholders)),
    resourcePolicy: assumes
      ? { Version: '2012-10-17', Statement: { Effect: 'Allow', Principal: { AWS: principal }, Action: action } }
      : undefined,
    serviceControlPolicies: [],
    resourceControlPolicies: []
  }
  const result = await runSimulation(simulation, { simulationMode: 'Strict' })
  if (result.resultType === 'error') throw new Error(`${action} on ${resource}: ${JSON.stringify(result.errors)}`)
  return result.overallResult === 'Allowed'
}

const failures = []
const requests = [...new Map(run.requests.map((request) => [JSON.stringify(request), request])).values()]
for (const request of requests) {
  if (!(await allowed(source, request))) failures.push(`denied to the operator: ${JSON.stringify(request)}`)
}

const text = read('tests/support/iam-simulate/attacks.json')
const attacks = JSON.parse(text).map((attack) => JSON.parse(fill(JSON.stringify(attack), attack.placeholders)))
for (const { attack, ...request } of attacks) {
  if (await allowed(source, request)) failures.push(`allowed to an attacker: ${attack}: ${JSON.stringify(request)}`)
}
if (attacks.length < 40 || requests.length < 40) failures.push('the lists are shorter than they should be')

/// Does some case turn out differently under these policies? Only those that `actions` names can.
async function isNoticed(policies, effect, actions) {
  const cases = (effect === 'Allow' ? requests : attacks).filter(({ action }) => actions.includes(action))
  for (const request of cases) {
    if ((await allowed(policies, request)) !== (effect === 'Allow')) return true
  }
  return false
}

const list = (value) => (Array.isArray(value) ? value : [value])
let noticed = 0
for (const [file, { name, policy }] of source.entries()) {
  for (const [index, statement] of policy.Statement.entries()) {
    const actions = list(statement.Action)
    const mutants = [{ without: `statement ${statement.Sid}`, gone: actions }]
    for (const action of actions) mutants.push({ without: `${action} in ${statement.Sid}`, gone: [action] })
    for (const { without, gone } of mutants) {
      if (gone.every((action) => UNTESTABLE.includes(action))) continue
      const mutated = structuredClone(source)
      const left = actions.filter((action) => !gone.includes(action))
      if (left.length === 0) mutated[file].policy.Statement.splice(index, 1)
      else mutated[file].policy.Statement[index].Action = left
      if (await isNoticed(mutated, statement.Effect, gone)) noticed += 1
      else failures.push(`no case needs ${without} of ${name}.json`)
    }
  }
}

console.log(
  `${requests.length} different requests of the operator are allowed, ${attacks.length} attacks are denied, ` +
    `${noticed} removals of a statement or an action are noticed`
)
for (const failure of failures) console.error(failure)
process.exitCode = failures.length === 0 ? 0 : 1
