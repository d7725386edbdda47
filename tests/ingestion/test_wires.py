"""What each wire format says in the words of Segment's, and that no message can break the reading of it."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.inspection import inspect
from ingestion.records import Parts
from ingestion.registry import load_registry
from ingestion.wires import WIRES, WRONG_CLOCK, as_segment, clock_error, consent_with_gpc
from tests.ingestion.messages import NOW, message

REGISTRY = load_registry()
PERSON, DEVICE = "u-1", "d-1"


def posthog(event: str = "Signed Up", distinct_id: object = PERSON, **properties: Any) -> dict[str, Any]:
    return as_segment(
        {"event": event, "distinct_id": distinct_id, "properties": properties}, {"wire": "posthog"}
    )


@pytest.mark.parametrize(
    ("distinct_id", "properties", "user_id", "anonymous_id"),
    [
        (PERSON, {}, PERSON, None),
        (PERSON, {"$device_id": DEVICE}, PERSON, DEVICE),
        (PERSON, {"$device_id": DEVICE, "$is_identified": True}, PERSON, DEVICE),
        (DEVICE, {"$device_id": DEVICE}, None, DEVICE),
        (DEVICE, {"$is_identified": False}, None, DEVICE),
        (DEVICE, {"$process_person_profile": False}, None, DEVICE),
    ],
)
def test_a_posthog_id_is_a_person_or_a_device(
    distinct_id: str, properties: dict[str, Any], user_id: str | None, anonymous_id: str | None
) -> None:
    read = posthog(distinct_id=distinct_id, **properties)
    assert (read["userId"], read["anonymousId"]) == (user_id, anonymous_id)


def test_an_identify_of_posthog_joins_the_device_to_the_person_and_carries_the_traits() -> None:
    traits = {"$set": {"email": "new"}, "$set_once": {"email": "old", "country": "GB"}}
    read = posthog("$identify", **{"$anon_distinct_id": DEVICE, "$is_identified": False, **traits})
    assert (read["type"], read["userId"], read["anonymousId"]) == ("identify", PERSON, DEVICE)
    assert read["traits"] == {"email": "new", "country": "GB"}


@pytest.mark.parametrize(
    ("event", "call"),
    [
        ("$pageview", "page"),
        ("$screen", "screen"),
        ("$set", "identify"),
        ("$groupidentify", "group"),
        ("$create_alias", "alias"),
        ("anything", "track"),
    ],
)
def test_the_special_events_of_posthog_are_calls(event: str, call: str) -> None:
    assert posthog(event)["type"] == call


def test_the_key_that_posthog_repeats_in_each_event_is_not_kept_among_its_properties() -> None:
    assert posthog(token="phc_secret", plan="pro")["properties"] == {"plan": "pro"}


def test_a_posthog_event_keeps_its_session_group_and_campaign() -> None:
    read = posthog(**{"$session_id": "s", "$groups": {"company": "acme"}, "utm_campaign": "spring"})
    assert read["context"] == {"sessionId": "s", "groupId": "acme", "campaign": {"name": "spring"}}


def snowplow(**message: Any) -> dict[str, Any]:
    return as_segment(message, {"wire": "snowplow"})


def described(name: str, data: object) -> dict[str, Any]:
    schema = f"iglu:com.acme/{name}/jsonschema/1-0-0"
    return {"schema": "iglu:x/unstruct_event/jsonschema/1-0-0", "data": {"schema": schema, "data": data}}


@pytest.mark.parametrize("encoded", [False, True])
def test_a_self_describing_event_of_snowplow_is_a_track_of_its_schemas_name(encoded: bool) -> None:
    document = orjson.dumps(described("add_to_cart", {"sku": "ÿ?~1"}))
    text = base64.urlsafe_b64encode(document).decode().rstrip("=") if encoded else document.decode()
    read = snowplow(e="ue", **{"ue_px" if encoded else "ue_pr": text})
    assert (read["type"], read["event"], read["properties"]) == ("track", "add_to_cart", {"sku": "ÿ?~1"})


def test_the_ids_and_the_time_of_a_snowplow_event() -> None:
    read = snowplow(
        e="se", se_ac="a", se_va="1.5", eid="e", dtm="1291192000123", uid="u", duid="d", sid="s", p="web"
    )
    assert read == {
        "type": "track",
        "event": "a",
        "messageId": "e",
        "timestamp": "2010-12-01T08:26:40.123Z",
        "userId": "u",
        "anonymousId": "d",
        "channel": "web",
        "context": {"sessionId": "s"},
        "properties": {"value": 1.5},
    }
    assert snowplow(e="pv", dtm="0", ttm="1291192000123")["timestamp"] == "2010-12-01T08:26:40.123Z"


def test_contexts_of_snowplow_are_kept_and_tell_the_session() -> None:
    session = {"schema": "iglu:x/client_session/jsonschema/1-0-2", "data": {"sessionId": "s-9"}}
    read = snowplow(e="pv", url="https://x", co=json.dumps({"schema": "iglu:x", "data": [session]}))
    assert read["type"] == "page"
    assert read["context"] == {"sessionId": "s-9"}
    assert read["properties"] == {"url": "https://x", "contexts": [session]}


def test_an_identify_schema_of_snowplow_carries_traits() -> None:
    read = snowplow(e="ue", ue_pr=json.dumps(described("identify", {"email": "a@b.co"})))
    assert (read["type"], read["traits"]) == ("identify", {"email": "a@b.co"})


def test_our_own_envelope_names_its_contract_and_may_be_held_to_a_version() -> None:
    own = {
        "event_name": "product_viewed",
        "event_id": "e",
        "user_id": 7,
        "occurred_at": "2010-12-01T08:26:00Z",
    }
    read = as_segment({**own, "properties": {"sku": "1"}}, {"wire": "cdp"})
    assert (read["type"], read["event"], read["userId"]) == ("contract", "product_viewed", 7)


@pytest.mark.parametrize("seconds", [-59, 0, 60])
def test_a_short_difference_of_clocks_is_the_networks(seconds: int) -> None:
    sent_at = (NOW - timedelta(seconds=seconds)).isoformat()
    assert clock_error({"sent_at": sent_at}, NOW) == timedelta()
    late = NOW - WRONG_CLOCK - timedelta(milliseconds=1)
    assert clock_error({"sent_at": late.isoformat()}, NOW) == WRONG_CLOCK + timedelta(milliseconds=1)


@pytest.mark.parametrize("sent_at", ["never", "2010-12-01T09:00:00", None, 7, []])
def test_a_time_of_sending_that_cannot_be_read_corrects_nothing(sent_at: object) -> None:
    assert clock_error({"sent_at": sent_at}, NOW) == timedelta()


@pytest.mark.parametrize(
    ("given_consent", "stored"),
    [
        (None, {"gpc": True}),
        ({"gpc": False, "a": 1}, {"gpc": True, "a": 1}),
        ("yes", {"given": "yes", "gpc": True}),
    ],
)
def test_a_browsers_signal_is_never_outvoted_by_what_a_page_says(
    given_consent: object, stored: dict[str, Any]
) -> None:
    assert consent_with_gpc(given_consent) == stored


def test_a_correction_that_leads_out_of_time_is_a_reason_and_no_failure() -> None:
    for timestamp in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"):
        for sent_at in ("0001-01-02T00:00:00.000Z", "9999-12-31T00:00:00.000Z"):
            note = {"wire": "segment", "sent_at": sent_at}
            raw = json.dumps(message(timestamp=timestamp)).encode()
            outcome = inspect(REGISTRY, Parts(datetime(2010, 12, 1, tzinfo=UTC), "web", note, raw))
            assert getattr(outcome, "reasons", ()) or hasattr(outcome, "occurred_at")


KEYS = [
    *("event", "type", "distinct_id", "uuid", "timestamp", "properties", "$set", "$device_id", "$groups"),
    *("e", "eid", "dtm", "ttm", "ue_pr", "ue_px", "co", "cx", "se_va", "uid", "sid", "data", "schema"),
    *("event_name", "event_id", "occurred_at", "consent", "version"),
]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6)
    | st.sampled_from(["ue", "pv", "se", "$identify", "product_viewed", '{"data":[{"schema":7}]}', "eyJ9"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    found=st.dictionaries(st.sampled_from(KEYS), values, max_size=8),
    note=st.fixed_dictionaries(
        {"wire": st.sampled_from([*WIRES, "other"]) | values},
        optional={"sent_at": values, "gpc": values, "allowed": values, "key": values, "call": values},
    ),
)
def test_no_message_breaks_the_reading(found: dict[str, Any], note: dict[str, Any]) -> None:
    inspect(REGISTRY, Parts(NOW, "web", note, json.dumps(found).encode()))
