"""Sealing that dies at a chosen file operation: run by test_sealing.

With AT 0 it lives, and prints how many there were.
"""

import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from ingestion.event_log import EventLog
from ingestion.sealing import compact, seal

OPERATIONS = {"open", "os.rename", "os.remove", "os.mkdir", "os.truncate"}


def main() -> None:
    folder, at = Path(sys.argv[1]), int(sys.argv[2])
    seen = 0

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if event in OPERATIONS and arguments and str(arguments[0]).startswith(str(folder)):
            seen += 1
            if seen == at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    log, now = EventLog(folder, segment_bytes=500), datetime(2026, 1, 1, tzinfo=UTC)
    seal(log, now, pack_bytes=1_000)
    compact(log, now)
    sys.stdout.write(f"{seen}\n")


if __name__ == "__main__":
    main()
