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

from ingestion.contract import Contract
from ingestion.records import Note, Parts
from ingestion.registry import Registry
from ingestion.times import MAX_AHEAD
from ingestion.wires import (
    CONTRACT_CALL,
    NAMED_CALLS,
    UNREADABLE,
    as_segment,
    clock_error,
    consent_with_gpc,
    position_id,
)

MAX_BYTES = 1024 * 1024
# How deep orjson writes; it reads 1,024 levels.
MAX_LEVELS = 254
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
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
    return "traits" if call in ("identify", "group") else "properties"


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


def inspect(registry: Registry, parts: Parts) -> Event | Refusal:
    """Accept one message, or say everything that is wrong with it; never raises for any bytes."""
    received_at, source, note, raw = parts
    message = _read(raw)
    if isinstance(message, Reason):
        return Refusal((message,))
    if note.get("wire") == UNREADABLE and "why" in note:
        return Refusal(
            (Reason("UNREADABLE_MESSAGE", "", "one event, in the format of its stream", str(note["why"])),),
            event_id=position_id(note),
        )
    if note.get("wire") == UNREADABLE:
        return Refusal((Reason("UNREADABLE_REQUEST", "", "the body that the route asks for", masked(raw)),))
    message = as_segment(message, note)
    call, name = message.get("type"), message.get("event")
    contract = _contract(registry, source, call, name)
    reasons = list(_unexpected(registry, source, message, contract, note))
    if contract is not None:
        contract = _at_version(registry, message, contract) or contract
    event_id = text(message.get("messageId")) or position_id(note)
    if event_id is None:
        reasons.append(
            Reason(
                "MISSING_EVENT_ID", "messageId", "a text that is not blank", masked(message.get("messageId"))
            )
        )
    context = _object(message.get("context"))
    user_id, anonymous_id = text(message.get("userId")), text(message.get("anonymousId"))
    account_id = text(message.get("groupId")) if call == "group" else None
    account_id = account_id or text(context.get("groupId"))
    if user_id is None and anonymous_id is None and account_id is None:
        reasons.append(
            Reason(
                "MISSING_IDENTITY", "userId", "one of userId, anonymousId, context.groupId", "none of them"
            )
        )
    occurred_at = _occurred_at(message, received_at, clock_error(note, received_at))
    if isinstance(occurred_at, Reason):
        reasons.append(occurred_at)
    body = body_key(call) if isinstance(call, str) else "properties"
    properties, consent = _properties(message, call, body), context.get("consent")
    too_deep = [*_too_deep(body, properties), *_too_deep("context.consent", consent)]
    reasons.extend(too_deep)
    if contract is not None and not too_deep:
        reasons.extend(_broken_rules(contract, body, properties))
    if reasons or contract is None or event_id is None or isinstance(occurred_at, Reason):
        return Refusal(
            tuple(reasons),
            event_id=event_id,
            event_name=contract.name if contract else text(_called(message)),
            contract_version=contract.version if contract else None,
        )
    if note.get("gpc") is True:
        consent = consent_with_gpc(consent)
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


def properties_of(message: dict[str, Any]) -> object:
    """What a contract judges of a Segment-shaped message."""
    call = message.get("type")
    return _properties(message, call, body_key(call) if isinstance(call, str) else "properties")


def _properties(message: dict[str, Any], call: object, body: str) -> object:
    """What the contract of a call judges: its properties or traits, and what the call holds beside them."""
    if call == "alias":
        return {"previous_id": text(message.get("previousId"))}
    properties = message.get(body)
    if properties is None and call == "identify":
        # where RudderStack's SDKs put them
        properties = _object(message.get("context")).get("traits")
    if properties is None:
        properties = {}
    if call in ("page", "screen") and isinstance(properties, dict):
        beside = {name: found for name in ("name", "category") if (found := text(message.get(name)))}
        return {**beside, **properties}
    return properties


def text(value: object) -> str | None:
    """An envelope value as text: a string that shows something as it stands, a whole number as its digits,
    nothing else.
    """
    if isinstance(value, str):
        is_seen = value.strip() if value.isprintable() else any(map(_is_seen, value))
        return value if is_seen else None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def _is_seen(character: str) -> bool:
    return character.isprintable() and not character.isspace()


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


def _contract(registry: Registry, source: str, call: object, name: object) -> Contract | None:
    if not isinstance(call, str):
        return None
    event = name if isinstance(name, str) else None
    if call == CONTRACT_CALL:
        return registry.named(source, event)
    return registry.resolve(source, call, event)


def _called(message: dict[str, Any]) -> object:
    """What a sender calls its message: the name of an event, or else the call."""
    return message.get("event" if message.get("type") in NAMED_CALLS else "type")


def _unexpected(
    registry: Registry, source: str, message: dict[str, Any], contract: Contract | None, note: Note
) -> Iterator[Reason]:
    """Why a message is not one that this source, or this key of it, may send."""
    if note.get("allowed") is False:
        expected = f"an event that write key {note.get('key')} may send"
        yield Reason("EVENT_NOT_ALLOWED", "event", expected, masked(_called(message)))
    if source not in registry.source_names():
        yield Reason("UNKNOWN_SOURCE", "source", "a source of event_sources.yml", masked(source))
    elif contract is None:
        path = "event" if message.get("type") in NAMED_CALLS else "type"
        expected = f"a call that source {source!r} maps to a contract"
        yield Reason("UNKNOWN_EVENT", path, expected, masked(_called(message)))
    elif _asked_version(message) is not None and _at_version(registry, message, contract) is None:
        expected = f"a published version {contract.major}.x.x"
        yield Reason("UNKNOWN_VERSION", "version", expected, masked(message["version"]))


def _asked_version(message: dict[str, Any]) -> object:
    """The version that an event in our envelope says it was written for; SDK calls say none."""
    return message.get("version") if message.get("type") == CONTRACT_CALL else None


def _at_version(registry: Registry, message: dict[str, Any], contract: Contract) -> Contract | None:
    """The contract as of the version that the event asks for; nothing when the source has no such one."""
    asked = _asked_version(message)
    return registry.version_of(contract, asked) if isinstance(asked, str) else None


def happened_at(parts: Parts) -> datetime | None:
    """When an event happened, its sender's clock corrected; nothing where no usable time is said."""
    try:
        message = orjson.loads(parts.raw)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(message, dict):
        return None
    clocks = clock_error(parts.note, parts.received_at)
    found = _occurred_at(as_segment(message, parts.note), parts.received_at, clocks)
    return found if isinstance(found, datetime) else None


def _occurred_at(message: dict[str, Any], received_at: datetime, clock_error: timedelta) -> datetime | Reason:
    path = "timestamp" if message.get("timestamp") is not None else "originalTimestamp"
    value = message.get(path)
    moment = _moment(value)
    if not isinstance(moment, datetime):
        expected = "an ISO 8601 time with a zone, such as 2010-12-01T08:26:00.000Z"
        return Reason("BAD_TIMESTAMP", path, expected, moment)
    if clock_error:
        try:
            moment = moment.astimezone(UTC) + clock_error
        except OverflowError:
            return Reason("CLOCK_OUT_OF_RANGE", path, "a time of this era", "another, by a wrong clock")
    if moment < EARLIEST:
        return Reason("CLOCK_OUT_OF_RANGE", path, "not before 2000-01-01", "an earlier time")
    if moment - MAX_AHEAD > received_at:
        return Reason("CLOCK_OUT_OF_RANGE", path, "at most 24 hours after it was received", "a later time")
    return moment.astimezone(UTC)


def _moment(value: object) -> datetime | str:
    """The time that a text says, or what the value is instead."""
    if not isinstance(value, str):
        return masked(value)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return masked(value)
    return moment if moment.tzinfo is not None else "a time without a zone"


def _too_deep(path: str, value: object) -> Iterator[Reason]:
    """A reason for what is nested deeper than JSON is written here; reading goes deeper than that."""
    try:
        orjson.dumps(value)
    except TypeError:
        yield Reason("TOO_DEEP", path, f"at most {MAX_LEVELS} levels of arrays and objects", masked(value))


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
