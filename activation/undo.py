"""Puts back what one run of a sync did at the destination, as far as it can be put back."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from activation.adapters.base import OperationKind
from activation.config import Sync
from activation.errors import PlanRefusedError
from activation.intents import PlannedOperation
from activation.ledger import Ledger, Transaction
from activation.sql_files import read_sql
from activation.times import from_micros, to_micros

FETCH_ROWS = 20_000


@dataclass(frozen=True)
class Undo:
    """What undoing a run would do: counts of inverse operations, and what cannot be undone, by reason.

    `irreversible`: deletions and sends. `changed_since`: a later run acted on the key. `in_doubt`: its last
    operation has no answer yet. `former_not_kept`: nobody knows what the destination had before. `in_part`:
    how many of the updates cannot put back all, because the run sent a field that had been left out before:
    nobody knows what the destination had in it, and what was sent stays.
    """

    sync_name: str
    sync_run_id: str
    planned_at: datetime
    adds: int = 0
    updates: int = 0
    removes: int = 0
    in_part: int = 0
    impossible: Mapping[str, int] = field(default_factory=dict)

    @property
    def operations(self) -> int:
        """How many operations it holds."""
        return self.adds + self.updates + self.removes


@dataclass(frozen=True)
class PastRun:
    """One run of a sync, as the ledger has it."""

    sync_run_id: str
    planned_at: datetime
    plan_id: str | None
    undoes: str | None
    adds: int
    updates: int
    removes: int
    erases: int
    sends: int
    delivered: int
    accepted: int


def runs_of(ledger: Ledger, sync_name: str) -> list[PastRun]:
    """Every run of a sync, newest first."""
    with ledger.read() as connection:
        rows = connection.execute(
            "select sync_run_id, planned_at, plan_id, undoes, adds, updates, removes, erases, sends,"
            " delivered, accepted from sync_runs where sync_name = ? order by run_number desc",
            (sync_name,),
        ).fetchall()
    return [PastRun(row[0], from_micros(row[1]), *row[2:]) for row in rows]


def sync_of_run(ledger: Ledger, sync_run_id: str) -> str:
    """The sync whose run that is; PlanRefusedError for a run that the ledger does not know."""
    with ledger.read() as connection:
        row = connection.execute(
            "select sync_name from sync_runs where sync_run_id = ?", (sync_run_id,)
        ).fetchone()
        last = connection.execute(
            "select sync_run_id from sync_runs order by planned_at desc, run_number desc limit 3"
        ).fetchall()
    if row is None:
        known = ", ".join(name for (name,) in last) or "(none yet)"
        raise PlanRefusedError(
            f"The ledger knows no run {sync_run_id!r}; expected an id as `cdp sync runs` lists them. "
            f"The last: {known}."
        )
    return str(row[0])


def plan_undo(ledger: Ledger, sync: Sync, sync_run_id: str) -> Undo:
    """Count what undoing that run would do now.

    Raises PlanRefusedError when the sync points elsewhere than that run delivered to.
    """
    with ledger.read() as connection:
        planned_at, *was = connection.execute(
            "select planned_at, destination, list_name from sync_runs where sync_run_id = ?", (sync_run_id,)
        ).fetchone()
    place = [sync.destination.name, sync.target.list_name]
    if was != place:
        raise PlanRefusedError(
            f"Run {sync_run_id} delivered to {'/'.join(was)}, and sync {sync.name!r} points to "
            f"{'/'.join(place)} now. Point it back, take the run back, and point it here again."
        )
    counts: Counter[str] = Counter()
    impossible: Counter[str] = Counter()
    in_part = 0
    for row in _candidates(ledger, sync_run_id):
        if row["impossible"] is not None:
            impossible[row["impossible"]] += 1
        else:
            counts[_inverse(row).kind] += 1
            in_part += _has_left_over(row)
    return Undo(
        sync.name,
        sync_run_id,
        from_micros(planned_at),
        adds=counts[OperationKind.ADD],
        updates=counts[OperationKind.UPDATE],
        removes=counts[OperationKind.REMOVE],
        in_part=in_part,
        impossible=dict(sorted(impossible.items())),
    )


def undo_operations(ledger: Ledger, sync_run_id: str) -> Iterator[PlannedOperation]:
    """The inverse of every delivered operation of a run that can be undone, removals first, streamed.

    `ledger` is another connection than the one that writes them.
    """
    return (_inverse(row) for row in _candidates(ledger, sync_run_id) if row["impossible"] is None)


def made_of_before(ledger: Ledger, sync_run_id: str) -> Mapping[str, str]:
    """How fields were made before that run: what the destination has again once it is undone."""
    with ledger.read() as connection:
        row = connection.execute(
            "select former.made_of from sync_runs as former inner join sync_runs as undone"
            " on undone.sync_name = former.sync_name and former.run_number < undone.run_number"
            " where undone.sync_run_id = ? order by former.run_number desc limit 1",
            (sync_run_id,),
        ).fetchone()
    return {} if row is None else json.loads(row[0])


def freeze_but(
    transaction: Transaction, sync_name: str, sync_run_id: str, *, reason: str, set_by: str, now: datetime
) -> None:
    """Pause a sync for every run but that one, in the transaction that opens it."""
    transaction.execute(
        "insert into freezes (sync_name, reason, set_by, frozen_at, but_sync_run_id) values (?, ?, ?, ?, ?)",
        (sync_name, reason, set_by, to_micros(now), sync_run_id),
    )


def forget_payloads(ledger: Ledger, *, now: datetime) -> int:
    """Drop what runs kept for undoing, of those whose days are over; returns how many runs."""
    with ledger.read() as connection:
        over = connection.execute(
            "select sync_run_id, first_operation, last_operation from sync_runs where undo_until < ?",
            (to_micros(now),),
        ).fetchall()
    for sync_run_id, first, last in over:
        with ledger.write() as transaction:
            transaction.execute(
                "update formers set former_payload = null where operation_number between ? and ?"
                " and former_payload is not null",
                (first, last),
            )
            transaction.execute(
                "update sync_runs set undo_until = null where sync_run_id = ?", (sync_run_id,)
            )
    return len(over)


def check_can_be_undone(undo: Undo) -> None:
    """Raises PlanRefusedError when there is nothing that could be put back."""
    if not undo.operations:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in undo.impossible.items())
        raise PlanRefusedError(
            f"Run {undo.sync_run_id} cannot be undone: {reasons or 'it delivered nothing'}. Nothing was sent."
        )


def _candidates(ledger: Ledger, sync_run_id: str) -> Iterator[dict[str, Any]]:
    with (
        ledger.read() as connection,
        connection.stream(read_sql("undo_candidates"), {"sync_run_id": sync_run_id}) as cursor,
    ):
        names = [column[0] for column in cursor.description]
        while rows := cursor.fetchmany(FETCH_ROWS):
            for row in rows:
                yield dict(zip(names, row, strict=True))


def _has_left_over(row: Mapping[str, Any]) -> bool:
    """Whether the run sent a field that the former payload says nothing of."""
    former, sent = row["former_payload"], row["sent_payload"]
    if former is None or sent is None:
        return False
    return bool(orjson.loads(sent).keys() - orjson.loads(former).keys())


def _inverse(row: Mapping[str, Any]) -> PlannedOperation:
    """An add that had nobody before is removed; everything else gets back what was there."""
    key, person, address = row["destination_key"], row["canonical_id"], row["identifier_key"]
    if row["former_hash"] is None:
        return PlannedOperation(OperationKind.REMOVE, key, person, address, None, row["payload_hash"])
    kind = OperationKind.ADD if row["operation"] == OperationKind.REMOVE else OperationKind.UPDATE
    return PlannedOperation(kind, key, person, address, row["former_payload"], row["former_hash"])
