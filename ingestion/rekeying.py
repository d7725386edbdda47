"""A new key for the identifiers: every keyed name in the warehouse is replaced by that of the new key."""

import duckdb
import pyarrow as pa

from ingestion.errors import FatalIngestionError
from ingestion.identifiers import IdentifierKey

KEY_COLUMNS = ("identifier_key", "other_identifier_key", "from_key", "to_key")
_SCHEMAS = ("raw", "intermediate", "marts", "activation")
_BATCH_ROWS = 100_000


def rekey_warehouse(
    connection: duckdb.DuckDBPyConnection, former: IdentifierKey, new: IdentifierKey
) -> dict[str, str]:
    """Replace the keys in raw.identifiers, in the state that names people, in every table that has one.

    One transaction of the caller's. Returns former key to new key for every identifier, also when the tables
    were rekeyed before, so that a rekeying which was killed can be taken up again. Tables whose other columns
    are made of keys are not mended here: the models have to be built in full.

    Raises FatalIngestionError when raw.identifiers was keyed with neither of the two.
    """
    strangers = connection.execute(
        "select distinct key_id from raw.identifiers where key_id not in (?, ?)", [former.key_id, new.key_id]
    ).fetchall()
    if strangers:
        raise FatalIngestionError(
            f"raw.identifiers was keyed with {strangers[0][0]}, and the former key given is {former.key_id}; "
            "nothing was changed. Give the key with that id as the former one."
        )
    pairs = _pairs(connection, former, new)
    table = pa.table({"former_key": list(pairs.keys()), "new_key": list(pairs.values())})
    connection.register("new_keys", table)
    try:
        for schema, name, column in _keyed_columns(connection):
            connection.execute(
                f'update {schema}.{name} as keyed set "{column}" = new_keys.new_key '
                f'from new_keys where keyed."{column}" = new_keys.former_key'
            )
        connection.execute("update raw.identifiers set key_id = ?", [new.key_id])
        # of two keys of a pair the smaller comes first
        connection.execute(
            "update raw.identity_suspicions set from_key = to_key, to_key = from_key where from_key > to_key"
        )
    finally:
        connection.unregister("new_keys")
    return pairs


def _pairs(
    connection: duckdb.DuckDBPyConnection, former: IdentifierKey, new: IdentifierKey
) -> dict[str, str]:
    seen = connection.execute(
        "select distinct identifier_type, normalised_value from raw.identifiers where is_valid"
    )
    pairs = {}
    while rows := seen.fetchmany(_BATCH_ROWS):
        for identifier_type, value in rows:
            pairs[former.key_of(identifier_type, value)] = new.key_of(identifier_type, value)
    return pairs


def _keyed_columns(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str]]:
    """Schema, table and column of every table that carries keys."""
    return connection.execute(
        "select columns.table_schema, columns.table_name, columns.column_name "
        "from information_schema.columns as columns "
        "inner join information_schema.tables as tables using (table_schema, table_name) "
        "where tables.table_type = 'BASE TABLE' and columns.table_schema in (select unnest(?)) "
        "and columns.column_name in (select unnest(?)) order by all",
        [list(_SCHEMAS), list(KEY_COLUMNS)],
    ).fetchall()
