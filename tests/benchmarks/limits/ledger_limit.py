"""Bare limit of a ledger: SQLite alone, rows of a ledger's width, durable commits, without our code.

python ledger_limit.py ROWS -> one JSON line: seconds of one large insert, and of two updates per row by 500.
"""

import json
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

BATCH = 500


def main(rows: int) -> dict[str, float]:
    values = [
        (f"operation{number:024d}", "sync", f"person{number:08d}@example.com", f"c{number}", "k" * 32,
         '{"country":"GB","first_name":"Name","value":12.30}', "h" * 32, "planned", 1)
        for number in range(rows)
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(Path(folder) / "limit.sqlite", isolation_level=None)
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
        connection.execute(
            "create table operations (number integer primary key, a text, b text, c text, d text, e text,"
            " f text, g text, state text, seq integer, batch integer)"
        )
        start = time.perf_counter()
        connection.execute("begin immediate")
        connection.executemany(
            "insert into operations values (null, ?, ?, ?, ?, ?, ?, ?, ?, ?, null)", values
        )
        connection.execute("commit")
        inserted = time.perf_counter() - start
        start = time.perf_counter()
        for first in range(1, rows + 1, BATCH):
            for state in ("in_flight", "delivered"):
                connection.execute("begin immediate")
                connection.execute(
                    "update operations set state = ?, batch = ? where number between ? and ?",
                    (state, first, first, first + BATCH - 1),
                )
                connection.execute("commit")
        updated = time.perf_counter() - start
        connection.close()
    return {"rows": rows, "insert_seconds": inserted, "claim_and_outcome_seconds": updated}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]))))
