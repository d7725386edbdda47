"""Carries out what `undo` plans: the inverse of a run, as a run of its own."""

import asyncio
from dataclasses import replace

import duckdb

from activation import undo
from activation.config import Sync
from activation.errors import DestinationDownError
from activation.intents import finish_run, open_run
from activation.ledger import Ledger
from activation.outside import Engine, OpenDestination, open_room
from activation.projection import project
from activation.reports import SyncReport
from activation.resolving import deliver_and_wait, settle_former
from activation.stopping import asked_by


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
    patient = replace(engine, patience=engine.patience.as_told(sync.retry))

    async def put_back() -> SyncReport:
        async with destination.adapter as adapter:
            room = open_room(sync, destination, patient)
            recovered = await settle_former(
                sync, ledger=ledger, destination=destination, engine=patient, room=room
            )
            found = undo.plan_undo(ledger, sync, sync_run_id)
            undo.check_can_be_undone(found)
            now = patient.clock()
            with Ledger(ledger.place) as reading:
                run = open_run(
                    ledger,
                    sync,
                    undo.undo_operations(reading, sync_run_id),
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
            patient.at("after_intents")
            delivery = await deliver_and_wait(
                sync,
                ledger=ledger,
                destination=destination,
                engine=patient,
                sync_run_id=run.sync_run_id,
                room=room,
            )
            try:
                await adapter.finish(sync.target)
            except DestinationDownError as error:
                delivery.stopped = delivery.stopped or str(error)
        counts = finish_run(ledger, run.sync_run_id, now=patient.clock())
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
            accepted=counts.accepted,
            rejected=counts.rejected,
            suppressed=counts.suppressed,
            deferred=counts.deferred,
            in_doubt=counts.in_doubt,
            recovered=recovered.delivered + recovered.rejected + recovered.deferred,
            reasons=counts.reasons,
            error=delivery.stopped,
        )

    with asked_by(patient.stop, patient.signals):
        return asyncio.run(put_back())
