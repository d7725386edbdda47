"""An operator's decision about a sync or a plan, as the event that enters through the front door."""

from collections.abc import Mapping
from datetime import datetime

from ingestion.operator_events import operator_record, stated
from ingestion.records import Record


def sync_decision_record(
    decision: Mapping[str, str], reason: str, *, decided_by: str, at: datetime
) -> Record:
    """The record of the event log; `decision` has the properties of the contract sync_decided.

    Raises RejectedInputError for a reason that says nothing.
    """
    properties = {**decision, **stated(reason, decided_by)}
    return operator_record("Sync Decided", prefix="sync-", properties=properties, at=at)
