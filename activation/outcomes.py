"""Records what a destination answered. Only `delivered` advances the acknowledged state."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from activation.adapters.base import Outcome, OutcomeKind
from activation.claims import ClaimedBatch
from activation.intents import LEAVING
from activation.ledger import Ledger, Transaction
from activation.sql_files import read_sql
from activation.times import to_micros


@dataclass(frozen=True)
class Recorded:
    """How one attempt ended. `is_late`: the lease had been lost, so the answer was only kept as evidence."""

    delivered: int = 0
    accepted: int = 0
    rejected: int = 0
    deferred: int = 0
    unknown: int = 0
    is_late: bool = False


def record(
    ledger: Ledger,
    claimed: ClaimedBatch,
    outcomes: Sequence[Outcome],
    *,
    now: datetime,
    wait: timedelta,
    max_attempts: int,
) -> Recorded:
    """Write one outcome per operation in one transaction, if the token is still ours.

    While any outcome is unknown the batch stays whole, so that the same key can carry the same body again. A
    deferred operation may be claimed again after its own `retry_after`, else after `wait`; one that was
    deferred `max_attempts` times for its own fault is given up as a dead letter (state `expired`). An
    accepted one keeps its receipt until `receipts` closes it; one without a receipt is unknown.
    """
    members = claimed.batch.operations
    outcomes = [_with_receipt(outcome) for outcome in outcomes]
    if len(outcomes) != len(members):
        raise ValueError(f"expected one outcome for each of {len(members)} operations, found {len(outcomes)}")
    counts = {kind: sum(outcome.kind is kind for outcome in outcomes) for kind in OutcomeKind}
    recorded = Recorded(
        delivered=counts[OutcomeKind.DELIVERED],
        accepted=counts[OutcomeKind.ACCEPTED],
        rejected=counts[OutcomeKind.REJECTED],
        deferred=counts[OutcomeKind.DEFERRED],
        unknown=counts[OutcomeKind.UNKNOWN],
    )
    with ledger.write() as transaction:
        owned = transaction.execute(
            "select 1 from batches where batch_id = ? and token = ? and state = 'in_flight'",
            (claimed.batch.batch_id, claimed.token),
        ).fetchone()
        reason = next((outcome.reason for outcome in outcomes if outcome.reason), None)
        found = replace(recorded, is_late=owned is None)
        note_attempt(transaction, claimed.batch.batch_id, claimed.token, found, reason=reason, now=now)
        if owned is None:
            return Recorded(is_late=True)
        _record_each(transaction, claimed, outcomes, now=now, wait=wait, max_attempts=max_attempts)
        batch_id = claimed.batch.batch_id
        acknowledge(transaction, batch_id, keeps_payloads=claimed.keeps_payloads, now=now)
        _settle(transaction, batch_id, recorded, now)
    return recorded


def _record_each(
    transaction: Transaction,
    claimed: ClaimedBatch,
    outcomes: Sequence[Outcome],
    *,
    now: datetime,
    wait: timedelta,
    max_attempts: int,
) -> None:
    """Write what fared otherwise than its batch, which stands for all others: they are delivered with it."""
    batch_id = claimed.batch.batch_id
    has_unknown = any(outcome.kind is OutcomeKind.UNKNOWN for outcome in outcomes)
    stamp = {"batch_id": batch_id, "ledger_seq": transaction.ledger_seq}
    changes = []
    delivered = []
    for number, operation, outcome in zip(claimed.numbers, claimed.batch.operations, outcomes, strict=True):
        if outcome.kind is OutcomeKind.DELIVERED:
            delivered.append(number)
            continue
        state, not_before, finished_at = _next_state(outcome, has_unknown=has_unknown, now=now, wait=wait)
        changes.append(
            {
                **stamp,
                "operation_number": number,
                "lane": int(operation.kind not in LEAVING),
                "state": state,
                "reason": storable(outcome.reason),
                "receipt": storable(outcome.receipt),
                "attempt": int(not outcome.concerns_batch and outcome.kind is not OutcomeKind.ACCEPTED),
                "not_before": not_before,
                "finished_at": finished_at,
            }
        )
    if changes:
        transaction.connection.executemany(read_sql("outcome_update"), changes)
        give_up(transaction, batch_id, max_attempts=max_attempts, now=now)
    transaction.execute(
        "update batches set answered_at = ?, answered_seq = ? where batch_id = ? and answered_at is null",
        (to_micros(now), transaction.ledger_seq, batch_id),
    )
    if delivered and _has_outcomes(transaction, batch_id):
        transaction.connection.executemany(
            read_sql("outcome_delivered"),
            [{**stamp, "operation_number": number, "now": to_micros(now)} for number in delivered],
        )


def _has_outcomes(transaction: Transaction, batch_id: int) -> bool:
    row = transaction.execute("select 1 from outcomes where batch_id = ? limit 1", (batch_id,)).fetchone()
    return row is not None


def _with_receipt(outcome: Outcome) -> Outcome:
    """The same, unless nobody could ever ask what became of it."""
    if outcome.kind is OutcomeKind.ACCEPTED and not outcome.receipt:
        return replace(outcome, kind=OutcomeKind.UNKNOWN, reason="accepted_without_receipt")
    return outcome


def _next_state(
    outcome: Outcome, *, has_unknown: bool, now: datetime, wait: timedelta
) -> tuple[str, int, int | None]:
    """State, earliest next claim, and end of an operation after this outcome."""
    if outcome.kind in (OutcomeKind.DELIVERED, OutcomeKind.REJECTED):
        return outcome.kind.value, 0, to_micros(now)
    if outcome.kind is OutcomeKind.ACCEPTED:
        return "accepted", 0, None
    if outcome.kind is OutcomeKind.UNKNOWN or has_unknown:
        return "in_doubt", 0, None
    return "deferred", to_micros(now + (wait if outcome.retry_after is None else outcome.retry_after)), None


def _settle(transaction: Transaction, batch_id: int, recorded: Recorded, now: datetime) -> None:
    is_settled = recorded.unknown == 0
    transaction.execute(
        read_sql("batch_settle"),
        {
            "batch_id": batch_id,
            "state": "settled" if is_settled else "unknown",
            "accepted_now": to_micros(now) if recorded.accepted else None,
            "ledger_seq": transaction.ledger_seq,
        },
    )
    touch_run_of(transaction, batch_id)
    if is_settled:
        let_go(transaction, batch_id)


def give_up(transaction: Transaction, batch_id: int, *, max_attempts: int, now: datetime) -> None:
    """Make a dead letter of what was put off too often."""
    transaction.execute(
        read_sql("dead_letters"),
        {
            "batch_id": batch_id,
            "max_attempts": max_attempts,
            "finished_at": to_micros(now),
            "ledger_seq": transaction.ledger_seq,
        },
    )


def acknowledge(transaction: Transaction, batch_id: int, *, keeps_payloads: bool, now: datetime) -> None:
    """Bring the acknowledged state to what this transaction marked delivered."""
    values = {
        "batch_id": batch_id,
        "ledger_seq": transaction.ledger_seq,
        "now": to_micros(now),
        "keeps_payloads": keeps_payloads,
    }
    if keeps_payloads:
        transaction.execute(read_sql("acknowledge_former"), values)
    transaction.execute(read_sql("acknowledge_writes"), values)
    transaction.execute(read_sql("acknowledge_removals_note"), values)
    transaction.execute(read_sql("acknowledge_removals"), values)


def touch_run_of(transaction: Transaction, batch_id: int) -> None:
    """Stamp the run of a batch; while something of the batch is put off, the run has not ended."""
    transaction.execute(
        "update sync_runs set ledger_seq = ?, finished_at = case when exists (select 1 from outcomes"
        " where batch_id = ? and state = 'deferred') then null else finished_at end where sync_run_id ="
        " (select sync_run_id from batches where batch_id = ?)",
        (transaction.ledger_seq, batch_id, batch_id),
    )


def let_go(transaction: Transaction, batch_id: int) -> None:
    """What a batch that need not stay whole keeps no longer: caps, payloads, members that were put off."""
    transaction.execute(
        "delete from cap_uses where operation_id in (select operation_id from outcomes inner join intents"
        " on intents.operation_number = outcomes.operation_number"
        " where batch_id = ? and state in ('rejected', 'deferred', 'expired'))",
        (batch_id,),
    )
    transaction.execute(read_sql("members_let_go"), {"batch_id": batch_id})
    transaction.execute(
        "update outcomes set batch_id = null, receipt = null where batch_id = ? and state = 'deferred'",
        (batch_id,),
    )


def note_attempt(
    transaction: Transaction,
    batch_id: int,
    token: int,
    recorded: Recorded,
    *,
    reason: str | None,
    now: datetime,
) -> None:
    """Keep what an attempt, or a look at its receipts, answered."""
    transaction.execute(
        "insert into attempts values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            batch_id, token, to_micros(now), recorded.delivered, recorded.accepted, recorded.rejected,
            recorded.deferred, recorded.unknown, storable(reason), int(recorded.is_late),
            transaction.ledger_seq,
        ),
    )  # fmt: skip


def storable(text: str | None) -> str | None:
    """A destination's own words without what PostgreSQL keeps in no text: unkept, an answer blocks all."""
    return None if text is None else text.replace("\0", "\N{REPLACEMENT CHARACTER}")
