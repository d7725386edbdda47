"""Profiles spelled differently are suspected with a score, and too little to learn from is said so."""

import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import Result

from ingestion.sample.contacts import FIRST_NAMES, LAST_NAMES
from orchestration.errors import FatalOrchestrationError
from orchestration.identity.matching import suspected_pairs
from orchestration.identity.matching_rules import read_matching_rules
from tests.identity_data import (
    DATA,
    NEEDS_DATA,
    Pair,
    Records,
    fake_1000,
    febrl,
    pair_of,
    profiles_of,
)

RULES = read_matching_rules()
Row = dict[str, str]


def people(count: int, *, twice: int) -> list[Row]:
    """Invented profiles; of the first `twice` people a second one, with one thing spelled differently."""
    chance = random.Random(7)
    rows = [
        {
            "identifier_key": f"a{number:03d}",
            "first_name": chance.choice(FIRST_NAMES),
            "last_name": chance.choice(LAST_NAMES),
            "date_of_birth": f"{chance.randrange(1930, 2000)}-{chance.randrange(1, 13):02d}-"
            f"{chance.randrange(1, 29):02d}",
            "street": f"{chance.randrange(1, 200)} {chance.choice(LAST_NAMES)} Road",
            "city": chance.choice(("Leeds", "Bath", "Hull", "York", "Derby")),
            "postal_code": f"{chance.randrange(10_000, 99_999)}",
        }
        for number in range(count)
    ]
    spelled: tuple[Callable[[Row], Row], ...] = (
        lambda row: {"last_name": row["last_name"][:2] + row["last_name"][3:]},
        lambda row: {"street": "1 Elsewhere", "city": "Oxford", "postal_code": "00000"},  # noqa: ARG005
        lambda row: {"first_name": row["last_name"], "last_name": row["first_name"]},
        lambda row: {"first_name": row["first_name"][0] + "."},
    )
    again = [
        row | {"identifier_key": f"b{number:03d}"} | spelled[number % len(spelled)](row)
        for number, row in enumerate(rows[:twice])
    ]
    return rows + again


def found(rows: list[Row], least_score: float = 0.9) -> pa.Table:
    return suspected_pairs(profiles_of(rows), RULES, least_score=least_score).pairs


@pytest.fixture(scope="module")
def matched() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = found(people(300, twice=40)).to_pylist()
    return rows


def test_people_who_are_spelled_differently_are_suspected_and_nobody_else(
    matched: list[dict[str, Any]],
) -> None:
    pairs = {(row["from_key"], row["to_key"]) for row in matched}
    assert pairs == {(f"a{number:03d}", f"b{number:03d}") for number in range(40)}


def test_a_pair_says_what_agreed(matched: list[dict[str, Any]]) -> None:
    told = {row["from_key"]: row["agreement"] for row in matched}
    assert "first_name same, last_name" in told["a000"]
    assert "home differs" in told["a001"]
    assert "first_name swapped, last_name swapped, date_of_birth same" in told["a002"]
    assert "first_name initial, last_name same" in told["a003"]


def test_scores_are_probabilities_over_the_least_one(matched: list[dict[str, Any]]) -> None:
    assert all(0.9 <= row["score"] <= 1 for row in matched)
    assert all(row["from_key"] < row["to_key"] for row in matched)


def test_the_same_profiles_in_another_order_give_the_same_pairs(matched: list[dict[str, Any]]) -> None:
    rows = people(300, twice=40)
    random.Random(3).shuffle(rows)
    assert found(rows).to_pylist() == matched


def test_traits_that_no_profile_has_are_left_out_and_said() -> None:
    rows = [{k: v for k, v in row.items() if k not in ("postal_code",)} for row in people(300, twice=40)]
    told = suspected_pairs(profiles_of(rows), RULES, least_score=0.9)
    assert told.unused_traits == ("postal_code", "phone", "email")
    assert told.pairs.num_rows >= 35


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "0 profiles can be matched, expected 100 or more to learn from"),
        (people(60, twice=5), "65 profiles can be matched, expected 100 or more to learn from"),
        (
            [{"identifier_key": f"k{number}"} for number in range(200)],
            "The 200 profiles have no two values of first_name, last_name, date_of_birth, street, "
            "postal_code, city, phone, email, so nothing is left of the rules under comparisons, "
            "blocking, training, known",
        ),
        (
            [{"identifier_key": row["identifier_key"], "city": row["city"]} for row in people(200, twice=9)],
            "so nothing is left of the rules under comparisons, blocking, training, known",
        ),
        (
            [
                {"identifier_key": f"k{number}", "date_of_birth": f"{1900 + number}-01-01"}
                | {"first_name": f"n{number}", "last_name": f"m{number}"}
                for number in range(120)
            ],
            "The 120 profiles have no two values of",
        ),
    ],
)
def test_too_little_to_learn_from_is_said_clearly(rows: list[Row], said: str) -> None:
    with pytest.raises(FatalOrchestrationError) as refused:
        found(rows)
    assert said in str(refused.value)


def test_profiles_without_any_duplicate_give_no_pair() -> None:
    """Nothing is known to be one person's, so the model expects next to nothing."""
    assert found(people(300, twice=0)).num_rows == 0


def test_without_splink_the_command_says_what_to_install(
    cdp: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "splink", None)
    finished = cdp("identity", "match")
    assert isinstance(finished.exception, FatalOrchestrationError)
    assert "`pip install 'cdp[splink]'`" in str(finished.exception)


def test_before_the_first_run_there_is_nothing_to_match(cdp: Callable[..., Result]) -> None:
    finished = cdp("identity", "match")
    assert "There is no snapshot" in str(finished.exception)


def test_wrong_rules_are_refused_before_anything_is_compared(
    cdp: Callable[..., Result], tmp_path: Path
) -> None:
    path = tmp_path / "rules.yml"
    path.write_text("least_score: 2")
    finished = cdp("identity", "match", "--rules", str(path))
    assert "key 'least_score' is wrong" in str(finished.exception)


@pytest.mark.skipif(not DATA.exists(), reason=NEEDS_DATA)
@pytest.mark.parametrize(
    ("records", "least_precision", "least_recall"), [(fake_1000, 0.99, 0.6), (febrl, 0.99, 0.97)]
)
def test_what_is_suspected_of_reference_data_is_true(
    records: Callable[[], Records], least_precision: float, least_recall: float
) -> None:
    """tests/benchmarks/matching.py prints the whole table."""
    given = records()
    pairs = suspected_pairs(given.profiles, RULES, least_score=RULES.least_score).pairs.to_pylist()
    ours: set[Pair] = {pair_of(row["from_key"], row["to_key"]) for row in pairs}
    right = len(ours & given.true_pairs)
    assert right / len(ours) >= least_precision
    assert right / len(given.true_pairs) >= least_recall
