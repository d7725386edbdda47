"""Which accepted events were received before, by event_id, and which of those say something else now."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.inspection import Reason
from ingestion.warehouse import RawWarehouse

# What finding duplicates reads, so that no more of a load goes through DuckDB several times.
_COMPARED = ("event_id", "received_at", "segment", "line", "position")
_SQL_FOLDER = Path(__file__).parent / "sql"
_DUPLICATES = (_SQL_FOLDER / "duplicates.sql").read_text(encoding="utf-8")
_CONFLICTS = (_SQL_FOLDER / "conflicts.sql").read_text(encoding="utf-8")
CONFLICT = Reason(
    "CONFLICTING_DUPLICATE",
    "messageId",
    "an id of its own, or the content that the id had before",
    "other content",
)


def find_duplicates(raw: RawWarehouse, accepted: pa.Table) -> pa.Table:
    """The `position` of every accepted row whose event_id was loaded in the last 30 days of receipt or
    stands earlier in the log; the first by (segment, line) is no duplicate.

    The index is raw.events itself, so it holds exactly what is committed.
    """
    raw.connection.register("accepted", accepted.select(_COMPARED).combine_chunks())
    try:
        return raw.connection.execute(_DUPLICATES).to_arrow_table()
    finally:
        raw.connection.unregister("accepted")


@dataclass(frozen=True)
class Deduplicated:
    """Accepted rows without those in conflict, the positions of duplicates among them, and the conflicts."""

    accepted: pa.Table
    duplicates: pa.Table
    conflicts: pa.Table


def deduplicate(raw: RawWarehouse, accepted: pa.Table) -> Deduplicated:
    """Part the rows of a load (with a `position` each) into facts, duplicates, and ids that were used twice.

    A repeated event_id with another content is no duplicate: one of the two is wrong, and dropping the later
    one would hide which.
    """
    duplicates = find_duplicates(raw, accepted)
    if not duplicates.num_rows:
        return Deduplicated(accepted, duplicates, accepted.slice(0, 0))
    raw.connection.register("accepted", _with_ids_of(accepted, duplicates))
    raw.connection.register("duplicates", duplicates)
    try:
        positions = raw.connection.execute(_CONFLICTS).to_arrow_table()["position"]
    finally:
        raw.connection.unregister("accepted")
        raw.connection.unregister("duplicates")
    if not len(positions):
        return Deduplicated(accepted, duplicates, accepted.slice(0, 0))
    is_conflict = pc.is_in(accepted["position"], value_set=positions.combine_chunks())
    stays = pc.invert(pc.is_in(duplicates["position"], value_set=positions.combine_chunks()))
    return Deduplicated(
        accepted.filter(pc.invert(is_conflict)), duplicates.filter(stays), accepted.filter(is_conflict)
    )


def _with_ids_of(accepted: pa.Table, duplicates: pa.Table) -> pa.Table:
    """The few accepted rows that have an event_id of the duplicates."""
    is_duplicate = pc.is_in(accepted["position"], value_set=duplicates["position"].combine_chunks())
    repeated = accepted["event_id"].filter(is_duplicate).combine_chunks()
    return accepted.filter(pc.is_in(accepted["event_id"], value_set=repeated)).combine_chunks()
