"""What a destination accepted and has not acknowledged: kept with its receipt until an answer closes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from activation.adapters.base import (
    KINDS,
    Batch,
    Capabilities,
    Operation,
    Outcome,
    OutcomeKind,
    Receipt,
)
from activation.config import Sync
from activation.ledger import Ledger, Transaction
from activation.outcomes import Recorded, acknowledge, give_up, let_go, note_attempt, storable, touch_run_of
from activation.sql_files import read_sql
from activation.times import from_micros, to_micros

STATES = {
    OutcomeKind.DELIVERED: "delivered",
    OutcomeKind.REJECTED: "rejected",
    OutcomeKind.DEFERRED: "deferred",
    OutcomeKind.UNKNOWN: "in_doubt",
}


@dataclass(frozen=True)
class Awaited:
    """One accepted operation without an answer; `doubt` is why it is in doubt, None while it is accepted."""

    number: int
    receipt: Receipt
    doubt: str | None


@dataclass(frozen=True)
class AwaitedBatch:
    """The operations of one batch that have no answer yet, in order of number."""

    batch_id: int
    idempotency_key: str
    sync_run_id: str
    run_number: int
    accepted_at: datetime
    members: tuple[Awaited, ...]

    def as_batch(self, sync: Sync, members: Sequence[Awaited]) -> Batch:
        """Some of its operations, to be read back."""
        operations = tuple(member.receipt.operation for member in members)
        return Batch(self.batch_id, self.idempotency_key, self.run_number, sync.target, operations)


def awaited_batches(ledger: Ledger, sync: Sync, *, with_doubtful: bool) -> list[int]:
    """Ids of the batches of a sync that hold unanswered receipts, oldest first.

    `with_doubtful`: also those that are in doubt by now, because no answer came in time.
    """
    with ledger.read() as connection:
        rows = connection.execute(
            read_sql("awaited_batches"), {"sync_name": sync.name, "or_state": _or_state(with_doubtful)}
        ).fetchall()
    return [batch_id for (batch_id,) in rows]


def awaited_batch(ledger: Ledger, batch_id: int, *, with_doubtful: bool) -> AwaitedBatch | None:
    """The unanswered receipts of one batch; None when there are none any more."""
    with ledger.read() as connection:
        rows = connection.execute(
            read_sql("awaited_operations"), {"batch_id": batch_id, "or_state": _or_state(with_doubtful)}
        ).fetchall()
        batch = connection.execute(
            "select idempotency_key, batches.sync_run_id, run_number, accepted_at from batches inner join"
            " sync_runs on sync_runs.sync_run_id = batches.sync_run_id where batch_id = ?"
            " and accepted_at is not null",
            (batch_id,),
        ).fetchone()
    if not rows or batch is None:
        return None
    key, sync_run_id, run_number, accepted_at = batch
    members = tuple(
        Awaited(
            number,
            Receipt(text, Operation(identity, KINDS[kind], destination_key, payload)),
            doubt=(reason or "") if state == "in_doubt" else None,
        )
        for number, identity, kind, destination_key, payload, text, state, reason in rows
    )
    return AwaitedBatch(batch_id, key, sync_run_id, run_number, from_micros(accepted_at), members)


def runs_with_accepted(ledger: Ledger, sync: Sync) -> set[str]:
    """Runs of a sync whose counts say that something is accepted: they may be older than the answers."""
    with ledger.read() as connection:
        rows = connection.execute(
            "select sync_run_id from sync_runs where sync_name = ? and accepted > 0", (sync.name,)
        ).fetchall()
    return {sync_run_id for (sync_run_id,) in rows}


def record_answers(
    ledger: Ledger,
    sync: Sync,
    batch_id: int,
    answers: Sequence[tuple[Awaited, Outcome]],
    *,
    now: datetime,
    wait: timedelta,
    max_attempts: int,
) -> Recorded:
    """Close accepted operations in one transaction, under the same rules as `outcomes.record`.

    An unknown answer makes it in doubt; the receipt stays, so it can be asked for again. A deferred one may
    be claimed again, in another batch with another key; of a batch that must stay whole, because some of its
    members were never answered, it waits for them. What another worker closed meanwhile stays as it is, and
    is not counted.
    """
    counts = dict.fromkeys(STATES, 0)
    with ledger.write() as transaction:
        state, token = transaction.execute(
            "select state, token from batches where batch_id = ?", (batch_id,)
        ).fetchone()
        for kind in STATES:
            if kind is OutcomeKind.DEFERRED and state != "settled":
                continue
            of_kind = [(member, answer) for member, answer in answers if answer.kind is kind]
            if of_kind:
                changes = [_change(transaction, batch_id, *each, now=now, wait=wait) for each in of_kind]
                cursor = transaction.connection.executemany(read_sql("receipt_outcome"), changes)
                counts[kind] = cursor.rowcount
        recorded = Recorded(
            delivered=counts[OutcomeKind.DELIVERED],
            rejected=counts[OutcomeKind.REJECTED],
            deferred=counts[OutcomeKind.DEFERRED],
            unknown=counts[OutcomeKind.UNKNOWN],
        )
        if not any(counts.values()):
            return recorded
        reason = next((answer.reason for _, answer in answers if answer.reason), None)
        note_attempt(transaction, batch_id, token, recorded, reason=reason, now=now)
        give_up(transaction, batch_id, max_attempts=max_attempts, now=now)
        acknowledge(transaction, batch_id, keeps_payloads=sync.undo_days > 0, now=now)
        (state,) = transaction.execute(
            read_sql("batch_answered"), {"batch_id": batch_id, "ledger_seq": transaction.ledger_seq}
        ).fetchone()
        touch_run_of(transaction, batch_id)
        if state == "settled":
            let_go(transaction, batch_id)
    return recorded


def believed(
    outcomes: Sequence[Outcome], *, sent_at: datetime, capabilities: Capabilities, now: datetime
) -> Sequence[Outcome]:
    """What reading back says about a request that was never answered.

    The destination may have accepted it: as long as it may still be doing it, "not there" is not believed.
    """
    if now >= sent_at + capabilities.resolves_within:
        return outcomes
    return [
        Outcome(OutcomeKind.UNKNOWN, "may_be_accepted", concerns_batch=True)
        if outcome.kind is OutcomeKind.DEFERRED
        else outcome
        for outcome in outcomes
    ]


def _change(
    transaction: Transaction,
    batch_id: int,
    member: Awaited,
    answer: Outcome,
    *,
    now: datetime,
    wait: timedelta,
) -> dict[str, object]:
    is_closed = answer.kind in (OutcomeKind.DELIVERED, OutcomeKind.REJECTED)
    is_deferred = answer.kind is OutcomeKind.DEFERRED
    not_before = now + (wait if answer.retry_after is None else answer.retry_after)
    return {
        "state": STATES[answer.kind],
        "reason": storable(answer.reason),
        # each answer counts as an attempt: sent again, it needs a key that nobody has answered
        "attempt": int(is_closed or is_deferred),
        "not_before": to_micros(not_before) if is_deferred else 0,
        "finished_at": to_micros(now) if is_closed else None,
        "ledger_seq": transaction.ledger_seq,
        "operation_number": member.number,
        "batch_id": batch_id,
        "receipt": member.receipt.text,
    }


def _or_state(with_doubtful: bool) -> str:
    return "in_doubt" if with_doubtful else "accepted"
