"""One message against its contract: the rules of acceptance, as a reader would check them by hand.

validation.py goes through whole batches and accepts at once what is plainly right; whatever it doubts, it
asks here. So this file is the specification, and the only place where reasons are written.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema_rs
import orjson

from ingestion.registry import Contract, Registry

MAX_BYTES = 1024 * 1024
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
MAX_AHEAD = timedelta(hours=24)
# The rules whose limits come from the contract alone, so that showing them shows nothing of the message.
_SHOWN_RULES = frozenset(
    {
        *("type", "enum", "const", "pattern", "format", "multipleOf"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
        *("minLength", "maxLength", "minItems", "maxItems"),
    }
)
_SIZED: dict[type, tuple[str, str]] = {
    str: ("a text", "characters"),
    bytes: ("a line", "bytes"),
    list: ("an array", "items"),
    dict: ("an object", "fields"),
}
_PLAIN = {type(None): "nothing", bool: "a boolean", int: "a whole number", float: "a number"}


def body_key(call: str) -> str:
    """The key of a message that holds its properties."""
    return "traits" if call == "identify" else "properties"


@dataclass(frozen=True)
class Reason:
    """Why a line is quarantined. `found` says type and size only, never the value."""

    code: str
    path: str
    expected: str
    found: str


@dataclass(frozen=True)
class Event:
    """An accepted message: the envelope, and consent and properties as compact JSON text."""

    event_id: str
    event_name: str
    version: str
    occurred_at: datetime
    user_id: str | None
    account_id: str | None
    anonymous_id: str | None
    trace_id: str | None
    session_id: str | None
    channel: str | None
    campaign_id: str | None
    consent: str | None
    properties: str


@dataclass(frozen=True)
class Refusal:
    """A message that is quarantined: every reason, and what could still be told about it."""

    reasons: tuple[Reason, ...]
    event_id: str | None = None
    event_name: str | None = None
    contract_version: str | None = None


def inspect(registry: Registry, source: str, received_at: datetime, raw: bytes) -> Event | Refusal:
    """Accept one message, or say everything that is wrong with it; never raises for any bytes."""
    message = _read(raw)
    if isinstance(message, Reason):
        return Refusal((message,))
    call, name = message.get("type"), message.get("event")
    contract = (
        registry.resolve(source, call, name if isinstance(name, str) else None)
        if isinstance(call, str)
        else None
    )
    reasons: list[Reason] = []
    if source not in registry.source_names():
        reasons.append(Reason("UNKNOWN_SOURCE", "source", "a source of event_sources.yml", masked(source)))
    elif contract is None:
        reasons.append(
            Reason(
                "UNKNOWN_EVENT",
                "event" if call == "track" else "type",
                f"a call that source {source!r} maps to a contract",
                masked(name if call == "track" else call),
            )
        )
    event_id = text(message.get("messageId"))
    if event_id is None:
        reasons.append(
            Reason(
                "MISSING_EVENT_ID", "messageId", "a text that is not blank", masked(message.get("messageId"))
            )
        )
    context = _object(message.get("context"))
    user_id, anonymous_id = text(message.get("userId")), text(message.get("anonymousId"))
    account_id = text(context.get("groupId"))
    if user_id is None and anonymous_id is None and account_id is None:
        reasons.append(
            Reason(
                "MISSING_IDENTITY", "userId", "one of userId, anonymousId, context.groupId", "none of them"
            )
        )
    occurred_at = _occurred_at(message, received_at)
    if isinstance(occurred_at, Reason):
        reasons.append(occurred_at)
    body = body_key(call) if isinstance(call, str) else "properties"
    properties = message.get(body)
    if properties is None:
        properties = {}
    if contract is not None:
        reasons.extend(_broken_rules(contract, body, properties))
    if reasons or contract is None or event_id is None or isinstance(occurred_at, Reason):
        return Refusal(
            tuple(reasons),
            event_id=event_id,
            event_name=contract.name if contract else text(name if call == "track" else call),
            contract_version=contract.version if contract else None,
        )
    consent = context.get("consent")
    return Event(
        event_id=event_id,
        event_name=contract.name,
        version=contract.version,
        occurred_at=occurred_at,
        user_id=user_id,
        account_id=account_id,
        anonymous_id=anonymous_id,
        trace_id=text(context.get("traceId")),
        session_id=text(context.get("sessionId")),
        channel=text(message.get("channel")),
        campaign_id=text(_object(context.get("campaign")).get("name")),
        consent=None if consent is None else orjson.dumps(consent).decode(),
        properties=orjson.dumps(properties).decode(),
    )


def text(value: object) -> str | None:
    """An envelope value as text: a string as it stands, a whole number as its digits, nothing else."""
    if isinstance(value, str):
        return value if value.strip() else None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def masked(value: object) -> str:
    """What kind of value it is and how large, without the value."""
    if isinstance(value, str | bytes | list | dict):
        kind, unit = _SIZED[type(value)]
        return f"{kind} of {len(value)} {unit}"
    return _PLAIN.get(type(value), "something else")


def _read(raw: bytes) -> dict[str, Any] | Reason:
    if len(raw) > MAX_BYTES:
        return Reason("OVERSIZE", "", f"at most {MAX_BYTES} bytes", masked(raw))
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return Reason("INVALID_ENCODING", "", f"UTF-8 (byte {error.start} is not)", masked(raw))
    try:
        message = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return Reason(
            "MALFORMED_JSON", "", f"one JSON object ({error.msg} at character {error.pos})", masked(raw)
        )
    if not isinstance(message, dict):
        return Reason("NOT_AN_OBJECT", "", "one JSON object", masked(message))
    return message


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _occurred_at(message: dict[str, Any], received_at: datetime) -> datetime | Reason:
    path = "timestamp" if message.get("timestamp") is not None else "originalTimestamp"
    value = message.get(path)
    expected = "an ISO 8601 time with a zone, such as 2010-12-01T08:26:00.000Z"
    if not isinstance(value, str):
        return Reason("BAD_TIMESTAMP", path, expected, masked(value))
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return Reason("BAD_TIMESTAMP", path, expected, masked(value))
    if moment.tzinfo is None:
        return Reason("BAD_TIMESTAMP", path, expected, "a time without a zone")
    if moment < EARLIEST:
        return Reason("CLOCK_OUT_OF_RANGE", path, "not before 2000-01-01", "an earlier time")
    if moment - MAX_AHEAD > received_at:
        return Reason("CLOCK_OUT_OF_RANGE", path, "at most 24 hours after it was received", "a later time")
    return moment.astimezone(UTC)


def _broken_rules(contract: Contract, body: str, properties: object) -> Iterator[Reason]:
    for error in contract.validator.iter_errors(properties):
        path = ".".join([body, *(str(part) for part in error.instance_path)])
        if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Required):
            yield Reason("INVALID_PROPERTIES", f"{path}.{error.kind.property}", "a value", "nothing")
        else:
            rule = error.kind.name
            if rule in _SHOWN_RULES:
                rule = f"{rule} {orjson.dumps(error.kind.value).decode()}"
            yield Reason("INVALID_PROPERTIES", path, rule, masked(error.instance))
