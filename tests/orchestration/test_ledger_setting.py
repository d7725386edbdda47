"""Which ledger a deployment has: a file, or the database that one setting names."""

from pathlib import Path

import pytest

from activation.ledger_places import PostgresDatabase
from orchestration.cli import activation_context
from orchestration.context import Context
from orchestration.settings import Settings


def test_without_the_setting_the_ledger_is_a_file(home: Path) -> None:
    assert Settings().ledger_place == home / "ledger.sqlite"


def test_the_setting_names_a_database_and_every_command_opens_it(
    home: Path, monkeypatch: pytest.MonkeyPatch, context: Context
) -> None:
    monkeypatch.setenv(
        "CDP_LEDGER_URL", "postgresql://cdp:hunter2@db.example:5433/cdp_ledger?sslmode=require"
    )
    settings = Settings()
    told = Context(settings=settings, console=context.console)

    ledger = activation_context(told).open_ledger()

    assert str(settings.ledger_place) == "postgresql://db.example:5433/cdp_ledger"
    assert isinstance(settings.ledger_place, PostgresDatabase)
    assert getattr(ledger, "place", None) == settings.ledger_place
    assert "hunter2" not in f"{settings!r} {settings.ledger_place!r} {settings.ledger_place}"
    assert settings.home == home
