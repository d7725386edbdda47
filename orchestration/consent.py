"""An operator's record of a person's answer, as the event that enters through the front door."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

POLICY_VERSION = "operator"


@dataclass(frozen=True)
class ConsentChange:
    """What an operator was told: granted or withdrawn, for one purpose at one channel and one address."""

    status: str
    channel: str
    purpose: str
    identifier_type: str
    identifier: str


def consent_event(
    change: ConsentChange, *, anchor: tuple[str, str] | None, message_id: str, occurred_at: datetime
) -> dict[str, Any]:
    """The Segment `track` call that the contract consent_changed describes.

    `anchor` is a user_id or anonymous_id of the person. An address that belongs to nobody yet gets an
    anonymous id of its own, because every event must name someone.
    """
    kind, value = anchor or ("anonymous_id", f"operator-{message_id}")
    moment = occurred_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "type": "track",
        "event": "Consent Changed",
        "messageId": message_id,
        "timestamp": moment,
        "userId" if kind == "user_id" else "anonymousId": value,
        "properties": {
            "channel": change.channel,
            "purpose": change.purpose,
            "status": change.status,
            "capture_method": "agent",
            "identifier_type": change.identifier_type,
            "identifier": change.identifier,
            "policy_version": POLICY_VERSION,
        },
        "context": {"library": {"name": "cdp", "version": "cli"}},
    }


def to_line(event: dict[str, Any]) -> bytes:
    """One line of the event log, without its end."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
