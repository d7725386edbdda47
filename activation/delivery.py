"""Delivers a sync's intents: claim, send, record, back off; and settles what a dead worker left."""

import asyncio
import hashlib
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from activation.adapters.base import Adapter, Capabilities, Outcome, OutcomeKind
from activation.claims import ClaimedBatch, Limits, Worker, claim, extend, may_send_again, reclaim, stranded
from activation.config import Sync
from activation.ledger import Ledger
from activation.limits import RateWindows
from activation.outcomes import Recorded, record
from activation.receipts import believed
from activation.sync_file import Retry
from activation.times import Clock

SAFE_SHARE_OF_LIFETIME = 0.8  # a key is not trusted to the last minute of its life


@dataclass(frozen=True)
class Patience:
    """How long the engine tries; waits grow by `growth` from `first_wait` to `longest_wait`."""

    first_wait: timedelta = timedelta(seconds=1)
    longest_wait: timedelta = timedelta(seconds=60)
    growth: float = 2.0
    failures_in_a_row: int = 4
    unknown_attempts: int = 4
    operation_attempts: int = 5
    lease: timedelta = timedelta(seconds=120)
    denials_max_age: timedelta = timedelta(hours=24)
    answers: timedelta = timedelta(seconds=60)  # how long a run waits for answers to what was accepted

    def as_told(self, retry: Retry) -> "Patience":
        """The same, but for what a sync's file says."""
        told: dict[str, Any] = {
            "operation_attempts": retry.attempts,
            "failures_in_a_row": retry.failures_in_a_row,
            "first_wait": _seconds(retry.first_wait_seconds),
            "longest_wait": _seconds(retry.longest_wait_seconds),
            "answers": _seconds(retry.answers_seconds),
        }
        return replace(self, **{name: value for name, value in told.items() if value is not None})

    def wait(self, failures: int, name: str) -> timedelta:
        """Wait before try number `failures` + 1; the jitter (up to a quarter) is a hash of the name."""
        plain = min(self.first_wait * self.growth ** (failures - 1), self.longest_wait)
        spread = hashlib.sha256(f"{name}:{failures}".encode()).digest()[0] / 255
        return plain * (1 + spread / 4)


@dataclass(frozen=True)
class Engine:
    """The outside of a delivery: time, waiting, who we are, and a hook that tests use to kill us."""

    clock: Clock
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    patience: Patience = Patience()
    worker_name: str = ""
    is_alive: Callable[[str], bool] | None = None
    at: Callable[[str], None] = lambda _: None
    progress: Callable[[str, int], None] = lambda _, __: None

    def worker(self) -> Worker:
        """Ourselves, as claims know us."""
        return Worker(
            self.worker_name or this_process(), self.patience.lease, self.is_alive or process_is_alive
        )


@dataclass(frozen=True)
class OpenDestination:
    """A destination ready to be used in a run: its adapter, and its rate windows shared by all its syncs."""

    adapter: Adapter
    capabilities: Capabilities
    windows: RateWindows


@dataclass
class Delivery:
    """How delivering one sync ended; `stopped` says why it ended early."""

    delivered: int = 0
    accepted: int = 0
    rejected: int = 0
    deferred: int = 0
    unknown: int = 0
    batches: int = 0
    sync_run_ids: set[str] = field(default_factory=set)
    stopped: str | None = None
    retry_after: timedelta = timedelta(0)
    _failures: int = field(default=0, repr=False)

    def note(self, recorded: Recorded, sync_run_id: str) -> None:
        """Count what one batch came to."""
        self.batches += 1
        self.sync_run_ids.add(sync_run_id)
        self._count(recorded)

    def add(self, other: "Delivery") -> None:
        """Count what another part of the same run came to; the latter says whether it stopped."""
        self.batches += other.batches
        self.sync_run_ids |= other.sync_run_ids
        self._count(other)
        self.stopped = other.stopped or self.stopped
        self.retry_after = other.retry_after

    def _count(self, found: "Recorded | Delivery") -> None:
        self.delivered += found.delivered
        self.accepted += found.accepted
        self.rejected += found.rejected
        self.deferred += found.deferred
        self.unknown += found.unknown


async def recover(sync: Sync, *, ledger: Ledger, destination: OpenDestination, engine: Engine) -> Delivery:
    """Settle every stranded batch of a sync before anything new is planned.

    With the same key if the destination still remembers it and the gate still lets every member pass, else
    by reading back, else not at all: then it is listed as in doubt, and stays so.
    """
    result = Delivery()
    worker = engine.worker()
    for batch in stranded(ledger, sync, worker=worker, now=engine.clock()):
        may_send = may_send_again(ledger, sync, batch.batch_id)
        knows_keys = may_send and destination.capabilities.idempotency_lifetime is not None
        if batch.is_listed and not knows_keys and not destination.capabilities.can_read_back:
            continue
        settled_at = batch.last_sent_at + destination.capabilities.read_back_settles
        await _wait_for_room(destination.windows, engine)
        sends = may_send and _key_is_alive(batch.first_sent_at, destination.capabilities, engine.clock())
        claimed = reclaim(
            ledger, sync, batch.batch_id, token=batch.token, worker=worker, now=engine.clock(), sends=sends
        )
        if claimed is None:
            continue
        engine.at("in_recovery")
        if sends:
            outcomes = await _settle_unknown(claimed, ledger, destination, engine)
        elif destination.capabilities.can_read_back:
            # what was on its way when its worker died may only now be done
            await engine.sleep(max(0.0, (settled_at - engine.clock()).total_seconds()))
            outcomes = believed(
                await destination.adapter.read_back(claimed.batch),
                sent_at=batch.last_sent_at,
                capabilities=destination.capabilities,
                now=engine.clock(),
            )
        else:
            reason = "key_expired" if knows_keys else "no_answer"
            outcomes = [Outcome(OutcomeKind.UNKNOWN, reason, concerns_batch=True)] * len(
                claimed.batch.operations
            )
        _note(result, ledger, claimed, outcomes, engine)
        if any(outcome.stops_destination for outcome in outcomes):
            result.stopped = _reason(outcomes)
            break
    return result


async def deliver(
    sync: Sync,
    *,
    ledger: Ledger,
    destination: OpenDestination,
    engine: Engine,
    sync_run_id: str | None = None,
) -> Delivery:
    """Deliver the open intents of a sync until none is left, or the destination or the gate stops it.

    They are those of the run `sync_run_id`, the last that was opened.
    """
    result = Delivery()
    patience = engine.patience
    worker = engine.worker()
    rows = destination.capabilities.max_batch_rows
    while True:
        await _wait_for_room(destination.windows, engine)
        limits = Limits(rows, destination.capabilities.max_batch_bytes, patience.denials_max_age)
        engine.at("before_claim")
        taken = claim(ledger, sync, worker=worker, limits=limits, now=engine.clock(), sync_run_id=sync_run_id)
        if taken.claimed is None:
            if taken.stopped is None and taken.wait_until is not None:
                wait = taken.wait_until - engine.clock()
                if wait <= patience.longest_wait * 2:
                    await engine.sleep(max(0.0, wait.total_seconds()))
                    continue
                result.stopped = f"deferred until {taken.wait_until:%Y-%m-%d %H:%M} UTC"
            else:
                result.stopped = taken.stopped
            return result
        engine.at("after_in_flight")
        outcomes = await _settle_unknown(taken.claimed, ledger, destination, engine)
        engine.at("after_response")
        if _is_refused_whole(outcomes) and len(outcomes) > 1:
            # One bad row may hide in it: put everything back and look at half as many.
            rows = max(1, len(outcomes) // 2)
            outcomes = [Outcome(OutcomeKind.DEFERRED, "split", timedelta(0), concerns_batch=True)] * len(
                outcomes
            )
            _note(result, ledger, taken.claimed, outcomes, engine)
            continue
        _note(result, ledger, taken.claimed, outcomes, engine)
        engine.at("after_outcome")
        if any(outcome.stops_destination for outcome in outcomes):
            result.stopped = (
                f"{sync.destination.name} answers nobody until a person acts: {_reason(outcomes)}"
            )
            return result
        if all(_failed_whole(outcome) for outcome in outcomes):
            if result._failures >= patience.failures_in_a_row:
                result.stopped = (
                    f"{sync.destination.name} did not take a batch {result._failures} times in a row "
                    f"({_reason(outcomes)}); what is left waits for the next run"
                )
                return result
        else:
            rows = min(destination.capabilities.max_batch_rows, rows * 2)


async def _settle_unknown(
    claimed: ClaimedBatch, ledger: Ledger, destination: OpenDestination, engine: Engine
) -> Sequence[Outcome]:
    """Send; while the answer is unknown, send again with the same key and body, or read back once."""
    engine.at("before_write")
    outcomes = await destination.adapter.deliver(claimed.batch)
    for attempt in range(1, engine.patience.unknown_attempts):
        if not any(outcome.kind is OutcomeKind.UNKNOWN for outcome in outcomes):
            return outcomes
        if not _key_is_alive(claimed.first_attempt_at, destination.capabilities, engine.clock()):
            break
        await engine.sleep(engine.patience.wait(attempt, claimed.batch.idempotency_key).total_seconds())
        await _wait_for_room(destination.windows, engine)
        extended = extend(ledger, claimed, worker=engine.worker(), now=engine.clock())
        if extended is None:
            return outcomes
        engine.at("before_write")
        outcomes = await destination.adapter.deliver(claimed.batch)
    if destination.capabilities.can_read_back and any(
        outcome.kind is OutcomeKind.UNKNOWN for outcome in outcomes
    ):
        answers = await destination.adapter.read_back(claimed.batch)
        return [
            read if sent.kind is OutcomeKind.UNKNOWN and read.kind is OutcomeKind.DELIVERED else sent
            for sent, read in zip(outcomes, answers, strict=True)
        ]
    return outcomes


def _note(
    result: Delivery, ledger: Ledger, claimed: ClaimedBatch, outcomes: Sequence[Outcome], engine: Engine
) -> None:
    """Record the outcomes and count them."""
    result._failures = result._failures + 1 if all(map(_failed_whole, outcomes)) else 0
    engine.at("before_outcome")
    recorded = record(
        ledger,
        claimed,
        outcomes,
        now=engine.clock(),
        wait=engine.patience.wait(max(1, result._failures), claimed.batch.idempotency_key),
        max_attempts=engine.patience.operation_attempts,
    )
    result.note(recorded, claimed.sync_run_id)
    engine.progress(
        claimed.batch.target.sync_name, recorded.delivered + recorded.accepted + recorded.rejected
    )


async def _wait_for_room(windows: RateWindows, engine: Engine) -> None:
    """Wait until the rate windows admit one request; done before a claim, so that no lease runs meanwhile."""
    while wait := windows.admit(engine.clock()):
        await engine.sleep(wait.total_seconds())


def _key_is_alive(first_sent_at: datetime, capabilities: Capabilities, now: datetime) -> bool:
    lifetime = capabilities.idempotency_lifetime
    return lifetime is not None and now - first_sent_at < lifetime * SAFE_SHARE_OF_LIFETIME


def _failed_whole(outcome: Outcome) -> bool:
    return (
        outcome.concerns_batch
        and outcome.kind in (OutcomeKind.DEFERRED, OutcomeKind.UNKNOWN)
        and outcome.reason != "split"
    )


def _is_refused_whole(outcomes: Sequence[Outcome]) -> bool:
    return all(outcome.kind is OutcomeKind.REJECTED and outcome.concerns_batch for outcome in outcomes)


def _reason(outcomes: Sequence[Outcome]) -> str:
    return next((outcome.reason for outcome in outcomes if outcome.reason), "no reason given")


def _seconds(number: float | None) -> timedelta | None:
    return None if number is None else timedelta(seconds=number)


def this_process() -> str:
    """host:pid:start, which no other process ever has."""
    return f"{socket.gethostname()}:{os.getpid()}:{_start_of(os.getpid())}"


def process_is_alive(name: str) -> bool:
    """Whether that worker may still be running; one on another host is believed until its lease ends."""
    host, pid, start = name.rsplit(":", 2) if name.count(":") >= 2 else (name, "", "")
    if host != socket.gethostname() or not pid.isdigit():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _start_of(int(pid)) == start


def _start_of(pid: int) -> str:
    """When the process started, in the kernel's ticks; empty where the system does not say."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]
