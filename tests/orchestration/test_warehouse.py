"""The warehouse file, its published snapshot, and the errors a person can act on."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pytest

from orchestration.errors import SnapshotMissingError, WarehouseBusyError, WarehouseCorruptError
from orchestration.snapshot import publish_snapshot, read_snapshot
from orchestration.warehouse import Warehouse

HOLD_OPEN = """
import sys, time
import duckdb
connection = duckdb.connect(sys.argv[1])
print("open", flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    found = Warehouse(path=tmp_path / "warehouse.duckdb", memory_limit="512MB", threads=1)
    with found.connect() as connection:
        connection.execute("create table people as select range as person_id from range(100000)")
    return found


def start_holder(path: Path, seconds: float) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD_OPEN, str(path), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


def read(path: Path) -> int:
    with read_snapshot(path, memory_limit="512MB", threads=1) as connection:
        row = connection.execute("select count(*) from people").fetchone()
    assert row is not None
    return int(row[0])


def test_a_file_that_another_program_has_open_is_waited_for(warehouse: Warehouse) -> None:
    """A killed run's dbt may still hold DuckDB's own lock for a moment."""
    process = start_holder(warehouse.path, 1)

    with warehouse.connect(wait_seconds=20) as connection:
        assert connection.execute("select count(*) from people").fetchone() == (100000,)

    process.wait()


def test_a_file_that_stays_open_elsewhere_is_named_after_the_wait(warehouse: Warehouse) -> None:
    process = start_holder(warehouse.path, 600)
    try:
        with (
            pytest.raises(WarehouseBusyError, match=rf"{warehouse.path} is open in another .*{process.pid}"),
            warehouse.connect(wait_seconds=0.3),
        ):
            pytest.fail("opened a locked file")
    finally:
        process.kill()
        process.wait()


def damage_with_text(path: Path) -> None:
    path.write_bytes(b"this is no database" * 500)


def damage_by_emptying(path: Path) -> None:
    path.write_bytes(b"")


def damage_by_truncating(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def damage_in_the_header(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[8192:12288] = b"\x01" * 4096
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage", [damage_with_text, damage_by_emptying, damage_by_truncating, damage_in_the_header]
)
def test_a_damaged_file_is_named_with_the_command_that_rebuilds_it(warehouse: Warehouse, damage) -> None:  # type: ignore[no-untyped-def]
    damage(warehouse.path)

    with (
        pytest.raises(WarehouseCorruptError) as caught,
        warehouse.connect() as connection,
    ):
        connection.execute("select sum(person_id) from people").fetchall()

    message = str(caught.value)
    assert f"The warehouse file {warehouse.path} is damaged" in message
    assert f"mv {warehouse.path} {warehouse.path}.damaged; rm -f {warehouse.path}.wal; cdp run" in message


def test_readers_of_the_snapshot_are_not_disturbed_by_a_writer(warehouse: Warehouse, tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot" / "warehouse.duckdb"
    publish_snapshot(warehouse, snapshot)

    with warehouse.connect() as connection:
        connection.execute("insert into people select -1")
        seen_while_writing = read(snapshot)
    seen_before_publishing = read(snapshot)
    publish_snapshot(warehouse, snapshot)

    assert (seen_while_writing, seen_before_publishing, read(snapshot)) == (100000, 100000, 100001)


def test_a_reader_keeps_its_copy_while_the_next_is_published(warehouse: Warehouse, tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot" / "warehouse.duckdb"
    publish_snapshot(warehouse, snapshot)
    publisher = threading.Thread(target=publish_snapshot, args=(warehouse, snapshot))

    with read_snapshot(snapshot, memory_limit="512MB", threads=1) as connection:
        publisher.start()
        publisher.join(30)
        total = connection.execute("select count(distinct person_id) from people").fetchone()

    assert total == (100000,)
    assert [path.name for path in snapshot.parent.iterdir()] == ["warehouse.duckdb"]


def test_a_publication_that_was_killed_leaves_the_former_snapshot_and_is_cleaned_up(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    snapshot = tmp_path / "snapshot" / "warehouse.duckdb"
    publish_snapshot(warehouse, snapshot)
    (snapshot.parent / ".warehouse.duckdb.4711").write_bytes(b"half a copy")

    assert read(snapshot) == 100000
    publish_snapshot(warehouse, snapshot)

    assert [path.name for path in snapshot.parent.iterdir()] == ["warehouse.duckdb"]


def test_a_missing_snapshot_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(SnapshotMissingError, match=r"no run has finished\. Start one with `cdp run`"):
        read(tmp_path / "nothing.duckdb")


@pytest.mark.parametrize(
    "statement",
    [
        "create table stolen (a integer)",
        "delete from people",
        "copy people to '{folder}/out.csv'",
        "select * from read_csv('/etc/passwd')",
        "select * from read_text('{folder}/secret')",
        "attach '{folder}/other.duckdb'",
        "install httpfs",
        "load httpfs",
        "set memory_limit = '64GB'",
        "set enable_external_access = true",
    ],
)
def test_the_snapshot_gives_no_way_out(warehouse: Warehouse, tmp_path: Path, statement: str) -> None:
    snapshot = tmp_path / "snapshot" / "warehouse.duckdb"
    publish_snapshot(warehouse, snapshot)
    (tmp_path / "secret").write_text("secret")

    with (
        read_snapshot(snapshot, memory_limit="512MB", threads=1) as connection,
        pytest.raises(duckdb.Error),
    ):
        connection.execute(statement.format(folder=tmp_path)).fetchall()

    assert not (tmp_path / "out.csv").exists()
    assert not (tmp_path / "other.duckdb").exists()
