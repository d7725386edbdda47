"""A message of a stream as the event log keeps it: JSON as it came, Avro as the JSON that its schema means.

What cannot be read is kept too, its bytes in base64 beside the reason, and ends in quarantine as
UNREADABLE_MESSAGE. The log can be replayed without the registry of schemas.
"""

import base64
import io
import struct
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

import fastavro
import orjson

from ingestion.records import Note
from ingestion.streams.protocol import Message
from ingestion.wires import UNREADABLE, one_line

# Confluent's frame: a zero byte, then the id of the schema.
_FRAME = struct.Struct(">bI")
_NO_SCHEMA = "nothing in a frame with a schema id"


class UnknownSchemaError(Exception):
    """The registry has no such schema, or one that we cannot read; the reason is safe to show."""


class Schemas(Protocol):
    """Where the schemas of messages are found."""

    async def schema(self, schema_id: int) -> Any:
        """A schema as fastavro has parsed it; raises UnknownSchemaError, waits while nobody can be asked."""
        ...


class Decoder:
    """Turns messages of one stream into what their records say."""

    def __init__(self, stream: str, wire: str, *, is_avro: bool, schemas: Schemas | None) -> None:
        self._stream = stream
        self._wire = wire
        self._is_avro = is_avro
        self._schemas = schemas

    async def read(self, message: Message) -> tuple[Note, bytes]:
        """The note of its place, and the message; never raises for any bytes."""
        note: Note = {
            "wire": self._wire,
            "stream": self._stream,
            "partition": message.partition,
            "position": str(message.position),
        }
        if message.value is None:
            return _unreadable(note, b"", "no value: the message is a mark that its key was deleted")
        try:
            schema_id, body = await self._object(message.value)
        except UnknownSchemaError as error:
            return _unreadable(note, message.value, str(error))
        if schema_id is not None:
            note["schema_id"] = schema_id
        return note, body

    async def _object(self, value: bytes) -> tuple[int | None, bytes]:
        """The id of its schema, if it says one, and one JSON object."""
        if self._is_avro:
            return await self._avro(value)
        schema_id = None
        if value[:1] == b"\0" and len(value) > _FRAME.size:
            _, schema_id = _FRAME.unpack_from(value)
            value = value[_FRAME.size :]
        line = one_line(value)
        try:
            is_object = isinstance(orjson.loads(line), dict)
        except orjson.JSONDecodeError as error:
            raise UnknownSchemaError(f"{len(value)} bytes that are no JSON") from error
        if not is_object:
            raise UnknownSchemaError("JSON that is no object")
        return schema_id, line

    async def _avro(self, value: bytes) -> tuple[int, bytes]:
        if value[:1] != b"\0" or len(value) < _FRAME.size or self._schemas is None:
            raise UnknownSchemaError(f"{len(value)} bytes, {_NO_SCHEMA}")
        _, schema_id = _FRAME.unpack_from(value)
        schema = await self._schemas.schema(schema_id)
        body = io.BytesIO(value[_FRAME.size :])
        try:
            record = fastavro.schemaless_reader(body, schema, None)
            found = orjson.dumps(_without_nothing(record), default=_as_json)
        except Exception as error:
            raise UnknownSchemaError(
                f"{len(value)} bytes that schema {schema_id} cannot read ({type(error).__name__})"
            ) from error
        if not isinstance(record, dict) or body.read(1):
            raise UnknownSchemaError(f"{len(value)} bytes that are not one record of schema {schema_id}")
        return schema_id, found


def _unreadable(note: Note, value: bytes, why: str) -> tuple[Note, bytes]:
    kept = orjson.dumps({"value": base64.b64encode(value).decode()})
    return {**note, "wire": UNREADABLE, "why": why}, kept


def _without_nothing(value: Any) -> Any:
    """Without the fields that are null: Avro has no other way to say that an optional field is not there."""
    if isinstance(value, dict):
        return {key: _without_nothing(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nothing(inner) for inner in value]
    return value


def _as_json(value: object) -> str:
    """Avro's logical types as JSON has them: times in ISO 8601, decimals as text, bytes in base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value.total_seconds())
    raise TypeError(f"{type(value).__name__} has no form in JSON")
