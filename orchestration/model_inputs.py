"""What the models were last built from, so that a run builds only what can have changed.

The record stands in the warehouse beside the models and is removed before anything builds them, so it is
there only after a whole build that succeeded: a killed build, a build by hand or another warehouse file
leaves none, and then everything is built.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb

from orchestration.dbt import PROJECT_FILES
from orchestration.sql_files import rows

AS_OF, PROJECT = "as_of", "project"
_BUILT = ("model", "seed", "snapshot")


@dataclass(frozen=True)
class ModelInputs:
    """Name of an input to its state: the moment, the project's files, and each schema that is read."""

    states: Mapping[str, str]

    def changed_since(self, former: "ModelInputs | None") -> frozenset[str]:
        """Inputs that differ, all of them when nothing is known of the former build."""
        if former is None:
            return frozenset(self.states)
        names = self.states.keys() | former.states.keys()
        return frozenset(name for name in names if self.states.get(name) != former.states.get(name))


def read_inputs(connection: duckdb.DuckDBPyConnection, *, as_of: datetime, project_dir: Path) -> ModelInputs:
    """The inputs as they are now."""
    sources = {row["source_name"]: row["state"] for row in rows(connection, "model_inputs")}
    return ModelInputs({AS_OF: as_of.isoformat(), PROJECT: project_hash(project_dir), **sources})


def project_hash(project_dir: Path) -> str:
    """One hash over every file that decides what dbt builds, and the versions that build it."""
    digest = hashlib.sha256(f"{version('dbt-core')} {version('dbt-duckdb')} {duckdb.__version__}".encode())
    for path in sorted({path for pattern in PROJECT_FILES for path in project_dir.rglob(pattern)}):
        digest.update(f"\0{path.relative_to(project_dir)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def recorded_inputs(connection: duckdb.DuckDBPyConnection) -> ModelInputs | None:
    """What the models that stand in this warehouse were built from; None when that is not known."""
    connection.execute("create schema if not exists orchestration")
    connection.execute(
        "create table if not exists orchestration.models_built_from (input varchar, state varchar)"
    )
    found = connection.execute("select input, state from orchestration.models_built_from").fetchall()
    return ModelInputs(dict(found)) if found else None


def forget_inputs(connection: duckdb.DuckDBPyConnection) -> None:
    """To be called before anything builds models."""
    recorded_inputs(connection)
    connection.execute("delete from orchestration.models_built_from")


def record_inputs(connection: duckdb.DuckDBPyConnection, inputs: ModelInputs) -> None:
    """To be called after a whole build that succeeded."""
    forget_inputs(connection)
    connection.executemany(
        "insert into orchestration.models_built_from values (?, ?)", list(inputs.states.items())
    )


def unaffected_models(manifest: Mapping[str, Any], changed: frozenset[str]) -> list[str]:
    """Names of models and seeds that read none of the changed inputs, not even through others.

    The moment and the project's files count as read by every model.
    """
    nodes = {
        unique_id: node["name"]
        for unique_id, node in manifest["nodes"].items()
        if node["resource_type"] in _BUILT
    }
    if changed & {AS_OF, PROJECT}:
        return []
    frontier = {
        unique_id for unique_id, source in manifest["sources"].items() if source["source_name"] in changed
    }
    reached: set[str] = set()
    while frontier:
        reached |= frontier
        frontier = {child for parent in frontier for child in manifest["child_map"].get(parent, ())} - reached
    return sorted(name for unique_id, name in nodes.items() if unique_id not in reached)
