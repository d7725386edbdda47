"""identity_rules.yml: the project's is sound, and what is wrong with another is said by key."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestration.errors import FatalOrchestrationError
from orchestration.identity.rules import RULES_FILE, read_rules

PROJECT = Path(__file__).resolve().parents[3] / "dbt_project"
GOOD: dict[str, Any] = {
    "identifier_types": {
        "user_id": {"kind": "authoritative", "priority": 1},
        "email": {"kind": "mergeable", "priority": 2, "per_identifier": [{"type": "user_id", "most": 1}]},
    },
    "blocked_values": [{"type": "any", "value": "unknown"}],
}


def write(folder: Path, rules: Any) -> Path:
    path = folder / "rules.yml"
    path.write_text(
        yaml.safe_dump(
            {"models": [{"name": "int_identity_rules", "config": {"meta": {"identity_rules": rules}}}]}
        )
    )
    return path


def changed(path: str, value: Any) -> dict[str, Any]:
    rules = copy.deepcopy(GOOD)
    *parents, last = path.split(".")
    place: Any = rules
    for part in parents:
        place = place[int(part)] if part.isdigit() else place.setdefault(part, {})
    place[last] = value
    return rules


def test_the_rules_of_the_project_are_sound() -> None:
    assert next(iter(read_rules(PROJECT / RULES_FILE)["identifier_types"])) == "user_id"


def test_sound_rules_come_back_as_they_were_written(tmp_path: Path) -> None:
    assert read_rules(write(tmp_path, GOOD)) == GOOD


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("identifier_types", {}, "identifier_types: Dictionary should have at least 1 item"),
        (
            "identifier_types.email.kind",
            "weak",
            "identifier_types.email.kind: Input should be 'authoritative'",
        ),
        ("identifier_types.email.priority", 1, "both have priority 1"),
        (
            "identifier_types.email.priority",
            "high",
            "identifier_types.email.priority: Input should be a valid int",
        ),
        (
            "identifier_types.email.colour",
            "red",
            "identifier_types.email.colour: Extra inputs are not permitted",
        ),
        ("identifier_types.user_id.per_person", {"most": 2}, "authoritative, one value is one person"),
        ("identifier_types.email.per_person", {"most": 0}, "per_person.most: Input should be greater than"),
        ("identifier_types.email.per_identifier", [{"type": "phone", "most": 1}], "names the type 'phone'"),
        ("tiers.default", "certain", "tiers.default: Input should be 'exact', 'strict' or 'loose'"),
        (
            "tiers.rules",
            [{"types": ["email"], "tier": "exact"}],
            "tiers.rules.0.types: List should have at least 2",
        ),
        ("least_tier.marketing", "any", "least_tier.marketing: Input should be"),
        ("guards.most_identifiers", 1, "guards.most_identifiers: Input should be greater than or equal to 2"),
        ("blocked_values.0.regex", "0+", "needs exactly one of value, regex and domain"),
        ("blocked_values", [{"type": "any", "regex": "(0"}], "regex '(0' is none"),
        ("blocked_values", [{"type": "any", "regex": "(?=0)"}], "the engines do not read those alike"),
        ("blocked_values", [{"type": "fax", "value": "0"}], "blocked_values names the type 'fax'"),
    ],
)
def test_what_is_wrong_is_said_by_key(tmp_path: Path, path: str, value: Any, said: str) -> None:
    with pytest.raises(FatalOrchestrationError) as refused:
        read_rules(write(tmp_path, changed(path, value)))
    assert said in str(refused.value)
    assert "Correct it." in str(refused.value)


@pytest.mark.parametrize(
    "text", ["", "models: []", "models: 7", "a: [", "a: 1\na: 1", "models: [{name: int_identity_rules}]"]
)
def test_a_file_without_rules_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rules.yml"
    path.write_text(text)
    with pytest.raises(FatalOrchestrationError, match=r"has no identity rules|cannot be read as YAML"):
        read_rules(path)
