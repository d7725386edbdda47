"""A contract version as an Avro record of the whole event in our envelope, for topics with a schema registry.

Optional fields are unions with null. An enum whose values are Avro names is an Avro enum. A free-form object
is a map of plain values. What Avro cannot say (patterns, ranges, lengths) stands as `constraints` in the
field; validation checks it all the same.
"""

import re
from collections.abc import Iterator
from typing import Any

from ingestion.contract import PII, UNIT, Contract
from ingestion.errors import RejectedInputError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN = {"string": "string", "integer": "long", "number": "double", "boolean": "boolean", "null": "null"}
_ANY = ["null", "boolean", "long", "double", "string"]
_SAID_ELSEWHERE = frozenset(
    {"type", "enum", "properties", "required", "items", "description", "additionalProperties"}
)
_TIME = {"type": "long", "logicalType": "timestamp-micros"}
_ENVELOPE = (
    *("version", "user_id", "anonymous_id", "account_id"),
    *("session_id", "trace_id", "channel", "campaign_id"),
)


def avro_schema(contract: Contract) -> dict[str, Any]:
    """The record; raises RejectedInputError for a field whose name Avro does not allow."""
    return {
        "type": "record",
        "name": contract.name,
        "namespace": f"cdp.v{contract.major}",
        "doc": f"{contract.description.strip()} Contract version {contract.version}.",
        "fields": [
            {"name": "event_name", "type": "string", "doc": f"Always {contract.name}."},
            {"name": "event_id", "type": "string", "doc": "The event's own id; a repeat has the same."},
            {"name": "occurred_at", "type": _TIME, "doc": "When it happened, UTC."},
            *({"name": name, "type": ["null", "string"], "default": None} for name in _ENVELOPE),
            {"name": "consent", "type": ["null", {"type": "map", "values": _ANY}], "default": None},
            {"name": "properties", "type": _record(contract, contract.properties, "properties")},
        ],
    }


def _record(contract: Contract, schema: dict[str, Any], path: str) -> dict[str, Any]:
    required = set(schema.get("required", ()))
    return {
        "type": "record",
        "name": f"{contract.name}_{path}",
        "fields": [
            _field(contract, name, inner, f"{path}_{name}", is_required=name in required)
            for name, inner in schema.get("properties", {}).items()
        ],
    }


def _field(
    contract: Contract, name: str, schema: dict[str, Any], path: str, *, is_required: bool
) -> dict[str, Any]:
    if not _NAME.fullmatch(name):
        raise RejectedInputError(
            f"{contract.name} {contract.version} cannot be written as Avro: the field {name!r} is no Avro "
            "name (letters, digits and underscores); export it as jsonschema."
        )
    branches = list(_branches(contract, schema, path))
    found: dict[str, Any] = {"name": name, "doc": schema.get("description", "")}
    if is_required:
        found["type"] = branches[0] if len(branches) == 1 else branches
    else:
        found["type"] = ["null", *(branch for branch in branches if branch != "null")]
        found["default"] = None
    said = {"pii": schema.get(PII), "unit": schema.get(UNIT)}
    rules = {key: value for key, value in schema.items() if key not in _SAID_ELSEWHERE and key[:2] != "x-"}
    return {
        **found,
        **{key: value for key, value in said.items() if value},
        **({"constraints": rules} if rules else {}),
    }


def _branches(contract: Contract, schema: dict[str, Any], path: str) -> Iterator[Any]:
    """The types that a value of the field may have."""
    values = schema["enum"] if "enum" in schema else [schema["const"]] if "const" in schema else None
    if values is not None and all(isinstance(value, str) for value in values):
        if all(_NAME.fullmatch(value) for value in values):
            yield {"type": "enum", "name": f"{contract.name}_{path}", "symbols": values}
        else:
            yield "string"
        return
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if not kinds:
        yield from _ANY
    for kind in kinds:
        if kind == "object" and schema.get("properties"):
            yield _record(contract, schema, path)
        elif kind == "object":
            yield {"type": "map", "values": _ANY}
        elif kind == "array":
            inner = list(_branches(contract, schema.get("items") or {}, path))
            yield {"type": "array", "items": inner[0] if len(inner) == 1 else inner}
        else:
            yield _PLAIN[kind]
