"""Bare limit of loading: DuckDB reads a Parquet file into a table. None of the project's code.

python load_limit.py FILE -> one JSON line with the rows and seconds.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import duckdb


def main(file: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        warehouse = duckdb.connect(str(Path(folder) / "limit.duckdb"))
        start = time.perf_counter()
        warehouse.execute("create table events as from read_parquet(?)", [str(file)])
        warehouse.execute("checkpoint")
        seconds = time.perf_counter() - start
        found = warehouse.execute("select count(*) from events").fetchone()
        warehouse.close()
    return {"rows": found[0] if found else 0, "seconds": seconds}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
