"""I6: kill the process at any instant; nothing is lost, nothing is done twice, and the next run heals."""

import csv
import multiprocessing
import signal
from collections import Counter
from pathlib import Path

import duckdb
import pytest

from activation.engine import refresh_denials_from_marts
from activation.ledger import Ledger
from activation.ledger_places import LedgerPlace
from activation.sandbox.app import SandboxRules
from activation.sandbox.server import SandboxServer
from tests.activation.crash_child import deliver_only, now, run_and_die
from tests.activation.warehouse import Person, build_warehouse, set_members
from tests.activation.world import DESTINATIONS, write_definitions

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.activation.crash_child", "tests.activation.drain_child"])
POINTS = [
    ("after_intents", 1),
    ("before_claim", 2),
    ("after_in_flight", 1),
    ("before_write", 2),
    ("after_response", 1),
    ("before_outcome", 2),
    ("after_outcome", 1),
    ("after_outcome", 3),
]
NAMES = [f"p{number}" for number in range(10)]


def prepare(folder: Path, place: LedgerPlace, members: list[str]) -> None:
    with duckdb.connect(str(folder / "warehouse.duckdb")) as warehouse:
        build_warehouse(warehouse)
        set_members(warehouse, [Person(name) for name in members])
        with Ledger(place) as ledger:
            refresh_denials_from_marts(warehouse, ledger, watermark=now(), now=now())


def run_in_child(
    folder: Path, place: LedgerPlace, sync_name: str, point: str = "never", occurrence: int = 1
) -> int | None:
    child = CONTEXT.Process(target=run_and_die, args=(str(folder), place, sync_name, point, occurrence))
    child.start()
    child.join(60)
    return child.exitcode


def unsettled(place: LedgerPlace) -> Counter[str]:
    with Ledger(place) as ledger, ledger.read() as connection:
        return Counter(state for (state,) in connection.execute("select state from operations"))


@pytest.mark.parametrize(("point", "occurrence"), POINTS)
def test_the_sandbox_sees_everything_once_whenever_the_run_is_killed(
    tmp_path: Path, place: LedgerPlace, point: str, occurrence: int
) -> None:
    with SandboxServer(tmp_path / "sandbox.sqlite", clock=now) as sandbox:
        write_definitions(tmp_path, destinations=DESTINATIONS.replace("builtin:sandbox", sandbox.url))
        prepare(tmp_path, place, NAMES)

        killed = run_in_child(tmp_path, place, "to_sandbox", point, occurrence)
        healed = run_in_child(tmp_path, place, "to_sandbox")

        done = sandbox.store.query(
            "select key, count(*) from effects where status = 'delivered' group by key"
        )
        held = {key for key, _ in sandbox.store.members("to_sandbox")}
        before = sandbox.store.query("select count(*) from requests")
        quiet = run_in_child(tmp_path, place, "to_sandbox")
        after = sandbox.store.query("select count(*) from requests")

    assert (killed, healed, quiet) == (-signal.SIGKILL, 0, 0)
    assert done == [(f"{name}@example.com", 1) for name in NAMES]
    assert held == {f"{name}@example.com" for name in NAMES}
    assert before == after
    assert set(unsettled(place)) <= {"delivered", "cancelled"}


@pytest.mark.parametrize(("point", "occurrence"), [*POINTS[2:6], POINTS[7]])
def test_files_hold_everything_once_whenever_the_run_is_killed(
    tmp_path: Path, point: str, occurrence: int
) -> None:
    place = tmp_path / "ledger.sqlite"
    write_definitions(tmp_path)
    prepare(tmp_path, place, NAMES)

    killed = run_in_child(tmp_path, place, "to_csv", point, occurrence)
    healed = run_in_child(tmp_path, place, "to_csv")

    folder = tmp_path / "destinations" / "files" / "to_csv"
    rows = Counter(row["email"] for file in folder.glob("0*.csv") for row in read_csv(file))
    current = [row["email"] for row in read_csv(folder / "current.csv")]
    assert (killed, healed) == (-signal.SIGKILL, 0)
    assert rows == Counter(f"{name}@example.com" for name in NAMES)
    assert current == [f"{name}@example.com" for name in NAMES]
    assert not list(folder.glob(".*.partial"))


def test_killed_in_the_midst_of_recovery_it_heals_all_the_same(tmp_path: Path, place: LedgerPlace) -> None:
    with SandboxServer(tmp_path / "sandbox.sqlite", clock=now) as sandbox:
        write_definitions(tmp_path, destinations=DESTINATIONS.replace("builtin:sandbox", sandbox.url))
        prepare(tmp_path, place, NAMES)

        exits = [
            run_in_child(tmp_path, place, "to_sandbox", "after_response", 2),
            run_in_child(tmp_path, place, "to_sandbox", "in_recovery", 1),
            run_in_child(tmp_path, place, "to_sandbox", "before_outcome", 1),
            run_in_child(tmp_path, place, "to_sandbox"),
        ]
        done = sandbox.store.query(
            "select key, count(*) from effects where status = 'delivered' group by key"
        )

    assert exits == [-signal.SIGKILL, -signal.SIGKILL, -signal.SIGKILL, 0]
    assert done == [(f"{name}@example.com", 1) for name in NAMES]


def test_two_engines_on_one_ledger_send_everything_once(tmp_path: Path, place: LedgerPlace) -> None:
    """The first has been killed after it wrote what is to be sent; two others take it up at once.

    Each request takes 50 ms, so that neither can do everything while the other begins.
    """
    names = [f"p{number:03d}" for number in range(60)]
    rules = SandboxRules(seconds_to_commit=0.05)
    with SandboxServer(tmp_path / "sandbox.sqlite", clock=now, rules=rules) as sandbox:
        write_definitions(tmp_path, destinations=DESTINATIONS.replace("builtin:sandbox", sandbox.url))
        prepare(tmp_path, place, names)
        killed = run_in_child(tmp_path, place, "to_sandbox", "after_in_flight", 2)

        start = CONTEXT.Barrier(2)
        engines = [
            CONTEXT.Process(target=deliver_only, args=(str(tmp_path), place, "to_sandbox", start))
            for _ in range(2)
        ]
        for engine in engines:
            engine.start()
        for engine in engines:
            engine.join(60)
        done = sandbox.store.query(
            "select key, count(*) from effects where status = 'delivered' group by key"
        )

    assert (killed, [engine.exitcode for engine in engines]) == (-signal.SIGKILL, [0, 0])
    assert done == [(f"{name}@example.com", 1) for name in names]
    assert set(unsettled(place)) == {"delivered"}
    with Ledger(place) as ledger, ledger.read() as connection:
        (owners,) = connection.execute("select count(distinct owner) from batches").fetchone()
    assert owners >= 2, "both have sent something; what the killed one left has their names by now"


def read_csv(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))
