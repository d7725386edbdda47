"""Watches the ledger and the destination from outside, and says what became of every operation.

The classes are those of a queue's checker: lost, done twice, unexpected, recovered, never read (in doubt for
good). Beside them stand the promises that hold at every moment: a violation is noted when it happens.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from activation.adapters.base import Batch
from activation.ledger import Transaction
from activation.times import from_micros
from tests.campaigns.simulation.destination import LEAVING, Destination, body_hash

SAFE_SHARE = 0.8  # of a key's life: beyond, nothing is sent again by itself


@dataclass(frozen=True)
class Gate:
    """What a claim had to obey, as it stood when the claim was committed."""

    ledger_seq: int
    route: str | None
    is_frozen: bool
    denied: frozenset[str]
    has_stale_denials: bool


@dataclass
class Rules:
    """The gate as it should be, kept beside the ledger's: who is denied, who serves, what is paused."""

    denials_max_age: timedelta
    route: str | None = None
    is_frozen: bool = False
    denied: dict[tuple[str, str], datetime] = field(default_factory=dict)  # by feed and address
    watermark: datetime | None = None
    refreshed_at: datetime | None = None

    def refresh(self, watermark: datetime, denied: dict[str, datetime], moment: datetime) -> None:
        """What the marts deny takes the place of what they denied; only what they have seen is lifted."""
        if self.watermark is None or watermark >= self.watermark:
            self.denied = {
                (feed, address): since
                for (feed, address), since in self.denied.items()
                if address in denied or (feed != "marts" and since > watermark)
            }
            self.watermark, self.refreshed_at = watermark, moment
        for address, since in denied.items():
            self.denied.setdefault(("marts", address), since)

    def now(self, ledger_seq: int, moment: datetime) -> Gate:
        age = None if self.refreshed_at is None else moment - self.refreshed_at
        return Gate(
            ledger_seq,
            self.route,
            self.is_frozen,
            frozenset(address for _, address in self.denied),
            age is None or age > self.denials_max_age,
        )


@dataclass
class Tally:
    """What a run came to; `violations` and the first four counts must be nothing."""

    lost: int = 0
    done_twice: int = 0
    called_done: int = 0
    unexpected: int = 0
    intents: int = 0
    done: int = 0
    recovered: int = 0
    in_doubt: int = 0
    done_in_doubt: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        return not (self.violations or self.lost or self.done_twice or self.called_done or self.unexpected)

    def add(self, other: "Tally") -> None:
        """Sum up several runs."""
        for name in (
            "lost", "done_twice", "called_done", "unexpected", "intents", "done", "recovered", "in_doubt",
            "done_in_doubt",
        ):  # fmt: skip
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.counts += other.counts
        self.violations += other.violations


class Judge:
    """One for each run; looks at the ledger by a connection of its own, which sees only what is committed."""

    def __init__(self, path: Path, destination: Destination, rules: Rules) -> None:
        self._eyes = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._destination = destination
        self.rules = rules
        self.tally = Tally()
        self._claims: dict[tuple[int, int], Gate] = {}
        self._bodies: dict[str, str] = {}  # of each key
        self._sent: set[int] = set()  # batches
        self._attempts_seen = 0
        self._forgiven: dict[str, float] = {}  # keys that a person closed, and when
        self._closed: dict[str, list[float]] = {}  # keys that were closed because they are denied, and when

    def close(self) -> None:
        self._eyes.close()

    def violation(self, what: str) -> None:
        self.tally.violations.append(what)

    def note_doubts(self) -> None:
        """Count what is in doubt for good: a person closes it next, and the next plan may do it again."""
        done = {execution.operation_id for execution in self._destination.executions}
        for identity, key in self._eyes.execute(
            "select operation_id, destination_key from dead_letters where state = 'in_doubt'"
        ):
            self._forgiven[key] = self._destination.clockwork.now
            self.tally.in_doubt += 1
            self.tally.done_in_doubt += identity in done

    def look(self, transaction: Transaction, moment: datetime) -> Callable[[], None]:
        """Read what a transaction did just before it commits; what is returned is called once it has."""
        seq = transaction.ledger_seq
        batches = transaction.execute(
            "select batch_id, token, state from batches where sync_name = 's' and ledger_seq = ?", (seq,)
        ).fetchall()
        fresh = [
            (batch, token) for batch, token, state in batches
            if state == "in_flight" and (batch, token) not in self._claims
        ]  # fmt: skip
        for batch_id, token in fresh:
            if token == 1:
                self._look_at_claim(transaction, batch_id)
        attempts = transaction.execute(
            "select attempts.rowid, attempts.is_late, batches.token > attempts.token from attempts"
            " inner join batches on batches.batch_id = attempts.batch_id where attempts.rowid > ?",
            (self._attempts_seen,),
        ).fetchall()
        touched = 0
        if any(is_late or is_old for _, is_late, is_old in attempts):
            (touched,) = transaction.execute(
                "select (select count(*) from outcomes where ledger_seq = ?)"
                " + (select count(*) from batches where answered_seq = ?)",
                (seq, seq),
            ).fetchone()
        closed = transaction.execute(
            "select destination_key from outcomes inner join intents"
            " on intents.operation_number = outcomes.operation_number"
            " where reason = 'denied_while_in_doubt' and outcomes.ledger_seq = ?",
            (seq,),
        ).fetchall()
        gate = self.rules.now(seq, moment)

        def committed() -> None:
            for claimed in fresh:
                self._claims[claimed] = gate
                self.tally.counts["claims" if claimed[1] == 1 else "reclaims"] += 1
                self.tally.counts["pairs of a withdrawal and a later claim"] += self.tally.counts[
                    "withdrawals"
                ]
            for (key,) in closed:
                self._closed.setdefault(key, []).append(self._destination.clockwork.now)
                self.tally.counts["closed because denied"] += 1
            for number, is_late, is_old in attempts:
                self._attempts_seen = max(self._attempts_seen, number)
                self.tally.counts["late answers"] += is_late
                if is_old and (not is_late or touched):
                    self.violation("the late result of a lost lease changed the ledger")

        return committed

    def leaves(self, worker: str, clock: datetime, batch: Batch) -> None:
        """A request is about to be written; whatever the gate and the fence promise must hold here."""
        row = self._eyes.execute(
            "select token, state, owner, idempotency_key, first_attempt_at from batches where batch_id = ?",
            (batch.batch_id,),
        ).fetchone()
        if row is None or row[3] != batch.idempotency_key:
            self.violation(f"batch {batch.batch_id} left without being in flight on disk")
            return
        token, _, owner, _, first_attempt_at = row
        if owner != worker or row[1] == "settled":
            self.violation(f"batch {batch.batch_id} left after its lease was lost")
        members = {
            identity: (state, address, operation)
            for identity, state, address, operation in self._eyes.execute(
                "select operation_id, state, identifier_key, operation from members where batch_id = ?",
                (batch.batch_id,),
            )
        }
        if set(members) != {operation.operation_id for operation in batch.operations}:
            self.violation(f"batch {batch.batch_id} left with other members than it has on disk")
        self._look_at_gate(token, batch, members)
        self._look_at_key(batch, clock, from_micros(first_attempt_at))

    def finish(self, wanted: dict[str, str]) -> Tally:
        """Classify every operation; `wanted` is what must stand at the destination by now."""
        tally, there = self.tally, self._destination
        operations = self._eyes.execute(
            "select operation_id, destination_key, operation, state, reason, batch_id, finished_at is null"
            " from operations"
        ).fetchall()
        executed = Counter(execution.operation_id for execution in there.executions)
        unsure = {
            identity
            for (identity,) in self._eyes.execute(
                "select operation_id from operations where batch_id in"
                " (select batch_id from attempts where unknown > 0 or token > 1)"
            )
        }
        tally.intents, tally.done = len(operations), len(executed)
        for identity, key, operation, state, reason, batch_id, is_open in operations:
            is_done = executed.pop(identity, 0) > 0
            is_forgiven = key in self._forgiven or reason == "denied_while_in_doubt"
            is_idle = operation in LEAVING and key in self._closed  # nobody knew whether she was there
            tally.counts["left to the former platform" if reason == "route_legacy" else state] += 1
            if is_open:
                tally.lost += 1
            elif state == "delivered":
                tally.called_done += not is_done and not is_forgiven and not is_idle
                tally.recovered += identity in unsure
            elif is_done and not is_forgiven:
                tally.unexpected += 1
            if reason == "route_legacy" and (batch_id is not None or is_done):
                self.violation("an operation left by two routes")
        tally.unexpected += len(executed)
        tally.done_twice = self._done_twice()
        tally.counts["requests"] += there.requests
        tally.counts["faults"] += sum(there.faults.values())
        if there.conflicts:
            self.violation("the same key came with another body")
        if differs := self._differs(wanted):
            self.violation(f"at the end {differs} keys differ from what is wanted")
        return tally

    def _done_twice(self) -> int:
        """Effects that a key had just had, unless its doubt was closed in between: nobody knew then."""
        last: dict[str, tuple[float, tuple[bool, str | None]]] = {}
        identities: Counter[str] = Counter()
        doubled = 0
        for execution in self._destination.executions:
            key = execution.destination_key
            before = last.get(key)
            closed_at = [
                *self._closed.get(key, ()),
                *([self._forgiven[key]] if key in self._forgiven else ()),
            ]
            identities[execution.operation_id] += 1
            if before is not None and before[1] == execution.effect:
                doubled += not any(before[0] <= moment <= execution.at for moment in closed_at)
            elif identities[execution.operation_id] > 1:
                doubled += 1
            last[key] = (execution.at, execution.effect)
        return doubled

    def _differs(self, wanted: dict[str, str]) -> int:
        there = self._destination.members()
        excused = {
            key
            for (key,) in self._eyes.execute(
                "select destination_key from operations where finished_at is null union"
                " select destination_key from dead_letters"
            )
        }
        excused |= self._forgiven.keys()
        return sum(
            there.get(key) != wanted.get(key) for key in there.keys() | wanted.keys() if key not in excused
        )

    def _look_at_claim(self, transaction: Transaction, batch_id: int) -> None:
        """Removals leave first; what waits is what was due when the claim was made."""
        waiting = transaction.execute(
            "select 1 from batches inner join operations on operations.sync_run_id = batches.sync_run_id"
            " where batches.batch_id = ? and operations.lane = 0 and operations.state = 'planned' union all"
            " select 1 from batches inner join outcomes on outcomes.sync_name = batches.sync_name"
            " where batches.batch_id = ? and outcomes.lane = 0 and outcomes.state = 'deferred'"
            " and outcomes.not_before <= batches.first_attempt_at",
            (batch_id, batch_id),
        ).fetchone()
        (lane,) = transaction.execute(
            "select max(lane) from members where batch_id = ?", (batch_id,)
        ).fetchone()
        if lane == 1 and waiting:
            self.violation("an addition was claimed while a removal waited")

    def _look_at_gate(self, token: int, batch: Batch, members: dict[str, tuple[Any, ...]]) -> None:
        gate = self._claims.get((batch.batch_id, token))
        if gate is None:
            self.violation(f"batch {batch.batch_id} left without a claim that was committed")
            return
        if gate.route != "live":
            self.violation(f"a batch left whose claim was made on route {gate.route}")
        if gate.is_frozen:
            self.violation("a batch left whose claim was made during a pause")
        writes = [
            address for state, address, operation in members.values()
            if operation not in LEAVING and state in ("in_flight", "in_doubt")
        ]  # fmt: skip
        if any(address in gate.denied for address in writes):
            self.violation("someone was sent whose withdrawal was recorded before the claim")
        if writes and gate.has_stale_denials:
            self.violation("an addition left on stale denials")

    def _look_at_key(self, batch: Batch, clock: datetime, first_attempt_at: datetime) -> None:
        is_again = batch.batch_id in self._sent
        self._sent.add(batch.batch_id)
        if self._bodies.setdefault(batch.idempotency_key, body_hash(batch)) != body_hash(batch):
            self.violation("the same key left with another body")
        lifetime = self._destination.kind.lifetime
        if is_again and lifetime is None:
            self.violation("a batch was sent again blindly")
        elif is_again and lifetime is not None:
            self.tally.counts["sent again"] += 1
            if clock - first_attempt_at >= lifetime * SAFE_SHARE:
                self.violation("a key was used again beyond 0.8 of its life")
