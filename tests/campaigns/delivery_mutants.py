"""Takes each safeguard of delivery away in turn, and sees whether a test fails.

python -m tests.campaigns.delivery_mutants [--only TEXT] [--quick] [--processes N] -> a table; exit code 1
when a mutant survives, when its tests fail without it, or when the text that it changes is not there any
more. The table of mutants is tests/campaigns/mutants.py. Each is tried in a copy of the code, in a process of
its own.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.campaigns.mutants import MUTANTS, Mutant

REPOSITORY = Path(__file__).resolve().parents[2]
COPIED = (
    "activation",
    "tests/activation",
    "tests/campaigns",
    "tests/__init__.py",
    "tests/conftest.py",
    "tests/memory.py",
    "tests/postgres.py",
    "pyproject.toml",
)
SECONDS = 240
SECONDS_FOR_ALL = 1200
FAILED = 1  # what pytest exits with when tests ran and one failed


@dataclass(frozen=True)
class Trial:
    """What became of a mutant: `caught`, `survived`, or why it was not tried; and the test that failed."""

    mutant: Mutant
    verdict: str
    by: str
    seconds: float

    @property
    def is_caught(self) -> bool:
        return self.verdict == "caught"


def copy_code(folder: Path) -> None:
    """The code and the tests that mutants need."""
    for name in COPIED:
        source, target = REPOSITORY / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)


def mutate(folder: Path, mutant: Mutant) -> str | None:
    """Change the copy; why it cannot be done, or None."""
    file = folder / mutant.file
    text = file.read_text(encoding="utf-8")
    for old, new in mutant.changes:
        if (found := text.count(old)) != 1:
            return f"not tried: {old.strip()[:60]!r} stands {found} times in {mutant.file}"
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")
    return None


def run_tests(folder: Path, tests: Iterable[str], *, seconds: float = SECONDS) -> tuple[int, str]:
    """pytest's exit code, and the first test that failed."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "-m",
            "not long",
            "-k",
            "not postgres",
            "--tb=no",
            *tests,
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return done.returncode, failed[0].split(" - ")[0].partition(" ")[2] if failed else done.stdout[-200:]


def try_mutant(mutant: Mutant) -> Trial:
    """Run the mutant's tests on a changed copy."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_code(folder)
        if reason := mutate(folder, mutant):
            return Trial(mutant, reason, "", 0.0)
        try:
            code, by = run_tests(folder, mutant.tests)
        except subprocess.TimeoutExpired:
            code, by = FAILED, f"no end within {SECONDS} s"
    verdict = {0: "survived", FAILED: "caught"}.get(code, f"not tried: pytest exited with {code}")
    return Trial(mutant, verdict, by if verdict != "survived" else "", time.monotonic() - began)


def try_nothing(mutants: Iterable[Mutant]) -> str | None:
    """The first test that fails on an unchanged copy: then nothing that it says of a mutant counts."""
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    files = [test for test in tests if "::" not in test or test.split("::")[0] not in tests]
    with tempfile.TemporaryDirectory() as name:
        copy_code(Path(name))
        code, by = run_tests(Path(name), files, seconds=SECONDS_FOR_ALL)
    return None if code == 0 else by


def row(trial: Trial) -> str:
    """One line of the table."""
    return f"{trial.mutant.name:66} {trial.verdict:10} {trial.seconds:4.0f} s  {trial.by}"


def main() -> None:
    """Try the mutants asked for; exit code 1 when one was not caught."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", default="", help="mutants whose name or file has this text")
    parser.add_argument("--quick", action="store_true", help="those that `make test-slow` tries")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    chosen = [
        mutant
        for mutant in MUTANTS
        if given.only in f"{mutant.name} {mutant.file}" and (mutant.is_quick or not given.quick)
    ]
    if failed := try_nothing(chosen):
        sys.stderr.write(f"without any mutant this fails: {failed}\n")
        raise SystemExit(1)
    trials = []
    with ThreadPoolExecutor(given.processes) as pool:
        for trial in pool.map(try_mutant, chosen):
            trials.append(trial)
            sys.stdout.write(row(trial) + "\n")
            sys.stdout.flush()
    caught = sum(trial.is_caught for trial in trials)
    sys.stdout.write(f"{caught} of {len(trials)} mutants were caught\n")
    if caught < len(trials):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
