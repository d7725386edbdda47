"""The whole chain behind one person: what joined them, their answers, their audiences, what was sent."""

from collections.abc import Mapping
from typing import Any

import duckdb

from activation.source import Source
from orchestration.identity.explanation import why_nobodys
from orchestration.sql_files import one_row, rows


def explain_person(
    connection: duckdb.DuckDBPyConnection,
    *,
    identifier_type: str,
    identifier_value: str,
    syncs: Mapping[str, Source],
) -> dict[str, Any]:
    """Everything known, as one JSON-ready document; `syncs` is sync name to where it takes its rows from.

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
    contact_points = rows(connection, "person_contact_points", key)
    return {
        "asked": asked,
        "canonical_id": person["canonical_id"],
        "found": "one person",
        "profile": one_row(connection, "person_profile", key),
        "identities": rows(connection, "person_identities", key),
        "edges": rows(connection, "person_edges", key),
        "contact_points": contact_points,
        "consent_history": rows(connection, "person_consent_history", key),
        "audiences": audiences,
        "operations": operations,
        "syncs": [
            {"sync": name, "source": str(source)}
            | {"wanted": _wanted(source, audiences, contact_points), "sent": _sent(name, operations)}
            for name, source in sorted(syncs.items())
        ],
    }


def _why_nobody(connection: duckdb.DuckDBPyConnection, asked: Mapping[str, str]) -> str:
    known = one_row(connection, "identity_identifier", asked)
    if known is None:
        return "unknown: no event and no extract ever carried it"
    return f"nobody's: {why_nobodys(known)}"


def _wanted(source: Source, audiences: list[dict[str, Any]], contact_points: list[dict[str, Any]]) -> str:
    """Whether the source has this person, and why, in one sentence."""
    name, channel = source.name, source.channel
    if source.purpose is not None:
        rules = {
            point["decision"]: point["rule"]
            for point in contact_points
            if (point["channel"], point["purpose"]) == (channel, source.purpose)
        }
        of_events = f", of each event {name}" if source.events else ""
        if "allow" in rules:
            return f"wanted{of_events}: reachable for {source.purpose} at {channel} ({rules['allow']})"
        return f"kept out, for {source.purpose} at {channel}: {rules.get('deny', 'no address')}"
    membership = next((m for m in audiences if (m["audience_name"], m["channel"]) == (name, channel)), None)
    if membership is None:
        return f"not wanted: does not match the rule of {name}"
    if membership["is_member"]:
        return f"wanted: member of {name} at {channel} ({membership['reason']})"
    return f"kept out of {name} at {channel}: {membership['reason']}"


def _sent(name: str, operations: list[dict[str, Any]]) -> str:
    """What a sync last did about this person, in one sentence."""
    last = next((o for o in reversed(operations) if o["sync_name"] == name), None)
    if last is None:
        return "nothing was ever sent"
    because = f" ({last['reason']})" if last["reason"] else ""
    return f"last operation: {last['operation']} is {last['state']}{because}, planned {last['planned_at']}"
