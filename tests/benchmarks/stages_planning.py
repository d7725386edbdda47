"""Measures planning: a first sync, its intents, a change of 1%, a preview, a resync; each a process.

python -m tests.benchmarks.stages_planning ROWS planning|listing|postgres -> one JSON line per stage; `limit`
names the script in limits/ that does the unavoidable part only.
"""

import logging
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from activation.intents import open_run
from activation.ledger import Ledger
from activation.listing import Listing
from activation.planner import plan_sync, planned_operations
from activation.resync import AsOf, resync
from tests.benchmarks.activation_world import (
    acknowledge_everything,
    build_world,
    change_one_percent,
    load,
    now,
    open_warehouse,
    point_to_sandbox,
)
from tests.benchmarks.measuring import Line, run_child, timed
from tests.postgres import postgres_server

SYNC = "to_csv"
PAGE_ROWS = 5_000


def plan_first(folder: Path, rows: int) -> None:
    """Plan a first sync of all rows and write its intents."""
    planning = Line("plan, first sync", rows, limit="planning_limit.py", limit_input=f"{rows} first")
    writing = Line("write intents", rows, limit="ledger_limit.py", limit_input=f"{rows} intents")
    with Ledger(folder / "ledger.sqlite") as ledger:
        plan_and_write(folder, ledger, planning, writing)
    planning.print()
    writing.print()


def write_to_postgres(folder: Path, rows: int) -> None:
    """Write the intents of a first sync into a ledger in PostgreSQL, on this machine, with fsync on."""
    writing = Line("write intents, PostgreSQL", rows, limit="ledger_limit.py", limit_input=f"{rows} intents")
    with postgres_server() as server, Ledger(server.new_place()) as ledger:
        plan_and_write(folder, ledger, Line("plan", rows), writing)
    writing.print()


def plan_and_write(folder: Path, ledger: Ledger, planning: Line, writing: Line) -> None:
    """Plan a first sync and write its intents, each measured into its line."""
    with open_warehouse(folder) as warehouse:
        sync = load(folder, SYNC)
        with timed(planning):
            plan = plan_sync(sync, warehouse=warehouse, ledger=ledger)
        with timed(writing):
            open_run(
                ledger,
                sync,
                planned_operations(warehouse),
                count=plan.operations,
                plan_hash=plan.plan_hash,
                planned_at_seq=plan.ledger_seq,
                made_of=plan.made_of,
                now=now(),
            )


def acknowledge(folder: Path, rows: int) -> None:
    """Let everything be delivered and projected, and then 1% change."""
    acknowledge_everything(folder, SYNC)
    with open_warehouse(folder) as warehouse, Ledger(folder / "ledger.sqlite") as ledger:
        plan = plan_sync(load(folder, SYNC), warehouse=warehouse, ledger=ledger)
    if plan.operations or plan.unchanged != rows:
        raise RuntimeError(f"{rows} unchanged rows were expected, found {plan}")
    change_one_percent(folder)


def plan_changed(folder: Path, rows: int) -> None:
    """Plan again after 1% of the rows changed."""
    planning = Line("plan, 1% changed", rows, limit="planning_limit.py", limit_input=f"{rows} changed")
    with open_warehouse(folder) as warehouse, Ledger(folder / "ledger.sqlite") as ledger:
        sync = load(folder, SYNC)
        with timed(planning):
            plan = plan_sync(sync, warehouse=warehouse, ledger=ledger)
        expected = (0, rows // 100, 0)
        if (plan.adds, plan.updates, plan.removes) != expected:
            raise RuntimeError(f"{expected} was expected, found {plan}")
    planning.print()


def preview(folder: Path, rows: int) -> None:
    """Plan as `cdp sync plan` does, on the acknowledged state of the ledger itself."""
    planning = Line("preview, 1% changed", rows, limit="planning_limit.py", limit_input=f"{rows} changed")
    with open_warehouse(folder) as warehouse, Ledger(folder / "ledger.sqlite") as ledger:
        sync = load(folder, SYNC)
        with timed(planning):
            plan = plan_sync(sync, warehouse=warehouse, ledger=ledger, state="ledger")
        if plan.updates != rows // 100:
            raise RuntimeError(f"{rows // 100} updates were expected, found {plan}")
    planning.print()


def listed(folder: Path, rows: int) -> None:
    """Keep a destination's list of all rows, resync with it, of which nothing differs, and plan beside it."""
    keeping, planning = Line("keep a list", rows), Line("plan beside a list, 1% changed", rows)
    resyncing = Line("resync, nothing differs", rows)
    with (
        open_warehouse(folder) as warehouse,
        Ledger(folder / "ledger.sqlite") as ledger,
        Listing() as listing,
    ):
        sync = load(folder, SYNC)
        with timed(keeping):
            for page in _pages(folder):
                listing.add(page)
        with timed(resyncing):
            found = resync(ledger, sync, listing, AsOf.now(ledger, now()))
        with timed(planning):
            plan = plan_sync(sync, warehouse=warehouse, ledger=ledger, listed=listing)
        if (plan.updates, plan.removes, found.unchanged) != (rows // 100, 0, rows):
            raise RuntimeError(f"{rows} rows were expected to be as listed, found {found}, {plan}")
    for line in (keeping, resyncing, planning):
        line.print()


def _pages(folder: Path) -> Iterator[dict[str, str]]:
    """What was acknowledged, as a destination would list it."""
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as ledger:
        members = ledger.execute("select destination_key, payload from acknowledged")
        while page := members.fetchmany(PAGE_ROWS):
            yield dict(page)


STEPS = {
    "first": plan_first,
    "acknowledge": acknowledge,
    "changed": plan_changed,
    "preview": preview,
    "listed": listed,
    "intents_to_postgres": write_to_postgres,
}
STAGES = {
    "planning": ("first", "acknowledge", "changed"),
    "listing": ("first", "acknowledge", "preview", "listed"),
    "postgres": ("intents_to_postgres",),
}


def main(rows: int, stage: str) -> None:
    """Take the steps one after the other, each in a fresh process, as runs of a day are."""
    with tempfile.TemporaryDirectory() as name:
        point_to_sandbox(Path(name))
        build_world(Path(name), rows)
        for step in STAGES[stage]:
            command = [sys.executable, "-m", "tests.benchmarks.stages_planning", str(rows), step, name]
            print(run_child(command).output, end="", flush=True)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    if sys.argv[2] in STEPS:
        STEPS[sys.argv[2]](Path(sys.argv[3]), int(sys.argv[1]))
    else:
        main(int(sys.argv[1]), sys.argv[2])
