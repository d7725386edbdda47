"""Writes what would be uploaded: one immutable file per batch, and `current`, the membership that results.

Values are written raw, by contract: these files are the upload. CSV is RFC 4180 (comma, CRLF, doubled
quotes); it cannot tell null from an empty text, JSON lines can.
"""

import asyncio
import csv
import errno
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from io import StringIO
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Literal, Self, cast

import orjson
from pydantic import Field

from activation.adapters.base import (
    DELIVERED,
    Adapter,
    AdapterConfig,
    Batch,
    Capabilities,
    OperationKind,
    Outcome,
    OutcomeKind,
    Page,
    Surroundings,
    SyncOptions,
    Target,
    as_text,
)
from activation.errors import DestinationDownError

FOR_EVER = timedelta(days=36_500)
PAGE_ROWS = 5_000
STATE_FILE = ".current.json"  # which file is current, and the last batch in it

FOREIGN_FILE = Outcome(
    OutcomeKind.DEFERRED, "file_of_another_ledger", concerns_batch=True, stops_destination=True
)


class FileConfig(AdapterConfig):
    """Settings of a file destination; `folder` is a name of its own, by default the destination's."""

    folder: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    max_batch_rows: int = Field(default=50_000, gt=0, le=1_000_000)


class FileOptions(SyncOptions):
    """What a sync chooses."""

    format: Literal["csv", "jsonl"] = "csv"


class FileAdapter(Adapter):
    """Adapter of file destinations."""

    type_name: ClassVar[str] = "file"
    config_type: ClassVar[type[AdapterConfig]] = FileConfig
    options_type: ClassVar[type[SyncOptions]] = FileOptions

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listed: dict[str, sqlite3.Connection] = {}

    @classmethod
    def build(cls, config: AdapterConfig, surroundings: Surroundings) -> Self:
        """Make the adapter; folders are created with the first file."""
        return cls(surroundings.files_root / (cast(FileConfig, config).folder or surroundings.destination))

    @classmethod
    def capabilities(cls, config: AdapterConfig) -> Capabilities:
        """Idempotent for ever: a batch that was written once is found by its name."""
        return Capabilities(
            modes=frozenset({"mirror", "upsert", "insert", "list_add", "append"}),
            max_batch_rows=cast(FileConfig, config).max_batch_rows,
            max_batch_bytes=256 * 1024 * 1024,
            rates=(),
            idempotency_lifetime=FOR_EVER,
            can_read_back=False,
            read_back_settles=timedelta(0),
            can_list_members=True,
            concurrency=1,
        )

    async def deliver(self, batch: Batch) -> Sequence[Outcome]:
        """Write the batch's file, whole or not at all."""
        outcome = await asyncio.to_thread(self._write_batch, batch)
        return [outcome] * len(batch.operations)

    async def finish(self, target: Target) -> None:
        """Bring `current` to the last batch; messages have none, their batches are all there is."""
        if target.mode == "append":
            return
        try:
            await asyncio.to_thread(self._refresh_current, target)
        except OSError as error:
            raise DestinationDownError(
                f"The current members of sync {target.sync_name!r} could not be written below {self._root} "
                f"({error.strerror}); its batches are not lost. Mend the folder; the next run writes them."
            ) from error
        except sqlite3.Error as error:
            raise DestinationDownError(
                f"The current members of sync {target.sync_name!r} could not be written (a temporary file: "
                f"{error}); its batches are not lost. Free space there; the next run writes them."
            ) from error
        except _UnreadableFileError as error:
            raise DestinationDownError(
                f"The current members of sync {target.sync_name!r} could not be written, because {error}; "
                f"its batches are not lost. Bring the file back, or remove current.* and {STATE_FILE}: the "
                "next run makes them anew of the batches."
            ) from error

    async def list_members(self, target: Target, after: str | None) -> Page | Outcome:
        """The members after the last batch; they stay as they are from the first page to the last."""
        try:
            if after is None:
                self._stop_listing(target.sync_name)
                self._listed[target.sync_name] = await asyncio.to_thread(self._members, target)
            rows = (
                self._listed[target.sync_name]
                .execute(
                    "select * from members where destination_key > ? order by destination_key limit ?",
                    (after or "", PAGE_ROWS),
                )
                .fetchall()
            )
        except OSError as error:
            reason = errno.errorcode.get(error.errno or 0, "io_error").lower()
            return Outcome(OutcomeKind.UNKNOWN, f"file_{reason}", concerns_batch=True)
        except sqlite3.Error:
            return Outcome(OutcomeKind.UNKNOWN, "no_temporary_file", concerns_batch=True)
        except _UnreadableFileError as error:
            return Outcome(OutcomeKind.REJECTED, str(error), concerns_batch=True)
        is_text = _format(target) == "csv"
        if len(rows) == PAGE_ROWS:
            return Page(dict(rows), rows[-1][0], is_text)
        self._stop_listing(target.sync_name)
        return Page(dict(rows), is_text=is_text)

    def _stop_listing(self, sync_name: str) -> None:
        listed = self._listed.pop(sync_name, None)
        if listed is not None:
            listed.close()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let go of lists that were not read to their end."""
        for sync_name in list(self._listed):
            self._stop_listing(sync_name)

    def _write_batch(self, batch: Batch) -> Outcome:
        folder = self._root / batch.target.sync_name
        file = folder / f"{batch.run_number:06d}-{batch.batch_id:08d}.{_format(batch.target)}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lines = list(_batch_lines(batch))
            if file.exists():
                # Written by an attempt whose outcome was not recorded, or by another ledger.
                is_same = file.read_bytes() == b"".join(lines)
                return DELIVERED if is_same else FOREIGN_FILE
            _write_durably(file, lines)
        except OSError as error:
            reason = errno.errorcode.get(error.errno or 0, "io_error").lower()
            stops = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOSPC)
            return Outcome(
                OutcomeKind.DEFERRED, f"file_{reason}", concerns_batch=True, stops_destination=stops
            )
        return DELIVERED

    def _refresh_current(self, target: Target) -> None:
        folder = self._root / target.sync_name
        batches = _batch_files(folder)
        state = _read_state(folder)
        wanted = {"through": batches[-1].name if batches else "", "current": f"current.{_format(target)}"}
        if not batches or state == wanted:
            return
        members = self._members(target)
        try:
            _write_durably(folder / wanted["current"], _current_lines(target, members))
        finally:
            members.close()
        # A crash before this line is harmless: the same batches are replayed onto the same end state.
        _write_durably(folder / STATE_FILE, [orjson.dumps(wanted)])
        if state and state["current"] != wanted["current"]:
            (folder / state["current"]).unlink(missing_ok=True)

    def _members(self, target: Target) -> sqlite3.Connection:
        """`current` and the batches after it, in a temporary table on disk: memory stays flat."""
        folder = self._root / target.sync_name
        members = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        try:
            _fill(members, folder, target)
        except BaseException:
            members.close()
            raise
        return members


class _UnreadableFileError(Exception):
    """A file is not as it was written: somebody changed it, or its disk is broken."""


def _fill(members: sqlite3.Connection, folder: Path, target: Target) -> None:
    """Bring `current` and the batches after it into an empty table."""
    members.execute("create table members (destination_key text primary key, payload text) without rowid")
    members.execute("begin")
    state = _read_state(folder)
    if state:
        members.executemany(
            "insert into members values (?, ?)", _read_current(folder / state["current"], target)
        )
    for file in _batch_files(folder, after=state["through"] if state else ""):
        for do, destination_key, payload in _read_batch(file, target):
            if do == "send":
                continue
            if do == "remove":
                members.execute("delete from members where destination_key = ?", (destination_key,))
            else:
                members.execute(
                    "insert into members values (?, ?) on conflict do update set payload = excluded.payload",
                    (destination_key, payload),
                )
    members.execute("commit")


def _format(target: Target) -> str:
    return cast(FileOptions, target.options).format


def _batch_files(folder: Path, *, after: str = "") -> list[Path]:
    """Complete batch files in the order of their batches, from the one after that name on."""
    files = sorted(file for file in folder.glob("[0-9]*-[0-9]*.*") if file.suffix in (".csv", ".jsonl"))
    return [file for file in files if file.stem > Path(after).stem]


def _read_state(folder: Path) -> dict[str, str] | None:
    try:
        state = orjson.loads((folder / STATE_FILE).read_bytes())
        return {name: str(state[name]) for name in ("through", "current")}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise _UnreadableFileError(f"{STATE_FILE} is not as it was written") from error


def _batch_lines(batch: Batch) -> Iterator[bytes]:
    """The upload: what to do, the key, and the fields of one operation a line."""
    key_field, *others = batch.target.fields
    if batch.target.mode == "append":
        key_field, others = "occurrence_key", [*batch.target.fields]
    if _format(batch.target) == "jsonl":
        for operation in batch.operations:
            row: dict[str, object] = {"do": _do(operation.kind), "key": operation.destination_key}
            if operation.payload is not None:
                row["fields"] = orjson.Fragment(operation.payload)
            yield orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
        return
    yield _csv_line(["do", key_field, *others])
    for operation in batch.operations:
        fields = _exact_fields(operation.payload or "{}")
        yield _csv_line(
            [_do(operation.kind), operation.destination_key, *(as_text(fields.get(f)) for f in others)]
        )


def _current_lines(target: Target, members: sqlite3.Connection) -> Iterator[bytes]:
    """The membership, in order of key."""
    key_field, *others = target.fields
    is_csv = _format(target) == "csv"
    if is_csv:
        yield _csv_line([key_field, *others])
    for destination_key, payload in members.execute("select * from members order by destination_key"):
        if is_csv:
            fields = _exact_fields(payload)
            yield _csv_line([destination_key, *(as_text(fields.get(field)) for field in others)])
        else:
            row = {"key": destination_key, "fields": orjson.Fragment(payload)}
            yield orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def _read_batch(file: Path, target: Target) -> Iterator[tuple[str, str, str]]:
    """(what to do, key, payload text) of every line of a batch file."""
    for row in _read_rows(file, target):
        yield str(row["do"]), *_key_and_payload(row)


def _read_current(file: Path, target: Target) -> Iterator[tuple[str, str]]:
    for row in _read_rows(file, target):
        yield _key_and_payload(row)


def _key_and_payload(row: dict[str, object]) -> tuple[str, str]:
    return str(row["key"]), orjson.dumps(row["fields"], option=orjson.OPT_SORT_KEYS).decode()


def _read_rows(file: Path, target: Target) -> Iterator[dict[str, object]]:
    """Rows with what to do, key and fields, as JSON lines have them; a CSV's values stay texts."""
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            for row in map(orjson.loads, lines) if file.suffix == ".jsonl" else _csv_rows(lines, target):
                fields = row.get("fields", {})
                if not isinstance(row["key"], str) or not isinstance(fields, dict):
                    raise TypeError("a key and its fields were expected")
                yield {"do": row.get("do"), "key": row["key"], "fields": fields}
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise _UnreadableFileError(f"{file.name} is not as it was written") from error


def _csv_rows(lines: Iterable[str], target: Target) -> Iterator[dict[str, object]]:
    reader = csv.DictReader(lines)
    if not reader.fieldnames:
        raise ValueError("a header was expected")
    for row in reader:
        if None in row:
            raise ValueError("as many values as columns were expected")
        do = row.pop("do", None)
        yield {"do": do, "key": row[target.key_field], "fields": row}


def _do(kind: OperationKind) -> str:
    return kind.value if kind in (OperationKind.REMOVE, OperationKind.SEND) else "upsert"


def _exact_fields(payload: str) -> dict[str, object]:
    """The fields with every decimal as the text it is, so that 10.00 stays 10.00."""
    fields: dict[str, object] = json.loads(payload, parse_float=str)
    return fields


def _csv_line(values: list[str]) -> bytes:
    line = StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(values)
    return line.getvalue().encode()


def _write_durably(file: Path, lines: Iterable[bytes]) -> None:
    """Write a file that is seen whole or not at all, and survives a power cut once this returns."""
    partial = file.with_name(f".{file.name}.partial")
    try:
        with partial.open("wb") as target:
            target.writelines(lines)
            target.flush()
            os.fsync(target.fileno())
        partial.replace(file)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
