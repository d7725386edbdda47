"""Measures drt-core, an open-source peer, beside ours: the same rows of a DuckDB file to the same sandbox.

python -m tests.benchmarks.stages_drt ROWS drt|failures -> one JSON line per run. Every run is a process of
its own, and its seconds are those of the whole process, ours too. `make drt` makes the environment of drt.

drt has its best settings for this: batches of 500, an idempotency key for each request that its retries
repeat, failed rows skipped and kept for `drt retry`, no pause between requests. From DuckDB it cannot tell by
itself what changed (its strategy `diff` is for PostgreSQL, Snowflake, BigQuery and Databricks): it follows a
cursor column if the source has one, and sends everything if not.
"""

import json
import logging
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.activation_world import (
    BATCH_ROWS,
    build_world,
    change_one_percent,
    point_to_sandbox,
    run,
)
from tests.benchmarks.measuring import ROOT, Ended, Line, run_child
from tests.benchmarks.sandbox_process import arrived, sandbox

DRT = ROOT / ".venv-drt" / "bin" / "drt"
LEFT_OUT = "left out: drt is not installed; `make drt` makes its environment .venv-drt"
FAILED_ROWS = 2_000
FAILURES: dict[str, tuple[str, ...]] = {
    "one answer 502 after everything was done": ("--fault", "gateway_error_after_commit"),
    "the same, and repeated keys are not known": ("--fault", "gateway_error_after_commit", "--forgetful"),
    "one row in a thousand refused, in an answer 200": ("--reject", "007@"),
}
PROJECT = """
name: bench
version: "0.1"
profile: bench
"""
PROFILES = """
bench:
  type: duckdb
  database: {database}
"""
SYNC = """
name: people
model: >-
  select memberships.identifier_value as email, profiles.first_name, profiles.country_code as country,
  profiles.lifetime_value as value, profiles.last_seen_at as changed_at
  from marts.audience_memberships as memberships
  left join marts.profiles as profiles on profiles.canonical_id = memberships.canonical_id
  where memberships.audience_name = 'new_customers' and memberships.channel = 'email'
destination:
  type: rest_api
  url: {url}/lists/people/operations
  method: POST
  headers: {{Content-Type: application/json}}
  body_mode: batch
  native_idempotency_key: "{{{{ request_id }}}}"
  batch_template: >-
    {{"key_field":"email","operations":[{{% for row in rows %}}{{"do":"upsert",
    "key":{{{{ row.email | tojson_safe }}}},"fields":{{"country":{{{{ row.country | tojson_safe }}}},
    "first_name":{{{{ row.first_name | tojson_safe }}}},"value":{{{{ row.value | tojson_safe }}}}
    }}}}{{% if not loop.last %}},{{% endif %}}{{% endfor %}}]}}
sync:
  {mode}
  batch_size: {batch_rows}
  rate_limit: {{requests_per_second: 0}}
  on_error: skip
  dlq: {{enabled: true}}
"""
FULL = "mode: full"
CURSOR = "mode: incremental\n  cursor_field: changed_at"


@dataclass(frozen=True)
class Tool:
    """One of the two, in a folder of its own with a warehouse of its own."""

    name: str
    folder: Path
    set_up: Callable[[Path, str, bool], None]
    command: Callable[[Path], Sequence[str]]

    def run(self, url: str, *, is_forgetful: bool = False) -> Ended:
        """One run in a process of its own, whose end is the result, good or bad."""
        self.set_up(self.folder, url, is_forgetful)
        return run_child(
            self.command(self.folder), environment={"HOME": str(self.folder), "PATH": ""}, may_fail=True
        )

    def summary(self, ended: Ended) -> str:
        """What the run says of itself."""
        if self.name == "ours":
            return str(ended.answer())
        found = json.loads(ended.output)
        counts = {name: found["syncs"][0][name] for name in ("status", "rows_synced", "rows_failed")}
        return f"exit code {ended.exit_code}, {counts}"


def measure(rows: int) -> None:
    """Each in turn: a first sync, then 1% changed; drt with a cursor column and without one."""
    with tempfile.TemporaryDirectory() as name:
        tools = _tools(Path(name))
        for tool in tools:
            tool.folder.mkdir()
            build_world(tool.folder, rows)
        lines = [_measured(tool, rows, "first sync", expected=rows) for tool in tools]
        for tool in tools:
            change_one_percent(tool.folder)
        for tool in tools:
            expected = rows if tool.name == "drt, no cursor column" else rows // 100
            lines.append(_measured(tool, rows, "1% changed", expected=expected))
        for line in lines:
            line.print()


def fail(rows: int) -> None:
    """Each meets the same failures; then runs once more, as the next hour would. Of few rows always."""
    rows = min(rows, FAILED_ROWS)
    for failure, options in FAILURES.items():
        with tempfile.TemporaryDirectory() as name:
            for tool in _tools(Path(name)):
                if tool.name == "drt, no cursor column":
                    continue
                tool.folder.mkdir()
                build_world(tool.folder, rows)
                record = tool.folder / "sandbox.sqlite"
                is_forgetful = "--forgetful" in options
                with sandbox(record, options) as url:
                    ended = tool.run(url, is_forgetful=is_forgetful)
                said = f"{_judged(record, rows)}; said {tool.summary(ended)}"
                with sandbox(record, options[2:]) as url:
                    again = tool.run(url, is_forgetful=is_forgetful)
                note = f"{said}. After one more run: {_judged(record, rows)}; said {tool.summary(again)}"
                Line(
                    f"{tool.name}: {failure}",
                    rows,
                    ended.seconds,
                    ended.cpu_seconds,
                    ended.peak_mib,
                    note=note,
                ).print()


def _judged(record: Path, rows: int) -> str:
    seen = arrived(record)
    return (
        f"{seen.requests} requests, {seen.answered_from_memory} of them answered from memory;"
        f" {seen.people:,} of {rows:,} people arrived, {seen.rows_done - seen.people:,} of them twice"
    )


def _measured(tool: Tool, rows: int, what: str, *, expected: int) -> Line:
    record = tool.folder / "sandbox.sqlite"
    before = arrived(record) if record.exists() else None
    with sandbox(record) as url:
        ended = tool.run(url)
    seen = arrived(record)
    done = seen.rows_done - (before.rows_done if before else 0)
    if ended.exit_code or done != expected or seen.people != rows:
        raise RuntimeError(
            f"{tool.name}, {what}: {expected} rows were expected to arrive, found {done} ({seen});"
            f" exit code {ended.exit_code}: {ended.output[-2000:]}"
        )
    requests = seen.requests - (before.requests if before else 0)
    note = f"{expected:,} rows arrived in {requests} requests; processor time {ended.cpu_seconds:.2f} s"
    return Line(f"{tool.name}, {what}", rows, ended.seconds, ended.cpu_seconds, ended.peak_mib, note=note)


def _tools(folder: Path) -> list[Tool]:
    ours = Tool("ours", folder / "ours", _set_up_ours, _our_command)
    if not DRT.exists():
        print(f"bench: {LEFT_OUT}", file=sys.stderr)
        return [ours]
    return [
        ours,
        Tool("drt, cursor column", folder / "cursor", _set_up_drt(CURSOR), _drt_command),
        Tool("drt, no cursor column", folder / "full", _set_up_drt(FULL), _drt_command),
    ]


def _set_up_ours(folder: Path, url: str, is_forgetful: bool) -> None:
    point_to_sandbox(folder, url, idempotency_lifetime_hours=0 if is_forgetful else 24)


def _our_command(folder: Path) -> Sequence[str]:
    return [sys.executable, "-m", "tests.benchmarks.stages_drt", "0", "ours", str(folder)]


def _set_up_drt(mode: str) -> Callable[[Path, str, bool], None]:
    def set_up(folder: Path, url: str, _: bool) -> None:
        (folder / ".drt").mkdir(exist_ok=True)
        (folder / ".drt" / "profiles.yml").write_text(PROFILES.format(database=folder / "warehouse.duckdb"))
        (folder / "syncs").mkdir(exist_ok=True)
        (folder / "drt_project.yml").write_text(PROJECT)
        (folder / "syncs" / "people.yml").write_text(SYNC.format(url=url, mode=mode, batch_rows=BATCH_ROWS))

    return set_up


def _drt_command(folder: Path) -> Sequence[str]:
    # a shell only to change into the project's folder
    return ["/bin/sh", "-c", f"cd '{folder}' && exec '{DRT}' run --output json"]


def run_ours(folder: Path) -> None:
    """One run of our sync, and its counts."""
    report = run(folder, "to_sandbox")
    names = ("delivered", "rejected", "deferred", "in_doubt", "recovered", "error")
    print(json.dumps({name: getattr(report, name) for name in names}))


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    if sys.argv[2] == "ours":
        run_ours(Path(sys.argv[3]))
    else:
        {"drt": measure, "failures": fail}[sys.argv[2]](int(sys.argv[1]))
