"""What one source sent together is held back whole when too much of it breaks its contracts."""

import dataclasses

import pytest

from ingestion.registry import Hold, Registry, load_registry
from ingestion.replay import Selection, replay_quarantine
from tests.ingestion.messages import KEY, LOADED_AT, House, raw

HELD_REASON = "at most 50% of what source web has in a batch to be refused"


def small_batches_count(share: float = 0.5) -> Registry:
    """A registry in which ten lines are enough to judge a source by."""
    registry = load_registry()
    hold = Hold(refused_share=share, of_at_least=10)
    sources = tuple(source.model_copy(update={"hold": hold}) for source in registry.sources)
    return dataclasses.replace(registry, sources=sources)


WITHDRAWAL = {
    "channel": "email", "purpose": "marketing", "status": "withdrawn", "identifier": "a@example.com",
    "identifier_type": "email", "capture_method": "one_click", "policy_version": "1",
}  # fmt: skip


def test_a_source_that_broke_is_held_whole_but_for_withdrawals(house: House) -> None:
    withdrawal = raw("c-1", event="Consent Changed", properties=WITHDRAWAL)
    grant = raw("c-2", event="Consent Changed", properties={**WITHDRAWAL, "status": "granted"})
    house.receive(*(raw(f"bad-{number}", event="Renamed") for number in range(7)))
    house.receive(raw("m-1"), withdrawal, grant)
    house.receive(*(raw(f"o-{number}", event="Renamed") for number in range(9)), source="operator")
    report = house.load(small_batches_count())
    assert report.by_code == {"BATCH_HELD": 2, "UNKNOWN_EVENT": 16}
    assert (report.received, report.accepted, report.quarantined) == (19, 1, 18)
    assert house.rows("select event_id from raw.events") == [("c-1",)]
    said = (HELD_REASON, "7 of 10 lines", "1.0.0")
    assert house.rows(
        "select event_id, line, expected, found, contract_version from raw.events_quarantined "
        "where code = 'BATCH_HELD' order by event_id"
    ) == [("c-2", 10, *said), ("m-1", 8, *said)]


@pytest.mark.parametrize(("bad", "good", "share"), [(5, 5, 0.5), (6, 3, 0.5), (9, 1, 0.9), (10, 0, 0.5)])
def test_up_to_the_limit_or_in_few_lines_each_is_judged_by_itself(
    house: House, bad: int, good: int, share: float
) -> None:
    house.receive(*(raw(f"bad-{number}", event="Renamed") for number in range(bad)))
    house.receive(*(raw(f"good-{number}") for number in range(good)))
    report = house.load(small_batches_count(share))
    assert (report.accepted, report.by_code) == (good, {"UNKNOWN_EVENT": bad})


def test_what_was_held_is_let_in_by_a_replay(house: House) -> None:
    house.receive(*(raw(f"bad-{number}", event="Renamed") for number in range(9)), raw("m-1"), raw("m-1"))
    house.load(small_batches_count())
    report = replay_quarantine(
        Selection(code="BATCH_HELD"),
        registry=small_batches_count(),
        warehouse=house.warehouse,
        work_folder=house.folder / "work",
        key=KEY,
        clock=lambda: LOADED_AT,
    )
    assert (report.accepted, report.duplicates) == (1, 1)
    sums = "select sum(received), sum(accepted), sum(duplicates), sum(quarantined) from raw.event_batches"
    assert house.rows(sums) == [(11, 1, 1, 9)]
