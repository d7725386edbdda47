"""What stands in the event log is in the warehouse exactly once, however and how often it is loaded."""

import gc
import os
import random
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import duckdb
import orjson
import pytest
import structlog.testing

from ingestion.definitions import Definition
from ingestion.errors import FatalIngestionError, TransientIngestionError
from ingestion.identifiers import IdentifierKey
from ingestion.load import load_definitions, load_events
from ingestion.raw_tables import RAW_TABLES
from ingestion.registry import Registry
from ingestion.validation_pool import ValidatedBatch
from tests.ingestion.messages import KEY, LOADED_AT, NOW, House, raw

# Shares of a load's file operations: before its first table, inside the first group, between its rows and
# their commit, inside the second group, inside the last. The campaign goes through all of them.
CRASH_POINTS = [
    *(0.05, 0.65),
    *(pytest.param(share, marks=pytest.mark.slow) for share in (0.37, 0.45, 0.95)),
    *(pytest.param(step / 50, marks=pytest.mark.long) for step in range(1, 50)),
]


def mixed_lines(count: int = 30) -> list[bytes]:
    """Accepted, repeated and broken lines, with identifiers of every kind."""
    lines = [raw(f"m-{number}", anonymousId=f"a-{number % 7}") for number in range(count)]
    lines += [raw(f"m-{number}", anonymousId=f"a-{number % 7}") for number in range(0, count, 5)]
    lines += [b"{broken", raw(userId=None), b"\xff"]
    lines += [
        raw(f"s-{number}", event="Signed Up", properties={"email": f"P{number}@Example.com", "country": "DE"})
        for number in range(5)
    ]
    return lines


def without_batches(house: House) -> dict[str, list[tuple[object, ...]]]:
    """All content but the names of batches, which say where a run began to read."""
    return {
        table: sorted(house.rows(f"select * exclude (batch_id) from raw.{table}"), key=repr)
        for table in ("events", "events_quarantined", "events_duplicated", "identifiers")
    }


def test_every_table_of_raw_exists_with_its_columns_after_a_load_of_nothing(house: House) -> None:
    report = house.load()
    assert (report.received, report.batches) == (0, 0)
    found = house.rows(
        "select table_name, list(column_name order by ordinal_position) from information_schema.columns "
        "where table_schema = 'raw' and table_name not like '\\_dlt%' escape '\\' group by table_name"
    )
    assert dict(found) == {name: schema.names for name, schema in RAW_TABLES.items()}
    times = house.rows(
        "select distinct data_type from information_schema.columns where table_schema = 'raw' "
        "and column_name in ('occurred_at', 'received_at', 'loaded_at', 'first_seen_at')"
    )
    assert times == [("TIMESTAMP",)]


def test_the_counts_add_up_and_stand_in_the_warehouse(house: House) -> None:
    house.receive(*mixed_lines())
    report = house.load()
    assert (report.received, report.accepted, report.duplicates, report.quarantined) == (44, 35, 6, 3)
    assert report.by_code == {"INVALID_ENCODING": 1, "MALFORMED_JSON": 1, "MISSING_IDENTITY": 1}
    assert house.rows(
        "select sum(received), sum(accepted), sum(duplicates), sum(quarantined) from raw.event_batches"
    ) == [(44, 35, 6, 3)]
    for table, count in [("events", 35), ("events_duplicated", 6), ("events_quarantined", 3)]:
        assert house.rows(f"select count(*) from raw.{table}") == [(count,)]


def test_loading_again_changes_nothing(house: House) -> None:
    house.receive(*mixed_lines())
    house.load()
    before = house.content()
    assert house.load().received == 0
    assert house.content() == before


def test_new_lines_are_loaded_where_the_last_load_ended(house: House) -> None:
    house.receive(raw("m-1"), raw("m-2"))
    house.load()
    house.receive(raw("m-3"), raw("m-1"))
    report = house.load()
    assert (report.received, report.accepted, report.duplicates) == (2, 1, 1)
    assert house.rows("select event_id, line from raw.events order by line") == [
        ("m-1", 1),
        ("m-2", 2),
        ("m-3", 3),
    ]
    assert house.rows("select event_id, segment, line from raw.events_duplicated") == [
        ("m-1", "2010-12-01/000001.log", 4)
    ]


def test_the_first_of_two_events_with_one_id_is_kept(house: House) -> None:
    house.receive(raw("m-1", properties={"sku": "later"}), at=NOW + timedelta(days=1))
    house.receive(raw("m-1", properties={"sku": "first"}))
    house.load()
    assert house.rows("select properties from raw.events") == [('{"sku":"first"}',)]


def test_a_repeat_after_more_than_thirty_days_is_left_to_staging(house: House) -> None:
    house.receive(raw("m-1"))
    house.load()
    house.receive(raw("m-1"), at=NOW + timedelta(days=29))
    house.receive(raw("m-2"), at=NOW + timedelta(days=31))
    assert house.load().duplicates == 1
    house.receive(raw("m-1"), at=NOW + timedelta(days=61))
    assert house.load().accepted == 1


def test_batches_and_processes_change_nothing_but_the_names_of_batches(tmp_path: Path) -> None:
    """One batch in this process against many in two others."""
    lines = mixed_lines(60)
    whole, split = House(tmp_path / "whole"), House(tmp_path / "split")
    for each in (whole, split):
        each.receive(*lines)
    whole.load()
    report = split.load(batch_lines=9, group_bytes=4_000)
    assert report.batches > 5
    assert without_batches(whole) == without_batches(split)


def test_the_order_of_loading_changes_no_fact(tmp_path: Path) -> None:
    """The same days of events, received by the log in one order and in another, a load after each."""
    days = [
        (NOW + timedelta(days=day), [raw(f"m-{day}-{n}", anonymousId=f"a-{n}") for n in range(4)])
        for day in range(3)
    ]
    houses = []
    for seed in (1, 2):
        house = House(tmp_path / str(seed))
        shuffled = days[:]
        random.Random(seed).shuffle(shuffled)
        for at, lines in shuffled:
            house.receive(*lines, at=at)
            house.load()
        houses.append(
            house.rows("select * exclude (batch_id) from raw.events order by event_id")
            + house.rows(
                "select identifier_type, raw_value, identifier_key from raw.identifiers order by all"
            )
        )
    assert houses[0] == houses[1]


@pytest.fixture(scope="module")
def unharmed(tmp_path_factory: pytest.TempPathFactory) -> tuple[House, int]:
    """A house that was loaded in peace, and how many file operations that took."""
    house = House(tmp_path_factory.mktemp("unharmed"))
    house.receive(*mixed_lines())
    return house, int(run_child(house, 0).stdout.split()[-1])


def run_child(house: House, at: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.ingestion.crash_child", str(house.folder), str(at)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )


@pytest.mark.parametrize("share", CRASH_POINTS)
def test_a_load_killed_at_any_point_is_completed_by_the_next(
    house: House, unharmed: tuple[House, int], share: float
) -> None:
    calm, operations = unharmed
    house.receive(*mixed_lines())
    killed = run_child(house, int(operations * share))
    assert killed.returncode == -9, killed.stderr
    house.load()
    assert without_batches(house) == without_batches(calm)
    assert house.rows("select sum(received), sum(accepted) from raw.event_batches") == [(44, 35)]


def test_what_a_killed_load_left_without_its_commit_is_removed(house: House) -> None:
    """The state between the two loads of a group, made by hand: rows are there, their commit is not."""
    house.receive(*mixed_lines())
    house.load()
    before = without_batches(house)
    with duckdb.connect(str(house.warehouse)) as connection:
        connection.execute("delete from raw.event_batches")
    report = house.load()
    assert report.healed_rows > 0
    assert without_batches(house) == before


def test_a_warehouse_that_another_process_holds_is_told_as_such(house: House) -> None:
    house.folder.mkdir(exist_ok=True)
    held = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", held, str(house.warehouse)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(TransientIngestionError, match="in use by another process"):
            house.load()
        other.communicate()


def test_the_warehouse_file_is_free_after_a_load(house: House) -> None:
    house.receive(raw())
    house.load()
    opened = "import duckdb, sys; duckdb.connect(sys.argv[1]).execute('create table t (i int)')"
    subprocess.run([sys.executable, "-c", opened, str(house.warehouse)], check=True)


def test_nothing_is_written_outside_the_given_folders(house: House, tmp_path: Path) -> None:
    """dlt, left alone, keeps an id in the home directory or in /var and reads .dlt where it runs."""
    home = tmp_path / "home"
    home.mkdir()
    script = (
        "import sys; from pathlib import Path; from tests.ingestion.messages import House, raw\n"
        "house = House(Path(sys.argv[1])); house.receive(raw()); house.load(makes_tables=True)"
    )
    shared_data = Path("/var/dlt")
    before = shared_data.exists()
    subprocess.run(
        [sys.executable, "-c", script, str(house.folder)],
        check=True,
        cwd=home,
        env={
            "HOME": str(home),
            "PATH": "/usr/bin",
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2])]),
        },
    )
    assert list(home.iterdir()) == []
    assert shared_data.exists() == before


@pytest.mark.parametrize("limit", [0, 20_000])
def test_a_full_disk_is_one_clear_error_and_the_next_load_is_whole(house: House, limit: int) -> None:
    """The file size limit of a process stands for the full disk, at the first load of all."""
    house.receive(*(raw(f"m-{number}") for number in range(400)))
    script = """
import resource, signal, sys
from pathlib import Path
from ingestion.errors import IngestionError
from tests.ingestion.messages import House
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    House(Path(sys.argv[1])).load(makes_tables=True)
except IngestionError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(house.folder), str(limit)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "File too large" in done.stdout
    assert house.load().accepted == 400


def test_a_corrupt_warehouse_file_is_refused_and_left_as_it_is(house: House) -> None:
    house.folder.mkdir(exist_ok=True)
    house.warehouse.write_bytes(b"not a database" * 1000)
    with pytest.raises(FatalIngestionError, match=r"warehouse\.duckdb cannot be opened"):
        house.load()
    assert house.warehouse.read_bytes().startswith(b"not a database")


def test_another_identifier_key_is_refused_before_anything_is_loaded(
    house: House, registry: Registry
) -> None:
    house.receive(raw("m-1"))
    house.load()
    house.receive(raw("m-2"))
    with pytest.raises(FatalIngestionError, match=KEY.key_id):
        load_events(
            log=house.log,
            registry=registry,
            warehouse=house.warehouse,
            work_folder=house.folder / "work",
            key=IdentifierKey(b"another"),
            clock=lambda: LOADED_AT,
        )
    assert house.rows("select count(*) from raw.events") == [(1,)]


def test_identifiers_are_those_that_the_contracts_name(house: House) -> None:
    consent = {
        "channel": "sms",
        "purpose": "marketing",
        "status": "granted",
        "capture_method": "form",
        "identifier_type": "phone",
        "identifier": "07700 900123",
    }
    person = {"email": " Kim@Example.com ", "phone": "030 901820", "country": "DE"}
    house.receive(
        raw("m-1", anonymousId="a-1"),
        raw("m-2", event="Consent Changed", properties=consent),
        raw("m-3", event="Signed Up", properties=person),
        raw("m-4", type="identify", event=..., traits={"email": "not an address"}),
        raw("m-5", event="Product Viewed", properties={"sku": "1", "email": "ignored@example.com"}),
    )
    house.load()
    assert house.rows(
        "select identifier_type, raw_value, normalised_value, is_valid from raw.identifiers order by all"
    ) == [
        ("anonymous_id", "a-1", "a-1", True),
        ("email", " Kim@Example.com ", "kim@example.com", True),
        ("email", "not an address", None, False),
        ("phone", "030 901820", "+4930901820", True),
        ("phone", "07700 900123", "+447700900123", True),
        ("user_id", "12345", "12345", True),
    ]


def test_no_identifier_reaches_a_log_line(house: House) -> None:
    """The canary comes in as an accepted address, as a broken one, and in a line that is no JSON."""
    canary = "zz-canary-7f3a@example.test"
    house.receive(
        raw("m-1", event="Signed Up", properties={"email": canary}),
        raw("m-2", event="Signed Up", properties={"email": [canary]}, userId=canary),
        canary.encode(),
    )
    with structlog.testing.capture_logs() as logs:
        house.load()
    assert logs
    assert canary not in repr(logs)
    assert canary in repr(house.rows("select * from raw.identifiers"))


def test_an_identifier_is_a_row_once_however_often_it_comes(house: House) -> None:
    for number in range(3):
        house.receive(raw(f"m-{number}", anonymousId="a-1"))
        house.load()
    assert house.rows("select identifier_type, count(*) from raw.identifiers group by all order by all") == [
        ("anonymous_id", 1),
        ("user_id", 1),
    ]


def test_nul_and_odd_characters_survive_the_way_into_the_warehouse(house: House) -> None:
    odd = "a\u0000b \u202e \U0001f6d2"
    house.receive(raw(odd, properties={"sku": odd}), b'{"\x00')
    house.load()
    (event,) = house.rows("select event_id, properties from raw.events")
    assert event[0] == odd
    assert orjson.loads(event[1]) == {"sku": odd}
    assert house.rows("select raw_line from raw.events_quarantined") == [('{"\x00',)]


def test_a_definition_is_loaded_once_for_each_content(house: House) -> None:
    def load(*definitions: Definition) -> int:
        return load_definitions(
            definitions,
            warehouse=house.warehouse,
            work_folder=house.folder / "work",
            clock=lambda: LOADED_AT,
        )

    first = Definition("sync", "welcome", "1", "mode: upsert\n")
    changed = Definition("sync", "welcome", "2", "mode: append\n")
    assert [load(first), load(first, first), load(first, changed), load(first)] == [1, 0, 1, 0]
    assert house.rows("select kind, name, version, content from raw.definitions order by version") == [
        ("sync", "welcome", "1", "mode: upsert\n"),
        ("sync", "welcome", "2", "mode: append\n"),
    ]


@pytest.mark.slow
def test_what_was_loaded_does_not_stay_in_memory(house: House) -> None:
    """dlt keeps exceptions it caught, whose frames once kept every table that had been loaded."""
    for number in range(6):
        house.receive(raw(f"m-{number}"), at=NOW + timedelta(days=number))
    alive: list[int] = []

    house.load(
        batch_lines=1,
        group_bytes=1,
        on_progress=lambda _: alive.append(sum(isinstance(o, ValidatedBatch) for o in gc.get_objects())),
    )

    assert len(alive) == 6
    assert max(alive) <= alive[0]


@pytest.mark.parametrize("loads", [1, 2])
def test_an_id_that_comes_again_with_another_content_is_a_conflict(house: House, loads: int) -> None:
    first, again = raw("m-1"), raw("m-1", timestamp="2010-12-01T08:27:00.000Z")
    other = raw("m-1", properties={"sku": "OTHER"})
    house.receive(first)
    if loads == 2:
        house.load()
    house.receive(again, other, raw("m-2"))

    house.load()

    assert house.rows("select event_id, line from raw.events order by line") == [("m-1", 1), ("m-2", 4)]
    assert house.rows("select line from raw.events_duplicated") == [(2,)]
    assert house.rows("select line, code, contract_version, raw_line from raw.events_quarantined") == [
        (3, "CONFLICTING_DUPLICATE", "1.0.0", other.decode())
    ]
    assert house.rows(
        "select sum(received), sum(accepted), sum(duplicates), sum(quarantined) from raw.event_batches"
    ) == [(4, 2, 1, 1)]
