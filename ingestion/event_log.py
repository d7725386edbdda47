"""The event log: append-only segment files that hold everything received, the source of truth.

One record a line, as ingestion/records.py writes it. See docs/decisions/0002-event-log.md for the promises
and their limits.
"""

import contextlib
import fcntl
import hashlib
import io
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple

import orjson

from ingestion.errors import NO_ROOM, EventLogDamagedError, EventLogFullError, RejectedInputError
from ingestion.records import (
    AS_WRITTEN,
    DayLines,
    Record,
    check_source,
    encode,
    format_time,
    record_head,
)
from ingestion.sealed_segments import MANIFEST, Manifest, open_sealed, read_manifest
from ingestion.segments import (
    Append,
    AppendResult,
    count_lines,
    measure_lines,
    sealed_up_to,
    sync_folder,
    whole_lines_end,
)
from ingestion.times import MAX_AHEAD

SEGMENT_BYTES = 64 * 1024 * 1024
BATCH_BYTES = 16 * 1024 * 1024
BATCH_LINES = 250_000
_IMPORT_LINES = 20_000
_WAITING_LINES = 10_000


@dataclass(frozen=True)
class ImportResult:
    """What one archive brought in; nothing when the same content was imported before."""

    sha256: str
    count: int
    bytes: int
    already_imported: bool


@dataclass(frozen=True)
class Slice:
    """The place of whole lines of one segment; `EventLog.read` gives their bytes. Lines count from 1."""

    segment: str
    first_line: int
    last_line: int
    start_byte: int
    end_byte: int

    @property
    def lines(self) -> int:
        """How many records the slice holds."""
        return self.last_line - self.first_line + 1


@dataclass(frozen=True)
class Batch:
    """A bounded group of slices: the unit that is validated, and committed or not."""

    slices: tuple[Slice, ...]

    @property
    def lines(self) -> int:
        """How many records the batch holds."""
        return sum(part.lines for part in self.slices)

    @property
    def bytes(self) -> int:
        """How many bytes of the log the batch covers."""
        return sum(part.end_byte - part.start_byte for part in self.slices)


class EventLog:
    """Append-only segments under one folder; safe for several processes on one machine."""

    def __init__(self, root: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.root = root
        self._lock_file = root / ".lock"
        self._segment_bytes = segment_bytes
        self._known: tuple[tuple[int, int, int], Manifest] | None = None

    def append(self, records: Iterable[Record]) -> AppendResult:
        """Write the records and return once they are durable: all of them, or none.

        Raises EventLogFullError when the disk is full and RejectedInputError for a record that
        cannot be a line; in both cases, and when `records` itself raises, the log is as it was.
        """
        return self.append_lines(encode(record) for record in records)

    def append_lines(self, lines: Iterable[DayLines]) -> AppendResult:
        """`append` for whole lines that are already in the record format."""
        with self._locked(fcntl.LOCK_EX):
            writing = Append(self.root, self._segment_bytes)
            try:
                for each in lines:
                    writing.write(each)
                return writing.finish()
            except OSError as error:
                writing.take_back()
                if error.errno in NO_ROOM:
                    raise EventLogFullError(
                        f"The event log at {self.root} is full ({os.strerror(error.errno or 0)}); "
                        "nothing of this append was kept. Free space and send it again."
                    ) from error
                raise
            except BaseException:
                writing.take_back()
                raise

    def segments(self) -> dict[str, int]:
        """Every segment and its readable length: the bytes up to its last line feed."""
        if not self.root.exists():
            return {}
        with self._locked(fcntl.LOCK_SH):
            lengths = {name: segment.bytes for name, segment in self.sealed().segments.items()}
            for name in self.plain_segments():
                lengths.setdefault(name, whole_lines_end(self.root / name))
        return dict(sorted(lengths.items()))

    def plain_segments(self) -> list[str]:
        """The names of the segments that are not sealed, in order. Call it under a lock."""
        folders: dict[Path, int] = {}
        found = []
        for path in sorted(self.root.glob("????-??-??/??????.log")):
            if path.parent not in folders:
                folders[path.parent] = sealed_up_to(path.parent)
            if int(path.stem) > folders[path.parent] or f"{path.parent.name}/{path.name}" not in (
                self.sealed().segments
            ):
                found.append(f"{path.parent.name}/{path.name}")
        return found

    @contextlib.contextmanager
    def locked_for_writing(self) -> Iterator[None]:
        """Keep every append and every reader's look at the lengths out for a moment."""
        with self._locked(fcntl.LOCK_EX):
            yield

    @contextlib.contextmanager
    def only_sealer(self) -> Iterator[bool]:
        """Whether nobody else seals, packs or clears this log meanwhile."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".sealing").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def open_segment(self, name: str) -> io.BufferedReader:
        """A segment to read and seek in, sealed or not."""
        for is_last_try in (False, True):
            manifest = self.sealed()
            sealed = manifest.segments.get(name)
            try:
                if sealed is not None:
                    return open_sealed(self.root, manifest, sealed)
                return (self.root / name).open("rb")
            except (FileNotFoundError, EventLogDamagedError) as error:
                # It may have been sealed, or packed anew, since we looked: look once more.
                if is_last_try and isinstance(error, EventLogDamagedError):
                    raise
        raise EventLogDamagedError(
            f"Segment {name} is neither in {self.root} nor in its manifest; restore it from its copy."
        )

    def sealed(self) -> Manifest:
        """The manifest as it is now; read again only when it was replaced."""
        try:
            found = (self.root / MANIFEST).stat()
            state = (found.st_ino, found.st_mtime_ns, found.st_size)
        except FileNotFoundError:
            return Manifest()
        if self._known is None or self._known[0] != state:
            self._known = (state, read_manifest(self.root))
        return self._known[1]

    def unread(
        self, read_to: Mapping[str, int], *, max_bytes: int = BATCH_BYTES, max_lines: int = BATCH_LINES
    ) -> Iterator[Batch]:
        """What stands in the log beyond `read_to` (segment name to end byte), in bounded batches.

        Only what was durable when the call began is given. A line longer than `max_bytes` comes alone.
        """
        parts: list[Slice] = []
        room, lines_left = max_bytes, max_lines
        for segment, end in self.segments().items():
            start = read_to.get(segment, 0)
            if start > end:
                raise EventLogDamagedError(
                    f"Segment {segment} ends at byte {end} but was read up to byte {start} before; "
                    "restore the segment from its copy, do not edit segments."
                )
            if start == end:
                continue
            with self.open_segment(segment) as file:
                self._check_boundary(segment, file, start)
                line = 1 + count_lines(file, start)
                while start < end:
                    size, lines = measure_lines(file, start, end, room, lines_left, at_least_one=not parts)
                    if size:
                        parts.append(Slice(segment, line, line + lines - 1, start, start + size))
                        start += size
                        line += lines
                        room -= size
                        lines_left -= lines
                    if not size or room <= 0 or lines_left <= 0:
                        yield Batch(tuple(parts))
                        parts, room, lines_left = [], max_bytes, max_lines
        if parts:
            yield Batch(tuple(parts))

    @staticmethod
    def _check_boundary(segment: str, file: io.BufferedReader, start: int) -> None:
        file.seek(max(0, start - 1))
        if start and file.read(1) != b"\n":
            raise EventLogDamagedError(
                f"Segment {segment} was read up to byte {start} before, and no line ends there now; "
                "restore the segment from its copy, do not edit segments."
            )

    def read(self, part: Slice) -> bytes:
        """The bytes of a slice: whole lines, the last line feed included."""
        with self.open_segment(part.segment) as file:
            file.seek(part.start_byte)
            return file.read(part.end_byte - part.start_byte)

    def import_archive(
        self, path: Path, source: str, *, now: datetime, received_at: datetime | None = None
    ) -> ImportResult:
        """Append an archive of JSON lines in Segment's form, each message at its own receivedAt.

        The same content is imported once (by sha256). Killed on the way, the next call goes on after the
        last durable chunk; at most one chunk is then in the log twice, which validation counts as duplicates.
        A receivedAt that cannot be read, or lies more than a day after `now`, is unusable: its line takes the
        time of the line before it, and at the start `received_at`.
        """
        check_source(source)
        digest = _sha256(path)
        entry = _read_imports(self.root / "imports.json").get(digest)
        if entry and entry.complete:
            return ImportResult(digest, 0, 0, already_imported=True)
        start = entry.read_to if entry else 0
        given = format_time(received_at) if received_at else None
        latest = format_time(now + MAX_AHEAD)
        time = entry.last_time if entry else given
        count, at = 0, start
        with path.open("rb") as file:
            file.seek(start)
            records = _archived_records(file, source, time, latest, path)
            while chunk := list(itertools.islice(records, _IMPORT_LINES)):
                self.append_lines(DayLines(record.time[:10], record.line) for record in chunk)
                count += len(chunk)
                at += sum(record.bytes_read for record in chunk)
                self._note_import(digest, _Import(path.name, source, at, chunk[-1].time, complete=False))
        self._note_import(digest, _Import(path.name, source, at, time, complete=True))
        return ImportResult(digest, count, at - start, already_imported=False)

    def _note_import(self, digest: str, entry: "_Import") -> None:
        with self._locked(fcntl.LOCK_EX):
            manifest = self.root / "imports.json"
            _write_imports(manifest, {**_read_imports(manifest), digest: entry})

    @contextlib.contextmanager
    def _locked(self, kind: int) -> Iterator[None]:
        # the lock goes with the last descriptor of it
        lock = self._open_lock()
        try:
            fcntl.flock(lock, kind)
            yield
        finally:
            os.close(lock)

    def _open_lock(self) -> int:
        try:
            return os.open(self._lock_file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:
            self.root.mkdir(parents=True, exist_ok=True)
            return os.open(self._lock_file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class _Import:
    """How far an archive has been imported, and the time that a next line without one would take."""

    archive: str
    source: str
    read_to: int
    last_time: str | None
    complete: bool


def _read_imports(path: Path) -> dict[str, _Import]:
    if not path.exists():
        return {}
    return {digest: _Import(**entry) for digest, entry in orjson.loads(path.read_bytes()).items()}


def _write_imports(path: Path, imports: dict[str, _Import]) -> None:
    """Replace the file in one step, so that a reader sees the old or the new one."""
    draft = path.with_suffix(".new")
    with draft.open("wb") as file:
        file.write(orjson.dumps(imports, option=orjson.OPT_INDENT_2))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


class _Archived(NamedTuple):
    """A line of an archive as a line of the log."""

    time: str
    line: bytes
    bytes_read: int


def _archived_time(raw: bytes, latest: str) -> str | None:
    """The receivedAt of one archived message as a record has it; nothing where it is absent or unusable."""
    try:
        given = orjson.loads(raw)["receivedAt"]
        moment = datetime.fromisoformat(given)
        if not AS_WRITTEN.fullmatch(given):
            given = format_time(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
        return str(given) if given <= latest else None
    except (ValueError, KeyError, TypeError, OverflowError):
        return None


def _archived_records(
    file: BinaryIO, source: str, time: str | None, latest: str, path: Path
) -> Iterator[_Archived]:
    """The rest of an archive as lines of the log; one without a usable time takes the time before it."""
    waiting: list[bytes] = []
    for read in file:
        raw = read.removesuffix(b"\n")
        time = _archived_time(raw, latest) or time
        if time is None:
            waiting.append(raw)
            if len(waiting) > _WAITING_LINES:
                break
            continue
        for early in waiting:
            yield _Archived(time, b"%b%b\n" % (record_head(time, source), early), len(early) + 1)
        waiting.clear()
        yield _Archived(time, b"%b%b\n" % (record_head(time, source), raw), len(read))
    if waiting:
        raise RejectedInputError(
            f"Archive {path.name} begins with {len(waiting)} lines without a usable receivedAt; "
            "say when they were received (--received-at)."
        )
