"""The tables of the `raw` schema: their names and typed columns, in one place for loading and reading."""

from typing import Any, Final

import pyarrow as pa

from ingestion.sources.sfmc_files import KINDS, FileKind

TEXT: Final = pa.string()
WHOLE: Final = pa.int64()
TIME: Final = pa.timestamp("us")
FLAG: Final = pa.bool_()
SHARE: Final = pa.float64()


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema(list(columns.items()))


EVENTS: Final = _schema(
    event_id=TEXT,
    event_name=TEXT,
    version=TEXT,
    occurred_at=TIME,
    received_at=TIME,
    source_system=TEXT,
    user_id=TEXT,
    account_id=TEXT,
    anonymous_id=TEXT,
    trace_id=TEXT,
    session_id=TEXT,
    channel=TEXT,
    campaign_id=TEXT,
    consent=TEXT,
    properties=TEXT,
    segment=TEXT,
    line=WHOLE,
    batch_id=TEXT,
)
EVENTS_QUARANTINED: Final = _schema(
    event_id=TEXT,
    event_name=TEXT,
    received_at=TIME,
    source_system=TEXT,
    code=TEXT,
    path=TEXT,
    expected=TEXT,
    found=TEXT,
    contract_version=TEXT,
    reasons=TEXT,
    raw_line=TEXT,
    raw_encoding=TEXT,
    note=TEXT,
    segment=TEXT,
    line=WHOLE,
    batch_id=TEXT,
)
EVENTS_DUPLICATED: Final = _schema(
    event_id=TEXT,
    event_name=TEXT,
    received_at=TIME,
    source_system=TEXT,
    segment=TEXT,
    line=WHOLE,
    batch_id=TEXT,
)
EVENTS_REPLAYED: Final = _schema(
    event_id=TEXT,
    event_name=TEXT,
    received_at=TIME,
    source_system=TEXT,
    code=TEXT,
    path=TEXT,
    expected=TEXT,
    found=TEXT,
    contract_version=TEXT,
    segment=TEXT,
    line=WHOLE,
    quarantined_in=TEXT,
    outcome=TEXT,
    replayed_at=TIME,
    batch_id=TEXT,
)
EVENT_BATCHES: Final = _schema(
    batch_id=TEXT,
    segment=TEXT,
    first_line=WHOLE,
    last_line=WHOLE,
    end_byte=WHOLE,
    received=WHOLE,
    accepted=WHOLE,
    duplicates=WHOLE,
    quarantined=WHOLE,
    loaded_at=TIME,
)
IDENTIFIERS: Final = _schema(
    identifier_type=TEXT,
    raw_value=TEXT,
    normalised_value=TEXT,
    is_valid=FLAG,
    invalid_reason=TEXT,
    identifier_key=TEXT,
    key_id=TEXT,
    first_seen_at=TIME,
    batch_id=TEXT,
)
DEFINITIONS: Final = _schema(
    kind=TEXT,
    name=TEXT,
    version=TEXT,
    content_hash=TEXT,
    content=TEXT,
    loaded_at=TIME,
)
LEGACY_FILES: Final = _schema(
    system=TEXT,
    file_sha256=TEXT,
    archive_name=TEXT,
    member_name=TEXT,
    kind=TEXT,
    row_count=WHOLE,
    status=TEXT,
    code=TEXT,
    reason=TEXT,
    loaded_at=TIME,
)
# Written by `cdp identity match`: pairs of profiles that may be one person's, `from_key` the smaller key.
IDENTITY_SUSPICIONS: Final = _schema(
    from_key=TEXT,
    to_key=TEXT,
    score=SHARE,
    agreement=TEXT,
    rules_hash=TEXT,
    suspected_at=TIME,
    matched_at=TIME,
)


def _legacy_schema(kind: FileKind) -> pa.Schema:
    columns = dict.fromkeys(kind.raw_columns, TEXT)
    return _schema(**columns, row_id=TEXT, file_sha256=TEXT, line=WHOLE)


RAW_TABLES: Final[dict[str, pa.Schema]] = {
    "events": EVENTS,
    "events_quarantined": EVENTS_QUARANTINED,
    "events_duplicated": EVENTS_DUPLICATED,
    "events_replayed": EVENTS_REPLAYED,
    "event_batches": EVENT_BATCHES,
    "identifiers": IDENTIFIERS,
    "definitions": DEFINITIONS,
    "legacy_files": LEGACY_FILES,
    "identity_suspicions": IDENTITY_SUSPICIONS,
    **{kind.table: _legacy_schema(kind) for kind in KINDS},
}
_DLT_TYPES: Final[dict[pa.DataType, dict[str, Any]]] = {
    TEXT: {"data_type": "text"},
    WHOLE: {"data_type": "bigint"},
    FLAG: {"data_type": "bool"},
    SHARE: {"data_type": "double"},
    TIME: {"data_type": "timestamp", "timezone": False, "precision": 6},
}


def dlt_columns(schema: pa.Schema) -> dict[str, Any]:
    """The columns of a table as dlt wants them described; it writes into them, so each is one of its own."""
    return {field.name: dict(_DLT_TYPES[field.type]) for field in schema}
