"""One small sample company, run once, that every story starts from."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.scenarios.house import House, copy_of

SAMPLE_EVENTS = 20_000


@dataclass(frozen=True)
class FirstRun:
    """The house after its first run, and what that run said. Read it; do not change it."""

    house: House
    stdout: str
    stderr: str


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> FirstRun:
    house = House(
        home=tmp_path_factory.mktemp("company") / "var",
        variables={"CDP_SAMPLE_EVENTS": str(SAMPLE_EVENTS)},
    )
    finished = house.run()
    return FirstRun(house, finished.stdout, finished.stderr)


@pytest.fixture
def house(first_run: FirstRun, tmp_path: Path) -> House:
    """A copy of the company after its first run, to do with as a story likes."""
    return copy_of(first_run.house, tmp_path / "var")
