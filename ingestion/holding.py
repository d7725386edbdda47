"""Holds back what came together with too much that is wrong: a sender that broke is no witness.

The unit is what one source has in one batch of the log. When more of it is refused than the source's limit,
its other lines go to quarantine too, as BATCH_HELD, until a person has looked: `cdp quarantine replay --code
BATCH_HELD` lets them in. A withdrawal of consent is never held: a no counts at once, whoever else was wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.errors import FatalIngestionError
from ingestion.event_log import EventLog, Slice
from ingestion.inspection import Reason, Refusal
from ingestion.raw_tables import EVENTS_QUARANTINED
from ingestion.records import split_record
from ingestion.registry import Hold, Registry
from ingestion.validation import Validated, refusal_row
from ingestion.validation_pool import ValidatedBatch

HELD = "BATCH_HELD"
_KEPT = ("received_at", "source_system", "segment", "line", "batch_id")
# The properties are compact JSON, so this is how a withdrawal is written.
_WITHDRAWN = '"status":"withdrawn"'


def hold_broken_sources(log: EventLog, registry: Registry, batch: ValidatedBatch) -> ValidatedBatch:
    """The batch, with the accepted lines of every source that is over its limit moved to quarantine."""
    accepted, refused = batch.tables.accepted, batch.tables.quarantined
    holds = {source.name: source.hold for source in registry.sources}
    if refused.num_rows < min(hold.refused_share * hold.of_at_least for hold in holds.values()):
        return batch
    good, bad = _counts(accepted), _counts(refused)
    held = [refused]
    for source, hold in holds.items():
        lines = good.get(source, 0) + bad.get(source, 0)
        if not _is_over(hold, bad.get(source, 0), lines):
            continue
        is_held = pc.and_(pc.equal(accepted["source_system"], source), pc.invert(_is_withdrawal(accepted)))
        reason = Reason(
            HELD,
            "",
            f"at most {hold.refused_share:.0%} of what source {source} has in a batch to be refused",
            f"{bad[source]:,} of {lines:,} lines",
        )
        held.append(quarantined_rows(log, batch.batch.slices, accepted.filter(is_held), reason))
        accepted = accepted.filter(pc.invert(is_held))
    return replace(batch, tables=Validated(accepted, pa.concat_tables(held)))


def quarantined_rows(log: EventLog, slices: Sequence[Slice], rows: pa.Table, reason: Reason) -> pa.Table:
    """Accepted rows as rows of raw.events_quarantined, each with its line as it stands in the log."""
    found: list[Mapping[str, Any]] = []
    by_segment: dict[str, list[dict[str, Any]]] = {}
    for row in rows.to_pylist():
        by_segment.setdefault(row["segment"], []).append(row)
    for part in slices:
        wanted = [
            row
            for row in by_segment.get(part.segment, ())
            if part.first_line <= row["line"] <= part.last_line
        ]
        lines = log.read(part).split(b"\n") if wanted else []
        for row in wanted:
            refusal = Refusal((reason,), row["event_id"], row["event_name"], row["version"])
            parts = split_record(lines[row["line"] - part.first_line])
            if parts is None:
                raise FatalIngestionError(
                    f"Line {row['line']} of segment {part.segment} was accepted and is no record; nothing of "
                    "it counts as loaded. This is a defect: report it."
                )
            kept = {name: row[name] for name in _KEPT}
            found.append({**refusal_row(refusal, parts.raw, parts.note), **kept})
    return pa.Table.from_pylist(found, schema=EVENTS_QUARANTINED)


def _counts(rows: pa.Table) -> dict[str | None, int]:
    counted = pc.value_counts(rows["source_system"].combine_chunks())
    return {each["values"].as_py(): each["counts"].as_py() for each in counted}


def _is_over(hold: Hold, refused: int, lines: int) -> bool:
    return lines >= hold.of_at_least and refused > hold.refused_share * lines


def _is_withdrawal(accepted: pa.Table) -> pa.ChunkedArray:
    is_consent = pc.equal(accepted["event_name"], "consent_changed")
    return pc.and_(is_consent, pc.match_substring(accepted["properties"], _WITHDRAWN))
