"""A contract in another format says what the contract says: the same events pass, and Avro carries them."""

import io
import json
import struct
from typing import Any

import fastavro
import jsonschema_rs
import orjson
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.contract import Contract
from ingestion.exports.avro import avro_schema
from ingestion.exports.json_schema import json_schema
from ingestion.exports.odcs import odcs, odcs_text
from ingestion.registry import load_registry
from tests.ingestion.messages import NOW, House
from tests.ingestion.streams.test_decoding import record_of

CONTRACTS = load_registry().contracts
ENVELOPE = {"event_id": "e-1", "occurred_at": "2010-12-01T08:26:00Z", "user_id": "12345"}
# Values that pass each contract's rules.
PROPERTIES: dict[str, dict[str, Any]] = {
    "order_completed": {
        "order_id": "1", "currency": "GBP", "total": 5, "country": "DE", "email": "a@example.com",
        "items": [{"sku": "1", "quantity": 2, "price": 2.5}],
    },
    "consent_changed": {
        "channel": "email", "purpose": "marketing", "status": "granted", "capture_method": "form",
        "identifier_type": "email", "identifier": "a@example.com",
    },
    "product_viewed": {"sku": "85123A"},
}  # fmt: skip


def contract(name: str) -> Contract:
    return next(each for each in CONTRACTS if each.name == name)


def is_accepted(house: House, event: dict[str, Any]) -> bool:
    house.receive(orjson.dumps(event), note={"wire": "cdp", "key": "k"})
    return house.load().accepted == 1


ODD: list[dict[str, Any]] = [
    {}, {"event_id": ...}, {"event_id": " "}, {"event_id": 7}, {"occurred_at": "yesterday"}, {"user_id": ...},
    {"user_id": ..., "anonymous_id": "a"}, {"user_id": ..., "account_id": 7}, {"user_id": " "},
    {"properties": {}}, {"properties": {"sku": ""}}, {"version": "1.0.0"}, {"version": "9.0.0"},
    {"properties": ...}, {"extra": 1}, {"user_id": {"a": 1}},
]  # fmt: skip


@pytest.mark.parametrize("change", ODD, ids=str)
def test_the_schema_accepts_what_validation_accepts(house: House, change: dict[str, Any]) -> None:
    event = {"event_name": "product_viewed", **ENVELOPE, "properties": PROPERTIES["product_viewed"], **change}
    event = {key: value for key, value in event.items() if value is not ...}
    validator = jsonschema_rs.Draft202012Validator(
        json_schema(contract("product_viewed")), validate_formats=True
    )
    assert validator.is_valid(event) is is_accepted(house, event)


VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(-5, 5)
    | st.sampled_from(["", "1", "GBP", "DE"])
)


@given(
    st.dictionaries(
        st.sampled_from(["order_id", "currency", "total", "country", "items"]), VALUES | st.just([])
    )
)
@settings(max_examples=200, deadline=None)
def test_the_properties_are_judged_by_the_contracts_own_rules(properties: dict[str, Any]) -> None:
    orders = contract("order_completed")
    event = {"event_name": orders.name, **ENVELOPE, "properties": properties}
    validator = jsonschema_rs.Draft202012Validator(json_schema(orders), validate_formats=True)
    assert validator.is_valid(event) is orders.validator.is_valid(properties)


@pytest.mark.parametrize("each", CONTRACTS, ids=lambda each: each.name)
def test_every_contract_is_sound_in_every_format(each: Contract) -> None:
    assert fastavro.parse_schema(avro_schema(each))
    jsonschema_rs.Draft202012Validator(json_schema(each), validate_formats=True)
    document = yaml.safe_load(odcs_text(each))
    assert document == json.loads(json.dumps(odcs(each)))
    assert {"apiVersion", "kind", "id", "version", "status"} <= document.keys()
    [schema] = document["schema"]
    assert [field["name"] for field in schema["properties"]] == list(each.properties.get("properties", {}))


@pytest.mark.parametrize("name", PROPERTIES)
def test_an_event_comes_back_from_avro_and_is_accepted(house: House, name: str) -> None:
    each = contract(name)
    schema = fastavro.parse_schema(avro_schema(each))
    properties = PROPERTIES[name]
    body = io.BytesIO()
    event = {"event_name": name, **ENVELOPE, "occurred_at": NOW, "properties": properties}
    fastavro.schemaless_writer(body, schema, event)

    class Schemas:
        async def schema(self, _: int) -> Any:
            return schema

    house.log.append([record_of(struct.pack(">bI", 0, 7) + body.getvalue(), is_avro=True, schemas=Schemas())])
    assert house.load().accepted == 1
    [(found,)] = house.rows("select properties from raw.events")
    assert orjson.loads(found) == properties


def test_what_the_standard_and_avro_have_no_word_for_is_still_there() -> None:
    document = odcs(contract("order_completed"))
    fields = {field["name"]: field for field in document["schema"][0]["properties"]}
    assert fields["total"]["logicalTypeOptions"] == {"minimum": 0}
    assert fields["email"]["classification"] == "direct"
    assert fields["items"]["items"]["properties"][0]["name"] == "sku"
    assert {"property": "unit", "value": "GBP"} in fields["total"]["customProperties"]
    [properties] = [
        field for field in avro_schema(contract("order_completed"))["fields"] if field["name"] == "properties"
    ]
    country = next(field for field in properties["type"]["fields"] if field["name"] == "country")
    assert country["constraints"] == {"pattern": "^[A-Z]{2}$"}
    assert country["type"] == ["null", "string"]
