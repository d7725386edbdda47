"""What of the event log falls into a range of time: of receipt, or of when the event happened."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from ingestion.errors import RejectedInputError
from ingestion.event_log import BATCH_BYTES, BATCH_LINES, Batch, EventLog, Slice
from ingestion.inspection import EARLIEST, MAX_AHEAD, happened_at
from ingestion.records import TIME_CHARACTERS, format_time, split_record

Axis = Literal["received", "happened"]


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
    for segment, end in log.segments().items():
        end_byte = end if read_to is None else min(end, read_to.get(segment, 0))
        if end_byte and _may_hold(log, segment, wanted):
            lines = _lines(log, segment, end_byte)
            yield from _received(lines, wanted) if wanted.axis == "received" else _happened(lines, wanted)


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
    for line in lines_in(log, wanted, read_to):
        if parts and (size + len(line.record) > max_bytes or lines >= max_lines):
            yield Batch(tuple(parts))
            parts, size, lines = [], 0, 0
        end_byte = line.start_byte + len(line.record)
        last = parts[-1] if parts else None
        if last and last.segment == line.segment and last.end_byte == line.start_byte:
            parts[-1] = Slice(last.segment, last.first_line, line.number, last.start_byte, end_byte)
        else:
            parts.append(Slice(line.segment, line.number, line.number, line.start_byte, end_byte))
        size += len(line.record)
        lines += 1
    if parts:
        yield Batch(tuple(parts))


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


def _lines(log: EventLog, segment: str, end: int) -> Iterator[Line]:
    with log.open_segment(segment) as file:
        number, at = 0, 0
        while at < end:
            record = file.readline()
            number += 1
            yield Line(segment, number, at, record)
            at += len(record)


def _received(lines: Iterator[Line], wanted: TimeRange) -> Iterator[Line]:
    first, end, time = format_time(wanted.start).encode(), format_time(wanted.end).encode(), b""
    for line in lines:
        if line.record[TIME_CHARACTERS : TIME_CHARACTERS + 1] == b"\t":
            time = line.record[:TIME_CHARACTERS]
        if first <= time < end:
            yield line


def _happened(lines: Iterator[Line], wanted: TimeRange) -> Iterator[Line]:
    for line in lines:
        moment = _moment(line.record)
        if moment is not None and wanted.start <= moment < wanted.end:
            yield line


def _moment(record: bytes) -> datetime | None:
    """When the event of a record happened, or nothing when it does not say so."""
    parts = split_record(record)
    return happened_at(parts) if parts is not None else None
