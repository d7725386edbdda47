"""One seed's story: workers on one ledger, a company that changes its mind, and all that goes wrong."""

import hashlib
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from activation import dead_letters, gate
from activation.adapters.base import OperationKind, Rate
from activation.config import Sync, load_definitions
from activation.errors import PlanOutdatedError
from activation.intents import PlannedOperation, finish_run, open_run
from activation.ledger import Ledger, Transaction
from activation.limits import RateWindows
from activation.outside import Engine, OpenDestination
from activation.patience import Patience
from activation.resolving import deliver_and_wait, settle_former
from activation.sql_files import read_sql
from tests.campaigns.simulation.clockwork import Clockwork, StuckError, run_virtually
from tests.campaigns.simulation.destination import KINDS, Destination, SimulatedAdapter
from tests.campaigns.simulation.judge import Judge, Rules, Tally
from tests.memory import memory

LEASE = timedelta(seconds=120)
HOUR = 3600.0
PLANS = 3
DEFINITIONS = """
channel: {type: webhook, description: simulated, url: "http://127.0.0.1:1"}
"""
SYNC = """
name: s
owner: {team: t, contact: t@example.com}
description: d
source: {audience: a, channel: email}
destination: channel
list: l
mode: mirror
key: key
mapping: {key: {column: identifier_value}}
route: live
"""


@dataclass(frozen=True)
class Troubles:
    """How often what goes wrong, as shares of the moments at which it may."""

    crash: float
    pause: float
    faults: float
    clock_jumps: float
    decisions: int


PEACE = Troubles(crash=0.0, pause=0.0, faults=0.0, clock_jumps=0.0, decisions=0)


class WatchedLedger(Ledger):
    """A ledger whose every transaction is a moment at which another worker may go on, or this one may die."""

    def __init__(
        self, path: Path, *, reached: Callable[[str], None], look: Callable[[Transaction], Callable[[], None]]
    ) -> None:
        super().__init__(path)
        self._reached = reached
        self._look = look

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        self._reached("before_transaction")
        with super().write() as transaction:
            yield transaction
            committed = self._look(transaction)
            self._reached("in_transaction")
        committed()
        self._reached("after_transaction")

    @contextmanager
    def read(self) -> Iterator[object]:  # type: ignore[override]
        self._reached("before_read")
        with super().read() as connection:
            yield connection


class Worker:
    """A process of the engine: its clock, its ledger connection, and its bad luck."""

    def __init__(self, house: "House", name: str, tick: int) -> None:
        self.house = house
        self.name = name
        self.tick = tick
        self.is_running = True
        self._windows = RateWindows(house.rates)

    def clock(self) -> datetime:
        return self.house.clock()

    def reached(self, point: str) -> None:
        """Perhaps die here, perhaps stand still for longer than a lease, else give the others a turn."""
        house, troubles = self.house, self.house.troubles
        if not self.is_running:
            house.clockwork.crash()
        luck = house.chance.random()
        if luck < troubles.crash:
            self.is_running = False
            house.judge.tally.counts["crashes"] += 1
            house.judge.tally.counts[f"crash {point}"] += 1
            house.clockwork.crash()
        if point == "in_transaction":
            return  # nobody else can go on: the ledger is locked
        if luck < troubles.crash + troubles.pause:
            house.judge.tally.counts["pauses"] += 1
            house.clockwork.pause(house.chance.uniform(0.5, 3) * LEASE.total_seconds())
        elif point != "before_read" or luck > 0.5:
            house.clockwork.pause(house.chance.random() * 0.05)

    def live(self) -> None:
        """One run, from recovery to the end; what a crash leaves is for the others."""
        house = self.house
        ledger = WatchedLedger(
            house.path,
            reached=self.reached,
            look=lambda transaction: house.judge.look(transaction, self.clock()),
        )
        try:
            with ledger:
                run_virtually(house.clockwork, self._work(ledger))
        finally:
            self.is_running = False

    async def _work(self, ledger: Ledger) -> None:
        house = self.house
        engine = Engine(
            clock=self.clock,
            patience=house.patience,
            worker_name=self.name,
            is_alive=house.is_alive,
            at=self.reached,
        )
        adapter = SimulatedAdapter(
            house.destination, lambda batch: house.judge.leaves(self.name, self.clock(), batch)
        )
        destination = OpenDestination(adapter, house.capabilities, self._windows)
        recovered = await settle_former(house.sync, ledger=ledger, destination=destination, engine=engine)
        if gate.freeze_of(ledger, house.sync.name) or recovered.stopped:
            return
        run = self._plan(ledger)
        if run is None:
            return
        engine.at("after_intents")
        await deliver_and_wait(
            house.sync, ledger=ledger, destination=destination, engine=engine, sync_run_id=run
        )
        finish_run(ledger, run, now=self.clock())

    def _plan(self, ledger: Ledger) -> str | None:
        """What the planner does, over a dict: wanted minus acknowledged, removals first."""
        for attempt in range(PLANS):
            operations, seq = self.house.difference(ledger, self.tick)
            text = "\n".join(f"{each.kind}:{each.destination_key}:{each.payload_hash}" for each in operations)
            try:
                run = open_run(
                    ledger,
                    self.house.sync,
                    operations,
                    count=len(operations),
                    plan_hash=hashlib.sha256(text.encode()).hexdigest(),
                    planned_at_seq=seq,
                    made_of={},
                    now=self.clock(),
                )
            except PlanOutdatedError:
                self.house.judge.tally.counts["plans that were outdated"] += 1
                if attempt == PLANS - 1:
                    return None
                continue
            if run is not None and run.is_resumed:
                self.house.judge.tally.counts["runs carried on"] += 1
            return None if run is None else run.sync_run_id
        raise AssertionError("unreachable")


class House:
    """A ledger, a destination, a judge, and what the company wants at each tick."""

    def __init__(self, seed: int, kind: str, folder: Path) -> None:
        self.chance = random.Random(f"{kind}-{seed}")
        self.clockwork = Clockwork()
        self.path = folder / "ledger.sqlite"
        self.path.write_bytes(empty_ledger())
        self.sync = definition()
        chance = self.chance
        has_jumps = chance.random() < 0.3
        self.troubles = Troubles(
            crash=chance.choice((0.0, 0.01, 0.03)),
            pause=chance.choice((0.0, 0.005, 0.02)),
            faults=chance.choice((0.0, 0.2, 0.5)),
            clock_jumps=0.2 if has_jumps else 0.0,
            decisions=chance.randint(0, 8),
        )
        self.rates = (Rate(3, 2.0),) if chance.random() < 0.2 else ()
        self.capabilities = KINDS[kind].capabilities(rows=chance.randint(1, 4), rates=self.rates)
        self.destination = Destination(KINDS[kind], self.clockwork, chance, self.troubles.faults)
        self.patience = Patience(lease=LEASE)
        self.rules = Rules(self.patience.denials_max_age)
        self.judge = Judge(self.path, self.destination, self.rules)
        self.office = Ledger(self.path)
        self.is_one_host = chance.random() < 0.5
        self.workers: list[Worker] = []
        self.offset = 0.0
        self.wanted: list[dict[str, str]] = []
        self.withdrawn: dict[str, datetime] = {}  # as of now, whether the marts know or not

    def clock(self) -> datetime:
        """What the machine's clock shows, which may have jumped."""
        return self.clockwork.moment(self.offset)

    def is_alive(self, name: str) -> bool:
        """On one host a dead process is known to be dead; on several nobody can tell."""
        return not self.is_one_host or any(each.name == name and each.is_running for each in self.workers)

    def difference(self, ledger: Ledger, tick: int) -> tuple[list[PlannedOperation], int]:
        """The operations of a plan for that tick, and the ledger's sequence that it was made at."""
        wanted = self.wanted[tick]
        values = {"sync_name": self.sync.name, "definition_hash": self.sync.definition_hash}
        with ledger.read() as connection:
            (seq,) = connection.execute("select ledger_seq from ledger_identity").fetchone()
            held = {row[0]: row for row in connection.execute(read_sql("ledger_acknowledged"), values)}
            blocked = connection.execute(read_sql("ledger_blocked"), values).fetchall()
        unsettled = {key for key, _, is_unsettled in blocked if is_unsettled}
        refused = {(key, payload_hash) for key, payload_hash, is_unsettled in blocked if not is_unsettled}
        operations = []
        for key in sorted(held.keys() - wanted.keys() - unsettled):
            operations.append(
                PlannedOperation(OperationKind.REMOVE, key, f"c-{key}", f"k-{key}", None, held[key][3])
            )
        for key in sorted(wanted.keys() - unsettled):
            payload = wanted[key]
            payload_hash = hashlib.md5(payload.encode(), usedforsecurity=False).hexdigest()
            if (key in held and held[key][3] == payload_hash) or (key, payload_hash) in refused:
                continue
            kind = OperationKind.UPDATE if key in held else OperationKind.ADD
            operations.append(PlannedOperation(kind, key, f"c-{key}", f"k-{key}", payload, payload_hash))
        return operations, int(seq)

    def play(self) -> Tally:
        """The whole story: some ticks with troubles, then peace until nothing is left, then the verdict."""
        chance = self.chance
        with self.office:
            try:
                gate.append_route(
                    self.office, "s", "live", reason="first", set_by="simulation", now=self.clock()
                )
                self.rules.route = "live"
                self._refresh(self._build())
                ticks = chance.randint(2, 4)
                for tick in range(ticks):
                    self._change_wishes()
                    for _ in range(self.troubles.decisions):
                        self.clockwork.call_later(chance.uniform(0, 200), self._decide)
                    self._go(tick, first=chance.randint(1, 3), later=chance.randint(0, 3))
                    self.clockwork.now += chance.choice((60.0, HOUR, 12 * HOUR, 20 * HOUR, 30 * HOUR))
                    if chance.random() < 0.8:
                        self._refresh(self._build())
                self._make_peace()
                self._heal(ticks - 1)
                self.judge.note_doubts()
                dead_letters.give_up(self.office, "s", reason_code=None, now=self.clock())
                self._heal(ticks - 1)
                return self.judge.finish(self.wanted[-1])
            finally:
                self.judge.close()

    def _go(self, tick: int, *, first: int, later: int = 0) -> None:
        """Let workers run the tick, some at once and some later, until all are done or dead."""
        for number in range(first + later):
            worker = Worker(self, f"w{len(self.workers) + 1}", tick)
            self.workers.append(worker)
            longest = 1.0 if number < first else 5 * LEASE.total_seconds()
            wait = self.chance.uniform(0, longest)
            self.clockwork.call_later(wait, lambda worker=worker: self.clockwork.start(worker.live))
        self.clockwork.run()

    def _heal(self, tick: int) -> None:
        for _ in range(3):
            self.clockwork.now += 2 * LEASE.total_seconds()
            self._refresh(self._build())
            self._go(tick, first=1)

    def _make_peace(self) -> None:
        """From here on nothing goes wrong, and the company wants what it wanted last."""
        self.troubles = PEACE
        self.clockwork.now += 3 * HOUR  # a lease that was taken while the clock was ahead must end too
        self.destination.share_of_faults = 0.0
        self.offset = 0.0
        self._set_pause(is_paused=False)
        self._switch("live")
        for key in self.withdrawn:
            self.wanted[-1].pop(key, None)

    def _change_wishes(self) -> None:
        """New people, changed ones, and some who leave; whoever withdrew is out, and some consent again."""
        chance = self.chance
        for key in sorted(self.withdrawn):
            if chance.random() < 0.3:
                del self.withdrawn[key]
        wanted = dict(self.wanted[-1]) if self.wanted else {}
        for number in range(chance.randint(4, 9)):
            key = f"p{chance.randint(0, 14)}@example.com"
            if key in wanted and chance.random() < 0.4:
                del wanted[key]
            else:
                wanted[key] = f'{{"version":{len(self.wanted)},"draw":{number}}}'
        self.wanted.append({key: fields for key, fields in wanted.items() if key not in self.withdrawn})

    def _decide(self) -> None:
        """Somebody decides something, or the machine's clock jumps."""
        chance, counts = self.chance, self.judge.tally.counts
        if chance.random() < self.troubles.clock_jumps:
            self.offset = chance.choice((-HOUR, 0.0, HOUR))
            counts["clock jumps"] += 1
            return
        match chance.choice(("withdraw", "withdraw", "withdraw", "route", "pause", "build", "retry")):
            case "withdraw":
                self._withdraw(f"p{chance.randint(0, 14)}@example.com")
            case "route":
                self._switch("legacy" if self.rules.route == "live" else "live")
            case "pause":
                self._set_pause(is_paused=not self.rules.is_frozen)
            case "build":
                build = self._build()
                self.clockwork.call_later(chance.uniform(0, 60), lambda: self._refresh(build))
            case "retry":
                dead_letters.try_again(self.office, "s", reason_code=None, now=self.clock())

    def _withdraw(self, key: str) -> None:
        """As the tail of the event log adds it, before the marts know."""
        moment = self.clockwork.moment()
        denial = gate.Denial("email", "withdrawn", moment, identifier_key=f"k-{key}")
        gate.add_denials(self.office, [denial], feed="tail")
        self.withdrawn.setdefault(key, moment)
        self.rules.denied.setdefault(("tail", f"k-{key}"), moment)
        self.judge.tally.counts["withdrawals"] += 1

    def _build(self) -> tuple[datetime, dict[str, datetime]]:
        """The marts as they are built now; they may be loaded later, or after newer ones."""
        return self.clockwork.moment(), {f"k-{key}": moment for key, moment in self.withdrawn.items()}

    def _refresh(self, build: tuple[datetime, dict[str, datetime]]) -> None:
        watermark, denied = build
        rows = [
            gate.Denial("email", "withdrawn", moment, identifier_key=address)
            for address, moment in denied.items()
        ]
        gate.refresh_denials(self.office, rows, watermark=watermark, now=self.clock())
        self.rules.refresh(watermark, denied, self.clock())

    def _switch(self, route: str) -> None:
        if self.rules.route != route:
            gate.append_route(
                self.office, "s", route, reason="decided", set_by="simulation", now=self.clock()
            )
            self.rules.route = route
            self.judge.tally.counts["route switches"] += 1

    def _set_pause(self, *, is_paused: bool) -> None:
        if is_paused:
            gate.freeze(self.office, "s", reason="decided", set_by="simulation", now=self.clock())
            self.judge.tally.counts["freezes"] += 1
        else:
            gate.lift_freeze(self.office, "s", now=self.clock())
        self.rules.is_frozen = is_paused


def play(seed: int, kind: str) -> Tally:
    """The tally of one seed; where something did not end, that is its violation."""
    with tempfile.TemporaryDirectory(dir=memory()) as folder:
        house = House(seed, kind, Path(folder))
        try:
            return house.play()
        except StuckError as error:
            return Tally(violations=[str(error)])


@cache
def definition() -> Sync:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "syncs").mkdir()
        (folder / "syncs" / "s.yml").write_text(SYNC)
        (folder / "destinations.yml").write_text(DEFINITIONS)
        return load_definitions(folder).sync("s")


@cache
def empty_ledger() -> bytes:
    """An empty ledger whose id does not change: names of operations are made of it."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "ledger.sqlite"
        with Ledger(path) as ledger, ledger.write() as transaction:
            transaction.execute("update ledger_identity set ledger_id = 'simulation'")
        return path.read_bytes()
