"""Asks destinations that answer later what became of what they accepted, while a run's patience lasts."""

import itertools
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from activation.adapters.base import (
    DELIVERED,
    TELLS_NOTHING,
    Capabilities,
    Outcome,
    OutcomeKind,
    reason_of,
)
from activation.config import Sync
from activation.dead_letters import give_up_denied
from activation.delivery import deliver, recover
from activation.intents import finish_run
from activation.ledger import Ledger
from activation.outside import Delivery, Engine, OpenDestination, open_room
from activation.receipts import (
    Awaited,
    AwaitedBatch,
    awaited_batch,
    awaited_batches,
    record_answers,
    runs_with_accepted,
)
from activation.room import Failure, Room, RoomClosedError
from activation.stopping import StopExpiredError


async def settle_former(
    sync: Sync, *, ledger: Ledger, destination: OpenDestination, engine: Engine, room: Room | None = None
) -> Delivery:
    """What former runs left, before anything new is planned: unanswered batches, accepted operations.

    What nobody can settle waits for a person, but for those who are denied by now.

    The counts of the runs that they belong to are brought up to date, also where a worker was killed between
    an answer and the counting.
    """
    room = room or open_room(sync, destination, engine)
    result = await recover(sync, ledger=ledger, destination=destination, engine=engine, room=room)
    if result.stopped is None:
        result.add(
            await resolve_accepted(sync, ledger=ledger, destination=destination, engine=engine, room=room)
        )
    if result.stopped is None:
        give_up_denied(ledger, sync, destination.capabilities, now=engine.clock())
    for sync_run_id in sorted(result.sync_run_ids | runs_with_accepted(ledger, sync)):
        finish_run(ledger, sync_run_id, now=engine.clock())
    return result


async def deliver_and_wait(
    sync: Sync,
    *,
    ledger: Ledger,
    destination: OpenDestination,
    engine: Engine,
    sync_run_id: str,
    room: Room | None = None,
) -> Delivery:
    """Deliver a run, then ask for what is accepted until all is answered or the run's patience is over.

    What the destination put off meanwhile is delivered again. What has no answer at the end stays accepted: a
    later run asks again.
    """
    room = room or open_room(sync, destination, engine)
    result = await deliver(
        sync, ledger=ledger, destination=destination, engine=engine, sync_run_id=sync_run_id, room=room
    )
    waited = timedelta(0)
    for tries in itertools.count(1):
        if result.stopped is not None or not awaited_batches(ledger, sync, with_doubtful=False):
            break
        wait = max(engine.patience.wait(tries, sync_run_id), result.retry_after)
        if waited + wait > engine.patience.answers or engine.stop.asked is not None:
            break
        await engine.pause(wait)
        waited += wait
        result.retry_after = timedelta(0)
        answered = await resolve_accepted(
            sync, ledger=ledger, destination=destination, engine=engine, room=room, with_doubtful=False
        )
        result.add(answered)
        if answered.deferred and result.stopped is None:
            result.add(
                await deliver(
                    sync,
                    ledger=ledger,
                    destination=destination,
                    engine=engine,
                    sync_run_id=sync_run_id,
                    room=room,
                )
            )
    for former in sorted(result.sync_run_ids - {sync_run_id}):
        finish_run(ledger, former, now=engine.clock())
    return result


async def resolve_accepted(
    sync: Sync,
    *,
    ledger: Ledger,
    destination: OpenDestination,
    engine: Engine,
    room: Room | None = None,
    with_doubtful: bool = True,
) -> Delivery:
    """Ask once for every accepted operation of a sync, and record what is known.

    Asking changes nothing at the destination, so two workers may ask for the same receipt; the ledger takes
    the first answer. `with_doubtful`: ask also for what is in doubt, because its answer did not come in time.
    """
    room = room or open_room(sync, destination, engine)
    result = Delivery()
    for batch_id in awaited_batches(ledger, sync, with_doubtful=with_doubtful):
        waiting = awaited_batch(ledger, batch_id, with_doubtful=with_doubtful)
        if waiting is None:
            continue
        step = destination.capabilities.max_receipts
        for first in range(0, len(waiting.members), step):
            members = waiting.members[first : first + step]
            await _resolve(
                sync,
                waiting,
                members,
                result=result,
                ledger=ledger,
                destination=destination,
                engine=engine,
                room=room,
            )
            if result.stopped is not None or result.retry_after:
                return result
    return result


async def _resolve(
    sync: Sync,
    waiting: AwaitedBatch,
    members: Sequence[Awaited],
    *,
    result: Delivery,
    ledger: Ledger,
    destination: OpenDestination,
    engine: Engine,
    room: Room,
) -> None:
    """One status request, a read of what it does not tell, and the record of both."""
    adapter = destination.adapter
    receipts = [member.receipt for member in members]
    answers = await _ask(
        lambda: adapter.resolve(sync.target, receipts), result=result, engine=engine, room=room
    )
    if answers is None:
        return
    engine.at("after_resolve_answer")
    if len(answers) != len(members):
        answers = [TELLS_NOTHING] * len(members)
    can, age = destination.capabilities, engine.clock() - waiting.accepted_at
    asked = [
        member for member, answer in zip(members, answers, strict=True) if _is_read_back(answer, age, can)
    ]
    held: dict[int, Outcome] = {}
    if asked:
        batch = waiting.as_batch(sync, asked)
        read = await _ask(lambda: adapter.read_back(batch), result=result, engine=engine, room=room)
        held = {member.number: outcome for member, outcome in zip(asked, read or [], strict=read is not None)}
    known = [
        (member, found)
        for member, answer in zip(members, answers, strict=True)
        if (found := _known(member, answer, held.get(member.number), age, can)) is not None
    ]
    if known:
        engine.at("before_resolved_outcome")
        recorded = record_answers(
            ledger,
            sync,
            waiting.batch_id,
            known,
            now=engine.clock(),
            wait=engine.patience.wait(1, waiting.idempotency_key),
            max_attempts=engine.patience.operation_attempts,
        )
        result.note(recorded, waiting.sync_run_id)
        engine.at("after_resolved_outcome")
    if any(answer.stops_destination for answer in answers):
        room.close(reason_of(answers))
        result.stopped = room.breaker.given_up
    result.retry_after = max(
        answer.retry_after or timedelta(0) if answer.concerns_batch else timedelta(0) for answer in answers
    )


def _is_read_back(answer: Outcome, age: timedelta, can: Capabilities) -> bool:
    """Whether an answer leaves something open that the destination may be asked now in another way."""
    if not can.can_read_back or answer.kind not in (OutcomeKind.ACCEPTED, OutcomeKind.UNKNOWN):
        return False
    return age >= can.resolves_within or (answer.kind is OutcomeKind.UNKNOWN and age >= can.read_back_settles)


def _known(
    member: Awaited, answer: Outcome, held: Outcome | None, age: timedelta, can: Capabilities
) -> Outcome | None:
    """What an answer, and what the destination holds, make of an accepted operation; None: it waits on.

    A receipt that is not known may not be known yet, and what is not there may be on its way: neither is
    believed before its time. A destination that says it still works on it is believed: then nothing is ever
    sent again without a person.
    """
    if answer.kind in (OutcomeKind.DELIVERED, OutcomeKind.REJECTED, OutcomeKind.DEFERRED):
        return answer
    if held is not None and held.kind is OutcomeKind.DELIVERED:
        return DELIVERED
    is_forgotten = answer.kind is OutcomeKind.UNKNOWN
    is_lost = is_forgotten and age >= can.read_back_settles and not can.can_read_back
    if age < can.resolves_within and not is_lost:
        return None
    is_worked_on = answer.kind is OutcomeKind.ACCEPTED and not answer.concerns_batch
    if held is not None and held.kind is OutcomeKind.DEFERRED and not is_worked_on:
        return held
    if is_forgotten:
        doubt = answer.reason or "receipt_forgotten"
    else:
        doubt = "not_finished_in_time" if is_worked_on else "no_answer_in_time"
    return None if member.doubt == doubt else Outcome(OutcomeKind.UNKNOWN, doubt)


async def _ask(
    question: Callable[[], Awaitable[Sequence[Outcome]]], *, result: Delivery, engine: Engine, room: Room
) -> Sequence[Outcome] | None:
    """What a destination answers when there is room for the question; None when the run stops before.

    An answer that concerns the whole request, and tells nothing of its rows, counts as a failure.
    """
    try:
        entry = await room.enter()
    except RoomClosedError as closed:
        result.stopped = str(closed)
        return None
    engine.at("before_resolve")
    try:
        answers = await engine.stop.within_budget(question())
    except StopExpiredError:
        result.stopped = engine.stop.reason
        return None
    except Exception:
        room.leave(entry, is_unsent=True)
        raise
    is_down = all(
        answer.concerns_batch and answer.kind in (OutcomeKind.ACCEPTED, OutcomeKind.UNKNOWN)
        for answer in answers
    )
    room.leave(entry, failure=Failure.told_by(answers) if is_down and answers else None)
    return answers
