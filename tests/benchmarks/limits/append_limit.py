"""Bare limit of the event log: copy the lines of a file into another and sync it. None of the project's code.

python append_limit.py FILE -> one JSON line with the rows and seconds.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path


def main(file: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder, file.open("rb") as lines:
        start = time.perf_counter()
        rows = 0
        with (Path(folder) / "log").open("wb", buffering=1024 * 1024) as log:
            for line in lines:
                log.write(b"2010-12-01T08:26:00.000Z\tweb\t" + line)
                rows += 1
            log.flush()
            os.fsync(log.fileno())
        seconds = time.perf_counter() - start
    return {"rows": rows, "seconds": seconds}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
