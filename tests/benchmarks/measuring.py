"""Time, processor time and peak memory of a block or of a whole process, and the line that says so."""

import dataclasses
import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Line:
    """One line of the table; `peak_mib` is the highest resident memory meanwhile.

    `limit` names scripts in limits/ that are run beside it with `limit_input`; `limit_parts` says what was
    measured already: part -> seconds. `note` is printed under the table.
    """

    stage: str
    rows: int
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_mib: float = 0.0
    limit: str = ""
    limit_input: str = ""
    limit_parts: dict[str, float] = field(default_factory=dict)
    note: str = ""

    def print(self) -> None:
        print(json.dumps(dataclasses.asdict(self)), flush=True)


@contextmanager
def timed(line: Line) -> Iterator[None]:
    """Measure a block of this process; its peak is the highest resident memory during it."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts anew from here
    start, cpu = time.perf_counter(), time.process_time()
    yield
    line.seconds, line.cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    line.peak_mib = _high_water_mark_kib() / 1024


@dataclass(frozen=True)
class Ended:
    """How a child process ended; the peak and the processor time are its own."""

    exit_code: int
    output: str
    seconds: float
    cpu_seconds: float
    peak_mib: float

    def answer(self) -> dict[str, object]:
        """Its last line of JSON."""
        found: dict[str, object] = json.loads(self.output.splitlines()[-1])
        return found


def run_child(
    command: Sequence[str], *, environment: dict[str, str] | None = None, may_fail: bool = False
) -> Ended:
    """Run a process to its end; what it prints to stderr passes through."""
    start = time.perf_counter()
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment)
    with child:
        output = child.stdout.read() if child.stdout else ""
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    if child.returncode and not may_fail:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {child.returncode}:\n{output[-2000:]}")
    cpu = usage.ru_utime + usage.ru_stime
    return Ended(child.returncode, output, seconds, cpu, usage.ru_maxrss / 1024)


def _high_water_mark_kib() -> int:
    for text in Path("/proc/self/status").read_text().splitlines():
        if text.startswith("VmHWM:"):
            return int(text.split()[1])
    raise RuntimeError("/proc/self/status has no VmHWM")
