"""Builds the SQL that turns a sync's mapped columns into one canonical JSON text per person.

Canonical: fields in order of name, text by JSON's escapes, numbers as decimals of a fixed scale, times in
ISO 8601 UTC with microseconds. The same row gives the same text on every engine and in every run, so its
hash can be kept.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from activation.config import Sync
from activation.errors import ConfigError
from activation.sync_file import MappedField

MAX_NUMBER = "1e28"  # what a decimal of 38 digits with 9 of them fractional can hold
# type of a field -> the types of a column that are it; a number may be fractional too
TYPES: Mapping[str, tuple[str, ...]] = {
    "text": ("VARCHAR",),
    "integer": ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"),
    "number": ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"),
    "boolean": ("BOOLEAN",),
    "date": ("DATE",),
    "timestamp": ("TIMESTAMP",),
}
# type of a field -> what a property of an event is read as
PROPERTY_TYPES: Mapping[str, str] = {
    "text": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
}
# transform -> the types it takes, its expression, the type it gives
TRANSFORMS: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "trim": (("VARCHAR",), "trim({})", "VARCHAR"),
    "lower": (("VARCHAR",), "lower({})", "VARCHAR"),
    "upper": (("VARCHAR",), "upper({})", "VARCHAR"),
    "sha256": (("VARCHAR",), "sha256({})", "VARCHAR"),
    "md5": (("VARCHAR",), "md5({})", "VARCHAR"),
    "date": (("TIMESTAMP", "DATE"), "cast({} as date)", "DATE"),
    "epoch_seconds": (("TIMESTAMP", "DATE"), "cast(floor(epoch({})) as bigint)", "BIGINT"),
}


@dataclass(frozen=True)
class PayloadSql:
    """Expressions over the source's mart and `marts.profiles`, and what they are made of.

    `made_of`: field -> how it is made, in words that change when the payload of a person does: the column,
    its type, transforms and null policy.
    """

    key: str
    payload: str
    has_bad_value: str
    made_of: Mapping[str, str]


def payload_sql(sync: Sync, columns: Mapping[str, Mapping[str, str]]) -> PayloadSql:
    """The expressions of a sync; `columns` is table -> column -> type, in order of precedence.

    Raises ConfigError for a column that no table has, that has another type than the file says, or whose
    type has no canonical text.
    """
    pieces: list[str] = []
    checks: list[str] = ["false"]
    made_of: dict[str, str] = {}
    # the key of a message is its occurrence key, and the address a field like the others
    for field in sorted(set(sync.mapping) - ({sync.key} if sync.occurrence is None else set())):
        mapped = sync.mapping[field]
        label = _literal(json.dumps(field, ensure_ascii=False) + ":")
        if mapped.value is not None:
            pieces.append(f"{label} || {_constant(mapped.value)}")
            made_of[field] = f"constant {json.dumps(mapped.value)}"
            continue
        value, kind = _transformed(sync, field, mapped, columns)
        text = _json_text(sync, field, mapped, value, kind)
        missing = {"send": "'null'", "omit": "null", "default": _constant(mapped.default)}[mapped.when_null]
        pieces.append(f"{label} || case when {value} is null then {missing} else {text} end")
        made_of[field] = _described(mapped, kind)
        if _is_fractional(kind):
            checks.append(f"coalesce(not (abs({value}) < {MAX_NUMBER}), false)")
    key, key_kind = _transformed(sync, sync.key, sync.mapping[sync.key], columns)
    # PostgreSQL keeps no zero byte, SQLite does: no plan may depend on which of them has the ledger
    checks.append(f"coalesce(contains(cast({key} as varchar), chr(0)), false)")
    has_bad_value = " or ".join(checks)
    body = f"concat_ws(',', {', '.join(pieces)})" if pieces else "''"
    key = f"cast({key} as varchar)"
    if sync.occurrence is not None:
        key = f"case when trim({key}) <> '' then {sync.source.tables[0]}.occurrence_key end"
    return PayloadSql(
        key=key,
        payload=f"case when not ({has_bad_value}) then '{{' || {body} || '}}' end",
        has_bad_value=has_bad_value,
        made_of={sync.key: _described(sync.mapping[sync.key], key_kind), **made_of},
    )


def _described(mapped: MappedField, kind: str) -> str:
    origin = f"column {mapped.column}" if mapped.column else f"property {mapped.property}"
    parts = [f"{origin} as {kind.lower()}", *mapped.transform, f"null {mapped.when_null}"]
    if mapped.default is not None:
        parts.append(json.dumps(mapped.default))
    if _is_fractional(kind):
        parts.append(f"{mapped.decimals} decimals")
    return ", ".join(parts)


def _transformed(
    sync: Sync, field: str, mapped: MappedField, columns: Mapping[str, Mapping[str, str]]
) -> tuple[str, str]:
    """The column's value after its transforms, and its type."""
    if mapped.property is not None:
        kind = PROPERTY_TYPES[mapped.type or "text"]
        text = f"json_extract_string({sync.source.tables[0]}.properties, {_literal('$.' + mapped.property)})"
        value = f"try_cast({text} as {kind})"
    else:
        value, kind = _resolve(sync, field, mapped, columns)
    if (
        mapped.type is not None
        and kind not in TYPES[mapped.type]
        and not (mapped.type == "number" and _is_fractional(kind))
    ):
        raise ConfigError(
            f"{sync.file}: mapping.{field}.type: expected {mapped.type}, and column {mapped.column!r} has "
            f"type {kind}. Cast it in the mart, or correct the type."
        )
    for transform in mapped.transform:
        takes, expression, kind_after = TRANSFORMS[transform]
        if kind not in takes:
            raise ConfigError(
                f"{sync.file}: mapping.{field}.transform: {transform!r} takes {' or '.join(takes)}, and what "
                f"it gets of {mapped.column or mapped.property!r} is {kind}. Take it out, or cast the column "
                "in the mart."
            )
        value, kind = expression.format(value), kind_after
    return value, kind


def _resolve(
    sync: Sync, field: str, mapped: MappedField, columns: Mapping[str, Mapping[str, str]]
) -> tuple[str, str]:
    for table, types in columns.items():
        if mapped.column is not None and mapped.column in types:
            return f'{table}."{mapped.column}"', types[mapped.column]
    known = sorted({column for types in columns.values() for column in types})
    raise ConfigError(
        f"{sync.file}: mapping.{field}.column: {mapped.column!r} is not a column of "
        f"{' or '.join(f'marts.{table}' for table in columns)}; expected one of: {', '.join(known)}. "
        "Correct it, or add the column to the mart."
    )


def _json_text(sync: Sync, field: str, mapped: MappedField, value: str, kind: str) -> str:
    if kind == "VARCHAR":
        return f"cast(to_json({value}) as varchar)"
    if kind in TYPES["integer"]:
        return f"cast({value} as varchar)"
    if kind == "BOOLEAN":
        return f"case when {value} then 'true' else 'false' end"
    if _is_fractional(kind):
        # The same text, five times as fast where 64 bits hold it. `try_cast`: a value beyond the range
        # is reported as BAD_VALUE by its own check.
        narrow, wide = (
            f"cast(try_cast({value} as decimal({digits}, {mapped.decimals})) as varchar)"
            for digits in (18, 38)
        )
        return f"case when abs({value}) < 1e{17 - mapped.decimals} then {narrow} else {wide} end"
    if kind == "TIMESTAMP":
        return f"strftime({value}, '\"%Y-%m-%dT%H:%M:%S.%fZ\"')"
    if kind == "DATE":
        return f"strftime({value}, '\"%Y-%m-%d\"')"
    raise ConfigError(
        f"{sync.file}: mapping.{field}.column: {mapped.column!r} has type {kind}, which has no canonical "
        "text; "
        "expected text, a number, a boolean, a date or a timestamp. Cast it in the mart."
    )


def _constant(value: object) -> str:
    return _literal(json.dumps(value, ensure_ascii=False))


def _is_fractional(kind: str) -> bool:
    return kind in ("DOUBLE", "FLOAT") or kind.startswith("DECIMAL")


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
