"""Measures whole runs: to the sandbox in a process of its own, to files, and to a destination with a limit.

python -m tests.benchmarks.stages_delivery ROWS sandbox|files|limited -> one JSON line per run. The bare loop
sends the same bytes to a second sandbox right after; by the sandboxes' own records they must be the same.
"""

import logging
import math
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from activation.reports import SyncReport
from tests.benchmarks.activation_world import build_world, change_one_percent, point_to_sandbox, run
from tests.benchmarks.measuring import Line, run_child, timed
from tests.benchmarks.sandbox_process import arrived, bodies, sandbox

LIMITS = Path(__file__).parent / "limits"
TO_SANDBOX = "to_sandbox"
REQUESTS_PER_SECOND = 100
LIMITED_ROWS_PER_REQUEST = 5
LIMITED_REQUESTS = 10_000


def measure_sandbox(rows: int) -> None:
    """A first sync beside its limit, a run with 1% changed, a run with nothing new."""
    with _world(rows) as folder:
        record = folder / "sandbox.sqlite"
        with sandbox(record) as url:
            point_to_sandbox(folder, url)
            first = _run(folder, Line(f"whole run {TO_SANDBOX}", rows), delivered=rows)
        bare = folder / "bare.sqlite"
        with sandbox(bare) as url:
            httpx = run_child([sys.executable, str(LIMITS / "http_limit.py"), str(rows), url, TO_SANDBOX])
        ledger = run_child([sys.executable, str(LIMITS / "ledger_limit.py"), str(rows), "delivery"])
        if bodies(record) != bodies(bare):
            raise RuntimeError("the bare loop was expected to send the same bytes as the run")
        cpu = 0.0
        for answer in (httpx.answer(), ledger.answer()):
            parts = {name: float(str(value)) for name, value in answer.items()}
            cpu += parts["cpu"]
            first.limit_parts |= {
                name.removesuffix("_seconds"): value
                for name, value in parts.items()
                if name.endswith("_seconds")
            }
        first.note = (
            f"processor time outside of the sandbox: {first.cpu_seconds:.2f} s, of the limit {cpu:.2f} s"
        )
        first.print()
        change_one_percent(folder)
        with sandbox(record) as url:
            point_to_sandbox(folder, url)
            line = Line(f"whole run {TO_SANDBOX}, 1% changed", rows)
            _run(folder, line, delivered=rows // 100).print()
            _run(folder, Line(f"run with nothing new {TO_SANDBOX}", rows), delivered=0).print()


def measure_files(rows: int) -> None:
    """A first sync to a CSV file, then a run with nothing new."""
    with _world(rows) as folder:
        point_to_sandbox(folder)
        line = Line("whole run to_csv", rows, limit="ledger_limit.py", limit_input=f"{rows} delivery")
        _run(folder, line, "to_csv", delivered=rows).print()
        _run(folder, Line("run with nothing new to_csv", rows), "to_csv", delivered=0).print()


def measure_limited(rows: int) -> None:
    """A first sync to a destination of 100 requests/s, beside the time that this dictates.

    Of R requests 100 may leave at once, and the last then in (R / 100 - 1) s. The sandbox keeps the same
    limit; what it refused is printed. Always the same number of requests, however many rows were asked for.
    """
    rows = min(rows, LIMITED_REQUESTS * LIMITED_ROWS_PER_REQUEST)
    with _world(rows) as folder:
        record = folder / "sandbox.sqlite"
        with sandbox(record, ["--rate", str(REQUESTS_PER_SECOND)]) as url:
            rates = f"{{limit: {REQUESTS_PER_SECOND}, seconds: 1}}"
            point_to_sandbox(folder, url, batch_rows=LIMITED_ROWS_PER_REQUEST, rates=rates)
            line = _run(folder, Line("whole run, 100 requests/s", rows), delivered=rows)
        requests = math.ceil(rows / LIMITED_ROWS_PER_REQUEST)
        dictated = float(math.ceil(requests / REQUESTS_PER_SECOND) - 1)
        seen = arrived(record)
        line.limit_parts = {"rate window": dictated}
        line.note = (
            f"{requests:,} batches of {LIMITED_ROWS_PER_REQUEST}, {seen.requests:,} requests, of which the"
            f" sandbox refused {seen.refused}; {line.seconds / dictated - 1:.1%} over what the limit dictates"
        )
        line.print()


STAGES = {"sandbox": measure_sandbox, "files": measure_files, "limited": measure_limited}


@contextmanager
def _world(rows: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        build_world(Path(name), rows)
        yield Path(name)


def _run(folder: Path, line: Line, sync_name: str = TO_SANDBOX, *, delivered: int) -> Line:
    with timed(line):
        report: SyncReport = run(folder, sync_name)
    if report.delivered != delivered or report.error or report.guards:
        raise RuntimeError(f"{delivered} delivered rows were expected, found {report}")
    return line


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    STAGES[sys.argv[2]](int(sys.argv[1]))
