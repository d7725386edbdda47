"""Which accepted events were received before: by event_id, in the load in progress and in the warehouse."""

from pathlib import Path

import pyarrow as pa

from ingestion.warehouse import RawWarehouse

_DUPLICATES = (Path(__file__).parent / "sql" / "duplicates.sql").read_text(encoding="utf-8")


def find_duplicates(raw: RawWarehouse, accepted: pa.Table) -> pa.Table:
    """The `position` of every accepted row whose event_id was loaded in the last 30 days of receipt or
    stands earlier in the log; the first by (segment, line) is no duplicate.

    The index is raw.events itself, so it holds exactly what is committed.
    """
    raw.connection.register("accepted", accepted)
    try:
        return raw.connection.execute(_DUPLICATES).to_arrow_table()
    finally:
        raw.connection.unregister("accepted")
