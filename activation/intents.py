"""Turns a plan into durable intents, and closes a sync run with its counts."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from activation.adapters.base import OperationKind
from activation.config import Sync
from activation.errors import PlanOutdatedError
from activation.ledger import Ledger, Transaction
from activation.sql_files import read_sql
from activation.times import to_micros

LEAVING = frozenset({OperationKind.REMOVE, OperationKind.ERASE})  # what travels in the first lane


class PlannedOperation(NamedTuple):
    """One line of a plan. `payload` is None for what leaves; its hash is then the acknowledged one.

    `lives_micros` is how long from now on a message may still leave; None where the operation never expires.
    """

    kind: OperationKind
    destination_key: str
    canonical_id: str | None
    identifier_key: str | None
    payload: str | None
    payload_hash: str
    lives_micros: int | None = None


@dataclass(frozen=True)
class SyncRun:
    """One execution of a sync, as the ledger knows it; `is_resumed` if a former one is carried on."""

    sync_run_id: str
    run_number: int
    is_resumed: bool


@dataclass(frozen=True)
class RunCounts:
    """Where the operations of one run stand now."""

    delivered: int
    rejected: int
    suppressed: int
    deferred: int
    accepted: int
    in_doubt: int
    reasons: dict[str, dict[str, int]]


def open_run(
    ledger: Ledger,
    sync: Sync,
    operations: Iterable[PlannedOperation],
    *,
    count: int,
    plan_hash: str,
    planned_at_seq: int,
    made_of: Mapping[str, str],
    now: datetime,
    plan_id: str | None = None,
    forgotten: Sequence[str] = (),
    noted: Sequence[tuple[str, str, str]] | None = None,
    undoes: str | None = None,
    beside: Callable[[Transaction, SyncRun], None] = lambda _, __: None,
) -> SyncRun | None:
    """Write every intent of a plan in one transaction, instead of whatever former runs left undone.

    `operations` come with removals and erasures first, as they are claimed; ValueError for another order.
    An interrupted run of the same plan is carried on with the same operation ids. Returns None when there is
    nothing to do (`count` is 0), and then writes nothing if nothing was left undone. `forgotten` keys leave
    the acknowledged state. `noted`, (key, canonical id, identifier key) of occurrences that need no message,
    enter it; given an empty one too, a run without operations says that the sync has begun. The stored plan
    `plan_id` is noted as applied. Raises PlanOutdatedError when the sync's operations moved since
    `planned_at_seq`. `undoes` is the run that this one takes back; `beside` is written in the same
    transaction.
    """
    if (
        count == 0
        and not forgotten
        and noted is None
        and plan_id is None
        and not has_open_intents(ledger, sync.name)
    ):
        return None
    with ledger.write() as transaction:
        _refuse_if_moved(transaction, sync.name, planned_at_seq)
        _forget(transaction, sync.name, forgotten)
        resumed = _resumable_run(transaction, sync.name, plan_hash)
        if resumed is not None:
            _note_applied(transaction, plan_id, resumed.sync_run_id)
            return resumed
        expiries = _open_expiries(transaction, sync.name)
        _cancel_former(transaction, sync.name, now)
        (run_number,) = transaction.execute(
            "select coalesce(max(run_number), 0) + 1 from sync_runs where sync_name = ?", (sync.name,)
        ).fetchone()
        run = SyncRun(f"{sync.name}-{run_number:06d}", run_number, is_resumed=False)
        (before,) = transaction.execute("select coalesce(max(operation_number), 0) from intents").fetchone()
        (ledger_id,) = transaction.execute("select ledger_id from ledger_identity").fetchone()
        counts = dict.fromkeys(OperationKind, 0)
        transaction.connection.executemany(
            read_sql("intent_insert"),
            _intent_rows(
                operations,
                sync,
                run,
                first=before + 1,
                occurrence=f"{ledger_id}:{run_number}",
                counts=counts,
                now=now,
                expiries=expiries,
            ),
        )
        _note(transaction, sync.name, noted or (), now)
        if not any(counts.values()) and noted is None:
            _note_applied(transaction, plan_id, None)
            return None
        _note_applied(transaction, plan_id, run.sync_run_id)
        transaction.execute(
            read_sql("sync_run_insert"),
            {
                "sync_run_id": run.sync_run_id,
                "sync_name": sync.name,
                "run_number": run_number,
                "destination": sync.destination.name,
                "list_name": sync.target.list_name,
                "channel": sync.channel,
                "plan_id": plan_id,
                "plan_hash": plan_hash,
                "definition_hash": sync.definition_hash,
                "made_of": json.dumps(made_of, sort_keys=True),
                "planned_at": to_micros(now),
                "undo_until": undo_until(sync, now),
                "undoes": undoes,
                "first_operation": before + 1,
                "first_write": before + 1 + sum(counts[kind] for kind in LEAVING),
                "last_operation": before + sum(counts.values()),
                "adds": counts[OperationKind.ADD],
                "updates": counts[OperationKind.UPDATE],
                "removes": counts[OperationKind.REMOVE],
                "erases": counts[OperationKind.ERASE],
                "sends": counts[OperationKind.SEND],
                "ledger_seq": transaction.ledger_seq,
            },
        )
        _refuse_if_unsettled(transaction, sync.name, run.sync_run_id)
        superseded = transaction.execute(
            read_sql("supersede"),
            {
                "sync_name": sync.name,
                "sync_run_id": run.sync_run_id,
                "now": to_micros(now),
                "ledger_seq": transaction.ledger_seq,
            },
        ).rowcount
        if superseded:
            transaction.touch_changed_runs(sync.name)
        beside(transaction, run)
        return run


def has_open_intents(ledger: Ledger, sync_name: str) -> bool:
    """Whether anything of a sync can be claimed, now or later."""
    with ledger.read() as connection:
        row = connection.execute(
            "select 1 from sync_runs where sync_name = ? and rest = 'planned'"
            " union all select 1 from outcomes where sync_name = ? and state = 'deferred' limit 1",
            (sync_name, sync_name),
        ).fetchone()
    return row is not None


def end_unclaimed(
    transaction: Transaction, sync_name: str, *, state: str, reason: str, now: datetime
) -> None:
    """Close whatever of a sync could still be claimed, and drop its payloads; for most the run says it."""
    values = {
        "sync_name": sync_name,
        "state": state,
        "reason": reason,
        "now": to_micros(now),
        "ledger_seq": transaction.ledger_seq,
    }
    transaction.execute(
        f"update intents set payload = null where operation_number in ({read_sql('intents_unclaimed')})",
        values,
    )
    transaction.execute(
        "update sync_runs set rest = :state, rest_reason = :reason, rest_at = :now, rest_seq = :ledger_seq,"
        " ledger_seq = :ledger_seq where sync_name = :sync_name and rest = 'planned'",
        values,
    )
    put_off = transaction.execute(
        "update outcomes set state = :state, reason = :reason, finished_at = :now, ledger_seq = :ledger_seq"
        " where sync_name = :sync_name and state = 'deferred'",
        values,
    ).rowcount
    if put_off:
        transaction.touch_changed_runs(sync_name)


def undo_until(sync: Sync, now: datetime) -> int | None:
    """Until when a run that starts now can be undone, as the ledger keeps it."""
    return to_micros(now + timedelta(days=sync.undo_days)) if sync.undo_days else None


def finish_run(ledger: Ledger, sync_run_id: str, *, now: datetime) -> RunCounts:
    """Close the run when none of its operations can still be claimed; store and return its counts.

    Asked again when an answer came later: the counts are new, the moment of the end stays.
    """
    with ledger.write() as transaction:
        return count_run(transaction, sync_run_id, now=now)


def count_run(transaction: Transaction, sync_run_id: str, *, now: datetime) -> RunCounts:
    """The same, in a transaction that changed the run's operations."""
    rows = transaction.execute(read_sql("run_counts"), {"sync_run_id": sync_run_id}).fetchall()
    totals: dict[str, int] = {}
    reasons: dict[str, dict[str, int]] = {}
    for state, reason, count in rows:
        totals[state] = totals.get(state, 0) + count
        if reason is not None:
            by_reason = reasons.setdefault(state, {})
            by_reason[reason] = by_reason.get(reason, 0) + count
    counts = RunCounts(
        delivered=totals.get("delivered", 0),
        rejected=totals.get("rejected", 0) + totals.get("expired", 0),
        suppressed=totals.get("suppressed", 0),
        deferred=totals.get("deferred", 0) + totals.get("planned", 0),
        accepted=totals.get("accepted", 0),
        in_doubt=totals.get("in_doubt", 0) + totals.get("in_flight", 0),
        reasons=reasons,
    )
    transaction.execute(
        "update sync_runs set delivered = ?, rejected = ?, suppressed = ?, deferred = ?, accepted = ?,"
        " in_doubt = ?, finished_at = case when ? = 0 then coalesce(finished_at, ?) end, ledger_seq = ?"
        " where sync_run_id = ?",
        (
            counts.delivered, counts.rejected, counts.suppressed, counts.deferred, counts.accepted,
            counts.in_doubt, counts.deferred, to_micros(now), transaction.ledger_seq, sync_run_id,
        ),
    )  # fmt: skip
    return counts


def operation_id(sync_name: str, operation: PlannedOperation, occurrence: str) -> str:
    """Stable name of one operation; `occurrence` names the ledger and the run.

    A plan carried on after a crash gives the same name. A new ledger never repeats the names of a lost one: a
    destination would answer them from memory.
    """
    text = "\0".join(
        (sync_name, operation.destination_key, operation.kind, operation.payload_hash, occurrence)
    )
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _note_applied(transaction: Transaction, plan_id: str | None, sync_run_id: str | None) -> None:
    if plan_id is not None:
        transaction.execute(
            "update plans set state = 'applied', state_reason = ?, sync_run_id = ?, ledger_seq = ?"
            " where plan_id = ?",
            (sync_run_id or "nothing was left to do", sync_run_id, transaction.ledger_seq, plan_id),
        )


def _forget(transaction: Transaction, sync_name: str, keys: Sequence[str]) -> None:
    """Take keys out of the acknowledged state without an operation."""
    transaction.connection.executemany(
        "insert into acknowledged_removals (sync_name, destination_key, ledger_seq) values (?, ?, ?)",
        [(sync_name, key, transaction.ledger_seq) for key in keys],
    )
    transaction.connection.executemany(
        "delete from acknowledged where sync_name = ? and destination_key = ?",
        [(sync_name, key) for key in keys],
    )


def _note(
    transaction: Transaction, sync_name: str, occurrences: Sequence[tuple[str, str, str]], now: datetime
) -> None:
    """Bring occurrences that need no message into the acknowledged state."""
    transaction.connection.executemany(
        read_sql("occurrence_note"),
        [
            (sync_name, key, canonical_id, identifier_key, to_micros(now), transaction.ledger_seq)
            for key, canonical_id, identifier_key in occurrences
        ],
    )


def _open_expiries(transaction: Transaction, sync_name: str) -> dict[str, int]:
    """Key -> expiry of messages that were planned and have not left; planned again, none gets more time."""
    return dict(
        transaction.execute(
            "select destination_key, expires_at from intents where expires_at is not null"
            f" and operation_number in ({read_sql('intents_unclaimed')})",
            {"sync_name": sync_name},
        ).fetchall()
    )


def _refuse_if_moved(transaction: Transaction, sync_name: str, planned_at_seq: int) -> None:
    moved = transaction.execute(
        "select 1 from batches where sync_name = ? and ledger_seq > ? limit 1", (sync_name, planned_at_seq)
    ).fetchone()
    if moved:
        raise PlanOutdatedError(
            f"Sync {sync_name!r} was delivered by another process after this plan was made; nothing was "
            "written. "
            "Plan again."
        )


def _refuse_if_unsettled(transaction: Transaction, sync_name: str, sync_run_id: str) -> None:
    """Nothing is sent twice side by side: at most one operation per key may be without an answer."""
    unsettled = transaction.execute(
        "select 1 from unsettled where sync_name = ? and exists (select 1 from intents where sync_run_id = ?"
        " and intents.destination_key = unsettled.destination_key) limit 1",
        (sync_name, sync_run_id),
    ).fetchone()
    if unsettled:
        raise PlanOutdatedError(
            f"Sync {sync_name!r} plans a key whose last operation has no answer yet; nothing was written. "
            "Plan again."
        )


def _resumable_run(transaction: Transaction, sync_name: str, plan_hash: str) -> SyncRun | None:
    row = transaction.execute(
        "select sync_run_id, run_number from sync_runs where sync_name = ? and plan_hash = ? and "
        "finished_at is null"
        " order by run_number desc limit 1",
        (sync_name, plan_hash),
    ).fetchone()
    if row is None:
        return None
    is_open = transaction.execute(
        "select 1 from sync_runs where sync_run_id = ? and (rest = 'planned' or exists (select 1"
        " from outcomes where outcomes.sync_name = ? and state = 'deferred'"
        " and operation_number between first_operation and last_operation))",
        (row[0], sync_name),
    ).fetchone()
    return SyncRun(row[0], row[1], is_resumed=True) if is_open else None


def _cancel_former(transaction: Transaction, sync_name: str, now: datetime) -> None:
    end_unclaimed(transaction, sync_name, state="cancelled", reason="superseded", now=now)
    transaction.execute(
        "update sync_runs set finished_at = ?, deferred = 0, ledger_seq = ? where sync_name = ? and "
        "finished_at is null",
        (to_micros(now), transaction.ledger_seq, sync_name),
    )


def _intent_rows(
    operations: Iterable[PlannedOperation],
    sync: Sync,
    run: SyncRun,
    *,
    first: int,
    occurrence: str,
    counts: dict[OperationKind, int],
    now: datetime,
    expiries: Mapping[str, int],
) -> Iterable[tuple[object, ...]]:
    moment, sync_name, sync_run_id = to_micros(now), sync.name, run.sync_run_id
    of_kind = {kind: (kind.value, int(sync.mode.holds_after(kind))) for kind in OperationKind}
    has_write = False
    for number, operation in enumerate(operations, first):
        kind, destination_key = operation.kind, operation.destination_key
        counts[kind] += 1
        if kind not in LEAVING:
            has_write = True
        elif has_write:
            raise ValueError(
                "expected removals and erasures before everything else, found one behind a write"
            )
        expires_at = None
        if operation.lives_micros is not None:
            expires_at = moment + operation.lives_micros
            expires_at = min(expires_at, expiries.get(destination_key, expires_at))
        yield (
            number,
            operation_id(sync_name, operation, occurrence),
            sync_run_id,
            *of_kind[kind],
            destination_key,
            operation.canonical_id,
            operation.identifier_key,
            operation.payload,
            operation.payload_hash,
            expires_at,
        )
