"""The ledger's functions in any order, against a plain dict that says what each operation became.

The machine plans, claims, sends, crashes, recovers, withdraws consent, freezes, switches routes, erases
people and plays the same plan again; the dict has no SQL, no batches and no tokens.
"""

import hashlib
import tempfile
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from activation import claims, dead_letters, gate, outcomes
from activation.adapters.base import DELIVERED, OperationKind, Outcome, OutcomeKind
from activation.claims import ClaimedBatch, Limits, Worker
from activation.intents import PlannedOperation, open_run
from activation.ledger import Ledger
from tests.activation.world import START
from tests.campaigns.simulation.house import definition, empty_ledger, memory

KEYS = tuple(f"p{number}" for number in range(5))
LEASE = timedelta(seconds=60)
WORKER = Worker("w", LEASE, lambda _: True)
LIMITS = Limits(2, 1_000_000, timedelta(days=999))
OPEN, IN_FLIGHT = ("planned", "deferred"), ("in_flight", "in_doubt")


@dataclass
class Model:
    """What a person would keep on paper: each key's last operation, what is acknowledged, who is denied."""

    wanted: dict[str, str] = field(default_factory=dict)
    state: dict[str, str] = field(default_factory=dict)
    operation: dict[str, tuple[OperationKind, str | None]] = field(default_factory=dict)
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
        """Suppress whom the gate denies, and give the keys of the next batch, in the order of the plan."""
        if self.is_frozen:
            return []
        waiting = [key for key in self.operation if self.state[key] in OPEN]
        if self.route != "live":
            self.state.update(dict.fromkeys(waiting, "suppressed"))
            return []
        removals = [key for key in waiting if self.operation[key][0] is OperationKind.REMOVE]
        if removals:
            return self._take(removals[: LIMITS.max_rows])
        while waiting:
            chunk, waiting = waiting[: LIMITS.max_rows], waiting[LIMITS.max_rows :]
            self.state.update({key: "suppressed" for key in chunk if key in self.denied})
            if allowed := [key for key in chunk if key not in self.denied]:
                return self._take(allowed)
        return []

    def _take(self, keys: list[str]) -> list[str]:
        self.state.update(dict.fromkeys(keys, "in_flight"))
        return keys

    def settle(self, keys: list[str], kinds: list[OutcomeKind]) -> None:
        """What answers mean; while one is unknown, what would be tried again stays with it."""
        has_unknown = OutcomeKind.UNKNOWN in kinds
        for key, kind in zip(keys, kinds, strict=True):
            if self.state[key] not in IN_FLIGHT:
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
    """Rules are what workers, people and the company do; `flights` are batches that a worker holds."""

    flights: Bundle[ClaimedBatch] = Bundle("flights")
    zombies: Bundle[ClaimedBatch] = Bundle("zombies")

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
        gate.ensure_route(self.ledger, "s", "live", now=self.now)
        gate.refresh_denials(self.ledger, [], watermark=self.now, now=self.now)

    @rule(key=st.sampled_from(KEYS), version=st.integers(0, 2))
    def want(self, key: str, version: int) -> None:
        self.model.wanted[key] = f'{{"v":{version}}}'

    @rule(key=st.sampled_from(KEYS))
    def want_no_more(self, key: str) -> None:
        self.model.wanted.pop(key, None)

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
            self.model.rejected -= {(key, each) for _, each in self.model.rejected if _ == key}
        self._write_plan()

    @precondition(lambda self: self.last_plan is not None)
    @rule()
    def replay(self) -> None:
        """The same plan again, while it is not finished, writes nothing."""
        assert self.last_plan is not None
        is_open = any(state in OPEN for state in self.model.state.values())
        with self.ledger.read() as connection:
            before = connection.execute("select count(*) from operations").fetchone()
        if is_open:
            run = self._write_plan()
            assert run is not None
            assert run.is_resumed
        with self.ledger.read() as connection:
            assert connection.execute("select count(*) from operations").fetchone() == before

    @rule(target=flights)
    def claim(self) -> ClaimedBatch:
        taken = claims.claim(self.ledger, self.sync, worker=WORKER, limits=LIMITS, now=self.now)
        keys = self.model.claim()
        found = (
            [] if taken.claimed is None else [each.destination_key for each in taken.claimed.batch.operations]
        )
        assert found == keys
        return taken.claimed  # type: ignore[return-value]

    @rule(batch=consumes(flights), data=st.data())
    def send(self, batch: ClaimedBatch | None, data: st.DataObject) -> None:
        if batch is None:
            return
        keys = [operation.destination_key for operation in batch.batch.operations]
        kinds = data.draw(st.lists(st.sampled_from(ANSWERS), min_size=len(keys), max_size=len(keys)))
        self._answer(batch, kinds)

    @rule(target=zombies, batch=consumes(flights))
    def lose(self, batch: ClaimedBatch) -> ClaimedBatch:
        """The worker stands still, or is dead: nobody knows."""
        return batch

    @rule(batch=zombies, data=st.data())
    def recover(self, batch: ClaimedBatch | None, data: st.DataObject) -> None:
        """Another takes over what has no answer once its lease has ended; only the newest token counts."""
        if batch is None:
            return
        self.now += LEASE + timedelta(seconds=1)
        for batch_id, token, _ in claims.stranded(self.ledger, self.sync, worker=WORKER, now=self.now):
            if batch_id != batch.batch.batch_id:
                continue
            may_send = claims.may_send_again(self.ledger, self.sync, batch_id)
            assert may_send == self._may_send(batch)
            heir = claims.reclaim(self.ledger, self.sync, batch_id, token=token, worker=WORKER, now=self.now)
            assert heir is not None
            assert heir.batch == batch.batch
            self._answer(
                heir,
                data.draw(
                    st.lists(st.sampled_from(ANSWERS), min_size=len(heir.numbers), max_size=len(heir.numbers))
                ),
            )

    @rule(batch=zombies)
    def wake_up(self, batch: ClaimedBatch | None) -> None:
        """Whoever wakes up after another took over changes nothing; the first to come back may."""
        if batch is None:
            return
        with self.ledger.read() as connection:
            row = connection.execute(
                "select token, state from batches where batch_id = ?", (batch.batch.batch_id,)
            ).fetchone()
        is_ours = row == (batch.token, "in_flight")
        assert claims.confirm(self.ledger, batch, worker=WORKER, clock=lambda: self.now) == is_ours
        self._answer(batch, [OutcomeKind.DELIVERED] * len(batch.numbers), is_late=not is_ours)

    @rule(key=st.sampled_from(KEYS))
    def withdraw(self, key: str) -> None:
        gate.add_denials(
            self.ledger, [gate.Denial("email", "withdrawn", self.now, identifier_key=f"k-{key}")], feed="tail"
        )
        self.model.denied.add(key)

    @rule(key=st.sampled_from(KEYS))
    def erase(self, key: str) -> None:
        """A person is erased: denied everywhere, and wanted nowhere."""
        gate.add_denials(
            self.ledger, [gate.Denial("*", "erased", self.now, canonical_id=f"c-{key}")], feed="tail"
        )
        self.model.denied.add(key)
        self.model.wanted.pop(key, None)

    @rule(has_seen=st.booleans())
    def build_marts(self, *, has_seen: bool) -> None:
        """Marts that deny nobody lift only what they have seen."""
        self.now += timedelta(seconds=1)
        watermark = self.now if has_seen else START
        gate.refresh_denials(self.ledger, [], watermark=watermark, now=self.now)
        if has_seen:
            self.model.denied.clear()

    @rule()
    def pause(self) -> None:
        gate.freeze(self.ledger, "s", reason="r", set_by="s", now=self.now)
        self.model.is_frozen = True

    @rule()
    def resume(self) -> None:
        gate.lift_freeze(self.ledger, "s", now=self.now)
        self.model.is_frozen = False

    @rule(route=st.sampled_from(("live", "live", "legacy")))
    def switch(self, route: str) -> None:
        gate.append_route(self.ledger, "s", route, reason="r", set_by="s", now=self.now)
        self.model.route = route

    @rule()
    def try_again(self) -> None:
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
                "select count(*), count(distinct destination_key) from operations where is_open is not null"
            ).fetchone()
        assert dict(rows) == self.model.state
        assert acknowledged == {key: _hash(payload) for key, payload in self.model.acknowledged.items()}
        assert open_keys[0] == open_keys[1]

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
        if not is_late:
            self.model.settle([each.destination_key for each in batch.batch.operations], kinds)

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
    [(40, 30), pytest.param(500, 50, marks=[pytest.mark.long, pytest.mark.timeout(1500)])],
)
def test_in_whatever_order_the_ledger_agrees_with_a_plain_dict(examples: int, steps: int) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        LedgerMachine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, derandomize=True, database=None
        ),
    )
