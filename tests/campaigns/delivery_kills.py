"""Kills workers of the delivery engine at named points and at random times, and lets the sandbox judge.

python -m tests.campaigns.delivery_kills [--kinds …] [--intents N] [--kills N] [--seed N] [--ledger postgres]
-> a table for each kind of destination: hits of each point, what was lost, doubled and is in doubt. The
sandbox is a process of its own with a durable record. Workers are forked two at a time from this process,
which holds no thread and no open database: so it is always started by itself, by tests too.
"""

import argparse
import asyncio
import json
import logging
import os
import random
import signal
import socket
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from activation import gate
from activation.adapters.base import OperationKind, Surroundings
from activation.adapters.webhook import WebhookAdapter
from activation.config import Sync, load_definitions
from activation.intents import PlannedOperation, open_run
from activation.ledger import Ledger, Transaction
from activation.ledger_places import LedgerPlace
from activation.limits import RateWindows
from activation.outside import Engine, OpenDestination
from activation.patience import Patience
from activation.resolving import deliver_and_wait, settle_former
from activation.sandbox.app import Sandbox, SandboxRules
from activation.sandbox.faults import Faults
from activation.sandbox.store import SandboxStore
from tests.postgres import postgres_server


@dataclass(frozen=True)
class Kind:
    """What a destination can do: settings of its adapter; whether the sandbox knows keys, answers later."""

    settings: str
    remembers_keys: bool = False
    answers_later: bool = False


KINDS = {
    "idempotent": Kind("", remembers_keys=True),
    "readable": Kind("  idempotency_lifetime_hours: 0\n  read_back_settles_seconds: {settles}\n"),
    "asynchronous": Kind(
        "  can_read_back: false\n  can_resolve: true\n", remembers_keys=True, answers_later=True
    ),
    "opaque": Kind("  idempotency_lifetime_hours: 0\n  can_read_back: false\n"),
}
POINTS = (
    "before_claim",
    "claim_before_commit",
    "claim_after_commit",
    "after_in_flight",
    "before_write",
    "mid_write",
    "after_write",
    "after_response",
    "before_outcome",
    "outcome_before_commit",
    "outcome_after_commit",
    "after_outcome",
    "in_recovery",
)
SELDOM = (
    "in_recovery",
    "before_resolved_outcome",
    "after_resolved_outcome",
)  # a worker is rarely there twice
HITS = 0.05  # of the kills that are asked for, at each named point at least
RESOLVING = ("before_resolve", "after_resolve_answer", "before_resolved_outcome", "after_resolved_outcome")
OPEN = ("planned", "in_flight", "accepted", "deferred", "in_doubt")
ROWS = 5
BEFORE_DELIVERY = ("in_recovery", *RESOLVING)  # a worker that did not die there delivers nothing
CLAIMS = 4  # after so many a worker that was not killed goes home, or the first of them would do all the work
DEFINITIONS = """
channel:
  type: webhook
  description: a channel
  url: http://127.0.0.1:{port}
  max_batch_rows: {rows}
  timeout_seconds: 5
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
class Slowness:
    """In seconds: how long the sandbox has a request before it does it, how long a read waits for that.

    `to_finish`: how long after it accepted a request a sandbox that answers later does it.
    """

    to_commit: float
    settles: float
    to_finish: float


SLOWNESS = Slowness(to_commit=0.02, settles=0.1, to_finish=0.05)


@dataclass
class Verdict:
    """What became of every intent, by the sandbox's own record and the ledger's."""

    kind: str
    intents: int
    hits: Counter[str] = field(default_factory=Counter)
    random_kills: int = 0
    lost: int = 0
    doubled: int = 0
    in_doubt: int = 0
    done_in_doubt: int = 0
    unlisted: int = 0
    false_claims: int = 0
    seconds: float = 0.0

    @property
    def kills(self) -> int:
        """How many workers died."""
        return sum(self.hits.values()) + self.random_kills


class KillingLedger(Ledger):
    """A ledger whose worker may die just before or after a commit; `step` names the transaction."""

    def __init__(self, place: LedgerPlace, at: Callable[[str], None]) -> None:
        super().__init__(place)
        self._at = at
        self.step = "claim"

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        step = self.step
        with super().write() as transaction:
            yield transaction
            self._at(f"{step}_before_commit")
        self._at(f"{step}_after_commit")


class KillingAdapter(WebhookAdapter):
    """An adapter whose worker may die while it writes, or when all is written."""

    at: Callable[[str], None]

    async def _call(self, method: Any, path: str, **given: Any) -> Any:
        content = given.pop("content", None)
        if content is None:
            return await super()._call(method, path, **given)

        async def parts() -> AsyncIterator[bytes]:
            yield content[: len(content) // 2]
            await asyncio.sleep(0)
            self.at("mid_write")
            yield content[len(content) // 2 :]
            await asyncio.sleep(0)
            self.at("after_write")

        given["headers"] = {**(given.get("headers") or {}), "Content-Length": str(len(content))}
        return await super()._call(method, path, content=parts(), **given)  # type: ignore[arg-type]


def now() -> datetime:
    return datetime.now(UTC)


def run_campaign(
    kind: str,
    folder: Path,
    place: LedgerPlace,
    *,
    intents: int,
    kills: int,
    seed: int,
    slowness: Slowness = SLOWNESS,
) -> Verdict:
    """Write the intents, kill workers until so many have died or nothing is left, heal, and judge."""
    chance = random.Random(f"{kind}-{seed}")
    verdict = Verdict(kind, intents)
    began = time.monotonic()
    what = KINDS[kind]
    named = points_of(kind)
    rules = SandboxRules(
        requests_per_second=100_000,
        remembers_keys=what.remembers_keys,
        seconds_to_commit=slowness.to_commit,
        seconds_to_finish=slowness.to_finish if what.answers_later else None,
    )
    folder.mkdir(exist_ok=True)
    with _sandbox(folder, rules) as port:
        _write_definitions(folder, what.settings.format(settles=slowness.settles), port)
        _write_intents(folder, place, intents)
        sync = load_definitions(folder).sync("s")
        _warm(sync, folder)
        while not _is_enough(verdict, kills) and _is_work_left(place):
            workers: dict[int, str] = {}
            for _ in range(2):
                is_named = chance.random() < max(0.75, HITS * len(named))
                point = _point(verdict, named, chance) if is_named else "never"
                occurrence = 1 if point in SELDOM else chance.randint(1, 2)
                claims = 0 if point in BEFORE_DELIVERY else CLAIMS
                workers[_fork(folder, place, sync, point, occurrence, claims=claims)] = point
            if "never" in workers.values():
                time.sleep(chance.random() * 0.15)
                for pid, point in workers.items():
                    if point == "never":
                        _kill(pid)
            for pid, point in workers.items():
                _, status = os.waitpid(pid, 0)
                if os.WIFSIGNALED(status):
                    if point == "never":
                        verdict.random_kills += 1
                    else:
                        verdict.hits[point] += 1
                elif os.waitstatus_to_exitcode(status):
                    raise RuntimeError(f"a worker ended with {os.waitstatus_to_exitcode(status)}")
        for _ in range(3):  # what is left, and whatever the last ones left in flight
            os.waitpid(_fork(folder, place, sync, "never", 1, claims=None), 0)
    _judge(folder, place, verdict)
    verdict.seconds = time.monotonic() - began
    return verdict


def _point(verdict: Verdict, named: tuple[str, ...], chance: random.Random) -> str:
    """Any point, or the one with the fewest hits: some are reached only after others were."""
    if chance.random() < 0.5:
        return chance.choice(named)
    return min(named, key=lambda point: verdict.hits[point])


def _warm(sync: Sync, folder: Path) -> None:
    """Load before the first fork what every worker needs, certificates above all."""

    async def open_once() -> None:
        async with KillingAdapter.build(sync.destination.config, Surroundings("channel", folder, str, str)):
            pass

    asyncio.run(open_once())


def _is_enough(verdict: Verdict, kills: int) -> bool:
    """Whether so many have died, and some at each point that workers of this kind pass."""
    fewest = min(verdict.hits[point] for point in points_of(verdict.kind))
    return verdict.kills >= kills and fewest >= int(kills * HITS)


def _judge(folder: Path, place: LedgerPlace, verdict: Verdict) -> None:
    """The sandbox's record against the ledger's."""
    with sqlite3.connect(folder / "sandbox.sqlite") as record:
        effects = Counter(
            dict(record.execute("select key, count(*) from effects where status = 'delivered' group by key"))
        )
    with Ledger(place) as ledger, ledger.read() as connection:
        states = dict(connection.execute("select destination_key, state from operations").fetchall())
        doubtful = {
            key
            for (key,) in connection.execute(
                "select destination_key from dead_letters where state = 'in_doubt'"
            )
        }
    verdict.doubled = sum(count > 1 for count in effects.values())
    verdict.unlisted = sum(state in OPEN and key not in doubtful for key, state in states.items())
    verdict.in_doubt = len(doubtful)
    verdict.done_in_doubt = sum(key in effects for key in doubtful)
    verdict.false_claims = sum(state == "delivered" and key not in effects for key, state in states.items())
    verdict.lost = sum(key not in effects and key not in doubtful for key in states)


def _is_work_left(place: LedgerPlace) -> bool:
    with Ledger(place) as ledger, ledger.read() as connection:
        row = connection.execute(
            "select 1 from operations where state in ('planned', 'deferred', 'accepted') limit 1"
        ).fetchone()
    return row is not None


def _fork(
    folder: Path, place: LedgerPlace, sync: Sync, point: str, occurrence: int, *, claims: int | None
) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        _work(folder, place, sync, _killer(point, occurrence), most_claims=claims)
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - this process ends here, whatever it was
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
        os._exit(1)


def _work(
    folder: Path, place: LedgerPlace, sync: Sync, at: Callable[[str], None], *, most_claims: int | None
) -> None:
    """What a worker of the engine does: settle what others left, then deliver so many batches, or all."""
    capabilities = sync.destination.capabilities
    adapter = KillingAdapter.build(sync.destination.config, Surroundings("channel", folder, str, str))
    adapter.at = at
    with KillingLedger(place, at) as ledger:
        claims = 0

        def reached(point: str) -> None:
            nonlocal claims
            claims += point == "before_claim"
            if most_claims is not None and claims > most_claims:
                os._exit(0)
            if point in ("before_outcome", "before_resolved_outcome"):
                ledger.step = "outcome"
            elif point in ("after_outcome", "after_resolved_outcome", "before_claim"):
                ledger.step = "claim"
            at(point)

        engine = Engine(
            clock=now,
            at=reached,
            patience=Patience(first_wait=timedelta(milliseconds=5), longest_wait=timedelta(milliseconds=20)),
        )
        destination = OpenDestination(adapter, capabilities, RateWindows(()))
        asyncio.run(_recover_and_deliver(sync, ledger, destination, engine))


async def _recover_and_deliver(
    sync: Sync, ledger: Ledger, destination: OpenDestination, engine: Engine
) -> None:
    async with destination.adapter:
        await settle_former(sync, ledger=ledger, destination=destination, engine=engine)
        await deliver_and_wait(
            sync, ledger=ledger, destination=destination, engine=engine, sync_run_id="s-000001"
        )


def _killer(point: str, occurrence: int) -> Callable[[str], None]:
    passed = 0

    def at(reached: str) -> None:
        nonlocal passed
        passed += reached == point
        if reached == point and passed == occurrence:
            _kill(os.getpid())

    return at


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def _write_definitions(folder: Path, settings: str, port: int) -> None:
    (folder / "syncs").mkdir(parents=True)
    (folder / "syncs" / "s.yml").write_text(SYNC)
    text = DEFINITIONS.format(port=port, rows=ROWS) + settings
    (folder / "destinations.yml").write_text(text)


def _write_intents(folder: Path, place: LedgerPlace, intents: int) -> None:
    sync = load_definitions(folder).sync("s")
    with Ledger(place) as ledger:
        gate.ensure_route(ledger, sync.name, sync.route, now=now())
        gate.refresh_denials(ledger, [], watermark=now(), now=now())
        open_run(
            ledger,
            sync,
            (
                PlannedOperation(
                    OperationKind.ADD, f"p{number}@example.com", f"c{number}", f"k{number}", "{}", "h"
                )
                for number in range(intents)
            ),
            count=intents,
            plan_hash="campaign",
            planned_at_seq=ledger.sequence(),
            made_of={},
            now=now(),
        )


@contextmanager
def _sandbox(folder: Path, rules: SandboxRules) -> Iterator[int]:
    """The sandbox in a process of its own, on a free port of loopback; stopped by its process id."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = int(listener.getsockname()[1])
    pid = os.fork()
    if pid == 0:
        import uvicorn  # noqa: PLC0415 - only this process serves

        logging.disable()  # requests that end in the middle are what this is about
        store = SandboxStore(folder / "sandbox.sqlite")
        app = Sandbox(store, rules=rules, faults=Faults(), clock=now).app()
        uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off")).run(
            sockets=[listener]
        )
        os._exit(0)
    listener.close()
    try:
        _wait_for(port)
        yield port
    finally:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


@contextmanager
def _place(ledger: str, folder: Path) -> Iterator[LedgerPlace]:
    """Where the campaign's ledger is: a file, or a server of its own."""
    if ledger == "sqlite":
        yield folder / "ledger.sqlite"
        return
    with postgres_server() as server:
        yield server.new_place()


def _wait_for(port: int) -> None:
    for _ in range(200):
        try:
            httpx.get(f"http://127.0.0.1:{port}/lists", timeout=1)
        except httpx.HTTPError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("the sandbox did not start")


def points_of(kind: str) -> tuple[str, ...]:
    """The named points at which workers of a kind of destination are killed."""
    return POINTS + RESOLVING if KINDS[kind].answers_later else POINTS


def _hits(verdict: Verdict, point: str) -> str:
    return str(verdict.hits[point]) if point in points_of(verdict.kind) else "-"


def table(verdicts: list[Verdict]) -> str:
    """One column for each kind of destination."""
    heads = "".join(f"{verdict.kind:>12}" for verdict in verdicts)
    lines = [f"{'':24}{heads}"]
    rows: list[tuple[str, Callable[[Verdict], object]]] = [
        ("intents", lambda verdict: f"{verdict.intents:,}"),
        ("kills", lambda verdict: f"{verdict.kills:,}"),
        *((f"  {point}", lambda verdict, point=point: _hits(verdict, point)) for point in POINTS + RESOLVING),
        ("  at a random time", lambda verdict: verdict.random_kills),
        ("lost", lambda verdict: verdict.lost),
        ("doubled", lambda verdict: verdict.doubled),
        ("called done and not so", lambda verdict: verdict.false_claims),
        ("in doubt, listed", lambda verdict: verdict.in_doubt),
        ("  of those done", lambda verdict: verdict.done_in_doubt),
        ("open and not listed", lambda verdict: verdict.unlisted),
        ("seconds", lambda verdict: f"{verdict.seconds:.0f}"),
    ]
    for name, value in rows:
        lines.append(f"{name:24}" + "".join(f"{value(verdict)!s:>12}" for verdict in verdicts))
    return "\n".join(lines)


def main() -> None:
    """Run the campaign for each kind asked for; exit code 1 when anything was lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--intents", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds-to-commit", type=float, default=SLOWNESS.to_commit)
    parser.add_argument("--read-back-settles", type=float, default=SLOWNESS.settles)
    parser.add_argument("--seconds-to-finish", type=float, default=SLOWNESS.to_finish)
    parser.add_argument("--ledger", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    slowness = Slowness(given.seconds_to_commit, given.read_back_settles, given.seconds_to_finish)
    verdicts = []
    for kind in given.kinds:
        with tempfile.TemporaryDirectory() as name, _place(given.ledger, Path(name)) as place:
            verdicts.append(
                run_campaign(
                    kind,
                    Path(name),
                    place,
                    intents=given.intents,
                    kills=given.kills,
                    seed=given.seed,
                    slowness=slowness,
                )
            )
    found = [{**vars(verdict), "kills": verdict.kills} for verdict in verdicts]
    sys.stdout.write((json.dumps(found) if given.json else table(verdicts)) + "\n")
    if any(
        verdict.lost or verdict.doubled or verdict.false_claims or verdict.unlisted for verdict in verdicts
    ):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
