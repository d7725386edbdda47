"""Records what a destination answered. Only `delivered` advances the acknowledged state."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from activation.adapters.base import Outcome, OutcomeKind
from activation.claims import ClaimedBatch
from activation.ledger import Ledger, Transaction
from activation.sql_files import read_sql
from activation.times import to_micros


@dataclass(frozen=True)
class Recorded:
    """How one attempt ended. `is_late`: the lease had been lost, so the answer was only kept as evidence."""

    delivered: int = 0
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
    deferred `max_attempts` times for its own fault is given up as a dead letter (state `expired`).
    """
    members = claimed.batch.operations
    if len(outcomes) != len(members):
        raise ValueError(f"expected one outcome for each of {len(members)} operations, found {len(outcomes)}")
    counts = {kind: sum(outcome.kind is kind for outcome in outcomes) for kind in OutcomeKind}
    recorded = Recorded(
        delivered=counts[OutcomeKind.DELIVERED] + counts[OutcomeKind.ACCEPTED],
        rejected=counts[OutcomeKind.REJECTED],
        deferred=counts[OutcomeKind.DEFERRED],
        unknown=counts[OutcomeKind.UNKNOWN],
    )
    with ledger.write() as transaction:
        owned = transaction.execute(
            "select 1 from batches where batch_id = ? and token = ? and state = 'in_flight'",
            (claimed.batch.batch_id, claimed.token),
        ).fetchone()
        _note_attempt(transaction, claimed, recorded, outcomes, is_late=owned is None, now=now)
        if owned is None:
            return Recorded(is_late=True)
        if counts[OutcomeKind.DELIVERED] == len(members):
            transaction.execute(
                read_sql("outcome_delivered"),
                {
                    "batch_id": claimed.batch.batch_id,
                    "now": to_micros(now),
                    "ledger_seq": transaction.ledger_seq,
                },
            )
        else:
            _record_each(transaction, claimed, outcomes, now=now, wait=wait, max_attempts=max_attempts)
        _acknowledge(transaction, claimed, now)
        _settle(transaction, claimed, is_settled=recorded.unknown == 0)
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
    batch_id = claimed.batch.batch_id
    has_unknown = any(outcome.kind is OutcomeKind.UNKNOWN for outcome in outcomes)
    changes = []
    for number, outcome in zip(claimed.numbers, outcomes, strict=True):
        state, not_before, finished_at = _next_state(outcome, has_unknown=has_unknown, now=now, wait=wait)
        changes.append(
            {
                "batch_id": batch_id,
                "operation_number": number,
                "state": state,
                "reason": outcome.reason,
                "receipt": outcome.receipt,
                "attempt": 0 if outcome.concerns_batch else 1,
                "not_before": not_before,
                "finished_at": finished_at,
                "ledger_seq": transaction.ledger_seq,
            }
        )
    transaction.connection.executemany(read_sql("outcome_update"), changes)
    transaction.execute(
        read_sql("dead_letters"),
        {
            "batch_id": batch_id,
            "max_attempts": max_attempts,
            "finished_at": to_micros(now),
            "ledger_seq": transaction.ledger_seq,
        },
    )


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


def _acknowledge(transaction: Transaction, claimed: ClaimedBatch, now: datetime) -> None:
    """Bring the acknowledged state to what this transaction marked delivered."""
    values = {
        "batch_id": claimed.batch.batch_id,
        "ledger_seq": transaction.ledger_seq,
        "now": to_micros(now),
        "keeps_payloads": claimed.keeps_payloads,
    }
    if claimed.keeps_payloads:
        transaction.execute(read_sql("acknowledge_former"), values)
    transaction.execute(read_sql("acknowledge_writes"), values)
    transaction.execute(read_sql("acknowledge_removals_note"), values)
    transaction.execute(read_sql("acknowledge_removals"), values)


def _settle(transaction: Transaction, claimed: ClaimedBatch, *, is_settled: bool) -> None:
    batch_id = claimed.batch.batch_id
    transaction.execute(
        "update batches set state = ?, ledger_seq = ? where batch_id = ?",
        ("settled" if is_settled else "unknown", transaction.ledger_seq, batch_id),
    )
    transaction.execute(
        "update sync_runs set ledger_seq = ?, finished_at = case when exists (select 1 from operations"
        " where batch_id = ? and state = 'deferred') then null else finished_at end where sync_run_id ="
        " (select sync_run_id from batches where batch_id = ?)",
        (transaction.ledger_seq, batch_id, batch_id),
    )
    if not is_settled:
        return
    transaction.execute(
        "delete from cap_uses where operation_id in (select operation_id from operations"
        " where batch_id = ? and state in ('rejected', 'deferred', 'expired'))",
        (batch_id,),
    )
    transaction.execute(
        "update operations set payload = null where batch_id = ? and payload is not null"
        " and state in ('delivered', 'rejected', 'expired')",
        (batch_id,),
    )
    transaction.execute(
        "update operations set batch_id = null where batch_id = ? and state = 'deferred'",
        (batch_id,),
    )


def _note_attempt(
    transaction: Transaction,
    claimed: ClaimedBatch,
    recorded: Recorded,
    outcomes: Sequence[Outcome],
    *,
    is_late: bool,
    now: datetime,
) -> None:
    reason = next((outcome.reason for outcome in outcomes if outcome.reason), None)
    transaction.execute(
        "insert into attempts values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            claimed.batch.batch_id, claimed.token, to_micros(now), recorded.delivered, recorded.rejected,
            recorded.deferred, recorded.unknown, reason, int(is_late),
        ),
    )  # fmt: skip
