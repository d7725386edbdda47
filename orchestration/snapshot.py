"""The published copy of the warehouse: written whole by a writer, opened by any number of readers.

DuckDB lets one process in; so people and tools read a copy that is replaced in one rename. A reader
that has the former copy open keeps reading it undisturbed.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from ingestion.segments import sync_folder
from orchestration.errors import SnapshotMissingError
from orchestration.warehouse import Warehouse, explained_errors


@dataclass(frozen=True)
class PublishedSnapshot:
    """What was published: where, and its size in bytes."""

    path: Path
    byte_count: int


def publish_snapshot(warehouse: Warehouse, target: Path) -> PublishedSnapshot:
    """Copy the checkpointed warehouse beside `target`, then replace `target` in one step.

    Callers hold the warehouse lock. A crash at any instant leaves the former snapshot in place.
    """
    with warehouse.connect() as connection:
        connection.execute("checkpoint")
    target.parent.mkdir(parents=True, exist_ok=True)
    for leftover in target.parent.glob(f".{target.name}.*"):
        leftover.unlink()
    temporary = target.parent / f".{target.name}.{os.getpid()}"
    try:
        with warehouse.path.open("rb") as source, temporary.open("wb") as copy:
            shutil.copyfileobj(source, copy, length=8 * 1024 * 1024)
            copy.flush()
            os.fsync(copy.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(target.parent)
    return PublishedSnapshot(target, target.stat().st_size)


@contextmanager
def read_snapshot(path: Path, *, memory_limit: str, threads: int) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that can read the snapshot and nothing else: no writes, no files, no extensions."""
    if not path.exists():
        raise SnapshotMissingError(
            f"There is no snapshot at {path} yet: no run has finished. Start one with `cdp run`."
        )
    with explained_errors(path):
        connection = duckdb.connect(
            str(path),
            read_only=True,
            config={
                "memory_limit": memory_limit,
                "threads": threads,
                "enable_external_access": "false",
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
            },
        )
    try:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute("set lock_configuration = true")
        with explained_errors(path):
            yield connection
    finally:
        connection.close()
