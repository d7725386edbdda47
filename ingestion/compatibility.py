"""How far a change of a contract reaches: patch, minor or major, by rules that are written down here.

- **major**: an event that was right before may be refused now, or a reader may take a value for something
  that it is not: a field removed (a renamed one is removed and added), added as required or made required;
  a type, enum, length, range, pattern or format narrowed; a unit or meaning changed; a PII class loosened;
  an identifier removed or changed; a purpose added or removed; any rule that cannot be compared, changed.
- **widened**: every event that was right is right still, but readers may see values they never saw. It is
  minor when the changelog's entry lists the consumers who can read them, else major.
- **minor**: an optional field added, a PII class tightened, an identifier added.
- **patch**: words only.

Additional properties that a contract does not describe are nobody's promise: a field that is described for
the first time counts as added.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ingestion.contract import MEANING, PII, PII_CLASSES, UNIT, Change, VersionEntry, version_key

Step = Literal["patch", "minor", "major"]
STEPS: tuple[Step, ...] = ("patch", "minor", "major")
_WORDS = {"description", "title", "examples", "default", "$comment", "$schema", "$id"}
# A larger value of these allows less.
_LOWER_LIMITS = ("minLength", "minimum", "exclusiveMinimum", "minItems", "minProperties")
_UPPER_LIMITS = ("maxLength", "maximum", "exclusiveMaximum", "maxItems", "maxProperties")
_SAME_OR_NARROWER = ("pattern", "format", "multipleOf")
_COMPARED = {
    *_WORDS, *_LOWER_LIMITS, *_UPPER_LIMITS, *_SAME_OR_NARROWER, PII, UNIT, MEANING,
    "type", "enum", "const", "uniqueItems", "properties", "required", "items",
    "additionalProperties", "dependentRequired",
}  # fmt: skip
_TYPES = frozenset({"null", "boolean", "integer", "fraction", "string", "array", "object"})


@dataclass(frozen=True)
class Difference:
    """One thing that differs between two versions, and the smallest step that may carry it."""

    path: str
    rule: str
    step: Step
    is_widening: bool = False


def differences(old: VersionEntry, new: VersionEntry, entry: Change | None) -> list[Difference]:
    """What differs from the old version to the new one; `entry` is what the changelog says of the new."""
    found = [
        *_schemas("", old.properties, new.properties),
        *_identifiers(old, new),
        *_purposes(old, new),
    ]
    listed = entry is not None and bool(entry.consumers)
    return [
        Difference(each.path, each.rule, "minor" if listed else "major", is_widening=True)
        if each.is_widening
        else each
        for each in found
    ]


def needed_step(found: list[Difference]) -> Step:
    """The smallest step that may carry all of them; nothing but the number changed is a patch."""
    return max((each.step for each in found), key=STEPS.index, default="patch")


def step_between(old: str, new: str) -> Step:
    """What a producer announces by going from one version number to a later one."""
    before, after = version_key(old), version_key(new)
    if after[0] != before[0]:
        return "major"
    return "minor" if after[1] != before[1] else "patch"


def _schemas(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    if old == new:
        return
    yield from _values(path, old, new)
    yield from _limits(path, old, new)
    yield from _meaning(path, old, new)
    yield from _members(path, old, new)
    yield from _array_items(path, old, new)
    if any(old.get(word) != new.get(word) for word in _WORDS):
        yield Difference(path, "description changed", "patch")
    for keyword in sorted({*old, *new} - _COMPARED):
        if old.get(keyword) != new.get(keyword):
            yield Difference(path, f"rule '{keyword}' changed, which cannot be compared", "major")


def _values(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    """Types and enums: what values there may be at all."""
    before, after = _types(old), _types(new)
    if before - after:
        yield Difference(path, f"type narrowed: {_said(old)} to {_said(new)}", "major")
    elif after - before:
        yield _widened(path, f"type widened: {_said(old)} to {_said(new)}")
    was, now = _enum(old), _enum(new)
    if was is None and now is None:
        return
    if was is None:
        yield Difference(path, "enum added", "major")
    elif now is None:
        yield _widened(path, "enum removed")
    else:
        if any(value not in now for value in was):
            yield Difference(path, "enum narrowed", "major")
        if any(value not in was for value in now):
            yield _widened(path, "enum widened")


def _limits(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    for keyword, sign in [*((each, 1) for each in _LOWER_LIMITS), *((each, -1) for each in _UPPER_LIMITS)]:
        was, now = old.get(keyword), new.get(keyword)
        if was == now:
            continue
        if now is not None and (was is None or sign * now > sign * was):
            yield Difference(path, f"'{keyword}' narrowed: {was} to {now}", "major")
        else:
            yield _widened(path, f"'{keyword}' widened: {was} to {now}")
    for keyword in _SAME_OR_NARROWER:
        was, now = old.get(keyword), new.get(keyword)
        if was != now and now is None:
            yield _widened(path, f"'{keyword}' removed")
        elif was != now:
            yield Difference(path, f"'{keyword}' {'added' if was is None else 'changed'}", "major")
    if bool(old.get("uniqueItems")) != bool(new.get("uniqueItems")):
        if new.get("uniqueItems"):
            yield Difference(path, "'uniqueItems' added", "major")
        else:
            yield _widened(path, "'uniqueItems' removed")


def _meaning(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    for keyword, said in ((UNIT, "unit"), (MEANING, "meaning")):
        if old.get(keyword) != new.get(keyword):
            yield Difference(path, f"{said} changed: {old.get(keyword)} to {new.get(keyword)}", "major")
    was, now = old.get(PII), new.get(PII)
    if was != now:
        is_looser = _care(now) < _care(was)
        said = f"PII class {'loosened' if is_looser else 'tightened'}: {was} to {now}"
        yield Difference(path, said, "major" if is_looser else "minor")


def _members(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    """The fields of an object, which of them must be there, and whether others may be."""
    was, now = old.get("properties", {}), new.get("properties", {})
    needed_before, needed_now = set(old.get("required", ())), set(new.get("required", ()))
    for name in sorted({*was, *now, *needed_before, *needed_now}):
        inner = f"{path}.{name}" if path else name
        if name in was and name not in now:
            yield Difference(inner, "field removed", "major")
        elif name not in was and name in now:
            if name in needed_now:
                yield Difference(inner, "field added as required", "major")
            else:
                yield Difference(inner, "optional field added", "minor")
            continue
        if name in needed_now - needed_before:
            yield Difference(inner, "field made required", "major")
        elif name in needed_before - needed_now and name in now:
            yield _widened(inner, "field made optional")
        if name in was and name in now:
            yield from _inner(inner, was[name], now[name])
    yield from _additional(path, old, new)
    before, after = _pairs(old), _pairs(new)
    if after - before:
        yield Difference(path, "'dependentRequired' narrowed", "major")
    elif before - after:
        yield _widened(path, "'dependentRequired' widened")


def _additional(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    was, now = old.get("additionalProperties", True), new.get("additionalProperties", True)
    if was == now:
        return
    if isinstance(was, dict) and isinstance(now, dict):
        yield from _schemas(f"{path}.*" if path else "*", was, now)
    elif now is True or was is False:
        yield _widened(path, "other fields allowed")
    else:
        yield Difference(path, "other fields refused or limited", "major")


def _array_items(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    was, now = old.get("items", True), new.get("items", True)
    if was != now:
        yield from _inner(path, was, now)


def _inner(path: str, old: object, new: object) -> Iterator[Difference]:
    """A schema inside a schema: an object, or just true or false."""
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _schemas(path, old, new)
    elif old == new:
        return
    elif new is True or new == {} or old is False:
        yield _widened(path, "every value allowed")
    else:
        yield Difference(path, "values limited for the first time", "major")


def _identifiers(old: VersionEntry, new: VersionEntry) -> Iterator[Difference]:
    was = {each.path: each for each in old.identifiers}
    now = {each.path: each for each in new.identifiers}
    for path in sorted({*was, *now}):
        name = path.removeprefix("properties.")
        if path not in now:
            yield Difference(name, "identifier removed", "major")
        elif path not in was:
            yield Difference(name, "identifier added", "minor")
        elif was[path] != now[path]:
            yield Difference(name, "identifier changed in type or role", "major")


def _purposes(old: VersionEntry, new: VersionEntry) -> Iterator[Difference]:
    for purpose in sorted(set(new.purposes) - set(old.purposes)):
        yield Difference("", f"purpose added: {purpose}", "major")
    for purpose in sorted(set(old.purposes) - set(new.purposes)):
        yield Difference("", f"purpose removed: {purpose}", "major")


def _widened(path: str, rule: str) -> Difference:
    return Difference(path, rule, "major", is_widening=True)


def _types(schema: Mapping[str, Any]) -> frozenset[str]:
    """The kinds of value allowed; a number is an integer or a fraction."""
    said = schema.get("type")
    if said is None:
        return _TYPES
    named = {said} if isinstance(said, str) else set(said)
    return frozenset(named - {"number"} | ({"integer", "fraction"} if "number" in named else set()))


def _said(schema: Mapping[str, Any]) -> str:
    said = schema.get("type", "any")
    return said if isinstance(said, str) else " or ".join(said)


def _enum(schema: Mapping[str, Any]) -> list[Any] | None:
    """The values listed, told apart as JSON does: true is not 1."""
    listed = [schema["const"]] if "const" in schema else schema.get("enum")
    return None if listed is None else [(type(value) is bool, value) for value in listed]


def _pairs(schema: Mapping[str, Any]) -> set[tuple[str, str]]:
    said = schema.get("dependentRequired", {})
    return {(one, other) for one, others in said.items() for other in others}


def _care(pii: object) -> int:
    return PII_CLASSES.index(pii) if pii in PII_CLASSES else -1
