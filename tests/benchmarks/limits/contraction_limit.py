"""Bare limit of resolving identities: connected components by randomised contraction in SQL, no more.

python contraction_limit.py FOLDER -> one JSON line with the seconds. FOLDER has nodes.parquet and
links.parquet. No rules, tiers, limits or names: the smallest identifier of each component labels it. None of
the project's code.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import duckdb

NODES = "create temp table n as select row_number() over () as id, identifier_key as key from nodes"
EDGES = """
create temp table g0 as
select distinct least(f.id, t.id) as a, greatest(f.id, t.id) as b
from links inner join n as f on from_key = f.key inner join n as t on to_key = t.key
"""
CHOOSE = """
create temp table r{round} as
select v, arg_min(w, hash(w, {round})) as c from (
    select a as v, b as w from g{round} union all select b, a from g{round}
    union all select a, a from g{round} union all select b, b from g{round}
) group by v
"""
CONTRACT = """
create temp table g{next} as
select distinct least(x.c, y.c) as a, greatest(x.c, y.c) as b
from g{round} as g inner join r{round} as x on g.a = x.v inner join r{round} as y on g.b = y.v
where x.c <> y.c
"""
COMPOSE = """
create or replace temp table f as
select r.v, coalesce(f.c, r.c) as c from r{round} as r left join f on r.c = f.v
"""
LABEL = """
create table components as
select n.key as node, min(n.key) over (partition by coalesce(f.c, n.id)) as component
from n left join f on n.id = f.v
"""


def main(folder: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=folder) as work:
        config = {"memory_limit": "16GB", "threads": 2}
        warehouse = duckdb.connect(str(Path(work) / "bare.duckdb"), config=config)
        for table in ("nodes", "links"):
            warehouse.execute(f"create table {table} as from '{folder / table}.parquet'")
        start = time.perf_counter()
        warehouse.execute(NODES)
        warehouse.execute(EDGES)
        rounds = 0
        while warehouse.execute(f"select count(*) from g{rounds}").fetchone() != (0,):
            warehouse.execute(CHOOSE.format(round=rounds))
            warehouse.execute(CONTRACT.format(round=rounds, next=rounds + 1))
            rounds += 1
        warehouse.execute(f"create temp table f as select * from r{rounds - 1}")
        for back in reversed(range(rounds - 1)):
            warehouse.execute(COMPOSE.format(round=back))
        warehouse.execute(LABEL)
        seconds = time.perf_counter() - start
    return {"seconds": seconds}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
