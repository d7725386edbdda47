"""What changed between the released contracts and today's, and whether the versions say so."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from ingestion.compatibility import STEPS, Difference, Step, differences, needed_step, step_between
from ingestion.contract import ContractFile, VersionEntry

Problem = Literal[
    "VERSION_STEP_TOO_SMALL",
    "APPROVAL_MISSING",
    "PUBLISHED_VERSION_EDITED",
    "PUBLISHED_VERSION_REMOVED",
    "CONTRACT_REMOVED",
]


@dataclass(frozen=True)
class ContractChange:
    """One version beside the one it follows, or beside itself as it was released.

    `problems` maps what is wrong to what to do; a change without problems may be released.
    """

    contract: str
    version: str
    compared_with: str
    step: Step | None
    needed: Step
    differences: tuple[Difference, ...]
    problems: dict[Problem, str]
    is_new: bool

    @property
    def place(self) -> tuple[str, str]:
        """The version that it is about."""
        return self.contract, self.version


def check_contracts(
    today: tuple[ContractFile, ...], released: tuple[ContractFile, ...] | None
) -> list[ContractChange]:
    """Every step between versions of today's files, and every change of what was released.

    `released` is None when there is nothing to compare with; then only the steps are judged, all as new.
    """
    before = {file.name: file for file in released or ()}
    changes: list[ContractChange | None] = []
    for file in today:
        was = before.get(file.name)
        changes += _steps(file, was)
        changes += _edits(file, was) if was else []
    present = {file.name for file in today}
    changes += [_gone(file) for name, file in sorted(before.items()) if name not in present]
    return [change for change in changes if change is not None]


def _steps(file: ContractFile, was: ContractFile | None) -> Iterator[ContractChange]:
    known = {entry.version for entry in was.versions if entry.is_published} if was else set()
    for old, new in pairwise(file.versions):
        entry = file.changes_of(new.version)
        found = differences(old, new, entry)
        needed, step = needed_step(found), step_between(old.version, new.version)
        problems: dict[Problem, str] = {}
        if STEPS.index(step) < STEPS.index(needed):
            problems["VERSION_STEP_TOO_SMALL"] = _step_advice(old, new, found, needed)
        if step == "major" and new.is_published:
            approvers = {approval.by for approval in entry.approvals} if entry else set()
            if not approvers & {file.owner.team, file.owner.contact}:
                problems["APPROVAL_MISSING"] = (
                    f"A major step needs the owner's yes: an approval by {file.owner.team} or "
                    f"{file.owner.contact} in the changelog's entry of {new.version}."
                )
        yield ContractChange(
            file.name,
            new.version,
            old.version,
            step,
            needed,
            tuple(found),
            problems,
            new.version not in known,
        )


def _step_advice(old: VersionEntry, new: VersionEntry, found: list[Difference], needed: Step) -> str:
    major, minor, _ = (int(part) for part in old.version.split("."))
    least = f"{major + 1}.0.0" if needed == "major" else f"{major}.{minor + 1}.0"
    advice = f"From {old.version} to {new.version} is too small for a {needed} change; call it {least}"
    breaking = [each for each in found if each.step == "major"]
    if needed == "major" and all(each.is_widening for each in breaking):
        advice += (
            f", or list under 'consumers' of the changelog's entry of {new.version} who can read "
            f"the new values and call it {major}.{minor + 1}.0"
        )
    return f"{advice}."


def _edits(file: ContractFile, was: ContractFile) -> Iterator[ContractChange]:
    """Published versions that are not as they were."""
    entries = {entry.version: entry for entry in file.versions}
    for old in (entry for entry in was.versions if entry.is_published):
        new = entries.get(old.version)
        problems: dict[Problem, str] = {}
        found: list[Difference] = []
        if new is None:
            problems["PUBLISHED_VERSION_REMOVED"] = (
                f"Version {old.version} was published, and events were accepted under it; put it back, and "
                "say status: deprecated if nobody should send it any more."
            )
        elif new.fixed != old.fixed or not new.is_published:
            found = differences(old, new, None)
            problems["PUBLISHED_VERSION_EDITED"] = (
                f"Version {old.version} was published and cannot change; put it back and publish "
                f"the change as a new version ({needed_step(found)} step)."
            )
        if problems:
            yield ContractChange(
                file.name,
                old.version,
                old.version,
                None,
                needed_step(found),
                tuple(found),
                problems,
                is_new=True,
            )


def _gone(file: ContractFile) -> ContractChange | None:
    published = [entry.version for entry in file.versions if entry.is_published]
    if not published:
        return None
    return ContractChange(
        file.name,
        published[-1],
        published[-1],
        None,
        "major",
        (),
        {
            "CONTRACT_REMOVED": f"{file.name}.yml had published versions ({', '.join(published)}); put it "
            "back, and say status: deprecated if nobody should send it any more."
        },
        is_new=True,
    )
