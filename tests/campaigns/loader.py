"""Loads and seals a house's event log again and again: `python -m tests.campaigns.loader FOLDER`."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ingestion.sealing import compact, seal
from tests.ingestion.messages import House

# The log is sealed as if every day were over, so that packs are made of what is still being written.
LATER = timedelta(days=3)


def main() -> None:
    house = House(Path(sys.argv[1]))
    while True:
        house.load(batch_bytes=512 * 1024, group_bytes=1024 * 1024)
        now = datetime.now(tz=UTC) + LATER
        seal(house.log, now)
        compact(house.log, now)


if __name__ == "__main__":
    main()
