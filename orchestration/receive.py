"""Brings what arrives as files to the event log: the sample company's, or the configured folders'."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ingestion.event_log import EventLog
from ingestion.sample.generate import write_sample
from ingestion.sealing import SealReport, compact, seal
from orchestration.deployment import Deployment
from orchestration.errors import DeploymentError
from orchestration.settings import Settings

# Event files carry no write key; they belong to the write-key source of the site.
FILE_SOURCE = "web"


@dataclass(frozen=True)
class SourceFile:
    """One file that facts come from."""

    kind: str
    path: Path
    byte_count: int


@dataclass(frozen=True)
class Received:
    """What one call added to the event log; files imported earlier are only counted."""

    files: int
    already_imported: int
    events: int
    bytes: int


def prepare_sources(deployment: Deployment, say: Callable[[str], None]) -> tuple[SourceFile, ...]:
    """The files to read, in order of name; makes the sample company when no source is configured.

    An existing sample is kept whatever the settings say now: its events are already in the event log.
    Raises DeploymentError when a configured folder is not there.
    """
    settings = deployment.settings
    if deployment.is_sample:
        manifest = deployment.sample_manifest()
        if manifest is None:
            manifest = write_sample(
                settings.sample_dir, seed=settings.sample_seed, events=settings.sample_events, progress=say
            )
        events = list(manifest.paths("events", settings.sample_dir))
        legacy = list(manifest.paths("legacy", settings.sample_dir))
    else:
        events = _files(settings.events_dir, "CDP_EVENTS_DIR", "*.jsonl")
        legacy = _files(settings.legacy_sfmc_dir, "CDP_LEGACY_SFMC_DIR", "*.zip")
    return tuple(
        SourceFile(kind, path, path.stat().st_size)
        for kind, paths in (("events", events), ("legacy_sfmc", legacy))
        for path in paths
    )


def receive_files(event_log: EventLog, files: tuple[SourceFile, ...], now: datetime) -> Received:
    """Append every event file that the log does not hold yet; each content is taken once."""
    already = events = size = 0
    event_files = [file for file in files if file.kind == "events"]
    for file in event_files:
        result = event_log.import_archive(file.path, FILE_SOURCE, now=now)
        already += result.already_imported
        events += result.count
        size += result.bytes
    return Received(files=len(event_files), already_imported=already, events=events, bytes=size)


def seal_event_log(settings: Settings, now: datetime) -> SealReport:
    """Seal what is over in the event log, and bring small packs together."""
    log, url = EventLog(settings.event_log_dir), settings.event_log_archive_url
    report = seal(log, now, archive_url=url)
    compact(log, now, archive_url=url)
    return report


def _files(folder: Path | None, variable: str, pattern: str) -> list[Path]:
    if folder is None:
        return []
    if not folder.is_dir():
        raise DeploymentError(f"{variable}={folder} is not a folder; create it or correct {variable}.")
    return sorted(folder.glob(pattern))
