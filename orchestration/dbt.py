"""Running dbt as a child process with this deployment's profile, folders and variables."""

import json
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from orchestration.errors import DbtFailedError
from orchestration.settings import Settings

# Commands that read files only; every other one opens the warehouse.
WITHOUT_WAREHOUSE = frozenset({"parse", "list", "ls", "deps", "clean", "--version", "--help", "-h"})
WITH_VARS = frozenset(
    {"build", "run", "test", "seed", "compile", "show", "snapshot", "parse", "run-operation"}
)

# What decides the manifest; data and documentation blocks included, artifacts not.
PROJECT_FILES = ("*.sql", "*.yml", "*.yaml", "*.csv", "*.md")


def opens_warehouse(arguments: Sequence[str]) -> bool:
    """Whether this dbt command needs the warehouse lock."""
    return bool(arguments) and not any(argument in WITHOUT_WAREHOUSE for argument in arguments)


def as_of_variable(as_of: datetime, **others: str) -> str:
    """The value of `--vars`: one moment, UTC, without a zone, as the models expect it, and others."""
    moment = as_of.astimezone(UTC).replace(tzinfo=None)
    text = moment.isoformat(sep=" ", timespec="microseconds").removesuffix(".000000")
    return json.dumps({"as_of": text, **others})


def dbt_arguments(arguments: Sequence[str], *, as_of: datetime) -> list[str]:
    """The same arguments, with the variables that this deployment adds when none are given."""
    takes_vars = any(argument in WITH_VARS for argument in arguments)
    if takes_vars and "--vars" not in arguments and not ({"--help", "-h"} & set(arguments)):
        return [*arguments, "--vars", as_of_variable(as_of)]
    return list(arguments)


def run_dbt(settings: Settings, arguments: Sequence[str]) -> int:
    """Run dbt with its output on our own; returns its exit code."""
    return subprocess.run(
        [str(settings.executables_dir / "dbt"), *arguments],
        cwd=settings.dbt_project_dir,
        env=settings.full_environment(),
        check=False,
    ).returncode


def manifest_path(settings: Settings) -> Path:
    """Where dbt writes what it understood of the project."""
    return settings.dbt_target_dir / "manifest.json"


def manifest_is_current(settings: Settings) -> bool:
    """Whether the manifest is there and no project file, nor the list of them, changed since."""
    return is_current(manifest_path(settings), settings.dbt_project_dir)


def is_current(made: Path, project_dir: Path) -> bool:
    """Whether what was made of the project is there and newer than each of its files and folders."""
    if not made.exists():
        return False
    made_at = made.stat().st_mtime_ns
    return all(path.stat().st_mtime_ns < made_at for path in _project_paths(project_dir))


def prepare_manifest(settings: Settings, *, as_of: datetime) -> Path:
    """Have dbt parse the project when the manifest is missing or older than the files it came from.

    Raises DbtFailedError with dbt's own words when the project cannot be parsed.
    """
    if manifest_is_current(settings):
        return manifest_path(settings)
    settings.create_folders()
    finished = subprocess.run(
        [
            str(settings.executables_dir / "dbt"),
            "--quiet",
            "--no-use-colors",
            "parse",
            "--vars",
            as_of_variable(as_of),
        ],
        cwd=settings.dbt_project_dir,
        env=settings.full_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode != 0:
        said = (finished.stdout + finished.stderr).strip() or f"exit code {finished.returncode}"
        raise DbtFailedError(
            f"dbt could not parse {settings.dbt_project_dir}: {said} "
            f"Mend the file it names; dbt's log is {settings.dbt_log_dir / 'dbt.log'}."
        )
    return manifest_path(settings)


def _project_paths(project_dir: Path) -> list[Path]:
    """Every file that decides the manifest, and the folders, whose times tell of removed files."""
    paths = [path for pattern in PROJECT_FILES for path in project_dir.rglob(pattern)]
    return [*paths, *{path.parent for path in paths}]


def forget_results(settings: Settings) -> None:
    """Remove the results of the former build, so that they are never taken for this one's."""
    _results_path(settings).unlink(missing_ok=True)


def dbt_failure(settings: Settings, said: str) -> DbtFailedError:
    """What failed in the last build: the first failed node's reason, or what dbt said before any ran."""
    log = settings.dbt_log_dir / "dbt.log"
    results = json.loads(_results_path(settings).read_text()) if _results_path(settings).exists() else {}
    nodes = results.get("results", [])
    failed = [node for node in nodes if node["status"] in ("error", "fail")]
    if not failed:
        reason = said.partition("Errors parsed from dbt logs:")[2] or said
        return DbtFailedError(f"dbt build failed: {' '.join(reason.split())} Its log is {log}.")
    kind, _, name = failed[0]["unique_id"].split(".")[:3]
    reason = " ".join(str(failed[0]["message"]).split())
    return DbtFailedError(
        f"dbt build: {len(failed)} of {len(nodes)} nodes failed, the first is {kind} {name}: {reason}. "
        f"Mend it and run again; the log is {log}."
    )


def _results_path(settings: Settings) -> Path:
    return settings.dbt_target_dir / "run_results.json"
