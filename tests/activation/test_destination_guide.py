"""docs/how-to-write-a-destination.md, followed to the letter in a copy of the project."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "how-to-write-a-destination.md"


def blocks(language: str) -> list[str]:
    """The code of the guide in that language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what the guide touches, with its three steps done."""
    for name in ("activation", "tests/activation"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("__init__.py", "postgres.py", "postgres_proxy.py"):
        shutil.copy(ROOT / "tests" / file, tmp_path / "tests")
    adapter, place = blocks("python")
    account, sync = blocks("yaml")
    (tmp_path / "activation/adapters/table.py").write_text(adapter, encoding="utf-8")
    suite = tmp_path / "tests/activation/places.py"
    text = suite.read_text(encoding="utf-8")
    for before, after in (
        ("PLACES = {", f"{place}\n\nPLACES = {{"),
        ('"file": file_place}', '"file": file_place, "table": table_place}'),
        (
            "from contextlib import contextmanager",
            "import sqlite3\nfrom contextlib import closing, contextmanager",
        ),
    ):
        assert text.count(before) == 1, f"the guide says to change {before!r}"
        text = text.replace(before, after)
    suite.write_text(text, encoding="utf-8")
    with (tmp_path / "activation/destinations.yml").open("a", encoding="utf-8") as file:
        file.write(account)
    (tmp_path / "activation/syncs/loyal_people.yml").write_text(sync, encoding="utf-8")
    return tmp_path


def python(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=project, capture_output=True, text=True, timeout=300, check=False
    )


def test_the_adapter_of_the_guide_keeps_what_it_promises(project: Path) -> None:
    found = python(
        project,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/activation/test_adapter_contract.py",
        "-k",
        "table or place",
    )

    assert found.returncode == 0, found.stdout[-3000:]
    assert "passed" in found.stdout


def test_its_account_and_sync_are_found_and_valid(project: Path) -> None:
    found = python(
        project,
        "-c",
        "from pathlib import Path; from activation.config import load_definitions;"
        "sync = load_definitions(Path('activation')).sync('loyal_people');"
        "print(sync.destination.adapter.__name__, sync.mode.name)",
    )

    assert (found.stdout, found.stderr) == ("TableAdapter mirror\n", "")
