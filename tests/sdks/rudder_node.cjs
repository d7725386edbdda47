const Analytics = require('@rudderstack/rudder-sdk-node')

const [dataPlaneUrl, writeKey] = process.argv.slice(2)
const analytics = new Analytics(writeKey, { dataPlaneUrl, flushInterval: 100 })
analytics.identify({ userId: 'u-1', traits: { email: 'a@b.co' } })
analytics.track({ userId: 'u-1', event: 'Product Viewed', properties: { sku: '85123A' } })
analytics.flush()
