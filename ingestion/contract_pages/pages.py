"""The contracts as pages to browse: one for each event and an index, files that need no server."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ingestion.contract import PII, PII_CLASSES, UNIT, ContractFile, VersionEntry, fields, version_key
from ingestion.field_readers import FindReaders
from ingestion.registry import Registry

_RULES = (
    *("enum", "const", "pattern", "format", "minLength", "maxLength", "minItems", "maxItems"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
)


def contract_pages(registry: Registry, find_readers: FindReaders) -> Iterator[tuple[str, str]]:
    """File name and text of every page; the same contracts always give the same pages."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    files = [_file(file, registry, find_readers) for file in registry.files]
    yield "index.html", templates.get_template("index.html.j2").render(title="Event contracts", files=files)
    page = templates.get_template("contract.html.j2")
    for file in files:
        yield f"{file['name']}.html", page.render(title=f"{file['name']}: event contract", file=file)


def _file(file: ContractFile, registry: Registry, find_readers: FindReaders) -> dict[str, Any]:
    versions = sorted(file.versions, key=lambda each: version_key(each.version), reverse=True)
    calls = sorted(
        f"{source}: {call} {event}" if event else f"{source}: {call}"
        for (source, call, event), contract in registry.calls.items()
        if contract.name == file.name
    )
    newest = _fields(versions[0])
    return {
        "name": file.name,
        "description": file.description.strip(),
        "owner": file.owner,
        "freshness": file.freshness,
        "newest": versions[0].version,
        "status": versions[0].status,
        "pii": [kind for kind in PII_CLASSES[1:] if kind in {field["pii"] for field in newest}],
        "calls": calls,
        "readers": [
            reader.name
            for reader in find_readers(file.name, frozenset())
            if reader.how == "reads" and reader.name.startswith("stg_")
        ],
        "versions": [
            {
                **each.model_dump(),
                "fields": _fields(each),
                "schema": orjson.dumps(each.properties, option=orjson.OPT_INDENT_2).decode(),
            }
            for each in versions
        ],
        "changelog": sorted(file.changelog, key=lambda each: version_key(each.version), reverse=True),
    }


def _fields(version: VersionEntry) -> list[dict[str, Any]]:
    needed = set(_needed(version.properties, ""))
    return [
        {
            "path": path,
            "type": _type(schema),
            "is_required": path in needed,
            "pii": schema.get(PII, "none"),
            "rules": [f"{rule} {orjson.dumps(schema[rule]).decode()}" for rule in _RULES if rule in schema]
            + ([f"unit {schema[UNIT]}"] if UNIT in schema else []),
            "description": schema.get("description", ""),
        }
        for path, schema in fields(version.properties)
    ]


def _needed(schema: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """The paths of required fields; those of an object that is itself optional, when it is there."""
    for name in schema.get("required", ()):
        yield f"{prefix}{name}"
    for name, inner in (schema.get("properties") or {}).items():
        if isinstance(inner, dict):
            yield from _needed(inner, f"{prefix}{name}.")
            if isinstance(inner.get("items"), dict):
                yield from _needed(inner["items"], f"{prefix}{name}.")


def _type(schema: Mapping[str, Any]) -> str:
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return " or ".join(kinds)
    return str(kinds or ("one of these" if "enum" in schema or "const" in schema else "anything"))
