"""Schemas by their id, from a registry with the interface of Confluent's (docs.confluent.io)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import fastavro
import httpx
import orjson
import structlog

from ingestion.streams.decoding import UnknownSchemaError

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
_log = structlog.get_logger(__name__)


class HttpSchemas:
    """Asks once for each schema: what an id means never changes.

    While the registry cannot be asked it waits, longer each time, and never gives up: to skip a message or
    to call it unreadable because a server is down would be worse. Cancelling ends the wait.
    """

    def __init__(
        self, client: httpx.AsyncClient, *, wait: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._client = client
        self._wait = wait
        self._known: dict[int, Any] = {}
        self._unknown: dict[int, str] = {}

    async def schema(self, schema_id: int) -> Any:
        """The schema as fastavro has parsed it."""
        if schema_id not in self._known:
            self._known[schema_id] = _parsed(schema_id, await self._ask(schema_id))
        return self._known[schema_id]

    async def _ask(self, schema_id: int) -> httpx.Response:
        seconds = FIRST_WAIT_SECONDS
        while True:
            try:
                answer = await self._client.get(f"schemas/ids/{schema_id}")
                if answer.status_code in (200, 404):
                    return answer
                problem = f"status {answer.status_code}"
            except httpx.HTTPError as error:
                problem = type(error).__name__
            _log.warning("schema_registry.waiting", schema_id=schema_id, problem=problem, seconds=seconds)
            await self._wait(seconds)
            seconds = min(2 * seconds, LONGEST_WAIT_SECONDS)


def _parsed(schema_id: int, answer: httpx.Response) -> Any:
    if answer.status_code == 404:
        raise UnknownSchemaError(f"schema {schema_id}, which the registry does not have")
    try:
        found = answer.json()
        kind, text = found.get("schemaType", "AVRO"), found["schema"]
    except (ValueError, KeyError, AttributeError) as error:
        raise UnknownSchemaError(f"schema {schema_id}, for which the registry has no sound answer") from error
    if kind != "AVRO" or found.get("references"):
        what = "refers to others" if kind == "AVRO" else f"is of type {str(kind)[:20]}"
        raise UnknownSchemaError(f"schema {schema_id}, which {what}; that is not read")
    try:
        return fastavro.parse_schema(orjson.loads(text))
    except Exception as error:
        raise UnknownSchemaError(f"schema {schema_id}, which is not sound Avro") from error
