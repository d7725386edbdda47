"""The front door of activation: runs a sync from plan to projection and reports in counts that add up."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import duckdb
import httpx

from activation import gate, plans, undo
from activation.adapters.base import Surroundings
from activation.config import Destination, Sync
from activation.delivery import Delivery, Engine, OpenDestination, deliver, recover
from activation.errors import DestinationDownError, PlanOutdatedError, PlanRefusedError
from activation.guards import GuardStop, SourceState
from activation.intents import RunCounts, SyncRun, finish_run, open_run
from activation.ledger import Ledger
from activation.limits import RateWindows
from activation.planner import Plan, forgotten_keys, plan_sync, planned_operations
from activation.plans import StoredPlan
from activation.projection import project
from activation.sandbox.server import SandboxServer
from activation.times import Clock

PLANS_BEFORE_GIVING_UP = 3


class Destinations:
    """The destinations of one run, built when first asked for; the sandbox is served only if one needs it."""

    def __init__(
        self,
        *,
        files_root: Path,
        sandbox_path: Path,
        clock: Clock,
        resolve_secret: Callable[[str], str],
        stack: ExitStack,
    ) -> None:
        self._files_root = files_root
        self._sandbox_path = sandbox_path
        self._clock = clock
        self._resolve_secret = resolve_secret
        self._stack = stack
        self._open: dict[Destination, OpenDestination] = {}
        self._sandbox: SandboxServer | None = None

    def get(self, destination: Destination) -> OpenDestination:
        """The open destination of that definition."""
        if destination not in self._open:
            surroundings = Surroundings(
                destination.name, self._files_root, lambda: self.sandbox().url, self._resolve_secret
            )
            self._open[destination] = OpenDestination(
                destination.adapter.build(destination.config, surroundings),
                destination.capabilities,
                RateWindows(destination.capabilities.rates),
            )
        return self._open[destination]

    def sandbox(self) -> SandboxServer:
        """The built-in sandbox, started on a free port of loopback when first asked for."""
        if self._sandbox is None:
            self._sandbox = self._stack.enter_context(SandboxServer(self._sandbox_path, clock=self._clock))
        return self._sandbox


@contextmanager
def open_destinations(
    *, files_root: Path, sandbox_path: Path, clock: Clock, resolve_secret: Callable[[str], str]
) -> Iterator[Destinations]:
    """Destinations for the length of a run; a sandbox that was started is stopped at the end."""
    with ExitStack() as stack:
        yield Destinations(
            files_root=files_root,
            sandbox_path=sandbox_path,
            clock=clock,
            resolve_secret=resolve_secret,
            stack=stack,
        )


@dataclass(frozen=True)
class SyncReport:
    """What one run of a sync did.

    adds + updates + removes + erases = delivered + rejected + suppressed + deferred + in_doubt.

    The counts of operations are those written as intents. `guards` or `error` say why something was left
    undone; `plan_id` is then the plan that waits for a person, and otherwise the approved one that was
    applied. `refused` says why a plan that was approved could not be applied any more. `recovered` counts
    operations of former runs whose outcome became known before this plan.
    """

    sync_name: str
    destination: str
    sync_run_id: str | None
    adds: int = 0
    updates: int = 0
    removes: int = 0
    erases: int = 0
    unchanged: int = 0
    invalid: Mapping[str, int] = field(default_factory=dict)
    blocked: Mapping[str, int] = field(default_factory=dict)
    held_back: Mapping[str, int] = field(default_factory=dict)
    delivered: int = 0
    rejected: int = 0
    suppressed: int = 0
    deferred: int = 0
    in_doubt: int = 0
    recovered: int = 0
    reasons: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    plan_hash: str = ""
    plan_id: str | None = None
    full_because: str | None = None
    guards: tuple[GuardStop, ...] = ()
    refused: str | None = None
    error: str | None = None

    @property
    def operations(self) -> int:
        """How many operations this run held."""
        return self.adds + self.updates + self.removes + self.erases

    @property
    def is_complete(self) -> bool:
        """Whether everything that the marts want and the gate allows is at the destination now."""
        return not self.guards and self.error is None and not self.deferred and not self.in_doubt

    @property
    def stopped_because(self) -> str:
        """Which guard stopped it, why, and what a person does next; empty when none did."""
        if not self.guards:
            return ""
        first, *others = self.guards
        more = f" (and {len(others)} more: {', '.join(guard.name for guard in others)})" if others else ""
        before = f"An approved plan could not be applied: {self.refused}. " if self.refused else ""
        stopped = f"{before}Guard {first.name} stopped sync {self.sync_name!r}: {first.message}{more}"
        if self.plan_id is None:
            return stopped
        return (
            f"{stopped} Look at it with `cdp sync show {self.plan_id}`; if it is right, `cdp sync approve "
            f"{self.plan_id} --reason …`, and the next run carries it out."
        )


@dataclass(frozen=True)
class Desk:
    """Where plans are kept, and who makes them."""

    folder: Path
    operator: str


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

    A guard or a dead destination ends this sync with a report that says so, never with an exception: other
    syncs go on. With a guard's stop the plan is kept for a person to approve, and only opt-outs (removals of
    denied addresses) are delivered, unless an approved plan still holds. `plan_id` asks for that very plan:
    PlanRefusedError when it does not hold any more, and then nothing is sent. Raises ConfigError,
    ProjectionError, Ledger…Error: what no sync can work around.
    """
    engine = replace(engine, patience=engine.patience.as_told(sync.retry))
    run = _Run(sync, warehouse, ledger, destination, engine, desk, source, plan_id)
    return asyncio.run(run.carry_out())


def roll_back(
    sync: Sync,
    sync_run_id: str,
    *,
    warehouse: duckdb.DuckDBPyConnection,
    ledger: Ledger,
    destination: OpenDestination,
    engine: Engine,
    operator: str,
    reason: str,
) -> SyncReport:
    """Put back what a run did, as far as it can be, and pause the sync: or the next run does it again.

    The pause stands from the transaction that writes the inverse operations. They pass the gate like all
    others: nobody who is denied by now comes back. Raises PlanRefusedError when nothing can be undone.
    """
    return asyncio.run(
        _roll_back(
            sync,
            sync_run_id,
            warehouse=warehouse,
            ledger=ledger,
            destination=destination,
            engine=replace(engine, patience=engine.patience.as_told(sync.retry)),
            operator=operator,
            reason=reason,
        )
    )


async def _roll_back(
    sync: Sync,
    sync_run_id: str,
    *,
    warehouse: duckdb.DuckDBPyConnection,
    ledger: Ledger,
    destination: OpenDestination,
    engine: Engine,
    operator: str,
    reason: str,
) -> SyncReport:
    async with destination.adapter as adapter:
        recovered = await recover(sync, ledger=ledger, destination=destination, engine=engine)
        for recovered_run in sorted(recovered.sync_run_ids):
            finish_run(ledger, recovered_run, now=engine.clock())
        found = undo.plan_undo(ledger, sync, sync_run_id)
        undo.check_can_be_undone(found)
        now = engine.clock()
        run = open_run(
            ledger,
            sync,
            undo.undo_operations(ledger, sync_run_id),
            count=found.operations,
            plan_hash=f"undo:{sync_run_id}",
            planned_at_seq=ledger.sequence(),
            made_of=undo.made_of_before(ledger, sync_run_id),
            now=now,
            undoes=sync_run_id,
            beside=lambda transaction, opened: undo.freeze_but(
                transaction,
                sync.name,
                opened.sync_run_id,
                reason=f"run {sync_run_id} was rolled back: {reason}",
                set_by=operator,
                now=now,
            ),
        )
        if run is None:
            raise AssertionError("unreachable")
        engine.at("after_intents")
        delivery = await deliver(
            sync, ledger=ledger, destination=destination, engine=engine, sync_run_id=run.sync_run_id
        )
        try:
            await adapter.finish(sync.target)
        except DestinationDownError as error:
            delivery.stopped = delivery.stopped or str(error)
    counts = finish_run(ledger, run.sync_run_id, now=engine.clock())
    project(warehouse, ledger)
    return SyncReport(
        sync.name,
        sync.destination.name,
        run.sync_run_id,
        adds=found.adds,
        updates=found.updates,
        removes=found.removes,
        blocked=found.impossible,
        delivered=counts.delivered,
        rejected=counts.rejected,
        suppressed=counts.suppressed,
        deferred=counts.deferred,
        in_doubt=counts.in_doubt,
        recovered=recovered.delivered + recovered.rejected + recovered.deferred,
        reasons=counts.reasons,
        error=delivery.stopped,
    )


async def listed_keys(sync: Sync, destination: OpenDestination) -> tuple[str, ...]:
    """The keys that the destination says it has, in a mode that takes all; else none."""
    if not sync.mode.takes_all:
        return ()
    try:
        return tuple(await destination.adapter.list_members(sync.target))
    except (OSError, httpx.HTTPError) as error:
        raise DestinationDownError(
            f"{sync.destination.name} could not list the members of {sync.target.list_name!r} ({error}); "
            f"sync {sync.name!r} was not planned. It is tried again with the next run."
        ) from error


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

    async def carry_out(self) -> SyncReport:
        sync, ledger, engine = self.sync, self.ledger, self.engine
        gate.ensure_route(ledger, sync.name, sync.route, now=engine.clock())
        async with self.destination.adapter as adapter:
            recovered = await recover(sync, ledger=ledger, destination=self.destination, engine=engine)
            for sync_run_id in sorted(recovered.sync_run_ids):
                finish_run(ledger, sync_run_id, now=engine.clock())
            if reason := gate.freeze_of(ledger, sync.name):
                # nothing is planned: what a rollback has written must not be superseded
                project(self.warehouse, ledger)
                return SyncReport(sync.name, sync.destination.name, None, error=f"paused: {reason}")
            try:
                listed = await listed_keys(sync, self.destination)
            except DestinationDownError as error:
                return SyncReport(sync.name, sync.destination.name, None, error=str(error))
            plan, run, accepted = self._write_plan(listed)
            delivery = Delivery(stopped=recovered.stopped)
            if run is not None and recovered.stopped is None:
                engine.at("after_intents")
                delivery = await deliver(
                    sync,
                    ledger=ledger,
                    destination=self.destination,
                    engine=engine,
                    sync_run_id=run.sync_run_id,
                )
            try:
                await adapter.finish(sync.target)
            except DestinationDownError as error:
                delivery.stopped = delivery.stopped or str(error)
        counts = finish_run(ledger, run.sync_run_id, now=engine.clock()) if run is not None else None
        if accepted is not None and not (counts and counts.deferred):
            plans.forget_operations(self.desk.folder, accepted.plan_id)
        undo.forget_payloads(ledger, now=engine.clock())
        project(self.warehouse, ledger)
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

    def _write_plan(self, listed: Sequence[str]) -> tuple[Plan, SyncRun | None, StoredPlan | None]:
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
                    forgotten=() if only_opt_outs else forgotten_keys(self.warehouse, self.sync),
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
    found = counts or RunCounts(0, 0, 0, 0, 0, {})
    return SyncReport(
        sync_name=sync.name,
        destination=sync.destination.name,
        sync_run_id=run.sync_run_id if run else None,
        adds=0 if stopped or run is None else plan.adds,
        updates=0 if stopped or run is None else plan.updates,
        removes=0 if run is None else (plan.opt_outs if stopped else plan.removes),
        erases=0 if stopped or run is None else plan.erases,
        unchanged=plan.unchanged,
        invalid=plan.invalid,
        blocked=plan.blocked,
        held_back=plan.held_back,
        delivered=found.delivered,
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
