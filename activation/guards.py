"""When a plan stops and asks a person: what would harm most is never done by itself."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from activation.config import Sync

SHARE = "{:.0%}"
DOES = {
    "removals": "remove",
    "erased": "delete",
    "forgotten": "forget",
    "created": "add",
    "changed": "change",
}


@dataclass(frozen=True)
class GuardStop:
    """Why a plan may not run by itself. `can_be_approved` says whether a person's yes lets it run."""

    name: str
    message: str
    can_be_approved: bool = True


@dataclass(frozen=True)
class SourceState:
    """How the marts stand: the moment they were decided for, their newest fact, and which checks failed."""

    as_of: datetime
    newest_at: datetime | None
    failed_checks: tuple[str, ...] = ()


@dataclass(frozen=True)
class FormerRun:
    """Where the last run of a sync delivered to, and how its fields were made then."""

    destination: str
    list_name: str
    made_of: Mapping[str, str]


@dataclass(frozen=True)
class Planned:
    """What the guards look at: the plan in numbers, and what was before it."""

    counts: Mapping[str, int]
    operations: int
    cost: float | None
    full_because: str | None
    made_of: Mapping[str, str]
    former: FormerRun | None
    source: SourceState | None


def full_because(
    made_of: Mapping[str, str], former: FormerRun | None, counts: Mapping[str, int]
) -> str | None:
    """Why a plan touches everybody, in words; None for a plan of what changed."""
    if not counts["acknowledged"]:
        return "nobody was delivered yet" if counts["adds"] + counts["updates"] else None
    if former is None or not counts["updates"]:
        return None
    changes = [
        *(f"{field} is new" for field in made_of if field not in former.made_of),
        *(f"{field} is gone" for field in former.made_of if field not in made_of),
        *(
            f"{field} was {former.made_of[field]}, is {made}"
            for field, made in made_of.items()
            if field in former.made_of and former.made_of[field] != made
        ),
    ]
    return f"how fields are made changed ({'; '.join(changes)})" if changes else None


def stops(sync: Sync, planned: Planned) -> tuple[GuardStop, ...]:
    """Every guard that a plan runs into, what can never be approved first."""
    found = [*_of_place(sync, planned), *_of_source(sync, planned), *_of_size(sync, planned)]
    return tuple(sorted(found, key=lambda stop: stop.can_be_approved))


def _of_place(sync: Sync, planned: Planned) -> Iterator[GuardStop]:
    former, acknowledged = planned.former, planned.counts["acknowledged"]
    place = (sync.destination.name, sync.target.list_name)
    if former is not None and acknowledged and (former.destination, former.list_name) != place:
        yield GuardStop(
            "target_changed",
            f"it now points to {'/'.join(place)}, but its {acknowledged:,} members were delivered to "
            f"{former.destination}/{former.list_name}; they would stay there for ever. Point it back, or "
            "give the new place a sync of its own.",
            can_be_approved=False,
        )
    if former is not None and planned.operations:
        changed = [
            f"{field} was {former.made_of[field]}, is {made}"
            for field, made in planned.made_of.items()
            if field in former.made_of and _column_and_type(former.made_of[field], made)
        ]
        if changed:
            yield GuardStop("type_changed", f"the type of a column changed under it: {'; '.join(changed)}.")


def _column_and_type(before: str, after: str) -> bool:
    """Whether the same column has another type: the mart changed, not the file."""
    (column_before, _, type_before), (column_after, _, type_after) = (
        words.split(",")[0].partition(" as ") for words in (before, after)
    )
    return column_before == column_after and type_before != type_after


def _of_source(sync: Sync, planned: Planned) -> Iterator[GuardStop]:
    counts, source = planned.counts, planned.source
    if source is not None and source.failed_checks and planned.operations:
        yield GuardStop(
            "failed_check",
            f"{len(source.failed_checks)} checks of what it reads failed: "
            f"{', '.join(source.failed_checks[:3])}.",
        )
    limit = timedelta(hours=sync.guards.max_source_age_hours)
    if source is not None and planned.operations:
        if source.newest_at is None:
            yield GuardStop("stale_source", "no fact has arrived yet, so nobody knows how old its source is.")
        elif source.as_of - source.newest_at > limit:
            yield GuardStop(
                "stale_source",
                f"the newest fact behind it arrived {source.newest_at:%Y-%m-%d %H:%M} UTC, more than "
                f"{sync.guards.max_source_age_hours:g} hours before {source.as_of:%Y-%m-%d %H:%M}.",
            )
    if counts["acknowledged"] and not counts["desired_rows"] and counts["removes"]:
        yield GuardStop(
            "empty_source",
            f"it would remove all {counts['acknowledged']:,} members, because {sync.source} has none.",
        )
    invalid, wanted = counts["invalid_rows"], counts["desired_rows"]
    if wanted and invalid / wanted > sync.guards.max_invalid_share:
        yield GuardStop(
            "invalid_share",
            f"{invalid:,} of its {wanted:,} rows are invalid, {SHARE.format(invalid / wanted)}; its guards "
            f"allow {SHARE.format(sync.guards.max_invalid_share)}.",
        )


def _of_size(sync: Sync, planned: Planned) -> Iterator[GuardStop]:
    counts, guards = planned.counts, sync.guards
    acknowledged = counts["acknowledged"]
    # nobody can say what share of nothing a first run is
    for name, count, share, least in (
        ("removals", counts["removes"] - counts["opt_outs"], guards.max_removed_share, guards.max_removed),
        ("erased", counts["erases"], 0.0, guards.max_removed),
        (
            "forgotten",
            counts["forgotten"] if sync.occurrence else 0,
            guards.max_removed_share,
            guards.max_removed,
        ),
        (
            "created",
            counts["adds"] + counts["sends"] if acknowledged else 0,
            guards.max_created_share,
            guards.max_created,
        ),
        ("changed", counts["updates"], guards.max_changed_share, guards.max_changed),
    ):
        if share is None or (name == "removals" and not counts["desired_rows"] and acknowledged):
            continue
        allowed = max(share * acknowledged, least)
        if count > allowed:
            does = DOES[name]
            of_members = (
                f" of {acknowledged:,} members" if name in ("removals", "changed", "forgotten") else " people"
            )
            note = {
                "removals": " (opt-outs not counted)",
                "forgotten": ", who would get the message again when they come back",
            }.get(name, "")
            yield GuardStop(
                name,
                f"it would {does} {count:,}{of_members}{note}; its guards allow {int(allowed):,}.",
            )
    most = sync.budget.max_operations
    if most is not None and planned.operations > most:
        yield GuardStop(
            "budget", f"it holds {planned.operations:,} operations; its budget is {most:,} a run."
        )
    if sync.budget.max_cost is not None and planned.cost is not None and planned.cost > sync.budget.max_cost:
        currency = sync.destination.cost.currency if sync.destination.cost else ""
        yield GuardStop(
            "cost",
            f"it would cost {planned.cost:,.2f} {currency}; its budget is {sync.budget.max_cost:,.2f} a run.",
        )
    if planned.operations and sync.approval.needed == "always":
        yield GuardStop("approval", "each of its plans needs a person's approval.")
    elif planned.operations and sync.approval.needed == "when_full" and planned.full_because:
        yield GuardStop("approval", f"it is a full one, because {planned.full_because}.")
