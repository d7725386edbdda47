"""A deployment as its operator sees it: an environment, the command `cdp`, and what it leaves behind."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

PROJECT_ROOT = Path(__file__).resolve().parents[2]
PARTS = ("ingestion", "activation", "orchestration", "dbt_project")
RUN_SECONDS = 280
# Address, customer id and canonical_id of two members of audiences.
TWO_CUSTOMERS = """
    select email.identifier_value, user_id.identifier_value, email.canonical_id
    from marts.identity_graph as email
    inner join marts.identity_graph as user_id
        on email.canonical_id = user_id.canonical_id and user_id.identifier_type = 'user_id'
    inner join marts.audience_memberships as members on email.identifier_key = members.identifier_key
    where email.identifier_type = 'email'
    group by all order by all limit 2
"""


@dataclass(frozen=True)
class House:
    """One CDP_HOME, and the project that serves it: the checkout, or a copy that a story may change."""

    home: Path
    project: Path = PROJECT_ROOT
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """No HOME at all: nothing may need it."""
        return {
            "PATH": os.defpath,
            "CDP_HOME": str(self.home),
            "CDP_LOCK_WAIT_SECONDS": "200",
            "PYTHONPATH": str(self.project),
            **self.variables,
        }

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start `cdp` and do not wait."""
        return subprocess.Popen(
            [sys.executable, "-c", "from orchestration.cli import main; main()", *arguments],
            env=self.environment,
            cwd=self.project,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def cdp(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run `cdp` to its end, whatever its exit code."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=RUN_SECONDS)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """`cdp run`, which must succeed."""
        finished = self.cdp("run", *arguments)
        assert finished.returncode == 0, finished.stderr
        return finished

    def json(self, *arguments: str) -> Any:
        """The JSON document that a command prints."""
        finished = self.cdp(*arguments, "--json")
        assert finished.stdout, finished.stderr
        return json.loads(finished.stdout)

    def query(self, statement: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
        """Rows of the published snapshot."""
        connection = duckdb.connect(str(self.home / "snapshot" / "warehouse.duckdb"), read_only=True)
        try:
            return connection.execute(statement, parameters or []).fetchall()
        finally:
            connection.close()

    def decided(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything that identity decides, row for row, by mart."""
        marts = (
            "identity_graph",
            "profiles",
            "contact_points",
            "audience_memberships",
            "audience_exclusions",
        )
        return {mart: sorted(self.query(f"select * from marts.{mart}"), key=str) for mart in marts}

    def event_counts(self) -> dict[str, Any]:
        """`events` of `cdp status`, after checking that they add up."""
        events = self.json("status")["events"]
        assert events["received"] == events["accepted"] + events["duplicates"] + events["quarantined"]
        return dict(events)


def copy_of(house: House, home: Path) -> House:
    """The same deployment in another folder, for a story that changes it."""
    shutil.copytree(house.home, home)
    return House(home=home, project=house.project, variables=house.variables)


def with_own_project(house: House, folder: Path) -> House:
    """The same deployment served by a copy of the checkout, for a story that edits files."""
    for part in PARTS:
        shutil.copytree(
            house.project / part,
            folder / part,
            ignore=shutil.ignore_patterns("__pycache__", "target", "logs"),
        )
    shutil.copy(house.project / "pyproject.toml", folder)
    return House(home=house.home, project=folder, variables=house.variables)
