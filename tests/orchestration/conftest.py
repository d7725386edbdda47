"""A deployment of its own for every test: a temporary CDP_HOME and a settings object that points there."""

from collections.abc import Callable
from pathlib import Path

import pytest
import typer.testing
from rich.console import Console

from orchestration.cli import build_app
from orchestration.context import Context
from orchestration.settings import Settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "var"
    monkeypatch.setenv("CDP_HOME", str(folder))
    for name in (
        "CDP_EVENTS_DIR",
        "CDP_LEGACY_SFMC_DIR",
        "CDP_AS_OF",
        "CDP_IDENTIFIER_KEY",
        "CDP_LEDGER_URL",
    ):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home=home)


@pytest.fixture
def context(settings: Settings) -> Context:
    return Context(settings=settings, console=Console(stderr=True, quiet=True))


@pytest.fixture
def cdp(context: Context) -> Callable[..., typer.testing.Result]:
    def run(*arguments: str) -> typer.testing.Result:
        return typer.testing.CliRunner().invoke(build_app(context), list(arguments))

    return run
