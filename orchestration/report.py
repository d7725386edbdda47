"""The summary that a run ends with, as text that adds up."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from orchestration.summary import EventCounts, Summary


def print_summary(console: Console, summary: Summary, *, as_of: datetime, home: Path, run_id: str) -> None:
    """Print every part to `console`; each table's rows add up to the line above it."""
    console.print(f"\n[bold]Summary[/]  as of {as_of:%Y-%m-%d %H:%M} UTC, run {run_id[:8]}")
    console.print(f"\n[bold]Events[/]  {events_line(summary.events)}")
    if summary.events.quarantined_by_code:
        console.print(f"  quarantined: {counts(summary.events.quarantined_by_code)}")
    if summary.new_events.received != summary.events.received:
        console.print(f"  new in this run: {events_line(summary.new_events)}")
    for row in summary.legacy_files:
        console.print(
            f"  {row['system']} {row['kind']}: {row['accepted_rows'] or 0:,} rows"
            + (
                f", {row['quarantined_files']} files quarantined ({row['first_reason']})"
                if row["quarantined_files"]
                else ""
            ),
            markup=False,
        )
    people = summary.people
    console.print(
        f"\n[bold]People[/]  {people.people:,} from {people.identifiers:,} identifiers by {people.merges:,} "
        f"merges; {people.shared_identifiers:,} shared identifiers belong to nobody"
    )
    console.print(_audience_table(summary))
    console.print(_sync_table(summary))
    console.print(f"\n{outcome_line(summary)}\n", style="bold")
    for what, where in next_steps(home):
        console.print(f"  {what:32} {where}", highlight=False, markup=False)


def outcome_line(summary: Summary) -> str:
    """What the run did, in one sentence."""
    if summary.operations == 0:
        news = "Nothing new" if summary.new_events.received == 0 else "Nothing to send"
        return f"{news}: 0 operations."
    planned = ", ".join(
        f"{count:,} {what}"
        for what, names in (
            ("adds", ["adds"]),
            ("updates", ["updates"]),
            ("removals", ["removes", "erases"]),
            ("messages", ["sends"]),
        )
        if (count := sum(getattr(sync, name) for sync in summary.syncs for name in names))
        or what != "messages"
    )
    delivered = sum(sync.delivered for sync in summary.syncs)
    accepted = sum(sync.accepted for sync in summary.syncs)
    waits = f", {accepted:,} accepted and not yet acknowledged" if accepted else ""
    return f"{summary.operations:,} operations planned ({planned}), {delivered:,} delivered{waits}."


def next_steps(home: Path) -> Iterator[tuple[str, str]]:
    """Where to look next, and the command or folder for it."""
    yield "Runs, lineage, checks", "cdp ui"
    yield "The same numbers", "cdp status"
    yield "One person, and why", "cdp explain --email …"
    yield "Any question", 'cdp sql "select * from marts.audiences"'
    yield "What files would be uploaded", str(home / "destinations")


def events_line(events: EventCounts) -> str:
    """Received = accepted + duplicates + quarantined, with a warning where it does not."""
    text = (
        f"{events.received:,} received = {events.accepted:,} accepted + {events.duplicates:,} duplicates "
        f"+ {events.quarantined:,} quarantined"
    )
    return text if events.adds_up else f"{text}: THIS DOES NOT ADD UP, run `cdp doctor`"


def counts(by_name: Mapping[str, int]) -> str:
    """`CODE 12, OTHER 3`."""
    return ", ".join(f"{name} {number:,}" for name, number in by_name.items())


def _audience_table(summary: Summary) -> Table:
    table = _table(
        "Audiences", "audience", "channel", "eligible", "members", "excluded", "excluded by reason"
    )
    for audience in summary.audiences:
        table.add_row(
            audience.audience,
            audience.channel,
            f"{audience.eligible:,}",
            f"{audience.members:,}",
            f"{audience.excluded:,}",
            counts(audience.excluded_by_reason),
        )
    return table


def _sync_table(summary: Summary) -> Table:
    table = _table(
        "Syncs", "sync", "destination", "adds", "updates", "removals", "messages", "unchanged", "delivered",
        "accepted",
        "rejected", "suppressed", "waiting", "in doubt",
    )  # fmt: skip
    for sync in summary.syncs:
        numbers = (
            sync.adds, sync.updates, sync.removes + sync.erases, sync.sends, sync.unchanged, sync.delivered,
            sync.accepted,
            sync.rejected, sync.suppressed, sync.deferred, sync.in_doubt,
        )  # fmt: skip
        table.add_row(sync.sync, sync.destination, *(f"{number:,}" for number in numbers))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        is_text = number < 2 or column == "excluded by reason"
        table.add_column(
            column, justify="left" if is_text else "right", no_wrap=column != "excluded by reason"
        )
    return table
