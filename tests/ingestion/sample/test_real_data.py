"""What is real stays real: orders and cancellations of the sample are those of the published sheet."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from ingestion.sample.countries import COUNTRY_CODES, country_code
from ingestion.sample.extract import EXTRACT_PATH
from tests.ingestion.sample.oracle import Oracle

Totals = dict[str, Decimal]


@pytest.fixture(scope="module")
def published() -> tuple[Totals, Totals]:
    """Totals by invoice, summed from the extract's own lines: orders, cancellations."""
    orders: Totals = defaultdict(Decimal)
    cancellations: Totals = defaultdict(Decimal)
    for row in pq.read_table(EXTRACT_PATH, columns=["invoice", "quantity", "price"]).to_pylist():
        value = Decimal(str(row["price"])) * row["quantity"]
        if row["invoice"].startswith("C") and row["quantity"] < 0:
            cancellations[row["invoice"]] -= value
        elif row["invoice"][0].isdigit() and row["quantity"] > 0 and row["price"] > 0:
            orders[row["invoice"]] += value
    return orders, cancellations


def _written(oracle: Oracle, name: str) -> Totals:
    return {
        event["body"]["order_id"]: Decimal(str(event["body"]["total"]))
        for event in oracle.events
        if event["name"] == name
    }


def test_every_order_is_there_with_its_value(company_read: Oracle, published: tuple[Totals, Totals]) -> None:
    written = _written(company_read, "Order Completed")

    assert written == published[0]
    assert sum(written.values()) == Decimal("10305892.024")


def test_every_cancellation_is_there_with_its_value(
    company_read: Oracle, published: tuple[Totals, Totals]
) -> None:
    written = _written(company_read, "Order Cancelled")

    assert written == published[1]
    assert sum(written.values()) == Decimal("630228.94")


def test_items_add_up_to_the_total(small_read: Oracle) -> None:
    for event in small_read.events:
        if event["name"] in {"Order Completed", "Order Cancelled", "Cart Updated"}:
            items = event["body"]["items"]
            value = sum(Decimal(str(item["price"])) * item["quantity"] for item in items)
            assert value == Decimal(str(event["body"]["total"]))


def test_customers_keep_their_numbers_and_guests_have_none(company_read: Oracle) -> None:
    table = pq.read_table(EXTRACT_PATH, columns=["customer_id"])
    real = {str(number) for number in pc.unique(table["customer_id"]).to_pylist() if number is not None}
    users = {value for kind, value in company_read.root if kind == "user_id"}

    # Two customers only ever got free samples: they ordered nothing and gave nothing back.
    assert real - users == {"14103", "14827"}
    assert all(int(user) > 90_000 for user in users - real)


def test_every_country_of_the_extract_is_mapped_or_known_to_be_none() -> None:
    names = pc.unique(pq.read_table(EXTRACT_PATH, columns=["country"])["country"]).to_pylist()

    assert {name for name in names if country_code(name) is None} <= {
        "Unspecified",
        "West Indies",
        "European Community",
    }
    assert all(len(code) == 2 and code.isupper() for code in COUNTRY_CODES.values())


def test_the_extract_is_small_and_whole() -> None:
    assert EXTRACT_PATH.stat().st_size <= 3_200_000
    assert pq.read_metadata(EXTRACT_PATH).num_rows == 525_461
