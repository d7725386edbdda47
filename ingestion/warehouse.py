"""The `raw` schema of the warehouse: one connection for a load, and dlt to write, tamed.

dlt gets Parquet files only, keeps its own files under one folder, reads no configuration of the machine and
sends nothing home. Its working folder is emptied first: what a killed run had prepared is made again.
"""

import itertools
import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import dlt
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from dlt.common.configuration.container import Container
from dlt.common.configuration.providers.dictionary import DictionaryProvider
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.common.runtime.run_context import RunContext
from dlt.pipeline.exceptions import PipelineStepFailed

from ingestion.errors import NO_ROOM, FatalIngestionError, TransientIngestionError
from ingestion.raw_tables import RAW_TABLES, dlt_columns

DATASET = "raw"
# DuckDB's notation; what does not fit spills to a folder beside the warehouse.
MEMORY_LIMIT = "2GB"
_SETTINGS = {
    "runtime": {"dlthub_telemetry": False, "log_level": "CRITICAL", "intercept_signals": False},
    "providers": {"enable_airflow_secrets": False},
    "extract": {"workers": 1},
    "normalize": {"workers": 1},
    "load": {"workers": 1, "delete_completed_jobs": True},
    "restore_from_destination": False,
    "enable_runtime_trace": False,
}


class RawWarehouse:
    """A connection to the warehouse file that can heal, ask, and load tables of `raw` through dlt.

    Use as a context manager; the file is free again afterwards. Every table of `raw` exists from the start.
    """

    def __init__(self, path: Path, work_folder: Path, *, memory_limit: str = MEMORY_LIMIT) -> None:
        self._path = path
        self._work = work_folder
        self._memory_limit = memory_limit
        self.files_folder = work_folder / "files"
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        """Empty the working folder, open the warehouse and make sure that every table of `raw` exists."""
        shutil.rmtree(self._work, ignore_errors=True)
        self.files_folder.mkdir(parents=True)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            stack.enter_context(_told_when_full(self._path))
            self.connection = stack.enter_context(_connect(self._path, self._memory_limit))
            # No table has an order that anybody may rely on; without one, DuckDB loads in parallel.
            self.connection.execute("set preserve_insertion_order = false")
            stack.enter_context(_run_context(self._work))
            self._pipeline = dlt.pipeline(
                DATASET,
                pipelines_dir=str(self._work / "dlt"),
                destination=dlt.destinations.duckdb(self.connection, naming_convention="direct"),
                dataset_name=DATASET,
            )
            self._create_missing_tables()
            # What deduplication compares with; a replay of a range sets both otherwise.
            self.connection.execute(
                "create temp view known_events as "
                "select *, rowid as row_id, false as is_reread from raw.events"
            )
            self.connection.execute(
                "create temp view reread_places as select segment, line from raw.events limit 0"
            )
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the warehouse file."""
        try:
            self._open.__exit__(kind, error, trace)
        finally:
            shutil.rmtree(self._work, ignore_errors=True)

    def load(self, tables: Mapping[str, pa.Table | Path]) -> None:
        """Append to tables of `raw` in one dlt load; a table may be given as a Parquet file of ours."""
        files = {name: self._as_file(name, table) for name, table in tables.items()}
        try:
            # dlt keeps exceptions that it caught, and with them every frame below: in a thread of its own
            # those are not the frames of our callers, whose tables would then stay in memory for good.
            with ThreadPoolExecutor(max_workers=1) as thread:
                thread.submit(self._pipeline.run, [_resource(*each) for each in files.items()]).result()
        except PipelineStepFailed as error:
            raise FatalIngestionError(
                f"Loading {', '.join(files)} into {self._path.name} failed: {_root_cause(error)}. "
                "Nothing of it counts as loaded; run again once the cause is gone."
            ) from error
        for path in files.values():
            path.unlink(missing_ok=True)

    def new_file(self, name: str) -> Path:
        """A path for a Parquet file that `load` will take and remove."""
        return self.files_folder / f"{name}.{next(self._numbers)}.parquet"

    def count(self, sql: str, parameters: Mapping[str, object] | None = None) -> int:
        """The one number that a statement returns."""
        row = self.connection.execute(sql, parameters or {}).fetchone()
        return int(row[0]) if row else 0

    def _as_file(self, name: str, table: pa.Table | Path) -> Path:
        if isinstance(table, Path):
            return table
        path = self.new_file(name)
        pq.write_table(table, path)
        return path

    def _create_missing_tables(self) -> None:
        found = self.connection.execute(
            "select table_name from information_schema.tables where table_schema = 'raw'"
        ).fetchall()
        missing = RAW_TABLES.keys() - {name for (name,) in found}
        if missing:
            self.load({name: RAW_TABLES[name].empty_table() for name in sorted(missing)})


def _connect(path: Path, memory_limit: str) -> duckdb.DuckDBPyConnection:
    is_new = not path.exists()
    try:
        return duckdb.connect(str(path), config={"memory_limit": memory_limit})
    except duckdb.Error as error:
        reason = _root_cause(error)
        if is_new:
            # half a file, which nothing could open any more
            path.unlink(missing_ok=True)
        if "lock" in reason:
            raise TransientIngestionError(
                f"Warehouse {path.name} is in use by another process ({reason}); wait for it and run again."
            ) from error
        raise FatalIngestionError(
            f"Warehouse {path.name} cannot be opened ({reason}); nothing was changed. Put a copy of it back, "
            "or move it away: the event log can fill a new one."
        ) from error


def quoted(path: Path) -> str:
    """A path as a text of SQL, for the statements that take no parameter there."""
    return "'" + str(path).replace("'", "''") + "'"


def _root_cause(error: BaseException) -> str:
    """The first line of what went wrong at the very bottom."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).splitlines() or [type(error).__name__])[0]


@contextmanager
def _told_when_full(path: Path) -> Iterator[None]:
    """One clear error instead of whichever the first thing that found no room on the disk raised."""
    try:
        yield
    except (OSError, duckdb.Error, FatalIngestionError) as error:
        if not _is_full(error):
            raise
        raise TransientIngestionError(
            f"The disk of warehouse {path.name} is full ({_root_cause(error)}); nothing of the load under "
            "way counts. Free space and run again."
        ) from error


def _is_full(error: BaseException | None) -> bool:
    """Whether a disk without room is behind an error."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            return True
        if isinstance(error, duckdb.Error) and any(os.strerror(each) in str(error) for each in NO_ROOM):
            return True
        error = error.__cause__
    return False


def _resource(name: str, path: Path) -> Any:
    rows = pq.read_metadata(path).num_rows
    return dlt.resource(
        [dlt.mark.with_file_import(str(path), "parquet", rows)],
        name=name,
        columns=dlt_columns(RAW_TABLES[name]),
        write_disposition="append",
    )


class _OwnFolder(RunContext):
    """dlt's view of the machine: one folder, our settings, no environment, no home directory."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self._folder = str(folder)

    @property
    def global_dir(self) -> str:
        return self._folder

    @property
    def run_dir(self) -> str:
        return self._folder

    @property
    def local_dir(self) -> str:
        return self._folder

    @property
    def data_dir(self) -> str:
        return self._folder

    def initial_providers(self) -> list[Any]:
        provider = DictionaryProvider()
        for section, value in _SETTINGS.items():
            if isinstance(value, dict):
                for key, setting in value.items():
                    provider.set_value(key, setting, None, section)
            else:
                provider.set_value(section, value, None)
        return [provider]


@contextmanager
def _run_context(folder: Path) -> Iterator[None]:
    with Container().injectable_context(PluggableRunContext(_OwnFolder(folder))):
        yield
