"""What was published about who is who outlives the warehouse."""

from pathlib import Path

import duckdb
import pytest

from orchestration.errors import FatalOrchestrationError
from orchestration.identity import published_ids
from orchestration.identity.published_ids import keep_published_ids, kept_builds, restore_published_ids

ASSIGNMENTS = "intermediate.int_identity_assignments"


def warehouse(*builds: int) -> duckdb.DuckDBPyConnection:
    """A warehouse with two identifiers published in each of these builds."""
    connection = duckdb.connect()
    connection.execute("create schema intermediate")
    connection.execute(
        f"create table {ASSIGNMENTS} (identifier_key varchar, assigned_at timestamp, build_number bigint)"
    )
    publish(connection, *builds)
    return connection


def publish(connection: duckdb.DuckDBPyConnection, *builds: int) -> None:
    for build in builds:
        connection.execute(
            f"insert into {ASSIGNMENTS} select 'k' || range, timestamp '2026-01-01', {build} from range(2)"
        )


def published(connection: duckdb.DuckDBPyConnection) -> list[tuple[object, ...]]:
    return connection.execute(f"select * from {ASSIGNMENTS} order by all").fetchall()


def test_a_new_warehouse_is_given_everything_back(tmp_path: Path) -> None:
    ours = warehouse(1)
    assert keep_published_ids(ours, tmp_path) == 2
    publish(ours, 2, 3)
    assert keep_published_ids(ours, tmp_path) == 4
    assert keep_published_ids(ours, tmp_path) == 0

    new = duckdb.connect()
    assert restore_published_ids(new, tmp_path) == 6
    assert published(new) == published(ours)
    assert restore_published_ids(new, tmp_path) == 0


def test_an_older_copy_is_given_what_came_after_it(tmp_path: Path) -> None:
    ours, copy = warehouse(1, 2, 5), warehouse(1, 2)
    keep_published_ids(ours, tmp_path)
    assert restore_published_ids(copy, tmp_path) == 2
    assert published(copy) == published(ours)


def test_many_files_become_one_and_a_merge_that_was_killed_counts_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published_ids, "MOST_FILES", 3)
    ours, folder = warehouse(), tmp_path / "int_identity_assignments"
    for build in range(1, 4):
        publish(ours, build)
        keep_published_ids(ours, tmp_path)
    left_behind = {path.name: path.read_bytes() for path in folder.iterdir()}
    publish(ours, 4)
    keep_published_ids(ours, tmp_path)
    assert [(each.first, each.last) for each in kept_builds(folder)] == [(1, 1), (2, 4)]
    for name, content in left_behind.items():
        (folder / name).write_bytes(content)

    new = duckdb.connect()
    assert restore_published_ids(new, tmp_path) == 8
    assert published(new) == published(ours)
    publish(ours, 5)
    keep_published_ids(ours, tmp_path)
    assert {path.stem for path in folder.iterdir()} == {
        "0000000001-0000000001",
        "0000000002-0000000004",
        "0000000005-0000000005",
    }


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("0000000002-0000000003.parquet", "can not be read from"),
        ("copy of 1.parquet", "is not named by the builds in it"),
    ],
)
def test_a_file_that_cannot_be_read_stops_with_nothing_changed(tmp_path: Path, name: str, said: str) -> None:
    keep_published_ids(warehouse(1), tmp_path)
    (tmp_path / "int_identity_assignments" / name).write_bytes(b"no Parquet")
    copy = warehouse()
    with pytest.raises(FatalOrchestrationError, match=said):
        restore_published_ids(copy, tmp_path)
    assert published(copy) == []
