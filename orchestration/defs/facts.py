"""From files and requests to the `raw` schema: everything received, and every definition that judges it."""

from collections.abc import Iterable, Iterator
from datetime import datetime

import dagster as dg

from ingestion.errors import TransientIngestionError
from ingestion.event_log import EventLog
from ingestion.identifiers import IdentifierKey
from ingestion.load import load_definitions, load_events
from ingestion.registry import load_registry
from ingestion.sources.sfmc import load_extract
from ingestion.sources.sfmc_files import KINDS
from orchestration.asset_keys import EVENT_DAYS, INGESTION_OWNER
from orchestration.declared import declared_definitions
from orchestration.instance import POOL
from orchestration.receive import prepare_sources, receive_files, seal_event_log
from orchestration.resources import House
from orchestration.settings import utc_now
from orchestration.sql_files import rows
from orchestration.summary import naive_utc
from orchestration.table_counts import count_tables

EVENT_TABLES = {
    "events": "One row per accepted event: the envelope in columns, the properties as JSON text.",
    "events_quarantined": "One row per event that broke its contract, verbatim, with the reasons.",
    "events_duplicated": "One row per event received again under an event_id that was accepted before.",
    "events_replayed": "One row per line that left quarantine, with the reason that it was in it for.",
    "event_batches": "One row per slice of the event log that was loaded whole; the commit of a load.",
    "identifiers": "One row per identifier as it was spelled, with its one normal form and its key.",
}


def raw_spec(table: str, description: str, *upstream: str) -> dg.AssetSpec:
    """One table of the raw schema as an asset; its key is that of the dbt source."""
    return dg.AssetSpec(
        ["raw", table],
        deps=[dg.AssetKey([name]) for name in upstream],
        description=description,
        group_name="ingestion",
        owners=[INGESTION_OWNER],
        kinds={"dlt", "duckdb"},
    )


def materialized(house: House, tables: Iterable[str], summary: str) -> Iterator[dg.MaterializeResult[None]]:
    """One result per table, each with the rows that it holds now."""
    with house.warehouse() as connection:
        row_counts = count_tables(connection, ("raw",))
    for table in tables:
        yield dg.MaterializeResult(
            asset_key=["raw", table],
            metadata={"summary": summary, "dagster/row_count": row_counts.get(f"raw.{table}", 0)},
        )


@dg.asset(group_name="ingestion", owners=[INGESTION_OWNER], kinds={"file"})
def source_files(context: dg.AssetExecutionContext, house: House) -> dg.MaterializeResult[None]:
    """Files that facts come from: the configured folders, or the invented sample company when none is."""
    files = prepare_sources(house.deployment, say=context.log.info)
    size = sum(file.byte_count for file in files)
    kind = "the sample company's" if house.deployment.is_sample else "configured"
    return dg.MaterializeResult(
        metadata={
            "summary": f"{len(files)} files, {size / 1e6:,.0f} MB, {kind}",
            "dagster/row_count": len(files),
            "files": dg.MetadataValue.json([{"kind": f.kind, "path": str(f.path)} for f in files]),
        }
    )


@dg.asset(deps=[source_files], group_name="ingestion", owners=[INGESTION_OWNER], kinds={"file"})
def event_log(context: dg.AssetExecutionContext, house: House) -> dg.MaterializeResult[None]:
    """Everything received, in append-only files: the source of truth that all else is rebuilt from."""
    log = EventLog(house.settings.event_log_dir)
    received = receive_files(log, prepare_sources(house.deployment, say=context.log.info), utc_now())
    try:
        sealed = f"{seal_event_log(house.settings, utc_now()).segments} of them sealed now"
    except TransientIngestionError as error:
        # Sealing saves room and can wait; the facts cannot.
        context.log.warning(str(error))
        sealed = f"none sealed: {error}"
    segments = log.segments()
    size = sum(segments.values())
    return dg.MaterializeResult(
        metadata={
            "summary": f"{received.events:,} events added from {received.files - received.already_imported} "
            f"new files; {size / 1e6:,.0f} MB in {len(segments)} segments, {sealed}",
            "events_added": received.events,
            "bytes": size,
            "segments": len(segments),
        }
    )


@dg.multi_asset(
    name="events",
    specs=[raw_spec(table, text, "event_log") for table, text in EVENT_TABLES.items()],
    pool=POOL,
)
def events(context: dg.AssetExecutionContext, house: House) -> Iterator[dg.MaterializeResult[None]]:
    """What is new in the event log, validated against its contracts and loaded; nothing is dropped."""
    house.check_warehouse()
    started_at = utc_now()
    report = load_events(
        log=EventLog(house.settings.event_log_dir),
        registry=load_registry(),
        warehouse=house.settings.warehouse_path,
        work_folder=house.settings.ingestion_dir,
        key=IdentifierKey(house.deployment.identifier_key()),
        clock=utc_now,
        memory_limit=house.settings.warehouse_memory_limit,
        on_progress=lambda so_far: context.log.info(f"{so_far.received:,} events read"),
    )
    for day in _loaded_days(house, started_at) if report.received else ():
        context.log_event(day)
    codes = ", ".join(f"{code} {count:,}" for code, count in report.by_code.items())
    healed = f", {report.healed_rows:,} rows of a killed load removed" if report.healed_rows else ""
    yield from materialized(
        house,
        EVENT_TABLES,
        f"{report.received:,} new = {report.accepted:,} accepted + {report.duplicates:,} duplicates "
        f"+ {report.quarantined:,} quarantined{f' ({codes})' if codes else ''}{healed}",
    )


def _loaded_days(house: House, since: datetime) -> Iterator[dg.AssetMaterialization]:
    """What a load brought of each day of receipt, for the partitions of the days."""
    with house.warehouse() as connection:
        found = rows(connection, "loaded_days", {"since": naive_utc(since)})
    for row in found:
        yield dg.AssetMaterialization(
            asset_key=EVENT_DAYS,
            partition=row["day"],
            description=f"{row['received']:,} new = {row['accepted']:,} accepted + {row['duplicates']:,} "
            f"duplicates + {row['quarantined']:,} quarantined",
            metadata={name: row[name] for name in ("received", "accepted", "duplicates", "quarantined")},
        )


LEGACY_TABLES = {
    "legacy_files": "One row per file of a legacy extract: accepted or set aside whole, with the reason.",
    **{
        kind.table: f"{kind.member} of the Salesforce Marketing Cloud tracking extract, every value as text."
        for kind in KINDS
    },
}


@dg.multi_asset(
    name="legacy_sfmc",
    specs=[raw_spec(table, text, "source_files") for table, text in LEGACY_TABLES.items()],
    pool=POOL,
)
def legacy_sfmc(context: dg.AssetExecutionContext, house: House) -> Iterator[dg.MaterializeResult[None]]:
    """The tracking extracts of the legacy cloud; a file is loaded whole or set aside whole."""
    house.check_warehouse()
    key = IdentifierKey(house.deployment.identifier_key())
    reports = [
        load_extract(
            file.path,
            warehouse=house.settings.warehouse_path,
            work_folder=house.settings.ingestion_dir,
            key=key,
            clock=utc_now,
            memory_limit=house.settings.warehouse_memory_limit,
        )
        for file in prepare_sources(house.deployment, say=context.log.info)
        if file.kind == "legacy_sfmc"
    ]
    aside = [(report.archive_name, file) for report in reports for file in report.quarantined]
    reasons = "".join(f"; {archive} set aside: {file.code} {file.reason}" for archive, file in aside)
    yield from materialized(
        house,
        LEGACY_TABLES,
        f"{len(reports)} archives, {sum(report.new_rows for report in reports):,} new rows{reasons}",
    )


@dg.asset(
    key=["raw", "identity_suspicions"],
    deps=[dg.AssetKey(["raw", "legacy_sfmc__attributes"])],
    group_name="ingestion",
    owners=[INGESTION_OWNER],
    kinds={"duckdb"},
    pool=POOL,
)
def identity_suspicions(house: House) -> Iterator[dg.MaterializeResult[None]]:
    """Pairs of legacy profiles that the last `cdp identity match` suspects to be one person's."""
    house.check_warehouse()
    yield from materialized(house, ("identity_suspicions",), "as `cdp identity match` left them")


DEFINITION_TABLES = {
    "definitions": "One row per version of a contract, audience, sync, destination or policy, with its hash."
}


@dg.multi_asset(
    name="definitions",
    specs=[raw_spec(table, text) for table, text in DEFINITION_TABLES.items()],
    pool=POOL,
)
def definitions(house: House) -> Iterator[dg.MaterializeResult[None]]:
    """Every reviewed definition as an immutable row: each decision can name the version that made it."""
    house.check_warehouse()
    declared = list(declared_definitions(house.settings.project_root))
    new = load_definitions(
        declared,
        warehouse=house.settings.warehouse_path,
        work_folder=house.settings.ingestion_dir,
        clock=utc_now,
    )
    yield from materialized(house, DEFINITION_TABLES, f"{len(declared)} definitions, {new} new or changed")
