"""What other rules would change, before they are made: the models are built by them in a copy."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from orchestration.dbt import as_of_variable
from orchestration.errors import DbtFailedError
from orchestration.settings import Settings
from orchestration.sql_files import one_row, rows

# Audiences are the last that rules about identity reach, except what was delivered.
SELECTED = ("int_identity_rules+", "int_identifiers_checked+")


@dataclass(frozen=True)
class Trial:
    """A copy of the snapshot in which the models were built by other rules."""

    snapshot: Path
    copy: Path


def build_trial(settings: Settings, rules: Mapping[str, Any], *, as_of: datetime) -> Trial:
    """Copy the published snapshot and build every model that identity reaches by these rules.

    Nothing of the deployment is written to. Raises DbtFailedError with dbt's words.
    """
    folder = settings.home / "identity_diff"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    copy = folder / "warehouse.duckdb"
    shutil.copyfile(settings.snapshot_path, copy)
    # a moment later than what stands, so that every id that was published counts as published before
    variables = json.loads(as_of_variable(as_of + timedelta(microseconds=1)))
    finished = subprocess.run(
        [
            *(
                str(settings.executables_dir / "dbt"),
                "--quiet",
                "--no-use-colors",
                "run",
                "--select",
                *SELECTED,
            ),
            *("--target-path", str(folder / "target"), "--log-path", str(folder / "logs")),
            *("--vars", json.dumps({**variables, "identity_rules": rules})),
        ],
        cwd=settings.dbt_project_dir,
        env={**settings.full_environment(), "CDP_WAREHOUSE_PATH": str(copy)},
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode != 0:
        said = " ".join((finished.stdout + finished.stderr).split())
        raise DbtFailedError(
            f"The models cannot be built by these rules: {said} Nothing was changed; the copy is {folder}."
        )
    return Trial(settings.snapshot_path, copy)


def compare(trial: Trial, *, most: int) -> dict[str, Any]:
    """People and audience members of both sides, with samples; one JSON-ready document."""
    with duckdb.connect() as connection:
        connection.execute(f"attach '{trial.snapshot}' as standing (read_only)")
        connection.execute(f"attach '{trial.copy}' as trial (read_only)")
        audiences = rows(connection, "identity_diff_audiences")
        return {
            "people": one_row(connection, "identity_diff_people"),
            "samples": rows(connection, "identity_diff_samples", {"most": most}),
            "audiences": audiences,
            "members_affected": sum(row["come"] + row["leave"] for row in audiences),
        }
