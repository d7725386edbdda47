"""The ledger as the warehouse sees it, and the standing noes that every claim obeys."""

from collections.abc import Iterator

import dagster as dg

from activation.engine import refresh_denials_from_marts
from activation.projection import project
from orchestration.asset_keys import ACTIVATION_OWNER, DENIALS, PROJECTED_TABLES, mart
from orchestration.instance import POOL
from orchestration.resources import House
from orchestration.settings import utc_now
from orchestration.sql_files import one_row
from orchestration.summary import naive_utc
from orchestration.table_counts import count_tables


@dg.multi_asset(
    name="delivery_records",
    specs=[
        dg.AssetSpec(
            ["activation", table],
            description=description,
            group_name="activation",
            owners=[ACTIVATION_OWNER],
            kinds={"sqlite", "duckdb"},
        )
        for table, description in PROJECTED_TABLES.items()
    ],
    pool=POOL,
)
def delivery_records(house: House) -> Iterator[dg.MaterializeResult[None]]:
    """What the ledger proves, copied into the warehouse before the models read it."""
    with house.warehouse() as connection:
        projection = project(connection, house.ledger)
        row_counts = count_tables(connection, ("activation",))
    summary = (
        f"{row_counts.get('activation.operations', 0):,} operations known, "
        f"{projection.operations:,} changed since the last projection"
    )
    for table in PROJECTED_TABLES:
        yield dg.MaterializeResult(
            asset_key=["activation", table],
            metadata={
                "summary": summary,
                "dagster/row_count": row_counts.get(f"activation.{table}", 0),
                "ledger_seq": projection.ledger_seq,
            },
        )


@dg.asset(
    key=DENIALS,
    deps=[mart("suppressions"), mart("consent_states")],
    group_name="gate",
    owners=[ACTIVATION_OWNER],
    kinds={"sqlite"},
    pool=POOL,
)
def denials(house: House) -> dg.MaterializeResult[None]:
    """Addresses that no claim may pass: suppressed, or with a standing withdrawal. Read before any sync."""
    with house.warehouse() as connection:
        seen = one_row(connection, "watermark", {"as_of": naive_utc(house.moment)})
        newest = seen["newest_received_at"] if seen else None
        watermark = newest.replace(tzinfo=house.moment.tzinfo) if newest else house.moment
        refresh = refresh_denials_from_marts(connection, house.ledger, watermark=watermark, now=utc_now())
    behind = "; the watermark is older than before, so none is lifted" if refresh.is_behind else ""
    counted = f"{refresh.standing:,} standing, {refresh.added:,} new, {refresh.lifted:,} lifted"
    return dg.MaterializeResult(
        metadata={
            "summary": f"{counted}{behind}",
            "dagster/row_count": refresh.standing,
            "added": refresh.added,
            "lifted": refresh.lifted,
            "watermark": watermark.isoformat(),
        }
    )
