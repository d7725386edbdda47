import sys

from snowplow_tracker import Emitter, SelfDescribing, SelfDescribingJson, Subject, Tracker

tracker = Tracker("shop", Emitter(sys.argv[1].removeprefix("http://"), protocol="http"), app_id=sys.argv[2])
subject = Subject().set_user_id("u-1")
for schema, data in (
    ("iglu:com.snowplowanalytics.snowplow/identify/jsonschema/1-0-0", {"email": "a@b.co"}),
    ("iglu:com.acme/product_viewed/jsonschema/1-0-0", {"sku": "85123A"}),
):
    tracker.track(SelfDescribing(SelfDescribingJson(schema, data), event_subject=subject))
tracker.flush()
