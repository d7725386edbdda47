"""A destination on virtual time, whose network and answers are as bad as the seed says.

Faults are drawn for each request: it is lost on its way, done late, brought twice by the network, done and
its answer lost, refused as a whole or row by row, or answered with an error before or after it was done.
"""

import asyncio
import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Self

from activation.adapters.base import (
    DELIVERED,
    TELLS_NOTHING,
    Adapter,
    AdapterConfig,
    Batch,
    Capabilities,
    Operation,
    OperationKind,
    Outcome,
    OutcomeKind,
    Rate,
    Receipt,
    Surroundings,
    Target,
)
from activation.modes import MODES
from tests.campaigns.simulation.clockwork import Clockwork

TIMEOUT = 10.0
LATEST = 25.0  # seconds after which a request that is still on its way is done, at the latest
LAG = 4.0  # seconds until a read sees what was done
SETTLES = timedelta(seconds=30)  # more than both
LONGEST_JOB = 150.0  # seconds after a receipt until its work is done, at the latest
RESOLVES = timedelta(hours=3)  # more than that, by more than a clock can jump
SHARE_OF_LOST_RECEIPTS = 0.1  # of the share of faults
LEAVING = (OperationKind.REMOVE, OperationKind.ERASE)


@dataclass(frozen=True)
class Kind:
    """What a destination can tell about what it did: repeated keys for so long, and what it holds.

    One that answers later takes a request, gives a receipt for each row, and does the work some time after.
    """

    name: str
    lifetime: timedelta | None
    can_read_back: bool
    answers_later: bool = False

    def capabilities(self, *, rows: int, rates: tuple[Rate, ...]) -> Capabilities:
        return Capabilities(
            modes=frozenset(MODES),
            max_batch_rows=rows,
            max_batch_bytes=1_000_000,
            rates=rates,
            idempotency_lifetime=self.lifetime,
            can_read_back=self.can_read_back,
            read_back_settles=SETTLES,
            can_list_members=False,
            can_resolve=self.answers_later,
            resolves_within=RESOLVES if self.answers_later else timedelta(0),
            max_receipts=3,
        )


DAY = timedelta(hours=24)
KINDS = {
    kind.name: kind
    for kind in (
        Kind("idempotent", DAY, can_read_back=False),
        Kind("both", DAY, can_read_back=True),
        Kind("readable", None, can_read_back=True),
        Kind("opaque", None, can_read_back=False),
        Kind("later", DAY, can_read_back=False, answers_later=True),
        Kind("later, readable", None, can_read_back=True, answers_later=True),
        Kind("later, opaque", None, can_read_back=False, answers_later=True),
    )
}

# what may happen to a request, and how often among a hundred bad ones
FAULTS = {
    "lost_on_its_way": 12,
    "answer_lost": 14,
    "late": 14,
    "twice_by_the_network": 6,
    "error_before": 8,
    "error_after": 10,
    "rate_limited": 10,
    "unreachable": 8,
    "row_deferred": 8,
    "row_rejected": 4,
    "unauthorised": 1,
}


REFUSED = ("error_before", "rate_limited", "unreachable", "unauthorised")  # answered, and nothing done


@dataclass(frozen=True)
class Execution:
    """One thing that the destination really did."""

    at: float
    operation_id: str
    destination_key: str
    kind: OperationKind
    payload: str | None

    @property
    def effect(self) -> tuple[bool, str | None]:
        """What the key is afterwards: gone, or there with these fields."""
        return (self.kind in LEAVING, self.payload)


@dataclass
class Destination:
    """What stands on the other side of the network."""

    kind: Kind
    clockwork: Clockwork
    chance: random.Random
    share_of_faults: float
    executions: list[Execution] = field(default_factory=list)
    requests: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    conflicts: int = 0
    receipts: int = 0
    _results: dict[str, Outcome | None] = field(default_factory=dict)  # by receipt; None: worked on
    _members: dict[str, list[tuple[float, str | None]]] = field(default_factory=dict)
    _answers: dict[str, tuple[float, str, list[Outcome]]] = field(default_factory=dict)

    def holds(self, key: str, *, seen_at: float | None = None) -> str | None:
        """The fields of a key as a read sees them at that time (now); None where there is none."""
        found = None
        for at, payload in self._members.get(key, ()):
            if seen_at is None or at <= seen_at:
                found = payload
        return found

    def members(self) -> dict[str, str]:
        """Everybody who is there now."""
        held = {key: self.holds(key) for key in self._members}
        return {key: payload for key, payload in held.items() if payload is not None}

    def draw(self) -> str:
        """What happens to this request; "fine" for most."""
        self.requests += 1
        if self.chance.random() >= self.share_of_faults:
            return "fine"
        (fault,) = self.chance.choices(list(FAULTS), weights=list(FAULTS.values()))
        if fault == "twice_by_the_network" and self.kind.lifetime is None:
            return "fine"  # who knows no keys cannot be helped against that
        self.faults[fault] = self.faults.get(fault, 0) + 1
        return fault

    def tell(self, receipt: str) -> Outcome:
        """What became of a row that was accepted."""
        if receipt not in self._results:
            return Outcome(OutcomeKind.UNKNOWN, "receipt_forgotten")
        return self._results[receipt] or Outcome(OutcomeKind.ACCEPTED, "working")

    def do(self, batch: Batch, fault: str = "fine") -> list[Outcome]:
        """Do a request, all or nothing, and answer for each row; a repeated key is answered from memory."""
        key, body, now = batch.idempotency_key, body_hash(batch), self.clockwork.now
        if self.kind.lifetime is not None:
            remembered = self._answers.get(key)
            if remembered is not None and now - remembered[0] < self.kind.lifetime.total_seconds():
                if remembered[1] != body:
                    self.conflicts += 1
                    return [Outcome(OutcomeKind.UNKNOWN, "another_body", concerns_batch=True)] * len(
                        batch.operations
                    )
                return remembered[2]
        if any(is_poison(operation) for operation in batch.operations):
            return [Outcome(OutcomeKind.REJECTED, "http_400", concerns_batch=True)] * len(batch.operations)
        outcomes = self._accept(batch, fault) if self.kind.answers_later else self._work(batch, fault)
        self._answers[key] = (now, body, outcomes)
        return outcomes

    def _accept(self, batch: Batch, fault: str) -> list[Outcome]:
        """Give a receipt for each row; all are done at once, later, and some receipts are lost."""
        first, self.receipts = self.receipts, self.receipts + len(batch.operations)
        receipts = [f"r{first + position}" for position in range(len(batch.operations))]
        self._results |= dict.fromkeys(receipts)
        is_lost = self.chance.random() < self.share_of_faults * SHARE_OF_LOST_RECEIPTS

        def work() -> None:
            for receipt, outcome in zip(receipts, self._work(batch, fault), strict=True):
                self._results[receipt] = outcome
                if is_lost:
                    del self._results[receipt]

        self.clockwork.call_later(self.chance.uniform(1, LONGEST_JOB), work)
        return [Outcome(OutcomeKind.ACCEPTED, receipt=receipt) for receipt in receipts]

    def _work(self, batch: Batch, fault: str) -> list[Outcome]:
        now = self.clockwork.now
        spoiled = self.chance.randrange(len(batch.operations)) if fault.startswith("row_") else None
        outcomes = []
        for position, operation in enumerate(batch.operations):
            if position == spoiled:
                kind = OutcomeKind.DEFERRED if fault == "row_deferred" else OutcomeKind.REJECTED
                outcomes.append(Outcome(kind, fault))
                continue
            outcomes.append(DELIVERED)
            self.executions.append(
                Execution(
                    now, operation.operation_id, operation.destination_key, operation.kind, operation.payload
                )
            )
            held = None if operation.kind in LEAVING else operation.payload
            self._members.setdefault(operation.destination_key, []).append((now, held))
        return outcomes


class SimulatedAdapter(Adapter):
    """What one worker speaks to the destination with; `leaves` is told of each request before it is sent."""

    type_name = ""
    config_type = AdapterConfig

    def __init__(self, destination: Destination, leaves: Callable[[Batch], None]) -> None:
        self._destination = destination
        self._leaves = leaves

    @classmethod
    def build(cls, config: AdapterConfig, surroundings: Surroundings) -> Self:
        raise NotImplementedError("the simulation makes its adapters itself")

    @classmethod
    def capabilities(cls, config: AdapterConfig) -> Capabilities:
        raise NotImplementedError("the simulation knows what its destinations can do")

    async def deliver(self, batch: Batch) -> Sequence[Outcome]:
        self._leaves(batch)
        there = self._destination
        fault = there.draw()
        on_its_way = there.chance.uniform(0.01, 0.3)
        outcomes: list[Outcome] = []
        # what has left arrives, whatever becomes of its worker
        if fault in ("late", "twice_by_the_network"):
            there.clockwork.call_later(there.chance.uniform(1, LATEST - 1), lambda: _do(there, batch))
        if fault not in REFUSED and fault not in ("late", "lost_on_its_way"):
            there.clockwork.call_later(on_its_way, lambda: outcomes.extend(there.do(batch, fault)))
        silent = fault in ("late", "lost_on_its_way", "answer_lost")
        await asyncio.sleep(TIMEOUT if silent else on_its_way + there.chance.uniform(0.01, 0.3))
        if silent or fault in ("error_before", "error_after"):
            whole = Outcome(OutcomeKind.UNKNOWN, "timeout" if silent else fault, concerns_batch=True)
        elif fault in REFUSED:
            seconds = there.chance.randint(0, 20)
            wait = timedelta(seconds=seconds) if fault == "rate_limited" and seconds > 10 else None
            whole = Outcome(OutcomeKind.DEFERRED, fault, wait, concerns_batch=True)
            whole = replace(whole, stops_destination=fault == "unauthorised")
        else:
            return outcomes
        return [whole] * len(batch.operations)

    async def resolve(self, target: Target, receipts: Sequence[Receipt]) -> Sequence[Outcome]:  # noqa: ARG002
        there = self._destination
        await asyncio.sleep(there.chance.uniform(0.01, 0.3))
        if there.chance.random() < there.share_of_faults / 2:
            return [TELLS_NOTHING] * len(receipts)
        return [there.tell(receipt.text) for receipt in receipts]

    async def read_back(self, batch: Batch) -> Sequence[Outcome]:
        there = self._destination
        if not there.kind.can_read_back:
            return await super().read_back(batch)
        await asyncio.sleep(there.chance.uniform(0.01, 0.3))
        if there.chance.random() < there.share_of_faults / 2:
            return [Outcome(OutcomeKind.UNKNOWN, "read_back_failed", concerns_batch=True)] * len(
                batch.operations
            )
        seen_at = there.clockwork.now - LAG
        return [
            _held(operation, there.holds(operation.destination_key, seen_at=seen_at))
            for operation in batch.operations
        ]


def is_poison(operation: Operation) -> bool:
    """A row for which a destination refuses the whole request, whenever it comes."""
    return operation.payload is not None and operation.payload.endswith('"draw":5}')


def _do(there: Destination, batch: Batch) -> None:
    there.do(batch)


def _held(operation: Operation, held: str | None) -> Outcome:
    wanted = None if operation.kind in LEAVING else operation.payload
    if held == wanted:
        return DELIVERED
    return Outcome(OutcomeKind.DEFERRED, "not_there", retry_after=timedelta(0), concerns_batch=True)


def body_hash(batch: Batch) -> str:
    """What a destination compares when a key comes again: every row, in order."""
    rows = "\n".join(f"{each.kind} {each.destination_key} {each.payload}" for each in batch.operations)
    return hashlib.sha256(rows.encode()).hexdigest()
