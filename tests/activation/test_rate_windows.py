"""Rate windows that several processes share: together they keep a destination's limit."""

import multiprocessing
import os
import signal
import time
from datetime import timedelta
from pathlib import Path

import pytest

from activation.adapters.base import Rate
from activation.limits import GRAIN, RateWindows, SharedRateWindows
from activation.sandbox.app import SandboxRules
from activation.sandbox.server import SandboxServer
from tests.activation.crash_child import now
from tests.activation.rate_child import hold_the_lock, send
from tests.activation.world import START

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.activation.rate_child"])
LIMIT, REQUESTS = 10, 15
SECOND = timedelta(seconds=1)


def test_two_processes_together_keep_the_limit_by_the_destinations_own_record(tmp_path: Path) -> None:
    """The sandbox notes when each request arrived. The way there may take a bit longer once."""
    rules = SandboxRules(requests_per_second=1000)
    with SandboxServer(tmp_path / "sandbox.sqlite", clock=now, rules=rules) as sandbox:
        path = str(tmp_path / "rates" / "channel.sqlite")
        children = [CONTEXT.Process(target=send, args=(path, sandbox.url, LIMIT, REQUESTS)) for _ in range(2)]
        for child in children:
            child.start()
        for child in children:
            child.join(60)
        arrived = [
            float(str(at)) for (at,) in sandbox.store.query("select arrived_at from arrivals order by 1")
        ]

    assert [child.exitcode for child in children] == [0, 0]
    assert len(arrived) == 2 * REQUESTS
    spans = [later - sooner for sooner, later in zip(arrived, arrived[LIMIT:], strict=False)]
    assert min(spans) > 0.7, spans


def test_a_process_that_is_killed_while_it_holds_the_lock_holds_up_nobody(tmp_path: Path) -> None:
    path = tmp_path / "channel.sqlite"
    child = CONTEXT.Process(target=hold_the_lock, args=(str(path), 2))
    child.start()
    while not Path(f"{path}.held").exists():
        time.sleep(0.01)
    windows = SharedRateWindows(path, [Rate(2, 60.0)])

    while_it_lives = windows.admit(now())
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join(60)
    afterwards = [windows.admit(now()) for _ in range(2)]

    assert timedelta(0) < while_it_lives < SECOND
    assert afterwards[0] == timedelta(0)
    assert afterwards[1] > 30 * SECOND, "what the killed process had counted stands"


def test_what_a_former_run_sent_counts_in_the_next(tmp_path: Path) -> None:
    path = tmp_path / "channel.sqlite"
    first = SharedRateWindows(path, [Rate(2, 60.0)])
    assert [first.admit(START) for _ in range(2)] == [timedelta(0)] * 2
    first.close()

    waits = SharedRateWindows(path, [Rate(2, 60.0)]).admit(START + 10 * SECOND)

    assert waits == timedelta(seconds=50, milliseconds=1)


@pytest.mark.parametrize("is_shared", [False, True])
def test_a_request_counts_from_when_it_may_have_arrived(tmp_path: Path, *, is_shared: bool) -> None:
    rates = [Rate(2, 60.0)]
    windows = SharedRateWindows(tmp_path / "channel.sqlite", rates) if is_shared else RateWindows(rates)
    assert [windows.admit(START + SECOND * second) for second in (0, 1)] == [timedelta(0)] * 2

    windows.arrived(START, START + 10 * SECOND)

    assert windows.admit(START + 20 * SECOND) == timedelta(seconds=41, milliseconds=1)
    assert windows.admit(START + 62 * SECOND) == timedelta(0)
    assert windows.admit(START + 63 * SECOND) == timedelta(seconds=7, milliseconds=1)


@pytest.mark.parametrize("is_shared", [False, True])
def test_a_sender_keeps_windows_that_are_longer_by_its_margin(tmp_path: Path, *, is_shared: bool) -> None:
    rates, path = [Rate(1, 60.0)], tmp_path / "channel.sqlite"
    windows = SharedRateWindows(path, rates, margin=GRAIN) if is_shared else RateWindows(rates, margin=GRAIN)
    windows.admit(START)

    assert windows.admit(START) == timedelta(minutes=1, milliseconds=1) + GRAIN


def test_a_clock_that_is_put_back_closes_no_window_for_ever(tmp_path: Path) -> None:
    windows = SharedRateWindows(tmp_path / "channel.sqlite", [Rate(1, 60.0)])
    windows.admit(START + timedelta(hours=5))

    assert windows.admit(START) == timedelta(0)


def test_every_window_that_a_destination_declares_is_kept(tmp_path: Path) -> None:
    windows = SharedRateWindows(tmp_path / "channel.sqlite", [Rate(3, 60.0), Rate(1, 1.0)])

    waits = [windows.admit(START + SECOND * second * 2) for second in range(4)]

    assert waits[:3] == [timedelta(0)] * 3
    assert waits[3] > 50 * SECOND
