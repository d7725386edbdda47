"""raw.identity_suspicions holds what the last match found, and since when each pair is suspected."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from ingestion.raw_tables import RAW_TABLES
from orchestration.errors import FatalOrchestrationError
from orchestration.identity.matching import PAIRS
from orchestration.identity.suspicions import Suspected, read_profiles, replace_suspicions

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
TUESDAY = MONDAY + timedelta(days=1)


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        connection.execute("create schema raw")
        connection.register("given", RAW_TABLES["identity_suspicions"].empty_table())
        connection.execute("create table raw.identity_suspicions as from given")
        yield connection


def pairs(*rows: tuple[str, str, float]) -> pa.Table:
    return pa.Table.from_pylist(
        [{"from_key": a, "to_key": b, "score": score, "agreement": "phone same"} for a, b, score in rows],
        schema=PAIRS,
    )


def kept(warehouse: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    return warehouse.execute(
        "select from_key, to_key, score, rules_hash, suspected_at, matched_at "
        "from raw.identity_suspicions order by all"
    ).fetchall()


def test_a_new_match_takes_the_place_of_the_last_and_keeps_since_when(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    first = replace_suspicions(
        warehouse, pairs(("a", "b", 0.95), ("c", "d", 0.9)), rules_hash="r1", at=MONDAY
    )
    second = replace_suspicions(
        warehouse, pairs(("a", "b", 0.97), ("e", "f", 0.99)), rules_hash="r2", at=TUESDAY
    )

    assert first == Suspected(pairs=2, new_pairs=2, gone_pairs=0)
    assert second == Suspected(pairs=2, new_pairs=1, gone_pairs=1)
    monday, tuesday = MONDAY.replace(tzinfo=None), TUESDAY.replace(tzinfo=None)
    assert kept(warehouse) == [
        ("a", "b", 0.97, "r2", monday, tuesday),
        ("e", "f", 0.99, "r2", tuesday, tuesday),
    ]


def test_a_match_that_finds_nothing_leaves_nothing(warehouse: duckdb.DuckDBPyConnection) -> None:
    replace_suspicions(warehouse, pairs(("a", "b", 0.95)), rules_hash="r1", at=MONDAY)
    assert replace_suspicions(warehouse, pairs(), rules_hash="r1", at=TUESDAY) == Suspected(0, 0, 1)
    assert kept(warehouse) == []


def test_a_match_that_fails_leaves_what_was_there(warehouse: duckdb.DuckDBPyConnection) -> None:
    replace_suspicions(warehouse, pairs(("a", "b", 0.95)), rules_hash="r1", at=MONDAY)
    before = kept(warehouse)
    broken = pairs(("c", "d", 0.9)).drop_columns(["agreement"])
    with pytest.raises(duckdb.Error):
        replace_suspicions(warehouse, broken, rules_hash="r2", at=TUESDAY)
    assert kept(warehouse) == before


def test_a_warehouse_without_models_says_to_run(warehouse: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(FatalOrchestrationError, match="Start `cdp run` and try again"):
        read_profiles(warehouse)
