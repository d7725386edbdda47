"""Graphs for the resolution to be tried on, and a dbt project that resolves them."""

import itertools
import json
import random
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa

from tests.dbt_project.identity_oracle import EXACT, LOOSE, OPERATOR, STRICT, Link, Node, Rules

ROOT = Path(__file__).resolve().parents[2]
START = datetime(2026, 1, 1, tzinfo=UTC)

MODEL = """\
{{{{ config(materialized='identity_components', nodes='nodes_{name}', decisions='decisions_{name}') }}}}
-- depends_on: {{{{ ref('nodes_{name}') }}}}
-- depends_on: {{{{ ref('decisions_{name}') }}}}
select from_key, to_key, tier_rank, first_seen_at from main.input_links_{name}
"""


@dataclass
class World:
    """What is known: identifiers, links, and pairs that an operator keeps apart."""

    nodes: dict[str, Node] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    kept_apart: list[tuple[str, str]] = field(default_factory=list)

    def add(self, key: str, kind: str, *, day: float = 0, last_day: float | None = None) -> str:
        first = START + timedelta(days=day)
        self.nodes.setdefault(key, Node(kind, first, first, START + timedelta(days=last_day or day)))
        return key

    def link(self, a: str, b: str, tier: int = EXACT, *, day: float | None = 0) -> None:
        seen = None if day is None else START + timedelta(days=day)
        self.links.append(Link(*sorted((a, b)), tier, seen))

    def shuffled(self, seed: int) -> "World":
        """The same, given in another order."""
        chance = random.Random(seed)
        nodes, links, apart = list(self.nodes.items()), list(self.links), list(self.kept_apart)
        for each in (nodes, links, apart):
            chance.shuffle(each)
        return World(dict(nodes), links, apart)


def random_world(seeds: range, rules: Rules) -> World:
    """Many random graphs of every density side by side; no component crosses a seed."""
    world = World()
    for seed in seeds:
        chance = random.Random(seed)
        size = chance.choice([2, 3, 5, 8, 13, 30])
        names = [
            world.add(
                f"{seed}/{number}",
                chance.choice(rules.kinds),
                day=chance.randrange(10),
                last_day=10 + chance.randrange(40) if chance.random() < 0.5 else None,
            )
            for number in range(size)
        ]
        tiers = chance.choice(
            [[EXACT], [EXACT, STRICT], [EXACT, STRICT, LOOSE], [STRICT, LOOSE], [OPERATOR, EXACT, LOOSE]]
        )
        pairs = list(itertools.combinations(names, 2))
        chance.shuffle(pairs)
        for a, b in pairs[: int(size * chance.choice([0.5, 0.8, 1.2, 2.0]))]:
            day = None if chance.random() < 0.05 else chance.randrange(chance.choice([2, 30]))
            world.link(a, b, chance.choice(tiers), day=day)
        if size > 2 and chance.random() < 0.3:
            world.kept_apart += chance.sample(pairs, min(len(pairs), chance.choice([1, 2])))
    return world


def write_project(folder: Path, worlds: Iterable[str]) -> None:
    """A dbt project that resolves each world from the tables `main.input_<table>_<world>`."""
    models = folder / "models"
    models.mkdir(parents=True, exist_ok=True)
    for name in worlds:
        (models / f"components_{name}.sql").write_text(MODEL.format(name=name))
        for table in ("nodes", "decisions"):
            (models / f"{table}_{name}.sql").write_text(f"select * from main.input_{table}_{name}\n")
    (folder / "dbt_project.yml").write_text(
        "name: cdp\nversion: '1.0'\nprofile: cdp\nmodel-paths: [models]\n"
        f"macro-paths: ['{ROOT / 'dbt_project' / 'macros'}']\n"
        "models:\n  cdp:\n    +materialized: table\n"
        "    +file_format: \"{{ 'delta' if target.type == 'spark' else none }}\"\n"
        "    +location_root: "
        "\"{{ env_var('CDP_SPARK_LOCATION', '') if target.type == 'spark' else none }}\"\n"
    )


def resolve_in_dbt(
    folder: Path, worlds: dict[str, World], rules: Rules
) -> dict[str, dict[str, tuple[str, str]]]:
    """Run one dbt project that has a model for each world; world to node to (component, tier)."""
    write_project(folder, worlds)
    warehouse = folder / "warehouse.duckdb"
    with duckdb.connect(str(warehouse)) as connection:
        for name, world in worlds.items():
            for table, rows in tables_of(world).items():
                connection.register("given", rows)
                connection.execute(f"create or replace table input_{table}_{name} as select * from given")
                connection.unregister("given")
    (folder / "profiles.yml").write_text(
        f"cdp:\n  target: dev\n  outputs:\n    dev: {{type: duckdb, path: '{warehouse}', threads: 1}}\n"
    )
    dbt = str(Path(sys.executable).with_name("dbt"))
    run = subprocess.run(
        [
            *(dbt, "run", "--project-dir", str(folder), "--profiles-dir", str(folder)),
            *("--vars", json.dumps({"identity_rules": rules.as_variable()})),
        ],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "DO_NOT_TRACK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        return {name: placed_in(connection, f"components_{name}") for name in worlds}


def placed_in(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, tuple[str, str]]:
    """Node to (component, tier), as a table of the materialization has them."""
    found = connection.execute(f"select node, component, tier from {relation}").fetchall()
    return {node: (component, tier) for node, component, tier in found}


def tables_of(world: World) -> dict[str, pa.Table]:
    """The three inputs of the materialization."""
    moment = pa.timestamp("us")
    nodes = pa.schema(
        [("identifier_key", pa.string()), ("identifier_type", pa.string())]
        + [(name, moment) for name in ("received_at", "first_seen_at", "last_seen_at")]
    )
    links = pa.schema(
        [
            ("from_key", pa.string()),
            ("to_key", pa.string()),
            ("tier_rank", pa.int64()),
            ("first_seen_at", moment),
        ]
    )
    decisions = pa.schema([("from_key", pa.string()), ("to_key", pa.string()), ("decision", pa.string())])
    return {
        "nodes": pa.Table.from_pylist(
            [
                {
                    "identifier_key": key,
                    "identifier_type": node.kind,
                    "received_at": node.received_at,
                    "first_seen_at": node.first_seen_at,
                    "last_seen_at": node.last_seen_at,
                }
                for key, node in world.nodes.items()
            ],
            schema=nodes,
        ),
        "links": pa.Table.from_pylist(
            [
                {
                    "from_key": link.from_key,
                    "to_key": link.to_key,
                    "tier_rank": link.tier,
                    "first_seen_at": link.first_seen_at,
                }
                for link in world.links
            ],
            schema=links,
        ),
        "decisions": pa.Table.from_pylist(
            [
                {"from_key": min(pair), "to_key": max(pair), "decision": "keep_apart"}
                for pair in world.kept_apart
            ],
            schema=decisions,
        ),
    }
