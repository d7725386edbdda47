"""What a request holds: its messages, each as the bytes that were sent, and what it says about itself."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import orjson

from ingestion.collector.keys import WriteKey
from ingestion.event_log import format_time
from ingestion.wires import UNREADABLE, WHITE, Wire, as_segment, name_of, note_bytes, noted, one_line

# The types that the browser SDK's short paths and the long ones stand for.
CALLS: Final = ("track", "identify", "page", "screen", "group", "alias")


class UnreadableBodyError(Exception):
    """A body that is no JSON, or not of the shape that its route asks for."""


@dataclass(frozen=True)
class Messages:
    """The messages of one request and what the request says for all of them.

    `keys` is what stands where its sender may have put the write key, the likeliest first; `call` the type
    of a message that does not say it.
    """

    wire: Wire
    raws: list[bytes]
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
    read = _decode(_segment, body)
    return Messages("segment", _bytes(read.batch), _texts(read.write_key), _time(_text(read.sent_at)))


def segment_message(body: bytes, call: str) -> Messages:
    """One message; its type is that of the path when it does not say."""
    read = _decode(_segment_message, body)
    missing = None if read.type else call
    return Messages("segment", [body], _texts(read.write_key), _time(_text(read.sent_at)), missing)


def posthog(body: bytes) -> Messages:
    """`{"batch": [...], "api_key", "sent_at"}`, or one message with its key inside."""
    try:
        read = _decode(_posthog, body)
        raws = _bytes(read.batch)
    except UnreadableBodyError:
        if b'"distinct_id"' not in body:
            raise
        read = _decode(_posthog_message, body)
        raws = [body]
    return Messages("posthog", raws, _texts(read.api_key, read.token), _time(_text(read.sent_at)))


def snowplow(body: bytes) -> Messages:
    """`{"schema": "iglu:…payload_data…", "data": [...]}`; trackers name only their application."""
    raws = _bytes(_decode(_snowplow, body).data)
    first = _SnowplowMessage()
    if raws:
        with contextlib.suppress(UnreadableBodyError):
            first = _decode(_snowplow_message, raws[0])
    return Messages("snowplow", raws, _texts(first.aid), _time_of_milliseconds(_text(first.stm)))


def own_events(body: bytes) -> Messages:
    """One event in our envelope, or `{"events": [...]}`."""
    try:
        return Messages("cdp", _bytes(_decode(_events, body).events))
    except UnreadableBodyError:
        if "event_name" not in _decode(_object, body):
            raise
        return Messages("cdp", [body])


def lines(found: Messages, key: WriteKey, *, received_at: datetime, gpc: bool) -> Iterable[tuple[str, bytes]]:
    """The messages as lines of the event log, each with its day and with the collector's note."""
    time = format_time(received_at)
    head = b"%b\t%b\t" % (time.encode(), key.source.encode())
    note: dict[str, Any] = {"wire": found.wire, "key": key.key_id}
    if found.sent_at is not None:
        note["sent_at"] = found.sent_at
    if gpc:
        note["gpc"] = True
    common = note_bytes(note)
    refused = note_bytes({**note, "allowed": False})
    for raw in found.raws:
        line = _with_call(one_line(raw), found.call)
        is_refused = key.events is not None and not _is_allowed(line, found.wire, key.events)
        yield time[:10], b"%b%b\n" % (head, noted(line, refused if is_refused else common))


def unreadable_line(body: bytes, key: WriteKey, *, received_at: datetime) -> tuple[str, bytes]:
    """A body that could not be read as a line of the log, so that it ends in quarantine and is not lost."""
    time = format_time(received_at)
    line = one_line(body)
    try:
        if isinstance(orjson.loads(line), dict):
            line = noted(line, note_bytes({"wire": UNREADABLE, "key": key.key_id}))
    except orjson.JSONDecodeError:
        pass
    return time[:10], b"%b\t%b\t%b\n" % (time.encode(), key.source.encode(), line)


def webhook_line(
    body: bytes, destination: str, *, delivery_id: str, received_at: datetime
) -> tuple[str, bytes]:
    """What a destination reported as a line of the log, under the destination's name as its source."""
    time = format_time(received_at)
    note = {"wire": "webhook", "key": destination, "id": delivery_id}
    line = one_line(body)
    try:
        is_object = isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        is_object = False
    return time[:10], b"%b\t%b\t%b\n" % (
        time.encode(),
        destination.encode(),
        noted(line, note_bytes(note)) if is_object else line,
    )


def _decode(decoder: "msgspec.json.Decoder[Any]", body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise UnreadableBodyError from error


def _bytes(raws: list[msgspec.Raw]) -> list[bytes]:
    return [bytes(raw) for raw in raws]


def _text(raw: msgspec.Raw) -> str | None:
    """A JSON text, or nothing when it is something else."""
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


def _with_call(line: bytes, call: str | None) -> bytes:
    """With the type that the path stands for, for a message that does not say its own."""
    if call is None or not line.startswith(b"{"):
        return line
    rest = line[1:].lstrip(WHITE)
    return b'{"type":"%b"%b' % (call.encode(), rest if rest == b"}" else b"," + rest)


def _is_allowed(line: bytes, wire: Wire, events: tuple[str, ...]) -> bool:
    try:
        message = orjson.loads(line)
    except orjson.JSONDecodeError:
        return True  # it ends in quarantine for that
    return not isinstance(message, dict) or name_of(as_segment(message, wire)) in events
