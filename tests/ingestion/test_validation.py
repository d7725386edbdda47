"""Every line ends as accepted or as quarantined with its reasons, whatever bytes it is made of."""

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingestion.event_log import EventLog, Slice
from ingestion.inspection import Event, inspect
from ingestion.records import Note, Parts, Record, record_head, split_record
from ingestion.registry import Registry, load_registry
from ingestion.validation import Validated, validate
from tests.ingestion.messages import NOW, message, raw

REGISTRY = load_registry()


def check(
    *lines: bytes, source: str = "web", at: str = "2010-12-01T09:00:00.000Z", note: Note | None = None
) -> Validated:
    return check_records(*(record_head(at, source, note) + line for line in lines))


def check_records(*records: bytes) -> Validated:
    data = b"".join(record + b"\n" for record in records)
    part = Slice("2010-12-01/000001.log", 1, len(records), 0, len(data))
    return validate(REGISTRY, [(part, data)], "batch")


def only_refusal(validated: Validated) -> dict[str, Any]:
    assert validated.accepted.num_rows == 0
    (row,) = validated.quarantined.to_pylist()
    return dict(row)


DEEP = b'{"messageId":"m","properties":' + b"[" * 10_000 + b"]" * 10_000 + b"}"
# More levels than are written, fewer than are read.
DEEPER = b"[" * 300 + b"]" * 300
ORDER = {"order_id": "1", "currency": "GBP", "total": 1, "items": []}
CONSENT = {"channel": "email", "purpose": "marketing", "status": "withdrawn", "capture_method": "form"}
GRANT = {**CONSENT, "status": "granted"}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"", "MALFORMED_JSON"),
        (b"   ", "MALFORMED_JSON"),
        (b"{", "MALFORMED_JSON"),
        (raw()[:-1], "MALFORMED_JSON"),
        (raw() + raw(), "MALFORMED_JSON"),
        (b"\xef\xbb\xbf" + raw(), "MALFORMED_JSON"),
        (raw().replace(b'"12345"', b'"123\x0045"'), "MALFORMED_JSON"),
        (raw().replace(b'"12345"', b'"\\ud800"'), "MALFORMED_JSON"),
        (raw(context={"n": 1}).replace(b'"n":1', b'"n":NaN'), "MALFORMED_JSON"),
        (raw(context={"n": 1}).replace(b'"n":1', b'"n":-Infinity'), "MALFORMED_JSON"),
        (raw(context={"n": 1}).replace(b'"n":1', b'"n":1e999'), "MALFORMED_JSON"),
        (raw(context={"n": 1}).replace(b'"n":1', b'"n":' + b"9" * 5000), "MALFORMED_JSON"),
        (raw(context={"n": 1}).replace(b'"n":1', b'"n":1,'), "MALFORMED_JSON"),
        (DEEP, "MALFORMED_JSON"),
        (raw(properties={"sku": "1", "x": 0}).replace(b'"x":0', b'"x":' + DEEPER), "TOO_DEEP"),
        (raw(context={"consent": 0}).replace(b'"consent":0', b'"consent":' + DEEPER), "TOO_DEEP"),
        (raw().replace(b"85123A", b"CAF\xc9"), "INVALID_ENCODING"),
        (b"\xff\xfe", "INVALID_ENCODING"),
        (b"[]", "NOT_AN_OBJECT"),
        (b'"text"', "NOT_AN_OBJECT"),
        (b"null", "NOT_AN_OBJECT"),
        (b"42", "NOT_AN_OBJECT"),
        (raw(properties={"sku": "x" * 1_100_000}), "OVERSIZE"),
        (raw(event="Wishlist Shared"), "UNKNOWN_EVENT"),
        (raw(event="product viewed"), "UNKNOWN_EVENT"),
        (raw(event=...), "UNKNOWN_EVENT"),
        (raw(event=["Product Viewed"]), "UNKNOWN_EVENT"),
        (raw(type="pageview"), "UNKNOWN_EVENT"),
        (raw(type=...), "UNKNOWN_EVENT"),
        (raw(type={}), "UNKNOWN_EVENT"),
        (raw(messageId=...), "MISSING_EVENT_ID"),
        (raw(messageId=None), "MISSING_EVENT_ID"),
        (raw(messageId=" \t"), "MISSING_EVENT_ID"),
        (raw(messageId=["m"]), "MISSING_EVENT_ID"),
        (raw(messageId=True), "MISSING_EVENT_ID"),
        (raw(userId=...), "MISSING_IDENTITY"),
        (raw(userId=None), "MISSING_IDENTITY"),
        (raw(userId=""), "MISSING_IDENTITY"),
        (raw(userId="\u200b\ufeff"), "MISSING_IDENTITY"),
        (raw(userId="\x00"), "MISSING_IDENTITY"),
        (raw(messageId="\u2060 "), "MISSING_EVENT_ID"),
        (raw(userId={"id": "1"}), "MISSING_IDENTITY"),
        (raw(userId=..., anonymousId="  "), "MISSING_IDENTITY"),
        (raw(timestamp=...), "BAD_TIMESTAMP"),
        (raw(timestamp="last tuesday"), "BAD_TIMESTAMP"),
        (raw(timestamp=1291192000), "BAD_TIMESTAMP"),
        (raw(timestamp="2010-12-01T08:26:00"), "BAD_TIMESTAMP"),
        (raw(timestamp="2010-12-01"), "BAD_TIMESTAMP"),
        (raw(timestamp="2010-02-30T00:00:00Z"), "BAD_TIMESTAMP"),
        (raw(timestamp="2010-12-01T24:00:00Z"), "BAD_TIMESTAMP"),
        (raw(timestamp="0000-01-01T00:00:00Z"), "BAD_TIMESTAMP"),
        (raw(timestamp="0001-01-01T00:00:00+14:00"), "CLOCK_OUT_OF_RANGE"),
        (raw(timestamp="1999-12-31T23:59:59.999Z"), "CLOCK_OUT_OF_RANGE"),
        (raw(timestamp="2010-12-02T09:00:00.001Z"), "CLOCK_OUT_OF_RANGE"),
        (raw(timestamp="9999-12-31T23:59:59.999-12:00"), "CLOCK_OUT_OF_RANGE"),
        (raw(properties=...), "INVALID_PROPERTIES"),
        (raw(properties=[]), "INVALID_PROPERTIES"),
        (raw(properties={}), "INVALID_PROPERTIES"),
        (raw(properties={"sku": ""}), "INVALID_PROPERTIES"),
        (raw(event="Order Completed", properties={**ORDER, "currency": "gbp"}), "INVALID_PROPERTIES"),
        (raw(event="Order Completed", properties={**ORDER, "total": "1"}), "INVALID_PROPERTIES"),
        (raw(event="Order Completed", properties={**ORDER, "total": -0.01}), "INVALID_PROPERTIES"),
        (raw(event="Order Completed", properties={**ORDER, "country": "gb"}), "INVALID_PROPERTIES"),
        (raw(event="Order Completed", properties={**ORDER, "items": [{"sku": "1"}]}), "INVALID_PROPERTIES"),
        (raw(event="Order Cancelled", properties={"total": 1}), "INVALID_PROPERTIES"),
        (raw(event="Cart Updated", properties={"cart_id": "c", "currency": "GBP"}), "INVALID_PROPERTIES"),
        (raw(event="Signed Up", properties={"first_name": "Kim"}), "INVALID_PROPERTIES"),
        (raw(event="Consent Changed", properties={**CONSENT, "status": "yes"}), "INVALID_PROPERTIES"),
        (raw(event="Consent Changed", properties={**CONSENT, "purpose": "all"}), "INVALID_PROPERTIES"),
        (raw(event="Consent Changed", properties=GRANT), "INVALID_PROPERTIES"),
        (raw(event="Consent Changed", properties={**GRANT, "identifier": "a@b.co"}), "INVALID_PROPERTIES"),
        (raw(type="identify", event=..., traits={"email": 7}), "INVALID_PROPERTIES"),
    ],
)
def test_a_line_that_breaks_a_rule_is_quarantined_verbatim_with_its_code(line: bytes, code: str) -> None:
    row = only_refusal(check(line))
    assert row["code"] == code
    assert orjson.loads(row["reasons"])[0]["code"] == code
    kept = base64.b64decode(row["raw_line"]) if row["raw_encoding"] == "base64" else row["raw_line"].encode()
    assert kept == line


@pytest.mark.parametrize(
    "line",
    [
        raw(),
        raw(userId=..., anonymousId="a-1"),
        raw(userId=..., context={"groupId": "g-1"}),
        raw(userId=12345, messageId=77),
        raw(event="Order Completed", properties={**ORDER, "unforeseen": {"x": [1]}}),
        raw(event="Consent Changed", properties=CONSENT),
        raw(
            event="Consent Changed", properties={**GRANT, "identifier_type": "email", "identifier": "a@b.co"}
        ),
        raw(type="identify", event=..., properties=...),
        raw(type="identify", event=..., traits={"email": "a@b.co"}),
        raw(type="identify", event="is not looked at", traits={}),
        raw(timestamp="2010-12-02T09:00:00.000Z"),
        raw(timestamp="2000-01-01T00:00:00.000Z"),
        raw(timestamp="2010-12-01T10:26:00+02:00"),
        raw(timestamp=None, originalTimestamp="2010-12-01T08:26:00Z"),
        raw(context="not an object"),
        raw(context={"campaign": "not an object", "sessionId": {"not": "text"}}),
        raw(properties={"sku": "\u0000 \u202e \U0001f6d2 \u200b"}),
        raw(messageId="with \u0000 inside"),
        b" " + raw() + b" \r",
    ],
)
def test_a_line_that_keeps_the_rules_is_accepted(line: bytes) -> None:
    validated = check(line)
    assert validated.quarantined.to_pylist() == []
    assert validated.accepted.num_rows == 1


def test_the_envelope_comes_from_the_segment_message() -> None:
    line = raw(
        anonymousId="a-1",
        channel="mobile",
        context={
            "groupId": "g-1",
            "sessionId": 1291192000123,
            "traceId": "t-1",
            "campaign": {"name": "spring"},
            "consent": {"categoryPreferences": {"ads": False}},
        },
        timestamp="2010-12-01T10:26:00.250+02:00",
    )
    (row,) = check(line).accepted.to_pylist()
    assert row == {
        "event_id": "m-1",
        "event_name": "product_viewed",
        "version": "1.0.0",
        "occurred_at": datetime.fromisoformat("2010-12-01T08:26:00.250"),
        "received_at": datetime.fromisoformat("2010-12-01T09:00:00"),
        "source_system": "web",
        "user_id": "12345",
        "account_id": "g-1",
        "anonymous_id": "a-1",
        "trace_id": "t-1",
        "session_id": "1291192000123",
        "channel": "mobile",
        "campaign_id": "spring",
        "consent": '{"categoryPreferences":{"ads":false}}',
        "properties": '{"sku":"85123A"}',
        "segment": "2010-12-01/000001.log",
        "line": 1,
        "batch_id": "batch",
    }


@pytest.mark.parametrize("sent_at", ["2010-12-01T09:00:00.000Z", "2010-12-01T08:59:00.000Z", None])
def test_the_note_of_the_collector_never_reaches_what_is_stored(sent_at: str | None) -> None:
    note = {"wire": "segment", "key": "k_1", **({"sent_at": sent_at} if sent_at else {})}
    (row,) = check(raw(), note=note).accepted.to_pylist()
    assert row == check(raw()).accepted.to_pylist()[0]


@pytest.mark.parametrize("traits", [..., None])
def test_traits_may_stand_in_the_context_as_rudderstack_sends_them(traits: object) -> None:
    line = raw(type="identify", event=..., traits=traits, context={"traits": {"email": "a@b.co"}})
    (row,) = check(line).accepted.to_pylist()
    assert row["properties"] == '{"email":"a@b.co"}'


def test_a_source_that_is_not_declared_is_its_own_reason() -> None:
    assert only_refusal(check(raw(), source="unheard_of"))["code"] == "UNKNOWN_SOURCE"


def test_a_source_may_send_only_what_is_mapped_for_it() -> None:
    assert only_refusal(check(raw(), source="operator"))["code"] == "UNKNOWN_EVENT"
    assert check(raw(event="Consent Changed", properties=CONSENT), source="operator").accepted.num_rows == 1


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"no tabs",
        b"not a time at all 24 ch\tweb\t{}",
        b"\xff\tweb\t{}",
        b"2010-12-01T09:00:00.000Z\tweb{\t{}",
        b'2010-12-01T09:00:00.000Z\tweb{"wire":\t' + raw(),
        b"2010-12-01T09:00:00.000Z\tweb",
    ],
)
def test_a_line_of_the_log_that_is_not_a_record_is_quarantined_too(record: bytes) -> None:
    assert only_refusal(check_records(record))["code"] == "MALFORMED_RECORD"


def test_all_that_is_wrong_with_a_line_is_told_at_once() -> None:
    line = raw(event="Order Completed", userId=..., timestamp=..., properties={"total": "12.50"})
    reasons = orjson.loads(only_refusal(check(line))["reasons"])
    assert sorted((reason["code"], reason["path"]) for reason in reasons) == [
        ("BAD_TIMESTAMP", "originalTimestamp"),
        ("INVALID_PROPERTIES", "properties.currency"),
        ("INVALID_PROPERTIES", "properties.items"),
        ("INVALID_PROPERTIES", "properties.order_id"),
        ("INVALID_PROPERTIES", "properties.total"),
        ("MISSING_IDENTITY", "userId"),
    ]


def test_reasons_say_kind_and_size_of_a_value_and_never_the_value() -> None:
    """The canary is in every place that a reason could quote."""
    canary = "zz-canary-7f3a@example.test"
    lines = [
        raw(event="Signed Up", properties={"email": [canary], "country": canary, "phone": {canary: canary}}),
        raw(timestamp=canary, messageId=[canary]),
        raw(type=canary, userId=..., event=canary),
        raw(event="Consent Changed", properties={**GRANT, "status": canary, "identifier_type": canary}),
        raw().replace(b"85123A", canary.encode() + b"\xff"),
        b'{"' + canary.encode(),
    ]
    for row in check(*lines).quarantined.to_pylist():
        assert canary not in row["reasons"] + row["expected"] + row["found"] + row["path"]
        assert row["found"]


def test_a_key_that_stands_twice_is_judged_and_kept_in_one_reading() -> None:
    good_last = raw(event="Order Completed", properties=ORDER).replace(b'"total":1', b'"total":-5,"total":1')
    bad_last = raw(event="Order Completed", properties=ORDER).replace(b'"total":1', b'"total":1,"total":-5')
    (row,) = check(good_last).accepted.to_pylist()
    assert row["properties"].count("total") == 1
    assert orjson.loads(row["properties"])["total"] == 1
    assert only_refusal(check(bad_last))["code"] == "INVALID_PROPERTIES"


def test_sources_and_good_and_bad_lines_may_alternate() -> None:
    operator = raw("m-2", event="Consent Changed", properties=CONSENT)
    records = [
        b"2010-12-01T09:00:00.000Z\t" + source + b"\t" + line
        for source, line in [
            (b"web", raw("m-1")),
            (b"operator", operator),
            (b"web", b"{"),
            (b"web", raw("m-3")),
        ]
        * 3
    ]
    validated = check_records(*records)
    assert sorted(validated.accepted["line"].to_pylist()) == [1, 2, 4, 5, 6, 8, 9, 10, 12]
    assert validated.quarantined["line"].to_pylist() == [3, 7, 11]
    assert set(validated.accepted["source_system"].to_pylist()) == {"web", "operator"}


TIMES = [
    "2010-12-01T08:26:00.000Z",
    "2010-12-01T08:26:00Z",
    "2010-12-01 08:26Z",
    "2010-12-01T08Z",
    "2010-12-01t08:26:00z",
    "20101201T082600Z",
    "2010-W48-3T08:26:00Z",
    "2010-12-01T08:26:00.123456789Z",
    "2010-12-01T08:26:00,5Z",
    "2010-12-01T08:26:00+0100",
    "2010-12-01T08:26:00+01",
    "2010-12-01T08:26:00-00:00",
    "2010-12-01T08:26:60Z",
    "2010-12-01T23:59:59.9999999Z",
    "2010-12-02T09:00:00.000Z",
    "2010-12-02T09:00:00.001Z",
    "1999-12-31T23:59:59.999Z",
    "2010-12-01T08:26:00.000",
    " 2010-12-01T08:26:00.000Z",
]


@pytest.mark.parametrize("time", TIMES)
def test_a_time_is_read_alike_by_the_fast_pass_and_by_inspection(time: str) -> None:
    agree(raw(timestamp=time))


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from([*TIMES, "Order Completed", " "]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
notes = st.fixed_dictionaries(
    {"wire": st.sampled_from(["segment", "posthog", "cdp", "unreadable"]), "key": st.just("k_1")},
    optional={
        "sent_at": st.sampled_from(["2010-12-01T09:00:59.000Z", "2010-12-01T08:00:00.000Z", *TIMES]),
        "gpc": st.booleans(),
        "allowed": st.booleans(),
        "call": st.sampled_from(["track", "identify", "page"]),
    },
)
calls: st.SearchStrategy[dict[str, object]] = st.just({}) | st.sampled_from(
    ["identify", "page", "screen", "group", "alias"]
).map(lambda call: {"type": call, "event": ...})
changed_messages = st.builds(
    lambda call, changes: raw(**{**call, **changes}),
    calls,
    st.dictionaries(
        st.sampled_from(
            [
                "messageId",
                "type",
                "event",
                "userId",
                "anonymousId",
                "timestamp",
                "context",
                "properties",
                "traits",
                "name",
                "category",
                "groupId",
                "channel",
            ]
        ),
        values | st.just(...),
        max_size=4,
    ),
)
mangled = st.builds(
    lambda line, at, junk: line[: at % (len(line) + 1)] + junk + line[at % (len(line) + 1) :],
    changed_messages,
    st.integers(0, 300),
    st.binary(max_size=3).filter(lambda junk: b"\n" not in junk),
)
any_line = changed_messages | mangled | st.binary(max_size=60).map(lambda line: line.replace(b"\n", b""))


@settings(max_examples=300, deadline=None)
@given(st.lists(any_line, max_size=8))
@example([b""])
def test_received_is_accepted_and_quarantined_for_any_bytes(lines: list[bytes]) -> None:
    validated = check(*lines)
    places = validated.accepted["line"].to_pylist() + validated.quarantined["line"].to_pylist()
    assert sorted(places) == list(range(1, len(lines) + 1))


@settings(max_examples=500, deadline=None)
@given(any_line, st.none() | notes)
def test_the_fast_pass_accepts_exactly_what_inspection_accepts(line: bytes, note: Note | None) -> None:
    agree(line, note)


def agree(line: bytes, note: Note | None = None) -> None:
    validated = check(line, note=note)
    outcome = inspect(REGISTRY, Parts(NOW, "web", note or {}, line))
    if isinstance(outcome, Event):
        (row,) = validated.accepted.to_pylist()
        expected = {**vars(outcome), "occurred_at": outcome.occurred_at.replace(tzinfo=None)}
        assert {name: row[name] for name in expected} == expected
        assert outcome.occurred_at.tzinfo is UTC
    else:
        assert only_refusal(validated)["code"] == outcome.reasons[0].code


def test_a_message_that_is_right_stays_right_through_the_log(tmp_path: Path, registry: Registry) -> None:
    log = EventLog(tmp_path)
    log.append([Record(NOW, "web", orjson.dumps(message()))])
    (batch,) = log.unread({})
    (part,) = batch.slices
    assert validate(registry, [(part, log.read(part))], "b").accepted.num_rows == 1


@pytest.mark.parametrize(
    "time",
    [
        "2010-W48-3T08:26:00.000Z",
        "2010-12-01\u00e908:26:00.00Z",
        "2010-12-01 08:26:00.000Z",
        "2010-12-01T08:26:00,000Z",
        "2010-12-01T08:26:00.000z",
        "2010-12-41T08:26:00.000Z",
        "20101201T08:26:00.00000Z",
    ],
)
def test_a_line_whose_time_is_not_that_of_a_record_is_none(time: str) -> None:
    record = time.encode() + b"\tweb\t" + raw()
    assert split_record(record) is None
    good = b"2010-12-01T09:00:00.000Z\tweb\t" + raw("good")
    found = check_records(good, record)
    assert found.accepted["event_id"].to_pylist() == ["good"]
    assert found.quarantined["code"].to_pylist() == ["MALFORMED_RECORD"]
