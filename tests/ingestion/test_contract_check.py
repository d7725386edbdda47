"""`cdp contracts check` in a git repository: what it says of a change of each class, and how it ends."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingestion.contract_check import ContractChange, check_contracts
from ingestion.errors import ContractError, RejectedInputError
from ingestion.registry import CONTRACTS_FOLDER, load_registry
from ingestion.released_contracts import compared_contracts, released_contracts, released_ref

OWNER = "web-data@shop.example"


class Contracts:
    """A folder of contracts in a repository; its first commit is what is released."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "some where" / "contracts"
        shutil.copytree(CONTRACTS_FOLDER, self.folder)
        self.root = root
        self.git("init", "--quiet", "--initial-branch", "main")
        self.commit()

    def git(self, *arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(self.root), *identity, *arguments], check=True, timeout=60)

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "contracts")

    def read(self, name: str = "product_viewed") -> dict[str, Any]:
        content: dict[str, Any] = yaml.safe_load((self.folder / f"{name}.yml").read_text())
        return content

    def write(self, content: dict[str, Any], name: str = "product_viewed") -> None:
        (self.folder / f"{name}.yml").write_text(yaml.safe_dump(content, sort_keys=False))

    def add(self, version: str, changed: dict[str, Any], status: str = "active", **entry: object) -> None:
        """A version after the newest, with fields changed (or removed by None)."""
        content = self.read()
        newest = content["versions"][-1]
        fields = {**newest["properties"]["properties"], **changed}
        fields = {name: schema for name, schema in fields.items() if schema is not None}
        properties = {**newest["properties"], "properties": fields}
        content["versions"].append({**newest, "version": version, "status": status, "properties": properties})
        content["changelog"].append({"version": version, "date": "2026-11-24", "change": "It.", **entry})
        self.write(content)

    def check(self, ref: str = "main") -> list[ContractChange]:
        return [
            change
            for change in check_contracts(
                load_registry(self.folder).files, released_contracts(self.folder, ref)
            )
            if change.is_new
        ]


@pytest.fixture
def contracts(tmp_path: Path) -> Contracts:
    return Contracts(tmp_path)


SIZE = {"type": "string", "x-pii": "none", "description": "The size chosen."}
NUMBER = {"type": "number", "x-unit": "GBP", "x-pii": "none", "description": "Price shown."}
YES = [{"by": OWNER, "date": "2026-11-24"}]
NOT_HERS = [{"by": "someone", "date": "2026-11-24"}]


def test_nothing_changed_is_nothing_to_say(contracts: Contracts) -> None:
    assert contracts.check() == []
    assert released_ref(contracts.folder) == "main"


@pytest.mark.parametrize(
    ("version", "changed", "entry", "needed", "problems"),
    [
        ("1.0.1", {"name": {**SIZE, "description": "Name shown."}}, {}, "patch", []),
        ("1.0.1", {"size": SIZE}, {}, "minor", ["VERSION_STEP_TOO_SMALL"]),
        ("1.1.0", {"size": SIZE}, {}, "minor", []),
        ("1.1.0", {"name": None}, {}, "major", ["VERSION_STEP_TOO_SMALL"]),
        ("2.0.0", {"name": None}, {}, "major", ["APPROVAL_MISSING"]),
        ("2.0.0", {"name": None}, {"approvals": NOT_HERS}, "major", ["APPROVAL_MISSING"]),
        ("2.0.0", {"name": None}, {"approvals": YES}, "major", []),
        ("1.1.0", {"price": NUMBER}, {}, "major", ["VERSION_STEP_TOO_SMALL"]),
        ("1.1.0", {"price": NUMBER}, {"consumers": ["analytics"]}, "minor", []),
    ],
)  # fmt: skip
def test_a_new_version_must_step_as_far_as_its_change(
    *,
    contracts: Contracts,
    version: str,
    changed: dict[str, Any],
    entry: dict[str, Any],
    needed: str,
    problems: list[str],
) -> None:
    contracts.add(version, changed, **entry)
    [change] = contracts.check()
    assert (change.contract, change.version, change.compared_with) == ("product_viewed", version, "1.0.0")
    assert (change.needed, list(change.problems)) == (needed, problems)


def test_what_was_published_cannot_be_edited(contracts: Contracts) -> None:
    content = contracts.read()
    content["versions"][0]["properties"]["properties"]["name"]["maxLength"] = 80
    contracts.write(content)
    [change] = contracts.check()
    assert list(change.problems) == ["PUBLISHED_VERSION_EDITED"]
    assert [(each.path, each.step) for each in change.differences] == [("name", "major")]
    assert "publish the change as a new version (major step)" in change.problems["PUBLISHED_VERSION_EDITED"]


def test_a_published_version_may_be_deprecated_but_not_taken_back(contracts: Contracts) -> None:
    contracts.add("1.1.0", {"size": SIZE})
    contracts.commit()
    content = contracts.read()
    content["versions"][0] |= {"status": "deprecated", "deprecated_on": "2026-12-01"}
    contracts.write(content)
    assert contracts.check() == []
    content["versions"][0] |= {"status": "draft", "deprecated_on": None}
    contracts.write(content)
    assert [list(change.problems) for change in contracts.check()] == [["PUBLISHED_VERSION_EDITED"]]
    del content["versions"][0], content["changelog"][0]
    contracts.write(content)
    assert [list(change.problems) for change in contracts.check()] == [["PUBLISHED_VERSION_REMOVED"]]


def test_a_contract_with_published_versions_stays(contracts: Contracts) -> None:
    (contracts.folder / "cart_updated.yml").unlink()
    released = released_contracts(contracts.folder, "main")
    left = tuple(file for file in released if file.name != "cart_updated")
    [change] = [each for each in check_contracts(left, released) if each.is_new]
    assert list(change.problems) == ["CONTRACT_REMOVED"]


def test_a_draft_may_change_until_it_is_published_and_holds_no_event(contracts: Contracts) -> None:
    contracts.add("2.0.0", {"name": None}, status="draft")
    contracts.commit()
    content = contracts.read()
    content["versions"][-1]["properties"]["properties"]["size"] = SIZE
    contracts.write(content)
    changes = contracts.check()
    assert [change.problems for change in changes] == [{}]
    registry = load_registry(contracts.folder)
    assert [each.version for each in registry.contracts if each.name == "product_viewed"] == ["1.0.0"]


def test_two_steps_at_once_are_judged_one_by_one(contracts: Contracts) -> None:
    contracts.add("1.1.0", {"size": SIZE})
    contracts.add("2.0.0", {"name": None})
    assert [(each.version, list(each.problems)) for each in contracts.check()] == [
        ("1.1.0", []),
        ("2.0.0", ["APPROVAL_MISSING"]),
    ]


@pytest.mark.parametrize("ref", ["no-such-branch", "--output=x", "", "main:README"])
def test_a_commit_that_is_not_there_is_named(contracts: Contracts, ref: str) -> None:
    with pytest.raises(RejectedInputError, match="git knows no such commit"):
        contracts.check(ref)


def test_a_released_set_that_cannot_be_read_is_named_with_its_commit(contracts: Contracts) -> None:
    before = (contracts.folder / "signed_up.yml").read_text()
    (contracts.folder / "signed_up.yml").write_text("name: [")
    contracts.commit()
    (contracts.folder / "signed_up.yml").write_text(before)
    with pytest.raises(ContractError, match=r"At main: signed_up\.yml cannot be read as YAML"):
        contracts.check()
    with pytest.raises(ContractError, match="At main"):
        compared_contracts(contracts.folder, "main")


def test_a_change_that_mends_the_main_branch_can_pass(contracts: Contracts) -> None:
    assert compared_contracts(contracts.folder, None)[1] == "compared with main"
    (contracts.folder / "signed_up.yml").write_text("name: [")
    contracts.commit()
    released, compared = compared_contracts(contracts.folder, None)
    assert released is None
    assert compared.startswith(
        "compared with nothing released, because it is wrong there. At main: signed_up"
    )


def test_outside_git_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    shutil.copytree(CONTRACTS_FOLDER, tmp_path / "contracts")
    assert released_ref(tmp_path / "contracts") is None
    files = load_registry(tmp_path / "contracts").files
    assert not any(change.problems for change in check_contracts(files, None))
