"""The mart of events, built by dbt from what a test loaded."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.ingestion.messages import House

PROJECT = Path(__file__).parents[2] / "dbt_project"


def events_in_mart(house: House) -> Counter[str]:
    """How many events of each name the mart event_stream holds; dbt's own tests of it pass too."""
    subprocess.run(
        [
            str(Path(sys.executable).parent / "dbt"), "build", "--quiet",
            "--exclude-resource-type", "unit_test",
            "--select", "+event_stream", "--indirect-selection", "cautious",
            "--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT),
            "--target-path", str(house.folder / "target"), "--log-path", str(house.folder / "logs"),
            "--vars", '{as_of: "2999-01-01 00:00:00"}',
        ],
        check=True,
        timeout=120,
        env={"PATH": "/usr/bin:/bin", "CDP_WAREHOUSE_PATH": str(house.warehouse), "DO_NOT_TRACK": "1"},
    )  # fmt: skip
    return Counter(
        dict(house.rows("select event_name, count(*) from marts.event_stream group by event_name"))
    )
