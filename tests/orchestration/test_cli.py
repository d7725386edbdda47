"""The command line: every command says what it does, and an error is one line."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.testing import Result

from ingestion.sample.manifest import read_manifest
from orchestration.cli import build_app, one_line
from orchestration.context import Context
from orchestration.errors import DeploymentError
from orchestration.settings import Settings

Cdp = Callable[..., Result]


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, command in getattr(group, "commands", {}).items():
        yield " ".join((*path, name)), command
        yield from commands(command, (*path, name))


APP = build_app(Context(settings=Settings(), console=Console(stderr=True)))
COMMANDS = dict(commands(typer.main.get_command(APP)))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does(name: str) -> None:
    assert COMMANDS[name].help, f"`cdp {name}` is missing its help"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_does(name: str) -> None:
    silent = [
        parameter.name
        for parameter in COMMANDS[name].params
        if parameter.param_type_name == "option" and not parameter.help
    ]

    assert silent == [], f"`cdp {name}` has options without help"


def test_the_commands_of_the_house_are_there() -> None:
    assert {
        "run", "status", "sql", "explain", "audience list", "audience preview", "consent withdraw",
        "consent grant", "sample", "sync list", "sync plan", "sync run", "sandbox serve", "doctor", "ui",
        "dbt",
    } <= set(COMMANDS)  # fmt: skip


def run_cdp(home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", "from orchestration.cli import main; main()", *arguments],
        env={"CDP_HOME": str(home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_error_is_one_line_on_stderr_and_exit_code_1(home: Path) -> None:
    finished = run_cdp(home, "sql", "select 1")

    assert finished.returncode == 1
    assert finished.stdout == ""
    assert finished.stderr.startswith("Error: There is no snapshot")
    assert finished.stderr.count("\n") == 1


def test_debug_shows_where_an_error_came_from(home: Path) -> None:
    finished = run_cdp(home, "--debug", "sql", "select 1")

    assert finished.returncode == 1
    assert "Traceback" in finished.stderr


def test_an_error_that_is_not_ours_says_its_type_and_how_to_see_more() -> None:
    assert one_line(KeyError("x")) == "KeyError: 'x' (run `cdp --debug …` to see where)"
    assert one_line(DeploymentError("two\nlines")) == "two lines"


def test_an_error_of_ours_is_told_even_when_a_library_wrapped_it() -> None:
    wrapper = RuntimeError("a wrapper")
    wrapper.__cause__ = DeploymentError("the cause")

    assert one_line(wrapper) == "the cause"


def test_asking_for_two_people_at_once_is_refused(cdp: Cdp) -> None:
    result = cdp("explain", "--email", "a@example.com", "--phone", "+44")

    assert "exactly one of --email, --phone or --user-id" in str(result.exception)


def test_a_sample_is_written_where_it_was_asked_for_and_nothing_else_is_replaced(tmp_path: Path) -> None:
    company, other = tmp_path / "company", tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("mine")

    written = run_cdp(tmp_path / "var", "sample", str(company), "--events", "400")
    refused = run_cdp(tmp_path / "var", "sample", str(other), "--events", "400")

    manifest = read_manifest(company)
    assert written.returncode == 0
    assert f"{manifest.events:,} events" in written.stdout
    assert "invented: " in written.stdout
    assert not manifest.paths("truth", company)
    assert refused.returncode == 1
    assert "is no sample, so it is not replaced" in refused.stderr
    assert (other / "mine.txt").read_text() == "mine"
