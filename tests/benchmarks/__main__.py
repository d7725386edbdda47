"""`make bench`: every stage beside its bare limit, measured in the same run, each in its own process.

python -m tests.benchmarks [--events N ...] prints a table: rows/s, seconds, peak memory, the limit's
rows/s and the ratio of the two. A limit is a script in limits/ that holds none of the project's code
and does only the unavoidable part of the work.
"""

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIMITS = Path(__file__).parent / "limits"
GROUPS = {
    "stages_ingestion": ("events",),
    "stages_activation": ("planning", "sandbox", "files"),
}


@dataclass(frozen=True)
class Row:
    """One line of the table; the limit is None where nothing unavoidable can be named."""

    stage: str
    rows: int
    seconds: float
    peak_mib: float
    limit_seconds: float | None

    def cells(self) -> tuple[str, ...]:
        """The line as text: rates in rows a second, the ratio of our rate to the limit's."""
        rate = self.rows / self.seconds
        limit = f"{self.rows / self.limit_seconds:,.0f}" if self.limit_seconds else ""
        ratio = f"{self.limit_seconds / self.seconds:.2f}" if self.limit_seconds else ""
        return (
            self.stage,
            f"{self.rows:,}",
            f"{self.seconds:.2f}",
            f"{rate:,.0f}",
            f"{self.peak_mib:,.0f}",
            limit,
            ratio,
        )


@cache
def limit_seconds(names: str, rows: int) -> float | None:
    """How long the bare scripts of a stage take together, once per size."""
    if not names:
        return None
    total = 0.0
    for name in names.split(" + "):
        answer = _json_lines([sys.executable, str(LIMITS / name), str(rows)])
        total += float(answer[-1]["seconds"])
    return total


def measure(module: str, group: str, rows: int) -> list[Row]:
    """Run one group of stages in a process of its own."""
    found = _json_lines([sys.executable, "-m", f"tests.benchmarks.{module}", str(rows), group])
    return [
        Row(
            stage=str(line["stage"]),
            rows=int(line["rows"]),
            seconds=float(line["seconds"]),
            peak_mib=float(line["peak_mib"]),
            limit_seconds=limit_seconds(str(line.get("limit") or ""), int(line["rows"])),
        )
        for line in found
    ]


def _json_lines(command: Sequence[str]) -> list[dict[str, object]]:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(
            f"bench: {' '.join(command)} ended with exit code {done.returncode}:\n{done.stderr[-2000:]}"
        )
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def table(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table."""
    head = ("stage", "rows", "seconds", "rows/s", "peak MiB", "limit rows/s", "ratio to limit")
    lines = [
        head,
        tuple("---:" if place else "---" for place in range(len(head))),
        *(row.cells() for row in rows),
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def machine() -> str:
    """The processor count and versions that a figure belongs to."""
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("duckdb", "dlt", "pyarrow", "httpx", "dbt-core")
    )
    cores = subprocess.run(["/usr/bin/nproc"], capture_output=True, text=True, check=True).stdout.strip()
    system = f"{platform.system()} {platform.machine()}"
    return f"{cores} cores, {system}, Python {platform.python_version()}, {packages}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--only", choices=sorted(GROUPS), help="measure one package")
    arguments = parser.parse_args()
    found: list[Row] = []
    for size in arguments.events:
        for module, groups in GROUPS.items():
            if arguments.only in (None, module):
                for group in groups:
                    print(f"bench: {module} {group} at {size:,}", file=sys.stderr)
                    found += measure(module, group, size)
    print(f"{machine()}\n\n{table(found)}")


if __name__ == "__main__":
    main()
