"""The wire formats that senders speak, each turned into the Segment-shaped message that inspection judges.

The collector puts a note before every message (ingestion/records.py): its wire format, the key it came with,
and what only the request knew (the call of its path; when it was sent, by its own clock; `Sec-GPC`). The
consumers of streams do the same, with the place in the stream. What came another way has no note.
Nothing here raises for any message: what cannot be told is left out, and inspection says what is missing.
"""

import base64
import binascii
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, get_args

import orjson

from ingestion.records import Note

# The call of a message that names its contract itself; no SDK has a call of this name.
CONTRACT_CALL: Final = "contract"
# The call of what a destination reports; a source maps it by the type that the message says.
WEBHOOK_CALL: Final = "webhook"
# What stands in place of a wire format when a whole request could not be read.
UNREADABLE: Final = "unreadable"
# The calls whose messages have a name beside it. A tuple, because a message may hold anything as its call.
NAMED_CALLS: Final = ("track", CONTRACT_CALL, WEBHOOK_CALL)
Wire = Literal["segment", "posthog", "snowplow", "cdp", "webhook"]
WIRES: Final = frozenset(get_args(Wire))
# Shorter differences are the time on the network, not a wrong clock; correcting those would blur good times.
WRONG_CLOCK = timedelta(minutes=1)
WHITE: Final = b" \t\r\n"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def one_line(raw: bytes) -> bytes:
    """A message without line feeds: in JSON they stand between tokens only, where a space is the same."""
    return raw.replace(b"\n", b" ").strip(WHITE) if b"\n" in raw else raw.strip(WHITE)


def position_id(note: Note) -> str | None:
    """The id of a message of a stream that has none of its own: where it stands there never changes."""
    if all(isinstance(note.get(key), str) for key in ("stream", "partition", "position")):
        return f"{note['stream']}:{note['partition']}:{note['position']}"
    return None


def as_segment(message: dict[str, Any], note: Note) -> dict[str, Any]:
    """The message in Segment's shape; one of Segment's, or of no known wire format, as it is."""
    wire = note.get("wire")
    reader = _READERS.get(wire) if isinstance(wire, str) else None
    if reader is not None:
        return reader(message, note)
    # a path of the collector says the call of a message that does not
    return {"type": note["call"], **message} if "call" in note else message


def name_of(message: dict[str, Any]) -> str | None:
    """What a Segment-shaped message is called where keys are limited: a track's event, else the call."""
    call = message.get("type")
    name = message.get("event") if call in NAMED_CALLS else call
    return name if isinstance(name, str) else None


def clock_error(note: Note, received_at: datetime) -> timedelta:
    """How much later our clock is than the sender's; nothing when the difference may be the network's."""
    sent_at = note.get("sent_at")
    if isinstance(sent_at, str):
        try:
            error = received_at - datetime.fromisoformat(sent_at)
        except (ValueError, TypeError, OverflowError):
            return timedelta()
        if abs(error) > WRONG_CLOCK:
            return error
    return timedelta()


def consent_with_gpc(consent: object) -> dict[str, Any]:
    """What the sender said about consent, and that the browser asked not to be sold or shared (Sec-GPC)."""
    if consent is None:
        return {"gpc": True}
    return {**(consent if isinstance(consent, dict) else {"given": consent}), "gpc": True}


def _posthog(message: dict[str, Any], _note: Note) -> dict[str, Any]:
    """PostHog's capture format (posthog.com/docs/api/capture): one distinct_id, anonymous or not."""
    properties = dict(_object(message.get("properties")))
    # posthog-js repeats the project's key in every event
    properties.pop("token", None)
    distinct_id, event = message.get("distinct_id", properties.get("distinct_id")), message.get("event")
    device_id = properties.get("$device_id")
    is_identified = properties.get("$is_identified")
    if not isinstance(is_identified, bool):
        # A browser's first id is its device's; a server SDK that was given no person makes up an id and
        # says that no profile is wanted.
        is_identified = distinct_id != device_id and properties.get("$process_person_profile") is not False
    if event == "$identify":
        is_identified = True
    read: dict[str, Any] = {
        "messageId": message.get("uuid") or properties.get("$insert_id"),
        "timestamp": message.get("timestamp"),
        "userId": distinct_id if is_identified else None,
        "anonymousId": (properties.get("$anon_distinct_id") or device_id) if is_identified else distinct_id,
        "context": _without_nothing(
            {
                "sessionId": properties.get("$session_id"),
                "groupId": _only_value(properties.get("$groups")),
                "campaign": {"name": properties.get("utm_campaign")},
            }
        ),
    }
    if event in ("$identify", "$set"):
        traits = {
            key: value
            for part in ("$set_once", "$set")
            for key, value in _object(properties.get(part) or message.get(part)).items()
        }
        return {**read, "type": "identify", "traits": traits}
    if event == "$groupidentify":
        group = {"groupId": properties.get("$group_key"), "traits": _object(properties.get("$group_set"))}
        return {**read, "type": "group", **group}
    if event == "$create_alias":
        known = {"previousId": properties.get("distinct_id"), "userId": properties.get("alias")}
        return {**read, "type": "alias", **known}
    if event in ("$pageview", "$screen"):
        return {**read, "type": "page" if event == "$pageview" else "screen", "properties": properties}
    return {**read, "type": "track", "event": event, "properties": properties}


def _snowplow(message: dict[str, Any], _note: Note) -> dict[str, Any]:
    """Snowplow's tracker protocol (docs.snowplow.io, parameters): short keys, every value a text."""
    contexts = _object(_embedded(message, "co", "cx")).get("data")
    read: dict[str, Any] = {
        "messageId": message.get("eid"),
        "timestamp": _milliseconds(message.get("ttm") or message.get("dtm")),
        "userId": message.get("uid"),
        "anonymousId": message.get("duid") or message.get("nuid") or message.get("tnuid"),
        "channel": message.get("p"),
        "context": {"sessionId": message.get("sid") or _client_session(contexts)},
    }
    kept = {"contexts": contexts} if isinstance(contexts, list) else {}
    match message.get("e"):
        case "pv":
            page = {"url": message.get("url"), "title": message.get("page"), "referrer": message.get("refr")}
            return {**read, "type": "page", "properties": {**_without_nothing(page), **kept}}
        case "ue":
            described = _object(_object(_embedded(message, "ue_pr", "ue_px")).get("data"))
            name, data = _schema_name(described.get("schema")), _object(described.get("data"))
            if name == "identify":
                return {**read, "type": "identify", "traits": data}
            return {**read, "type": "track", "event": name, "properties": {**data, **kept}}
        case "se":
            structured = {
                "category": message.get("se_ca"),
                "label": message.get("se_la"),
                "property": message.get("se_pr"),
                "value": _number(message.get("se_va")),
            }
            properties = {**_without_nothing(structured), **kept}
            return {**read, "type": "track", "event": message.get("se_ac"), "properties": properties}
        case other:
            # page pings, and what older trackers sent for shops: only a contract can say what they mean
            names = {"pp": "page_ping", "tr": "transaction", "ti": "transaction_item"}
            own = {key: value for key, value in message.items() if key.startswith((f"{other}_", "url"))}
            event = names.get(other, other) if isinstance(other, str) else None
            return {**read, "type": "track", "event": event, "properties": {**own, **kept}}


def _cdp(message: dict[str, Any], _note: Note) -> dict[str, Any]:
    """Our own envelope: it names the contract, and may say which version it was written for."""
    return {
        "type": CONTRACT_CALL,
        "event": message.get("event_name"),
        "version": message.get("version"),
        "messageId": message.get("event_id"),
        "timestamp": message.get("occurred_at"),
        "userId": message.get("user_id"),
        "anonymousId": message.get("anonymous_id"),
        "channel": message.get("channel"),
        "context": {
            "groupId": message.get("account_id"),
            "sessionId": message.get("session_id"),
            "traceId": message.get("trace_id"),
            "campaign": {"name": message.get("campaign_id")},
            "consent": message.get("consent"),
        },
        "properties": message.get("properties"),
    }


def _webhook(message: dict[str, Any], note: Note) -> dict[str, Any]:
    """The payload that Standard Webhooks recommends: `type`, `timestamp`, `data`; its id came beside it."""
    data = _object(message.get("data"))
    return {
        "type": WEBHOOK_CALL,
        "event": message.get("type"),
        "messageId": note.get("id"),
        "timestamp": message.get("timestamp"),
        "userId": data.get("user_id"),
        "anonymousId": data.get("anonymous_id"),
        "context": {"groupId": data.get("account_id")},
        "properties": data,
    }


_READERS: Final[dict[str, Callable[[dict[str, Any], Note], dict[str, Any]]]] = {
    "posthog": _posthog,
    "snowplow": _snowplow,
    "cdp": _cdp,
    "webhook": _webhook,
}


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _without_nothing(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _only_value(value: object) -> object:
    """The one group an event belongs to; with several, no one of them is the account."""
    return next(iter(value.values())) if isinstance(value, dict) and len(value) == 1 else None


def _embedded(message: dict[str, Any], plain: str, encoded: str) -> object:
    """A JSON document inside a message, as text or as base64 for URLs."""
    found = message.get(plain)
    try:
        if isinstance(found, str):
            return orjson.loads(found)
        found = message.get(encoded)
        if isinstance(found, str):
            return orjson.loads(base64.urlsafe_b64decode(found + "=" * (-len(found) % 4)))
    except (ValueError, binascii.Error):
        return None
    return None


def _schema_name(schema: object) -> str | None:
    """`add_to_cart` of `iglu:com.acme/add_to_cart/jsonschema/1-0-0`."""
    parts = schema.split("/") if isinstance(schema, str) else []
    return parts[1] if len(parts) == 4 else None


def _client_session(contexts: object) -> object:
    """The session that mobile trackers attach as a context."""
    for context in contexts if isinstance(contexts, list) else []:
        if _schema_name(_object(context).get("schema")) == "client_session":
            return _object(_object(context).get("data")).get("sessionId")
    return None


def _milliseconds(value: object) -> str | None:
    """Milliseconds since 1970, as ISO 8601."""
    if not isinstance(value, str | int) or isinstance(value, bool):
        return None
    try:
        moment = _EPOCH + timedelta(milliseconds=int(value))
    except (ValueError, OverflowError):
        return None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _number(value: object) -> object:
    """A number that was sent as text; a text that is no number stays one."""
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return value
        return number if number - number == 0 else value
    return value
