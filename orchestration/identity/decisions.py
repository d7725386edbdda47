"""An operator's decision about two identifiers, as the event that enters through the front door."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from ingestion.operator_events import operator_record, stated
from ingestion.records import Record

Decision = Literal["join", "keep_apart", "withdraw"]


def decision_record(
    decision: Decision,
    one: Mapping[str, Any],
    other: Mapping[str, Any],
    *,
    reason: str,
    decided_by: str,
    at: datetime,
) -> Record:
    """The record of the event log; identifiers are rows of identity_identifier.sql.

    Raises RejectedInputError for a reason that says nothing.
    """
    properties = {
        "decision": decision,
        "from_type": one["identifier_type"],
        "from_identifier": one["identifier_value"],
        "to_type": other["identifier_type"],
        "to_identifier": other["identifier_value"],
        **stated(reason, decided_by),
    }
    return operator_record("Identity Decided", prefix="identity-", properties=properties, at=at)
