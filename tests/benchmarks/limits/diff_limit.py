"""Bare limit of planning: one join of keys and hashes in DuckDB, 1% differ. None of the project's code.

python diff_limit.py ROWS -> one JSON line with the seconds.
"""

import json
import sys
import time

import duckdb


def main(rows: int) -> dict[str, float]:
    warehouse = duckdb.connect()
    warehouse.execute(
        "create table desired as select 'person' || i || '@example.com' as key,"
        f" 'Name' || (i % 100) as first_name, 'GB' as country, i * 1.0 as value from range({rows}) t(i)"
    )
    payload = (
        """'{"country":"' || country || '","first_name":"' || first_name || '","value":' || value || '}'"""
    )
    warehouse.execute(
        "create table held as select key,"
        f" md5(case when value % 100 = 7 then 'old' else {payload} end) as hash from desired"
    )
    start = time.perf_counter()
    warehouse.execute(
        "create table changes as select key, payload"
        f" from (select key, {payload} as payload from desired) full outer join held using (key)"
        " where md5(payload) is distinct from held.hash"
    )
    seconds = time.perf_counter() - start
    found = warehouse.execute("select count(*) from changes").fetchone()
    if found != (rows // 100,):
        raise RuntimeError(f"{rows // 100} changes were expected, found {found}")
    return {"rows": rows, "seconds": seconds}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]))))
