import sys

from posthog import Posthog

posthog = Posthog(sys.argv[2], host=sys.argv[1])
posthog.set(distinct_id="u-1", properties={"email": "a@b.co"})
posthog.capture("Product Viewed", distinct_id="u-1", properties={"sku": "85123A"})
posthog.shutdown()
