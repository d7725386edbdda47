"""The contracts as they stood at a commit: what a change is compared with."""

import subprocess
from pathlib import Path

from ingestion.contract import ContractFile
from ingestion.contract_files import parse_contract_file
from ingestion.errors import ContractError, RejectedInputError

# What counts as released when nobody says: the branch that others build on, as near as it is known here.
RELEASED_REFS = ("origin/HEAD", "origin/main", "main")
_SECONDS = 60


def released_ref(folder: Path) -> str | None:
    """The first of RELEASED_REFS that exists; nothing outside git."""
    return next((ref for ref in RELEASED_REFS if _commit(folder, ref)), None)


def compared_contracts(folder: Path, against: str | None) -> tuple[tuple[ContractFile, ...] | None, str]:
    """What today's contracts are compared with, and in words what that is; nothing to compare with is None.

    A commit that was asked for must be readable. The main branch need not be: a change that mends it has
    to pass.
    """
    if against is not None:
        return released_contracts(folder, against), f"compared with {against}"
    ref = released_ref(folder)
    if ref is None:
        return None, "not in git, so compared with nothing released"
    try:
        return released_contracts(folder, ref), f"compared with {ref}"
    except ContractError as error:
        return None, f"compared with nothing released, because it is wrong there. {error}"


def released_contracts(folder: Path, ref: str) -> tuple[ContractFile, ...]:
    """Every contract of the folder as it stood at the ref.

    Raises RejectedInputError for a ref that is not there, ContractError for a file of it that is wrong.
    """
    commit = _commit(folder, ref)
    if commit is None:
        raise RejectedInputError(
            f"--against {ref}: git knows no such commit in {folder}; name a branch, a tag or a commit that "
            "`git rev-parse` finds there."
        )
    listed = _git(folder, "ls-tree", "-z", "--name-only", commit, "./")
    names = sorted(name for name in (listed or "").split("\0") if name.endswith(".yml"))
    found = []
    for name in names:
        text = _git(folder, "show", f"{commit}:./{name}")
        try:
            found.append(parse_contract_file(Path(name).name, text or ""))
        except ContractError as error:
            raise ContractError(f"At {ref}: {error} Or compare with another commit (--against).") from error
    return tuple(found)


def _commit(folder: Path, ref: str) -> str | None:
    if ref.startswith("-"):
        return None
    found = _git(folder, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
    return found.strip() if found else None


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints; nothing when it fails or is not installed."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None
