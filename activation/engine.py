"""The front door of activation: runs a sync from plan to projection and reports in counts that add up."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import duckdb

from activation import gate
from activation.adapters.base import Surroundings
from activation.config import Destination, Sync
from activation.delivery import Delivery, Engine, OpenDestination, deliver, recover
from activation.errors import DestinationDownError, PlanOutdatedError
from activation.intents import RunCounts, SyncRun, finish_run, open_run
from activation.ledger import Ledger
from activation.limits import RateWindows
from activation.planner import GuardStop, Plan, plan_sync, planned_operations
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

    adds + updates + removes = delivered + rejected + suppressed + deferred + in_doubt.

    The counts of operations are those written as intents. `guard` or `error` say why something was left
    undone. `recovered` counts operations of former runs whose outcome became known before this plan.
    """

    sync_name: str
    destination: str
    sync_run_id: str | None
    adds: int = 0
    updates: int = 0
    removes: int = 0
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
    guard: GuardStop | None = None
    error: str | None = None

    @property
    def operations(self) -> int:
        """How many operations this run held."""
        return self.adds + self.updates + self.removes

    @property
    def is_complete(self) -> bool:
        """Whether everything that the marts want and the gate allows is at the destination now."""
        return self.guard is None and self.error is None and not self.deferred and not self.in_doubt


def run_sync(
    sync: Sync,
    *,
    warehouse: duckdb.DuckDBPyConnection,
    ledger: Ledger,
    destination: OpenDestination,
    engine: Engine,
    approve: bool = False,
) -> SyncReport:
    """Recover, plan, write intents, deliver, project, on a writable warehouse connection that we alone hold.

    A guard or a dead destination ends this sync with a report that says so, never with an exception: other
    syncs go on. With a guard's stop only opt-outs (removals of denied addresses) are delivered, unless
    `approve`. Raises ConfigError, ProjectionError, Ledger…Error: what no sync can work around.
    """
    return asyncio.run(
        _run_sync(
            sync, warehouse=warehouse, ledger=ledger, destination=destination, engine=engine, approve=approve
        )
    )


async def _run_sync(
    sync: Sync,
    *,
    warehouse: duckdb.DuckDBPyConnection,
    ledger: Ledger,
    destination: OpenDestination,
    engine: Engine,
    approve: bool,
) -> SyncReport:
    gate.ensure_route(ledger, sync.name, sync.route, now=engine.clock())
    async with destination.adapter as adapter:
        recovered = await recover(sync, ledger=ledger, destination=destination, engine=engine)
        plan, run = _write_plan(sync, warehouse, ledger, engine, approve)
        delivery = Delivery(stopped=recovered.stopped)
        if run is not None and recovered.stopped is None:
            engine.at("after_intents")
            delivery = await deliver(sync, ledger=ledger, destination=destination, engine=engine)
        try:
            await adapter.finish(sync.target)
        except DestinationDownError as error:
            delivery.stopped = delivery.stopped or str(error)
    for sync_run_id in sorted(recovered.sync_run_ids):
        finish_run(ledger, sync_run_id, now=engine.clock())
    counts = finish_run(ledger, run.sync_run_id, now=engine.clock()) if run is not None else None
    project(warehouse, ledger)
    return _report(
        sync,
        plan,
        run,
        counts=counts,
        recovered=recovered,
        delivery=delivery,
        stopped=_is_stopped(plan.guard, approve=approve),
    )


def _write_plan(
    sync: Sync, warehouse: duckdb.DuckDBPyConnection, ledger: Ledger, engine: Engine, approve: bool
) -> tuple[Plan, SyncRun | None]:
    """Plan and write its intents; again when another process delivered in between."""
    for attempt in range(1, PLANS_BEFORE_GIVING_UP + 1):
        plan = plan_sync(sync, warehouse=warehouse, ledger=ledger)
        only_opt_outs = _is_stopped(plan.guard, approve=approve)
        if only_opt_outs and plan.guard is not None and not plan.guard.can_be_approved:
            return plan, None
        try:
            run = open_run(
                ledger,
                sync,
                planned_operations(warehouse, only_opt_outs=only_opt_outs),
                count=plan.opt_outs if only_opt_outs else plan.operations,
                plan_hash=f"{plan.plan_hash}:opt_outs" if only_opt_outs else plan.plan_hash,
                planned_at_seq=plan.ledger_seq,
                now=engine.clock(),
            )
        except PlanOutdatedError:
            if attempt == PLANS_BEFORE_GIVING_UP:
                raise
            continue
        return plan, run
    raise AssertionError("unreachable")


def _is_stopped(guard: GuardStop | None, *, approve: bool) -> bool:
    return guard is not None and not (approve and guard.can_be_approved)


def _report(
    sync: Sync,
    plan: Plan,
    run: SyncRun | None,
    *,
    counts: RunCounts | None,
    recovered: Delivery,
    delivery: Delivery,
    stopped: bool,
) -> SyncReport:
    empty = RunCounts(0, 0, 0, 0, 0, {})
    found = counts or empty
    return SyncReport(
        sync_name=sync.name,
        destination=sync.destination.name,
        sync_run_id=run.sync_run_id if run else None,
        adds=0 if stopped or run is None else plan.adds,
        updates=0 if stopped or run is None else plan.updates,
        removes=0 if run is None else (plan.opt_outs if stopped else plan.removes),
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
        guard=plan.guard if stopped else None,
        error=delivery.stopped,
    )


def refresh_denials_from_marts(
    warehouse: duckdb.DuckDBPyConnection, ledger: Ledger, *, watermark: datetime, now: datetime
) -> gate.DenialRefresh:
    """Load every denial of the marts into the gate; run after each build of the marts, before any sync."""
    return gate.refresh_denials(ledger, gate.marts_denials(warehouse), watermark=watermark, now=now)
