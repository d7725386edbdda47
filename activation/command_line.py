"""What the commands of activation are given and share."""

import asyncio
import dataclasses
import functools
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import duckdb
import orjson
import typer

from activation.adapters.base import Adapter
from activation.config import Definitions, Sync
from activation.destinations import Destinations, open_destinations
from activation.engine import Desk
from activation.errors import ActivationError, DestinationDownError
from activation.guards import SourceState
from activation.ledger import Ledger
from activation.listing import Listing, list_members
from activation.outside import Engine, OpenDestination, open_room
from activation.patience import Patience
from activation.progress import Progress
from activation.reports import SyncReport
from activation.room import RoomClosedError
from activation.times import Clock

Answer = TypeVar("Answer")
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
SyncName = Annotated[str, typer.Argument(help="A sync's name, as `cdp sync list` shows it.")]
Reason = Annotated[str, typer.Option(help="Why; others will read it later.")]


@dataclass(frozen=True)
class ActivationContext:
    """What the commands are given. Nothing is opened before a command needs it.

    `open_snapshot` yields a read-only connection, `open_warehouse` the only writable one, behind its lock.
    `record_decision` appends what an operator decided to the event log, before it is acted upon; it raises
    for a reason that says nothing. `source_state` tells how the marts of a connection stand. `ledger_file`
    is where the ledger is while no database keeps it.
    `watch` shows a person how far a run is.
    """

    definitions: Callable[[], Definitions]
    open_ledger: Callable[[], AbstractContextManager[Ledger]]
    open_snapshot: Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]]
    open_warehouse: Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]]
    source_state: Callable[[duckdb.DuckDBPyConnection], SourceState | None]
    record_decision: Callable[[Mapping[str, str], str], None]
    resolve_secret: Callable[[str], str]
    clock: Clock
    ledger_file: Path
    files_root: Path
    sandbox_path: Path
    plans_folder: Path
    rates_folder: Path
    dbt_project: Path
    operator: str
    patience: Patience = field(default_factory=Patience)
    watch: Callable[[], AbstractContextManager[Progress]] = lambda: nullcontext(Progress())

    @property
    def desk(self) -> Desk:
        """Where plans are kept, and who makes them."""
        return Desk(self.plans_folder, self.operator)


@contextmanager
def destinations_of(context: ActivationContext) -> Iterator[Destinations]:
    """The destinations for the length of a command."""
    with open_destinations(
        files_root=context.files_root,
        sandbox_path=context.sandbox_path,
        clock=context.clock,
        resolve_secret=context.resolve_secret,
        rates_folder=context.rates_folder,
    ) as destinations:
        yield destinations


@contextmanager
def engine_of(context: ActivationContext) -> Iterator[Engine]:
    """The engine of a command: it shows how far it is, and SIGTERM or Ctrl-C ask it to stop."""
    with context.watch() as progress:
        yield Engine(
            clock=context.clock,
            patience=context.patience,
            progress=progress,
            signals=(signal.SIGTERM, signal.SIGINT),
        )


def ask(adapter: Adapter, question: Callable[[Adapter], Awaitable[Answer]]) -> Answer:
    """What a destination answers to one question, its adapter opened for it."""

    async def opened() -> Answer:
        async with adapter:
            return await question(adapter)

    return asyncio.run(opened())


def list_now(context: ActivationContext, sync: Sync, destination: OpenDestination, into: Listing) -> None:
    """Ask the destination for all that it has in the sync's list, within its rate limit."""
    engine = Engine(clock=context.clock, patience=context.patience.as_told(sync.retry))
    room = open_room(sync, destination, engine)
    try:
        ask(destination.adapter, lambda _: list_members(sync, destination, engine, room, into))
    except RoomClosedError as closed:
        raise DestinationDownError(f"{closed}; nothing was changed.") from closed


def record_decision(
    context: ActivationContext, decision: str, sync_name: str, reason: str, **details: str
) -> None:
    """Tell the event log what an operator decided about a sync, and why."""
    context.record_decision({"decision": decision, "sync_name": sync_name, **details}, reason)


def carried_out(report: SyncReport, *, as_json: bool) -> None:
    """Print what a run did; exit code 1 unless everything that was wanted is done."""
    if as_json:
        print_json(dataclasses.asdict(report))
    else:
        typer.echo(summary_line(report))
    problem = report.stopped_because or report.error
    if problem:
        typer.echo(problem, err=True)
    if not report.is_complete:
        raise typer.Exit(1)


def summary_line(report: SyncReport) -> str:
    """One line of what a run did; the numbers add up."""
    kept_out = sum(report.held_back.values())
    apart = [
        f"{count} {label}"
        for label, count in (
            ("unchanged", report.unchanged),
            ("there before the sync began", report.noted),
            ("kept out of the source", kept_out),
            ("invalid", sum(report.invalid.values())),
            *((name, count) for name, count in report.blocked.items()),
        )
        if count
    ]
    settled = f" {report.recovered} of former runs settled;" if report.recovered else ""
    if not report.operations:
        return f"{report.sync_name}:{settled} nothing to send ({', '.join(apart) or 'nobody in the source'})"
    did = f"{report.adds} adds, {report.updates} updates, {report.removes} removals"
    if report.erases:
        did += f", {report.erases} erasures"
    if report.sends:
        did = f"{report.sends} messages"
    ends = [
        f"{count} {label}"
        for label, count in (
            ("delivered", report.delivered),
            ("accepted and not yet acknowledged", report.accepted),
            ("rejected", report.rejected),
            ("suppressed", report.suppressed),
            ("deferred", report.deferred),
            ("in doubt", report.in_doubt),
        )
        if count
    ]
    return (
        f"{report.sync_name} -> {report.destination}:{settled} {did}; "
        f"{', '.join(ends)} ({', '.join(apart) or 'nobody else'})"
    )


def print_json(document: object) -> None:
    """One JSON document on stdout."""
    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())


def one_line_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Turn what activation raises on purpose into one line on stderr and exit code 1."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except ActivationError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from error

    return wrapped
