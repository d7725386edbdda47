"""kill -9 at any moment: the next run goes in, heals, and nothing is lost or sent twice."""

import os
import signal
import time

import pytest

from orchestration.lock import lock_holder
from tests.scenarios.conftest import SAMPLE_EVENTS, FirstRun
from tests.scenarios.house import House

# a run and its healing for each moment of death: minutes, so part of `make test-all`
pytestmark = [pytest.mark.scenario, pytest.mark.slow]


def wait_for(condition, what: str, seconds: float = 120) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)


def numbers(house: House) -> tuple[object, ...]:
    status = house.json("status")
    return (
        {name: status["events"][name] for name in ("received", "accepted", "duplicates", "quarantined")},
        status["people"],
        [(a["audience"], a["channel"], a["members"], a["excluded"]) for a in status["audiences"]],
        [(s["sync"], s["acknowledged"]) for s in status["syncs"]],
    )


def test_a_run_that_waits_takes_over_from_one_that_was_killed(first_run: FirstRun, tmp_path) -> None:  # type: ignore[no-untyped-def]
    house = House(home=tmp_path / "var", variables={"CDP_SAMPLE_EVENTS": str(SAMPLE_EVENTS)})
    killed = house.start("run")
    lock = house.home / "warehouse.lock"
    wait_for(lambda: lock_holder(lock) is not None, "the first run to hold the lock")
    wait_for((house.home / "warehouse.duckdb").exists, "the first run to load")
    waiting = house.start("run")
    assert waiting.stderr is not None
    said = ""
    while "Waiting for the warehouse" not in said:
        said = waiting.stderr.readline()
        assert said, "the second run ended without waiting"

    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    out, err = waiting.communicate(timeout=280)

    assert f"process {killed.pid} (run " in said
    assert waiting.returncode == 0, err
    assert "Summary" in out
    assert numbers(house) == numbers(first_run.house)
    assert lock_holder(lock) is None


@pytest.mark.parametrize("progress", ["event log", "models", "sync"])
def test_a_run_that_was_killed_is_healed_by_the_next(first_run: FirstRun, tmp_path, progress: str) -> None:  # type: ignore[no-untyped-def]
    house = House(home=tmp_path / "var", variables={"CDP_SAMPLE_EVENTS": str(SAMPLE_EVENTS)})
    killed = house.start("run")
    assert killed.stderr is not None
    said = ""
    while progress not in said:
        said = killed.stderr.readline()
        assert said, f"the run ended before {progress}"
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()

    house.run()

    assert numbers(house) == numbers(first_run.house)
    assert "0 operations" in house.run().stdout
