"""Fixtures of activation's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from activation.ledger_places import LedgerPlace
from tests.activation.world import World, open_world
from tests.postgres import NOT_INSTALLED, PostgresServer, postgres_server, programs

# what `make test` asks of PostgreSQL too; the rest of this folder is asked with the slow tests
ALWAYS_ON_BOTH = {
    "test_ledger", "test_ledger_commands", "test_ledger_copy", "test_ledger_postgres", "test_ledger_schema",
    "test_projection",
}  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the second half of most tests, the one with a database, for the slow ones."""
    for item in items:
        values = (
            item.callspec.params.values()
            if isinstance(item, pytest.Function) and hasattr(item, "callspec")
            else ()
        )
        is_here = item.path.parent == Path(__file__).parent
        if is_here and "postgres" in values and item.path.stem not in ALWAYS_ON_BOTH:
            item.add_marker(pytest.mark.slow)


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
