"""Brings rows from elsewhere into a temporary table of the warehouse, a part at a time: memory stays flat."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from activation.ledger_store import Cursor

CHUNK_ROWS = 5_000


def fetched(cursor: Cursor) -> Iterator[list[Any]]:
    """The rows of a cursor, a part at a time."""
    while rows := cursor.fetchmany(CHUNK_ROWS):
        yield rows


def copy_in(
    warehouse: duckdb.DuckDBPyConnection,
    table: str,
    fields: Sequence[tuple[str, pa.DataType]],
    parts: Iterable[Sequence[Sequence[object]]],
) -> int:
    """Make the temporary table anew with these columns and fill it with the rows; returns how many."""
    schema = pa.schema(fields)
    warehouse.register("part", schema.empty_table())
    warehouse.execute(f"create or replace temp table {table} as select * from part")
    warehouse.unregister("part")
    count = 0
    for rows in parts:
        columns = [
            pa.array(column, type=kind)
            for (_, kind), column in zip(fields, zip(*rows, strict=True), strict=True)
        ]
        warehouse.register("part", pa.table(columns, schema=schema))
        warehouse.execute(f"insert into {table} select * from part")
        warehouse.unregister("part")
        count += len(rows)
    return count
