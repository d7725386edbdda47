"""Measures the models: a full `dbt build` over the events of an archive, as a run does it.

python -m tests.benchmarks.stages_models ARCHIVE build -> one JSON line. No limit is given: what a bare
script would do here is the same SQL.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from activation.ledger import Ledger
from activation.projection import project
from ingestion.event_log import EventLog
from ingestion.identifiers import IdentifierKey
from ingestion.load import load_events
from ingestion.registry import load_registry

ROOT = Path(__file__).resolve().parents[2]


def main(archive: Path) -> None:
    """Load the archive, build every model and test on it, print how long the build took."""
    with tempfile.TemporaryDirectory(dir=archive.parent) as name:
        folder = Path(name)
        warehouse = folder / "warehouse.duckdb"
        log = EventLog(folder / "log")
        log.import_archive(archive, "web", now=datetime.now(UTC))
        report = load_events(
            log=log,
            registry=load_registry(),
            warehouse=warehouse,
            work_folder=folder / "work",
            key=IdentifierKey(b"benchmark"),
            clock=lambda: datetime.now(UTC),
        )
        with duckdb.connect(str(warehouse)) as connection, Ledger(folder / "ledger.sqlite") as ledger:
            project(connection, ledger)
        project_folder = str(ROOT / "dbt_project")
        command = [
            str(Path(sys.executable).with_name("dbt")), "build", "--quiet",
            "--exclude-resource-type", "unit_test",
            "--project-dir", project_folder, "--profiles-dir", project_folder,
            "--target-path", str(folder / "target"), "--log-path", str(folder / "logs"),
            "--vars", '{as_of: "2010-12-10 00:00:00"}',
        ]  # fmt: skip
        start = time.perf_counter()
        subprocess.run(
            command,
            check=True,
            env={"PATH": "/usr/bin:/bin", "CDP_WAREHOUSE_PATH": str(warehouse), "DO_NOT_TRACK": "1"},
        )
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(
        json.dumps(
            {
                "stage": "dbt build, all models and tests",
                "rows": report.accepted,
                "seconds": seconds,
                "peak_mib": peak,
                "limit": "",
                "limit_input": "",
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
