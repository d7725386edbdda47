"""The ledger's functions in any order, against a plain dict that says what each operation became.

The machine plans, claims, sends, crashes, recovers, withdraws consent, freezes, switches routes, erases
people and plays the same plan again; the dict has no SQL, no batches and no tokens.
"""

import hashlib
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import takewhile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from activation import claims, dead_letters, gate, outcomes
from activation.adapters.base import DELIVERED, OperationKind, Outcome, OutcomeKind
from activation.claims import ClaimedBatch, Limits, Worker
from activation.intents import PlannedOperation, open_run
from activation.ledger import Ledger
from activation.ledger_store import Connection
from activation.sql_files import read_sql
from tests.activation.world import START
from tests.campaigns.simulation.house import definition, empty_ledger
from tests.memory import memory

KEYS = tuple(f"p{number}" for number in range(5))
LEASE = timedelta(seconds=60)
WORKER = Worker("w", LEASE, lambda _: True)
LIMITS = Limits(2, 1_000_000, timedelta(days=999))
DECISIONS = (
    *("withdraw", "erase", "build", "old build", "pause", "resume", "resume", "try again"),
    *("live", "live", "legacy"),
)
EACH = ("answers", "late answers", "took over", "sent again", "kept back")
REACHED: Counter[str] = Counter()  # what a run of the machine came to
RUN_COUNTS = read_sql("run_counts")
EACH_OF_A_RUN = "select state, reason, 1 from operations where sync_run_id = :sync_run_id"
OPEN, IN_FLIGHT = ("planned", "deferred"), ("in_flight", "in_doubt")


@dataclass
class Model:
    """What a person would keep on paper: each key's last operation, what is acknowledged, who is denied."""

    wanted: dict[str, str] = field(default_factory=dict)
    state: dict[str, str] = field(default_factory=dict)
    operation: dict[str, tuple[OperationKind, str | None]] = field(default_factory=dict)
    run: dict[str, int] = field(default_factory=dict)
    batch: dict[str, int] = field(default_factory=dict)
    acknowledged: dict[str, str] = field(default_factory=dict)
    rejected: set[tuple[str, str | None]] = field(default_factory=set)
    denied: set[str] = field(default_factory=set)
    is_frozen: bool = False
    route: str = "live"

    def plan(self) -> list[tuple[OperationKind, str, str | None]]:
        """Removals first, then what is new or changed; nothing for what has no answer or was rejected."""
        free = [key for key in KEYS if self.state.get(key) not in IN_FLIGHT]
        gone = [
            (OperationKind.REMOVE, key, None)
            for key in free
            if key in self.acknowledged and key not in self.wanted
        ]
        come = [
            (OperationKind.UPDATE if key in self.acknowledged else OperationKind.ADD, key, self.wanted[key])
            for key in free
            if key in self.wanted
            and self.acknowledged.get(key) != self.wanted[key]
            and (key, self.wanted[key]) not in self.rejected
        ]
        return [*gone, *come]

    def claim(self) -> list[str]:
        """Suppress whom the gate denies, and give the next keys of one run, in the order of its plan."""
        if self.is_frozen:
            return []
        waiting = [key for key in self.operation if self.state[key] in OPEN]
        if self.route != "live":
            self.state.update(dict.fromkeys(waiting, "suppressed"))
            return []
        removals = [key for key in waiting if self.operation[key][0] is OperationKind.REMOVE]
        if removals:
            return self._take(self._of_one_run(removals[: LIMITS.max_rows]))
        while waiting:
            chunk, waiting = waiting[: LIMITS.max_rows], waiting[LIMITS.max_rows :]
            allowed = [key for key in chunk if key not in self.denied]
            taken = self._of_one_run(allowed)
            if len(taken) < len(allowed):
                chunk = chunk[: chunk.index(allowed[len(taken)])]
            self.state.update({key: "suppressed" for key in chunk if key in self.denied})
            if taken:
                return self._take(taken)
        return []

    def _of_one_run(self, keys: list[str]) -> list[str]:
        return [*takewhile(lambda key: self.run[key] == self.run[keys[0]], keys)]

    def _take(self, keys: list[str]) -> list[str]:
        self.state.update(dict.fromkeys(keys, "in_flight"))
        return keys

    def settle(self, batch_id: int, keys: list[str], kinds: list[OutcomeKind]) -> None:
        """What answers mean; while one is unknown, what would be tried again stays with it.

        A member that was answered before stays as it is, and may have been planned again since.
        """
        has_unknown = OutcomeKind.UNKNOWN in kinds
        for key, kind in zip(keys, kinds, strict=True):
            if self.state[key] not in IN_FLIGHT or self.batch[key] != batch_id:
                continue
            operation, payload = self.operation[key]
            if kind is OutcomeKind.DELIVERED:
                self.state[key] = "delivered"
                if operation is OperationKind.REMOVE:
                    self.acknowledged.pop(key, None)
                else:
                    self.acknowledged[key] = str(payload)
            elif kind is OutcomeKind.REJECTED:
                self.state[key] = "rejected"
                if operation is not OperationKind.REMOVE:
                    self.rejected.add((key, payload))
            else:
                self.state[key] = "in_doubt" if has_unknown else "deferred"


class LedgerMachine(RuleBasedStateMachine):
    """Rules are what workers, people and the company do; `flights` are what a worker holds or held."""

    flights: Bundle[ClaimedBatch] = Bundle("flights")

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(dir=memory())
        path = Path(self._folder.name) / "ledger.sqlite"
        path.write_bytes(empty_ledger())
        self.sync = definition()
        self.ledger = Ledger(path).__enter__()
        self.now = START
        self.model = Model()
        self.plans = 0
        self.last_plan: tuple[list[PlannedOperation], str] | None = None

    def teardown(self) -> None:
        self.ledger.__exit__(None, None, None)
        self._folder.cleanup()

    @initialize()
    def open(self) -> None:
        """A first plan with somebody in it, so that there is something to claim."""
        gate.ensure_route(self.ledger, "s", "live", now=self.now)
        gate.refresh_denials(self.ledger, [], watermark=self.now, now=self.now)
        self.model.wanted.update(dict.fromkeys(KEYS[:3], '{"v":0}'))
        self.plan()

    @rule(key=st.sampled_from(KEYS), version=st.integers(0, 2) | st.none())
    def want(self, key: str, version: int | None) -> None:
        if version is None:
            self.model.wanted.pop(key, None)
        else:
            self.model.wanted[key] = f'{{"v":{version}}}'

    @rule()
    def plan(self) -> None:
        """What is open from a former plan is cancelled, or carried on when it is the same plan."""
        planned = self.model.plan()
        hashes = {
            key: _hash(self.model.acknowledged.get(key) if kind is OperationKind.REMOVE else payload)
            for kind, key, payload in planned
        }
        operations = [
            PlannedOperation(kind, key, f"c-{key}", f"k-{key}", payload, hashes[key])
            for kind, key, payload in planned
        ]
        self.plans += 1
        self.last_plan = (operations, f"plan-{self.plans}")
        for key, state in self.model.state.items():
            if state in OPEN:
                self.model.state[key] = "cancelled"
        for key in hashes:
            self.model.state.pop(key, None)
            self.model.operation.pop(key, None)
        for kind, key, payload in planned:
            self.model.state[key], self.model.operation[key] = "planned", (kind, payload)
            self.model.run[key] = self.plans
            self.model.rejected -= {(key, each) for _, each in self.model.rejected if _ == key}
        self._write_plan()

    @precondition(lambda self: self.last_plan is not None)
    @rule()
    def replay(self) -> None:
        """The same plan again, while it is not finished, writes nothing."""
        assert self.last_plan is not None
        is_open = any(self.model.state[each.destination_key] in OPEN for each in self.last_plan[0])
        with self.ledger.read() as connection:
            before = connection.execute("select count(*) from operations").fetchone()
        if is_open:
            run = self._write_plan()
            assert run is not None
            assert run.is_resumed
        with self.ledger.read() as connection:
            assert connection.execute("select count(*) from operations").fetchone() == before

    @rule(target=flights)
    def claim(self) -> MultipleResults[ClaimedBatch]:
        taken = claims.claim(self.ledger, self.sync, worker=WORKER, limits=LIMITS, now=self.now)
        keys = self.model.claim()
        found = (
            [] if taken.claimed is None else [each.destination_key for each in taken.claimed.batch.operations]
        )
        assert found == keys
        if taken.claimed is not None:
            self.model.batch.update(dict.fromkeys(keys, taken.claimed.batch.batch_id))
        return multiple() if taken.claimed is None else multiple(taken.claimed)

    @rule(batch=flights, data=st.data())
    def send(self, batch: ClaimedBatch, data: st.DataObject) -> None:
        """Whoever comes back after another took over, or after it was answered, changes nothing."""
        with self.ledger.read() as connection:
            row = connection.execute(
                "select token, state from batches where batch_id = ?", (batch.batch.batch_id,)
            ).fetchone()
        is_ours = tuple(row) == (batch.token, "in_flight")
        assert claims.confirm(self.ledger, batch, worker=WORKER, clock=lambda: self.now) == is_ours
        self._answer(batch, self._draw(batch, data), is_late=not is_ours)

    @rule(target=flights, batch=flights, data=st.data(), is_answered=st.booleans())
    def recover(
        self, batch: ClaimedBatch, data: st.DataObject, *, is_answered: bool
    ) -> MultipleResults[ClaimedBatch]:
        """Another takes over what has no answer once its lease has ended; only the newest token counts."""
        self.now += LEASE + timedelta(seconds=1)
        for left in claims.stranded(self.ledger, self.sync, worker=WORKER, now=self.now):
            batch_id, token = left.batch_id, left.token
            if batch_id != batch.batch.batch_id:
                continue
            REACHED["took over"] += 1
            may_send = claims.may_send_again(
                self.ledger, self.sync, batch_id, denials_max_age=LIMITS.denials_max_age, now=self.now
            )
            assert may_send == self._may_send(batch)
            REACHED["sent again" if may_send else "kept back"] += 1
            heir = claims.reclaim(self.ledger, self.sync, batch_id, token=token, worker=WORKER, now=self.now)
            assert heir is not None
            assert heir.batch == batch.batch
            if not is_answered:
                return multiple(heir)
            self._answer(heir, self._draw(heir, data))
        return multiple()

    @rule(what=st.sampled_from(DECISIONS), key=st.sampled_from(KEYS))
    def decide(self, what: str, key: str) -> None:
        """One rule for all that people decide, so that workers have their turns."""
        match what:
            case "withdraw":
                self._withdraw(key)
            case "erase":
                self._erase(key)
            case "build":
                self._build_marts(has_seen=True)
            case "old build":
                self._build_marts(has_seen=False)
            case "pause":
                self._pause()
            case "resume":
                self._resume()
            case "try again":
                self._try_again()
            case route:
                self._switch(route)

    def _withdraw(self, key: str) -> None:
        gate.add_denials(
            self.ledger, [gate.Denial("email", "withdrawn", self.now, identifier_key=f"k-{key}")], feed="tail"
        )
        self.model.denied.add(key)

    def _erase(self, key: str) -> None:
        """A person is erased: denied everywhere, and wanted nowhere."""
        gate.add_denials(
            self.ledger, [gate.Denial("*", "erased", self.now, canonical_id=f"c-{key}")], feed="tail"
        )
        self.model.denied.add(key)
        self.model.wanted.pop(key, None)

    def _build_marts(self, *, has_seen: bool) -> None:
        """Marts that deny nobody lift only what they have seen."""
        self.now += timedelta(seconds=1)
        watermark = self.now if has_seen else START - timedelta(days=1)
        gate.refresh_denials(self.ledger, [], watermark=watermark, now=self.now)
        if has_seen:
            self.model.denied.clear()

    def _pause(self) -> None:
        gate.freeze(self.ledger, "s", reason="r", set_by="s", now=self.now)
        self.model.is_frozen = True

    def _resume(self) -> None:
        gate.lift_freeze(self.ledger, "s", now=self.now)
        self.model.is_frozen = False

    def _switch(self, route: str) -> None:
        gate.append_route(self.ledger, "s", route, reason="r", set_by="s", now=self.now)
        self.model.route = route

    def _try_again(self) -> None:
        dead_letters.try_again(self.ledger, "s", reason_code=None, now=self.now)
        self.model.rejected.clear()

    @invariant()
    def the_ledger_says_what_the_paper_says(self) -> None:
        with self.ledger.read() as connection:
            rows = connection.execute(
                "select destination_key, state from operations order by operation_number"
            ).fetchall()
            acknowledged = dict(connection.execute("select destination_key, payload_hash from acknowledged"))
            open_keys = connection.execute(
                "select count(*), count(distinct destination_key) from operations where finished_at is null"
            ).fetchone()
            runs = connection.execute("select sync_run_id from sync_runs").fetchall()
            counted = [self._counts(connection, RUN_COUNTS, *run) for run in runs]
            looked_at = [self._counts(connection, EACH_OF_A_RUN, *run) for run in runs]
        assert dict(rows) == self.model.state
        assert acknowledged == {key: _hash(payload) for key, payload in self.model.acknowledged.items()}
        assert open_keys[0] == open_keys[1]
        assert counted == looked_at

    def _counts(self, connection: Connection, statement: str, sync_run_id: str) -> Counter[tuple[str, str]]:
        found: Counter[tuple[str, str]] = Counter()
        for state, reason, count in connection.execute(statement, {"sync_run_id": sync_run_id}):
            found[state, reason] += count
        return +found

    def _write_plan(self) -> object:
        assert self.last_plan is not None
        operations, plan_hash = self.last_plan
        return open_run(
            self.ledger,
            self.sync,
            operations,
            count=len(operations),
            plan_hash=plan_hash,
            planned_at_seq=self.ledger.sequence(),
            made_of={},
            now=self.now,
        )

    def _draw(self, batch: ClaimedBatch, data: st.DataObject) -> list[OutcomeKind]:
        size = len(batch.numbers)
        return data.draw(st.lists(st.sampled_from(ANSWERS), min_size=size, max_size=size))

    def _answer(self, batch: ClaimedBatch, kinds: list[OutcomeKind], *, is_late: bool = False) -> None:
        given = [
            DELIVERED
            if kind is OutcomeKind.DELIVERED
            else Outcome(kind, "r", timedelta(0), concerns_batch=True)
            for kind in kinds
        ]
        recorded = outcomes.record(
            self.ledger, batch, given, now=self.now, wait=timedelta(0), max_attempts=1000
        )
        assert recorded.is_late == is_late
        REACHED["late answers" if is_late else "answers"] += 1
        if not is_late:
            keys = [each.destination_key for each in batch.batch.operations]
            self.model.settle(batch.batch.batch_id, keys, kinds)

    def _may_send(self, batch: ClaimedBatch) -> bool:
        model = self.model
        keys = [each.destination_key for each in batch.batch.operations]
        return (
            not model.is_frozen
            and model.route == "live"
            and not any(
                key in model.denied
                and model.operation[key][0] is not OperationKind.REMOVE
                and model.state[key] in IN_FLIGHT
                and model.batch[key] == batch.batch.batch_id
                for key in keys
            )
        )


ANSWERS = (
    OutcomeKind.DELIVERED,
    OutcomeKind.DELIVERED,
    OutcomeKind.REJECTED,
    OutcomeKind.DEFERRED,
    OutcomeKind.UNKNOWN,
)


def _hash(payload: str | None) -> str:
    return hashlib.md5(str(payload).encode(), usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(
    ("examples", "steps"),
    [(200, 40), pytest.param(500, 50, marks=[pytest.mark.long, pytest.mark.timeout(1500)])],
)
def test_in_whatever_order_the_ledger_agrees_with_a_plain_dict(examples: int, steps: int) -> None:
    REACHED.clear()

    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        LedgerMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
        ),
    )

    reached = {what: REACHED[what] for what in EACH}
    assert min(reached.values()) > 5, reached
