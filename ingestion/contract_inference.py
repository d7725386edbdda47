"""A draft contract from sample events: what every sample has in common, for a person to correct.

Nothing is guessed about values that were not seen, except where a rule is proposed: an enum, a format, the
PII class. Memory is bounded by the shape of the events, not by their number.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import jsonschema_rs
import orjson
import yaml

from ingestion.contract import PII, Owner
from ingestion.errors import RejectedInputError
from ingestion.inspection import properties_of
from ingestion.records import Note, split_record
from ingestion.wires import NAMED_CALLS, as_segment

# An enum is proposed for at most so many values, each seen so often on average.
MOST_VALUES = 8
EACH_SEEN = 20
_DEEPEST = 6
_MOST_FIELDS = 500
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KINDS = {type(None): "null", bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
_FORMATS = {
    name: jsonschema_rs.Draft202012Validator({"format": name}, validate_formats=True).is_valid
    for name in ("date-time", "date", "uuid", "email")
}
_DIRECT = re.compile(
    r"e_?mail|phone|mobile|first_?name|last_?name|full_?name|street|address|birth|iban", re.I
)
_INDIRECT = re.compile(
    r"(^|_)(id|ip|city|zip|post_?code|country|device|agent|url|lat|lon)($|_)|[a-z]Id$", re.I
)


@dataclass
class Samples:
    """What was read: the fields of each event by its contract name, and the lines that are no event."""

    events: dict[str, "_Values"] = field(default_factory=dict)
    unread: dict[int, str] = field(default_factory=dict)
    unread_lines: int = 0


@dataclass
class _Values:
    """What was seen in one place of an event."""

    seen: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    texts: set[str] | None = field(default_factory=set)
    formats: set[str] = field(default_factory=lambda: set(_FORMATS))
    fields: dict[str, "_Values"] = field(default_factory=dict)
    items: "_Values | None" = None

    def add(self, value: object, depth: int = 0) -> None:
        self.seen += 1
        kind = _KINDS.get(type(value), "object")
        self.kinds[kind] += 1
        if isinstance(value, str):
            self.formats = {name for name in self.formats if _FORMATS[name](value)}
            if self.texts is not None:
                self.texts.add(value)
                self.texts = self.texts if len(self.texts) <= MOST_VALUES else None
        elif isinstance(value, dict) and depth < _DEEPEST:
            for name, inner in value.items():
                if name in self.fields or len(self.fields) < _MOST_FIELDS:
                    self.fields.setdefault(name, _Values()).add(inner, depth + 1)
        elif isinstance(value, list) and depth < _DEEPEST:
            self.items = self.items or _Values()
            for inner in value:
                self.items.add(inner, depth + 1)


def read_samples(lines: Iterable[bytes], most_unread: int = 20) -> Samples:
    """Events in our envelope or an SDK's calls, one a line; other lines are counted, the first with why.

    A line may be a record of the event log too, as `cdp events read` prints it, with its wire format.
    """
    samples = Samples()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        found = _event(line)
        if isinstance(found, str):
            samples.unread_lines += 1
            if len(samples.unread) < most_unread:
                samples.unread[number] = found
        else:
            name, properties = found
            samples.events.setdefault(name, _Values()).add(properties)
    return samples


def draft_contract(samples: Samples, event: str, owner: Owner, today: date) -> str:
    """The draft as the text of a contract file; every sample is valid under it.

    Raises RejectedInputError for an event that no sample is of.
    """
    if event not in samples.events:
        known = ", ".join(sorted(samples.events)) or "none"
        raise RejectedInputError(f"No sample is of an event {event!r}; the file has: {known}.")
    values = samples.events[event]
    properties = _object(values, values.seen)
    document = {
        "name": event,
        "description": f"TODO say what happened. Drafted from {values.seen} samples.",
        "owner": owner.model_dump(),
        "freshness": {"expect_within_hours": 24},
        "versions": [
            {
                "version": "1.0.0",
                "status": "draft",
                "purposes": ["analytics"],
                "identifiers": _identifiers(properties),
                "properties": properties,
            }
        ],
        "changelog": [{"version": "1.0.0", "date": today, "change": "First version."}],
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)


def contract_name(event: str) -> str:
    """`order_completed` of `Order Completed`, `orderCompleted` or `order-completed`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", event)
    name = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")
    return f"event_{name}"[:63] if name[:1].isdigit() else name[:63]


def _event(line: bytes) -> tuple[str, Mapping[str, Any]] | str:
    note: Note = {}
    if not line.startswith(b"{") and (parts := split_record(line.partition(b"\t")[2])) is not None:
        note, line = parts.note, parts.raw
    try:
        message = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return f"no JSON: {error.msg}"
    if not isinstance(message, dict):
        return "no JSON object"
    message = as_segment(message, note or {"wire": "cdp" if "event_name" in message else "segment"})
    call = message.get("type")
    name = message.get("event") if call in NAMED_CALLS else call
    if not isinstance(name, str) or not contract_name(name):
        return "no event_name, and no call of an SDK with a name"
    properties = properties_of(message)
    if not isinstance(properties, dict):
        return "properties that are no object"
    return contract_name(name), properties


def _object(values: _Values, of: int) -> dict[str, Any]:
    """The schema of an object whose fields were seen in `of` objects."""
    described = {name: inner for name, inner in sorted(values.fields.items()) if _NAME.fullmatch(name)}
    return {
        "type": "object",
        "required": [name for name, inner in described.items() if inner.seen == of],
        "properties": {name: _schema(name, inner, of) for name, inner in described.items()},
    }


def _schema(name: str, values: _Values, of: int) -> dict[str, Any]:
    kinds = sorted(values.kinds)
    if "number" in kinds and "integer" in kinds:
        kinds.remove("integer")
    schema: dict[str, Any] = {"type": kinds[0] if len(kinds) == 1 else kinds}
    pii = _pii(name, values)
    formats = values.formats if kinds == ["string"] else set()
    if formats:
        schema["format"] = min(formats)
    elif kinds == ["string"] and pii == "none" and _is_enum(values):
        schema = {"enum": sorted(values.texts or ())}
    if "object" in kinds and values.fields:
        inner = _object(values, values.kinds["object"])
        schema |= {key: inner[key] for key in ("required", "properties")}
    if "array" in kinds and values.items is not None and values.items.seen:
        schema["items"] = _items(values.items)
    seen = "every event" if values.seen == of else f"{values.seen} of {of} events"
    return schema | {PII: pii, "description": f"TODO say what it means. Seen in {seen}."}


def _items(values: _Values) -> dict[str, Any]:
    schema = _schema("", values, values.seen)
    return {
        key: value for key, value in schema.items() if key not in (PII, "description", "enum", "format")
    } or {}


def _is_enum(values: _Values) -> bool:
    return bool(values.texts) and values.seen >= EACH_SEEN * len(values.texts or ())


def _pii(name: str, values: _Values) -> str:
    if _DIRECT.search(name) or (values.kinds["string"] and "email" in values.formats):
        return "direct"
    return "indirect" if _INDIRECT.search(name) else "none"


def _identifiers(properties: dict[str, Any]) -> list[dict[str, str]]:
    """Addresses by which a person may be found; whether they are authoritative, only a person can say."""
    return [
        {"path": f"properties.{name}", "type": kind, "role": "mergeable"}
        for name, schema in properties["properties"].items()
        for kind in ("email", "phone")
        if kind in name.lower() and schema[PII] == "direct" and schema.get("type") == "string"
    ]
