"""The real project in dbt, without importing dbt and reading the project anew for every command of a test."""

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


def run_dbt(warehouse: Path, arguments: Sequence[str]) -> None:
    """Run a command of dbt over a warehouse in a child of this process; fails with what dbt said."""
    manifest = parsed_project()
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryFile() as said:
        child = context.Process(target=_run, args=(manifest, warehouse, list(arguments), said.fileno()))
        child.start()
        child.join()
        said.seek(0)
        output = said.read().decode()
    assert child.exitcode == 0, output


@cache
def parsed_project() -> Manifest:
    """The project as dbt understands it, read once for each process of the tests."""
    with tempfile.TemporaryDirectory() as folder:
        places = ("--target-path", folder, "--log-path", folder)
        parsed = dbtRunner().invoke(["--quiet", "parse", *_FOLDERS, *places])
    assert parsed.success, parsed.exception
    assert isinstance(parsed.result, Manifest)
    return parsed.result


def _run(manifest: Manifest, warehouse: Path, arguments: list[str], said: int) -> None:
    os.dup2(said, sys.stdout.fileno())
    os.dup2(said, sys.stderr.fileno())
    # dbt reads the environment of its process, which is this child
    os.environ |= {"CDP_WAREHOUSE_PATH": str(warehouse), "DO_NOT_TRACK": "1"}  # noqa: TID251
    run = dbtRunner(manifest=manifest).invoke([*arguments, *_FOLDERS])
    # this process ends without DuckDB's own goodbye, which would write its log into the file
    DuckDBConnectionManager.close_all_connections()
    sys.stdout.flush()
    os._exit(0 if run.success else 1)
