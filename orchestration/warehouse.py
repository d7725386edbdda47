"""Opening the warehouse file for writing, and saying clearly what is wrong when it cannot be."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from orchestration.errors import FatalOrchestrationError, WarehouseBusyError, WarehouseCorruptError

OPEN_WAIT_SECONDS = 15.0
POLL_SECONDS = 0.2

_LOCKED = ("Could not set lock", "Conflicting lock")
_CORRUPT = (
    "not a valid DuckDB database file",
    "Could not read enough bytes",
    "Corrupt database file",
    "Failed to deserialize",
    "Serialization Error",
    "database has been invalidated",
    "Is a directory",
    "Failure while replaying WAL",
)
_NEWER = "Trying to read a database file with version number"


@dataclass(frozen=True)
class Warehouse:
    """The DuckDB file of this deployment. A connection is asked for, used and closed in one step.

    `memory_limit` is DuckDB's own notation, e.g. `2GB`. Callers hold the warehouse lock.
    """

    path: Path
    memory_limit: str
    threads: int

    @contextmanager
    def connect(self, *, wait_seconds: float = OPEN_WAIT_SECONDS) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open for writing; close at the end of the block, whatever happens in it.

        The lock says that no writer of ours is alive, yet a killed run's dbt may take a moment to
        notice; so DuckDB's own lock is waited for, up to `wait_seconds`. Raises WarehouseBusyError
        when it stays locked, WarehouseCorruptError when the file is not a readable database.
        """
        connection = self._open(wait_seconds)
        try:
            connection.execute("set TimeZone = 'UTC'")
            with explained_errors(self.path):
                yield connection
        finally:
            connection.close()

    def _open(self, wait_seconds: float) -> duckdb.DuckDBPyConnection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                with explained_errors(self.path):
                    return duckdb.connect(
                        str(self.path), config={"memory_limit": self.memory_limit, "threads": self.threads}
                    )
            except WarehouseBusyError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(POLL_SECONDS)


@contextmanager
def explained_errors(path: Path) -> Iterator[None]:
    """Turn what DuckDB says about the file at `path` into what a person can act on."""
    try:
        yield
    except duckdb.Error as error:
        text = str(error)
        if any(mark in text for mark in _LOCKED):
            raise WarehouseBusyError(
                f"{path} is open in another program, so it cannot be opened here "
                f"({_first_line(text)}). Close that program, or read with `cdp sql`, which needs no lock."
            ) from error
        if _NEWER in text:
            raise FatalOrchestrationError(
                f"{path} was written by another version of DuckDB than {duckdb.__version__}, which cannot "
                f"read it ({_first_line(text)}). Install the locked version with `make install`."
            ) from error
        if any(mark in text for mark in _CORRUPT):
            raise WarehouseCorruptError(corruption_advice(path, _first_line(text))) from error
        raise


def corruption_advice(path: Path, reason: str) -> str:
    """What is lost (nothing) and the exact command that rebuilds the warehouse."""
    return (
        f"The warehouse file {path} is damaged ({reason}). Nothing is lost: the event log, the extracts and "
        f"the ledger hold the truth and the warehouse is rebuilt from them. Move it aside and run again: "
        f"mv {path} {path}.damaged; rm -f {path}.wal; cdp run"
    )


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0][:300]
