r"""One line of the event log: `<received_at>\t<source><note>\t<message, verbatim>\n`.

The time has 24 characters (`2010-12-01T08:26:00.000Z`). The note is what the way in knew beside the message:
its wire format, the key it came with, when it was sent, its place in a stream; one JSON object without white
space, or nothing. Neither a source's name nor such JSON holds a tab, so the first two always part the three.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import orjson

from ingestion.errors import RejectedInputError

TIME_CHARACTERS: Final = 24
Note = dict[str, Any]
# A time as every record has it; whether there is such a day, only reading it tells.
AS_WRITTEN: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
_SOURCE = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class Record:
    """One received message: when the server had it, from which source, its bytes as they came, the note."""

    received_at: datetime
    source: str
    raw: bytes
    note: Note | None = None


class Parts(NamedTuple):
    """What a line of the log says; the time is UTC, the note empty where none was made."""

    received_at: datetime
    source: str
    note: Note
    raw: bytes


class DayLines(NamedTuple):
    """One or more whole lines of one day, which is ten characters of their time, and how many they are."""

    day: str
    data: bytes
    lines: int = 1


def format_time(moment: datetime) -> str:
    """The moment as the 24 characters that a record starts with (UTC, milliseconds)."""
    if moment.tzinfo is None:
        raise RejectedInputError(
            f"Time {moment.isoformat()} has no time zone; pass a timezone-aware datetime."
        )
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


def check_source(source: str) -> None:
    """Raise RejectedInputError for a name that no record may have as its source."""
    if not _SOURCE.fullmatch(source):
        raise RejectedInputError(
            f"Source name {source!r} cannot be written to the event log; "
            "use a lower-case letter followed by at most 62 lower-case letters, digits or underscores."
        )


def record_head(time: str, source: str, note: Note | None = None) -> bytes:
    """What stands before the message of a record; `time` as `format_time` gives it."""
    return b"%b\t%b%b\t" % (time.encode(), source.encode(), orjson.dumps(note) if note else b"")


def encode(record: Record) -> DayLines:
    """A record as its line; refuses what would break the line format."""
    check_source(record.source)
    if b"\n" in record.raw:
        raise RejectedInputError(
            f"A message of source {record.source!r} contains a line feed; "
            "the log holds one message a line, so write JSON without line breaks."
        )
    time = format_time(record.received_at)
    return DayLines(time[:10], b"%b%b\n" % (record_head(time, record.source, record.note), record.raw))


def split_record(line: bytes) -> Parts | None:
    """The parts of a line without its line feed; nothing for one that is no record."""
    parts = line.split(b"\t", 2)
    if len(parts) != 3:
        return None
    try:
        return Parts(read_time(parts[0]), *split_source(parts[1]), parts[2])
    except ValueError:
        return None


def read_time(written: bytes) -> datetime:
    """The moment that `format_time` wrote; raises ValueError for anything else."""
    time = written.decode("ascii")
    if not AS_WRITTEN.fullmatch(time):
        raise ValueError("not a time of a record")
    return datetime.fromisoformat(time)


def split_source(field: bytes) -> tuple[str, Note]:
    """A source and the note behind it; raises ValueError for anything else."""
    at = field.find(b"{")
    if at < 0:
        return field.decode("ascii"), {}
    note = orjson.loads(field[at:])
    if not isinstance(note, dict):
        raise ValueError("the note is no object")
    return field[:at].decode("ascii"), note
