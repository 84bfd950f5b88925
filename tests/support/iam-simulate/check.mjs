// Holds deploy/aws/operator-policy.json to two lists: every call of a representative run of the operator
// (target/iam-calls.json, written by `cargo test --test it a_representative_run`) is allowed, and every attack of
// attacks.json is denied. Usage: npm ci && npm run check
import { readFileSync } from 'node:fs'
import { runSimulation } from '@cloud-copilot/iam-simulate'

const root = new URL('../../../', import.meta.url)
const read = (path) => readFileSync(new URL(path, root), 'utf8')
const run = JSON.parse(read('target/iam-calls.json'))
const fill = (text) =>
  Object.entries(run.placeholders).reduce((filled, [name, value]) => filled.replaceAll('${' + name + '}', value), text)
const policy = (name) => ({ name, policy: JSON.parse(fill(read(`deploy/aws/${name}.json`))) })
const account = run.placeholders.AccountId
// Adoption is granted by a file of its own, which an account that allows it adds.
const operator = [policy('operator-policy'), policy('operator-policy-adoption')]

async function allowed(identityPolicies, { action, resource, context }) {
  const owner = resource.split(':')[4] || account
  const simulation = {
    request: {
      principal: `arn:aws:iam::${account}:role/aurora-log-export-operator`,
      action,
      resource: { resource, accountId: owner },
      contextVariables: context
    },
    identityPolicies,
    // In member accounts the trust policy must agree as well; here the question is what the operator's own policy says.
    resourcePolicy:
      action === 'sts:AssumeRole' || action === 'sts:TagSession'
        ? { Version: '2012-10-17', Statement: { Effect: 'Allow', Principal: { AWS: `arn:aws:iam::${account}:role/aurora-log-export-operator` }, Action: action } }
        : undefined,
    serviceControlPolicies: [],
    resourceControlPolicies: []
  }
  const result = await runSimulation(simulation, { simulationMode: 'Strict' })
  if (result.resultType === 'error') throw new Error(`${action} on ${resource}: ${JSON.stringify(result.errors)}`)
  return result.overallResult === 'Allowed'
}

const failures = []
const seen = new Map()
for (const request of run.requests) seen.set(JSON.stringify(request), request)
for (const request of seen.values()) {
  if (!(await allowed(operator, request))) failures.push(`denied to the operator: ${JSON.stringify(request)}`)
}

const attacks = JSON.parse(fill(read('tests/support/iam-simulate/attacks.json')))
for (const { attack, ...request } of attacks) {
  if (await allowed(operator, request)) failures.push(`allowed to an attacker: ${attack}: ${JSON.stringify(request)}`)
}

console.log(`${seen.size} different requests of the operator, ${attacks.length} attacks`)
if (attacks.length < 40 || seen.size < 40) failures.push('the lists are shorter than they should be')
for (const failure of failures) console.error(failure)
process.exitCode = failures.length === 0 ? 0 : 1
