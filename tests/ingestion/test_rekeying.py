"""Another key for the identifiers: every table that carries a key carries the new one, no more changes."""

import itertools

import duckdb
import pytest

from ingestion.errors import FatalIngestionError
from ingestion.identifiers import IdentifierKey
from ingestion.raw_tables import RAW_TABLES
from ingestion.rekeying import rekey_warehouse

FORMER, NEW = IdentifierKey(b"the former secret"), IdentifierKey(b"the new secret")
PEOPLE = [f"u{number}" for number in range(20)]


@pytest.fixture
def warehouse() -> duckdb.DuckDBPyConnection:
    """Twenty identifiers, suspicions about each two neighbours, state, and a view that needs no mending."""
    connection = duckdb.connect()
    connection.execute("create schema raw; create schema marts; create schema activation")
    for table in ("identifiers", "identity_suspicions"):
        connection.register("given", RAW_TABLES[table].empty_table())
        connection.execute(f"create table raw.{table} as select * from given")
    for person in PEOPLE:
        connection.execute(
            "insert into raw.identifiers by name select 'user_id' as identifier_type, ? as raw_value, "
            "? as normalised_value, true as is_valid, ? as identifier_key, ? as key_id",
            [f" {person}", person, FORMER.key_of("user_id", person), FORMER.key_id],
        )
    connection.execute(
        "insert into raw.identifiers by name select 'email' as identifier_type, 'nobody' as raw_value, "
        "false as is_valid, ? as key_id",
        [FORMER.key_id],
    )
    for one, other in itertools.pairwise(PEOPLE):
        pair = sorted((FORMER.key_of("user_id", one), FORMER.key_of("user_id", other)))
        connection.execute(
            "insert into raw.identity_suspicions by name select ? as from_key, ? as to_key, 0.9 as score",
            pair,
        )
    connection.execute(
        "create table marts.identity_changes as select identifier_key, "
        "null::varchar as other_identifier_key, normalised_value from raw.identifiers where is_valid"
    )
    connection.execute("create view marts.told as select identifier_key from raw.identifiers where is_valid")
    connection.execute("create table activation.acknowledged as select identifier_key from marts.told")
    return connection


def test_every_table_carries_the_new_keys(warehouse: duckdb.DuckDBPyConnection) -> None:
    pairs = rekey_warehouse(warehouse, FORMER, NEW)

    assert pairs == {FORMER.key_of("user_id", each): NEW.key_of("user_id", each) for each in PEOPLE}
    ours = {each: NEW.key_of("user_id", each) for each in PEOPLE}
    for table in ("raw.identifiers where is_valid", "marts.identity_changes"):
        found = warehouse.execute(f"select normalised_value, identifier_key from {table}").fetchall()
        assert dict(found) == ours
    assert {key for (key,) in warehouse.execute("from activation.acknowledged").fetchall()} == set(
        ours.values()
    )
    suspected = warehouse.execute("select from_key, to_key from raw.identity_suspicions").fetchall()
    assert {frozenset(pair) for pair in suspected} == {
        frozenset((ours[one], ours[other])) for one, other in itertools.pairwise(PEOPLE)
    }
    assert all(one < other for one, other in suspected)
    assert warehouse.execute("select distinct key_id from raw.identifiers").fetchall() == [(NEW.key_id,)]


def test_to_do_it_again_changes_nothing_and_tells_the_same_pairs(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    pairs = rekey_warehouse(warehouse, FORMER, NEW)
    before = warehouse.execute("from raw.identifiers order by all").fetchall()
    assert rekey_warehouse(warehouse, FORMER, NEW) == pairs
    assert warehouse.execute("from raw.identifiers order by all").fetchall() == before


def test_a_key_that_was_never_used_here_is_refused(warehouse: duckdb.DuckDBPyConnection) -> None:
    before = warehouse.execute("from raw.identifiers order by all").fetchall()
    with pytest.raises(FatalIngestionError, match=f"keyed with {FORMER.key_id}"):
        rekey_warehouse(warehouse, IdentifierKey(b"a third secret"), NEW)
    assert warehouse.execute("from raw.identifiers order by all").fetchall() == before
