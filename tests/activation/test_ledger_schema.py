"""Both stores have the same tables: columns, types, keys, indexes, checks, defaults, views and triggers."""

import re
import sqlite3
from pathlib import Path
from typing import Any

import psycopg
import pytest

from activation.ledger import Ledger
from activation.ledger_places import PostgresDatabase
from activation.ledger_schema import COUNTERS, TABLES
from activation.placeholders import with_psycopg_placeholders
from tests.postgres import PostgresServer

TYPES = {"integer": "bigint", "text": "text"}
COLUMNS = """
select table_name, column_name, data_type, is_nullable = 'NO', column_default, collation_name
from information_schema.columns
where table_schema = current_schema() and table_name = any(%s)
order by table_name, ordinal_position
"""
INDEXES = """
select tablename, indexdef from pg_indexes where schemaname = current_schema()
"""
CHECKS = """
select conrelid::regclass::text, pg_get_constraintdef(oid) from pg_constraint
where connamespace = current_schema()::regnamespace and contype = 'c'
"""

Columns = list[tuple[str, str, str, bool, str | None]]


@pytest.fixture
def databases(tmp_path: Path, postgres: PostgresServer) -> tuple[Path, PostgresDatabase]:
    """An empty ledger of either kind."""
    places = (tmp_path / "ledger.sqlite", postgres.new_place())
    for place in places:
        with Ledger(place):
            pass
    return places


def of_sqlite(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(path) as connection:
        return connection.execute(statement).fetchall()


def of_postgres(place: PostgresDatabase, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(place.url) as connection:
        return connection.execute(statement.encode(), values or None).fetchall()


def plain(text: str) -> str:
    """SQL without what the two write differently and mean alike."""
    text = re.sub(r"::(text|bigint|integer)(\[\])?", "", text.lower())
    text = re.sub(r"= any \(\(?array\[(.*?)\]\)?\)", r"in (\1)", text)
    return re.sub(r"[\"\s()]", "", text)


def test_the_tables_are_those_that_a_copy_knows(databases: tuple[Path, PostgresDatabase]) -> None:
    file, database = databases

    in_file = of_sqlite(
        file, "select name from sqlite_schema where type = 'table' and name not like 'sqlite%'"
    )
    in_database = of_postgres(database, "select tablename from pg_tables where schemaname = current_schema()")

    assert {name for (name,) in in_file} == {name for (name,) in in_database} == set(TABLES)


def test_the_columns_are_the_same(databases: tuple[Path, PostgresDatabase]) -> None:
    file, database = databases
    expected = {
        (table, name, TYPES[kind.lower()], bool(not_null or key), default)
        for table in TABLES
        for _, name, kind, not_null, default, key in of_sqlite(file, f"pragma table_info({table})")
    }

    found = of_postgres(database, COLUMNS, list(TABLES))

    assert {row[:5] for row in found} == expected
    assert {collation for *_, kind, _, _, collation in found if kind == "text"} == {"C"}


def _whole_keys(file: Path) -> list[tuple[str, str, bool]]:
    """Table, column, and whether whoever inserts gives it (`not null`), of each whole-number key."""
    return [
        (table, name, bool(not_null))
        for table in TABLES
        for _, name, kind, not_null, _, key in of_sqlite(file, f"pragma table_info({table})")
        if key and kind.lower() == "integer"
    ]


def test_every_counter_is_an_identity(databases: tuple[Path, PostgresDatabase]) -> None:
    file, database = databases
    identities = of_postgres(
        database,
        "select table_name, column_name from information_schema.columns"
        " where table_schema = current_schema() and is_identity = 'YES'",
    )
    row_ids = {table: name for table, name, is_given in _whole_keys(file) if not is_given}

    assert dict(identities) == row_ids == dict(COUNTERS)


def test_the_keys_and_indexes_are_the_same(databases: tuple[Path, PostgresDatabase]) -> None:
    file, database = databases
    expected = set()
    for table in TABLES:
        for _, name, is_unique, _, _ in of_sqlite(file, f"pragma index_list({table})"):
            columns = ",".join(row[2] for row in of_sqlite(file, f"pragma index_info('{name}')"))
            [(text,)] = of_sqlite(file, f"select sql from sqlite_schema where name = '{name}'") or [(None,)]
            where = plain((text or "").partition(" where ")[2] or (text or "").partition("\nwhere ")[2])
            expected.add((table, columns, bool(is_unique), where))
    expected |= {(table, column, True, "") for table, column, _ in _whole_keys(file)}

    found = set()
    for table, text in of_postgres(database, INDEXES):
        parts = re.fullmatch(r"create (unique )?index .* using btree \((.*?)\)(?: where (.*))?", text.lower())
        assert parts, text
        found.add((table, parts[2].replace(" ", ""), bool(parts[1]), plain(parts[3] or "")))

    assert found == expected


def test_the_checks_are_the_same(databases: tuple[Path, PostgresDatabase]) -> None:
    file, database = databases
    expected = set()
    for table, text in of_sqlite(file, "select name, sql from sqlite_schema where type = 'table'"):
        for start in (found.end() for found in re.finditer(r"\bcheck \(", text or "")):
            depth, end = 1, start
            while depth:
                depth += {"(": 1, ")": -1}.get(text[end], 0)
                end += 1
            expected.add((table, plain(text[start : end - 1])))

    found = {
        (table.rpartition(".")[2], plain(text.removeprefix("CHECK ")))
        for table, text in of_postgres(database, CHECKS)
    }

    assert found == expected


def test_the_views_and_triggers_are_the_same(databases: tuple[Path, PostgresDatabase]) -> None:
    file, database = databases

    assert sorted(
        of_sqlite(file, "select type, name, tbl_name from sqlite_schema where type in ('view', 'trigger')")
    ) == sorted(
        of_postgres(
            database,
            "select 'view', viewname::text, viewname::text from pg_views where schemaname = current_schema()"
            " union all select 'trigger', tgname::text, relname::text from pg_trigger"
            " inner join pg_class on pg_class.oid = tgrelid"
            " where relnamespace = current_schema()::regnamespace and not tgisinternal",
        )
    )
    names = [column for (_, column, *_) in of_sqlite(file, "pragma table_info(dead_letters)")]
    assert names == [row[1] for row in of_postgres(database, COLUMNS, ["dead_letters"])]


@pytest.mark.parametrize(
    ("statement", "translated"),
    [
        ("select ? where a = ?", "select %s where a = %s"),
        ("select :a, :a_b", "select %(a)s, %(a_b)s"),
        ("select '?:a' || ?", "select '?:a' || %s"),
        ("select 'it''s ?' where b = :b", "select 'it''s ?' where b = %(b)s"),
        ("select a::bigint, :a", "select a::bigint, %(a)s"),
        ("-- whose? it's :this\nselect ?", "\nselect %s"),
        ("select a % 2 where b like 'x%' and c = ?", "select a %% 2 where b like 'x%%' and c = %s"),
    ],
)
def test_values_keep_their_place_in_psycopgs_words(statement: str, translated: str) -> None:
    assert with_psycopg_placeholders(statement) == translated.encode()
