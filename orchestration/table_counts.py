"""Row counts of whole schemas, for the metadata of assets."""

from collections.abc import Sequence

import duckdb

from orchestration.sql_files import rows


def count_tables(connection: duckdb.DuckDBPyConnection, schemas: Sequence[str]) -> dict[str, int]:
    """Rows of every base table, as `schema.table` to number; views are not counted, they cost a scan."""
    names = [
        (row["table_schema"], row["table_name"])
        for row in rows(connection, "base_tables")
        if row["table_schema"] in schemas
    ]
    if not names:
        return {}
    statement = " union all ".join(
        f"""select '{schema}.{table}', count(*) from "{schema}"."{table}" """ for schema, table in names
    )
    return dict(connection.execute(statement).fetchall())
