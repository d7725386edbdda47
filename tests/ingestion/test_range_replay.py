"""A range read again ends as a load of it under today's contracts would have, and nothing else is touched."""

import dataclasses
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingestion.discard import DiscardPlan, discard_records
from ingestion.errors import RejectedInputError
from ingestion.range_replay import RangeReplay, RangeReport, replay_range
from ingestion.registry import CONTRACTS_FOLDER, Registry, load_registry
from ingestion.time_ranges import TimeRange, lines_in
from tests.ingestion.messages import KEY, LOADED_AT, NOW, House, raw

DAY = TimeRange(datetime(2010, 12, 1, tzinfo=UTC), datetime(2010, 12, 2, tzinfo=UTC))
EURO = {"order_id": "1", "currency": "EUR", "total": 5, "items": [], "email": "new@example.com"}
ACCOUNTS = (
    "select sum(received), sum(accepted), sum(duplicates), sum(quarantined), "
    "(select count(*) from raw.events), (select count(*) from raw.events_duplicated), "
    "(select count(*) from raw.events_quarantined) from raw.event_batches"
)


def contracts(folder: Path, event: str, old: str, new: str) -> Registry:
    """Today's contracts with one change."""
    shutil.copytree(CONTRACTS_FOLDER, folder, dirs_exist_ok=True)
    contract = folder / f"{event}.yml"
    text = contract.read_text()
    assert old in text
    contract.write_text(text.replace(old, new))
    return load_registry(folder)


@pytest.fixture
def euros(tmp_path: Path) -> Registry:
    """Contracts in which an order may be paid in euros."""
    return contracts(tmp_path / "euros", "order_completed", "enum: [GBP]", "enum: [GBP, EUR]")


@pytest.fixture
def long_skus(tmp_path: Path) -> Registry:
    """Contracts in which an article number has at least seven characters."""
    return contracts(tmp_path / "long", "product_viewed", "minLength: 1", "minLength: 7")


def order(event_id: str, **changes: Any) -> bytes:
    return raw(event_id, event="Order Completed", properties={**EURO, **changes})


def replay(house: House, registry: Registry, wanted: TimeRange = DAY, **options: Any) -> RangeReport:
    limits = {name: options.pop(name) for name in list(options) if name.endswith(("_bytes", "_lines"))}
    return replay_range(
        RangeReplay(wanted, **options),
        log=house.log,
        registry=registry,
        warehouse=house.warehouse,
        work_folder=house.folder / "work",
        key=KEY,
        clock=lambda: LOADED_AT,
        **limits,
    )


def places(house: House, table: str) -> list[tuple[Any, ...]]:
    return house.rows(f"select event_id, line from {table} order by line")


def test_a_shadow_says_what_would_change_and_changes_nothing(house: House, euros: Registry) -> None:
    house.receive(raw("m-1"), order("o-1"), b"{broken", raw("m-1"))
    house.load()
    before = house.content()

    report = replay(house, euros)

    assert house.content() == before
    [change] = report.changes
    assert (report.lines, report.changed, change.event_name) == (4, 1, "order_completed")
    assert (change.before, change.code_before, change.after, change.code_after) == (
        "quarantined", "INVALID_PROPERTIES", "accepted", None,
    )  # fmt: skip
    assert places(house, f"{report.schema}.events") == [("m-1", 1), ("o-1", 2)]
    assert places(house, f"{report.schema}.events_duplicated") == [("m-1", 4)]
    assert places(house, f"{report.schema}.events_quarantined") == [(None, 3)]
    assert places(house, f"{report.schema}.changes") == [("o-1", 2)]
    # Today's contracts change nothing, and a shadow of the same name is made anew.
    assert replay(house, load_registry()).changed == 0


@pytest.mark.parametrize("limits", [{}, {"batch_lines": 2, "group_bytes": 1}])
def test_in_place_is_what_a_load_under_todays_contracts_would_have_made(
    house: House, euros: Registry, tmp_path: Path, limits: dict[str, int]
) -> None:
    other = House(tmp_path / "other")
    lines = [
        raw("m-1"),
        order("o-1"),
        b"{broken",
        order("o-2"),
        raw("m-1"),
        order("o-1"),
        order("o-2", total=6),
    ]
    for each in (house, other):
        each.receive(*lines)
    house.load()
    other.load(euros)

    report = replay(house, euros, is_in_place=True, **limits)

    def told(each: House) -> dict[str, list[tuple[Any, ...]]]:
        names = {
            "events": "* exclude (batch_id)",
            "events_quarantined": "* exclude (batch_id)",
            "events_duplicated": "* exclude (batch_id)",
            "identifiers": "* exclude (batch_id)",
        }
        return {
            table: sorted(each.rows(f"select {columns} from raw.{table}"), key=repr)
            for table, columns in names.items()
        }

    assert report.is_in_place
    assert told(house) == told(other)
    assert house.rows(ACCOUNTS) == other.rows(ACCOUNTS) == [(7, 3, 2, 2, 3, 2, 2)]
    schemas = house.rows("select schema_name from information_schema.schemata")
    assert not [name for (name,) in schemas if name.startswith("replay")]
    assert house.rows("select line, code, outcome from raw.events_replayed order by line") == [
        (2, "INVALID_PROPERTIES", "accepted"),
        (4, "INVALID_PROPERTIES", "accepted"),
        (6, "INVALID_PROPERTIES", "duplicate"),
        (7, "INVALID_PROPERTIES", "quarantined"),
    ]
    # The next load heals nothing away, and the same replay again finds nothing.
    assert house.load().healed_rows == 0
    assert replay(house, euros, is_in_place=True, **limits).changed == 0


def test_what_today_refuses_leaves_the_facts_with_its_reason_and_can_come_back(
    house: House, long_skus: Registry
) -> None:
    house.receive(raw("m-1"), raw("m-2", properties={"sku": "85123A-LONG"}))
    house.load()
    replay(house, long_skus, is_in_place=True)
    assert places(house, "raw.events") == [("m-2", 2)]
    assert house.rows("select event_id, code, path, line from raw.events_quarantined") == [
        ("m-1", "INVALID_PROPERTIES", "properties.sku", 1)
    ]
    assert house.rows(ACCOUNTS) == [(2, 1, 0, 1, 1, 0, 1)]
    for _ in range(2):
        replay(house, load_registry(), is_in_place=True)
        assert house.rows(ACCOUNTS) == [(2, 2, 0, 0, 2, 0, 0)]
        replay(house, long_skus, is_in_place=True)
        assert house.load().healed_rows == 0
        assert house.rows(ACCOUNTS) == [(2, 1, 0, 1, 1, 0, 1)]


def test_only_the_range_is_read_and_what_is_loaded_outside_it_counts(house: House, euros: Registry) -> None:
    house.receive(order("o-1"), order("o-2"))
    house.receive(raw("m-9"), order("o-3"), at=NOW + timedelta(days=1))
    house.load()
    # o-2 came again, right, on another day: what stands in the range is then a repeat with other content
    house.receive(order("o-2", currency="GBP"), at=NOW + timedelta(days=2))
    house.load()

    report = replay(house, euros, is_in_place=True)

    assert report.lines == 2
    assert places(house, "raw.events where received_at < '2010-12-02'") == [("o-1", 1)]
    assert house.rows("select event_id, code from raw.events_quarantined order by event_id") == [
        ("o-2", "CONFLICTING_DUPLICATE"), ("o-3", "INVALID_PROPERTIES"),
    ]  # fmt: skip


def test_what_is_not_loaded_yet_is_left_to_the_load(house: House, euros: Registry) -> None:
    house.receive(order("o-1"))
    house.load()
    house.receive(order("o-2"))
    assert replay(house, euros, is_in_place=True).lines == 1
    assert house.load(euros).accepted == 1


def test_a_decision_about_consent_is_never_taken_back(house: House, tmp_path: Path) -> None:
    consent = {
        "channel": "email", "purpose": "marketing", "status": "withdrawn", "identifier": "a@example.com",
        "identifier_type": "email", "capture_method": "one_click", "policy_version": "1",
    }  # fmt: skip
    house.receive(raw("c-1", event="Consent Changed", properties=consent), raw("m-1"))
    house.load()
    assert places(house, "raw.events") == [("c-1", 1), ("m-1", 2)], house.rows(
        "select reasons from raw.events_quarantined"
    )
    strict = contracts(
        tmp_path / "strict", "consent_changed", "[granted, withdrawn, pending_doi]", "[granted, pending_doi]"
    )
    sources = tuple(
        source.model_copy(
            update={"events": tuple(each for each in source.events if each.contract != "consent_changed")}
        )
        for source in load_registry().sources
    )
    before = house.content()
    for registry in (strict, dataclasses.replace(load_registry(), sources=sources)):
        with pytest.raises(RejectedInputError, match="1 consent_changed would no longer be accepted"):
            replay(house, registry, is_in_place=True)
        assert house.content() == before
        assert replay(house, registry).changed == 1


def test_a_line_that_was_discarded_stays_so(house: House, euros: Registry) -> None:
    house.receive(order("o-1"), order("o-2"))
    house.load()
    plan = DiscardPlan(("2010-12-01/000001.log:1",), {"INVALID_PROPERTIES": 1})
    house.log.append(discard_records(plan, reason="Sent again.", decided_by="anna", at=NOW))
    house.load()
    report = replay(house, euros, is_in_place=True)
    assert (report.lines, report.changed) == (2, 1)
    assert house.rows("select event_id, line from raw.events_quarantined") == [("o-1", 1)]


def test_a_replay_killed_before_its_commit_leaves_what_was(
    house: House, euros: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.receive(raw("m-1"), order("o-1"))
    house.load()
    before = house.content()

    def killed(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr("ingestion.range_replay._insert", killed)
        with pytest.raises(SystemExit):
            replay(house, euros, is_in_place=True)
    assert house.content() == before
    assert house.load().healed_rows == 0
    assert replay(house, euros, is_in_place=True).changed == 1
    assert house.rows(ACCOUNTS) == [(2, 2, 0, 0, 2, 0, 0)]


def test_a_range_of_event_time_finds_what_came_late(house: House, euros: Registry) -> None:
    house.receive(order("o-1"), order("o-2", total=1), raw("m-1"))
    late = NOW + timedelta(days=5)
    house.receive(order("o-3"), raw("m-2", timestamp="2010-12-05T00:00:00Z"), b"{broken", at=late)
    house.load()
    report = replay(house, euros, TimeRange(DAY.start, DAY.end, "happened"), is_in_place=True)
    assert (report.lines, report.changed) == (4, 3)
    assert house.rows("select event_id from raw.events order by event_id") == [
        ("m-1",), ("m-2",), ("o-1",), ("o-2",), ("o-3",),
    ]  # fmt: skip


def test_a_range_of_event_time_is_of_the_corrected_time(house: House) -> None:
    note = {"wire": "segment", "sent_at": "2010-12-01T10:00:00.000Z"}
    house.receive(raw("m-1", timestamp="2010-12-01T09:59:00.000Z"), note=note)
    house.receive(raw("m-2"))
    nine = TimeRange(
        datetime(2010, 12, 1, 8, 58, tzinfo=UTC), datetime(2010, 12, 1, 9, tzinfo=UTC), "happened"
    )
    assert [line.number for line in lines_in(house.log, nine)] == [1]
