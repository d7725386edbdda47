"""The front door of activation: runs a sync from plan to projection."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import duckdb

from activation import gate, plans, undo
from activation.config import Sync
from activation.errors import DestinationDownError, PlanOutdatedError, PlanRefusedError
from activation.guards import SourceState
from activation.intents import RunCounts, SyncRun, finish_run, open_run
from activation.ledger import Ledger
from activation.listing import Listing, list_members
from activation.outside import Delivery, Engine, OpenDestination
from activation.planner import Plan, forgotten_keys, noted_keys, plan_sync, planned_operations
from activation.plans import StoredPlan
from activation.projection import project
from activation.reports import SyncReport
from activation.resolving import deliver_and_wait, settle_former
from activation.room import Room, RoomClosedError
from activation.stopping import StopExpiredError
from activation.together import Ended, each_ended

PLANS_BEFORE_GIVING_UP = 3


@dataclass(frozen=True)
class Desk:
    """Where plans are kept, and who makes them."""

    folder: Path
    operator: str


@dataclass(frozen=True)
class SyncJob:
    """A sync to be carried out at its open destination; `plan_id` asks for that very plan of it."""

    sync: Sync
    destination: OpenDestination
    plan_id: str | None = None


def run_sync(
    sync: Sync,
    *,
    warehouse: duckdb.DuckDBPyConnection,
    ledger: Ledger,
    destination: OpenDestination,
    engine: Engine,
    desk: Desk,
    source: SourceState | None = None,
    plan_id: str | None = None,
) -> SyncReport:
    """Recover, plan, write intents, deliver, project, on a writable warehouse connection that we alone hold.

    A guard, a dead destination or a stop ends this sync with a report that says so, never with an exception.
    With a guard's stop the plan is kept for a person to approve, and only opt-outs (removals of denied
    addresses) are delivered, unless an approved plan still holds. `plan_id` asks for that very plan:
    PlanRefusedError when it does not hold any more, and then nothing is sent. Raises ConfigError,
    ProjectionError, Ledger…Error: what no sync can work around.
    """
    job = SyncJob(sync, destination, plan_id)
    (ended,) = each_sync([job], warehouse=warehouse, ledger=ledger, engine=engine, desk=desk, source=source)
    if ended.error is not None:
        raise ended.error
    return ended.report


def run_syncs(
    jobs: Sequence[SyncJob],
    *,
    warehouse: duckdb.DuckDBPyConnection,
    ledger: Ledger,
    engine: Engine,
    desk: Desk,
    source: SourceState | None = None,
) -> list[SyncReport]:
    """Carry out several syncs at the same time; their reports in the order of the jobs.

    As `run_sync`, but that whatever one sync raises ends it alone and is its report's `error`; only
    ProjectionError and Ledger…Error are raised, and end all.
    """
    ended = each_sync(jobs, warehouse=warehouse, ledger=ledger, engine=engine, desk=desk, source=source)
    reports = {each.report.sync_name: each.report for each in ended}
    return [reports[job.sync.name] for job in jobs]


def each_sync(
    jobs: Sequence[SyncJob],
    *,
    warehouse: duckdb.DuckDBPyConnection,
    ledger: Ledger,
    engine: Engine,
    desk: Desk,
    source: SourceState | None = None,
) -> Iterator[Ended]:
    """Carry out several syncs at the same time; gives each end as it comes, and projects after the last.

    A sync is planned as soon as its own destination has answered for what former runs left, and delivered
    while the next is planned: no destination waits for another. See `together.each_ended`.
    """
    runs = [
        _Run(
            job.sync,
            warehouse,
            ledger,
            job.destination,
            replace(engine, patience=engine.patience.as_told(job.sync.retry)),
            desk,
            source,
            job.plan_id,
        )
        for job in jobs
    ]
    yield from each_ended(runs, engine)
    undo.forget_payloads(ledger, now=engine.clock())
    project(warehouse, ledger)


@dataclass
class _Run:
    """One sync from plan to projection."""

    sync: Sync
    warehouse: duckdb.DuckDBPyConnection
    ledger: Ledger
    destination: OpenDestination
    engine: Engine
    desk: Desk
    source: SourceState | None
    plan_id: str | None
    refused: str | None = None
    waiting: StoredPlan | None = None

    async def carry_out(self, room: Room) -> SyncReport:
        """Everything but the projection; the adapter is open."""
        sync, ledger, engine = self.sync, self.ledger, self.engine
        gate.ensure_route(ledger, sync.name, sync.route, now=engine.clock())
        recovered = await settle_former(
            sync, ledger=ledger, destination=self.destination, engine=engine, room=room
        )
        if reason := gate.freeze_of(ledger, sync.name):
            # nothing is planned: what a rollback has written must not be superseded
            return SyncReport(sync.name, sync.destination.name, None, error=f"paused: {reason}")
        with Listing() as listed:
            if sync.mode.takes_all:
                try:
                    await engine.stop.within_budget(
                        list_members(sync, self.destination, engine, room, into=listed)
                    )
                except (DestinationDownError, RoomClosedError, StopExpiredError) as error:
                    why = str(error) or engine.stop.reason
                    return SyncReport(sync.name, sync.destination.name, None, error=why)
            if engine.stop.asked is not None:
                return SyncReport(sync.name, sync.destination.name, None, error=engine.stop.reason)
            plan, run, accepted = self._write_plan(listed)
        delivery = Delivery(stopped=recovered.stopped)
        if run is not None and recovered.stopped is None:
            engine.at("after_intents")
            engine.progress.planned(sync.name, sync.destination.name, plan.operations)
            delivery = await deliver_and_wait(
                sync,
                ledger=ledger,
                destination=self.destination,
                engine=engine,
                sync_run_id=run.sync_run_id,
                room=room,
            )
        try:
            await engine.stop.within_budget(self.destination.adapter.finish(sync.target))
        except (DestinationDownError, StopExpiredError) as error:
            delivery.stopped = delivery.stopped or str(error) or engine.stop.reason
        counts = finish_run(ledger, run.sync_run_id, now=engine.clock()) if run is not None else None
        if accepted is not None and not (counts and counts.deferred):
            plans.forget_operations(self.desk.folder, accepted.plan_id)
        stopped = bool(plan.guards) and accepted is None
        kept = self.waiting if stopped else accepted
        return _report(
            sync,
            plan,
            run,
            counts=counts,
            recovered=recovered,
            delivery=delivery,
            stopped=stopped,
            plan_id=kept.plan_id if kept else None,
            refused=self.refused,
        )

    def _write_plan(self, listed: Listing) -> tuple[Plan, SyncRun | None, StoredPlan | None]:
        """Plan and write its intents; again when another process delivered in between."""
        for attempt in range(1, PLANS_BEFORE_GIVING_UP + 1):
            plan = plan_sync(
                self.sync, warehouse=self.warehouse, ledger=self.ledger, source=self.source, listed=listed
            )
            accepted = self._accepted(plan)
            only_opt_outs = bool(plan.guards) and accepted is None
            if only_opt_outs:
                self._keep(plan)
                if plan.is_impossible:
                    return plan, None, None
            try:
                run = open_run(
                    self.ledger,
                    self.sync,
                    planned_operations(self.warehouse, only_opt_outs=only_opt_outs),
                    count=plan.opt_outs if only_opt_outs else plan.operations,
                    plan_hash=f"{plan.plan_hash}:opt_outs" if only_opt_outs else plan.plan_hash,
                    planned_at_seq=plan.ledger_seq,
                    made_of=plan.made_of,
                    now=self.engine.clock(),
                    plan_id=accepted.plan_id if accepted else None,
                    forgotten=() if only_opt_outs else forgotten_keys(self.warehouse),
                    noted=None if only_opt_outs else noted_keys(self.warehouse, plan),
                )
            except PlanOutdatedError:
                if attempt == PLANS_BEFORE_GIVING_UP:
                    raise
                continue
            return plan, run, accepted
        raise AssertionError("unreachable")

    def _accepted(self, plan: Plan) -> StoredPlan | None:
        """The stored plan that this one carries out, if it holds: the one asked for, or the approved."""
        stored = self._stored()
        if stored is None:
            return None
        if stored.state == plans.OPEN and stored.guard_names:
            raise PlanRefusedError(
                f"Plan {stored.plan_id} was not applied: guard {min(stored.guard_names)} stopped it, and "
                f"nobody has approved it. Nothing was sent. Look at it with `cdp sync show {stored.plan_id}`."
            )
        reason = self._refusal(stored, plan)
        if reason is None:
            return stored
        if stored.state in (plans.OPEN, plans.APPROVED):
            with self.ledger.write() as transaction:
                plans.close_plan(transaction, stored.plan_id, plans.REFUSED, reason=reason)
            plans.forget_operations(self.desk.folder, stored.plan_id)
        if self.plan_id is not None:
            raise PlanRefusedError(
                f"Plan {stored.plan_id} was not applied: {reason}. Nothing was sent. Look at what would be "
                f"sent now: `cdp sync plan {self.sync.name}`."
            )
        self.refused = reason
        return None

    def _stored(self) -> StoredPlan | None:
        """The plan asked for; or the one approved last; or the one that a former run left half done."""
        if self.plan_id is not None:
            return plans.read_plan(self.ledger, self.plan_id)
        kept = plans.stored_plans(self.ledger, self.sync.name)
        approved = [each for each in kept if each.state == plans.APPROVED]
        return approved[0] if approved else plans.unfinished_plan(self.ledger, self.sync.name)

    def _refusal(self, stored: StoredPlan, plan: Plan) -> str | None:
        goes_on = stored.state == plans.APPLIED and self.plan_id is None
        try:
            movement = plans.measure_movement(self.warehouse, self.desk.folder, stored)
        except PlanRefusedError as error:
            if goes_on or stored.state in (plans.OPEN, plans.APPROVED):
                return str(error)
            movement = plans.Movement(0, 0)
        return plans.refusal(
            stored,
            self.sync,
            plan,
            route=gate.route_of(self.ledger, self.sync.name),
            movement=movement,
            now=self.engine.clock(),
            goes_on=goes_on,
        )

    def _keep(self, plan: Plan) -> None:
        """Store a plan that a guard stopped, for a person to look at, unless nobody can approve it."""
        if not plan.is_impossible:
            self.waiting = plans.store_plan(
                self.ledger,
                self.desk.folder,
                self.sync,
                plan,
                self.warehouse,
                planned_by=self.desk.operator,
                now=self.engine.clock(),
            )


def _report(
    sync: Sync,
    plan: Plan,
    run: SyncRun | None,
    *,
    counts: RunCounts | None,
    recovered: Delivery,
    delivery: Delivery,
    stopped: bool,
    plan_id: str | None,
    refused: str | None,
) -> SyncReport:
    found = counts or RunCounts(0, 0, 0, 0, 0, 0, {})
    return SyncReport(
        sync_name=sync.name,
        destination=sync.destination.name,
        sync_run_id=run.sync_run_id if run else None,
        adds=0 if stopped or run is None else plan.adds,
        updates=0 if stopped or run is None else plan.updates,
        removes=0 if run is None else (plan.opt_outs if stopped else plan.removes),
        erases=0 if stopped or run is None else plan.erases,
        sends=0 if stopped or run is None else plan.sends,
        noted=0 if stopped else plan.noted,
        unchanged=plan.unchanged,
        invalid=plan.invalid,
        blocked=plan.blocked,
        held_back=plan.held_back,
        delivered=found.delivered,
        accepted=found.accepted,
        rejected=found.rejected,
        suppressed=found.suppressed,
        deferred=found.deferred,
        in_doubt=found.in_doubt,
        recovered=recovered.delivered + recovered.rejected + recovered.deferred,
        reasons=found.reasons,
        plan_hash=plan.plan_hash,
        plan_id=plan_id,
        full_because=plan.full_because,
        guards=plan.guards if stopped else (),
        refused=refused,
        error=delivery.stopped,
    )


def refresh_denials_from_marts(
    warehouse: duckdb.DuckDBPyConnection, ledger: Ledger, *, watermark: datetime, now: datetime
) -> gate.DenialRefresh:
    """Load every denial of the marts into the gate; run after each build of the marts, before any sync."""
    return gate.refresh_denials(ledger, gate.marts_denials(warehouse), watermark=watermark, now=now)
