"""A message of any wire format, sent to a real collector, is a row of raw.events with its ids and time."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from ingestion.registry import CONTRACTS_FOLDER, load_registry
from tests.ingestion.collector.server import Running, running
from tests.ingestion.messages import House, message

REGISTRY = load_registry(CONTRACTS_FOLDER, Path(__file__).parent / "sources.yml")


def ago(**span: float) -> datetime:
    """A moment in the past, to the millisecond as all wire formats have it."""
    moment = datetime.now(tz=UTC) - timedelta(**span)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def rows(house: House) -> dict[str, dict[str, Any]]:
    columns = (
        "event_id, event_name, occurred_at, user_id, account_id, anonymous_id, trace_id, session_id, "
        "channel, campaign_id, consent, properties"
    )
    found = house.rows(f"select {columns} from raw.events order by segment, line")
    return {row[0]: dict(zip(columns.split(", "), row, strict=True)) for row in found}


def test_every_wire_format_reaches_raw_events(house: House) -> None:
    moment = ago(minutes=30)
    with running(house) as collector:
        statuses = [answer.status_code for answer in send_all(collector, moment)]
    assert set(statuses) == {200}
    report = house.load(REGISTRY)
    assert (report.received, report.accepted, report.by_code) == (7, 7, {})
    found = rows(house)
    assert {
        event_id: (row["event_name"], row["user_id"], row["anonymous_id"]) for event_id, row in found.items()
    } == {
        "segment-1": ("product_viewed", "u-1", None),
        "rudder-1": ("product_viewed", "u-2", "a-2"),
        "posthog-1": ("product_viewed", "u-3", None),
        "posthog-2": ("identified", "u-3", "a-3"),
        "snowplow-1": ("product_viewed", "u-4", "d-4"),
        "cdp-1": ("product_viewed", "u-5", "a-5"),
        "cdp-2": ("identified", "u-5", None),
    }
    assert {row["occurred_at"] for row in found.values()} == {moment.replace(tzinfo=None)}
    assert orjson.loads(found["posthog-2"]["properties"]) == {"email": "a@b.co"}
    assert orjson.loads(found["snowplow-1"]["properties"]) == {"sku": "85123A"}
    envelope = ("account_id", "trace_id", "session_id", "channel", "campaign_id", "consent")
    assert [found["cdp-1"][name] for name in envelope] == [
        "g-5",
        "t-5",
        "s-5",
        "app",
        "spring",
        '{"ads":false}',
    ]


def send_all(collector: Running, moment: datetime) -> list[Any]:
    at, viewed = iso(moment), {"sku": "85123A"}
    now = iso(ago())
    rudder = message("rudder-1", userId="u-2", anonymousId="a-2", timestamp=..., originalTimestamp=at)
    posthog = {"distinct_id": "u-3", "timestamp": at}
    described = {"schema": "iglu:com.acme/product_viewed/jsonschema/1-0-0", "data": viewed}
    snowplow = {
        "e": "ue",
        "eid": "snowplow-1",
        "dtm": str(int(moment.timestamp() * 1000)),
        "uid": "u-4",
        "duid": "d-4",
        "aid": collector.key,
        "ue_pr": orjson.dumps(
            {"schema": "iglu:x/unstruct_event/jsonschema/1-0-0", "data": described}
        ).decode(),
    }
    own = {
        "event_name": "product_viewed", "event_id": "cdp-1", "occurred_at": at, "version": "1.0.0",
        "user_id": "u-5", "anonymous_id": "a-5", "account_id": "g-5", "trace_id": "t-5", "session_id": "s-5",
        "channel": "app", "campaign_id": "spring", "consent": {"ads": False}, "properties": viewed,
    }  # fmt: skip
    told = {
        "event_name": "identified", "event_id": "cdp-2", "occurred_at": at, "user_id": "u-5",
        "properties": {"email": "a@b.co"},
    }  # fmt: skip
    return [
        collector.post("/v1/track", {**message("segment-1", userId="u-1", timestamp=at), "sentAt": now}),
        collector.post("/v1/batch", {"batch": [rudder], "sentAt": now}),
        collector.post(
            "/batch/",
            {
                "api_key": collector.key,
                "sent_at": now,
                "batch": [
                    {**posthog, "event": "Product Viewed", "uuid": "posthog-1", "properties": viewed},
                    {
                        **posthog,
                        "event": "$identify",
                        "uuid": "posthog-2",
                        "properties": {"$set": {"email": "a@b.co"}, "$anon_distinct_id": "a-3"},
                    },
                ],
            },
            key=None,
        ),
        collector.post(
            "/com.snowplowanalytics.snowplow/tp2", {"schema": "iglu:x", "data": [snowplow]}, key=None
        ),
        collector.post("/v1/events", own),
        collector.post("/v1/events", {"events": [told]}),
    ]


def test_a_wrong_clock_is_put_right_and_a_slow_network_is_not(house: House) -> None:
    happened = ago(hours=1)
    wrong = timedelta(days=400, seconds=7)
    with running(house) as collector:
        for event_id, error in (("ahead", wrong), ("behind", -wrong), ("slow", timedelta(seconds=-20))):
            sent = message(event_id, timestamp=iso(happened + error))
            collector.post("/v1/batch", {"batch": [sent], "sentAt": iso(ago() + error)})
    assert house.load(REGISTRY).accepted == 3
    found = {event_id: row["occurred_at"].replace(tzinfo=UTC) for event_id, row in rows(house).items()}
    assert found["slow"] == happened - timedelta(seconds=20)
    for event_id in ("ahead", "behind"):
        assert abs(found[event_id] - happened) < timedelta(seconds=10)


def test_what_a_browser_asks_not_to_be_done_stands_in_the_consent(house: House) -> None:
    at = iso(ago())
    with running(house) as collector:
        asks = {"Sec-GPC": "1"}
        given = {"consent": {"ads": True, "gpc": False}}
        collector.post("/v1/track", message("asks", timestamp=at), headers=asks)
        collector.post("/v1/track", message("asks-more", timestamp=at, context=given), headers=asks)
        collector.post("/v1/track", message("asks-not", timestamp=at), headers={"Sec-GPC": "0"})
    assert house.load(REGISTRY).accepted == 3
    assert {event_id: row["consent"] for event_id, row in rows(house).items()} == {
        "asks": '{"gpc":true}',
        "asks-more": '{"ads":true,"gpc":true}',
        "asks-not": None,
    }


def test_what_may_not_or_cannot_be_loaded_is_in_quarantine_with_its_reason(house: House) -> None:
    at = iso(ago())
    with running(house) as collector:
        limited = collector.keys.create("web", datetime.now(tz=UTC), ("Signed Up",)).secret
        valid = message("shape", timestamp=at)
        own = {"event_name": "product_viewed", "event_id": "v-2", "occurred_at": at, "user_id": "u"}
        statuses = [
            collector.post("/v1/batch", valid).status_code,
            collector.post("/v1/batch", b"{not json\n}").status_code,
            collector.post("/v1/batch", b"[1]").status_code,
            collector.post("/v1/events", {**own, "properties": {"sku": "1"}, "version": "2.0.0"}).status_code,
            collector.post("/v1/events", {**own, "event_name": "order_completed"}).status_code,
        ]
        statuses.append(
            collector.post("/v1/track", message("limited", timestamp=at), key=limited).status_code
        )
    assert statuses == [400, 400, 400, 200, 200, 200]
    report = house.load(REGISTRY)
    assert report.accepted == 0
    assert report.by_code == {
        "EVENT_NOT_ALLOWED": 1,
        "MALFORMED_JSON": 1,
        "NOT_AN_OBJECT": 1,
        "UNKNOWN_EVENT": 1,
        "UNKNOWN_VERSION": 1,
        "UNREADABLE_REQUEST": 1,
    }


def test_a_message_that_is_sent_again_is_one_event(house: House) -> None:
    sent = {"batch": [message("again", timestamp=iso(ago()))]}
    with running(house, workers=2) as collector:
        for _ in range(3):
            collector.post("/v1/batch", sent)
    report = house.load(REGISTRY)
    assert (report.received, report.accepted, report.duplicates) == (3, 1, 2)
