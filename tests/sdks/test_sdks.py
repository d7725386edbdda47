"""The SDKs themselves, as their makers publish them, are given an address and a key and send to a collector.

`make sdks` installs them (exact versions, of Python and of Node) and runs this. Each script here identifies
a person and tracks one event.
"""

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ingestion.registry import CONTRACTS_FOLDER, load_registry
from tests.ingestion.collector.server import running
from tests.ingestion.messages import House
from tests.sdks.marts import events_in_mart

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
PYTHON = ROOT / ".venv-sdks" / "bin" / "python"
NODE_PACKAGES = ROOT / "var" / "sdks" / "node_modules"
SOURCES = ROOT / "tests" / "ingestion" / "collector" / "sources.yml"
NEEDS_PYTHON = pytest.mark.skipif(not PYTHON.exists(), reason="`make sdks` installs the SDKs of Python")
NEEDS_NODE = pytest.mark.skipif(
    not NODE_PACKAGES.exists(), reason="`make sdks` installs the SDKs of Node, where npm is there"
)


@pytest.mark.long
@pytest.mark.parametrize(
    "script",
    [
        *(
            pytest.param(f"{name}_python.py", marks=NEEDS_PYTHON)
            for name in ("segment", "rudder", "posthog", "snowplow")
        ),
        *(pytest.param(f"{name}_node.cjs", marks=NEEDS_NODE) for name in ("segment", "rudder")),
    ],
)
def test_what_an_sdk_sends_reaches_a_mart(house: House, script: str) -> None:
    is_python = script.endswith(".py")
    program = str(PYTHON) if is_python else str(shutil.which("node"))
    started = datetime.now(tz=UTC)
    with running(house) as collector:
        subprocess.run(
            [program, str(FOLDER / script), collector.url, collector.key],
            check=True,
            timeout=60,
            env={"NODE_PATH": str(NODE_PACKAGES), "PATH": "/usr/bin:/bin", "NO_PROXY": "127.0.0.1"},
        )
    report = house.load(load_registry(CONTRACTS_FOLDER, SOURCES))
    assert (report.received, report.accepted, report.by_code) == (2, 2, {})
    found = house.rows("select event_name, user_id, occurred_at from raw.events order by event_name")
    assert [row[:2] for row in found] == [("identified", "u-1"), ("product_viewed", "u-1")]
    assert events_in_mart(house) == {"identified": 1, "product_viewed": 1}
    for *_, occurred_at in found:
        assert abs(occurred_at.replace(tzinfo=UTC) - started) < timedelta(minutes=1)
    assert house.rows("select normalised_value from raw.identifiers where identifier_type = 'email'") == [
        ("a@b.co",)
    ]
