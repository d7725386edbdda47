"""The tests of delivery fail when a safeguard is gone: a few mutants are slow tests, the others long ones."""

import pytest

from tests.campaigns.delivery_mutants import REPOSITORY, row, try_mutant
from tests.campaigns.mutants import MUTANTS, Mutant

TRIED = [
    pytest.param(mutant, id=mutant.name, marks=pytest.mark.slow if mutant.is_quick else pytest.mark.long)
    for mutant in MUTANTS
]


@pytest.mark.parametrize("mutant", TRIED)
def test_without_this_safeguard_a_test_fails(mutant: Mutant) -> None:
    trial = try_mutant(mutant)

    assert trial.is_caught, row(trial)


def test_every_mutant_finds_what_it_changes() -> None:
    """Whoever moves a safeguard mends the table of mutants too."""
    lost = [
        (mutant.name, old)
        for mutant in MUTANTS
        for old, _ in mutant.changes
        if (REPOSITORY / mutant.file).read_text(encoding="utf-8").count(old) != 1
    ]

    assert lost == []


def test_every_mutant_has_a_name_of_its_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
