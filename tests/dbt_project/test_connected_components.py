"""The connected_components materialization against a plain union-find."""

import itertools
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

ROOT = Path(__file__).resolve().parents[2]
Edge = tuple[str, str]


def union_find(edges: list[Edge]) -> dict[str, str]:
    """Return node -> smallest node of its component, by the textbook algorithm."""
    parent: dict[str, str] = {}

    def find(node: str) -> str:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for a, b in edges:
        root_a, root_b = find(a), find(b)
        if root_a != root_b:
            parent[max(root_a, root_b)] = min(root_a, root_b)
    return {node: find(node) for node in list(parent)}


def name(number: int) -> str:
    return f"n{number:07d}"


def graphs() -> Iterator[tuple[str, list[Edge]]]:
    shuffled = list(range(20_000))
    random.Random(7).shuffle(shuffled)
    yield "chain_sorted", [(name(i), name(i + 1)) for i in range(20_000)]
    yield "chain_shuffled", [(name(a), name(b)) for a, b in itertools.pairwise(shuffled)]
    yield "hub", [(name(0), name(i)) for i in range(1, 20_000)]
    yield "singletons", [(name(i), name(i)) for i in range(100)]
    yield "one_pair_given_twice_and_turned", [("a", "b"), ("b", "a"), ("a", "b")]
    yield "ring", [(name(i), name((i + 1) % 500)) for i in range(500)]
    # many random graphs of every density side by side in one: components never cross a seed
    edges = []
    for seed in range(300):
        chance = random.Random(seed)
        size = chance.choice([5, 50, 500])
        for _ in range(int(size * chance.choice([0.3, 0.5, 0.9, 2.0]))):
            edges.append((f"{seed}/{chance.randrange(size)}", f"{seed}/{chance.randrange(size)}"))
    yield "random", edges


GRAPHS = dict(graphs())


@pytest.fixture(scope="module")
def components(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Run one dbt project that has a model for each graph; graph -> node -> component."""
    folder = tmp_path_factory.mktemp("components")
    warehouse = folder / "warehouse.duckdb"
    connection = duckdb.connect(str(warehouse))
    (folder / "models").mkdir()
    for graph, edges in GRAPHS.items():
        connection.execute(f"create table edges_{graph} (from_node varchar, to_node varchar)")
        connection.execute(
            f"insert into edges_{graph} select unnest(?), unnest(?)",
            [[a for a, _ in edges], [b for _, b in edges]],
        )
        (folder / "models" / f"components_{graph}.sql").write_text(
            "{{ config(materialized='connected_components') }}\n"
            f"select from_node, to_node from main.edges_{graph}\n"
        )
    connection.close()
    (folder / "dbt_project.yml").write_text(
        "name: cdp\nversion: '1.0'\nprofile: cdp\nmodel-paths: [models]\n"
        f"macro-paths: ['{ROOT / 'dbt_project' / 'macros'}']\n"
    )
    (folder / "profiles.yml").write_text(
        f"cdp:\n  target: dev\n  outputs:\n    dev: {{type: duckdb, path: '{warehouse}', threads: 1}}\n"
    )
    run = subprocess.run(
        [
            str(Path(sys.executable).with_name("dbt")),
            "run",
            "--project-dir",
            str(folder),
            "--profiles-dir",
            str(folder),
        ],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "DO_NOT_TRACK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    connection = duckdb.connect(str(warehouse), read_only=True)
    return {
        graph: dict(connection.execute(f"select node, component from components_{graph}").fetchall())
        for graph in GRAPHS
    }


@pytest.mark.parametrize("graph", GRAPHS)
def test_components_are_those_of_union_find(graph: str, components: dict[str, dict[str, str]]) -> None:
    """Every node has the label that a plain union-find gives it: the smallest node of its component."""
    assert components[graph] == union_find(GRAPHS[graph])
