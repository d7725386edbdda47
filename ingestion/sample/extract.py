"""The real part of the sample: orders, cancellations and items of Online Retail II."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingestion.sample.countries import country_code

EXTRACT_PATH: Final = Path(__file__).parent / "data" / "online_retail_2009_2010.parquet"
CURRENCY: Final = "GBP"
# Carts and page views take their items from the first lines of the real order.
BROWSED_LINES: Final = 10


@dataclass(frozen=True, slots=True)
class Line:
    """One item that can be looked at and put into a cart, as JSON text; `value` in thousandths of a pound."""

    item: str
    view: str | None
    value: int


@dataclass(frozen=True, slots=True)
class Order:
    """One real invoice, or one real cancellation; `total` in thousandths of a pound, above zero in both."""

    order_id: str
    customer_id: int | None
    at: int
    country: str | None
    total: int
    items: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Company:
    """All real orders and cancellations, in order of time, and the goods that are looked at most."""

    orders: tuple[Order, ...]
    cancellations: tuple[Order, ...]
    bestsellers: tuple[Line, ...]


def encode_extract(source: Path, target: Path) -> None:
    """Write the published sheet as the compact extract: all rows, sorted, values unchanged."""
    published = pq.read_table(source)
    table = pa.table(
        {
            "invoice": published["Invoice"],
            "stock_code": published["StockCode"],
            "description": published["Description"],
            "quantity": published["Quantity"].cast(pa.int32()),
            "invoiced_at": pc.strptime(published["InvoiceDate"], format="%Y-%m-%d %H:%M:%S", unit="s").cast(
                pa.timestamp("ms")
            ),
            "price": published["Price"],
            "customer_id": published["Customer ID"].cast(pa.int32()),
            "country": published["Country"],
        }
    )
    keys = [(name, "ascending") for name in ("invoice", "stock_code", "quantity", "price", "invoiced_at")]
    pq.write_table(
        table.sort_by(keys),
        target,
        compression="zstd",
        compression_level=22,
        row_group_size=1 << 20,
        data_page_size=1 << 26,
        dictionary_pagesize_limit=1 << 24,
        use_dictionary=[name for name in table.column_names if name != "invoiced_at"],
        column_encoding={"invoiced_at": "DELTA_BINARY_PACKED"},
    )


def load_company(path: Path = EXTRACT_PATH) -> Company:
    """Read the extract.

    An order is an invoice's lines with a quantity and a price above zero; a cancellation the lines of a `C`
    invoice with a quantity below zero. Everything else is bookkeeping (bad debt `A…`, stock write-offs, free
    samples) and no customer's act. An invoice that spans two minutes happened at the first. Times are taken
    as UTC.
    """
    orders: list[Order] = []
    cancellations: list[Order] = []
    sold: dict[str, int] = {}
    views: dict[tuple[str, float], str] = {}
    lines: dict[str, Line] = {}
    for invoice, group in groupby(_read_rows(path), key=lambda row: str(row[0])):
        cancelled = invoice.startswith("C")
        sign = -1 if cancelled else 1
        kept = [row for row in group if row[3] * sign > 0 and row[5] > 0]
        if not kept or invoice.startswith("A"):
            continue
        order = _read_order(invoice, kept, sign, views)
        if cancelled:
            cancellations.append(order)
            continue
        orders.append(order)
        for row, line in zip(kept[:BROWSED_LINES], order.lines, strict=True):
            if line.view is not None:
                sold[row[1]] = sold.get(row[1], 0) + 1
                lines[row[1]] = line
    ranked = sorted(sold, key=lambda sku: (-sold[sku], sku))[:400]
    return Company(
        orders=tuple(sorted(orders, key=lambda order: (order.at, order.order_id))),
        cancellations=tuple(sorted(cancellations, key=lambda order: (order.at, order.order_id))),
        bestsellers=tuple(lines[sku] for sku in ranked),
    )


def _read_order(
    invoice: str,
    rows: list[tuple[Any, ...]],
    sign: int,
    views: dict[tuple[str, float], str],
) -> Order:
    encoded: list[str] = []
    lines: list[Line] = []
    total = 0
    for _, code, description, quantity, _, price, _, _ in rows:
        sku, amount = code.strip(), quantity * sign
        value = round(price * 1000) * amount
        total += value
        item = f'{{"sku":"{sku}","quantity":{amount},"price":{price}}}'
        encoded.append(item)
        if len(lines) < BROWSED_LINES:
            view = None
            # Codes that start with a letter are postage, fees, discounts: nobody looks at a page of theirs.
            if sku[:1].isdigit():
                view = views.get((sku, price))
                if view is None:
                    body = {"sku": sku, "name": description or sku, "price": price, "currency": CURRENCY}
                    view = views[(sku, price)] = orjson.dumps(body).decode()
            lines.append(Line(item, view, value))
    return Order(
        order_id=invoice,
        customer_id=rows[0][6],
        at=min(row[4] for row in rows),
        country=country_code(rows[0][7]),
        total=total,
        items=f"[{','.join(encoded)}]",
        lines=tuple(lines),
    )


def _read_rows(path: Path) -> Iterator[tuple[Any, ...]]:
    """Rows in batches, the time as milliseconds: the whole sheet as Python objects would take a gigabyte."""
    for batch in pq.ParquetFile(path).iter_batches(batch_size=32_768):
        columns = [batch[name] for name in batch.schema.names]
        columns[4] = columns[4].cast(pa.int64())
        yield from zip(*(column.to_pylist() for column in columns), strict=True)
