"""What of the event log falls into a range of time: of receipt, or of when the event happened."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from ingestion.errors import RejectedInputError
from ingestion.event_log import BATCH_BYTES, BATCH_LINES, Batch, EventLog, Slice
from ingestion.inspection import EARLIEST, happened_at
from ingestion.records import TIME_CHARACTERS, format_time, split_record
from ingestion.times import MAX_AHEAD

Axis = Literal["received", "happened"]
_BLOCK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class TimeRange:
    """From `start` to before `end`, both with a time zone, by the time of receipt or by the event's own."""

    start: datetime
    end: datetime
    axis: Axis = "received"

    def __post_init__(self) -> None:
        """Refuse a range that holds no moment."""
        if self.start >= self.end:
            raise RejectedInputError(
                f"The range from {self.start.isoformat()} to {self.end.isoformat()} holds no moment; give an "
                "end that is later than its start."
            )


class Line(NamedTuple):
    """A line of the log with its place; `record` ends with its line feed."""

    segment: str
    number: int
    start_byte: int
    record: bytes


def lines_in(log: EventLog, wanted: TimeRange, read_to: Mapping[str, int] | None = None) -> Iterator[Line]:
    """Every whole line in the range, in the order of the log; flat memory.

    `read_to` (segment to end byte) leaves out what stands beyond. By receipt, a line that is no record has no
    time of its own and goes with the line before it. By the event's own time, corrected as a load does, a
    line without a readable one is in no range; every segment from a day before the range on is read, because
    an event may arrive at any later time.
    """
    for block, is_in_range in _blocks_in(log, wanted, read_to):
        yield from itertools.compress(block.lines(), is_in_range)


def batches_in(
    log: EventLog,
    wanted: TimeRange,
    read_to: Mapping[str, int],
    *,
    max_bytes: int = BATCH_BYTES,
    max_lines: int = BATCH_LINES,
) -> Iterator[Batch]:
    """The same lines as bounded batches of slices, for validation."""
    parts: list[Slice] = []
    size = lines = 0
    for block, is_in_range in _blocks_in(log, wanted, read_to):
        whole = block.whole()
        fits = whole.lines <= max_lines and whole.end_byte - whole.start_byte <= max_bytes
        found = [whole] if fits and all(is_in_range) else block.slices(is_in_range)
        for fresh in found:
            part, bytes_of_part = fresh, fresh.end_byte - fresh.start_byte
            if parts and (size + bytes_of_part > max_bytes or lines + part.lines > max_lines):
                yield Batch(tuple(parts))
                parts, size, lines = [], 0, 0
            last = parts[-1] if parts else None
            if last and last.segment == part.segment and last.end_byte == part.start_byte:
                last = parts.pop()
                part = Slice(part.segment, last.first_line, part.last_line, last.start_byte, part.end_byte)
            parts.append(part)
            size += bytes_of_part
            lines += fresh.lines
    if parts:
        yield Batch(tuple(parts))


@dataclass(frozen=True)
class _Block:
    """Some whole lines of a segment that stand together; each record ends with its line feed."""

    segment: str
    first_line: int
    start_byte: int
    records: list[bytes]

    def lines(self) -> Iterator[Line]:
        at = self.start_byte
        for number, record in enumerate(self.records, self.first_line):
            yield Line(self.segment, number, at, record)
            at += len(record)

    def whole(self) -> Slice:
        last_line = self.first_line + len(self.records) - 1
        end_byte = self.start_byte + sum(map(len, self.records))
        return Slice(self.segment, self.first_line, last_line, self.start_byte, end_byte)

    def slices(self, is_in_range: list[bool]) -> Iterator[Slice]:
        for segment, number, at, record in itertools.compress(self.lines(), is_in_range):
            yield Slice(segment, number, number, at, at + len(record))


def _blocks_in(
    log: EventLog, wanted: TimeRange, read_to: Mapping[str, int] | None
) -> Iterator[tuple[_Block, list[bool]]]:
    """What may hold lines of the range, a block at a time, and which of its lines do."""
    for segment, end in log.segments().items():
        end_byte = end if read_to is None else min(end, read_to.get(segment, 0))
        if end_byte and _may_hold(log, segment, wanted):
            received = _Received(wanted)
            for block in _blocks(log, segment, end_byte):
                if wanted.axis == "received":
                    yield block, received.are_in(block.records)
                else:
                    yield block, [_happened_in(record, wanted) for record in block.records]


def _may_hold(log: EventLog, segment: str, wanted: TimeRange) -> bool:
    """Whether a segment can hold a line of the range, by the day in its name and by the manifest."""
    earliest = wanted.start if wanted.axis == "received" else max(wanted.start, EARLIEST) - MAX_AHEAD
    first, end = format_time(earliest), format_time(wanted.end)
    sealed = log.sealed().segments.get(segment)
    if segment[:10] < first[:10] or (sealed and sealed.last_received_at < first):
        return False
    if wanted.axis == "happened":
        return True
    return segment[:10] <= end[:10] and not (sealed and sealed.first_received_at >= end)


def _blocks(log: EventLog, segment: str, end: int) -> Iterator[_Block]:
    with log.open_segment(segment) as file:
        line, at = 1, 0
        while at < end:
            data = file.read(min(_BLOCK_BYTES, end - at))
            if not data.endswith(b"\n"):
                data += file.readline()
            records = [record + b"\n" for record in data[:-1].split(b"\n")]
            yield _Block(segment, line, at, records)
            line += len(records)
            at += len(data)


class _Received:
    """Which lines of a segment, one block after the other, were received in a range."""

    def __init__(self, wanted: TimeRange) -> None:
        self._first, self._end = format_time(wanted.start).encode(), format_time(wanted.end).encode()
        self._time = b""

    def are_in(self, records: list[bytes]) -> list[bool]:
        heads = {record[: TIME_CHARACTERS + 1] for record in records}
        if all(head.endswith(b"\t") and self._first <= head < self._end for head in heads):
            self._time = records[-1][:TIME_CHARACTERS]
            return [True] * len(records)
        return [self._is_in(record) for record in records]

    def _is_in(self, record: bytes) -> bool:
        if record[TIME_CHARACTERS : TIME_CHARACTERS + 1] == b"\t":
            self._time = record[:TIME_CHARACTERS]
        return self._first <= self._time < self._end


def _happened_in(record: bytes, wanted: TimeRange) -> bool:
    moment = _moment(record)
    return moment is not None and wanted.start <= moment < wanted.end


def _moment(record: bytes) -> datetime | None:
    """When the event of a record happened, or nothing when it does not say so."""
    parts = split_record(record)
    return happened_at(parts) if parts is not None else None
