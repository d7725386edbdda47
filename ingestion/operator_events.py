"""What an operator decides, as an event like any other: it has its time, its reason and its author."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from ingestion.errors import RejectedInputError
from ingestion.records import Record, format_time
from ingestion.registry import OPERATOR_SOURCE

# An event needs somebody it is about; this is the house itself, and no person is made of an account.
ACCOUNT = "operations"


def stated(reason: str, decided_by: str) -> dict[str, str]:
    """Why and by whom, as properties; raises RejectedInputError for words that say nothing."""
    for name, value, most in (("--reason", reason, 1000), ("the operator's name", decided_by, 200)):
        if not value.strip() or len(value) > most:
            raise RejectedInputError(
                f"{name} has {len(value.strip())} characters, expected 1 to {most}; others will read it "
                "later, so say it in a sentence."
            )
    return {"reason": reason.strip(), "decided_by": decided_by.strip()}


def operator_record(event: str, *, prefix: str, properties: Mapping[str, Any], at: datetime) -> Record:
    """The record of one decision; its id is `prefix` and a hash of what was decided when."""
    content = orjson.dumps([properties, format_time(at)])
    message = {
        "messageId": prefix + hashlib.sha256(content).hexdigest()[:32],
        "type": "track",
        "event": event,
        "context": {"groupId": ACCOUNT},
        "timestamp": format_time(at),
        "properties": properties,
    }
    return Record(at, OPERATOR_SOURCE, orjson.dumps(message))
