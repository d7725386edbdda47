"""What a request holds: its messages, each as the bytes that were sent, and what it says about itself."""

import contextlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import orjson

from ingestion.collector.keys import WriteKey
from ingestion.records import AS_WRITTEN, DayLines, Note, format_time, record_head
from ingestion.wires import UNREADABLE, Wire, as_segment, name_of, one_line

# The types that the browser SDK's short paths and the long ones stand for.
CALLS: Final = ("track", "identify", "page", "screen", "group", "alias")


class UnreadableBodyError(Exception):
    """A body that is no JSON, or not of the shape that its route asks for."""


@dataclass(frozen=True)
class Messages:
    """The messages of one request and what the request says for all of them.

    `raws` have no line feeds. `keys` is what stands where its sender may have put the write key, the
    likeliest first; `call` the type of a message that does not say it.
    """

    wire: Wire
    raws: Sequence[bytes | msgspec.Raw]
    keys: tuple[str, ...] = ()
    sent_at: str | None = None
    call: str | None = None


class _Segment(msgspec.Struct, rename="camel"):
    batch: list[msgspec.Raw]
    write_key: msgspec.Raw = msgspec.Raw()
    sent_at: msgspec.Raw = msgspec.Raw()


class _SegmentMessage(msgspec.Struct, rename="camel"):
    type: msgspec.Raw = msgspec.Raw()
    write_key: msgspec.Raw = msgspec.Raw()
    sent_at: msgspec.Raw = msgspec.Raw()


class _PostHog(msgspec.Struct):
    batch: list[msgspec.Raw]
    api_key: msgspec.Raw = msgspec.Raw()
    token: msgspec.Raw = msgspec.Raw()
    sent_at: msgspec.Raw = msgspec.Raw()


class _PostHogMessage(msgspec.Struct):
    api_key: msgspec.Raw = msgspec.Raw()
    token: msgspec.Raw = msgspec.Raw()
    sent_at: msgspec.Raw = msgspec.Raw()


class _Snowplow(msgspec.Struct):
    data: list[msgspec.Raw]


class _SnowplowMessage(msgspec.Struct):
    aid: msgspec.Raw = msgspec.Raw()
    stm: msgspec.Raw = msgspec.Raw()


class _Events(msgspec.Struct):
    events: list[msgspec.Raw]


# A small letter of ASCII, spelled by its number: what a key could be written with that no search finds.
_ESCAPED = re.compile(rb"\\u00[67]")
_segment = msgspec.json.Decoder(_Segment)
_segment_message = msgspec.json.Decoder(_SegmentMessage)
_posthog = msgspec.json.Decoder(_PostHog)
_posthog_message = msgspec.json.Decoder(_PostHogMessage)
_snowplow = msgspec.json.Decoder(_Snowplow)
_snowplow_message = msgspec.json.Decoder(_SnowplowMessage)
_events = msgspec.json.Decoder(_Events)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def segment_batch(body: bytes) -> Messages:
    """`{"batch": [...], "writeKey", "sentAt"}` of the SDKs of Segment and RudderStack."""
    read = _decode_batch(_segment, body, "batch")
    return Messages(
        "segment", _one_a_line(read.batch, body), _texts(read.write_key), _time(_text(read.sent_at))
    )


def segment_message(body: bytes, call: str) -> Messages:
    """One message; its type is that of the path when it does not say."""
    read = _decode(_segment_message, body)
    missing = None if read.type else call
    return Messages("segment", [one_line(body)], _texts(read.write_key), _time(_text(read.sent_at)), missing)


def posthog(body: bytes) -> Messages:
    """`{"batch": [...], "api_key", "sent_at"}`, or one message with its key inside."""
    try:
        read = _decode_batch(_posthog, body, "batch")
        raws = _one_a_line(read.batch, body)
    except UnreadableBodyError:
        if b'"distinct_id"' not in body:
            raise
        read = _decode(_posthog_message, body)
        raws = [one_line(body)]
    return Messages("posthog", raws, _texts(read.api_key, read.token), _time(_text(read.sent_at)))


def snowplow(body: bytes) -> Messages:
    """`{"schema": "iglu:…payload_data…", "data": [...]}`; trackers name only their application."""
    raws = _decode_batch(_snowplow, body, "data").data
    first = _SnowplowMessage()
    if raws:
        with contextlib.suppress(UnreadableBodyError):
            first = _decode(_snowplow_message, raws[0])
    raws = _one_a_line(raws, body)
    return Messages("snowplow", raws, _texts(first.aid), _time_of_milliseconds(_text(first.stm)))


def own_events(body: bytes) -> Messages:
    """One event in our envelope, or `{"events": [...]}`."""
    try:
        return Messages("cdp", _one_a_line(_decode_batch(_events, body, "events").events, body))
    except UnreadableBodyError:
        if "event_name" not in _decode(_object, body):
            raise
        return Messages("cdp", [one_line(body)])


def lines(found: Messages, key: WriteKey, *, received_at: datetime, gpc: bool) -> DayLines:
    """The messages as lines of the event log, each with the collector's note."""
    time = format_time(received_at)
    note: Note = {"wire": found.wire, "key": key.key_id}
    if found.call is not None:
        note["call"] = found.call
    if found.sent_at is not None:
        note["sent_at"] = found.sent_at
    if gpc:
        note["gpc"] = True
    head = record_head(time, key.source, note)
    if key.events is None:
        # every message between one head and the next, in one step: a batch costs little more than one message
        data = b"%b%b\n" % (head, (b"\n" + head).join(found.raws))
        return DayLines(time[:10], data, len(found.raws))
    refused = record_head(time, key.source, {**note, "allowed": False})
    parts: list[bytes | msgspec.Raw] = []
    for raw in found.raws:
        parts += (head if _is_allowed(raw, note, key.events) else refused, raw, b"\n")
    return DayLines(time[:10], b"".join(parts), len(found.raws))


def unreadable_line(body: bytes, key: WriteKey, *, received_at: datetime) -> DayLines:
    """A body that could not be read as a line of the log, so that it ends in quarantine and is not lost."""
    note: Note = {"wire": UNREADABLE, "key": key.key_id}
    return _line(body, key.source, note, received_at)


def webhook_line(body: bytes, destination: str, *, delivery_id: str, received_at: datetime) -> DayLines:
    """What a destination reported as a line of the log, under the destination's name as its source."""
    note: Note = {"wire": "webhook", "key": destination, "id": delivery_id}
    return _line(body, destination, note, received_at)


def _line(body: bytes, source: str, note: Note, received_at: datetime) -> DayLines:
    time = format_time(received_at)
    return DayLines(time[:10], b"%b%b\n" % (record_head(time, source, note), one_line(body)))


def _decode_batch(decoder: "msgspec.json.Decoder[Any]", body: bytes, key: str) -> Any:
    """Decode a body whose messages stand under `key`; said twice, the first of the two would be lost."""
    read = _decode(decoder, body)
    if _may_be_twice(body, key) and _is_twice(body, key):
        raise UnreadableBodyError
    return read


def _may_be_twice(body: bytes, key: str) -> bool:
    written = b'"%b"' % key.encode()
    return body.find(written) != body.rfind(written) or (b"\\" in body and bool(_ESCAPED.search(body)))


def _is_twice(body: bytes, key: str) -> bool:
    """Whether the object that the body is has the key twice, however it is spelled."""
    outermost: list[tuple[str, Any]] = []

    def finish(pairs: list[tuple[str, Any]]) -> None:
        outermost[:] = pairs  # that of the body is read to its end last

    reader = json.JSONDecoder(
        object_pairs_hook=finish, parse_int=str, parse_float=str, parse_constant=str, strict=False
    )
    try:
        reader.decode(body.decode(errors="replace"))
    except (ValueError, RecursionError) as error:
        raise UnreadableBodyError from error
    return [name for name, _ in outermost].count(key) > 1


def _decode(decoder: "msgspec.json.Decoder[Any]", body: bytes | msgspec.Raw) -> Any:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise UnreadableBodyError from error


def _one_a_line(raws: list[msgspec.Raw], body: bytes) -> Sequence[bytes | msgspec.Raw]:
    """The parts of a body without line feeds; where it has none, they stay views of it."""
    return [one_line(bytes(raw)) for raw in raws] if b"\n" in body else raws


def _text(raw: msgspec.Raw) -> str | None:
    """A JSON text, or nothing when it is something else."""
    if not raw:
        return None
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return found if isinstance(found, str) else None


def _texts(*raws: msgspec.Raw) -> tuple[str, ...]:
    return tuple(text for text in map(_text, raws) if text)


def _time(text: str | None) -> str | None:
    """A time with a zone, as the log writes times; nothing for anything else."""
    if text is None:
        return None
    if AS_WRITTEN.fullmatch(text):
        # what most SDKs send; whether there is such a day, validation asks
        return text
    try:
        moment = datetime.fromisoformat(text)
        return format_time(moment) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _time_of_milliseconds(text: str | None) -> str | None:
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 15:
        return None
    try:
        return format_time(datetime.fromtimestamp(int(text) / 1000, UTC))
    except (ValueError, OverflowError, OSError):
        return None


def _is_allowed(line: bytes | msgspec.Raw, note: Note, events: tuple[str, ...]) -> bool:
    try:
        message = orjson.loads(bytes(line))
    except orjson.JSONDecodeError:
        return True  # it ends in quarantine for that
    return not isinstance(message, dict) or name_of(as_segment(message, note)) in events
