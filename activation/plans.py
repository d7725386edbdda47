"""Plans as stored objects: looked at, approved by a person, and applied only while they still hold.

The ledger keeps the plan in numbers; a Parquet file beside it keeps a hash of each operation, so that what
would leave at the moment of applying can be compared with what was approved.
"""

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
from pyarrow import parquet

from activation import gate
from activation.config import Sync
from activation.errors import PlanRefusedError
from activation.ledger import Ledger, Transaction
from activation.planner import Plan
from activation.sql_files import read_sql
from activation.times import from_micros, to_micros

BATCH_ROWS = 100_000
OPEN, APPROVED, APPLIED, REFUSED, DISCARDED = "open", "approved", "applied", "refused", "discarded"
_COLUMNS = (
    "plan_id", "sync_name", "plan_number", "plan_hash", "definition_hash", "destination_hash", "route",
    "content", "state", "state_reason", "planned_by", "planned_at", "approved_by", "approved_at",
    "approval_reason", "sync_run_id",
)  # fmt: skip


@dataclass(frozen=True)
class StoredPlan:
    """A plan as it was made: `content` is it in numbers, with its guards; `plan_hash` its approval hash."""

    plan_id: str
    sync_name: str
    plan_number: int
    plan_hash: str
    definition_hash: str
    destination_hash: str
    route: str | None
    content: Mapping[str, Any]
    state: str
    state_reason: str | None
    planned_by: str
    planned_at: datetime
    approved_by: str | None
    approved_at: datetime | None
    approval_reason: str | None
    sync_run_id: str | None

    @property
    def operations(self) -> int:
        """How many operations were planned, opt-outs not counted."""
        planned = sum(int(self.content[kind]) for kind in ("adds", "updates", "removes", "erases", "sends"))
        return planned - int(self.content["opt_outs"])

    @property
    def guard_names(self) -> frozenset[str]:
        """The guards that stopped it, which an approval has accepted."""
        return frozenset(guard["name"] for guard in self.content["guards"])


@dataclass(frozen=True)
class Movement:
    """How far what would leave now is from what was planned then; opt-outs that came are not counted."""

    came: int
    gone: int


def store_plan(
    ledger: Ledger,
    folder: Path,
    sync: Sync,
    plan: Plan,
    warehouse: duckdb.DuckDBPyConnection,
    *,
    planned_by: str,
    now: datetime,
) -> StoredPlan:
    """Keep the plan last made on this connection; the same plan again is the one that is kept already.

    Of each sync one plan is open: a newer one takes its place. An approved one stays until it is applied or
    refused.
    """
    standing = [
        kept
        for kept in stored_plans(ledger, sync.name)
        if kept.state in (OPEN, APPROVED) and _is_same(kept, plan)
    ]
    if standing:
        return standing[0]
    folder.mkdir(parents=True, exist_ok=True)
    with ledger.read() as connection:
        (number,) = connection.execute(
            "select coalesce(max(plan_number), 0) + 1 from plans where sync_name = ?", (sync.name,)
        ).fetchone()
    plan_id = f"{sync.name}-p{number:04d}-{plan.approval_hash[:8]}"
    # The file first: a row without its file could never be applied, a file without its row harms nobody.
    _write_operations(warehouse, _file(folder, plan_id))
    content = json.dumps(asdict(plan), sort_keys=True)
    with ledger.write() as transaction:
        replaced = transaction.execute(
            "update plans set state = ?, state_reason = ?, ledger_seq = ? where sync_name = ? and state = ?"
            " returning plan_id",
            (DISCARDED, f"{plan_id} took its place", transaction.ledger_seq, sync.name, OPEN),
        ).fetchall()
        transaction.execute(
            "insert into plans values (?, ?, ?, ?, ?, ?, ?, ?, ?, null, ?, ?, null, null, null, null, ?)",
            (
                plan_id, sync.name, number, plan.approval_hash, plan.definition_hash, destination_hash(sync),
                gate.current_route(transaction, sync.name), content, OPEN, planned_by, to_micros(now),
                transaction.ledger_seq,
            ),
        )  # fmt: skip
    for (gone,) in replaced:
        _file(folder, gone).unlink(missing_ok=True)
    return read_plan(ledger, plan_id)


def stored_plans(ledger: Ledger, sync_name: str | None = None) -> list[StoredPlan]:
    """Every plan that was kept, of one sync or of all, newest first."""
    with ledger.read() as connection:
        rows = connection.execute(
            f"select {', '.join(_COLUMNS)} from plans where sync_name = coalesce(?, sync_name)"
            " order by planned_at desc, plan_number desc",
            (sync_name,),
        ).fetchall()
    return [_stored(row) for row in rows]


def read_plan(ledger: Ledger, plan_id: str) -> StoredPlan:
    """The plan of that id, or of a beginning that only one has; PlanRefusedError where there is none."""
    found = [plan for plan in stored_plans(ledger) if plan.plan_id.startswith(plan_id)]
    exact = [plan for plan in found if plan.plan_id == plan_id]
    if not exact and len(found) != 1:
        known = ", ".join(plan.plan_id for plan in (found or stored_plans(ledger))[:5]) or "(none yet)"
        what = "No plan has" if not found else f"{len(found)} plans have"
        raise PlanRefusedError(
            f"{what} the id {plan_id!r}; expected one of those that `cdp sync plans` lists: {known}."
        )
    return (exact or found)[0]


def unfinished_plan(ledger: Ledger, sync_name: str) -> StoredPlan | None:
    """The approved plan whose run was killed, or whose destination did not take all of it, if any."""
    with ledger.read() as connection:
        row = connection.execute(
            "select plan_id from sync_runs where sync_name = ? and finished_at is null"
            " and plan_id is not null order by run_number desc limit 1",
            (sync_name,),
        ).fetchone()
    return None if row is None else read_plan(ledger, row[0])


def approve_plan(ledger: Ledger, plan_id: str, *, approved_by: str, reason: str, now: datetime) -> StoredPlan:
    """Say yes to an open plan; what is applied later must still be that plan.

    Raises PlanRefusedError for one that is not open, or that a guard stops for good.
    """
    plan = read_plan(ledger, plan_id)
    check_can_be_approved(plan)
    with ledger.write() as transaction:
        transaction.execute(
            "update plans set state = ?, approved_by = ?, approved_at = ?, approval_reason = ?,"
            " ledger_seq = ? where plan_id = ? and state = ?",
            (APPROVED, approved_by, to_micros(now), reason, transaction.ledger_seq, plan.plan_id, OPEN),
        )
    return read_plan(ledger, plan.plan_id)


def check_can_be_approved(plan: StoredPlan) -> None:
    """Raises PlanRefusedError, with the reason, for a plan that nobody can approve now."""
    if plan.state != OPEN:
        raise PlanRefusedError(f"Plan {plan.plan_id} cannot be approved: {_standing(plan)}.")
    for guard in plan.content["guards"]:
        if not guard["can_be_approved"]:
            raise PlanRefusedError(
                f"Plan {plan.plan_id} cannot be approved: guard {guard['name']}: {guard['message']}"
            )


def reject_plan(ledger: Ledger, folder: Path, plan_id: str, *, reason: str) -> StoredPlan:
    """Put an open or approved plan away. Raises PlanRefusedError for another."""
    plan = read_plan(ledger, plan_id)
    if plan.state not in (OPEN, APPROVED):
        raise PlanRefusedError(f"Plan {plan.plan_id} cannot be put away: {_standing(plan)}.")
    with ledger.write() as transaction:
        close_plan(transaction, plan.plan_id, DISCARDED, reason=reason)
    _file(folder, plan.plan_id).unlink(missing_ok=True)
    return read_plan(ledger, plan.plan_id)


def close_plan(
    transaction: Transaction,
    plan_id: str,
    state: str,
    *,
    reason: str | None = None,
    sync_run_id: str | None = None,
) -> None:
    """Note how a plan ended, in the transaction that ends it."""
    transaction.execute(
        "update plans set state = ?, state_reason = ?, sync_run_id = ?, ledger_seq = ? where plan_id = ?",
        (state, reason, sync_run_id, transaction.ledger_seq, plan_id),
    )


def forget_operations(folder: Path, plan_id: str) -> None:
    """Delete the hashes of a plan that has ended."""
    _file(folder, plan_id).unlink(missing_ok=True)


def refusal(
    stored: StoredPlan,
    sync: Sync,
    plan: Plan,
    *,
    route: str | None,
    movement: Movement,
    now: datetime,
    goes_on: bool = False,
) -> str | None:
    """Why a stored plan may not be applied as things are now, or None.

    Its state and age, the definitions, the route, the guards and the data are looked at, in this order. One
    that `goes_on` was applied in part: what of it is done already has not moved.
    """
    reasons = itertools.chain(
        _of_itself(stored, sync, now, goes_on=goes_on),
        _of_definitions(stored, sync, route),
        _of_guards(stored, plan),
        _of_data(stored, sync, replace(movement, gone=0) if goes_on else movement),
    )
    return next(reasons, None)


def _of_itself(stored: StoredPlan, sync: Sync, now: datetime, *, goes_on: bool) -> Iterator[str]:
    if stored.state not in (OPEN, APPROVED) and not goes_on:
        yield _standing(stored)
    since = stored.approved_at or stored.planned_at
    if now - since > timedelta(hours=sync.approval.valid_hours):
        did = "approved" if stored.approved_at else "planned"
        yield f"it was {did} at {since:%Y-%m-%d %H:%M} UTC, and holds {sync.approval.valid_hours:g} hours"


def _of_definitions(stored: StoredPlan, sync: Sync, route: str | None) -> Iterator[str]:
    if stored.definition_hash != sync.definition_hash:
        yield f"{sync.file.name} changed since"
    if stored.destination_hash != destination_hash(sync):
        yield f"destination {sync.destination.name!r} was configured anew since"
    if stored.route not in (None, route):
        yield f"the route was {stored.route}, and is {route or 'not set'}"


def _of_guards(stored: StoredPlan, plan: Plan) -> Iterator[str]:
    for guard in plan.guards:
        if not guard.can_be_approved or guard.name not in stored.guard_names:
            yield f"guard {guard.name} stops it now: {guard.message.removesuffix('.')}"


def _of_data(stored: StoredPlan, sync: Sync, movement: Movement) -> Iterator[str]:
    allowed = math.floor(sync.approval.tolerance_share * stored.operations)
    if movement.came + movement.gone > allowed:
        yield (
            f"the data moved: {movement.came:,} operations came and {movement.gone:,} went of "
            f"{stored.operations:,}, and {allowed:,} may"
        )


def measure_movement(warehouse: duckdb.DuckDBPyConnection, folder: Path, stored: StoredPlan) -> Movement:
    """Compare the plan last made on this connection with a stored one.

    Raises PlanRefusedError when the file of its operations is gone.
    """
    file = _file(folder, stored.plan_id)
    if not file.exists():
        raise PlanRefusedError(
            f"The operations of plan {stored.plan_id} are not at {file} any more, so nobody can tell what "
            "was approved. Plan again."
        )
    warehouse.register("planned_before", parquet.read_table(file))
    try:
        came, gone = warehouse.execute(read_sql("plan_movement")).fetchall()[0]
    finally:
        warehouse.unregister("planned_before")
    return Movement(int(came), int(gone))


def destination_hash(sync: Sync) -> str:
    """What a destination's settings are, without any secret: they are named, never written."""
    settings = f"{sync.destination.adapter.type_name}:{sync.destination.config.model_dump_json()}"
    return hashlib.sha256(settings.encode()).hexdigest()


def _is_same(kept: StoredPlan, plan: Plan) -> bool:
    names = frozenset(guard.name for guard in plan.guards)
    return kept.plan_hash == plan.approval_hash and kept.guard_names == names


def _standing(plan: StoredPlan) -> str:
    reason = f" ({plan.state_reason})" if plan.state_reason else ""
    return f"it is {plan.state} already{reason}"


def _write_operations(warehouse: duckdb.DuckDBPyConnection, file: Path) -> None:
    # by Arrow: a connection to the snapshot may not touch files
    whole = file.with_suffix(".tmp")
    rows = warehouse.execute(read_sql("plan_operation_hashes")).to_arrow_reader(BATCH_ROWS)
    with parquet.ParquetWriter(whole, rows.schema) as writer:
        for batch in rows:
            writer.write_batch(batch)
    whole.replace(file)


def _file(folder: Path, plan_id: str) -> Path:
    return folder / f"{plan_id}.parquet"


def _stored(row: tuple[Any, ...]) -> StoredPlan:
    values = dict(zip(_COLUMNS, row, strict=True))
    values["content"] = json.loads(values["content"])
    values["planned_at"] = from_micros(values["planned_at"])
    if values["approved_at"] is not None:
        values["approved_at"] = from_micros(values["approved_at"])
    return StoredPlan(**values)
