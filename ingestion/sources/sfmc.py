"""The tracking extract of Salesforce Marketing Cloud: a zip of CSV files into raw.legacy_sfmc__*.

A file is loaded whole or quarantined whole in raw.legacy_files, whose accepted row is written last and is
the commit. Rows that an earlier, overlapping extract brought are not loaded again.
"""

import hashlib
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from ingestion.identifiers import IdentifierKey, identifier_rows, refuse_other_key
from ingestion.raw_tables import IDENTIFIERS, LEGACY_FILES
from ingestion.sources.sfmc_attributes import AttributeColumns, kinds_with, load_attribute_columns
from ingestion.sources.sfmc_csv import Limits, MemberError, member_sha256, read_member
from ingestion.sources.sfmc_files import KINDS, SYSTEM, FileKind
from ingestion.times import naive_utc
from ingestion.warehouse import MEMORY_LIMIT, RawWarehouse, quoted

MAX_ENTRIES = 100
_SQL_FOLDER = Path(__file__).parent.parent / "sql"
_NEW_ROWS = (_SQL_FOLDER / "new_sfmc_rows.sql").read_text(encoding="utf-8")
_NEW_IDENTIFIERS = (_SQL_FOLDER / "new_sfmc_identifiers.sql").read_text(encoding="utf-8")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class LegacyFile:
    """What became of one file of an archive. `new_rows` is what it added to the warehouse."""

    member_name: str | None
    kind: str | None
    status: str
    code: str | None = None
    reason: str | None = None
    file_sha256: str | None = None
    row_count: int = 0
    new_rows: int = 0
    already_loaded: bool = False
    new_rows_file: Path | None = field(default=None, repr=False)


@dataclass(frozen=True)
class LegacyLoadReport:
    """What became of every file of an archive, and of those that should be in it and are not."""

    archive_name: str
    files: tuple[LegacyFile, ...]

    @property
    def new_rows(self) -> int:
        """How many rows the archive added."""
        return sum(file.new_rows for file in self.files)

    @property
    def quarantined(self) -> tuple[LegacyFile, ...]:
        """The files that were not loaded, each with its reason."""
        return tuple(file for file in self.files if file.status == "quarantined")


def load_extract(
    archive: Path,
    *,
    warehouse: Path,
    work_folder: Path,
    key: IdentifierKey,
    clock: Callable[[], datetime],
    limits: Limits | None = None,
    attributes: AttributeColumns | None = None,
    memory_limit: str = MEMORY_LIMIT,
) -> LegacyLoadReport:
    """Load every known file of one extract; what cannot be loaded is in raw.legacy_files with its reason.

    `attributes` are the account's own columns, by default those of sfmc_attributes.yml. Loading the same
    content again adds nothing. Never raises for what the archive holds, or when it is missing.
    """
    kinds = kinds_with(load_attribute_columns() if attributes is None else attributes)
    with RawWarehouse(warehouse, work_folder, memory_limit=memory_limit) as raw:
        refuse_other_key(raw, key)
        heal(raw)
        load = _Load(raw, archive, key, naive_utc(clock()), limits or Limits(), kinds)
        files = _read_members(load)
        _commit(load, files)
        report = LegacyLoadReport(archive.name, tuple(files))
    for file in report.files:
        _log.info(
            "legacy_file.loaded" if file.status == "accepted" else "legacy_file.quarantined",
            system=SYSTEM,
            kind=file.kind,
            code=file.code,
            rows=file.row_count,
            new_rows=file.new_rows,
        )
    return report


def heal(raw: RawWarehouse) -> int:
    """Remove the rows of files that a killed load left without their accepted row; returns how many."""
    accepted = "(select file_sha256 from raw.legacy_files where status = 'accepted')"
    removed = sum(
        raw.count(f"delete from raw.{kind.table} where file_sha256 not in {accepted}") for kind in KINDS
    )
    removed += raw.count(
        "delete from raw.identifiers where batch_id not in (select batch_id from raw.event_batches) "
        f"and batch_id not in {accepted}"
    )
    if removed:
        _log.warning("legacy_files.healed", removed_rows=removed)
    return removed


@dataclass(frozen=True)
class _Load:
    """What every file of one archive is loaded with."""

    raw: RawWarehouse
    archive: Path
    key: IdentifierKey
    now: datetime
    limits: Limits
    kinds: tuple[FileKind, ...]


def _read_members(load: _Load) -> list[LegacyFile]:
    name = load.archive.name
    try:
        with zipfile.ZipFile(load.archive) as opened:
            members = opened.infolist()
            if len(members) > MAX_ENTRIES:
                raise MemberError(
                    "TOO_MANY_ENTRIES",
                    f"{name} has {len(members)} entries, at most {MAX_ENTRIES} are read; split the extract.",
                )
            repeated = Counter(member.filename.casefold() for member in members)
            files = [
                _read_member(load, opened, member, is_repeated=repeated[member.filename.casefold()] > 1)
                for member in members
            ]
    except FileNotFoundError:
        return [_archive_failure(None, "MISSING_ARCHIVE", f"{name} does not exist; check the drop folder.")]
    except MemberError as error:
        return [_archive_failure(_file_sha256(load.archive), error.code, error.reason)]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        reason = f"{name} is not a whole zip archive ({error}); fetch it again."
        return [_archive_failure(_file_sha256(load.archive), "CORRUPT_ARCHIVE", reason)]
    present = {file.member_name for file in files}
    missing = [
        LegacyFile(
            kind.member,
            kind.name,
            "quarantined",
            "MISSING_MEMBER",
            f"{name} has no {kind.member}; tick it in the extract, or check that it was written.",
        )
        for kind in load.kinds
        if kind.member not in present and not kind.is_optional
    ]
    return files + missing


def _read_member(
    load: _Load, opened: zipfile.ZipFile, member: zipfile.ZipInfo, *, is_repeated: bool
) -> LegacyFile:
    kind = next((kind for kind in load.kinds if kind.member == member.filename), None)
    digest = None
    try:
        if is_repeated:
            raise MemberError(
                "REPEATED_MEMBER", "The archive has this name more than once; none of them was read."
            )
        if kind is None:
            raise MemberError(
                "UNKNOWN_MEMBER", "The name is not one of a tracking extract; the entry was not opened."
            )
        if member.flag_bits & 1:
            raise MemberError(
                "ENCRYPTED_MEMBER", f"{kind.member} is encrypted; export it without a password."
            )
        digest = member_sha256(opened, member, load.limits)
        known = load.raw.connection.execute(
            "select row_count from raw.legacy_files "
            "where status = 'accepted' and file_sha256 = ? and kind = ?",
            [digest, kind.name],
        ).fetchone()
        if known:
            return LegacyFile(
                kind.member,
                kind.name,
                "accepted",
                file_sha256=digest,
                row_count=known[0],
                already_loaded=True,
            )
        return _prepare_rows(load, opened, member, kind, digest)
    except MemberError as error:
        return LegacyFile(
            member.filename,
            kind.name if kind else None,
            "quarantined",
            error.code,
            error.reason,
            file_sha256=digest,
        )


def _prepare_rows(
    load: _Load, opened: zipfile.ZipFile, member: zipfile.ZipInfo, kind: FileKind, digest: str
) -> LegacyFile:
    """Read a file whole and write those of its rows that are new to a Parquet file that is loaded later."""
    raw = load.raw
    incoming, fresh = raw.new_file(f"{kind.table}.incoming"), raw.new_file(kind.table)
    count = read_member(opened, member, kind, incoming, load.limits)
    statement = _NEW_ROWS.replace("{key}", ", ".join(kind.raw_key)).replace("{table}", kind.table)
    raw.connection.execute(f"create or replace temp view incoming as from read_parquet({quoted(incoming)})")
    raw.connection.execute(
        f"copy ({statement}) to {quoted(fresh)} (format parquet)",
        {"system": SYSTEM, "kind": kind.name, "file_sha256": digest},
    )
    raw.connection.execute("drop view incoming")
    incoming.unlink()
    return LegacyFile(
        kind.member,
        kind.name,
        "accepted",
        file_sha256=digest,
        row_count=count,
        new_rows=pq.read_metadata(fresh).num_rows,
        new_rows_file=fresh,
    )


def _commit(load: _Load, files: list[LegacyFile]) -> None:
    """Load the new rows of every accepted file, then write what became of each file: that is the commit."""
    kinds = {kind.name: kind for kind in load.kinds}
    fresh = {
        kinds[file.kind]: file.new_rows_file for file in files if file.kind and file.new_rows_file is not None
    }
    if fresh:
        loads: dict[str, pa.Table | Path] = {kind.table: path for kind, path in fresh.items()}
        loads["identifiers"] = _new_identifiers(
            load, [path for kind, path in fresh.items() if "SubscriberKey" in kind.columns]
        )
        load.raw.load(loads)
    rows = [_file_row(load, file) for file in files if not _is_noted(load, file)]
    if rows:
        load.raw.load({"legacy_files": pa.Table.from_pylist(rows, schema=LEGACY_FILES)})


def _new_identifiers(load: _Load, files: list[Path]) -> pa.Table:
    if not files:
        return IDENTIFIERS.empty_table()
    listed = ", ".join(quoted(file) for file in files)
    found = load.raw.connection.execute(_NEW_IDENTIFIERS.replace("{files}", listed), {"seen_at": load.now})
    return identifier_rows(found.to_arrow_table(), load.key)


def _archive_failure(digest: str | None, code: str, reason: str) -> LegacyFile:
    return LegacyFile(None, None, "quarantined", code, reason, file_sha256=digest)


def _file_row(load: _Load, file: LegacyFile) -> dict[str, object]:
    return {
        "system": SYSTEM,
        "file_sha256": file.file_sha256,
        "archive_name": load.archive.name,
        "member_name": file.member_name,
        "kind": file.kind,
        "row_count": file.row_count,
        "status": file.status,
        "code": file.code,
        "reason": file.reason,
        "loaded_at": load.now,
    }


def _is_noted(load: _Load, file: LegacyFile) -> bool:
    if file.already_loaded:
        return True
    return bool(
        load.raw.count(
            "select count(*) from raw.legacy_files where archive_name = $archive "
            "and member_name is not distinct from $member and code is not distinct from $code "
            "and file_sha256 is not distinct from $digest and status = $status",
            {
                "archive": load.archive.name,
                "member": file.member_name,
                "code": file.code,
                "digest": file.file_sha256,
                "status": file.status,
            },
        )
    )


def _file_sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
