"""A batch of the event log against the contracts: every line ends as accepted or quarantined.

One pass in Python accepts what is plainly right: orjson reads the line, a compiled JSON Schema checks the
properties. Every line that the pass doubts goes through ingestion/inspection.py, which alone rejects.
docs/decisions/0003-validation.md says why it is done so, with figures.
"""

import base64
import contextlib
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.event_log import Slice
from ingestion.inspection import (
    EARLIEST,
    MAX_BYTES,
    Event,
    Reason,
    Refusal,
    body_key,
    inspect,
    masked,
    properties_of,
    text,
)
from ingestion.raw_tables import EVENTS, EVENTS_QUARANTINED, TIME
from ingestion.records import TIME_CHARACTERS, Note, read_time, split_record, split_source
from ingestion.registry import Registry
from ingestion.times import MAX_AHEAD, naive_utc

_BLOCK_BYTES = 512 * 1024
_TABLE_ROWS = 1500
# A time up to its minute: sent and received in the same one, a message needs no correction of its time.
_MINUTE = len("2010-12-01T08:26")
_ZONED = pa.timestamp("us", "UTC")
# What stands between the digits of a record's time, and where.
_BETWEEN_DIGITS = tuple(
    zip((4, 7, 10, 13, 16, 19, 23), (b"-", b"-", b"T", b":", b":", b".", b"Z"), strict=True)
)
# What the pass reads of each message, in this order, beside the index of its line and of its kind.
_READ = (
    "event_id",
    "occurred_at",
    "user_id",
    "account_id",
    "anonymous_id",
    "trace_id",
    "session_id",
    "channel",
    "campaign_id",
    "consent",
    "properties",
)
# The calls whose contract judges their body alone, and those where the call says more beside it; the others
# go through inspection.
_PLAIN_CALLS = ("track", "identify")
_CALLS = (*_PLAIN_CALLS, "page", "screen")
# What in a note changes what a message means, or what its sender may send.
_TELLING = ("gpc", "allowed", "call")
# A call and its name to the index of its kind, the contract's check, and the key of what it checks.
_Calls = dict[tuple[str, str | None], tuple[int, Callable[[object], bool], str | None]]


@dataclass(frozen=True)
class Validated:
    """Rows of raw.events, before deduplication, and of raw.events_quarantined."""

    accepted: pa.Table
    quarantined: pa.Table


def validate(registry: Registry, parts: Iterable[tuple[Slice, bytes]], batch_id: str) -> Validated:
    """Check every line of some slices; accepted and quarantined together have exactly one row for each."""
    checked = _Checked(registry, batch_id)
    for part, data in parts:
        line = part.first_line
        for lines in _blocks(data):
            checked.take(_Block(part.segment, line, lines))
            line += len(lines)
    return checked.tables()


def batch_id_of(slices: tuple[Slice, ...]) -> str:
    """The name of a batch: the same slices of the log always have the same one."""
    places = [(part.segment, part.start_byte, part.end_byte) for part in slices]
    return hashlib.sha256(orjson.dumps(places)).hexdigest()[:32]


def _blocks(data: bytes) -> Iterator[list[bytes]]:
    """The lines, a block at a time: what is small stays in the processor's cache."""
    start = 0
    while start < len(data):
        end = data.rfind(b"\n", start, start + _BLOCK_BYTES)
        if end < 0:
            end = data.index(b"\n", start)
        yield data[start:end].split(b"\n")
        start = end + 1


class _Kind(NamedTuple):
    """What all events of one call of a source have in common."""

    source_system: str
    event_name: str
    version: str


class _Block(NamedTuple):
    """Lines of a segment that stand together."""

    segment: str
    first_line: int
    lines: list[bytes]


class _Checked:
    """What has been checked of a batch so far."""

    def __init__(self, registry: Registry, batch_id: str) -> None:
        self._registry = registry
        self._batch_id = batch_id
        self._kinds: list[_Kind] = []
        self._calls_of: dict[str, _Calls] = {}
        # blocks of which some rows are no table yet, and how many rows they are
        self._waiting: list[tuple[_Block, list[tuple[Any, ...]]]] = []
        self._waiting_rows = 0
        self._accepted: list[pa.Table] = [EVENTS.empty_table()]
        self._late: list[dict[str, Any]] = []
        self._refused: list[dict[str, Any]] = []

    def take(self, block: _Block) -> None:
        """Check the lines of a block."""
        rows, doubtful = self._accept(block.lines)
        for index in doubtful:
            self._look_closer(block, index)
        if rows:
            self._waiting.append((block, rows))
            self._waiting_rows += len(rows)
            if self._waiting_rows >= _TABLE_ROWS:
                self._make_table()

    def _make_table(self) -> None:
        """Turn what waits into a table; where the time of an event is out of range, look closer."""
        waiting, self._waiting, self._waiting_rows = self._waiting, [], 0
        accepted = self._table_of(waiting)
        is_in_time = _is_in_time(accepted["occurred_at"], accepted["received_at"])
        if not pc.all(is_in_time).as_py():
            places = [(block, row[0]) for block, rows in waiting for row in rows]
            for (block, index), is_good in zip(places, is_in_time.to_pylist(), strict=True):
                if not is_good:
                    self._look_closer(block, index)
            accepted = accepted.filter(is_in_time)
        self._accepted.append(accepted)

    def _table_of(self, waiting: list[tuple[_Block, list[tuple[Any, ...]]]]) -> pa.Table:
        """Rows of some blocks as a table of raw.events; a time that cannot be read is null."""
        _, kinds, *columns = zip(*itertools.chain.from_iterable(rows for _, rows in waiting), strict=True)
        received, numbers, segments = [], [], []
        for block, rows in waiting:
            lines, first_line = block.lines, block.first_line
            received += [lines[row[0]][:TIME_CHARACTERS] for row in rows]
            numbers += [first_line + row[0] for row in rows]
            segments.append(pa.repeat(block.segment, len(rows)))
        arrays: dict[str, pa.Array] = {
            "received_at": _received(received),
            "segment": pa.concat_arrays(segments),
            "line": pa.array(numbers, pa.int64()),
            "batch_id": pa.repeat(self._batch_id, len(numbers)),
        }
        for name, values in zip(_READ, columns, strict=True):
            kind = EVENTS.field(name).type
            arrays[name] = _times(values) if kind == TIME else pa.array(values, kind)
        kind_of = pa.array(kinds, pa.int32())
        for name, of_kinds in zip(_Kind._fields, zip(*self._kinds, strict=True), strict=True):
            arrays[name] = pa.array(of_kinds, pa.string()).take(kind_of)
        return pa.table({name: arrays[name] for name in EVENTS.names})

    def tables(self) -> Validated:
        """Everything that was checked."""
        if self._waiting:
            self._make_table()
        late = pa.Table.from_pylist(self._late, schema=EVENTS)
        return Validated(
            accepted=pa.concat_tables([*self._accepted, late]),
            quarantined=pa.Table.from_pylist(self._refused, schema=EVENTS_QUARANTINED),
        )

    def _accept(  # noqa: PLR0912, PLR0915 (one loop, for speed)
        self, lines: list[bytes]
    ) -> tuple[list[tuple[Any, ...]], list[int]]:
        """Of each line that is plainly right its index, its kind and what is read of it; and the index of
        every other line.

        This loop is the price of an event, so it is written for speed: the bound methods and the local
        names are each worth some percent.
        """
        rows: list[tuple[Any, ...]] = []
        add = rows.append
        doubtful: list[int] = []
        doubt = doubtful.append
        loads, dumps, plain = orjson.loads, orjson.dumps, text
        head, cut, calls, minute = b"", 0, _Calls(), b""
        for index, line in enumerate(lines):
            if not head or not line.startswith(head, TIME_CHARACTERS):
                head, calls, minute = self._head_of(line)
                cut = TIME_CHARACTERS + len(head)
            try:
                message = loads(line[cut:])
                get = message.get
                kind, is_valid, body = calls[get("type"), get("event")]
                if minute and not line.startswith(minute):
                    doubt(index)
                    continue
                properties = message[body] if body is not None else properties_of(message)
                event_id, occurred_at = message["messageId"], get("timestamp")
                if occurred_at is None:
                    occurred_at = message["originalTimestamp"]
                user_id, anonymous_id = get("userId"), get("anonymousId")
                if (
                    len(line) - cut > MAX_BYTES
                    or not is_valid(properties)
                    or event_id.__class__ is not str
                    or not (event_id.isprintable() and event_id.strip())
                    or occurred_at.__class__ is not str
                ):
                    doubt(index)
                    continue
                account_id = trace_id = session_id = campaign_id = consent = None
                context = get("context")
                if context.__class__ is dict:
                    ask = context.get
                    account_id, trace_id, session_id = ask("groupId"), ask("traceId"), ask("sessionId")
                    campaign_id, consent = ask("campaign"), ask("consent")
                    account_id = None if account_id is None else plain(account_id)
                    trace_id = None if trace_id is None else plain(trace_id)
                    if session_id.__class__ is not str or not (
                        session_id.isprintable() and session_id.strip()
                    ):
                        session_id = plain(session_id)
                    if campaign_id is not None:
                        campaign_id = (
                            plain(campaign_id.get("name")) if campaign_id.__class__ is dict else None
                        )
                    if consent is not None:
                        consent = dumps(consent)
                if user_id.__class__ is not str or not (user_id.isprintable() and user_id.strip()):
                    user_id = plain(user_id)
                if anonymous_id.__class__ is not str or not (
                    anonymous_id.isprintable() and anonymous_id.strip()
                ):
                    anonymous_id = plain(anonymous_id)
                if user_id is None and anonymous_id is None and account_id is None:
                    doubt(index)
                    continue
                channel = get("channel")
                if channel is not None:
                    channel = plain(channel)
                compact = dumps(properties)
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
                doubt(index)
                continue
            add((
                index, kind, event_id, occurred_at, user_id, account_id, anonymous_id, trace_id,
                session_id, channel, campaign_id, consent, compact,
            ))  # fmt: skip
        return rows, doubtful

    def _head_of(self, line: bytes) -> tuple[bytes, _Calls, bytes]:
        """What stands between the time and the message of a record; the calls of its source, and the minute
        that its time must be in. No call where the note says that the message is more than it shows.
        """
        end = line.find(b"\t", TIME_CHARACTERS + 1)
        if end < 0 or line[TIME_CHARACTERS : TIME_CHARACTERS + 1] != b"\t":
            return b"", {}, b""
        field = line[TIME_CHARACTERS + 1 : end]
        try:
            source, note = split_source(field)
        except ValueError:
            return b"", {}, b""
        return b"\t%b\t" % field, *self._plain_calls(source, note)

    def _plain_calls(self, source: str, note: Note) -> tuple[_Calls, bytes]:
        sent_at = note.get("sent_at", "")
        is_plain = note.get("wire", "segment") == "segment" and note.keys().isdisjoint(_TELLING)
        if not is_plain or not isinstance(sent_at, str) or (sent_at and sent_at[-1] != "Z"):
            return {}, b""
        if source not in self._calls_of:
            calls = _Calls()
            for (name, call, event), contract in self._registry.calls.items():
                if name == source and call in _CALLS:
                    body = body_key(call) if call in _PLAIN_CALLS else None
                    calls[call, event] = (len(self._kinds), contract.validator.is_valid, body)
                    self._kinds.append(_Kind(source, contract.name, contract.version))
            self._calls_of[source] = calls
        return self._calls_of[source], sent_at[:_MINUTE].encode()

    def _look_closer(self, block: _Block, index: int) -> None:
        record = block.lines[index]
        parts = split_record(record)
        outcome: Event | Refusal
        if parts is None:
            expected = "a time of receipt, a source and a message, parted by tabs"
            outcome = Refusal((Reason("MALFORMED_RECORD", "", expected, masked(record)),))
        else:
            outcome = inspect(self._registry, parts)
        place = {
            "segment": block.segment,
            "line": block.first_line + index,
            "batch_id": self._batch_id,
            "received_at": parts and naive_utc(parts.received_at),
            "source_system": parts and parts.source,
        }
        if isinstance(outcome, Event):
            self._late.append({**vars(outcome), "occurred_at": naive_utc(outcome.occurred_at), **place})
        else:
            raw, note = (parts.raw, parts.note) if parts is not None else (record, {})
            self._refused.append({**refusal_row(outcome, raw, note), **place})


def _times(texts: Sequence[str]) -> pa.Array:
    """ISO 8601 times with a zone as UTC: all at once when all can be read, else one by one."""
    try:
        return pa.array(texts, pa.string()).cast(_ZONED).cast(TIME)
    except pa.ArrowInvalid:
        return pa.array([_time(text) for text in texts], TIME)


def _received(written: list[bytes]) -> pa.Array:
    """Times as records have them as UTC; null for one that is not written so."""
    joined, count = b"".join(written), len(written)
    if len(joined) == count * TIME_CHARACTERS and all(
        joined[place::TIME_CHARACTERS] == found * count for place, found in _BETWEEN_DIGITS
    ):
        ends = pa.array(range(0, len(joined) + 1, TIME_CHARACTERS), pa.int32()).buffers()[1]
        texts = pa.Array.from_buffers(pa.string(), count, [None, ends, pa.py_buffer(joined)])
        with contextlib.suppress(pa.ArrowInvalid):
            return texts.cast(_ZONED).cast(TIME)
    return pa.array([_time_of_record(each) for each in written], TIME)


def _time_of_record(written: bytes) -> datetime | None:
    try:
        return naive_utc(read_time(written))
    except ValueError:
        return None


def _time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        return naive_utc(moment) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _is_in_time(occurred_at: pa.ChunkedArray, received_at: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whether each event happened since 2000 and at most a day after it was received."""
    latest = pc.add(received_at, pa.scalar(MAX_AHEAD))
    earliest = pa.scalar(naive_utc(EARLIEST), TIME)
    found = pc.and_(pc.less_equal(occurred_at, latest), pc.greater_equal(occurred_at, earliest))
    return pc.fill_null(found, False)


def refusal_row(refusal: Refusal, raw: bytes, note: Note) -> dict[str, Any]:
    """What raw.events_quarantined keeps of a refused line, but for its place."""
    try:
        raw_line, encoding = raw.decode(), "utf-8"
    except UnicodeDecodeError:
        raw_line, encoding = base64.b64encode(raw).decode(), "base64"
    return {
        "event_id": refusal.event_id,
        "event_name": refusal.event_name,
        **vars(refusal.reasons[0]),
        "contract_version": refusal.contract_version,
        "reasons": orjson.dumps([vars(reason) for reason in refusal.reasons]).decode(),
        "raw_line": raw_line,
        "raw_encoding": encoding,
        "note": orjson.dumps(note).decode() if note else None,
    }
