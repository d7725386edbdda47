"""Takes intents to deliver them: one transaction passes the gate and makes the batch durable as in flight."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from activation import gate
from activation.adapters.base import KINDS, Batch, Operation
from activation.config import Sync
from activation.errors import LedgerCorruptError
from activation.intents import LEAVING, end_unclaimed
from activation.ledger import Ledger, Transaction
from activation.sql_files import read_sql
from activation.times import Clock, from_micros, to_micros

REMOVALS, WRITES = 0, 1
TOO_LATE = "too_late"  # what claim_candidates says of a message whose time is over
ROW_OVERHEAD_BYTES = 64  # what the wire format puts around a row, at most
FRESH = timedelta(seconds=1)  # an attempt that was noted longer ago is noted anew before it is made


class _Candidate(NamedTuple):
    """A row of claim_candidates; `forbidden` says why it may not leave, if it may not."""

    operation_number: int
    operation_id: str
    operation: str
    destination_key: str
    payload: str | None
    canonical_id: str | None
    attempts: int
    forbidden: str | None
    identifier_key: str | None
    sync_run_id: str


@dataclass(frozen=True)
class Worker:
    """Who claims: `name` stands in the ledger; a claim whose worker is gone need not wait for its lease."""

    name: str
    lease: timedelta
    is_alive: Callable[[str], bool]


@dataclass(frozen=True)
class Limits:
    """How much one claim may take, and how old the marts' denials may be."""

    max_rows: int
    max_bytes: int
    denials_max_age: timedelta


@dataclass(frozen=True)
class ClaimedBatch:
    """A batch that is ours while the token is the newest."""

    batch: Batch
    sync_run_id: str
    numbers: tuple[int, ...]
    token: int
    attempts: int
    first_attempt_at: datetime
    keeps_payloads: bool = False


@dataclass(frozen=True)
class Claim:
    """What a claim gave: a batch, or the reason why none, or the moment when there will be more."""

    claimed: ClaimedBatch | None = None
    stopped: str | None = None
    wait_until: datetime | None = None


@dataclass(frozen=True)
class Stranded:
    """An unanswered batch that nobody works on; `is_listed`: its operations are noted as in doubt already."""

    batch_id: int
    token: int
    first_sent_at: datetime
    last_sent_at: datetime
    is_listed: bool


def claim(
    ledger: Ledger,
    sync: Sync,
    *,
    worker: Worker,
    limits: Limits,
    now: datetime,
    sync_run_id: str | None = None,
) -> Claim:
    """Take the next batch of a sync, removals first, and mark it in flight; durable when this returns.

    In the same transaction: a freeze stops (unless it lets the run `sync_run_id` go on), a missing or other
    route suppresses everything, a denial or cap suppresses its operation, a message whose time is over
    expires, and denials older than the limit hold back whatever brings something to people.
    """
    with ledger.write() as transaction:
        reason = gate.freeze_reason(transaction, sync.name, sync_run_id=sync_run_id)
        if reason is not None:
            return Claim(stopped=f"paused: {reason}")
        route = gate.current_route(transaction, sync.name)
        if route != "live":
            reason = "no_route" if route is None else f"route_{route}"
            end_unclaimed(transaction, sync.name, state="suppressed", reason=reason, now=now)
            return Claim()
        for lane in (REMOVALS, WRITES):
            if lane == WRITES and (stale := _stale_denials(transaction, sync, limits, now)):
                return Claim(stopped=stale)
            claimed = _claim_lane(transaction, sync, lane, worker=worker, limits=limits, now=now)
            if claimed is not None:
                return Claim(claimed=claimed)
        (not_before,) = transaction.execute(
            "select min(not_before) from outcomes where sync_name = ? and state = 'deferred'",
            (sync.name,),
        ).fetchone()
        return Claim(wait_until=None if not_before is None else from_micros(not_before))


def stranded(ledger: Ledger, sync: Sync, *, worker: Worker, now: datetime) -> list[Stranded]:
    """Unanswered batches whose worker is gone or whose lease has ended, oldest first."""
    with ledger.read() as connection:
        rows = connection.execute(
            "select batch_id, token, first_attempt_at, last_attempt_at, state, owner, lease_until"
            " from batches where sync_name = ? and state in ('in_flight', 'unknown') order by batch_id",
            (sync.name,),
        ).fetchall()
    moment = to_micros(now)
    return [
        Stranded(
            batch_id, token, from_micros(first_attempt_at), from_micros(last_attempt_at), state == "unknown"
        )
        for batch_id, token, first_attempt_at, last_attempt_at, state, owner, lease_until in rows
        if state == "unknown" or lease_until <= moment or not worker.is_alive(owner)
    ]


def reclaim(
    ledger: Ledger,
    sync: Sync,
    batch_id: int,
    *,
    token: int,
    worker: Worker,
    now: datetime,
    sends: bool = True,
) -> ClaimedBatch | None:
    """Take a stranded batch over with the same members, order and key; None if its token moved on.

    `sends`: it will be sent again. When it is only read back, the time since it was sent runs on.
    """
    with ledger.write() as transaction:
        row = transaction.execute(
            "update batches set owner = ?, token = token + 1, lease_until = ?, attempts = attempts + 1,"
            " last_attempt_at = coalesce(?, last_attempt_at), state = 'in_flight', ledger_seq = ?"
            " where batch_id = ? and token = ? and state <> 'settled'"
            " returning token, attempts, first_attempt_at, idempotency_key, sync_run_id",
            (
                worker.name,
                to_micros(now + worker.lease),
                to_micros(now) if sends else None,
                transaction.ledger_seq,
                batch_id,
                token,
            ),
        ).fetchone()
        if row is None:
            return None
        token, attempts, first_attempt_at, idempotency_key, sync_run_id = row
        (run_number,) = transaction.execute(
            "select run_number from sync_runs where sync_run_id = ?", (sync_run_id,)
        ).fetchone()
        members = transaction.execute(
            "select operation_number, operation_id, operation, destination_key, payload from members"
            " where batch_id = ? order by operation_number",
            (batch_id,),
        ).fetchall()
    batch = Batch(
        batch_id,
        idempotency_key,
        run_number,
        sync.target,
        tuple(Operation(identity, KINDS[kind], key, payload) for _, identity, kind, key, payload in members),
    )
    return ClaimedBatch(
        batch,
        sync_run_id,
        tuple(member[0] for member in members),
        token,
        attempts,
        from_micros(first_attempt_at),
        keeps_payloads=sync.undo_days > 0,
    )


def confirm(ledger: Ledger, claimed: ClaimedBatch, *, worker: Worker, clock: Clock) -> bool:
    """Whether a batch is still ours; to be asked just before its bytes leave.

    A worker may have stood still since its claim, and another may have settled the batch meanwhile. Lease and
    attempt count from now when the attempt was noted some time ago, because who reads the destination later
    waits from then on; and as writing takes time, that too is looked at again.
    """
    values = (claimed.batch.batch_id, claimed.token)
    while True:
        with ledger.read() as connection:
            row = connection.execute(
                "select last_attempt_at from batches where batch_id = ? and token = ?"
                " and state = 'in_flight'",
                values,
            ).fetchone()
        if row is None:
            return False
        if timedelta(0) <= clock() - from_micros(row[0]) <= FRESH:
            return True
        now = clock()
        with ledger.write() as transaction:
            transaction.execute(
                "update batches set lease_until = ?, last_attempt_at = ?, ledger_seq = ?"
                " where batch_id = ? and token = ? and state = 'in_flight'",
                (to_micros(now + worker.lease), to_micros(now), transaction.ledger_seq, *values),
            )


def may_send_again(
    ledger: Ledger, sync: Sync, batch_id: int, *, denials_max_age: timedelta, now: datetime
) -> bool:
    """Whether the gate would still let every unsettled member of a stranded batch pass.

    What brings something to people needs denials that are as young as for a claim. A batch one of whose
    members was given up is not sent again: it is in the body, and may have been planned anew.
    """
    with ledger.read() as connection:
        transaction = Transaction(connection, 0)
        (sync_run_id,) = connection.execute(
            "select sync_run_id from batches where batch_id = ?", (batch_id,)
        ).fetchone()
        if (
            gate.freeze_reason(transaction, sync.name, sync_run_id=sync_run_id)
            or gate.current_route(transaction, sync.name) != "live"
        ):
            return False
        given_up = connection.execute(
            "select 1 from outcomes where batch_id = ? and state = 'cancelled' limit 1", (batch_id,)
        ).fetchone()
        if given_up is not None:
            return False
        writes = connection.execute(
            "select 1 from members where batch_id = ? and lane = ? and state in ('in_flight', 'in_doubt')"
            " limit 1",
            (batch_id, WRITES),
        ).fetchone()
        if writes is None:
            return True
        age = gate.denials_age(transaction, now)
        if age is None or age > denials_max_age:
            return False
        denied = connection.execute(
            read_sql("denied_members"), {"batch_id": batch_id, "channel": sync.channel}
        ).fetchone()
    return denied is None


def _claim_lane(
    transaction: Transaction, sync: Sync, lane: int, *, worker: Worker, limits: Limits, now: datetime
) -> ClaimedBatch | None:
    while True:
        fresh = _unclaimed(transaction, sync.name, lane)
        rows = transaction.execute(
            read_sql("claim_candidates"),
            {
                "sync_name": sync.name,
                "channel": sync.channel,
                "lane": lane,
                "first": fresh.start,
                "last": fresh.stop - 1,
                "now": to_micros(now),
                "limit": limits.max_rows,
            },
        ).fetchall()
        candidates = [_Candidate._make(row) for row in rows]
        if not candidates:
            return None
        allowed = [row for row in candidates if row.forbidden is None]
        members = _one_batch(allowed, limits.max_bytes)
        if len(members) < len(allowed):  # those behind it are looked at again by the next claim
            end = allowed[len(members)].operation_number
            candidates = [row for row in candidates if row.operation_number < end]
        if len(members) < len(candidates):
            _close_forbidden(transaction, sync, lane, candidates, now)
        _move_on(transaction, sync.name, [row.operation_number for row in candidates], fresh)
        if members:
            return _open_batch(transaction, sync, members, fresh, worker=worker, now=now)


def _unclaimed(transaction: Transaction, sync_name: str, lane: int) -> range:
    """Numbers of one lane that were never claimed; removals and erasures come first."""
    row = transaction.execute(
        "select next_operation, first_write, last_operation from sync_runs"
        " where sync_name = ? and rest = 'planned'",
        (sync_name,),
    ).fetchone()
    if row is None:
        return range(0)
    next_operation, first_write, last_operation = row
    if lane == REMOVALS:
        return range(next_operation, first_write)
    return range(max(next_operation, first_write), last_operation + 1)


def _move_on(transaction: Transaction, sync_name: str, numbers: list[int], fresh: range) -> None:
    """Note how far a run is claimed; both lanes stand in one row, because removals are all claimed first."""
    taken = [number for number in numbers if number in fresh]
    if taken:
        transaction.execute(
            "update sync_runs set next_operation = ?, rest = case when last_operation < ? then 'claimed'"
            " else rest end, ledger_seq = ? where sync_name = ? and rest = 'planned'",
            (taken[-1] + 1, taken[-1] + 1, transaction.ledger_seq, sync_name),
        )


def _close_forbidden(
    transaction: Transaction, sync: Sync, lane: int, candidates: list[_Candidate], now: datetime
) -> None:
    """End what may not leave: suppressed, or expired if it is too late, and then its occurrence is over."""
    moment, seq = to_micros(now), transaction.ledger_seq
    forbidden = [row for row in candidates if row.forbidden]
    transaction.connection.executemany(
        read_sql("claim_forbidden"),
        [
            {
                "operation_number": row.operation_number,
                "sync_name": sync.name,
                "lane": lane,
                "state": "expired" if row.forbidden == TOO_LATE else "suppressed",
                "reason": row.forbidden,
                "finished_at": moment,
                "ledger_seq": seq,
            }
            for row in forbidden
        ],
    )
    transaction.connection.executemany(
        "update intents set payload = null where operation_number = ?",
        [(row.operation_number,) for row in forbidden],
    )
    transaction.connection.executemany(
        read_sql("occurrence_note"),
        [
            (sync.name, row.destination_key, row.canonical_id, row.identifier_key, moment, seq)
            for row in forbidden
            if row.forbidden == TOO_LATE
        ],
    )
    transaction.touch_open_runs(sync.name)


def _one_batch(candidates: list[_Candidate], max_bytes: int) -> list[_Candidate]:
    """The longest head of one run that fits into the destination's byte limit; always at least one."""
    size = 0
    for position, row in enumerate(candidates):
        size += len(row.destination_key.encode()) + len((row.payload or "").encode()) + ROW_OVERHEAD_BYTES
        if position > 0 and (size > max_bytes or row.sync_run_id != candidates[0].sync_run_id):
            return candidates[:position]
    return candidates


def _open_batch(
    transaction: Transaction,
    sync: Sync,
    members: list[_Candidate],
    fresh: range,
    *,
    worker: Worker,
    now: datetime,
) -> ClaimedBatch:
    # An operation that a destination put off by itself (it counts as an attempt) needs a new key: the old
    # one would be answered from memory.
    members_text = ",".join([f"{row.operation_id}:{row.attempts}" for row in members])
    key = hashlib.sha256(members_text.encode()).hexdigest()
    numbers = tuple(row.operation_number for row in members)
    never_claimed = [number for number in numbers if number in fresh]
    sync_run_id = members[0].sync_run_id
    (run_number,) = transaction.execute(
        "select run_number from sync_runs where sync_run_id = ?", (sync_run_id,)
    ).fetchone()
    (batch_id,) = transaction.execute(
        "insert into batches (sync_name, sync_run_id, idempotency_key, state, owner, token, lease_until,"
        " attempts, first_attempt_at, last_attempt_at, first_operation, last_operation, claimed_seq,"
        " ledger_seq) values (?, ?, ?, 'in_flight', ?, 1, ?, 1, ?, ?, ?, ?, ?, ?)"
        " returning batch_id",
        (
            sync.name, sync_run_id, key, worker.name, to_micros(now + worker.lease), to_micros(now),
            to_micros(now), never_claimed[0] if never_claimed else None,
            never_claimed[-1] if never_claimed else None, transaction.ledger_seq, transaction.ledger_seq,
        ),
    ).fetchone()  # fmt: skip
    _take_put_off(transaction, sync, batch_id, [number for number in numbers if number not in fresh])
    transaction.touch_run(sync_run_id)
    if transaction.execute("select 1 from caps where channel = ?", (sync.channel,)).fetchone():
        transaction.connection.executemany(
            "insert into cap_uses values (?, ?, ?, ?) on conflict do nothing",
            [
                (row.operation_id, sync.channel, row.canonical_id, to_micros(now))
                for row in members
                if row.canonical_id and KINDS[row.operation] not in LEAVING
            ],
        )
    operations = tuple(
        Operation(row.operation_id, KINDS[row.operation], row.destination_key, row.payload) for row in members
    )
    batch = Batch(batch_id, key, run_number, sync.target, operations)
    return ClaimedBatch(batch, sync_run_id, numbers, 1, 1, now, keeps_payloads=sync.undo_days > 0)


def _take_put_off(transaction: Transaction, sync: Sync, batch_id: int, numbers: list[int]) -> None:
    """What was put off before is the new batch's now, row by row."""
    if not numbers:
        return
    taken = transaction.connection.executemany(
        read_sql("claim_put_off"),
        [
            {"operation_number": number, "batch_id": batch_id, "ledger_seq": transaction.ledger_seq}
            for number in numbers
        ],
    ).rowcount
    if taken != len(numbers):
        raise LedgerCorruptError(
            f"Sync {sync.name!r} claimed {len(numbers)} operations again but marked {taken}; nothing was "
            "sent. Restore the ledger from a backup."
        )


def _stale_denials(transaction: Transaction, sync: Sync, limits: Limits, now: datetime) -> str | None:
    waiting = (
        _unclaimed(transaction, sync.name, WRITES)
        or transaction.execute(
            "select 1 from outcomes where sync_name = ? and lane = ? and state = 'deferred' limit 1",
            (sync.name, WRITES),
        ).fetchone()
    )
    age = gate.denials_age(transaction, now)
    if not waiting or (age is not None and age <= limits.denials_max_age):
        return None
    found = "they were never loaded" if age is None else f"they are {age} old"
    return f"denials are stale: expected at most {limits.denials_max_age} old, {found}; refresh them"
