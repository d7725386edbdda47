"""A field of an event is followed through columns and conditions to every model that it reaches."""

from typing import Any

import pytest

from orchestration.field_lineage import Field, ModelLineage, model_lineage

STAGING = {
    "stg_events": (
        "with events as (select * from raw.events) select event_id, event_name, properties from events"
    ),
    "stg_orders": (
        "with events as (select * from staging.stg_events) "
        "select event_id, json_extract_string(properties, '$.order_id') as order_id, "
        "try_cast(json_extract_string(properties, '$.total') as double) as order_total "
        "from events where event_name = 'order_completed'"
    ),
    "stg_carts": (
        "select event_id, json_extract_string(properties, '$.total') as cart_total "
        "from staging.stg_events where event_name in ('cart_updated', 'cart_left')"
    ),
}


def lineage(**models: str) -> dict[str, ModelLineage]:
    """The lineage of the staging models above and of these, each of which reads all before it."""
    nodes: dict[str, Any] = {}
    for name, sql in {**STAGING, **models}.items():
        nodes[f"model.cdp.{name}"] = {
            "resource_type": "model",
            "schema": "staging",
            "name": name,
            "depends_on": {"nodes": list(nodes)},
            "compiled_code": sql,
        }
    return model_lineage({"nodes": nodes})


TOTAL = Field("order_completed", "total")
ORDER_ID = Field("order_completed", "order_id")


def test_a_field_belongs_to_the_events_that_the_model_keeps() -> None:
    found = lineage()
    assert found["stg_orders"].reads == {ORDER_ID, TOTAL}
    assert found["stg_carts"].reads == {Field("cart_updated", "total"), Field("cart_left", "total")}
    assert found["stg_events"].reads == {Field("*", "")}


@pytest.mark.parametrize(
    ("sql", "reads", "rows"),
    [
        pytest.param("select order_total * 2 as twice from staging.stg_orders", {TOTAL}, set(), id="column"),
        pytest.param("select event_id from staging.stg_orders", set(), set(), id="another column"),
        pytest.param(
            "with orders as (select * from staging.stg_orders) select event_id from orders",
            set(), set(), id="a column that does not come out",
        ),
        pytest.param(
            "select event_id from staging.stg_orders where order_total > 5", {TOTAL}, {TOTAL}, id="condition"
        ),
        pytest.param(
            "select max(event_id) as event_id from staging.stg_orders group by order_id",
            {ORDER_ID}, {ORDER_ID}, id="group",
        ),
        pytest.param(
            "select order_id from staging.stg_orders qualify row_number() over "
            "(partition by event_id order by order_total) = 1",
            {ORDER_ID, TOTAL}, {TOTAL}, id="window",
        ),
        pytest.param(
            "select carts.event_id from staging.stg_carts as carts inner join staging.stg_orders as orders "
            "on carts.event_id = orders.order_id",
            {ORDER_ID}, {ORDER_ID}, id="join",
        ),
        pytest.param(
            "select carts.event_id, orders.event_id as order_event from staging.stg_carts as carts "
            "left join staging.stg_orders as orders on carts.event_id = orders.order_id",
            {ORDER_ID}, set(), id="left join",
        ),
        pytest.param(
            "select event_id from staging.stg_carts "
            "where event_id in (select order_id from staging.stg_orders)",
            {ORDER_ID}, {ORDER_ID}, id="subquery",
        ),
        pytest.param(
            "select order_id as value from staging.stg_orders "
            "union all select event_id from staging.stg_carts",
            {ORDER_ID}, set(), id="union",
        ),
        pytest.param(
            "select case when event_name = 'order_completed' then json_extract_string(properties, '$.total') "
            "end as total from staging.stg_events",
            {TOTAL}, set(), id="case",
        ),
        pytest.param(
            "select event_id from staging.stg_events where properties like '%\"email\"%'",
            {Field("*", "email")}, {Field("*", "email")}, id="like",
        ),
        pytest.param(
            "select json_extract_string(properties, '$.items[0].sku') as sku from staging.stg_events",
            {Field("*", "items.sku")}, set(), id="inside an array",
        ),
        pytest.param(
            "select upper(properties) as text from staging.stg_events", {Field("*", "")}, set(), id="all"
        ),
    ],
)  # fmt: skip
def test_what_a_model_reads_and_what_decides_its_rows(sql: str, reads: set[Field], rows: set[Field]) -> None:
    model = lineage(model=sql)["model"]
    assert (model.reads, model.relation.rows) == (reads, rows)


def test_rows_are_inherited_and_reads_are_not() -> None:
    found = lineage(
        large="select event_id from staging.stg_orders where order_total > 5",
        after="select event_id from staging.large",
        beside="select carts.event_id, large.event_id as large_event from staging.stg_carts as carts "
        "left join staging.large as large on carts.event_id = large.event_id",
    )
    assert (found["after"].reads, found["after"].relation.rows) == (set(), {TOTAL})
    assert (found["beside"].reads, found["beside"].relation.rows) == ({TOTAL}, set())


@pytest.mark.parametrize(
    ("field", "paths", "meets"),
    [
        (TOTAL, {"total"}, True),
        (TOTAL, {"order_id"}, False),
        (TOTAL, set(), True),
        (Field("cart_updated", "total"), {"total"}, False),
        (Field("*", "total"), {"total"}, True),
        (Field("*", ""), {"total"}, True),
        (Field("order_completed", "items"), {"items.sku"}, True),
        (Field("order_completed", "items.sku"), {"items"}, True),
        (Field("order_completed", "item"), {"items"}, False),
    ],
)
def test_a_change_meets_a_field_that_holds_it_or_lies_in_it(
    field: Field, paths: set[str], meets: bool
) -> None:
    assert field.meets("order_completed", frozenset(paths)) is meets
