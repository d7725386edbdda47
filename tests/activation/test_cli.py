"""The commands `cdp sync …` and `cdp sandbox …`."""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from activation.adapters.base import Outcome, OutcomeKind
from activation.adapters.webhook import WebhookAdapter
from activation.cli import ActivationContext, commands
from activation.config import load_definitions
from activation.ledger import Ledger
from activation.patience import Patience
from tests.activation.warehouse import Person
from tests.activation.world import World, people


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Only a file: what a command prints does not depend on the ledger's store."""
    return tmp_path / "ledger.sqlite"


Run = Callable[..., Result]


@pytest.fixture
def decisions() -> list[Mapping[str, str]]:
    """What operators decided, in the order in which the event log was told."""
    return []


@pytest.fixture
def cdp(world: World, decisions: list[Mapping[str, str]]) -> Run:
    context = ActivationContext(
        definitions=lambda: load_definitions(world.folder),
        open_ledger=lambda: Ledger(world.place),
        open_snapshot=lambda: nullcontext(world.warehouse),
        open_warehouse=lambda: nullcontext(world.warehouse),
        source_state=lambda _: None,
        record_decision=lambda decision, reason: decisions.append({**decision, "reason": reason}),
        resolve_secret=str,
        clock=world.time,
        ledger_file=world.folder / "ledger.sqlite",
        files_root=world.folder / "destinations",
        sandbox_path=world.folder / "sandbox.sqlite",
        plans_folder=world.folder / "plans",
        rates_folder=world.folder / "rates",
        dbt_project=world.folder,
        operator="tests",
        patience=Patience(first_wait=timedelta(milliseconds=1)),
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

    assert (plan["adds"], plan["guards"]) == (2, [])
    assert run.exit_code == 0
    assert run.stdout == "to_sandbox -> sandbox: 2 adds, 0 updates, 0 removals; 2 delivered (nobody else)\n"
    assert sorted(members) == ["ann@example.com", "bob@example.com"]
    assert cdp("sync", "run", "to_sandbox").stdout == "to_sandbox: nothing to send (2 unchanged)\n"


def test_a_plan_for_people_masks_every_key(world: World, cdp: Run) -> None:
    world.members(Person("ann"))

    shown = cdp("sync", "plan", "to_sandbox")

    assert "a***@e***" in shown.stdout
    assert "ann@" not in shown.stdout


def test_a_plan_that_a_guard_stopped_is_shown_approved_and_applied(
    world: World, cdp: Run, decisions: list[Mapping[str, str]]
) -> None:
    world.members(*people("ann"))
    cdp("sync", "run", "to_sandbox")
    world.members()

    stopped = cdp("sync", "run", "to_sandbox")
    (waiting,) = (plan["plan_id"] for plan in json.loads(cdp("sync", "plans", "--json").stdout))
    unapproved = cdp("sync", "apply", waiting, "--yes")
    stopped_again = cdp("sync", "run", "to_sandbox")
    listed = cdp("sync", "list")
    shown = cdp("sync", "show", waiting)
    approved = cdp("sync", "approve", waiting, "--reason", "the campaign is over")
    unsaid = cdp("sync", "apply", waiting)
    done = cdp("sync", "apply", waiting, "--yes")
    again = cdp("sync", "apply", waiting, "--yes")

    assert (stopped.exit_code, stopped_again.exit_code) == (1, 1)
    assert "Guard empty_source stopped sync 'to_sandbox': it would remove all 1 members" in stopped.stderr
    assert "nobody has approved it. Nothing was sent" in unapproved.stderr
    assert f"waits for approval: {waiting}" in listed.stdout
    assert "stopped by guard empty_source" in shown.stdout
    assert "is approved for 24 hours" in approved.stdout
    assert (unsaid.exit_code, "say --yes" in unsaid.stderr) == (1, True)
    assert (done.exit_code, world.at_sandbox()) == (0, set())
    assert (again.exit_code, "it is applied already (to_sandbox-000002)" in again.stderr) == (1, True)
    assert [(each["decision"], each["reason"]) for each in decisions] == [("approve", "the campaign is over")]


def test_a_paused_sync_is_listed_and_stopped_until_resumed(world: World, cdp: Run) -> None:
    world.members(*people("ann"))

    cdp("sync", "pause", "to_sandbox", "--reason", "the agency asked")
    listed = json.loads(cdp("sync", "list", "--json").stdout)
    stopped = cdp("sync", "run", "to_sandbox")
    cdp("sync", "resume", "to_sandbox", "--reason", "they are ready")

    assert {row["sync"]: row["paused"] for row in listed}["to_sandbox"] == "the agency asked"
    assert (stopped.exit_code, stopped.stderr) == (1, "paused: the agency asked\n")
    assert cdp("sync", "run", "to_sandbox").exit_code == 0


@pytest.mark.parametrize(
    "words", [("plan", "nothing"), ("run", "nothing"), ("resume", "nothing", "--reason", "r")]
)
def test_an_unknown_sync_is_one_line(cdp: Run, words: tuple[str, ...]) -> None:
    result = cdp("sync", *words)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "No sync is called 'nothing'; expected one of: to_csv, to_jsonl, to_sandbox.\n"


def test_an_unknown_list_is_one_line(cdp: Run) -> None:
    result = cdp("sandbox", "members", "nothing")

    assert result.exit_code == 1
    assert result.stderr.startswith("The sandbox holds no list 'nothing'")


def test_a_run_is_taken_back_by_the_command_and_the_sync_waits(
    world: World, cdp: Run, decisions: list[Mapping[str, str]]
) -> None:
    world.members(*people("ann"))
    cdp("sync", "run", "to_sandbox")
    (run,) = (run["sync_run_id"] for run in json.loads(cdp("sync", "runs", "to_sandbox", "--json").stdout))

    shown = cdp("sync", "rollback", run, "--reason", "the wrong people")
    still = world.at_sandbox()
    done = cdp("sync", "rollback", run, "--reason", "the wrong people", "--yes")
    waits = cdp("sync", "run", "to_sandbox")

    assert (shown.exit_code, still) == (1, {"ann@example.com"})
    assert "1 it added would be removed" in shown.stdout
    assert (done.exit_code, world.at_sandbox()) == (0, set())
    assert "paused until `cdp sync resume to_sandbox" in done.stderr
    assert f"paused: run {run} was rolled back: the wrong people" in waits.stderr
    assert f"takes back {run}" in cdp("sync", "runs", "to_sandbox").stdout
    assert decisions == [
        {
            "decision": "rollback",
            "sync_name": "to_sandbox",
            "sync_run_id": run,
            "reason": "the wrong people",
        }
    ]


def test_a_rollback_that_cannot_put_back_every_field_says_so(world: World, cdp: Run) -> None:
    world.members(Person("ann", lifetime_value=None))
    cdp("sync", "run", "to_sandbox")
    world.members(Person("ann", lifetime_value=5))
    cdp("sync", "run", "to_sandbox")

    shown = cdp("sync", "rollback", "to_sandbox-000002", "--reason", "wrong")
    done = cdp("sync", "rollback", "to_sandbox-000002", "--reason", "wrong", "--yes")

    told = "1 of these only in part: the run sent a field that had been left out before, and it stays"
    assert told in shown.stdout
    assert told in done.stderr
    assert done.exit_code == 0


def test_a_resync_by_the_command_says_what_differs(world: World, cdp: Run) -> None:
    world.members(*people("ann", "bob"))
    cdp("sync", "run", "to_sandbox")
    world.sandbox.store.query("delete from members where key = 'ann@example.com'")

    too_soon = cdp("sync", "resync", "to_sandbox", "--reason", "their incident", "--yes")
    asyncio.run(world.time.sleep(3600))
    shown = cdp("sync", "resync", "to_sandbox", "--reason", "their incident")
    done = cdp("sync", "resync", "to_sandbox", "--reason", "their incident", "--yes")
    run = cdp("sync", "run", "to_sandbox")

    assert "2 came too late to be in the list and stay" in too_soon.stdout
    assert (shown.exit_code, done.exit_code, run.exit_code) == (1, 0, 0)
    assert "1 keys are not there any more and come again, 0 differ and are updated, 1 are" in done.stdout
    assert world.at_sandbox() == {"ann@example.com", "bob@example.com"}


def test_a_plan_of_an_exclusive_mirror_counts_who_came_by_another_way(world: World, cdp: Run) -> None:
    file = world.folder / "syncs" / "to_sandbox.yml"
    file.write_text(file.read_text().replace("mode: mirror", "mode: mirror_exclusive"))
    world.sandbox.store.query("insert into members values ('to_sandbox', 'zoe@example.com', '{}', 0)")
    world.members(*people("ann"))

    plan = json.loads(cdp("sync", "plan", "to_sandbox", "--json").stdout)

    assert (plan["adds"], plan["removes"]) == (1, 1)


@pytest.mark.parametrize("command", [("plan",), ("resync", "--reason", "their incident", "--yes")])
def test_a_destination_that_cannot_be_listed_now_is_told_in_one_line(
    world: World, cdp: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    async def refuse(*_: object, **__: object) -> Outcome:
        return Outcome(OutcomeKind.DEFERRED, "unreachable", concerns_batch=True)

    file = world.folder / "syncs" / "to_sandbox.yml"
    file.write_text(file.read_text().replace("mode: mirror", "mode: mirror_exclusive"))
    world.members(*people("ann"))
    cdp("sync", "run", "to_sandbox")
    monkeypatch.setattr(WebhookAdapter, "_call", refuse)

    told = cdp("sync", command[0], "to_sandbox", *command[1:])

    assert told.exit_code == 1
    assert told.stderr == (
        "What sandbox has in list 'to_sandbox' could not be read (unreachable); nothing was changed. "
        "Try again.\n"
    )


def test_dead_letters_are_listed_masked_and_tried_again(world: World, cdp: Run) -> None:
    world.members(Person("ann", email="ann at home"), Person("bob"))
    cdp("sync", "run", "to_sandbox")

    listed = cdp("sync", "dead-letters", "to_sandbox")
    retried = cdp("sync", "retry", "to_sandbox", "--reason", "they mended it", "--code", "malformed_email")
    nothing = cdp("sync", "dead-letters")

    assert "1 rejected  to_sandbox: malformed_email" in listed.stdout
    assert "add ***me of to_sandbox-000001: rejected, malformed_email" in listed.stdout
    assert "ann at home" not in listed.stdout
    assert retried.stdout == "to_sandbox: 1 rejected operations may be planned again.\n"
    assert nothing.stdout == "Nothing ended badly.\n"


def test_what_ended_badly_in_one_run_is_listed_and_tried_again(world: World, cdp: Run) -> None:
    for name in ("ann", "bob"):
        world.members(Person(name, email=f"{name} at home"))
        cdp("sync", "run", "to_sandbox")
    first, second = "to_sandbox-000001", "to_sandbox-000002"

    of_one = cdp("sync", "dead-letters", "--run", first)
    retried = cdp("sync", "retry", "to_sandbox", "--reason", "mended", "--run", second)
    left = cdp("sync", "dead-letters", "to_sandbox")
    unknown = cdp("sync", "retry", "to_sandbox", "--reason", "mended", "--run", "to_sandbox-000009")
    anothers = cdp("sync", "discard", "to_csv", "--reason", "mended", "--run", first, "--yes")

    assert (of_one.stdout.count(f"of {first}:"), of_one.stdout.count(f"of {second}:")) == (1, 0)
    assert retried.stdout == "to_sandbox: 1 rejected operations may be planned again.\n"
    assert (left.stdout.count(f"of {first}:"), left.stdout.count(f"of {second}:")) == (1, 0)
    assert "The ledger knows no run 'to_sandbox-000009'" in unknown.stderr
    assert (
        f"Run {first} is one of sync 'to_sandbox', not of 'to_csv'; nothing was changed." in anothers.stderr
    )


def test_what_is_in_doubt_is_shown_before_it_is_closed(cdp: Run) -> None:
    shown = cdp("sync", "discard", "to_sandbox", "--reason", "nobody knows")
    done = cdp("sync", "discard", "to_sandbox", "--reason", "nobody knows", "--yes")

    assert (shown.exit_code, "0 operations in doubt would be closed" in shown.stdout) == (1, True)
    assert done.stdout == "to_sandbox: 0 operations in doubt are closed.\n"


def test_a_plan_is_put_away_and_its_diff_is_masked(world: World, cdp: Run) -> None:
    world.members(Person("ann", country="GB"))
    cdp("sync", "run", "to_sandbox")
    world.members(Person("ann", country="FR"))

    shown = cdp("sync", "plan", "to_sandbox", "--diff")
    (plan,) = json.loads(cdp("sync", "plans", "to_sandbox", "--json").stdout)
    put_away = cdp("sync", "reject", plan["plan_id"], "--reason", "not now")
    refused = cdp("sync", "apply", plan["plan_id"], "--yes")

    assert "  update a***@e***\n      country: G*** -> F***\n" in shown.stdout
    assert f"to carry it out: cdp sync apply {plan['plan_id']} --yes" in shown.stdout
    assert put_away.stdout == f"Plan {plan['plan_id']} is put away.\n"
    assert (refused.exit_code, "it is discarded already (not now)" in refused.stderr) == (1, True)
