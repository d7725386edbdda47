"""Each rule of compatibility both ways, and the promise behind them: only a major change breaks a sender."""

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.compatibility import STEPS, Difference, differences, needed_step, step_between
from ingestion.contract import Change, IdentifierField, VersionEntry

EMAIL = {"path": "properties.email", "type": "email", "role": "mergeable"}


def version(properties: dict[str, Any], **other: Any) -> VersionEntry:
    return VersionEntry.model_validate(
        {
            "version": "1.0.0",
            "status": "active",
            "purposes": ["analytics"],
            "identifiers": [],
            "properties": properties,
            **other,
        }
    )


def fields(required: tuple[str, ...] = (), **schemas: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": schemas}


def field(**schema: Any) -> dict[str, Any]:
    return fields(price={"type": "number", "x-pii": "none", "description": "A price.", **schema})


def found(old: dict[str, Any], new: dict[str, Any], entry: Change | None = None) -> list[Difference]:
    return differences(version(old), version(new), entry)


TEXT = {"type": "string"}
RULES = [
    (fields(), fields(size=TEXT), "size", "optional field added", "minor"),
    (fields(), fields(("size",), size=TEXT), "size", "field added as required", "major"),
    (fields(size=TEXT), fields(), "size", "field removed", "major"),
    (fields(size=TEXT), fields(("size",), size=TEXT), "size", "field made required", "major"),
    (fields(("size",), size=TEXT), fields(size=TEXT), "size", "field made optional", "widened"),
    (field(), field(type="integer"), "price", "type narrowed: number to integer", "major"),
    (field(type="integer"), field(), "price", "type widened: integer to number", "widened"),
    (field(), field(type="string"), "price", "type narrowed: number to string", "major"),
    (field(), field(type=["number", "null"]), "price", "type widened: number to number or null", "widened"),
    (field(), field(enum=[1]), "price", "enum added", "major"),
    (field(enum=[1, 2]), field(enum=[1]), "price", "enum narrowed", "major"),
    (field(enum=[1]), field(enum=[1, 2]), "price", "enum widened", "widened"),
    (field(enum=[1]), field(), "price", "enum removed", "widened"),
    (field(enum=[1, 2]), field(const=2), "price", "enum narrowed", "major"),
    (field(minimum=0), field(minimum=1), "price", "'minimum' narrowed: 0 to 1", "major"),
    (field(minimum=1), field(minimum=0), "price", "'minimum' widened: 1 to 0", "widened"),
    (field(maximum=9), field(maximum=8), "price", "'maximum' narrowed: 9 to 8", "major"),
    (field(), field(maximum=8), "price", "'maximum' narrowed: None to 8", "major"),
    (field(maxLength=8), field(), "price", "'maxLength' widened: 8 to None", "widened"),
    (field(), field(pattern="^a"), "price", "'pattern' added", "major"),
    (field(pattern="^a"), field(pattern="^b"), "price", "'pattern' changed", "major"),
    (field(pattern="^a"), field(), "price", "'pattern' removed", "widened"),
    (field(), field(uniqueItems=True), "price", "'uniqueItems' added", "major"),
    (field(), field(**{"x-unit": "EUR"}), "price", "unit changed: None to EUR", "major"),
    (
        field(**{"x-meaning": "net"}), field(**{"x-meaning": "gross"}),
        "price", "meaning changed: net to gross", "major",
    ),
    (
        field(**{"x-pii": "direct"}), field(**{"x-pii": "indirect"}),
        "price", "PII class loosened: direct to indirect", "major",
    ),
    (
        field(**{"x-pii": "indirect"}), field(**{"x-pii": "direct"}),
        "price", "PII class tightened: indirect to direct", "minor",
    ),
    (field(), field(description="The price shown."), "price", "description changed", "patch"),
    (fields(), {**fields(), "additionalProperties": False}, "", "other fields refused or limited", "major"),
    ({**fields(), "additionalProperties": False}, fields(), "", "other fields allowed", "widened"),
    (fields(), {**fields(), "dependentRequired": {"a": ["b"]}}, "", "'dependentRequired' narrowed", "major"),
    (
        fields(), {**fields(), "not": {"required": ["a"]}},
        "", "rule 'not' changed, which cannot be compared", "major",
    ),
    (
        fields(items={"type": "array", "items": fields(sku=TEXT)}),
        fields(items={"type": "array", "items": fields()}),
        "items.sku", "field removed", "major",
    ),
    (
        fields(items={"type": "array"}),
        fields(items={"type": "array", "items": TEXT}),
        "items", "values limited for the first time", "major",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "path", "rule", "step"), RULES)
def test_each_rule_says_where_what_and_how_far(
    old: dict[str, Any], new: dict[str, Any], path: str, rule: str, step: str
) -> None:
    is_widening = step == "widened"
    expected = Difference(path, rule, "major" if is_widening else step, is_widening)  # type: ignore[arg-type]
    assert found(old, new) == [expected]


def test_a_widened_type_is_minor_when_the_consumers_who_can_read_it_are_listed() -> None:
    entry = Change.model_validate(
        {"version": "1.1.0", "date": "2026-11-24", "change": "x", "consumers": ["finance"]}
    )
    [widened] = found(field(type="integer"), field(), entry)
    assert (widened.step, widened.is_widening) == ("minor", True)
    assert needed_step(found(field(), field(type="integer"), entry)) == "major"


@pytest.mark.parametrize(
    ("old", "new", "step"),
    [
        ([], [EMAIL], "minor"),
        ([EMAIL], [], "major"),
        ([EMAIL], [{**EMAIL, "role": "authoritative"}], "major"),
        ([EMAIL], [{**EMAIL, "type": "phone"}], "major"),
        ([EMAIL], [EMAIL], "patch"),
    ],
)
def test_an_identifier_that_changes_may_merge_or_part_people(
    old: list[dict[str, str]], new: list[dict[str, str]], step: str
) -> None:
    before, after = (
        version(fields(), identifiers=[IdentifierField.model_validate(each) for each in identifiers])
        for identifiers in (old, new)
    )
    assert needed_step(differences(before, after, None)) == step


@pytest.mark.parametrize("purposes", [[], ["analytics", "marketing"], ["marketing"]])
def test_another_purpose_is_a_major_change(purposes: list[str]) -> None:
    assert needed_step(differences(version(fields()), version(fields(), purposes=purposes), None)) == "major"


@pytest.mark.parametrize(
    ("old", "new", "step"),
    [
        ("1.0.0", "1.0.1", "patch"),
        ("1.0.9", "1.1.0", "minor"),
        ("1.9.9", "2.0.0", "major"),
        ("1.9.9", "1.10.0", "minor"),
        ("0.1.0", "1.0.0", "major"),
    ],
)
def test_a_version_announces_its_step(old: str, new: str, step: str) -> None:
    assert step_between(old, new) == step


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 2.0]) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("pqr"), inner, max_size=3),
    max_leaves=5,
)
KINDS = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
LIMITS = st.integers(-1, 3)
SIZES = st.integers(0, 3)
SCHEMAS = st.deferred(
    lambda: st.fixed_dictionaries(
        {},
        optional={
            "type": KINDS | st.lists(KINDS, min_size=1, max_size=3, unique=True),
            "enum": st.lists(VALUES, min_size=1, max_size=3),
            "const": VALUES,
            "minimum": LIMITS, "maximum": LIMITS, "exclusiveMinimum": LIMITS, "multipleOf": st.integers(1, 3),
            "minLength": SIZES, "maxLength": SIZES, "pattern": st.sampled_from(["^a", "b$"]),
            "minItems": SIZES, "maxItems": SIZES, "uniqueItems": st.booleans(),
            "minProperties": SIZES, "maxProperties": SIZES,
            "items": st.booleans() | SCHEMAS,
            "properties": st.dictionaries(st.sampled_from("pqr"), SCHEMAS, max_size=3),
            "required": st.lists(st.sampled_from("pqr"), max_size=2, unique=True),
            "additionalProperties": st.booleans() | SCHEMAS,
            "dependentRequired": st.dictionaries(
                st.sampled_from("pqr"), st.lists(st.sampled_from("pqr"), max_size=2, unique=True), max_size=2
            ),
        },
    )
)  # fmt: skip


def is_described(schema: object, value: object) -> bool:
    """Whether the schema describes every field of the value: others are nobody's promise."""
    if not isinstance(schema, dict):
        return not isinstance(value, dict | list)
    if isinstance(value, dict):
        described = schema.get("properties", {})
        return all(
            name in described and is_described(described[name], inner) for name, inner in value.items()
        )
    if isinstance(value, list):
        return all(is_described(schema.get("items"), inner) for inner in value)
    return True


@st.composite
def changes(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """A schema and another one that shares much of it, at the top and one level down."""
    old, other = draw(SCHEMAS), draw(SCHEMAS)
    keys = [key for key in {*old, *other} if draw(st.booleans())]
    new = {key: value for key, value in old.items() if key not in keys}
    new |= {key: value for key, value in other.items() if key in keys}
    for name, inner in list(new.get("properties", {}).items()):
        if draw(st.booleans()):
            new["properties"] = {**new["properties"], name: {**inner, **draw(SCHEMAS)}}
    return old, new


@pytest.mark.slow
@given(changes(), st.lists(VALUES, min_size=1, max_size=10))
def test_what_is_no_major_change_refuses_nothing_that_was_right(
    change: tuple[dict[str, Any], dict[str, Any]], values: list[object]
) -> None:
    old, new = change
    entry = Change.model_validate(
        {"version": "1.1.0", "date": "2026-11-24", "change": "x", "consumers": ["all"]}
    )
    if STEPS.index(needed_step(found(old, new, entry))) == STEPS.index("major"):
        return
    was, now = (jsonschema_rs.Draft202012Validator(schema) for schema in (old, new))
    for value in [*values, *old.get("enum", []), *([old["const"]] if "const" in old else [])]:
        if was.is_valid(value) and is_described(old, value):
            assert now.is_valid(value), (value, found(old, new, entry))
