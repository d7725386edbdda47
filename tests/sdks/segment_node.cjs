const { Analytics } = require('@segment/analytics-node')

const [host, writeKey] = process.argv.slice(2)
const analytics = new Analytics({ writeKey, host, path: '/v1/batch' })
analytics.identify({ userId: 'u-1', traits: { email: 'a@b.co' } })
analytics.track({ userId: 'u-1', event: 'Product Viewed', properties: { sku: '85123A' } })
analytics.closeAndFlush()
