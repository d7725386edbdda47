"""One tick, executed in this process, that stands in the Dagster UI afterwards as a run of its job."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import DagsterEventType
from dagster._core.code_pointer import CodePointer
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.execution.api import execute_run_iterator
from dagster._core.origin import DEFAULT_DAGSTER_ENTRY_POINT
from dagster._core.remote_origin import RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.workspace.load import location_origin_from_module_name
from dagster_shared.error import SerializableErrorInfo

from orchestration.instance import LOCATION_NAME, MODULE_NAME, PROCESS_TAG, process_tag
from orchestration.statuses import DELIVERIES, INCOMPLETE, PASSED_BEFORE, STATUS

JOB_NAME = "tick"
OUR_PACKAGES = ("orchestration.", "ingestion.", "activation.")
_REPOSITORY_TAG = ".dagster/repository"


@dataclass(frozen=True)
class StepEvent:
    """Something that happened to one step: `started`, `finished` or `failed`, after so many seconds.

    The step that delivers tells of each sync and destination as if it were a step, and `ended` after them.

    `metadata` is what its assets reported: asset key as text to metadata name to value.
    """

    step: str
    kind: str
    seconds: float
    metadata: Mapping[str, Mapping[str, Any]]
    checks: int = 0
    failed_checks: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunResult:
    """How a run ended; `error` is the one line to tell, empty on success."""

    run_id: str
    success: bool
    error: str
    seconds: float


def execute_tick(
    instance: dg.DagsterInstance,
    *,
    as_of: datetime | None,
    output_path: Path,
    on_step: Callable[[StepEvent], None],
) -> RunResult:
    """Run every asset once. The run is recorded with the origin that the UI's code location has.

    Everything that steps and Dagster print goes to `output_path` or the run's own log files.
    """
    started = time.monotonic()
    repository = ReconstructableRepository(
        CodePointer.from_module(MODULE_NAME, "defs", working_directory=None),
        executable_path=sys.executable,
        entry_point=DEFAULT_DAGSTER_ENTRY_POINT,
    )
    job = repository.get_reconstructable_job(JOB_NAME)
    definition = job.get_definition()
    repository_name = SINGLETON_REPOSITORY_NAME
    run = instance.create_run_for_job(
        job_def=definition,
        run_config={"resources": {"house": {"config": {"as_of": as_of.isoformat() if as_of else ""}}}},
        tags={_REPOSITORY_TAG: f"{repository_name}@{LOCATION_NAME}", PROCESS_TAG: process_tag()},
        remote_job_origin=RemoteJobOrigin(
            RemoteRepositoryOrigin(
                location_origin_from_module_name(
                    module_name=MODULE_NAME,
                    attribute=None,
                    working_directory=None,
                    location_name=LOCATION_NAME,
                ),
                repository_name,
            ),
            JOB_NAME,
        ),
        job_code_origin=job.get_python_origin(),
    )
    error = ""
    with _silenced(output_path):
        for step in _steps(execute_run_iterator(job, run, instance)):
            if isinstance(step, str):
                error = error or step
            else:
                on_step(step)
    success = instance.get_run_by_id(run.run_id).is_success  # type: ignore[union-attr]  # just created
    return RunResult(run.run_id, success, error, time.monotonic() - started)


def _steps(events: Iterator[dg.DagsterEvent]) -> Iterator[StepEvent | str]:
    """Dagster's events as what a person follows; a text is the reason for which the run fails."""
    started_at: dict[str, float] = {}
    metadata: dict[str, dict[str, dict[str, Any]]] = {}
    checks: dict[str, list[tuple[str, bool]]] = {}
    for event in events:
        step = event.step_key or ""
        kind = event.event_type
        if kind is DagsterEventType.STEP_START:
            started_at[step] = time.monotonic()
            yield StepEvent(step, "started", 0.0, {})
        elif kind is DagsterEventType.ASSET_MATERIALIZATION and event.asset_key is not None:
            values = event.step_materialization_data.materialization.metadata
            told = {name: value.value for name, value in values.items()}
            if step == DELIVERIES:
                yield from _one_delivery(event.asset_key, told, time.monotonic() - started_at[step])
            else:
                metadata.setdefault(step, {})[event.asset_key.to_user_string()] = told
        elif (
            kind is DagsterEventType.ASSET_OBSERVATION and step == DELIVERIES and event.asset_key is not None
        ):
            values = event.asset_observation_data.asset_observation.metadata
            told = {name: value.value for name, value in values.items()}
            yield from _one_delivery(event.asset_key, told, time.monotonic() - started_at[step])
        elif kind is DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            # what was not asked again is told to Dagster, but not counted as asked
            status = check.metadata.get(STATUS)
            if status is None or status.value != PASSED_BEFORE:
                checks.setdefault(step, []).append((check.check_name, check.passed))
        elif kind in (DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_FAILURE):
            failed = kind is DagsterEventType.STEP_FAILURE
            yield StepEvent(
                step,
                "failed" if failed else "ended" if step == DELIVERIES else "finished",
                time.monotonic() - started_at.get(step, time.monotonic()),
                metadata.get(step, {}),
                len(checks.get(step, ())),
                tuple(name for name, passed in checks.get(step, ()) if not passed),
            )
            if failed:
                yield one_line(event.step_failure_data.error)
        elif kind is DagsterEventType.RUN_FAILURE:
            yield one_line(event.job_failure_data.error) or event.message or "the run failed"


def _one_delivery(key: dg.AssetKey, told: Mapping[str, Any], seconds: float) -> Iterator[StepEvent]:
    """A sync or a destination of the one step that delivers them all; the step goes on."""
    kind = "failed" if INCOMPLETE in told else "finished"
    yield StepEvent("__".join(key.path), kind, seconds, {key.to_user_string(): told})
    yield StepEvent(DELIVERIES, "started", 0.0, {})


def one_line(error: SerializableErrorInfo | None) -> str:
    """The cause in its own words: the first error of ours, else the innermost one with its type.

    Wrappers that only say that a step failed are taken off.
    """
    chain = []
    while error is not None:
        chain.append(" ".join(error.message.split()))
        error = error.cause
    ours = (text.partition(": ")[2] for text in chain if text.startswith(OUR_PACKAGES))
    return next(ours, chain[-1] if chain else "")


@contextmanager
def _silenced(path: Path) -> Iterator[None]:
    """Point both output streams of this process at a file: libraries print, people read the progress."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    with path.open("w", encoding="utf-8") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for stream, copy in enumerate(saved, start=1):
                os.dup2(copy, stream)
                os.close(copy)
