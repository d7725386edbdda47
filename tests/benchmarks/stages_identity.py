"""Measures who is one person: from identifiers and links to components, as the model does it, rules and all.

python -m tests.benchmarks.stages_identity LINKS SHAPE -> JSON lines. The seconds are those of the model,
without dbt's start; the limit is a bare contraction of the same graph in the same kind of file. An ordinary
graph is also given to splink's clustering, a peer.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb

from tests.benchmarks.identity_graphs import SHAPES, write_graph
from tests.dbt_project.identity_worlds import ROOT, write_project

RULES = {
    "identifier_types": {
        "user_id": {"kind": "authoritative", "priority": 1},
        "email": {"kind": "mergeable", "priority": 2, "per_person": {"most": 20}},
        "anonymous_id": {"kind": "mergeable", "priority": 3, "per_person": {"most": 500}},
    }
}
# 2,600 MB are what 10 million links may take; a larger graph is given more, in proportion
LEAST_MEMORY_MB, MEMORY_MB_PER_MILLION = 2_600, 260


def prepare(links: int, shape: str) -> None:
    """Make the graph unless it is there, and the project and warehouse that a build of it begins with."""
    folder = _folder(links, shape)
    if not (folder / "links.parquet").exists():
        write_graph(folder, shape, links)
    project, warehouse = folder / "project", folder / "warehouse.duckdb"
    write_project(project, ["given"])
    (project / "models" / "nodes_given.sql").write_text(
        "{{ config(materialized='view') }} select * from main.input_nodes_given\n"
    )
    warehouse.unlink(missing_ok=True)
    with duckdb.connect(str(warehouse)) as connection:
        for table in ("nodes", "links"):
            connection.execute(f"create table input_{table}_given as from '{folder / table}.parquet'")
        connection.execute(
            "create table input_decisions_given (from_key varchar, to_key varchar, decision varchar)"
        )


def main(links: int, shape: str) -> None:
    """Resolve the graph once, print how long the model took.

    All that takes memory of its own is done by children: a child's peak is never less than what its parent
    held when it was started.
    """
    folder = _folder(links, shape)
    subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.stages_identity", str(links), shape, "prepare"], check=True
    )
    project, warehouse = folder / "project", folder / "warehouse.duckdb"
    found = duckdb.execute(f"select count(*) from '{folder / 'links.parquet'}'").fetchone()
    memory = max(LEAST_MEMORY_MB, links * MEMORY_MB_PER_MILLION // 1_000_000)
    settings = f"{{memory_limit: {memory}MB, threads: 2, preserve_insertion_order: false}}"
    (project / "profiles.yml").write_text(
        "cdp:\n  target: dev\n  outputs:\n"
        f"    dev: {{type: duckdb, path: '{warehouse}', threads: 1, settings: {settings}}}\n"
    )
    dbt = subprocess.Popen(
        [
            *(str(Path(sys.executable).with_name("dbt")), "--quiet", "run"),
            *("--project-dir", str(project), "--profiles-dir", str(project)),
            *("--vars", json.dumps({"identity_rules": RULES})),
        ],
        cwd=project,
        env={"PATH": "/usr/bin:/bin", "DO_NOT_TRACK": "1"},
    )
    _, status, used = os.wait4(dbt.pid, 0)
    assert status == 0, "dbt failed; its messages stand above"
    results = json.loads((project / "target" / "run_results.json").read_text())["results"]
    seconds = {result["unique_id"]: result["execution_time"] for result in results}
    warehouse.unlink()
    assert found is not None
    result = {
        "rows": found[0],
        "seconds": seconds["model.cdp.components_given"],
        "peak_mib": used.ru_maxrss / 1024,
        "limit_input": str(folder),
    }
    beside = {f"resolve identities, {shape}": "contraction_limit.py"}
    if shape == "ordinary":
        beside["the same, beside splink's clustering"] = "splink_clustering.py"
    for stage, limit in beside.items():
        print(json.dumps({"stage": stage, **result, "limit": limit}))


def _folder(links: int, shape: str) -> Path:
    return ROOT / "var" / "bench" / f"identity_{shape}_{links}"


if __name__ == "__main__":
    if sys.argv[2] not in SHAPES:
        raise SystemExit(f"{sys.argv[2]!r} is not one of {', '.join(SHAPES)}")
    step = prepare if sys.argv[3:] == ["prepare"] else main
    step(int(sys.argv[1]), sys.argv[2])
