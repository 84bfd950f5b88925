// Holds the documents that the operator writes, and those that it takes for equal, to the simulator (the file that the
// argument names, written by tests/it/simulated.rs in a whole run of the tests):
// - each of the six actions of a scope is allowed on exactly what AWS evaluates it on inside the scope, and nothing else;
// - two documents that the operator takes for equal give the same decision for every request.
import { readFileSync } from 'node:fs'
import { runSimulation } from '@cloud-copilot/iam-simulate'

const { scopes, pairs } = JSON.parse(readFileSync(process.argv[2], 'utf8'))

async function decide(policy, { action, resource, context = {} }) {
  const result = await runSimulation(
    {
      request: {
        principal: 'arn:aws:iam::111111111111:role/orders',
        action,
        // The account of the resource is not what is tested: across accounts, its own policies would have to agree.
        resource: { resource, accountId: '111111111111' },
        contextVariables: context
      },
      identityPolicies: [{ name: 'policy', policy }],
      serviceControlPolicies: [],
      resourceControlPolicies: []
    },
    { simulationMode: 'Strict' }
  )
  if (result.resultType === 'error') throw new Error(`${action} on ${resource}: ${JSON.stringify(result.errors)}`)
  return result.overallResult
}

const requests = []
for (const action of ['logs:PutLogEvents', 'logs:GetLogEvents', 'logs:CreateLogStream']) {
  for (const group of ['eu-west-1:111111111111:log-group:/aws/rds/a', 'us-east-1:111111111111:log-group:/aws/rds/b']) {
    for (const arn of [undefined, 'arn:aws:rds:eu-west-1:111111111111:cluster:a', 'arn:aws:rds:us-east-1:111111111111:cluster:c']) {
      for (const account of [undefined, '111111111111', '222222222222']) {
        const context = {}
        if (arn !== undefined) context['aws:SourceArn'] = arn
        if (account !== undefined) context['aws:SourceAccount'] = account
        requests.push({ action, resource: `arn:aws:logs:${group}:log-stream:s`, context })
      }
    }
  }
}

const failures = []
const counts = { allowed: 0, denied: 0, same: 0 }
for (const { policy, requests } of scopes) {
  for (const request of requests) {
    const allowed = (await decide(policy, request)) === 'Allowed'
    counts[allowed ? 'allowed' : 'denied'] += 1
    if (allowed !== request.allowed) {
      failures.push(`${allowed ? 'allowed' : 'denied'}: ${JSON.stringify(request)} by ${JSON.stringify(policy)}`)
    }
  }
}
let granted = 0
for (const { one, other } of pairs) {
  for (const request of requests) {
    const [first, second] = [await decide(one, request), await decide(other, request)]
    if (first === 'Allowed') granted += 1
    if (first === second) counts.same += 1
    else failures.push(`${first} and ${second}: ${JSON.stringify(request)} by ${JSON.stringify(one)} and ${JSON.stringify(other)}`)
  }
}
if (counts.allowed < 300 || counts.denied < 300 || granted < 300) failures.push('too few requests are allowed or denied')
console.log(
  [
    `scopes: ${counts.allowed} requests inside are allowed, ${counts.denied} outside denied`,
    `equal documents: ${counts.same} decisions are the same`
  ].join('\n    ')
)
for (const failure of failures.slice(0, 20)) console.error(failure)
process.exitCode = failures.length === 0 ? 0 : 1
