"""The whole chain behind one person: what joined them, their answers, their audiences, what was sent."""

from collections.abc import Mapping
from typing import Any

import duckdb

from orchestration.identity.explanation import why_nobodys
from orchestration.sql_files import one_row, rows


def explain_person(
    connection: duckdb.DuckDBPyConnection,
    *,
    identifier_type: str,
    identifier_value: str,
    syncs: Mapping[str, tuple[str, str]],
) -> dict[str, Any]:
    """Everything known, as one JSON-ready document; `syncs` is sync name to (audience, channel).

    `identifier_value` is normalised. An identifier that is unknown, or shared and thus nobody's, is
    answered with the reason in `found`.
    """
    asked = {"identifier_type": identifier_type, "identifier_value": identifier_value}
    person = one_row(connection, "person_by_identifier", asked)
    if person is None:
        return {"asked": asked, "canonical_id": None, "found": _why_nobody(connection, asked)}
    key = {"canonical_id": person["canonical_id"]}
    audiences = [
        row | {"standing": "member" if row["is_member"] else "kept out"}
        for row in rows(connection, "person_audiences", key)
    ]
    operations = rows(connection, "person_operations", key)
    return {
        "asked": asked,
        "canonical_id": person["canonical_id"],
        "found": "one person",
        "profile": one_row(connection, "person_profile", key),
        "identities": rows(connection, "person_identities", key),
        "edges": rows(connection, "person_edges", key),
        "contact_points": rows(connection, "person_contact_points", key),
        "consent_history": rows(connection, "person_consent_history", key),
        "audiences": audiences,
        "operations": operations,
        "syncs": [
            {"sync": name, "audience": audience, "channel": channel}
            | _standing(name, audience, channel, audiences, operations)
            for name, (audience, channel) in sorted(syncs.items())
        ],
    }


def _why_nobody(connection: duckdb.DuckDBPyConnection, asked: Mapping[str, str]) -> str:
    known = one_row(connection, "identity_identifier", asked)
    if known is None:
        return "unknown: no event and no extract ever carried it"
    return f"nobody's: {why_nobodys(known)}"


def _standing(
    name: str,
    audience: str,
    channel: str,
    audiences: list[dict[str, Any]],
    operations: list[dict[str, Any]],
) -> dict[str, Any]:
    """Where this person stands with one sync, and why, in one sentence."""
    membership = next(
        (m for m in audiences if (m["audience_name"], m["channel"]) == (audience, channel)), None
    )
    last = next((o for o in reversed(operations) if o["sync_name"] == name), None)
    if membership is None:
        wanted = f"not wanted: does not match the rule of {audience}"
    elif membership["is_member"]:
        wanted = f"wanted: member of {audience} at {channel} ({membership['reason']})"
    else:
        wanted = f"kept out of {audience} at {channel}: {membership['reason']}"
    if last is None:
        sent = "nothing was ever sent"
    else:
        because = f" ({last['reason']})" if last["reason"] else ""
        sent = (
            f"last operation: {last['operation']} is {last['state']}{because}, planned {last['planned_at']}"
        )
    return {"wanted": wanted, "sent": sent}
