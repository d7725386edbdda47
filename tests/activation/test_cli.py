"""The commands `cdp sync …` and `cdp sandbox …`."""

import json
from collections.abc import Callable
from contextlib import nullcontext

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from activation.cli import ActivationContext, commands
from activation.config import load_definitions
from activation.ledger import Ledger
from tests.activation.warehouse import Person
from tests.activation.world import World, people

Run = Callable[..., Result]


@pytest.fixture
def cdp(world: World) -> Run:
    context = ActivationContext(
        definitions=lambda: load_definitions(world.folder),
        open_ledger=lambda: Ledger(world.folder / "ledger.sqlite"),
        open_snapshot=lambda: nullcontext(world.warehouse),
        open_warehouse=lambda: nullcontext(world.warehouse),
        resolve_secret=str,
        clock=world.time,
        files_root=world.folder / "destinations",
        sandbox_path=world.folder / "sandbox.sqlite",
        operator="tests",
    )
    app = typer.Typer()
    for noun, noun_commands in commands(context).items():
        app.add_typer(noun_commands, name=noun)
    return lambda *words: CliRunner().invoke(app, list(words))


def test_a_sync_is_planned_run_and_seen_at_the_sandbox(world: World, cdp: Run) -> None:
    world.members(*people("ann", "bob"))

    plan = json.loads(cdp("sync", "plan", "to_sandbox", "--json").stdout)
    run = cdp("sync", "run", "to_sandbox")
    members = json.loads(cdp("sandbox", "members", "to_sandbox", "--json").stdout)

    assert (plan["adds"], plan["guard"]) == (2, None)
    assert run.exit_code == 0
    assert run.stdout == "to_sandbox -> sandbox: 2 adds, 0 updates, 0 removals; 2 delivered (nobody else)\n"
    assert sorted(members) == ["ann@example.com", "bob@example.com"]
    assert cdp("sync", "run", "to_sandbox").stdout == "to_sandbox: nothing to send (2 unchanged)\n"


def test_a_plan_for_people_masks_every_key(world: World, cdp: Run) -> None:
    world.members(Person("ann"))

    shown = cdp("sync", "plan", "to_sandbox")

    assert "a***@e***" in shown.stdout
    assert "ann@" not in shown.stdout


def test_a_guard_ends_the_command_with_one_and_says_what_to_do(world: World, cdp: Run) -> None:
    world.members(*people("ann"))
    cdp("sync", "run", "to_sandbox")
    world.members()

    stopped = cdp("sync", "run", "to_sandbox")
    done = cdp("sync", "run", "to_sandbox", "--yes")

    assert stopped.exit_code == 1
    assert "run it with --yes" in stopped.stderr
    assert (done.exit_code, world.at_sandbox()) == (0, set())


def test_a_paused_sync_is_listed_and_stopped_until_resumed(world: World, cdp: Run) -> None:
    world.members(*people("ann"))

    cdp("sync", "pause", "to_sandbox", "--reason", "the agency asked")
    listed = json.loads(cdp("sync", "list", "--json").stdout)
    stopped = cdp("sync", "run", "to_sandbox")
    cdp("sync", "resume", "to_sandbox")

    assert {row["sync"]: row["paused"] for row in listed}["to_sandbox"] == "the agency asked"
    assert (stopped.exit_code, stopped.stderr) == (1, "paused: the agency asked\n")
    assert cdp("sync", "run", "to_sandbox").exit_code == 0


@pytest.mark.parametrize("words", [("plan", "nothing"), ("run", "nothing"), ("resume", "nothing")])
def test_an_unknown_sync_is_one_line(cdp: Run, words: tuple[str, ...]) -> None:
    result = cdp("sync", *words)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "No sync is called 'nothing'; expected one of: to_csv, to_jsonl, to_sandbox.\n"


def test_an_unknown_list_is_one_line(cdp: Run) -> None:
    result = cdp("sandbox", "members", "nothing")

    assert result.exit_code == 1
    assert result.stderr.startswith("The sandbox holds no list 'nothing'")
