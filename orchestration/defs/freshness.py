"""Whether each event still comes as its contract expects: a check on raw.events for every contract."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from ingestion.contract import ContractFile
from ingestion.registry import load_registry
from orchestration.instance import POOL
from orchestration.resources import House
from orchestration.sql_files import rows
from orchestration.summary import naive_utc

EVENTS = dg.AssetKey(["raw", "events"])


def check_name(event: str) -> str:
    """The check of one contract."""
    return f"fresh_{event}"


def freshness(file: ContractFile, newest: datetime | None, moment: datetime) -> dg.AssetCheckResult:
    """How old the newest event of a contract is at a moment, against what the contract expects.

    Too old is a warning that names whom to ask: facts that are missing stop nobody's facts that are there.
    An event that never came yet is expected by nobody.
    """
    limit = timedelta(hours=file.freshness.expect_within_hours)
    age = None if newest is None else moment - newest
    said = (
        "never received"
        if age is None
        else f"the newest was received {_hours(age)} before; its contract expects one within {_hours(limit)}"
    )
    return dg.AssetCheckResult(
        asset_key=EVENTS,
        check_name=check_name(file.name),
        passed=age is None or age <= limit,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{file.name}: {said}. Owner: {file.owner.team}, {file.owner.contact}.",
        metadata={
            "newest_received_at": newest.isoformat() if newest else "never",
            "age_hours": -1.0 if age is None else age / timedelta(hours=1),
            "expected_within_hours": file.freshness.expect_within_hours,
            "owner": file.owner.contact,
        },
    )


def _hours(span: timedelta) -> str:
    return f"{span / timedelta(hours=1):,.1f} hours"


@dg.definitions
def freshness_checks() -> dg.Definitions:
    """One check for each contract that has a published version."""
    files = [file for file in load_registry().files if any(entry.is_published for entry in file.versions)]

    @dg.multi_asset_check(
        name="freshness",
        specs=[
            dg.AssetCheckSpec(
                check_name(file.name),
                asset=EVENTS,
                description=f"An event {file.name} within {file.freshness.expect_within_hours} hours.",
            )
            for file in files
        ],
        pool=POOL,
    )
    def check_freshness(house: House) -> Iterator[dg.AssetCheckResult]:
        """Compare the newest event of each contract with the moment that the run decides for."""
        with house.warehouse() as connection:
            found = rows(connection, "newest_events", {"as_of": naive_utc(house.moment)})
        newest = {row["event_name"]: row["newest_received_at"].replace(tzinfo=UTC) for row in found}
        for file in files:
            yield freshness(file, newest.get(file.name), house.moment)

    return dg.Definitions(asset_checks=[check_freshness])
