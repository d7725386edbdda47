"""I6 on virtual time, in small; `python -m tests.campaigns.delivery_simulation` is the whole campaign."""

import pytest

from tests.campaigns.delivery_simulation import play_some
from tests.campaigns.simulation.destination import KINDS
from tests.campaigns.simulation.house import play

SEEDS = range(30)


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_happens_nothing_is_lost_done_twice_or_sent_past_the_gate(
    kind: str,
) -> None:
    """An opaque destination leaves some in doubt, each of them listed; what can be settled is."""
    total, failed = play_some(kind, SEEDS)

    assert failed == []
    assert total.done > 200
    assert min(total.counts[what] for what in ("crashes", "pauses", "faults", "withdrawals")) > 10
    assert (total.in_doubt > 0) == (not KINDS[kind].can_read_back)


def test_a_seed_plays_the_same_story_again() -> None:
    assert play(7, "both") == play(7, "both")
