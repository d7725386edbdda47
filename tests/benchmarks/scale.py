"""How the cost of a load grows with the log: N narrow events, all the way into raw.events, for each N.

python -m tests.benchmarks.scale 1000000 10000000 100000000

The events are product views of some 350 bytes over a year of receipt; of a thousand, ten came before and one
is broken. They are written straight into segments, because appending has a stage of its own. 100 million need
60 GB of disk. Prints a Markdown table; each N runs in a process of its own.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ingestion.event_log import EventLog
from ingestion.records import DayLines, format_time
from tests.benchmarks.stages_ingestion import load_log

FIRST = datetime(2025, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)
ROOT = Path(__file__).resolve().parents[2]
CHUNK = 50_000
_LINE = (
    '%s\tweb\t{"messageId":"m-%012d","type":"track","event":"Product Viewed","userId":"u-%08d",'
    '"anonymousId":"0f3c5b1e-7f1a-4a54-9c0e-%012d","properties":{"sku":"%05d",'
    '"name":"WHITE HANGING T-LIGHT HOLDER","category":"home","price":%d.55,"currency":"GBP"},'
    '"timestamp":"%s"}\n'
)


def lines(count: int) -> Iterator[DayLines]:
    """Whole lines of the log, in order of receipt."""
    for start in range(0, count, CHUNK):
        moment = FIRST + YEAR * (start / count)
        time = format_time(moment)
        found = []
        for number in range(start, min(start + CHUNK, count)):
            message = number if number % 100 else max(0, number - 40)
            user = message * 7_919 % max(1, count // 20)
            line = _LINE % (time, message, user, user, message % 99_999, message % 90, time)
            found.append(line if number % 1000 != 501 else line.replace('"sku"', '"size"'))
        yield DayLines(time[:10], "".join(found).encode(), len(found))


def measure(count: int) -> dict[str, float]:
    """Write a log of so many events and load it."""
    work = ROOT / "var" / "bench"
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work) as name:
        folder = Path(name)
        log = EventLog(folder / "log")
        log.append_lines(lines(count))
        start = time.perf_counter()
        report = load_log(log, folder)
        seconds = time.perf_counter() - start
        peaks = [
            resource.getrusage(who).ru_maxrss / 1024
            for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        ]
        log_bytes = sum(log.segments().values())
        warehouse_bytes = (folder / "warehouse.duckdb").stat().st_size
    return {
        "events": report.received,
        "accepted": report.accepted,
        "duplicates": report.duplicates,
        "quarantined": report.quarantined,
        "seconds": seconds,
        "own_peak_mib": peaks[0],
        "worker_peak_mib": peaks[1],
        "log_gb": log_bytes / 1e9,
        "warehouse_gb": warehouse_bytes / 1e9,
    }


def main() -> None:
    """Measure one size in this process, or each of several in its own."""
    if sys.argv[1] == "--one":
        print(json.dumps(measure(int(sys.argv[2]))))
        return
    titles = "events", "accepted", "duplicates", "quarantined", "seconds", "events/s", "own peak MiB"
    print("| " + " | ".join((*titles, "worker's peak MiB", "log GB", "warehouse GB")) + " |")
    print("| " + " | ".join(["---:"] * 10) + " |")
    for count in sys.argv[1:]:
        command = [sys.executable, "-m", "tests.benchmarks.scale", "--one", count]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        rate = found["events"] / found["seconds"]
        whole = [
            f"{found[name]:,.0f}" for name in ("events", "accepted", "duplicates", "quarantined", "seconds")
        ]
        peaks = [f"{found[name]:,.0f}" for name in ("own_peak_mib", "worker_peak_mib")]
        sizes = [f"{found[name]:.1f}" for name in ("log_gb", "warehouse_gb")]
        print("| " + " | ".join([*whole, f"{rate:,.0f}", *peaks, *sizes]) + " |", flush=True)


if __name__ == "__main__":
    main()
