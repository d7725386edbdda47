"""matching_rules.yml: the project's is sound, and what is wrong with another is said by key."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingestion.errors import ContractError
from orchestration.identity.matching_rules import MATCHING_RULES_FILE, read_matching_rules

GOOD: dict[str, Any] = yaml.safe_load(MATCHING_RULES_FILE.read_text())


def write(folder: Path, rules: Any) -> Path:
    path = folder / "rules.yml"
    path.write_text(yaml.safe_dump(rules))
    return path


def test_the_rules_of_the_project_are_sound_and_have_a_name() -> None:
    rules = read_matching_rules()
    assert rules.least_score == 0.9
    assert len(rules.rules_hash) == 12


def test_other_rules_have_another_name(tmp_path: Path) -> None:
    other = read_matching_rules(write(tmp_path, GOOD | {"least_score": 0.95}))
    same = read_matching_rules(write(tmp_path, GOOD))
    assert same.rules_hash == read_matching_rules().rules_hash != other.rules_hash


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("least_score", 0.3, "key 'least_score' is wrong: Input should be greater than or equal to 0.5"),
        ("least_score", 1, "key 'least_score' is wrong: Input should be less than 1"),
        ("comparisons.0.trait", "name", "key 'comparisons.0.trait' is wrong: Input should be 'first_name'"),
        ("comparisons.0.as", "soundex", "key 'comparisons.0.as' is wrong: Input should be 'name'"),
        ("comparisons.2.swapped_with", "city", "`swapped_with` names another trait, of a comparison as name"),
        ("comparisons.4.trait", "email", "comparisons compares email twice"),
        (
            "comparisons.3.within",
            ["country"],
            "a comparison as home is of street, within",
        ),
        ("comparisons.2.within", ["city"], "`within` belongs to a comparison as home"),
        ("blocking", [], "key 'blocking' is wrong: Tuple should have at least 1 item"),
        ("training.1.traits", ["date_of_birth"], "training has date_of_birth in every rule"),
        ("known.share", 0, "key 'known.share' is wrong: Input should be greater than 0"),
        ("threshold", 0.9, "key 'threshold' is wrong: Extra inputs are not permitted"),
    ],
)
def test_what_is_wrong_is_said_by_key(tmp_path: Path, path: str, value: Any, said: str) -> None:
    rules = copy.deepcopy(GOOD)
    *parents, last = path.split(".")
    place: Any = rules
    for part in parents:
        place = place[int(part)] if part.isdigit() else place[part]
    place[last] = value
    with pytest.raises(ContractError) as refused:
        read_matching_rules(write(tmp_path, rules))
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "cannot be read as YAML"),
        ("- 1", r"key '\(the whole file\)' is wrong"),
        ("least_score: 0.9\nleast_score: 0.8", "key 'least_score' stands twice"),
    ],
)
def test_a_file_that_holds_no_rules_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "rules.yml"
    path.write_text(text)
    with pytest.raises(ContractError, match=said):
        read_matching_rules(path)
