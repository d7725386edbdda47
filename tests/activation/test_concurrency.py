"""Several syncs and several batches at once, in virtual time: who waits for whom, and who does not."""

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from activation.adapters.base import DELIVERED, Batch, Outcome, OutcomeKind, Page, Rate, Target
from activation.engine import SyncJob, each_sync, run_syncs
from activation.errors import LedgerStorageError
from activation.listing import IDLE_PAGES
from activation.outside import Engine, OpenDestination
from activation.patience import Patience
from activation.reports import SyncReport
from activation.stopping import Stop
from tests.activation.channel import DEAD, REFUSED, TIMED_OUT, Channel, always
from tests.activation.virtual_time import VirtualTime
from tests.activation.world import SYNC, World, people


class Recovering(Channel):
    """Answers these failures first."""

    failures: list[Outcome]

    async def list_members(self, target: Target, after: str | None) -> Page | Outcome:
        page = await super().list_members(target, after)
        return self.failures.pop() if self.failures else page


class NowAndThen(Channel):
    """Answers some requests for a page with these failures."""

    failures: dict[int, Outcome]

    async def list_members(self, target: Target, after: str | None) -> Page | Outcome:
        number = len(self.listed_at)
        page = await super().list_members(target, after)
        return self.failures.get(number, page)


class Endless(Channel):
    """Shows the same pages in turn, each of which is named by a letter."""

    def __init__(self, turns: str) -> None:
        super().__init__()
        self._turns = itertools.cycle(turns)

    async def list_members(self, target: Target, after: str | None) -> Page | Outcome:  # noqa: ARG002
        await super().list_members(target, None)
        return Page({"foreign": "{}"}, next(self._turns))


class Broken(Channel):
    """Has a mistake in it."""

    async def list_members(self, target: Target, after: str | None) -> Page | Outcome:
        await super().list_members(target, after)
        raise LookupError("a mistake in the adapter")


NAMES = [f"p{number:02d}" for number in range(40)]  # ten batches of four


class Company:
    """Syncs to channels in memory, each with its own unless told otherwise."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.time = VirtualTime()
        self.engine = Engine(clock=self.time, worker_name="tests", new_loop=self.time.new_loop)
        self.jobs: list[SyncJob] = []
        self.ended_at: dict[str, float] = {}

    def add(self, name: str, place: Channel | OpenDestination, **changes: Any) -> None:
        text = SYNC.format(name=name, destination="sandbox", options="{}")
        for key, value in changes.items():
            text = "\n".join(line for line in text.splitlines() if not line.startswith(f"{key}:"))
            text += f"\n{key}: {value}\n"
        (self.world.folder / "syncs" / f"{name}.yml").write_text(text)
        opened = place if isinstance(place, OpenDestination) else place.opened()
        self.jobs.append(SyncJob(self.world.sync(name), opened))

    def run(self, engine: Engine | None = None) -> dict[str, SyncReport]:
        given = {"warehouse": self.world.warehouse, "ledger": self.world.ledger, "desk": self.world.desk}
        reports = {}
        for ended in each_sync(self.jobs, engine=engine or self.engine, **given):  # type: ignore[arg-type]
            reports[ended.report.sync_name] = ended.report
            self.ended_at[ended.report.sync_name] = self.time.elapsed
        return reports


@pytest.fixture
def company(world: World) -> Company:
    for file in (world.folder / "syncs").iterdir():
        file.unlink()
    world.members(*people(*NAMES))
    return Company(world)


def test_a_dead_and_a_slow_destination_slow_no_other(company: Company) -> None:
    """Ten batches, four at once, a second each: three seconds; so is it with nine others beside it."""
    company.add("dead", Channel(seconds=0.01, answer=always(DEAD)))
    company.add("silent", Channel(seconds=30, answer=always(TIMED_OUT)))
    company.add("slow", Channel(seconds=50))
    healthy = [f"healthy{number}" for number in range(8)]
    for name in healthy:
        company.add(name, Channel(seconds=1))

    reports = company.run()

    assert [reports[name].delivered for name in healthy] == [40] * 8
    assert [company.ended_at[name] for name in healthy] == pytest.approx([3.0] * 8)
    assert (reports["slow"].delivered, company.ended_at["slow"]) == (40, pytest.approx(150))
    assert (reports["dead"].delivered, reports["dead"].deferred) == (0, 40)
    assert "did not take a batch" in str(reports["dead"].error)
    assert company.ended_at["dead"] <= 60
    assert "(timeout); what is left waits" in str(reports["silent"].error)
    assert company.ended_at["silent"] <= 100


def test_a_destination_that_is_slow_to_list_holds_up_nobody_elses_plan(company: Company) -> None:
    company.add("listed", Channel(seconds_to_list=60), mode="mirror_exclusive")
    company.add("other", Channel())

    company.run()

    assert company.ended_at == {"other": pytest.approx(3), "listed": pytest.approx(63)}


def test_each_page_of_a_list_waits_for_its_turn_and_takes_one(company: Company) -> None:
    channel = Channel(pages=[{"one": "{}"}, {"two": "{}"}, {"three": "{}"}])
    company.add("listed", channel.opened(Rate(1, 10)), mode="mirror_exclusive")

    report = company.run()["listed"]

    assert channel.listed_at == pytest.approx([0, 10, 20], abs=0.1)
    assert channel.requests[0].began == pytest.approx(30, abs=0.1)
    assert report.removes == 3


def test_of_half_a_list_nothing_is_planned(company: Company) -> None:
    channel = Channel(pages=[{"foreign": "{}"}, TIMED_OUT])
    company.add("listed", channel, mode="mirror_exclusive")

    report = company.run()["listed"]
    channel.pages, channel.is_open = [{"foreign": "{}"}, {}], False
    again = company.run()["listed"]

    assert report.error == (
        "What sandbox has in list 'listed' could not be read (timeout); nothing was changed. Try again."
    )
    assert (report.operations, again.adds, again.removes) == (0, 40, 1)
    assert len(channel.listed_at) == 1 + Patience().unknown_attempts + 2


def test_a_page_that_fails_is_asked_for_again_when_the_destination_says(company: Company) -> None:
    busy = Outcome(OutcomeKind.DEFERRED, "rate_limited", timedelta(seconds=30), concerns_batch=True)
    channel = Recovering(pages=[{"one": "{}"}, {"two": "{}"}])
    channel.failures = [busy]
    company.add("listed", channel, mode="mirror_exclusive")
    company.add("other", company.jobs[0].destination)

    report = company.run()["listed"]

    assert channel.listed_at == pytest.approx([1, 31, 31], abs=0.1)
    assert not [request for request in channel.requests if 1.1 < request.began < 31], "it asked all to wait"
    assert report.removes == 2


def test_a_list_that_nobody_may_see_ends_its_own_sync_alone(company: Company) -> None:
    forbidden = Outcome(OutcomeKind.DEFERRED, "forbidden", stops_destination=True, concerns_batch=True)
    channel = Channel(pages=[forbidden])
    company.add("listed", channel, mode="mirror_exclusive")
    company.add("other", company.jobs[0].destination)

    reports = company.run()

    assert "could not be read (forbidden); nothing was changed. A person must act" in str(
        reports["listed"].error
    )
    assert (len(channel.listed_at), reports["other"].delivered) == (1, 40)


def test_pages_that_fail_now_and_then_end_no_list_and_no_delivery(company: Company) -> None:
    """Each is asked for again, and what happened a hundred pages ago counts no more."""
    again = Outcome(OutcomeKind.DEFERRED, "rate_limited", timedelta(seconds=1), concerns_batch=True)
    channel = NowAndThen(seconds_to_list=1, pages=[{f"k{number // 50}": "{}"} for number in range(400)])
    channel.failures = {number: again if number % 200 else TIMED_OUT for number in range(50, 400, 50)}
    channel.answer = lambda batch: (
        [again] * len(batch.operations) if len(channel.requests) == 1 else [DELIVERED] * len(batch.operations)
    )
    company.add("listed", channel, mode="mirror_exclusive")

    report = company.run()["listed"]

    assert len(channel.listed_at) == 407
    assert (report.removes, report.delivered, report.error) == (8, 48, None)


def test_a_destination_that_asks_for_hours_of_peace_is_not_listed_now(company: Company) -> None:
    busy = Outcome(OutcomeKind.DEFERRED, "rate_limited", timedelta(hours=2), concerns_batch=True)
    company.add("listed", Channel(pages=[busy]), mode="mirror_exclusive")

    report = company.run()["listed"]

    assert "(rate_limited, for 7,200 s)" in str(report.error)
    assert company.ended_at["listed"] < 1


@pytest.mark.parametrize(
    ("turns", "why", "requests"),
    [
        ("a", "a page leads to itself", 2),
        ("ab", f"{IDLE_PAGES} pages in a row show nobody new", IDLE_PAGES + 1),
    ],
)
def test_a_list_without_an_end_is_none(company: Company, turns: str, why: str, requests: int) -> None:
    channel = Endless(turns)
    company.add("listed", channel, mode="mirror_exclusive")

    report = company.run()["listed"]

    assert f"({why})" in str(report.error)
    assert len(channel.listed_at) == requests


def test_pages_do_not_hide_that_nothing_is_taken(company: Company) -> None:
    """Beside a long list, a destination that takes nothing is left alone as it is without."""
    channel = Channel(seconds=0.1, seconds_to_list=0.1, pages=[{}] * 90, answer=always(DEAD))
    company.add("listed", channel, mode="mirror_exclusive")
    company.add("other", company.jobs[0].destination)

    company.run()

    asked = [request for request in channel.requests if request.sync_name == "other" and request.began < 9]
    assert len(asked) < 20


def test_a_list_that_is_broken_off_gives_its_place_back(company: Company) -> None:
    """Its sync ends; the other at the same destination, which takes one request at once, goes on."""
    channel = Broken()
    company.add("listed", channel.opened(concurrency=1), mode="mirror_exclusive")
    company.add("other", company.jobs[0].destination)

    reports = company.run()

    assert reports["listed"].error == "a mistake in the adapter"
    assert reports["other"].delivered == 40


def test_a_run_that_is_asked_to_stop_does_not_wait_for_the_rest_of_a_list(company: Company) -> None:
    channel = Channel(seconds_to_list=10, pages=[{}] * 100)
    company.add("listed", channel, mode="mirror_exclusive")
    company.add("other", Channel())

    report = company.run(stopping(company, "after_outcome", 1))["listed"]

    assert report.error == "asked to stop (SIGTERM); what is left waits for the next run"
    assert len(channel.listed_at) == 1


def test_what_a_former_run_left_at_one_destination_holds_up_nobody_else(company: Company) -> None:
    readable = {"idempotency_lifetime": None, "can_read_back": True}
    channel = Channel()
    company.add("left", channel.opened(**readable, read_back_settles=timedelta(seconds=45)))

    def die(point: str) -> None:
        if point == "after_in_flight":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        company.run(replace(company.engine, at=die, worker_name="dead"))
    channel.is_open = False
    company.add("other", Channel())
    company.run(replace(company.engine, is_alive=lambda _: False))

    assert company.ended_at["other"] == pytest.approx(3)
    assert company.ended_at["left"] >= 45


def test_a_sync_starts_when_those_it_comes_after_have_ended_well(company: Company) -> None:
    first, second = Channel(), Channel()
    company.add("first", first)
    company.add("second", second, after="[first]")

    company.run()

    assert second.requests[0].began >= 3.0
    assert company.ended_at["second"] == pytest.approx(6)


def test_a_sync_whose_former_did_not_end_well_is_not_started_and_says_so(company: Company) -> None:
    third = Channel()
    company.add("first", Channel(answer=always(DEAD)))
    company.add("second", Channel(), after="[first]")
    company.add("third", third, after="[second]")

    reports = company.run()

    assert reports["second"].error == "not started: it comes after 'first', which did not end well"
    assert reports["third"].error == "not started: it comes after 'second', which did not end well"
    assert third.requests == []


def test_a_task_that_is_cancelled_from_within_ends_the_run_and_nobody_waits_for_it(company: Company) -> None:
    """No library may let a run wait for ever for a sync that has ended without a word."""

    def cancelled(_: Batch) -> Sequence[Outcome]:
        raise asyncio.CancelledError("by a library")

    company.add("cancelled", Channel(answer=cancelled))

    with pytest.raises(asyncio.CancelledError, match="by a library"):
        company.run()


def test_an_error_in_one_sync_is_its_report_and_the_others_go_on(company: Company) -> None:
    company.add("wrong", Channel(), source="{audience: nobody_knows, channel: email}")
    company.add("right", Channel())

    reports = run_syncs(
        company.jobs,
        warehouse=company.world.warehouse,
        ledger=company.world.ledger,
        engine=company.engine,
        desk=company.world.desk,
    )

    assert [report.sync_name for report in reports] == ["wrong", "right"]
    assert "'nobody_knows' is not in marts.audiences" in str(reports[0].error)
    assert (reports[1].delivered, reports[1].error) == (40, None)


def test_an_adapter_that_breaks_ends_its_sync_and_what_it_had_in_flight_is_recorded(company: Company) -> None:
    def broken(batch: Batch) -> Sequence[Outcome]:
        if "p00@example.com" in batch.operations[0].destination_key:
            raise RuntimeError("a mistake in the adapter")
        return [DELIVERED] * len(batch.operations)

    company.add("broken", Channel(answer=broken))
    company.add("right", Channel())

    reports = company.run()

    assert reports["broken"].error == "a mistake in the adapter"
    assert reports["right"].delivered == 40
    states = company.world.ledger_states("broken")
    assert (states["in_flight"], states["delivered"] >= 12) == (4, True)


def test_a_ledger_that_cannot_be_written_ends_all(company: Company) -> None:
    company.add("one", Channel())
    company.add("two", Channel(seconds=60))

    def fill(point: str) -> None:
        if point == "before_outcome":
            raise LedgerStorageError("the disk is full")

    with pytest.raises(LedgerStorageError, match="the disk is full"):
        company.run(replace(company.engine, at=fill))


@pytest.mark.parametrize("concurrency", [1, 3])
def test_all_syncs_of_a_destination_share_its_requests_in_flight(company: Company, concurrency: int) -> None:
    channel = Channel()
    destination = channel.opened(concurrency=concurrency)
    company.add("one", destination)
    company.add("two", destination)

    company.run()

    assert channel.most_in_flight == concurrency
    assert {request.sync_name for request in channel.requests[:8]} == {"one", "two"}
    assert len(channel.requests) == 20


def test_all_syncs_of_a_destination_share_its_rate_windows(company: Company) -> None:
    channel = Channel(seconds=0.01)
    destination = channel.opened(Rate(5, 1.0))
    company.add("one", destination)
    company.add("two", destination)

    company.run()

    began = [request.began for request in channel.requests]
    assert all(later - sooner >= 1.0 for sooner, later in zip(began, began[5:], strict=False))
    assert began[-1] == pytest.approx(3.0, abs=0.1)


def test_a_request_that_travels_longer_than_the_next_does_not_break_the_limit(company: Company) -> None:
    """A destination counts arrivals; the first two requests arrive 0.4 s after they left."""
    channel = Channel(seconds=0.01, on_the_way=lambda number: 0.4 if number < 2 else 0.0)
    company.add("one", channel.opened(Rate(5, 1.0), concurrency=10))

    company.run()

    arrived = [request.began for request in channel.requests]
    assert len(arrived) == 10
    assert all(later - sooner >= 1.0 for sooner, later in zip(arrived, arrived[5:], strict=False)), arrived


def test_removals_are_claimed_before_additions_with_several_in_flight(company: Company) -> None:
    channel = Channel()
    company.add("one", channel)
    company.run()
    company.world.members(*people(*NAMES[8:]), *people(*(f"new{number}" for number in range(16))))
    before = len(channel.requests)

    company.run()

    kinds = [request.kinds[0] for request in channel.requests[before:]]
    assert kinds == ["remove"] * 2 + ["add"] * 4


@pytest.mark.parametrize("poison", [["p00"], ["p07", "p21"], ["p38", "p39"]])
def test_bad_rows_that_spoil_their_requests_are_found_by_halving(company: Company, poison: list[str]) -> None:
    bad = {f"{name}@example.com" for name in poison}

    def refuses(batch: Batch) -> Sequence[Outcome]:
        is_bad = any(operation.destination_key in bad for operation in batch.operations)
        return [REFUSED if is_bad else DELIVERED] * len(batch.operations)

    company.add("one", Channel(answer=refuses))

    report = company.run()["one"]

    assert (report.delivered, report.rejected, report.is_complete) == (40 - len(bad), len(bad), True)
    assert {key for key, state in company.world.states().items() if "rejected" in state} == bad


def test_an_open_breaker_lets_one_probe_pass_and_closes_for_all_syncs(company: Company) -> None:
    channel = Channel(seconds=0.5)

    def answer(batch: Batch) -> Sequence[Outcome]:
        is_down = channel.requests[-1].began < 10
        return [DEAD if is_down else DELIVERED] * len(batch.operations)

    channel.answer = answer
    destination = channel.opened()
    company.add("one", destination)
    company.add("two", destination)

    reports = company.run()

    during = [request.began for request in channel.requests if 0.5 <= request.began < 10]
    assert all(later - sooner >= 1 for sooner, later in itertools.pairwise(during))
    assert len(during) <= 4
    assert [report.delivered for report in reports.values()] == [40, 40]


def test_every_sync_of_a_destination_that_is_given_up_waits_for_the_next_run(company: Company) -> None:
    channel = Channel(answer=always(DEAD))
    destination = channel.opened()
    company.add("one", destination)
    company.add("two", destination)

    reports = company.run()

    assert reports["one"].error == reports["two"].error
    assert [report.deferred for report in reports.values()] == [40, 40]
    channel.answer = Channel().answer
    assert [report.delivered for report in company.run().values()] == [40, 40]


def test_a_run_that_is_asked_to_stop_lets_what_is_in_flight_end_and_claims_nothing_more(
    company: Company,
) -> None:
    channel = Channel(seconds=10)
    company.add("one", channel)
    company.add("two", Channel(seconds=0.1))
    asked = stopping(company, "after_in_flight", 14)

    reports = company.run(asked)

    assert (len(channel.requests), reports["one"].delivered, reports["one"].deferred) == (4, 16, 24)
    assert reports["one"].error == "asked to stop (SIGTERM); what is left waits for the next run"
    assert (reports["two"].delivered, reports["two"].error) == (40, None)
    again = company.run()["one"]
    assert (again.delivered, again.is_complete) == (24, True)


def test_what_does_not_end_within_the_budget_stays_in_flight_for_recovery(company: Company) -> None:
    channel = Channel(seconds=60)
    company.add("one", channel)

    report = company.run(stopping(company, "after_in_flight", 4))["one"]

    assert (report.delivered, report.in_doubt, report.deferred) == (0, 16, 24)
    assert company.ended_at["one"] == pytest.approx(Patience().drain.total_seconds())
    healed = company.run(replace(company.engine, is_alive=lambda _: False, worker_name="next"))["one"]
    assert (healed.recovered, healed.in_doubt, company.world.ledger_states("one")["delivered"]) == (16, 0, 40)


def test_a_sync_that_waits_for_its_limit_is_stopped_at_once(company: Company) -> None:
    company.add("one", Channel(seconds=0.1).opened(Rate(1, 3600.0)))

    report = company.run(stopping(company, "after_outcome", 1))["one"]

    assert (report.delivered, report.deferred) == (4, 36)
    assert company.ended_at["one"] < 1


def test_a_batch_without_an_answer_gives_its_place_to_others_until_it_is_asked_again(
    company: Company,
) -> None:
    unanswered: set[str] = set()

    def first_time(batch: Batch) -> Sequence[Outcome]:
        if batch.idempotency_key in unanswered or len(unanswered) == 2:
            return [DELIVERED] * len(batch.operations)
        unanswered.add(batch.idempotency_key)
        return [Outcome(OutcomeKind.UNKNOWN, "http_500", concerns_batch=True)] * len(batch.operations)

    channel = Channel(seconds=0.1, answer=first_time)
    company.add("one", channel.opened(concurrency=1))

    report = company.run()["one"]

    assert (report.delivered, report.is_complete, len(channel.requests)) == (40, True, 12)
    # which of the two is asked again first depends on their keys
    repeated = sorted(request.keys for request in channel.requests[-2:])
    assert repeated == sorted(request.keys for request in channel.requests[:2])


def stopping(company: Company, point: str, occurrence: int) -> Engine:
    """An engine that is asked to stop when it passes a point so often."""
    passed = 0

    stop = Stop()

    def at(reached: str) -> None:
        nonlocal passed
        passed += reached == point
        if reached == point and passed == occurrence:
            stop.ask("SIGTERM")

    return replace(company.engine, stop=stop, at=at)
