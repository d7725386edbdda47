"""A contract version in the Open Data Contract Standard 3.1 (bitol.io)."""

from typing import Any

import yaml

from ingestion.contract import PII, UNIT, Contract

API_VERSION = "v3.1.0"
_OPTIONS = {
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    "integer": ("multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
}
_LOGICAL = ("string", "number", "integer", "boolean", "object", "array")


def odcs(contract: Contract) -> dict[str, Any]:
    """The document as YAML would hold it; what the standard has no word for is a custom property."""
    custom = {
        "consentPurposes": list(contract.purposes),
        "identifiers": [each.model_dump(exclude_none=True) for each in contract.identifiers],
    }
    if contract.deprecated_on:
        custom["deprecatedOn"] = contract.deprecated_on.isoformat()
    return {
        "apiVersion": API_VERSION,
        "kind": "DataContract",
        "id": f"urn:cdp:contract:{contract.name}:{contract.version}",
        "name": contract.name,
        "version": contract.version,
        "status": contract.status,
        "description": {"purpose": " ".join(contract.description.split())},
        "schema": [
            {
                "name": contract.name,
                "logicalType": "object",
                "physicalType": "event",
                "description": " ".join(contract.description.split()),
                "properties": _properties(contract.properties),
            }
        ],
        "team": {
            "name": contract.owner.team,
            "members": [{"username": contract.owner.contact, "role": "owner"}],
        },
        "support": [{"channel": contract.owner.contact}],
        "slaProperties": [
            {"property": "freshness", "value": contract.freshness.expect_within_hours, "unit": "h"}
        ],
        "customProperties": [{"property": name, "value": value} for name, value in custom.items()],
    }


def odcs_text(contract: Contract) -> str:
    """The document as YAML."""
    return yaml.safe_dump(odcs(contract), sort_keys=False, allow_unicode=True, width=110)


def _properties(schema: dict[str, Any]) -> list[dict[str, Any]]:
    required = set(schema.get("required", ()))
    return [
        {"name": name, **_element(inner), "required": name in required}
        for name, inner in schema.get("properties", {}).items()
    ]


def _element(schema: dict[str, Any]) -> dict[str, Any]:
    kind = _kind(schema)
    found: dict[str, Any] = {"logicalType": kind}
    if schema.get("description"):
        found["description"] = schema["description"]
    if schema.get(PII):
        found["classification"] = schema[PII]
    options = {name: schema[name] for name in _OPTIONS.get(kind, ()) if name in schema}
    if options:
        found["logicalTypeOptions"] = options
    if kind == "object" and schema.get("properties"):
        found["properties"] = _properties(schema)
    if kind == "array" and schema.get("items"):
        found["items"] = _element(schema["items"])
    custom = {"unit": schema.get(UNIT), "allowedValues": schema.get("enum")}
    said = [{"property": name, "value": value} for name, value in custom.items() if value]
    return {**found, "customProperties": said} if said else found


def _kind(schema: dict[str, Any]) -> str:
    """The standard's one type of a field; a field that may have several is a text to it."""
    kinds = schema.get("type", ())
    named = [kinds] if isinstance(kinds, str) else [kind for kind in kinds if kind != "null"]
    if not named:
        named = list({_kind_of(value) for value in schema.get("enum", ())})
    return named[0] if len(named) == 1 and named[0] in _LOGICAL else "string"


def _kind_of(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return "number" if isinstance(value, float) else "string"
