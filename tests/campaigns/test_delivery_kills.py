"""I6 for delivery, in small; `python -m tests.campaigns.delivery_kills` is the whole campaign."""

from pathlib import Path

import pytest

from tests.campaigns.delivery_kills import KINDS, POINTS, Slowness, run_campaign, table


@pytest.mark.parametrize("kind", KINDS)
def test_whenever_workers_are_killed_nothing_is_lost_doubled_or_claimed_falsely(
    tmp_path: Path, kind: str
) -> None:
    """An opaque destination leaves some in doubt, each of them listed; the others leave none."""
    verdict = run_campaign(kind, tmp_path, intents=600, kills=60, seed=20261126)

    assert verdict.kills >= 40, table([verdict])
    assert len(verdict.hits) >= len(POINTS) - 2, table([verdict])
    assert (verdict.lost, verdict.doubled, verdict.false_claims) == (0, 0, 0), table([verdict])
    assert (verdict.in_doubt > 0) == (kind == "opaque"), table([verdict])


def test_a_read_that_does_not_wait_doubles_what_was_on_its_way(tmp_path: Path) -> None:
    """The campaign can tell: without the wait, what a dead worker's request does later is done again."""
    doubled = {
        settles: run_campaign(
            "readable", tmp_path / str(settles), intents=80, kills=16, seed=1, slowness=Slowness(0.5, settles)
        ).doubled
        for settles in (0.0, 1.0)
    }

    assert doubled[0.0] > 0
    assert doubled[1.0] == 0
