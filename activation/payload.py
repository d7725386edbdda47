"""Builds the SQL that turns a sync's mapped columns into one canonical JSON text per person.

Canonical: fields in order of name, text by JSON's escapes, numbers as decimals of a fixed scale, times in
ISO 8601 UTC with microseconds. The same row gives the same text on every engine and in every run, so its
hash can be kept.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from activation.config import MappedField, Sync
from activation.errors import ConfigError

MAX_NUMBER = "1e28"  # what a decimal of 38 digits with 9 of them fractional can hold


@dataclass(frozen=True)
class PayloadSql:
    """Expressions over `audience_memberships` and `profiles`."""

    key: str
    payload: str
    has_bad_value: str


def payload_sql(sync: Sync, columns: Mapping[str, Mapping[str, str]]) -> PayloadSql:
    """The three expressions of a sync; `columns` is table -> column -> type, in order of precedence.

    Raises ConfigError for a column that no table has, or whose type has no canonical text.
    """
    pieces: list[str] = []
    checks: list[str] = ["false"]
    for field in sorted(set(sync.mapping) - {sync.key}):
        mapped = sync.mapping[field]
        reference, kind = _resolve(sync, field, mapped, columns)
        text = _json_text(sync, field, mapped, reference, kind)
        label = _literal(json.dumps(field, ensure_ascii=False) + ":")
        missing = "'null'" if mapped.when_null == "send" else "null"
        value = f"{label} || case when {reference} is null then {missing} else {text} end"
        pieces.append(value)
        if _is_fractional(kind):
            checks.append(f"coalesce(not (abs({reference}) < {MAX_NUMBER}), false)")
    key_reference, _ = _resolve(sync, sync.key, sync.mapping[sync.key], columns)
    has_bad_value = " or ".join(checks)
    body = f"concat_ws(',', {', '.join(pieces)})" if pieces else "''"
    return PayloadSql(
        key=f"cast({key_reference} as varchar)",
        payload=f"case when not ({has_bad_value}) then '{{' || {body} || '}}' end",
        has_bad_value=has_bad_value,
    )


def _resolve(
    sync: Sync, field: str, mapped: MappedField, columns: Mapping[str, Mapping[str, str]]
) -> tuple[str, str]:
    for table, types in columns.items():
        if mapped.column in types:
            return f'{table}."{mapped.column}"', types[mapped.column]
    known = sorted({column for types in columns.values() for column in types})
    raise ConfigError(
        f"{sync.file}: mapping.{field}.column: {mapped.column!r} is not a column of "
        "marts.audience_memberships or "
        f"marts.profiles; expected one of: {', '.join(known)}. Correct it, or add the column to the mart."
    )


def _json_text(sync: Sync, field: str, mapped: MappedField, reference: str, kind: str) -> str:
    if kind == "VARCHAR":
        return f"cast(to_json({reference}) as varchar)"
    if kind in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"):
        return f"cast({reference} as varchar)"
    if kind == "BOOLEAN":
        return f"case when {reference} then 'true' else 'false' end"
    if _is_fractional(kind):
        # `try_cast`: a value beyond the range is reported as BAD_VALUE by its own check.
        return f"cast(try_cast({reference} as decimal(38, {mapped.decimals})) as varchar)"
    if kind == "TIMESTAMP":
        return f"strftime({reference}, '\"%Y-%m-%dT%H:%M:%S.%fZ\"')"
    if kind == "DATE":
        return f"strftime({reference}, '\"%Y-%m-%d\"')"
    raise ConfigError(
        f"{sync.file}: mapping.{field}.column: {mapped.column!r} has type {kind}, which has no canonical "
        "text; "
        "expected text, a number, a boolean, a date or a timestamp. Cast it in the mart."
    )


def _is_fractional(kind: str) -> bool:
    return kind in ("DOUBLE", "FLOAT") or kind.startswith("DECIMAL")


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
