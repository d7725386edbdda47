"""Lines in quarantine become facts once their contract is mended, exactly once, and nothing else changes."""

import shutil
from pathlib import Path

import duckdb
import pytest

from ingestion.registry import CONTRACTS_FOLDER, Registry, load_registry
from ingestion.replay import ReplayReport, Selection, plan_replay, replay_quarantine
from ingestion.warehouse import RawWarehouse
from tests.ingestion.messages import KEY, LOADED_AT, House, raw

EURO = {"order_id": "1", "currency": "EUR", "total": 5, "items": [], "email": "new@example.com"}
REAL_LOAD = RawWarehouse.load
ACCOUNTS = (
    "select sum(received), sum(accepted), sum(duplicates), sum(quarantined), "
    "(select count(*) from raw.events), (select count(*) from raw.events_duplicated), "
    "(select count(*) from raw.events_quarantined) from raw.event_batches"
)


@pytest.fixture
def mended(tmp_path: Path) -> Registry:
    """Contracts in which an order may be paid in euros."""
    folder = tmp_path / "contracts"
    shutil.copytree(CONTRACTS_FOLDER, folder)
    contract = folder / "order_completed.yml"
    contract.write_text(contract.read_text().replace("enum: [GBP]", "enum: [GBP, EUR]"))
    return load_registry(folder)


def order(event_id: str, **changes: object) -> bytes:
    return raw(event_id, event="Order Completed", properties={**EURO, **changes})


def replay(house: House, registry: Registry, chunk_lines: int = 100, **selected: object) -> ReplayReport:
    return replay_quarantine(
        Selection(**selected),  # type: ignore[arg-type]
        registry=registry,
        warehouse=house.warehouse,
        work_folder=house.folder / "work",
        key=KEY,
        clock=lambda: LOADED_AT,
        chunk_lines=chunk_lines,
    )


@pytest.mark.parametrize("chunk_lines", [1, 2, 100])
def test_what_passes_the_mended_contract_is_loaded_and_leaves_quarantine(
    house: House, mended: Registry, chunk_lines: int
) -> None:
    house.receive(
        raw("m-1"), order("o-1"), b"{broken", order("o-2"), b"\xff", order("o-1"), order("o-3", total=-1)
    )
    house.load()

    report = replay(house, mended, chunk_lines)

    assert report == ReplayReport(
        6, {"order_completed": 2}, 1, {"INVALID_ENCODING": 1, "INVALID_PROPERTIES": 1, "MALFORMED_JSON": 1}
    )
    assert house.rows(ACCOUNTS) == [(7, 3, 1, 3, 3, 1, 3)]
    assert house.rows("select event_id, line from raw.events order by line") == [
        ("m-1", 1), ("o-1", 2), ("o-2", 4),
    ]  # fmt: skip
    assert house.rows("select event_id, line, code, outcome from raw.events_replayed order by line") == [
        ("o-1", 2, "INVALID_PROPERTIES", "accepted"),
        ("o-2", 4, "INVALID_PROPERTIES", "accepted"),
        ("o-1", 6, "INVALID_PROPERTIES", "duplicate"),
    ]
    assert ("new@example.com",) in house.rows("select normalised_value from raw.identifiers")


def test_a_replayed_event_is_the_one_that_a_load_in_peace_would_have_made(
    house: House, mended: Registry, tmp_path: Path
) -> None:
    other = House(tmp_path / "other")
    for each in (house, other):
        each.receive(order("o-1"), order("o-2", country="DE"))
    house.load()
    replay(house, mended)
    other.load(mended)

    columns = "* exclude (batch_id)"
    assert house.rows(f"select {columns} from raw.events order by line") == other.rows(
        f"select {columns} from raw.events order by line"
    )


def test_a_second_replay_and_the_next_load_find_nothing(house: House, mended: Registry) -> None:
    house.receive(order("o-1"))
    house.load()
    replay(house, mended)
    before = house.content()

    assert replay(house, mended) == ReplayReport()
    assert house.load(mended).received == 0
    assert house.content() == before


def test_an_event_that_was_sent_again_and_accepted_is_a_duplicate(house: House, mended: Registry) -> None:
    house.receive(order("o-1"))
    house.load()
    house.receive(order("o-1"))
    house.load(mended)

    assert replay(house, mended) == ReplayReport(1, {}, 1, {})
    assert house.rows(ACCOUNTS) == [(2, 1, 1, 0, 1, 1, 0)]


def test_an_event_that_was_mended_under_its_old_id_stays_in_quarantine(
    house: House, mended: Registry
) -> None:
    house.receive(order("o-1"))
    house.load()
    house.receive(order("o-1", currency="GBP"))
    house.load()

    assert replay(house, mended) == ReplayReport(1, {}, 0, {"CONFLICTING_DUPLICATE": 1})
    assert house.rows(ACCOUNTS) == [(2, 1, 0, 1, 1, 0, 1)]


def test_only_what_is_selected_is_replayed(house: House, mended: Registry) -> None:
    house.receive(order("o-1"), order("o-2"), b"{broken")
    house.load()

    assert replay(house, mended, code="MALFORMED_JSON").accepted == 0
    assert replay(house, mended, source_system="operator").lines == 0
    assert replay(house, mended, segment="2010-12-01/000001.log", line=2).accepted == 1
    assert replay(house, mended, event_name="order_completed").accepted == 1


def test_a_plan_says_what_would_happen_and_changes_nothing(house: House, mended: Registry) -> None:
    house.receive(order("o-1"), b"{broken")
    house.load()
    before = house.content()

    with duckdb.connect(str(house.warehouse), read_only=True) as connection:
        plan = plan_replay(connection, mended, Selection())

    assert plan == ReplayReport(2, {"order_completed": 1}, 0, {"MALFORMED_JSON": 1})
    assert house.content() == before


@pytest.mark.parametrize("committed", [True, False])
def test_a_replay_killed_around_its_commit_is_completed_or_forgotten(
    house: House, mended: Registry, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    house.receive(order("o-1"), b"{broken")
    house.load()

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    place = "ingestion.replay.take_replayed_out" if committed else "ingestion.warehouse.RawWarehouse.load"
    with monkeypatch.context() as patch:
        if committed:
            patch.setattr(place, die)
        else:
            patch.setattr(place, load_only_rows)
        with pytest.raises(KeyboardInterrupt):
            replay(house, mended)
    house.load()

    accepted = int(committed)
    assert house.rows(ACCOUNTS) == [(2, accepted, 0, 2 - accepted, accepted, 0, 2 - accepted)]
    assert replay(house, mended).accepted == 1 - accepted


def load_only_rows(raw_warehouse: object, tables: dict[str, object]) -> None:
    """Dlt's load of everything but the commit, at which the process dies."""
    if "event_batches" in tables:
        raise KeyboardInterrupt
    REAL_LOAD(raw_warehouse, tables)  # type: ignore[arg-type]
