"""Delivers a sync's intents: claim, send, record, back off; and settles what a dead worker left."""

import asyncio
from collections.abc import Awaitable, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from activation.adapters.base import Outcome, OutcomeKind, reason_of
from activation.claims import (
    ClaimedBatch,
    Limits,
    Stranded,
    claim,
    confirm,
    may_send_again,
    reclaim,
    stranded,
)
from activation.config import Sync
from activation.errors import LedgerBusyError, LedgerCorruptError, LedgerStorageError
from activation.intents import has_open_intents
from activation.ledger import Ledger
from activation.outcomes import record
from activation.outside import Delivery, Engine, OpenDestination, open_room
from activation.receipts import believed
from activation.room import Entry, Failure, Room, RoomClosedError
from activation.stopping import StopExpiredError

SAFE_SHARE_OF_LIFETIME = 0.8  # a key is not trusted to the last minute of its life


async def recover(
    sync: Sync,
    *,
    ledger: Ledger,
    destination: OpenDestination,
    engine: Engine,
    room: Room | None = None,
) -> Delivery:
    """Settle every stranded batch of a sync before anything new is planned.

    With the same key if the destination still remembers it and the gate still lets every member pass, else
    by reading back, else not at all: then it is listed as in doubt, and stays so.
    """
    sender = _Sender(sync, ledger, destination, engine, room or open_room(sync, destination, engine))
    for batch in stranded(ledger, sync, worker=engine.worker(), now=engine.clock()):
        doubt: _Doubt | None = _Doubt(batch, due=engine.clock())
        while doubt is not None and sender.result.stopped is None:
            await engine.pause(doubt.due - engine.clock())
            doubt = await sender.settle(doubt)
    return sender.result


async def deliver(
    sync: Sync,
    *,
    ledger: Ledger,
    destination: OpenDestination,
    engine: Engine,
    sync_run_id: str | None = None,
    room: Room | None = None,
) -> Delivery:
    """Deliver the open intents of a sync until none is left, or the destination or the gate stops it.

    They are those of the run `sync_run_id`, the last that was opened. As many batches are in flight as the
    destination's `room` admits.
    """
    sender = _Sender(sync, ledger, destination, engine, room or open_room(sync, destination, engine))
    return await sender.deliver(sync_run_id)


@dataclass(frozen=True)
class _Doubt:
    """A batch without an answer: sent `sends` times by us, to be looked at again when it is `due`."""

    batch: Stranded
    due: datetime
    sends: int = 0
    outcomes: Sequence[Outcome] = ()


class _UnsentError(Exception):
    """A batch was not sent; `known` is what is known of it all the same."""

    def __init__(self, known: Sequence[Outcome]) -> None:
        super().__init__("not sent")
        self.known = known


class _Sender:
    """One sync's delivery: one loop claims, and a task for each batch sends and records."""

    def __init__(
        self, sync: Sync, ledger: Ledger, destination: OpenDestination, engine: Engine, room: Room
    ) -> None:
        self.result = Delivery()
        self._sync = sync
        self._ledger = ledger
        self._adapter = destination.adapter
        self._can = destination.capabilities
        self._engine = engine
        self._room = room
        self._rows = self._can.max_batch_rows
        self._in_flight: set[asyncio.Task[None]] = set()
        self._doubts: list[_Doubt] = []
        self._nothing_due_before: datetime | None = None

    async def deliver(self, sync_run_id: str | None) -> Delivery:
        """Claim and send until nothing is left or something stops it; what is in flight always ends."""
        stop = self._engine.stop
        try:
            while await self._go_on(sync_run_id):
                pass
            await self._until_all_end()
        except (LedgerBusyError, LedgerCorruptError, LedgerStorageError):
            raise
        except Exception:
            if self._in_flight:  # they are as good as any, and their answers are recorded
                await asyncio.wait(self._in_flight)
            raise
        finally:
            for task in self._in_flight:
                task.cancel()
        if self.result.stopped is None and stop.asked is not None and self._next_due() is not None:
            self.result.stopped = stop.reason
        return self.result

    async def _go_on(self, sync_run_id: str | None) -> bool:
        """Put the next batch in flight, or wait for what must come first; False when there is no more."""
        if self.result.stopped is not None or self._engine.stop.asked is not None:
            return False
        self._reap()
        due = self._next_due()
        if due is None or self._must_be_alone:
            if self._in_flight:
                await self._until_one_ends()
            return due is not None or bool(self._in_flight)
        wait = due - self._engine.clock()
        if wait > self._engine.patience.longest_wait * 2 and not self._in_flight:
            self.result.stopped = f"deferred until {due:%Y-%m-%d %H:%M} UTC"
        elif wait > timedelta(0):
            await self._until_one_ends(wait)
        else:
            await self._start_next(sync_run_id)
        return True

    async def _until_all_end(self) -> None:
        while self._in_flight:
            await self._until_one_ends()
            self._reap()

    async def settle(self, doubt: _Doubt) -> _Doubt | None:
        """Find the answer of one batch that has none; gives what is still to be asked in this run.

        The same key and body while the destination remembers it and the gate lets every member pass. Else a
        read: what it has is delivered; what it has not is believed only when all that was on its way is
        settled.
        """
        may_send = self._may_send_again(doubt)
        if not may_send and not self._can.can_read_back:
            self._list_as_in_doubt(doubt)
            return None
        is_last_look = not may_send and doubt.sends > 0
        if not may_send and not is_last_look:
            # what was on its way when its worker died may only now be done
            settled_at = doubt.batch.last_sent_at + self._can.read_back_settles
            await self._engine.pause(settled_at - self._engine.clock())
        entry = await self._enter()
        if entry is None:
            return None
        claimed = None
        if self._may_send_again(doubt) == may_send:  # the gate may have changed while we waited
            claimed = self._reclaim(doubt, sends=may_send)
        if claimed is None:
            self._room.leave(entry, is_unsent=True)
            return None
        self._engine.at("in_recovery")
        before = doubt.outcomes or _unknown(claimed, "no_answer")
        if may_send and not self._may_send_again(doubt):  # what counts is the gate when it became ours
            self._room.leave(entry, is_unsent=True)
            self._record(claimed, before)
            return None
        if may_send:
            return await self._send(claimed, entry, sends=doubt.sends, before=before)
        await self._look(claimed, entry, doubt, is_last_look=is_last_look)
        return None

    async def _look(self, claimed: ClaimedBatch, entry: Entry, doubt: _Doubt, *, is_last_look: bool) -> None:
        """Read back what became of a batch, and record as much of it as can be believed."""
        answers = await self._answer(self._adapter.read_back(claimed.batch), entry)
        if answers is None:
            return
        is_down = all(answer.kind is OutcomeKind.UNKNOWN for answer in answers)
        self._room.leave(entry, failure=Failure.told_by(answers) if is_down else None)
        if is_last_look:
            answers = [
                read if sent.kind is OutcomeKind.UNKNOWN and read.kind is OutcomeKind.DELIVERED else sent
                for sent, read in zip(doubt.outcomes, answers, strict=True)
            ]
        else:
            answers = believed(
                answers,
                sent_at=doubt.batch.last_sent_at,
                capabilities=self._can,
                now=self._engine.clock(),
            )
        self._record(claimed, answers)

    @property
    def _must_be_alone(self) -> bool:
        """While a bad row is looked for, one batch follows the other."""
        return bool(self._in_flight) and self._rows < self._can.max_batch_rows

    def _next_due(self) -> datetime | None:
        """When something may be sent next, as far as is known; None when nothing is left."""
        due = [doubt.due for doubt in self._doubts]
        if self._nothing_due_before is not None:
            due.append(self._nothing_due_before)
        elif has_open_intents(self._ledger, self._sync.name):
            due.append(self._engine.clock())
        return min(due, default=None)

    async def _start_next(self, sync_run_id: str | None) -> None:
        """Put one batch in flight: one whose answer is overdue, else the next one that can be claimed."""
        overdue = [doubt for doubt in self._doubts if doubt.due <= self._engine.clock()]
        if overdue:
            self._doubts.remove(overdue[0])
            self._spawn(self._settle_one(overdue[0]))
            return
        self._nothing_due_before = None
        entry = await self._enter()
        if entry is None:
            return
        if self._must_be_alone:
            self._room.leave(entry, is_unsent=True)
            return
        self._engine.at("before_claim")
        taken = claim(
            self._ledger,
            self._sync,
            worker=self._engine.worker(),
            limits=Limits(self._rows, self._can.max_batch_bytes, self._engine.patience.denials_max_age),
            now=self._engine.clock(),
            sync_run_id=sync_run_id,
        )
        if taken.claimed is None:
            self._room.leave(entry, is_unsent=True)
            self.result.stopped = taken.stopped
            self._nothing_due_before = taken.wait_until
            return
        self._engine.at("after_in_flight")
        self._spawn(self._send_one(taken.claimed, entry, rows=self._rows))

    async def _send_one(self, claimed: ClaimedBatch, entry: Entry, *, rows: int) -> None:
        doubt = await self._send(claimed, entry, sends=0, rows=rows)
        if doubt is not None:
            self._doubts.append(doubt)

    async def _settle_one(self, doubt: _Doubt) -> None:
        left = await self.settle(doubt)
        if left is not None:
            self._doubts.append(left)

    async def _send(
        self,
        claimed: ClaimedBatch,
        entry: Entry,
        *,
        sends: int,
        rows: int | None = None,
        before: Sequence[Outcome] | None = None,
    ) -> _Doubt | None:
        """Send a batch that is ours and record the answer; gives what is in doubt after that.

        A batch that is refused as a whole is put back, and half as many rows are looked at next, one batch
        after the other: one bad row may hide in it. `rows` is how many it might have had.
        `before` is what is known of a batch that was sent before.
        """
        self._engine.at("before_write")
        try:
            outcomes = await self._answer(self._deliver(claimed, before), entry)
        except _UnsentError as error:
            self._record(claimed, error.known)
            return None
        if outcomes is None:
            return None
        self._engine.at("after_response")
        if before is not None:
            outcomes = [_after(*pair) for pair in zip(before, outcomes, strict=True)]
        if _is_refused_whole(outcomes) and len(outcomes) > 1:
            self._rows = max(1, len(outcomes) // 2)
            split = Outcome(OutcomeKind.DEFERRED, "split", timedelta(0), concerns_batch=True)
            self._room.leave(entry)
            self._record(claimed, [split] * len(outcomes))
            return None
        self._leave(entry, outcomes)
        is_unknown = self._record(claimed, outcomes)
        self._engine.at("after_outcome")
        if rows == self._rows and not all(map(_failed_whole, outcomes)):
            self._rows = min(self._can.max_batch_rows, rows * 2)
        if not is_unknown:
            return None
        now = self._engine.clock()
        doubt = _Doubt(
            Stranded(claimed.batch.batch_id, claimed.token, claimed.first_attempt_at, now, is_listed=True),
            due=now + self._engine.patience.wait(sends + 1, claimed.batch.idempotency_key),
            sends=sends + 1,
            outcomes=outcomes,
        )
        return doubt if self._may_send_again(doubt) else replace(doubt, due=now)

    async def _deliver(self, claimed: ClaimedBatch, before: Sequence[Outcome] | None) -> Sequence[Outcome]:
        """Look at the lease once more and send, in one step of the loop: no other batch comes in between.

        Raises _UnsentError for a batch that is not ours any more, or whose key grew old before a repeat.
        """
        engine = self._engine
        if not confirm(self._ledger, claimed, worker=engine.worker(), clock=engine.clock):
            raise _UnsentError(_unknown(claimed, "lease_lost"))
        if before is not None and not self._key_is_alive(claimed.first_attempt_at):
            raise _UnsentError(before)
        return await self._adapter.deliver(claimed.batch)

    def _leave(self, entry: Entry, outcomes: Sequence[Outcome]) -> None:
        """Leave the room, and tell it what the answer says about the destination."""
        is_down = all(map(_failed_whole, outcomes))
        self._room.leave(entry, failure=Failure.told_by(outcomes) if is_down else None)
        if any(outcome.stops_destination for outcome in outcomes):
            self._room.close(reason_of(outcomes))

    def _record(self, claimed: ClaimedBatch, outcomes: Sequence[Outcome]) -> bool:
        """Record the outcomes and count them; gives whether any is unknown and the batch still ours."""
        engine, breaker = self._engine, self._room.breaker
        opens_at = breaker.opens_at(engine.clock())
        wait = engine.patience.wait(max(1, breaker.failures), claimed.batch.idempotency_key)
        engine.at("before_outcome")
        recorded = record(
            self._ledger,
            claimed,
            outcomes,
            now=engine.clock(),
            wait=wait if opens_at is None else opens_at - engine.clock(),
            max_attempts=engine.patience.operation_attempts,
        )
        self.result.note(recorded, claimed.sync_run_id)
        engine.progress.done(self._sync.name, recorded.delivered + recorded.accepted + recorded.rejected)
        return recorded.unknown > 0

    def _may_send_again(self, doubt: _Doubt) -> bool:
        return (
            self._key_is_alive(doubt.batch.first_sent_at)
            and doubt.sends < self._engine.patience.unknown_attempts
            and self._gate_lets_pass(doubt)
        )

    def _gate_lets_pass(self, doubt: _Doubt) -> bool:
        return may_send_again(
            self._ledger,
            self._sync,
            doubt.batch.batch_id,
            denials_max_age=self._engine.patience.denials_max_age,
            now=self._engine.clock(),
        )

    def _key_is_alive(self, first_sent_at: datetime) -> bool:
        lifetime, now = self._can.idempotency_lifetime, self._engine.clock()
        return lifetime is not None and now - first_sent_at < lifetime * SAFE_SHARE_OF_LIFETIME

    def _list_as_in_doubt(self, doubt: _Doubt) -> None:
        """Say in the ledger why a batch of a former run has no answer and will have none."""
        knows_keys = self._can.idempotency_lifetime is not None and self._gate_lets_pass(doubt)
        if doubt.sends or (doubt.batch.is_listed and not knows_keys):
            return
        claimed = self._reclaim(doubt, sends=False)
        if claimed is not None:
            reason = "key_expired" if knows_keys else "no_answer"
            self._record(claimed, _unknown(claimed, reason))

    def _reclaim(self, doubt: _Doubt, *, sends: bool) -> ClaimedBatch | None:
        return reclaim(
            self._ledger,
            self._sync,
            doubt.batch.batch_id,
            token=doubt.batch.token,
            worker=self._engine.worker(),
            now=self._engine.clock(),
            sends=sends,
        )

    async def _enter(self) -> Entry | None:
        """Wait for room; None when the destination or the run is stopped, and then it is noted so."""
        try:
            return await self._room.enter()
        except RoomClosedError as closed:
            self.result.stopped = str(closed)
            return None

    async def _answer(self, answer: Awaitable[Sequence[Outcome]], entry: Entry) -> Sequence[Outcome] | None:
        """The answer, or None when the run's end does not wait for it: then it stays in flight."""
        try:
            return await self._engine.stop.within_budget(answer)
        except StopExpiredError:
            self.result.stopped = self._engine.stop.reason
            return None
        except BaseException:  # a cancelled one too: the others must not wait for its place
            self._room.leave(entry, is_unsent=True)
            raise

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._in_flight.add(asyncio.get_running_loop().create_task(work))

    def _reap(self) -> None:
        """Take note of the tasks that have ended; what one of them raised is raised here."""
        for task in [task for task in self._in_flight if task.done()]:
            self._in_flight.discard(task)
            self._nothing_due_before = None  # it may have put something back
            task.result()

    async def _until_one_ends(self, wait: timedelta | None = None) -> None:
        """Return when a batch has ended, when the wait is over, or when the run is asked to stop."""
        pausing = set() if wait is None else {asyncio.ensure_future(self._engine.pause(wait))}
        try:
            await asyncio.wait({*self._in_flight, *pausing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pause in pausing:
                pause.cancel()


def _unknown(claimed: ClaimedBatch, reason: str) -> list[Outcome]:
    return [Outcome(OutcomeKind.UNKNOWN, reason, concerns_batch=True)] * len(claimed.batch.operations)


def _after(before: Outcome, answer: Outcome) -> Outcome:
    """What is known after a repeat: a refusal of the repeat says nothing about what came before it."""
    if before.kind is OutcomeKind.UNKNOWN and answer.kind is OutcomeKind.DEFERRED and answer.concerns_batch:
        return replace(answer, kind=OutcomeKind.UNKNOWN)
    return answer


def _failed_whole(outcome: Outcome) -> bool:
    return (
        outcome.concerns_batch
        and outcome.kind in (OutcomeKind.DEFERRED, OutcomeKind.UNKNOWN)
        and outcome.reason != "split"
    )


def _is_refused_whole(outcomes: Sequence[Outcome]) -> bool:
    return all(outcome.kind is OutcomeKind.REJECTED and outcome.concerns_batch for outcome in outcomes)
