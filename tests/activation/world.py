"""A small world for activation's tests: time that moves only when told, marts, ledger, destinations."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from activation import gate
from activation.config import Sync, load_definitions
from activation.destinations import Destinations, open_destinations
from activation.engine import Desk, refresh_denials_from_marts, run_sync
from activation.guards import SourceState
from activation.ledger import Ledger
from activation.ledger_places import LedgerPlace
from activation.outside import Engine
from activation.patience import Patience
from activation.plans import approve_plan
from activation.reports import SyncReport
from activation.sandbox.server import SandboxServer
from tests.activation.warehouse import Person, build_warehouse, set_members

START = datetime(2010, 12, 10, tzinfo=UTC)

DESTINATIONS = """
sandbox:
  type: webhook
  description: the sandbox
  url: builtin:sandbox
  max_batch_rows: 4
  timeout_seconds: 5
files:
  type: file
  description: files
  max_batch_rows: 4
"""

SYNC = """
name: {name}
owner: {{team: lifecycle, contact: lifecycle@example.com}}
description: A sync of the tests.
source: {{audience: new_customers, channel: email}}
destination: {destination}
list: {name}
mode: mirror
key: email
mapping:
  email: {{column: identifier_value, when_null: omit}}
  first_name: {{column: first_name, when_null: omit}}
  country: {{column: country_code, when_null: send}}
  value: {{column: lifetime_value, when_null: omit, decimals: 2}}
route: live
guards: {{max_removed_share: 0.5, max_removed: 10, max_invalid_share: 1}}
options: {options}
"""


class FakeTime:
    """A clock that moves only when somebody sleeps, and remembers how long they did."""

    def __init__(self) -> None:
        self.now = START
        self.slept: list[float] = []

    def __call__(self) -> datetime:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)


class World:
    """Everything one test needs, opened and closed with it."""

    def __init__(self, folder: Path, place: LedgerPlace, stack: ExitStack) -> None:
        self.folder = folder
        self.place = place
        self.time = FakeTime()
        self._stack = stack
        write_definitions(folder)
        self.warehouse = stack.enter_context(duckdb.connect(str(folder / "warehouse.duckdb")))
        build_warehouse(self.warehouse)
        self.ledger = stack.enter_context(Ledger(place))
        self.destinations: Destinations = stack.enter_context(
            open_destinations(
                files_root=folder / "destinations",
                sandbox_path=folder / "sandbox.sqlite",
                clock=self.time,
                resolve_secret=lambda name: f"value of {name}",
            )
        )
        self.desk = Desk(folder / "plans", "tests")
        self.engine = Engine(clock=self.time, sleep=self.time.sleep, worker_name="tests")
        self.refresh_denials()

    @property
    def sandbox(self) -> SandboxServer:
        return self.destinations.sandbox()

    def sync(self, name: str = "to_sandbox") -> Sync:
        return load_definitions(self.folder).sync(name)

    def members(self, *people: Person) -> None:
        set_members(self.warehouse, people)

    def refresh_denials(self) -> None:
        refresh_denials_from_marts(self.warehouse, self.ledger, watermark=self.time(), now=self.time())

    def run(
        self,
        name: str = "to_sandbox",
        *,
        approve: bool = False,
        plan_id: str | None = None,
        source: SourceState | None = None,
        engine: Engine | None = None,
        patience: Patience | None = None,
        concurrency: int | None = None,
    ) -> SyncReport:
        """One run; with `approve`, a plan that a guard stops is approved and then carried out by a second."""
        sync = self.sync(name)
        chosen = engine or self.engine
        destination = self.destinations.get(sync.destination)
        if concurrency is not None:
            limited = replace(destination.capabilities, concurrency=concurrency)
            destination = replace(destination, capabilities=limited)
        report = run_sync(
            sync,
            warehouse=self.warehouse,
            ledger=self.ledger,
            destination=destination,
            engine=replace(chosen, patience=patience) if patience else chosen,
            desk=self.desk,
            source=source,
            plan_id=plan_id,
        )
        if not approve or report.plan_id is None or not report.guards:
            return report
        approve_plan(
            self.ledger, report.plan_id, approved_by="a person", reason="it is right", now=self.time()
        )
        return self.run(name, engine=engine, patience=patience, source=source)

    def at_sandbox(self, name: str = "to_sandbox") -> set[str]:
        return {key for key, _ in self.sandbox.store.members(name)}

    def effects(self) -> list[tuple[object, ...]]:
        """(what, key) of everything that the sandbox really did, in order."""
        return self.sandbox.store.query(
            "select do, key from effects where status = 'delivered' order by request_id, position"
        )

    def states(self) -> dict[str, str]:
        """Key -> state and reason of every operation in the ledger, last one wins."""
        with self.ledger.read() as connection:
            rows = connection.execute(
                "select destination_key, state, reason from operations order by operation_number"
            ).fetchall()
        return {key: f"{state}: {reason}" if reason else state for key, state, reason in rows}

    def ledger_states(self, sync_name: str) -> Counter[str]:
        """How many operations of a sync are in each state."""
        with self.ledger.read() as connection:
            return Counter(
                dict(
                    connection.execute(
                        "select state, count(*) from operations where sync_name = ? group by 1", (sync_name,)
                    )
                )
            )

    def deny(self, address_key: str, *, reason: str = "withdrawn") -> None:
        """A denial as the tail of the event log adds it, before the marts know."""
        denial = gate.Denial("email", reason, self.time(), identifier_key=address_key)
        gate.add_denials(self.ledger, [denial], feed="tail")


def write_definitions(folder: Path, *, destinations: str = DESTINATIONS) -> None:
    (folder / "syncs").mkdir(exist_ok=True)
    (folder / "destinations.yml").write_text(destinations)
    for name, destination, options in (
        ("to_sandbox", "sandbox", "{}"),
        ("to_csv", "files", "{format: csv}"),
        ("to_jsonl", "files", "{format: jsonl}"),
    ):
        text = SYNC.format(name=name, destination=destination, options=options)
        (folder / "syncs" / f"{name}.yml").write_text(text)


def people(*names: str) -> list[Person]:
    return [Person(name) for name in names]


@contextmanager
def open_world(folder: Path, place: LedgerPlace | None = None) -> Iterator[World]:
    """A world in that folder; its ledger is a file there where no place is given."""
    with ExitStack() as stack:
        yield World(folder, place or folder / "ledger.sqlite", stack)
