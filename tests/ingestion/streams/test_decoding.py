"""Every message becomes one line that ends as its event, or in quarantine with what was wrong with it."""

import asyncio
import base64
import io
import struct
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import fastavro
import httpx
import orjson
import pytest

from ingestion.records import Record
from ingestion.streams.decoding import Decoder, UnknownSchemaError
from ingestion.streams.protocol import Message
from ingestion.streams.schema_registry import HttpSchemas
from tests.ingestion.messages import NOW, House

VIEW = {
    "event_name": "product_viewed",
    "event_id": "v-1",
    "occurred_at": "2010-12-01T08:26:00Z",
    "user_id": "12345",
    "properties": {"sku": "85123A"},
}
AVRO: dict[str, Any] = {
    "type": "record",
    "name": "product_viewed",
    "fields": [
        {"name": "event_name", "type": "string"},
        {"name": "event_id", "type": ["null", "string"], "default": None},
        {"name": "occurred_at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "user_id", "type": "string"},
        {
            "name": "properties",
            "type": {
                "type": "record",
                "name": "properties",
                "fields": [
                    {"name": "sku", "type": "string"},
                    {"name": "name", "type": ["null", "string"], "default": None},
                    {"name": "price", "type": ["null", "double"], "default": None},
                ],
            },
        },
    ],
}

SCHEMA = fastavro.parse_schema(AVRO)


class Schemas:
    async def schema(self, schema_id: int) -> Any:
        if schema_id != 7:
            raise UnknownSchemaError(f"schema {schema_id}, which the registry does not have")
        return SCHEMA


def avro(record: dict[str, Any], schema: Any = SCHEMA, schema_id: int = 7) -> bytes:
    body = io.BytesIO()
    fastavro.schemaless_writer(body, schema, record)
    return struct.pack(">bI", 0, schema_id) + body.getvalue()


def record_of(
    value: bytes | None,
    *,
    is_avro: bool = False,
    wire: str = "cdp",
    position: int = 5,
    schemas: Any = None,
) -> Record:
    decoder = Decoder("clicks", wire, is_avro=is_avro, schemas=schemas or Schemas())
    note, raw = asyncio.run(decoder.read(Message("clicks/0", position, value)))
    return Record(NOW, "web", raw, note)


def loaded(house: House, *records: Record) -> list[tuple[Any, ...]]:
    house.log.append(records)
    house.load()
    return house.rows(
        "select event_id, event_name, null, properties from raw.events union all "
        "select event_id, code, found, null from raw.events_quarantined order by 1"
    )


@pytest.mark.parametrize(
    "value",
    [
        orjson.dumps(VIEW),
        orjson.dumps(VIEW, option=orjson.OPT_INDENT_2),
        b"\0\0\0\0\x09" + orjson.dumps(VIEW),
        orjson.dumps({**VIEW, "_collector": {"wire": "segment", "stream": "other"}}),
    ],
    ids=["json", "pretty", "framed", "forged note"],
)
def test_json_becomes_its_event(house: House, value: bytes) -> None:
    assert loaded(house, record_of(value)) == [("v-1", "product_viewed", None, '{"sku":"85123A"}')]


def test_the_calls_of_an_sdk_may_come_over_a_stream(house: House) -> None:
    call = {"type": "track", "event": "Product Viewed", "messageId": "v-1", "userId": "1"}
    value = orjson.dumps({**call, "timestamp": "2010-12-01T08:26:00Z", "properties": {"sku": "1"}})
    assert loaded(house, record_of(value, wire="segment")) == [("v-1", "product_viewed", None, '{"sku":"1"}')]


def test_avro_becomes_the_json_that_its_schema_means(house: House) -> None:
    occurred_at = datetime(2010, 12, 1, 8, 26, 0, 123456, tzinfo=UTC)
    record = {**VIEW, "occurred_at": occurred_at, "properties": {"sku": "85123A", "price": 2.5}}
    assert loaded(house, record_of(avro(record), is_avro=True)) == [
        ("v-1", "product_viewed", None, '{"sku":"85123A","price":2.5}')
    ]
    assert house.rows("select occurred_at from raw.events") == [(occurred_at.replace(tzinfo=None),)]


def test_a_message_without_an_id_has_the_one_of_its_place(house: House) -> None:
    without = {key: value for key, value in VIEW.items() if key != "event_id"}
    records = [record_of(orjson.dumps(without), position=position) for position in (5, 6, 5)]
    assert [row[0] for row in loaded(house, *records)] == ["clicks:clicks/0:5", "clicks:clicks/0:6"]
    assert house.rows("select event_id, line from raw.events_duplicated") == [("clicks:clicks/0:5", 3)]


@pytest.mark.parametrize(
    ("value", "is_avro", "found"),
    [
        (None, False, "no value: the message is a mark that its key was deleted"),
        (b"", False, "0 bytes that are no JSON"),
        (b"\xff\n\x00", False, "3 bytes that are no JSON"),
        (b'{"a":1e999}', False, "11 bytes that are no JSON"),
        (b"[1]", False, "JSON that is no object"),
        (b"{" * 100_000, False, "100000 bytes that are no JSON"),
        (b"plain", True, "5 bytes, nothing in a frame with a schema id"),
        (b"\0\0\0\0\x08xyz", True, "schema 8, which the registry does not have"),
        (b"\0\0\0\0\x07\xff\xff", True, "7 bytes that schema 7 cannot read (IndexError)"),
        (avro({**VIEW, "occurred_at": NOW}) + b"x", True, "bytes that are not one record of schema 7"),
    ],
)
def test_what_cannot_be_read_is_kept_whole_and_says_why(
    house: House, value: bytes | None, is_avro: bool, found: str
) -> None:
    record = record_of(value, is_avro=is_avro)
    [(event_id, code, said, _)] = loaded(house, record)
    assert (event_id, code) == ("clicks:clicks/0:5", "UNREADABLE_MESSAGE")
    assert said.endswith(found)
    assert orjson.loads(record.raw)["value"].encode() == base64.b64encode(value or b"")


def test_values_that_json_has_no_form_for_are_written_as_text() -> None:
    money = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
    schema = fastavro.parse_schema(
        {
            "type": "record",
            "name": "all",
            "fields": [
                {"name": "price", "type": money},
                {"name": "day", "type": {"type": "int", "logicalType": "date"}},
                {"name": "blob", "type": "bytes"},
            ],
        }
    )

    class One:
        async def schema(self, _: int) -> Any:
            return schema

    record = {"price": Decimal("1.50"), "day": datetime(2010, 12, 1, tzinfo=UTC).date(), "blob": b"\xff"}
    decoder = Decoder("clicks", "cdp", is_avro=True, schemas=One())
    _, raw = asyncio.run(decoder.read(Message("clicks/0", 1, avro(record, schema))))
    found = orjson.loads(raw)
    assert {key: found[key] for key in record} == {"price": "1.50", "day": "2010-12-01", "blob": "/w=="}


def test_a_registry_that_is_down_is_asked_until_it_answers_and_then_never_again() -> None:
    answers = [
        httpx.Response(503),
        httpx.ConnectError("gone"),
        httpx.Response(200, json={"schema": '"string"'}),
    ]
    waits: list[float] = []

    def answer(_: httpx.Request) -> httpx.Response:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    async def ask() -> list[Any]:
        async with httpx.AsyncClient(
            transport=httpx.MockTransport(answer), base_url="http://registry/"
        ) as client:
            schemas = HttpSchemas(client, wait=wait)
            return [await schemas.schema(1), await schemas.schema(1)]

    assert asyncio.run(ask()) == ["string", "string"]
    assert waits == [0.5, 1.0]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx.Response(404, json={"error_code": 40403}), "which the registry does not have"),
        (httpx.Response(200, text="no json"), "no sound answer"),
        (httpx.Response(200, json={"schema": "{", "schemaType": "AVRO"}), "not sound Avro"),
        (httpx.Response(200, json={"schema": "{}", "schemaType": "PROTOBUF"}), "of type PROTOBUF"),
        (httpx.Response(200, json={"schema": "{}", "references": [{"name": "x"}]}), "refers to others"),
    ],
)
def test_a_schema_that_cannot_be_used_is_named(answer: httpx.Response, words: str) -> None:
    async def ask() -> None:
        transport = httpx.MockTransport(lambda _: answer)
        async with httpx.AsyncClient(transport=transport, base_url="http://registry/") as client:
            await HttpSchemas(client).schema(1)

    with pytest.raises(UnknownSchemaError, match=words):
        asyncio.run(ask())
