"""A contract version as one JSON Schema (draft 2020-12) of the whole event in our envelope."""

from typing import Any

from ingestion.contract import Contract

_TEXT = {"type": "string", "pattern": r"\S"}
_ID = {"anyOf": [_TEXT, {"type": "integer"}]}
# What the envelope may say beside the event itself; only what is said here is checked in it.
ENVELOPE: dict[str, Any] = {
    "event_id": {**_ID, "description": "The event's own id; a repeat has the same."},
    "occurred_at": {"type": "string", "format": "date-time", "description": "When it happened, with a zone."},
    "user_id": {**_ID, "description": "Who did it, known by name."},
    "anonymous_id": {**_ID, "description": "The device or browser."},
    "account_id": {**_ID, "description": "The account that it is about."},
    "session_id": {"description": "The visit."},
    "trace_id": {"description": "The request that it belongs to."},
    "channel": {"description": "Where it happened, such as web."},
    "campaign_id": {"description": "What brought the person."},
    "consent": {"description": "What the person agreed to when it happened."},
}
IDENTITIES = ("user_id", "anonymous_id", "account_id")


def json_schema(contract: Contract) -> dict[str, Any]:
    """The schema; what it accepts, the collector's `/v1/events` takes and validation accepts."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:cdp:contract:{contract.name}:{contract.version}",
        "title": f"{contract.name} {contract.version}",
        "description": contract.description.strip(),
        "type": "object",
        "required": ["event_name", "event_id", "occurred_at", "properties"],
        "anyOf": [{"required": [name], "properties": {name: _ID}} for name in IDENTITIES],
        "properties": {
            "event_name": {"const": contract.name},
            "version": {"const": contract.version},
            **{name: {"description": said["description"]} if name in IDENTITIES else said
               for name, said in ENVELOPE.items()},
            "properties": contract.properties,
        },
    }  # fmt: skip
