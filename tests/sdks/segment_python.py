import sys

from segment import analytics

analytics.host, analytics.write_key = sys.argv[1:]
analytics.identify("u-1", {"email": "a@b.co"})
analytics.track("u-1", "Product Viewed", {"sku": "85123A"})
analytics.flush()
