"""One member of an extract as columns: bounded, transcoded, its header checked, every value as text."""

import codecs
import csv
import hashlib
import io
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
from typing_extensions import Buffer

from ingestion.errors import RejectedInputError
from ingestion.raw_tables import TEXT, WHOLE
from ingestion.sources.sfmc_files import FileKind

_CHUNK_BYTES = 1024 * 1024
_CHUNK_ROWS = 50_000
_RATIO_FREE_BYTES = 16 * 1024 * 1024
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class MemberError(RejectedInputError):
    """A file of an extract that is quarantined whole, with the code of the reason."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True)
class Limits:
    """How large a member may become when it is unpacked. The ratio counts from 16 MiB on."""

    member_bytes: int = 2 * 1024**3
    ratio: int = 100


def member_sha256(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limits: Limits) -> str:
    """The hash of the unpacked content, within the limits."""
    digest = hashlib.sha256()
    with _opened(archive, member, limits) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def read_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, kind: FileKind, path: Path, limits: Limits
) -> int:
    """Write the rows of a member to a Parquet file, every value as text, empty as null; returns how many.

    Raises MemberError for an encoding, a header or a CSV syntax that is not the kind's. `line` is the
    number of the line in the file on which the row ends; the header is line 1.
    """
    with _opened(archive, member, limits) as file:
        encoding = _encoding(file.peek(4)[:4])
        reader = csv.reader(io.TextIOWrapper(file, encoding, newline=""), strict=True)
        try:
            header = tuple(next(reader, ()))
            if not kind.accepts(header):
                raise MemberError("UNKNOWN_HEADER", _header_reason(kind, header))
            return _write_rows(reader, kind, header, path)
        except csv.Error as error:
            raise MemberError(
                "BAD_CSV", f"{kind.member} is not CSV at line {reader.line_num}: {error}."
            ) from error
        except UnicodeError as error:
            raise MemberError(
                "BAD_ENCODING", f"{kind.member} is not {encoding} after line {reader.line_num}."
            ) from error


def _write_rows(reader: Any, kind: FileKind, header: tuple[str, ...], path: Path) -> int:
    places = kind.places(header)
    schema = pa.schema([*((name, TEXT) for name in places), ("line", WHOLE)])
    rows: list[list[str]] = []
    lines: list[int] = []
    written = 0
    with pq.ParquetWriter(path, schema) as writer:
        for row in reader:
            if len(row) != len(header):
                raise MemberError(
                    "BAD_CSV",
                    f"{kind.member} has {len(row)} values at line {reader.line_num}, not {len(header)}.",
                )
            rows.append(row)
            lines.append(reader.line_num)
            if len(rows) == _CHUNK_ROWS:
                written += _write_chunk(writer, schema, places, rows, lines)
        written += _write_chunk(writer, schema, places, rows, lines)
    return written


def _write_chunk(
    writer: pq.ParquetWriter,
    schema: pa.Schema,
    places: Mapping[str, int | None],
    rows: list[list[str]],
    lines: list[int],
) -> int:
    count = len(rows)
    if count:
        by_place = list(zip(*rows, strict=True))
        columns = [
            pa.nulls(count, TEXT)
            if place is None
            else pa.array([value or None for value in by_place[place]], TEXT)
            for place in places.values()
        ]
        writer.write_table(pa.table([*columns, pa.array(lines, WHOLE)], schema=schema))
        rows.clear()
        lines.clear()
    return count


def _header_reason(kind: FileKind, header: tuple[str, ...]) -> str:
    if kind.traits and header[: len(kind.columns)] == kind.columns:
        return _account_header_reason(kind, header[len(kind.columns) :])
    missing = [column for column in kind.columns if column not in header]
    unknown = sum(column not in kind.all_columns for column in header)
    if missing or unknown:
        found = f"it lacks {', '.join(missing) or 'none'} and has {unknown} unknown columns"
    else:
        found = "its columns stand in another order"
    return (
        f"The header of {kind.member} is not the known one: {found}. "
        "Compare the extract's settings with the contract of the file."
    )


def _account_header_reason(kind: FileKind, columns: tuple[str, ...]) -> str:
    """What is wrong with the account's columns; behind known leading ones they are names, no values."""
    declared = [column for column, _ in kind.account_columns]
    problems = {
        "has {} that nobody declared": [column for column in columns if column not in declared],
        "lacks {}": [column for column in declared if column not in columns],
        "has {} twice": [column for column, count in Counter(columns).items() if count > 1],
    }
    found = " and ".join(
        text.format(", ".join(map(repr, named))) for text, named in problems.items() if named
    )
    return (
        f"The header of {kind.member} {found}. Say in ingestion/sources/sfmc_attributes.yml what each "
        f"column of the account is: one of {', '.join(kind.traits)}, or not_read; then load the file again."
    )


class _Bounded(io.RawIOBase):
    """The unpacked bytes of a member, counted against the limits as they come, not as the zip says."""

    def __init__(self, file: IO[bytes], member: zipfile.ZipInfo, limits: Limits) -> None:
        self._file = file
        self._name = member.filename
        self._most = min(
            limits.member_bytes, max(_RATIO_FREE_BYTES, limits.ratio * max(member.compress_size, 1))
        )
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer)
        data = self._file.read(len(view))
        view[: len(data)] = data
        self._read += len(data)
        if self._read > self._most:
            raise MemberError(
                "TOO_LARGE", f"{self._name} unpacks to more than {self._most} bytes; it was not read further."
            )
        return len(data)


@contextmanager
def _opened(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limits: Limits) -> Iterator[io.BufferedReader]:
    """The unpacked content; damage in the archive becomes a MemberError."""
    try:
        with archive.open(member) as file:
            yield io.BufferedReader(_Bounded(file, member, limits), _CHUNK_BYTES)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise MemberError(
            "CORRUPT_ARCHIVE", f"{member.filename} cannot be unpacked ({error}); fetch the archive again."
        ) from error


def _encoding(start: bytes) -> str:
    """UTF-8 or UTF-16 by the mark at the start; without one, a zero second byte means UTF-16LE."""
    for mark, encoding in _MARKS:
        if start.startswith(mark):
            return encoding
    return "utf-16-le" if start[1:2] == b"\0" else "utf-8"
