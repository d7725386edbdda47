"""`make bench`: every stage beside its bare limit, measured in the same run, each in its own process.

python -m tests.benchmarks [--events N ...] prints a table: rows/s, seconds, peak memory, the limit's
rows/s and the ratio of the two. A limit is a script in limits/ that holds none of the project's code
and does only the unavoidable part of the work. On a machine whose speed changes, --rounds 3 measures each
stage and its limit in turn so often, and shows the round with the median ratio.
"""

import argparse
import itertools
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ingestion.sample.generate import write_sample

ROOT = Path(__file__).resolve().parents[2]
LIMITS = Path(__file__).parent / "limits"
# stages of a module, and whether they are given an archive of events or a number of rows
STAGES = {
    "stages_collector": ("single", "batch"),
    "stages_ingestion": ("append", "validate", "validate_narrow", "replay", "load", "ingest"),
    "stages_identity": ("ordinary", "hub", "chain_sorted", "chain_shuffled"),
    "stages_identity_changes": ("changes",),
    "stages_models": ("build",),
    "stages_planning": ("planning", "listing", "postgres"),
    "stages_delivery": ("sandbox", "files", "limited"),
    "stages_isolation": ("isolation",),
    "stages_drt": ("drt", "failures"),
}
# stages that are measured up to a size and not above
LARGEST = {
    "postgres": 1_000_000,
    "sandbox": 1_000_000,
    "files": 1_000_000,
    "limited": 100_000,
    "isolation": 10_000,
    "drt": 1_000_000,
    "failures": 100_000,
}
TAKE_AN_ARCHIVE = ("stages_ingestion", "stages_models")


@dataclass(frozen=True)
class Row:
    """One line of the table; the limit has no parts where nothing unavoidable can be named."""

    stage: str
    rows: int
    seconds: float
    peak_mib: float
    limit_parts: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def limit_seconds(self) -> float | None:
        """How long the unavoidable takes, all parts together."""
        return sum(self.limit_parts.values()) or None

    @property
    def cost(self) -> float:
        """What rounds are compared by: our time as a multiple of the limit's, or our time alone."""
        return self.seconds / (self.limit_seconds or 1.0)

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


def limit_parts(names: str, given: str) -> dict[str, float]:
    """Part -> how long the bare scripts of a stage take for it on the same input."""
    parts: dict[str, float] = {}
    for name in names.split(" + ") if names else ():
        answer = _json_lines([sys.executable, str(LIMITS / name), *given.split()])[-1]
        parts |= {
            key.removesuffix("_seconds"): float(str(value))
            for key, value in answer.items()
            if key.endswith("seconds")
        }
    return parts


def measure(module: str, stage: str, given: str, rounds: int) -> list[Row]:
    """Each line of a stage in its median round."""
    found = [measure_once(module, stage, given) for _ in range(rounds)]
    return [sorted(of_one, key=lambda row: row.cost)[rounds // 2] for of_one in zip(*found, strict=True)]


def measure_once(module: str, stage: str, given: str) -> list[Row]:
    """Run one stage in a process of its own, then its limit."""
    return [
        Row(
            stage=str(line["stage"]),
            rows=int(str(line["rows"])),
            seconds=float(str(line["seconds"])),
            peak_mib=float(str(line["peak_mib"])),
            limit_parts=line.get("limit_parts")
            or limit_parts(str(line["limit"]), str(line.get("limit_input") or line["rows"])),
            note=str(line.get("note") or ""),
        )
        for line in _json_lines([sys.executable, "-m", f"tests.benchmarks.{module}", given, stage])
    ]


def make_archive(folder: Path, events: int) -> Path:
    """One file with that many events of the sample company, replicas one after the other."""
    sample = folder / "sample"
    manifest = write_sample(sample, events=events, truth=False)
    archive = folder / "events.jsonl"
    with archive.open("wb") as whole:
        for part in manifest.paths("events", sample):
            with part.open("rb") as replica:
                shutil.copyfileobj(replica, whole, 1024 * 1024)
    shutil.rmtree(sample)
    return archive


def _json_lines(command: Sequence[str]) -> list[dict[str, Any]]:
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


def notes(rows: Sequence[Row]) -> str:
    """Under the table: what each limit consists of, and what else a stage has to say."""
    lines = []
    for row in rows:
        parts = " + ".join(f"{name} {seconds:.2f} s" for name, seconds in row.limit_parts.items())
        if row.note or len(row.limit_parts) > 1:
            said = "; ".join(filter(None, (f"the limit is {parts}" if parts else "", row.note)))
            lines.append(f"- {row.stage}, {row.rows:,}: {said}")
    return "\n".join(lines)


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
    parser.add_argument("--stage", choices=sorted(itertools.chain(*STAGES.values())), nargs="+")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", choices=sorted(STAGES), nargs="+", default=sorted(STAGES))
    arguments = parser.parse_args()
    found: list[Row] = []
    work = ROOT / "var" / "bench"
    work.mkdir(parents=True, exist_ok=True)
    for size in arguments.events:
        with tempfile.TemporaryDirectory(dir=work) as folder:
            archive = make_archive(Path(folder), size) if {*TAKE_AN_ARCHIVE} & {*arguments.only} else None
            for module in (name for name in STAGES if name in arguments.only):
                given = str(archive) if module in TAKE_AN_ARCHIVE else str(size)
                for stage in STAGES[module]:
                    if arguments.stage and stage not in arguments.stage:
                        continue
                    if size > LARGEST.get(stage, size):
                        continue
                    print(f"bench: {module} {stage} at {size:,}", file=sys.stderr)
                    found += measure(module, stage, given, arguments.rounds)
    print(f"{machine()}\n\n{table(found)}\n\n{notes(found)}")


if __name__ == "__main__":
    main()
