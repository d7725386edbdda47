"""A batch of the event log against the contracts: every line ends as accepted or quarantined.

The envelope is read set-based by DuckDB, the properties are checked by compiled JSON Schemas, and every
line about which the fast way is not sure goes through ingestion/inspection.py, which alone rejects.
docs/decisions/0003-validation.md says why, with figures.
"""

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.event_log import Batch
from ingestion.inspection import Event, Reason, Refusal, inspect, masked
from ingestion.raw_tables import EVENTS, EVENTS_QUARANTINED
from ingestion.registry import Registry

_SQL = (Path(__file__).parent / "sql" / "validate_batch.sql").read_text(encoding="utf-8")
_BLOCK = 1024 * 1024
_RECORD = pa.schema(
    [
        ("received_text", pa.string()),
        ("source_system", pa.string()),
        ("raw", pa.string()),
        ("message", pa.binary()),
    ]
)
_ENVELOPE = (
    "event_id",
    "occurred_at",
    "received_at",
    "source_system",
    "user_id",
    "account_id",
    "anonymous_id",
    "trace_id",
    "session_id",
    "channel",
    "campaign_id",
)


@dataclass(frozen=True)
class ValidatedBatch:
    """The outcome of one batch, as tables of raw.events and raw.events_quarantined before deduplication."""

    batch_id: str
    batch: Batch
    accepted: pa.Table
    quarantined: pa.Table


def batch_id_of(batch: Batch) -> str:
    """The name of a batch: the same slices of the log have the same one."""
    places = ((part.segment, part.start_byte, part.end_byte) for part in batch.slices)
    return hashlib.sha256(orjson.dumps(list(places))).hexdigest()[:32]


def validate(registry: Registry, batch: Batch, *, threads: int = 1) -> ValidatedBatch:
    """Check every line of a batch; accepted and quarantined together have exactly `batch.lines` rows."""
    batch_id = batch_id_of(batch)
    lines = _lines(batch)
    found = _read_envelopes(registry, lines, threads)
    sure = found.filter(pc.invert(found["is_doubtful"]))
    sure, texts = _check_properties(registry, sure)
    accepted = _accepted_table(registry, sure, texts, lines, batch_id)
    numbers = lines["line_number"]
    doubtful = numbers.filter(pc.invert(pc.is_in(numbers, sure["line_number"].combine_chunks())))
    slow = [_inspect_line(registry, lines, number) for number in doubtful.to_pylist()]
    events = [row for row in slow if isinstance(row.outcome, Event)]
    refusals = [row for row in slow if isinstance(row.outcome, Refusal)]
    return ValidatedBatch(
        batch_id=batch_id,
        batch=batch,
        accepted=pa.concat_tables([accepted, _events_table(events, batch_id)]),
        quarantined=_quarantine_table(refusals, batch_id),
    )


@dataclass(frozen=True)
class _Inspected:
    """One line that went through inspection: its place, what the log knew of it, and the outcome."""

    segment: str
    line: int
    received_at: datetime | None
    source: str | None
    raw: bytes
    outcome: Event | Refusal


def _lines(batch: Batch) -> pa.Table:
    """The lines of a batch: their places, time of receipt, source, and message.

    `raw` is null where the message is not UTF-8, everything but the place where the line is not a record.
    """
    parts = []
    for part in batch.slices:
        count = part.last_line - part.first_line + 1
        blocks = pa.Table.from_batches((_read_block(block) for block in _split(part.data)), _RECORD)
        place = {
            "segment": pa.repeat(part.segment, count),
            "line": pa.array(range(part.first_line, part.last_line + 1), pa.int64()),
        }
        parts.append(pa.table({**place, **dict(zip(blocks.column_names, blocks.columns, strict=True))}))
    lines = pa.concat_tables(parts)
    return lines.append_column("line_number", pa.array(range(lines.num_rows), pa.int64()))


def _split(data: bytes) -> Iterator[pa.Array]:
    """The lines of a slice, a block at a time: what is small stays in the processor's cache."""
    start = 0
    while start < len(data):
        end = data.rfind(b"\n", start, start + _BLOCK)
        if end < 0:
            end = data.index(b"\n", start)
        yield pc.split_pattern(pa.array([data[start:end]], pa.binary()), pattern=b"\n")[0].values
        start = end + 1


def _read_block(block: pa.Array) -> pa.RecordBatch:
    """Take records apart: at once when they are all of one source, else one by one."""
    received_at, source, _ = _record_parts(block[0].as_py())
    if received_at is not None and source is not None:
        head = b"\t%b\t" % source.encode()
        prefix = 24 + len(head)
        if pc.all(pc.equal(pc.binary_slice(block, 24, prefix), pa.scalar(head, pa.binary()))).as_py():
            message = pc.binary_replace_slice(block, 0, prefix, b"")
            return pa.record_batch(
                [
                    _as_text(pc.binary_slice(block, 0, 23)),
                    pa.repeat(source, len(block)),
                    _as_text(message),
                    message,
                ],
                schema=_RECORD,
            )
    rows = [(record, *_record_parts(record)) for record in block.to_pylist()]
    return pa.record_batch(
        [
            pa.array(
                [None if at is None else record[:23].decode() for record, at, _, _ in rows], pa.string()
            ),
            pa.array([source for _, _, source, _ in rows], pa.string()),
            pa.array([_decoded(raw) for _, _, _, raw in rows], pa.string()),
            pa.array([raw for _, _, _, raw in rows], pa.binary()),
        ],
        schema=_RECORD,
    )


def _record_parts(record: bytes) -> tuple[datetime | None, str | None, bytes]:
    """Time of receipt, source and message of a log line; no time and source when it is not a record."""
    parts = record.split(b"\t", 2)
    if len(parts) == 3 and len(parts[0]) == 24:
        try:
            return datetime.fromisoformat(parts[0].decode("ascii")), parts[1].decode("ascii"), parts[2]
        except ValueError:
            pass
    return None, None, record


def _as_text(block: pa.Array) -> pa.Array:
    try:
        return block.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([_decoded(line) for line in block.to_pylist()], pa.string())


def _decoded(line: bytes) -> str | None:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return None


def _read_envelopes(registry: Registry, lines: pa.Table, threads: int) -> pa.Table:
    calls = [
        {
            "source_system": source,
            "call_type": call,
            "event_name": event or "",
            "contract_index": registry.contracts.index(contract),
        }
        for (source, call, event), contract in registry.calls.items()
    ]
    settings: dict[str, str | bool | int | float | list[str]] = {
        "threads": threads,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    with duckdb.connect(":memory:", config=settings) as connection:
        connection.register("lines", lines.drop_columns(["segment", "line", "message"]))
        connection.register("calls", pa.Table.from_pylist(calls))
        return connection.execute(_SQL).to_arrow_table()


def _check_properties(registry: Registry, found: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Keep the rows whose properties satisfy their contract; with compact JSON of consent and properties.

    Each distinct text is checked once. What is kept is what orjson read and the schema saw, so a key that
    stands twice has one meaning for every later reader.
    """
    consent = _checked(found["consent"], _anything)
    is_kept = pc.or_(pc.is_null(found["consent"]), pc.is_valid(consent))
    properties = pa.nulls(found.num_rows, pa.string())
    for index, contract in enumerate(registry.contracts):
        of_contract = pc.equal(found["contract_index"], index).combine_chunks()
        checked = _checked(found["properties"].filter(of_contract), contract.validator.is_valid)
        properties = pc.replace_with_mask(properties, of_contract, checked)
    is_kept = pc.and_(is_kept, pc.is_valid(properties))
    texts = pa.table({"consent": consent, "properties": properties})
    return found.filter(is_kept), texts.filter(is_kept)


def _checked(texts: pa.ChunkedArray, is_valid: Callable[[object], bool]) -> pa.Array:
    """The compact form of each JSON text, null where it is not valid (or was null)."""
    encoded = texts.combine_chunks().dictionary_encode()
    compact = [_compact(text, is_valid) for text in encoded.dictionary.to_pylist()]
    return pa.array(compact, pa.string()).take(encoded.indices)


def _compact(text: str, is_valid: Callable[[object], bool]) -> str | None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return orjson.dumps(value).decode() if is_valid(value) else None


def _anything(value: object) -> bool:
    return value is not None


def _accepted_table(
    registry: Registry, sure: pa.Table, texts: pa.Table, lines: pa.Table, batch_id: str
) -> pa.Table:
    places = lines.select(["segment", "line"]).take(sure["line_number"])
    contract = sure["contract_index"]
    names = pa.array([each.name for each in registry.contracts], pa.string())
    versions = pa.array([each.version for each in registry.contracts], pa.string())
    columns = {
        **{name: sure[name] for name in _ENVELOPE},
        "event_name": names.take(contract.combine_chunks()),
        "version": versions.take(contract.combine_chunks()),
        "consent": texts["consent"],
        "properties": texts["properties"],
        "segment": places["segment"],
        "line": places["line"],
        "batch_id": pa.repeat(batch_id, sure.num_rows),
    }
    return pa.table([columns[name] for name in EVENTS.names], names=EVENTS.names).cast(EVENTS)


def _inspect_line(registry: Registry, lines: pa.Table, number: int) -> _Inspected:
    row = lines.slice(number, 1).to_pylist()[0]
    segment, line, source, raw = row["segment"], row["line"], row["source_system"], row["message"]
    received_at = datetime.fromisoformat(row["received_text"] + "Z") if row["received_text"] else None
    outcome: Event | Refusal
    if received_at is None or source is None:
        expected = "a time of receipt, a source and a message, parted by tabs"
        outcome = Refusal((Reason("MALFORMED_RECORD", "", expected, masked(raw)),))
    else:
        outcome = inspect(registry, source, received_at, raw)
    return _Inspected(segment, line, received_at, source, raw, outcome)


def _naive(moment: datetime | None) -> datetime | None:
    return moment.astimezone(UTC).replace(tzinfo=None) if moment else None


def _events_table(rows: Iterable[_Inspected], batch_id: str) -> pa.Table:
    found = [
        {
            **vars(row.outcome),
            "occurred_at": _naive(row.outcome.occurred_at),
            "received_at": _naive(row.received_at),
            "source_system": row.source,
            "segment": row.segment,
            "line": row.line,
            "batch_id": batch_id,
        }
        for row in rows
        if isinstance(row.outcome, Event)
    ]
    return pa.Table.from_pylist(found, schema=EVENTS)


def _quarantine_table(rows: Iterable[_Inspected], batch_id: str) -> pa.Table:
    found = []
    for row in rows:
        if not isinstance(row.outcome, Refusal):
            continue
        first = row.outcome.reasons[0]
        raw = _decoded(row.raw)
        found.append(
            {
                "event_id": row.outcome.event_id,
                "event_name": row.outcome.event_name,
                "received_at": _naive(row.received_at),
                "source_system": row.source,
                **vars(first),
                "contract_version": row.outcome.contract_version,
                "reasons": orjson.dumps([vars(reason) for reason in row.outcome.reasons]).decode(),
                "raw_line": base64.b64encode(row.raw).decode() if raw is None else raw,
                "raw_encoding": "base64" if raw is None else "utf-8",
                "segment": row.segment,
                "line": row.line,
                "batch_id": batch_id,
            }
        )
    return pa.Table.from_pylist(found, schema=EVENTS_QUARANTINED)
