"""`cdp`: the entry point, and where each package's commands are mounted."""

import sys
import traceback
from collections.abc import Mapping
from typing import Annotated

import structlog
import typer
from pydantic import ValidationError
from rich.console import Console

from activation import cli as activation
from activation.config import load_definitions
from activation.ledger import Ledger
from ingestion import cli as ingestion
from ingestion.event_log import EventLog
from ingestion.identifiers import IdentifierKey
from ingestion.range_replay import RangeReplay, RangeReport, drop_replay, replay_range
from ingestion.registry import load_registry
from ingestion.replay import ReplayReport, Selection, replay_quarantine
from ingestion.streams.config import STREAMS_FILE
from orchestration.commands import (
    consent,
    explain,
    identity,
    identity_key,
    identity_match,
    look,
    operate,
    run,
    sample,
)
from orchestration.context import Context
from orchestration.errors import DeploymentError
from orchestration.field_readers import FieldReaders
from orchestration.receive import seal_event_log
from orchestration.settings import Settings, utc_now
from orchestration.snapshot import publish_snapshot
from orchestration.source_state import source_state
from orchestration.sync_decisions import sync_decision_record
from orchestration.sync_progress import watched_sync

OURS = ("orchestration", "ingestion", "activation")


def build_app(context: Context) -> typer.Typer:
    """Every command of the house, each given this context."""
    app = typer.Typer(
        name="cdp",
        help="A warehouse-native, composable customer data platform.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        add_completion=False,
    )

    @app.callback()
    def start(
        ctx: typer.Context,
        debug: Annotated[  # noqa: ARG001 (read by `main`, before typer: an error may come earlier)
            bool, typer.Option("--debug", help="Show the traceback of an error.")
        ] = False,
    ) -> None:
        """A warehouse-native, composable customer data platform."""
        ctx.obj = context

    for commands in (run, look, explain, identity, identity_match, identity_key, consent, operate, sample):
        commands.register(app)
    mounted = ingestion.commands(ingestion_context(context)) | activation.commands(
        activation_context(context)
    )
    for name, group in mounted.items():
        app.add_typer(group, name=name)
    return app


def ingestion_context(context: Context) -> ingestion.IngestionContext:
    """What ingestion's commands are given; events of the sample carry the sample's own time."""
    return ingestion.IngestionContext(
        registry=load_registry,
        event_log=lambda: EventLog(context.settings.event_log_dir),
        open_snapshot=context.snapshot,
        clock=context.business_now,
        replay=lambda selection: _replay(context, selection),
        replay_range=lambda asked: _replay_range(context, asked),
        drop_replay=lambda schema: _drop_replay(context, schema),
        seal=lambda: seal_event_log(context.settings, utc_now()),
        now=utc_now,
        pages_folder=context.settings.home / "contracts",
        streams_file=STREAMS_FILE,
        streams_folder=context.settings.streams_dir,
        keys_file=context.settings.write_keys_path,
        operator=context.settings.operator,
        resolve_secret=context.settings.resolve_secret,
        find_readers=FieldReaders(context.settings).find,
    )


def _replay(context: Context, selection: Selection) -> ReplayReport:
    settings = context.settings
    with context.locked("cdp quarantine replay"):
        return replay_quarantine(
            selection,
            registry=load_registry(),
            warehouse=settings.warehouse_path,
            work_folder=settings.ingestion_dir,
            key=IdentifierKey(context.deployment.identifier_key()),
            clock=utc_now,
            memory_limit=settings.warehouse_memory_limit,
        )


def _replay_range(context: Context, asked: RangeReplay) -> RangeReport:
    settings = context.settings
    with context.locked("cdp replay range"):
        report = replay_range(
            asked,
            log=EventLog(settings.event_log_dir),
            registry=load_registry(),
            warehouse=settings.warehouse_path,
            work_folder=settings.ingestion_dir,
            key=IdentifierKey(context.deployment.identifier_key()),
            clock=utc_now,
            memory_limit=settings.warehouse_memory_limit,
        )
        publish_snapshot(context.warehouse, settings.snapshot_path)
    return report


def _drop_replay(context: Context, schema: str) -> None:
    settings = context.settings
    with context.locked("cdp replay drop"):
        drop_replay(schema, warehouse=settings.warehouse_path, work_folder=settings.ingestion_dir)
        publish_snapshot(context.warehouse, settings.snapshot_path)


def activation_context(context: Context) -> activation.ActivationContext:
    """What activation's commands are given; nothing is opened before one of them asks."""
    settings = context.settings
    return activation.ActivationContext(
        definitions=lambda: load_definitions(settings.project_root / "activation"),
        open_ledger=lambda: Ledger(settings.ledger_place),
        open_snapshot=context.snapshot,
        open_warehouse=lambda: context.locked_warehouse("cdp sync run"),
        source_state=lambda connection: source_state(connection, as_of=context.deployment.as_of()),
        record_decision=lambda decision, reason: _record_decision(context, decision, reason),
        resolve_secret=settings.resolve_secret,
        clock=utc_now,
        ledger_file=settings.ledger_path,
        files_root=settings.destinations_dir,
        sandbox_path=settings.sandbox_path,
        plans_folder=settings.plans_dir,
        rates_folder=settings.rates_dir,
        patience=settings.patience,
        watch=lambda: watched_sync(context.console),
        dbt_project=settings.dbt_project_dir,
        operator=settings.operator,
    )


def _record_decision(context: Context, decision: Mapping[str, str], reason: str) -> None:
    record = sync_decision_record(
        decision, reason, decided_by=context.settings.operator, at=context.business_now()
    )
    EventLog(context.settings.event_log_dir).append([record])


def load_settings() -> Settings:
    """The settings of this process; a wrong value is named as the variable that a person set."""
    try:
        return Settings()
    except ValidationError as error:
        reasons = "; ".join(
            f"CDP_{str(problem['loc'][0]).upper()}={problem['input']!r}: {problem['msg']}"
            for problem in error.errors()
        )
        raise DeploymentError(f"The environment has a setting that cannot be used: {reasons}.") from error


def main() -> None:
    """Run one command. Results go to stdout; log lines and errors to stderr, a failure is exit code 1."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        settings = load_settings()
        settings.export_environment()
        build_app(Context(settings=settings, console=Console(stderr=True)))()
    except KeyboardInterrupt:
        Console(stderr=True).print("Interrupted.")
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 (the last door: whatever it is, a person gets one line)
        if "--debug" in sys.argv:
            traceback.print_exc()
        else:
            sys.stderr.write(f"Error: {one_line(error)}\n")
        sys.exit(1)


def one_line(error: BaseException) -> str:
    """What happened, without line breaks: the first error of ours in the chain of causes.

    Where none of the chain is ours, the type is said, and how to see more.
    """
    cause: BaseException | None = error
    while cause is not None:
        if type(cause).__module__.split(".")[0] in OURS:
            return " ".join(str(cause).split())
        cause = cause.__cause__ or cause.__context__
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text} (run `cdp --debug …` to see where)"
