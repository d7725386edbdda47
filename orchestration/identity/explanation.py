"""Why two identifiers are one person, or why they are not."""

from collections.abc import Mapping
from typing import Any

import duckdb

from orchestration.errors import FatalOrchestrationError
from orchestration.identity.paths import SURENESS, surest_path
from orchestration.sql_files import one_row, rows


def find_identifier(
    connection: duckdb.DuckDBPyConnection, identifier_type: str, identifier_value: str
) -> dict[str, Any]:
    """What is known of an identifier, given by its normalised value; raises when it was never received."""
    found = one_row(
        connection,
        "identity_identifier",
        {"identifier_type": identifier_type, "identifier_value": identifier_value},
    )
    if found is None:
        raise FatalOrchestrationError(
            f"No event and no extract that the last run read carried this {identifier_type}; check the "
            "spelling, or run `cdp run` if it arrived since."
        )
    return found


def why_nobodys(identifier: Mapping[str, Any]) -> str:
    """Why an identifier without a person has none."""
    if identifier["refused_because"] is not None:
        return str(identifier["refused_because"])
    if identifier["shared_because"] is not None:
        return f"it is shared: {identifier['shared_because']}"
    return "no event that the last run decided on carries it"


def explain_identity(
    connection: duckdb.DuckDBPyConnection, one: Mapping[str, Any], other: Mapping[str, Any] | None
) -> dict[str, Any]:
    """One JSON-ready document: the person, and the way from one identifier to the other.

    Without another identifier, the ways from the first to every other one of the person.
    """
    if one["canonical_id"] is None:
        return {"one": one, "verdict": "nobody", "because": why_nobodys(one)}
    key = {"canonical_id": one["canonical_id"]}
    nodes = rows(connection, "identity_person_nodes", key)
    edges = rows(connection, "person_edges", key)
    told: dict[str, Any] = {"one": one, "canonical_id": one["canonical_id"], "nodes": nodes, "edges": edges}
    if other is None:
        goals = [node for node in nodes if node["identifier_key"] != one["identifier_key"]]
        return told | {
            "verdict": "one person",
            "paths": [_path(edges, str(one["identifier_key"]), goal) for goal in goals],
        }
    told["other"] = other
    if other["canonical_id"] == one["canonical_id"]:
        return told | {
            "verdict": "one person",
            "paths": [_path(edges, str(one["identifier_key"]), other)],
        }
    if other["canonical_id"] is None:
        return told | {"verdict": "nobody", "because": f"{name_of(other)}: {why_nobodys(other)}"}
    pair = {"one": one["canonical_id"], "other": other["canonical_id"]}
    other_key = {"canonical_id": other["canonical_id"]}
    return told | {
        "verdict": "two people",
        "other_nodes": rows(connection, "identity_person_nodes", other_key),
        "other_edges": rows(connection, "person_edges", other_key),
        "held": rows(connection, "identity_held", {"link": None, **pair}),
        "shared": rows(connection, "identity_shared_between", pair),
    }


def name_of(identifier: Mapping[str, Any]) -> str:
    """An identifier as a person reads it."""
    return f"{identifier['identifier_type']} {identifier['identifier_value']}"


def _path(edges: list[dict[str, Any]], start: str, goal: Mapping[str, Any]) -> dict[str, Any]:
    # what is only suspected joined nobody, so no way leads over it
    evidence = [edge for edge in edges if edge["score"] is None]
    path = surest_path(evidence, start, str(goal["identifier_key"])) or []
    here, steps = start, []
    for edge in path:
        near, far = ("from", "to") if edge["from_key"] == here else ("to", "from")
        here = edge[f"{far}_key"]
        steps.append({**edge, "from": edge[f"{near}_identifier"], "to": edge[f"{far}_identifier"]})
    return {
        "to": name_of(goal),
        "tier": max((edge["tier"] for edge in path), key=lambda tier: SURENESS[tier], default=None),
        "steps": steps,
    }
