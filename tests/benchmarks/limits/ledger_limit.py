"""Bare limit of a ledger: SQLite alone, rows as wide as a ledger's, durable commits; none of our code.

python ledger_limit.py ROWS intents|delivery -> one JSON line with seconds: of one large insert of intents,
and with `delivery` of the fewest further commits that a durable delivery needs: for each batch of 500 one row
that says it is in flight, and one change of that row that says how it ended.
"""

import json
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

BATCH = 500


def main(rows: int, stage: str) -> dict[str, float]:
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
            " f text, g text, state text, seq integer)"
        )
        connection.execute(
            "create table batches (number integer primary key, first integer, last integer, key text,"
            " state text, attempted_at integer)"
        )
        start, cpu = time.perf_counter(), time.process_time()
        connection.execute("begin immediate")
        connection.executemany("insert into operations values (null, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        connection.execute("commit")
        found = {"intents_seconds": time.perf_counter() - start}
        if stage == "delivery":
            start = time.perf_counter()
            for first in range(1, rows + 1, BATCH):
                connection.execute(
                    "insert into batches values (?, ?, ?, ?, 'in_flight', ?)",
                    (first, first, min(first + BATCH - 1, rows), "i" * 64, 1_700_000_000_000_000),
                )
                connection.execute("update batches set state = 'delivered' where number = ?", (first,))
            found["in_flight_and_outcome_seconds"] = time.perf_counter() - start
        found["cpu"] = time.process_time() - cpu
        connection.close()
    return {"rows": rows, **found}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), sys.argv[2])))
