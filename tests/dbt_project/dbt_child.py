"""The real project in dbt, without importing dbt and reading the project anew for every command of a test."""

import faulthandler
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunner
from dbt.contracts.graph.manifest import Manifest

PROJECT = Path(__file__).resolve().parents[2] / "dbt_project"
_FOLDERS = ("--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT))
# what dbt writes beside the models costs a quarter of a small build, and no test reads it
_NO_FILES = ("--no-write-json", "--log-level-file", "none")


def run_dbt(warehouse: Path, arguments: Sequence[str]) -> None:
    """Run a command of dbt over a warehouse in a process of its own; fails with what dbt said.

    The process is forked from a server that has only read the project, never from the tests' own process:
    of the threads that DuckDB and Arrow started there, a fork copies the locks they hold and not the threads.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.dbt_project.dbt_server"])
    with tempfile.NamedTemporaryFile() as said:
        child = context.Process(target=_run, args=(warehouse, list(arguments), Path(said.name)))
        child.start()
        child.join()
        output = said.read().decode()
    assert child.exitcode == 0, f"dbt ended with {child.exitcode}:\n{output}"


@cache
def parsed_project() -> Manifest:
    """The project as dbt understands it, read once for each process of the tests."""
    with tempfile.TemporaryDirectory() as folder:
        places = ("--target-path", folder, "--log-path", folder)
        parsed = dbtRunner().invoke(["--quiet", "parse", *_FOLDERS, *places])
    assert parsed.success, parsed.exception
    assert isinstance(parsed.result, Manifest)
    return parsed.result


def _run(warehouse: Path, arguments: list[str], said: Path) -> None:
    with said.open("wb") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    faulthandler.enable()
    # dbt reads the environment of its process, which is this child
    os.environ |= {"CDP_WAREHOUSE_PATH": str(warehouse), "DO_NOT_TRACK": "1"}  # noqa: TID251
    run = dbtRunner(manifest=parsed_project()).invoke([*_NO_FILES, *arguments, *_FOLDERS])
    # this process ends without DuckDB's own goodbye, which would write its log into the file
    DuckDBConnectionManager.close_all_connections()
    sys.stdout.flush()
    os._exit(0 if run.success else 1)
