"""What ended without being delivered: listed, tried again, or given up by a person."""

from dataclasses import dataclass
from datetime import datetime

from activation.adapters.base import Capabilities
from activation.config import Sync
from activation.intents import count_run
from activation.ledger import Ledger, Transaction
from activation.outcomes import let_go
from activation.sql_files import read_sql
from activation.times import from_micros, to_micros

# rejected: never again with this payload; expired: given up after too many tries; in_doubt: not answered
STATES = ("rejected", "expired", "in_doubt")


@dataclass(frozen=True)
class DeadLetters:
    """The operations of one sync that ended alike and were not planned again since."""

    sync_name: str
    state: str
    reason: str | None
    operations: int
    oldest_at: datetime
    newest_at: datetime


@dataclass(frozen=True)
class DeadLetter:
    """One of them."""

    operation_id: str
    sync_run_id: str
    operation: str
    destination_key: str
    state: str
    reason: str | None


def dead_letters(
    ledger: Ledger, sync_name: str | None = None, *, sync_run_id: str | None = None
) -> list[DeadLetters]:
    """By sync, state and reason, of one sync or run, or of all."""
    with ledger.read() as connection:
        rows = connection.execute(
            read_sql("dead_letter_counts"), {"sync_name": sync_name, "sync_run_id": sync_run_id}
        ).fetchall()
    return [
        DeadLetters(name, state, reason, count, from_micros(oldest), from_micros(newest))
        for name, state, reason, count, oldest, newest in rows
    ]


def each_dead_letter(
    ledger: Ledger, sync_name: str, *, limit: int, sync_run_id: str | None = None
) -> list[DeadLetter]:
    """The newest of one sync or run, with raw keys: mask them before anybody sees them."""
    with ledger.read() as connection:
        rows = connection.execute(
            read_sql("dead_letter_rows"),
            {"sync_name": sync_name, "sync_run_id": sync_run_id, "limit": limit},
        ).fetchall()
    return [DeadLetter(*row) for row in rows]


def try_again(
    ledger: Ledger, sync_name: str, *, reason_code: str | None, now: datetime, sync_run_id: str | None = None
) -> int:
    """Let the next plan send what was rejected, with the rows as they are then; returns how many keys.

    Only what was rejected for that reason, and in that run, where they are given.
    """
    with ledger.write() as transaction:
        cursor = transaction.execute(
            "update outcomes set superseded_at = ?, ledger_seq = ? where operation_number in"
            " (select operation_number from dead_letters where sync_name = ? and state = 'rejected'"
            " and reason is not distinct from coalesce(?, reason)"
            " and sync_run_id = coalesce(?, sync_run_id))",
            (to_micros(now), transaction.ledger_seq, sync_name, reason_code, sync_run_id),
        )
        transaction.touch_changed_runs(sync_name)
        return cursor.rowcount


def give_up(
    ledger: Ledger, sync_name: str, *, reason_code: str | None, now: datetime, sync_run_id: str | None = None
) -> int:
    """Close what is in doubt without an answer: the next plan acts as if it might or might not be done.

    Only what is in doubt for that reason, and since that run, where they are given. The next plan sends again
    what is still wanted, and removes who is not: she may be there. A message is given up for good instead:
    nobody may get it twice because a person tidied up. Batches that still have a worker are left alone, and
    so is what was accepted and has time to be answered.
    Returns how many operations were closed.
    """
    with ledger.write() as transaction:
        cursor = transaction.execute(
            "update outcomes set state = 'cancelled', finished_at = ?,"
            " reason = 'discarded_' || coalesce(reason, 'in_doubt'), ledger_seq = ?"
            " where sync_name = ? and finished_at is null and state = 'in_doubt'"
            " and reason is not distinct from coalesce(?, reason)"
            " and batch_id in (select batch_id from batches where sync_name = ?"
            " and sync_run_id = coalesce(?, sync_run_id)"
            " and (state = 'unknown' or (state = 'settled' and accepted_at is not null)))",
            (to_micros(now), transaction.ledger_seq, sync_name, reason_code, sync_name, sync_run_id),
        )
        _forget_doubts(transaction, sync_name, now)
        return cursor.rowcount


def give_up_denied(ledger: Ledger, sync: Sync, capabilities: Capabilities, *, now: datetime) -> int:
    """Close what may have brought somebody there who is denied by now: the next plan removes her.

    Only what can have no effect any more, because all that was on its way there has ended. The rest of her
    batch stays as it is, and is only read back from then on. Returns how many were closed.
    """
    with ledger.read() as connection:
        is_any = connection.execute(
            "select 1 from batches where sync_name = ? and state = 'unknown'"
            " union all select 1 from batches where sync_name = ? and accepted_at is not null",
            (sync.name, sync.name),
        ).fetchone()
    if is_any is None:
        return 0
    ends_within = capabilities.read_back_settles + capabilities.resolves_within
    with ledger.write() as transaction:
        cursor = transaction.execute(
            read_sql("doubts_of_denied"),
            {
                "sync_name": sync.name,
                "channel": sync.channel,
                "sent_before": to_micros(now - ends_within),
                "accepted_before": to_micros(now - capabilities.resolves_within),
                "now": to_micros(now),
                "ledger_seq": transaction.ledger_seq,
            },
        )
        closed = cursor.rowcount
        if closed:
            _forget_doubts(transaction, sync.name, now)
        return closed


def _forget_doubts(transaction: Transaction, sync_name: str, now: datetime) -> None:
    """What follows for members and batches from the doubts that this transaction has closed."""
    values = {"sync_name": sync_name, "ledger_seq": transaction.ledger_seq, "now": to_micros(now)}
    changed_runs = transaction.execute(
        "select distinct sync_run_id from batches where sync_name = :sync_name"
        " and (state = 'unknown' or accepted_at is not null) and exists (select 1 from outcomes"
        " where outcomes.batch_id = batches.batch_id and outcomes.state = 'cancelled'"
        " and outcomes.ledger_seq = :ledger_seq)",
        values,
    ).fetchall()
    transaction.execute(read_sql("doubts_given_up"), values)
    transaction.execute(read_sql("doubts_let_go"), values)
    transaction.execute(
        read_sql("batches_without_receipts"), {"sync_name": sync_name, "ledger_seq": transaction.ledger_seq}
    )
    settled = transaction.execute(
        "update batches set state = 'settled', ledger_seq = ? where sync_name = ? and state = 'unknown'"
        " and not exists (select 1 from outcomes where outcomes.batch_id = batches.batch_id"
        " and outcomes.finished_at is null) returning batch_id",
        (transaction.ledger_seq, sync_name),
    ).fetchall()
    for (batch_id,) in settled:
        let_go(transaction, batch_id)
    for (sync_run_id,) in changed_runs:
        count_run(transaction, sync_run_id, now=now)
