"""Lines in quarantine that will never be facts: an operator says so once, as an event like any other.

Nothing is removed. The decision enters through the event log, so it has its time, its reason and its author,
can be read as of an earlier moment, and survives a rebuild of the warehouse. From the next load on, the lines
are left out of what is open and of replays, but for a replay that names the very place.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import duckdb

from ingestion.operator_events import operator_record, stated
from ingestion.records import Record
from ingestion.replay import WITH_DISCARDED, Selection

PLACES_IN_EVENT = 1000
_SQL_FOLDER = Path(__file__).parent / "sql"
_PLACES = WITH_DISCARDED + (_SQL_FOLDER / "quarantine_places.sql").read_text("utf-8")


@dataclass(frozen=True)
class DiscardPlan:
    """The lines that would be discarded, and how many there are of each reason."""

    places: tuple[str, ...] = ()
    by_code: dict[str, int] = field(default_factory=dict)


def plan_discard(connection: duckdb.DuckDBPyConnection, selection: Selection) -> DiscardPlan:
    """What a discard of these lines would mean; only reads."""
    found = connection.execute(_PLACES, selection.parameters()).fetchall()
    return DiscardPlan(
        tuple(place for place, _ in found), dict(sorted(Counter(code for _, code in found).items()))
    )


def discard_records(plan: DiscardPlan, *, reason: str, decided_by: str, at: datetime) -> Iterator[Record]:
    """The decision as records of the event log, at most PLACES_IN_EVENT places in each.

    Raises RejectedInputError for a reason or an author that says nothing.
    """
    why = stated(reason, decided_by)
    for start in range(0, len(plan.places), PLACES_IN_EVENT):
        properties = {"places": plan.places[start : start + PLACES_IN_EVENT], **why}
        yield operator_record("Quarantine Discarded", prefix="discard-", properties=properties, at=at)
