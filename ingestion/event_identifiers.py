"""The identifiers that events carry, as the contracts say, and of them those that are new."""

from pathlib import Path

import pyarrow as pa

from ingestion.identifiers import IdentifierKey, identifier_rows
from ingestion.raw_tables import IDENTIFIERS
from ingestion.registry import Registry
from ingestion.warehouse import RawWarehouse

_SQL = (Path(__file__).parent / "sql" / "new_event_identifiers.sql").read_text(encoding="utf-8")
_FIELDS = pa.schema(
    [(name, pa.string()) for name in ("event_name", "identifier_type", "value_path", "type_path")]
)
_CHUNK = 100_000


def new_event_identifiers(raw: RawWarehouse, registry: Registry, key: IdentifierKey) -> pa.Table:
    """Rows of raw.identifiers for the views `accepted` and `duplicates` of the load in progress."""
    raw.connection.register("fields", _identifier_fields(registry))
    try:
        found = raw.connection.execute(_SQL)
        parts = [IDENTIFIERS.empty_table()]
        while rows := found.fetchmany(_CHUNK):
            parts.append(identifier_rows(rows, key))
    finally:
        raw.connection.unregister("fields")
    return pa.concat_tables(parts)


def _identifier_fields(registry: Registry) -> pa.Table:
    """Which property of which event carries an identifier, as JSON paths."""
    rows = [
        {
            "event_name": contract.name,
            "identifier_type": field.type,
            "value_path": "$." + field.path.removeprefix("properties."),
            "type_path": field.type_path and "$." + field.type_path.removeprefix("properties."),
        }
        for contract in registry.contracts
        for field in contract.identifiers
    ]
    return pa.Table.from_pylist(rows, schema=_FIELDS)
