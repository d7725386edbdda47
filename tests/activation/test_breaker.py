"""The breaker of one destination: when it lets requests pass, by a clock that is told."""

from datetime import timedelta

from activation.breaker import Breaker, State, Tolerance
from tests.activation.world import START

SECOND = timedelta(seconds=1)
TOLERANCE = Tolerance(3, lambda openings: SECOND * 2**openings, timedelta(minutes=10))


def fail(breaker: Breaker, at: int, *, times: int = 1, retry_after: timedelta | None = None) -> None:
    for _ in range(times):
        breaker.failed(breaker.enter(), START + at * SECOND, reason="down", retry_after=retry_after)


def test_it_opens_after_so_many_failures_in_a_row_and_cools_down() -> None:
    breaker = Breaker("channel", TOLERANCE)

    fail(breaker, 0, times=2)
    before = (breaker.state, breaker.opens_at(START))
    fail(breaker, 0)

    assert before == (State.CLOSED, None)
    assert (breaker.state, breaker.opens_at(START)) == (State.OPEN, START + 2 * SECOND)
    assert breaker.opens_at(START + 2 * SECOND) is None


def test_a_success_between_failures_starts_the_count_anew() -> None:
    breaker = Breaker("channel", TOLERANCE)

    fail(breaker, 0, times=2)
    breaker.succeeded()
    fail(breaker, 0, times=2)

    assert breaker.state is State.CLOSED


def test_after_the_cool_down_one_probe_passes_and_the_others_wait_for_it() -> None:
    breaker = Breaker("channel", TOLERANCE)
    fail(breaker, 0, times=3)

    breaker.enter()

    assert breaker.waits_for_probe
    breaker.succeeded()
    assert (breaker.state, breaker.opens_at(START)) == (State.CLOSED, None)


def test_a_probe_that_fails_makes_the_next_cool_down_longer() -> None:
    breaker = Breaker("channel", TOLERANCE)
    fail(breaker, 0, times=3)

    fail(breaker, 2)

    assert (breaker.state, breaker.opens_at(START + 2 * SECOND)) == (State.OPEN, START + 6 * SECOND)


def test_a_probe_that_found_nothing_to_send_leaves_its_place_to_another() -> None:
    breaker = Breaker("channel", TOLERANCE)
    fail(breaker, 0, times=3)

    breaker.came_back_unsent(breaker.enter())

    assert not breaker.waits_for_probe
    assert breaker.state is State.OPEN


def test_answers_from_before_it_opened_can_close_it_but_not_open_it_once_more() -> None:
    breaker = Breaker("channel", TOLERANCE)
    old = breaker.enter()
    fail(breaker, 0, times=3)

    breaker.failed(old, START, reason="down", retry_after=None)
    cools_until = breaker.opens_at(START)
    breaker.succeeded()

    assert cools_until == START + 2 * SECOND
    assert breaker.state is State.CLOSED


def test_a_destination_that_says_when_to_come_back_is_left_alone_until_then_whatever_else_succeeds() -> None:
    breaker = Breaker("channel", TOLERANCE)

    fail(breaker, 0, retry_after=17 * SECOND)
    breaker.succeeded()

    assert breaker.opens_at(START + 16 * SECOND) == START + 17 * SECOND
    assert breaker.opens_at(START + 17 * SECOND) is None


def test_it_gives_up_when_the_next_cool_down_would_end_after_its_patience() -> None:
    breaker = Breaker("channel", TOLERANCE)

    fail(breaker, 0, times=3)
    fail(breaker, 590)
    hopeful = breaker.given_up
    fail(breaker, 595)

    assert hopeful is None
    assert breaker.given_up == (
        "channel did not take a batch 5 times in a row, for 595 s (down); what is left waits for the next run"
    )


def test_one_answer_that_asks_for_more_patience_than_there_is_ends_the_run() -> None:
    """Nobody holds a run open for the twenty hours that a destination asked for."""
    breaker = Breaker("channel", TOLERANCE)

    fail(breaker, 0, retry_after=timedelta(hours=20))

    assert breaker.given_up is not None
    assert "asked to be left alone until 2010-12-10 20:00 UTC (down)" in breaker.given_up
