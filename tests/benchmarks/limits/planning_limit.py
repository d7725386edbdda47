"""Bare limit of planning: the rows of two marts, mapped, their hash compared with the one that is stored, and
the changed rows written to a table. DuckDB alone, none of the project's code.

python planning_limit.py ROWS first|changed -> one JSON line with the seconds. With `first` nothing is stored.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import duckdb

PAYLOAD = """
    '{"country":"' || profiles.country_code
    || '","first_name":"' || profiles.first_name
    || '","value":' || cast(cast(profiles.lifetime_value as decimal(38, 2)) as varchar) || '}'
"""


def build(warehouse: duckdb.DuckDBPyConnection, rows: int, stage: str) -> None:
    warehouse.execute(
        "create table memberships as select 'new_customers' as audience_name, 'email' as channel, 'c' || i as"
        " canonical_id, md5(i::varchar) as identifier_key, 'person' || i || '@example.com' as"
        f" identifier_value from range({rows}) t(i)"
    )
    warehouse.execute(
        "create table profiles as select 'c' || i as canonical_id, 'Name' || i as first_name, 'GB' as"
        f" country_code, i * 1.25::double as lifetime_value, i as order_count from range({rows}) t(i)"
    )
    changed = "profiles.order_count % 100 = 7"
    warehouse.execute(
        f"create table held as select memberships.identifier_value as destination_key, md5({PAYLOAD}) ||"
        f" case when {changed} then 'x' else '' end as payload_hash from memberships inner join profiles"
        f" using (canonical_id) where '{stage}' = 'changed'"
    )
    warehouse.execute("checkpoint")


def main(rows: int, stage: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "limit.duckdb")
        warehouse = duckdb.connect(file, config={"memory_limit": "2GB", "threads": 2})
        build(warehouse, rows, stage)
        warehouse.close()
        warehouse = duckdb.connect(file, config={"memory_limit": "2GB", "threads": 2})
        start = time.perf_counter()
        warehouse.execute(
            f"""
            create temp table changes as
            with mapped as (
                select
                    memberships.canonical_id,
                    memberships.identifier_key,
                    memberships.identifier_value as destination_key,
                    {PAYLOAD} as payload
                from memberships
                left join profiles on profiles.canonical_id = memberships.canonical_id
                where memberships.audience_name = 'new_customers' and memberships.channel = 'email'
            ), hashed as (
                select *, md5(payload) as payload_hash from mapped
            )
            select
                coalesce(hashed.destination_key, held.destination_key) as destination_key,
                hashed.canonical_id, hashed.identifier_key, hashed.payload, hashed.payload_hash
            from hashed
            full outer join held on held.destination_key = hashed.destination_key
            where hashed.payload_hash is distinct from held.payload_hash
            """
        )
        seconds = time.perf_counter() - start
        found = warehouse.execute("select count(*) from changes").fetchone()
        warehouse.close()
    expected = rows if stage == "first" else rows // 100
    if found != (expected,):
        raise RuntimeError(f"{expected} changes were expected, found {found}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rows": rows, "join_seconds": seconds, "peak_mib": peak}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), sys.argv[2])))
