"""Fixtures of activation's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from activation.ledger_places import LedgerPlace
from tests.activation.world import World, open_world
from tests.postgres import NOT_INSTALLED, PostgresServer, postgres_server, programs


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server of this session."""
    if programs() is None:
        pytest.skip(NOT_INSTALLED)
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> LedgerPlace:
    """Where the test's ledger is: a file, and then once more a database, but where a file says otherwise."""
    if request.param == "sqlite":
        return tmp_path / "ledger.sqlite"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_place()


@pytest.fixture
def world(tmp_path: Path, place: LedgerPlace) -> Iterator[World]:
    """A world whose ledger is on either store."""
    with open_world(tmp_path, place) as opened:
        yield opened
