"""The published ids outside of the warehouse: what was ever told about who is who, so no rebuild renames.

Two tables of the warehouse are state: which canonical_id each identifier was given, build by build, and what
changed. Most of it would come out the same from the event log, but not all: an id may hang on evidence that
was erased since, or on the moment at which a file was first loaded. So each build's rows are also kept as a
Parquet file, named by the builds in it, and a warehouse that lacks them is given them back before anything
is built.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import duckdb

from ingestion.segments import sync_folder
from ingestion.warehouse import quoted
from orchestration.errors import FatalOrchestrationError

STATE_TABLES = ("intermediate.int_identity_assignments", "marts.identity_changes")
MOST_FILES = 100


@dataclass(frozen=True, order=True)
class KeptBuilds:
    """One file: the rows of the builds `first` to `last`."""

    first: int
    last: int
    path: Path

    def holds(self, other: "KeptBuilds") -> bool:
        """Whether every build of another file is in this one: the other was merged into it."""
        return self != other and self.first <= other.first and other.last <= self.last


def keep_published_ids(connection: duckdb.DuckDBPyConnection, folder: Path) -> int:
    """Write what was published since the last call; returns how many rows that was."""
    return sum(_keep(connection, table, _folder(folder, table)) for table in STATE_TABLES)


def restore_published_ids(connection: duckdb.DuckDBPyConnection, folder: Path) -> int:
    """Give the warehouse back what it lacks of what was published; returns how many rows that was.

    Raises FatalOrchestrationError, with nothing changed, when a kept file can not be read.
    """
    connection.execute("begin")
    try:
        restored = sum(
            _restore(connection, table, folder / table.partition(".")[2]) for table in STATE_TABLES
        )
    except FatalOrchestrationError:
        connection.execute("rollback")
        raise
    except duckdb.Error as error:
        connection.execute("rollback")
        raise FatalOrchestrationError(
            f"What was published about who is who can not be read from {folder} "
            f"({str(error).splitlines()[0]}); nothing was changed. Put the folder back from a backup. "
            "Without it (move it away) ids are named anew from the events: most come out the same, those "
            "that hang on erased evidence do not."
        ) from error
    connection.execute("commit")
    return restored


def _keep(connection: duckdb.DuckDBPyConnection, table: str, folder: Path) -> int:
    if not _exists(connection, table):
        return 0
    kept = kept_builds(folder)
    last_kept = kept[-1].last if kept else 0
    count, first, last = _row(
        connection,
        f"select count(*), min(build_number), max(build_number) from {table} "
        f"where build_number > {last_kept}",
    )
    if count:
        folder.mkdir(parents=True, exist_ok=True)
        _write(connection, f"select * from {table} where build_number > {last_kept}", folder, first, last)
        _merge_many(connection, folder)
    return int(count)


def _restore(connection: duckdb.DuckDBPyConnection, table: str, folder: Path) -> int:
    kept = kept_builds(folder)
    if not kept:
        return 0
    source = f"read_parquet([{', '.join(quoted(each.path) for each in kept)}])"
    if not _exists(connection, table):
        connection.execute(f"create schema if not exists {table.partition('.')[0]}")
        connection.execute(f"create table {table} as select * from {source} limit 0")
    (last_here,) = _row(connection, f"select coalesce(max(build_number), 0) from {table}")
    if kept[-1].last <= last_here:
        return 0
    (count,) = _row(
        connection, f"insert into {table} by name select * from {source} where build_number > {last_here}"
    )
    return int(count)


def kept_builds(folder: Path) -> list[KeptBuilds]:
    """The files of one table, in order of their builds, without those that were merged into another."""
    found = sorted(_parsed(path) for path in folder.glob("*.parquet"))
    return [each for each in found if not any(other.holds(each) for other in found)]


def _merge_many(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Make one file of all but the first and largest when they have become many."""
    kept = kept_builds(folder)
    for path in {each.path for each in map(_parsed, folder.glob("*.parquet"))} - {each.path for each in kept}:
        path.unlink()  # merged before, by a process that did not come to remove them
    if len(kept) <= MOST_FILES:
        return
    many = kept[1:]
    sources = ", ".join(quoted(each.path) for each in many)
    _write(connection, f"select * from read_parquet([{sources}])", folder, many[0].first, many[-1].last)
    for each in many:
        each.path.unlink()


def _write(connection: duckdb.DuckDBPyConnection, query: str, folder: Path, first: int, last: int) -> None:
    """One file, there as a whole or not at all."""
    path = folder / f"{first:010d}-{last:010d}.parquet"
    temporary = folder / f".{path.name}.{os.getpid()}"
    try:
        connection.execute(
            f"copy ({query} order by build_number) to {quoted(temporary)} (format parquet, compression zstd)"
        )
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(folder)


def _parsed(path: Path) -> KeptBuilds:
    first, dash, last = path.stem.partition("-")
    if not (dash and first.isdigit() and last.isdigit()):
        raise FatalOrchestrationError(
            f"{path} is not named by the builds in it, as 0000000001-0000000007.parquet is; nothing was "
            "changed. Move it away if it is not one of these files, or give it its name back."
        )
    return KeptBuilds(int(first), int(last), path)


def _folder(folder: Path, table: str) -> Path:
    return folder / table.partition(".")[2]


def _exists(connection: duckdb.DuckDBPyConnection, table: str) -> bool:
    schema, _, name = table.partition(".")
    (count,) = _row(
        connection,
        "select count(*) from information_schema.tables "
        f"where table_schema = '{schema}' and table_name = '{name}' and table_type = 'BASE TABLE'",
    )
    return bool(count)


def _row(connection: duckdb.DuckDBPyConnection, statement: str) -> tuple[int, ...]:
    """The one row that an aggregate, or a statement that tells a count, answers."""
    return tuple(connection.execute(statement).fetchall()[0])
