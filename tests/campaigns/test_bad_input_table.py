"""Every bad input ends as its table says, nothing acknowledged is lost, and the next run is clean."""

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest

from ingestion.event_log import EventLog
from ingestion.records import split_record
from ingestion.registry import CONTRACTS_FOLDER, SOURCES_FILE, Registry, load_registry
from tests.campaigns.bad_inputs import bad_inputs
from tests.campaigns.bad_senders import DESTINATIONS, bad_senders
from tests.campaigns.bad_storage import bad_storage
from tests.campaigns.ways_in import TRACK, BadInput, Door, Outcome, event
from tests.ingestion.collector.server import Running, running
from tests.ingestion.messages import House

MAPPED = "[{call: webhook, event: email.bounced, contract: product_viewed, major: 1}]"
DESTINATION = (
    "\n  - {name: %s, description: Reports., owner: {team: t, contact: c}, events: " + MAPPED + "}\n"
)
ALL_IN_RAW = """
select segment, line from raw.events
union all select segment, line from raw.events_duplicated
union all select segment, line from raw.events_quarantined
"""
TITLES = ("input", "way in", "answer", "kept", "accepted", "duplicates", "quarantined", "codes")


@dataclass(frozen=True)
class Tried:
    """One input, what was found, what the load after it found, and what is not as it should be."""

    bad: BadInput
    found: Outcome
    clean: Outcome
    wrong: tuple[str, ...]


class Site:
    """A house with a running collector, and what was loaded of it so far."""

    def __init__(self, collector: Running, registry: Registry) -> None:
        self.collector = collector
        self.house = collector.house
        self._registry = registry

    def lines(self) -> int:
        return sum(batch.lines for batch in self.house.log.unread({}))

    def batches(self) -> set[str]:
        """The loaded batches; none while there is no warehouse, or one that was never finished."""
        try:
            found = self.house.rows("select distinct batch_id from raw.event_batches")
        except duckdb.Error:
            return set()
        return {batch_id for (batch_id,) in found}

    def load(self) -> Outcome:
        """Load what is new; the counts of the report must be those of the tables."""
        try:
            before = self.batches()
            report = self.house.load(self._registry)
        except Exception as error:  # noqa: BLE001 (whatever stops a load is what this campaign looks for)
            return Outcome("", load_error=type(error).__name__)
        new = [sorted(self.batches() - before)]
        [accepted, duplicated, reasons] = (
            [
                value
                for (value,) in self.house.rows(f"select {column} from raw.{table} where batch_id in ?", new)
            ]
            for table, column in (
                ("events", "event_id"),
                ("events_duplicated", "event_id"),
                ("events_quarantined", "reasons"),
            )
        )
        codes = Counter(
            "+".join(dict.fromkeys(each["code"] for each in orjson.loads(row))) for row in reasons
        )
        told = (report.accepted, report.duplicates, report.quarantined)
        if told != (len(accepted), len(duplicated), len(reasons)) or report.received != sum(told):
            return Outcome("", load_error=f"it reports {report}, the tables hold something else")
        return Outcome("", 0, tuple(sorted(accepted)), len(duplicated), dict(sorted(codes.items())))

    def attempt(self, bad: BadInput, door: Door) -> Tried:
        """Send one bad input and load it, then a good event and load that."""
        if bad.prepare:
            bad.prepare(door)
        lines, place = self.lines(), self.house.log.segments()
        answer = bad.send(door)
        kept = self.lines() - lines
        wrong = list(self._other_raws(bad, door, place))
        found = replace(self.load(), answer=answer, kept=kept)
        expected = named(bad.expected, door)
        if found != expected:
            wrong.append(f"expected {shown(expected)}, found {shown(found)}")
        if bad.mend:
            bad.mend(door)
        good = f"good-{door.event_id}"
        status = self.collector.post(TRACK, event(event_id=good)).status_code
        clean = replace(self.load(), answer=str(status))
        after = tuple(sorted((*(door.named(each.encode()).decode() for each in bad.mended), good)))
        if clean != Outcome("200", accepted=after):
            wrong.append(f"the next run is not clean: {shown(clean)}")
        return Tried(bad, found, clean, tuple(wrong))

    def _other_raws(self, bad: BadInput, door: Door, place: Mapping[str, int]) -> Iterator[str]:
        if bad.raws is None:
            return
        found = messages_after(self.house.log, place)
        if found != [door.named(each) for each in bad.raws]:
            yield f"the log does not hold what was sent, but {str(found)[:200]}"

    def accounts(self) -> Iterator[str]:
        """What does not add up in this house once everything is loaded."""
        lines = self.lines()
        [places] = self.house.rows(f"select count(*), count(distinct (segment, line)) from ({ALL_IN_RAW})")
        [counts] = self.house.rows(
            "select sum(received), sum(accepted), sum(duplicates), sum(quarantined) from raw.event_batches"
        )
        if places != (lines, lines):
            yield f"the log has {lines} lines, the tables hold (rows, places) {places}"
        if not lines == counts[0] == sum(counts[1:]):
            yield f"the log has {lines} lines; received, accepted, duplicates, quarantined {counts}"
        folders = {path.name for path in self.house.folder.iterdir()}
        if others := folders - {"archives", "collector", "event_log", "warehouse.duckdb"}:
            yield f"something was written outside: {others}"


class Campaign:
    """The inputs in turn: through one collector, but for those that need a house of their own."""

    def __init__(self, folder: Path, registry: Registry) -> None:
        self._folder = folder
        self._registry = registry
        self._shared = contextlib.ExitStack()
        self._site: Site | None = None
        self._not_accounted: list[str] = []
        self.refusals: dict[str, set[bytes]] = {}
        self.keys: set[str] = set()
        self.tried: list[Tried] = []

    def run(self, inputs: list[BadInput]) -> None:
        """Try each; a house that is no longer sound is given up, so that the next input has a chance."""
        with self._shared:
            for number, bad in enumerate(inputs):
                self._try(bad, f"b{number:03}")
            if self._site:
                self._not_accounted += self._site.accounts()

    def _try(self, bad: BadInput, name: str) -> None:
        with contextlib.ExitStack() as own:
            if bad.collector is not None:
                site = self._opened(own, name, bad.collector)
            else:
                site = self._site = self._site or self._opened(self._shared, name, {})
            try:
                tried = site.attempt(bad, Door(site.collector, name, self.refusals))
                is_sound = not (tried.wrong and tried.clean.load_error)
            except Exception as error:  # noqa: BLE001 (one input that cannot be tried must not hide the others)
                tried, is_sound = Tried(bad, Outcome("not tried"), Outcome(""), (repr(error),)), False
            self.tried.append(tried)
            if bad.collector is None and not is_sound:
                self._site = None
            elif bad.collector is not None and not tried.wrong:
                self._not_accounted += site.accounts()

    def _opened(self, stack: contextlib.ExitStack, name: str, settings: Mapping[str, Any]) -> Site:
        house = House(self._folder / name)
        collector = stack.enter_context(running(house, webhooks=DESTINATIONS, **settings))
        self.keys.add(collector.key)
        return Site(collector, self._registry)

    def wrong(self) -> list[str]:
        """What is not as it should be, one line each."""
        by_input = [
            f"{tried.bad.name} ({tried.bad.way}): {each}" for tried in self.tried for each in tried.wrong
        ]
        return by_input + self._not_accounted

    def table(self) -> str:
        """Every input with what became of it; an asterisk where that is not what it should be."""
        rows = [TITLES, *(row(each) for each in self.tried)]
        widths = [max(len(cells[column]) for cells in rows) for column in range(len(TITLES))]
        return "\n".join(
            " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
            for cells in rows
        )


def messages_after(log: EventLog, place: Mapping[str, int]) -> list[bytes]:
    """The messages of the records behind a place in the log."""
    found = []
    for batch in log.unread(place):
        for part in batch.slices:
            for line in log.read(part).removesuffix(b"\n").split(b"\n"):
                parts = split_record(line)
                found.append(b"no record" if parts is None else parts.raw)
    return found


def named(expected: Outcome, door: Door) -> Outcome:
    """What is expected, with the id of this input."""
    ids = sorted(door.named(each.encode()).decode() for each in expected.accepted)
    return replace(expected, accepted=tuple(ids), codes=dict(sorted(expected.codes.items())))


def row(tried: Tried) -> tuple[str, ...]:
    found = tried.found
    numbers = (found.kept, len(found.accepted), found.duplicates, found.quarantined)
    name = f"* {tried.bad.name}" if tried.wrong else tried.bad.name
    return (name, tried.bad.way, found.answer, *map(str, numbers), said(found))


def said(found: Outcome) -> str:
    """The codes of the lines in quarantine, and the error where the load stopped."""
    codes = [code if count == 1 else f"{count:,} {code}" for code, count in found.codes.items()]
    return ", ".join(codes + ([f"load stopped: {found.load_error}"] if found.load_error else []))


def shown(found: Outcome) -> str:
    ids = ", ".join(ascii(each)[:40] for each in found.accepted[:3]) + (
        "…" if len(found.accepted) > 3 else ""
    )
    return (
        f"{found.answer or 'no request'}: kept {found.kept}, accepted {len(found.accepted)} ({ids}), "
        f"duplicates {found.duplicates}, quarantined {found.quarantined} ({said(found)})"
    )


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """The contracts as they are, and destinations that report by webhook."""
    sources = tmp_path_factory.mktemp("sources") / "event_sources.yml"
    names = [each.declared.destination for each in DESTINATIONS]
    sources.write_text(SOURCES_FILE.read_text() + "".join(DESTINATION % name for name in names))
    return load_registry(CONTRACTS_FOLDER, sources)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_every_bad_input_ends_as_it_should_and_the_next_run_is_clean(
    tmp_path: Path, registry: Registry, capfd: pytest.CaptureFixture[str]
) -> None:
    begun = time.monotonic()
    campaign = Campaign(tmp_path, registry)
    campaign.run([*bad_inputs(datetime.now(tz=UTC)), *bad_senders(), *bad_storage()])
    output = "".join(capfd.readouterr())
    wrong = campaign.wrong()
    with capfd.disabled():
        sys.stdout.write(
            f"\n{campaign.table()}\n"
            f"{len(campaign.tried)} bad inputs in {time.monotonic() - begun:.0f} s, "
            f"{sum(bool(each.wrong) for each in campaign.tried)} not as they should be\n"
            + "".join(f"* {each}\n" for each in wrong)
        )

    assert wrong == []
    assert {route: len(bodies) for route, bodies in campaign.refusals.items()} == {
        "/v1": 1,
        "/v1/webhooks": 1,
    }
    assert [key for key in campaign.keys if key in output] == []
    for path in tmp_path.glob("*/collector/*"):
        assert [key for key in campaign.keys if key in path.read_text()] == []
