"""Is this deployment healthy, and if not, what mends it."""

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import duckdb
import yaml

from activation.errors import ActivationError
from activation.ledger import examine_ledger
from ingestion.event_log import EventLog
from orchestration.context import Context
from orchestration.errors import OrchestrationError

LOCK_FILE = Path(".ci/lock/run.txt")
WATCHED_PACKAGES = ("dbt-core", "dbt-duckdb", "duckdb", "dlt", "dagster", "dagster-dbt")
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;]+)", re.MULTILINE)
# Marts that stand beside the audiences and are none.
NOT_AUDIENCES = frozenset({"audience_memberships", "audience_exclusions"})


@dataclass(frozen=True)
class Check:
    """One question with its answer; `mend` is empty when all is well."""

    name: str
    ok: bool
    found: str
    mend: str = ""


def run_checks(context: Context) -> list[Check]:
    """Every check, in the order in which trouble in one explains trouble in the next."""
    checks: list[Callable[[Context], Iterator[Check]]] = [
        _check_python,
        _check_packages,
        _check_folders,
        _check_disk,
        _check_event_log,
        _check_lock,
        _check_warehouse,
        _check_ledger,
        _check_audiences,
    ]
    return [answer for check in checks for answer in check(context)]


def _check_python(_: Context) -> Iterator[Check]:
    found = ".".join(str(part) for part in sys.version_info[:3])
    ok = sys.version_info[:2] == (3, 11)
    yield Check("python", ok, found, "" if ok else "Install Python 3.11, then `make clean install`.")


def _check_packages(context: Context) -> Iterator[Check]:
    locked = _locked_versions(context.settings.project_root / LOCK_FILE)
    for name in WATCHED_PACKAGES:
        try:
            found = version(name)
        except PackageNotFoundError:
            yield Check(name, ok=False, found="not installed", mend="Run `make install`.")
            continue
        expected = locked.get(name)
        ok = expected is None or expected == found
        yield Check(
            name,
            ok,
            found,
            "" if ok else f"The lock file names {expected}; run `make install` to put it back.",
        )


def _locked_versions(path: Path) -> dict[str, str]:
    """Package name to version of a hashed requirements file; empty where it was not shipped."""
    if not path.exists():
        return {}
    return dict(PIN.findall(path.read_text(encoding="utf-8")))


def _check_folders(context: Context) -> Iterator[Check]:
    settings = context.settings
    for name, folder in (("home", settings.home), ("dbt artifacts", settings.dbt_target_dir)):
        existing = folder
        while not existing.exists():
            existing = existing.parent
        ok = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
        yield Check(
            f"folder {name}",
            ok,
            str(folder),
            "" if ok else f"{existing} cannot be written to; change its owner or set CDP_HOME elsewhere.",
        )
    for name, source in (
        ("CDP_EVENTS_DIR", settings.events_dir),
        ("CDP_LEGACY_SFMC_DIR", settings.legacy_sfmc_dir),
    ):
        if source is not None:
            ok = source.is_dir() and os.access(source, os.R_OK | os.X_OK)
            yield Check(
                f"folder {name}",
                ok,
                str(source),
                "" if ok else f"{source} is not a readable folder; correct {name}.",
            )


def _check_disk(context: Context) -> Iterator[Check]:
    folder = context.settings.home
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    ok = free >= context.settings.min_free_bytes
    yield Check(
        "free disk",
        ok,
        f"{free / 1e9:,.1f} GB at {folder}",
        "" if ok else "Free some space: a full disk stops the event log, and nothing is received.",
    )


def _check_event_log(context: Context) -> Iterator[Check]:
    segments = sorted(context.settings.event_log_dir.glob("*/*.log"))
    torn = [path for path in segments if _ends_torn(path)]
    yield Check(
        "event log",
        not torn,
        _counted_segments(context) if not torn else f"torn tail in {', '.join(map(str, torn))}",
        ""
        if not torn
        else "A writer was killed; the half line was never acknowledged and the next append cuts it off.",
    )


def _counted_segments(context: Context) -> str:
    log = EventLog(context.settings.event_log_dir)
    return f"{len(log.segments())} segments, {len(log.sealed().segments)} of them sealed"


def _ends_torn(path: Path) -> bool:
    with path.open("rb") as segment:
        if segment.seek(0, os.SEEK_END) == 0:
            return False
        segment.seek(-1, os.SEEK_END)
        return segment.read(1) != b"\n"


def _check_lock(context: Context) -> Iterator[Check]:
    holder = context.lock_holder()
    yield Check("warehouse lock", ok=True, found=f"held by {holder}" if holder else "free")


def _check_warehouse(context: Context) -> Iterator[Check]:
    settings = context.settings
    if not settings.warehouse_path.exists():
        yield Check("warehouse", ok=True, found="not built yet; `cdp run` makes it")
    elif context.lock_holder() is not None:
        yield Check("warehouse", ok=True, found="in use by a run, so it was not opened")
    else:
        yield _opens("warehouse", _open_warehouse, context)
    if settings.snapshot_path.exists():
        yield _opens("snapshot", _open_snapshot, context, "Publish it again with `cdp run`.")


def _opens(name: str, open_it: Callable[[Context], str], context: Context, advice: str = "") -> Check:
    try:
        return Check(name, ok=True, found=open_it(context))
    except (OrchestrationError, duckdb.Error) as error:
        reason = str(error).splitlines()[0]
        return Check(name, ok=False, found=reason.split(". ")[0], mend=advice or reason)


def _open_warehouse(context: Context) -> str:
    with context.locked("cdp doctor"), context.warehouse.connect(wait_seconds=1) as connection:
        return _describe(connection)


def _open_snapshot(context: Context) -> str:
    with context.snapshot() as connection:
        return _describe(connection)


def _describe(connection: duckdb.DuckDBPyConnection) -> str:
    row = connection.execute("select count(*), count(distinct schema_name) from duckdb_tables()").fetchone()
    tables, schemas = row or (0, 0)
    return f"opens, {tables} tables in {schemas} schemas"


def _check_ledger(context: Context) -> Iterator[Check]:
    try:
        found, mend = examine_ledger(context.settings.ledger_place)
    except ActivationError as error:
        yield Check("ledger", ok=False, found=str(error), mend="Correct CDP_LEDGER_URL.")
        return
    if not found.exists:
        yield Check("ledger", ok=True, found="not made yet; `cdp run` makes it")
        return
    yield Check(
        "ledger",
        not found.problem,
        found.problem or "whole",
        f"Stop all runs and {mend}: it proves what was sent; nothing rebuilds it." if found.problem else "",
    )


def _check_audiences(context: Context) -> Iterator[Check]:
    project = context.settings.dbt_project_dir
    files = {
        path.stem.removeprefix("audience_")
        for path in (project / "models" / "marts" / "audiences").glob("audience_*.sql")
        if path.stem not in NOT_AUDIENCES
    }
    content = yaml.safe_load((project / "dbt_project.yml").read_text(encoding="utf-8"))
    listed = set((content.get("vars") or {}).get("audiences") or [])
    unlisted, missing = sorted(files - listed), sorted(listed - files)
    mend = []
    if unlisted:
        mend.append(f"Add {', '.join(unlisted)} to vars: audiences: in dbt_project/dbt_project.yml.")
    if missing:
        names = ", ".join(f"audience_{name}.sql" for name in missing)
        mend.append(f"Write models/marts/audiences/{names}, or take it off the list in dbt_project.yml.")
    yield Check("audiences", not mend, f"{len(listed)} listed, {len(files)} files", " ".join(mend))
