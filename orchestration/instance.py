"""Dagster's home: its generated configuration, and the runs that died without saying so."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import yaml
from dagster import DagsterRunStatus, RunsFilter

from orchestration.settings import Settings

POOL = "warehouse"
PROCESS_TAG = "cdp/process"
LOCATION_NAME = "cdp"
MODULE_NAME = "orchestration.definitions"


def write_dagster_home(settings: Settings) -> None:
    """Write dagster.yaml and workspace.yaml; both are generated and may be deleted at any time."""
    settings.dagster_home.mkdir(parents=True, exist_ok=True)
    _write_if_changed(settings.dagster_home / "dagster.yaml", instance_config(settings))
    _write_if_changed(
        settings.dagster_home / "workspace.yaml",
        {"load_from": [{"python_module": {"module_name": MODULE_NAME, "location_name": LOCATION_NAME}}]},
    )


def instance_config(settings: Settings) -> Mapping[str, object]:
    """SQLite storage, no telemetry, old ticks purged, and one daemon run at a time on the warehouse.

    The pool's granularity is the run: a slot is then no row that a killed run leaves behind, but
    follows from which runs are in progress.
    """
    return {
        "run_storage": {
            "module": "dagster._core.storage.runs",
            "class": "SqliteRunStorage",
            "config": {"base_dir": str(settings.dagster_home / "storage")},
        },
        "event_log_storage": {
            "module": "orchestration.event_storage",
            "class": "ReusingSqliteEventLogStorage",
            "config": {"base_dir": str(settings.dagster_home / "storage" / "runs")},
        },
        "schedule_storage": {
            "module": "dagster._core.storage.schedules",
            "class": "SqliteScheduleStorage",
            "config": {"base_dir": str(settings.dagster_home / "storage" / "schedules")},
        },
        "compute_logs": {
            "module": "orchestration.compute_logs",
            "class": "QuietComputeLogManager",
            "config": {"base_dir": str(settings.dagster_home / "compute_logs")},
        },
        "telemetry": {"enabled": False},
        "concurrency": {"pools": {"granularity": "run", "default_limit": 1}},
        "run_monitoring": {"enabled": True, "start_timeout_seconds": 180},
        "retention": {
            "schedule": {"purge_after_days": {"skipped": 7, "failure": 90, "success": 30}},
            "sensor": {"purge_after_days": {"skipped": 1, "failure": 90, "success": 30}},
        },
        "nux": {"enabled": False},
    }


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The persistent instance; close it with a `with` block."""
    write_dagster_home(settings)
    return dg.DagsterInstance.from_config(str(settings.dagster_home))


@dataclass(frozen=True)
class LastRun:
    """The newest run of any job; times are UTC, ISO 8601."""

    run_id: str
    job: str
    status: str
    started_at: str
    finished_at: str


def last_run(instance: dg.DagsterInstance) -> LastRun | None:
    """What ran last, or None."""
    records = instance.get_run_records(limit=1)
    if not records:
        return None
    record = records[0]
    return LastRun(
        run_id=record.dagster_run.run_id,
        job=record.dagster_run.job_name,
        status=record.dagster_run.status.value.lower(),
        started_at=_text(record.start_time),
        finished_at=_text(record.end_time),
    )


def _text(timestamp: float | None) -> str:
    return (
        "" if timestamp is None else datetime.fromtimestamp(timestamp, tz=UTC).isoformat(timespec="seconds")
    )


def process_tag() -> str:
    """This process, in a form that a later one can tell from another process of the same id."""
    return f"{os.getpid()}:{_started_at(os.getpid())}"


def fail_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Report as failed every run in progress whose process is gone; returns their ids.

    Without it a killed run would stand as running for ever and keep the pool's only slot.
    """
    in_progress = instance.get_runs(
        RunsFilter(statuses=[DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING])
    )
    dead = []
    for run in in_progress:
        tag = run.tags.get(PROCESS_TAG)
        if tag is not None and not _is_alive(tag):
            instance.report_run_failed(
                run, f"Process {tag.split(':')[0]} ended without finishing this run; the next run heals it."
            )
            dead.append(run.run_id)
    return dead


def _is_alive(tag: str) -> bool:
    pid, _, started_at = tag.partition(":")
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _started_at(int(pid)) == started_at


def _started_at(pid: int) -> str:
    """Kernel start time of a process, because ids are used again; empty where there is no /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def _write_if_changed(path: Path, content: Mapping[str, object]) -> None:
    text = "# Written by cdp; change orchestration/instance.py instead.\n" + yaml.safe_dump(
        dict(content), sort_keys=False
    )
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
