// Sends each kind of call once with Segment's SDK for Node; prints what it was told as JSON.
//
// node send.mjs FOLDER URL KEY     FOLDER has the node_modules
import { createRequire } from 'node:module'
import { join } from 'node:path'

const [folder, host, writeKey] = process.argv.slice(2)
const { Analytics } = createRequire(join(folder, 'package.json'))('@segment/analytics-node')

const failed = []
const analytics = new Analytics({ writeKey, host, maxRetries: 3, httpRequestTimeout: 60_000 })
analytics.on('error', (error) => failed.push(String(error.code ?? error)))

const userId = 'u-node'
analytics.identify({ userId, traits: { email: 'n@example.org', plan: 'pro', tags: ['a', 'b'] } })
analytics.track({ userId, event: 'Order Completed', properties: { revenue: 450.75, nested: { deep: true } } })
analytics.page({ userId, name: 'Docs', category: 'Node', properties: { url: 'https://example.org/docs' } })
analytics.screen({ userId, name: 'Settings', properties: { dark: true } })
analytics.group({ userId, groupId: 'g-node', traits: { name: 'Acme' } })
analytics.alias({ userId, previousId: 'before-node' })
analytics.track({ anonymousId: 'anon-node', event: 'Order Completed', properties: { revenue: 1 } })
await analytics.closeAndFlush()
console.log(JSON.stringify({ failed }))
