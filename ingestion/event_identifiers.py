"""The identifiers that events carry, as the contracts say, and of them those that are new."""

from pathlib import Path

import pyarrow as pa

from ingestion.identifiers import IdentifierKey, identifier_rows
from ingestion.registry import Registry
from ingestion.warehouse import RawWarehouse

_SQL = (Path(__file__).parent / "sql" / "new_event_identifiers.sql").read_text(encoding="utf-8")
_FIELDS = pa.schema(
    [(name, pa.string()) for name in ("event_name", "version", "identifier_type", "value_path", "type_path")]
)


def new_event_identifiers(raw: RawWarehouse, registry: Registry, key: IdentifierKey) -> pa.Table:
    """Rows of raw.identifiers for the views `accepted` and `duplicates` of the load in progress."""
    raw.connection.register("fields", _identifier_fields(registry))
    try:
        found = raw.connection.execute(_SQL).to_arrow_table()
    finally:
        raw.connection.unregister("fields")
    return identifier_rows(found, key)


def _identifier_fields(registry: Registry) -> pa.Table:
    """Which property of which event carries an identifier, as JSON paths."""
    rows = [
        {
            "event_name": contract.name,
            "version": contract.version,
            "identifier_type": field.type,
            "value_path": "$." + field.path.removeprefix("properties."),
            "type_path": field.type_path and "$." + field.type_path.removeprefix("properties."),
        }
        for contract in registry.contracts
        for field in contract.identifiers
    ]
    return pa.Table.from_pylist(rows, schema=_FIELDS)
