"""I6 for delivery, in small; `python -m tests.campaigns.delivery_kills` is the whole campaign."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import NOT_INSTALLED, programs

REPOSITORY = Path(__file__).resolve().parents[2]
KINDS = ("idempotent", "readable", "asynchronous", "opaque")
NAMED_POINTS = 13


def campaign(kind: str, *options: str) -> dict[str, Any]:
    """The verdict of a campaign against one kind of destination."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.campaigns.delivery_kills", "--kinds", kind, "--json", *options],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert done.stdout, done.stderr
    (verdict,) = json.loads(done.stdout)
    assert isinstance(verdict, dict)
    return verdict


@pytest.mark.parametrize(
    ("kind", "ledger"),
    [
        *((kind, "sqlite") for kind in KINDS if kind != "readable"),
        pytest.param("readable", "sqlite", marks=pytest.mark.slow),  # it waits for what is on its way
        *(pytest.param(kind, "postgres", marks=pytest.mark.slow) for kind in ("idempotent", "opaque")),
    ],
)
def test_whenever_workers_are_killed_nothing_is_lost_doubled_or_claimed_falsely(
    kind: str, ledger: str
) -> None:
    """An opaque destination leaves some in doubt, each of them listed; the others leave none.

    A read waits a second for what is on its way: the machine may be busy with something else.
    """
    if ledger == "postgres" and programs() is None:
        pytest.skip(NOT_INSTALLED)
    options = ("--intents", "400", "--kills", "26", "--read-back-settles", "1", "--ledger", ledger)
    verdict = campaign(kind, *options)

    assert verdict["kills"] >= 20
    assert len(verdict["hits"]) >= NAMED_POINTS // 2
    assert (verdict["lost"], verdict["doubled"], verdict["false_claims"]) == (0, 0, 0), verdict
    assert verdict["unlisted"] == 0, verdict
    assert (verdict["in_doubt"] > 0) == (kind == "opaque"), verdict
