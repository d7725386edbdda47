"""An operator's decision about two identifiers, as the event that enters through the front door."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from ingestion.records import Record, format_time
from ingestion.registry import OPERATOR_SOURCE
from orchestration.errors import FatalOrchestrationError

Decision = Literal["join", "keep_apart", "withdraw"]
# An event needs somebody it is about; this is the house itself, and no person is made of an account.
ACCOUNT = "operations"
MOST_REASON, MOST_NAME = 1000, 200


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

    Raises FatalOrchestrationError for a reason that says nothing.
    """
    for name, value, most in (
        ("--reason", reason, MOST_REASON),
        ("the operator's name", decided_by, MOST_NAME),
    ):
        if not 0 < len(value.strip()) <= most:
            raise FatalOrchestrationError(
                f"{name} has {len(value.strip())} characters, expected 1 to {most}; others will read it "
                "later, so say it in a sentence."
            )
    properties = {
        "decision": decision,
        "from_type": one["identifier_type"],
        "from_identifier": one["identifier_value"],
        "to_type": other["identifier_type"],
        "to_identifier": other["identifier_value"],
        "reason": reason.strip(),
        "decided_by": decided_by.strip(),
    }
    content = json.dumps([properties, format_time(at)], ensure_ascii=False, sort_keys=True).encode()
    message = {
        "messageId": "identity-" + hashlib.sha256(content).hexdigest()[:32],
        "type": "track",
        "event": "Identity Decided",
        "context": {"groupId": ACCOUNT},
        "timestamp": format_time(at),
        "properties": properties,
    }
    return Record(
        at, OPERATOR_SOURCE, json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
    )
