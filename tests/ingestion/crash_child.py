"""A load that dies at a chosen file operation, without a chance to clean up: run by test_load.

`python -m tests.ingestion.crash_child FOLDER AT`; with AT 0 it lives, and prints how many such operations
there were.
"""

import os
import signal
import sys
from pathlib import Path

from tests.ingestion.messages import House

OPERATIONS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree"}


def main() -> None:
    house, at = House(Path(sys.argv[1])), int(sys.argv[2])
    seen = 0

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if event in OPERATIONS and arguments and str(arguments[0]).startswith(str(house.folder)):
            seen += 1
            if seen == at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    house.load(makes_tables=True, batch_lines=7, group_bytes=2_500)
    sys.stdout.write(f"{seen}\n")


if __name__ == "__main__":
    main()
