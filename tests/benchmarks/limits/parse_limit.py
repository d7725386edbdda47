"""Bare limit of validation: DuckDB reads JSON lines into typed columns. None of the project's code.

python parse_limit.py FILE -> one JSON line with the rows and seconds. FILE holds one JSON object a line.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import duckdb

COLUMNS = {
    **dict.fromkeys(("messageId", "type", "event", "userId", "anonymousId", "channel"), "varchar"),
    **dict.fromkeys(("timestamp", "receivedAt"), "timestamp"),
    **dict.fromkeys(("context", "properties", "traits"), "json"),
}


def main(file: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        warehouse = duckdb.connect(str(Path(folder) / "limit.duckdb"))
        start = time.perf_counter()
        warehouse.execute(
            "create table events as from read_json(?, format = 'newline_delimited', columns = ?,"
            " ignore_errors = true, maximum_object_size = 16777216)",
            [str(file), COLUMNS],
        )
        warehouse.execute("checkpoint")
        seconds = time.perf_counter() - start
        found = warehouse.execute("select count(*) from events").fetchone()
        warehouse.close()
    return {"rows": found[0] if found else 0, "seconds": seconds}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
