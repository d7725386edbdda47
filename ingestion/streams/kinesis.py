"""Kinesis, by boto3: every shard from where the event log ends, a parent to its end before its children.

Kinesis keeps no position for its readers and shares no shards out: run one consumer for a stream.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import boto3
import structlog
from botocore.exceptions import BotoCoreError, ClientError

from ingestion.errors import FatalIngestionError
from ingestion.streams.config import KinesisStream
from ingestion.streams.protocol import Message, NextPositions

MOST_MESSAGES = 1000
# Five reads a second of one shard are allowed.
IDLE_SECONDS = 1.0
LIST_EVERY_POLLS = 30
WAIT_SECONDS = 2.0
_PASSES = {
    "ProvisionedThroughputExceededException",
    "LimitExceededException",
    "ServiceUnavailable",
    "ThrottlingException",
    "InternalFailure",
    "Throttling",
}
_log = structlog.get_logger(__name__)


@dataclass
class _Shard:
    """A shard that is being read; `iterator` is empty when a new one must be asked for."""

    name: str
    parents: tuple[str, ...]
    after: int | None
    iterator: str = ""
    is_at_end: bool = False


class KinesisConsumer:
    """See ingestion/streams/protocol.py. A partition is a shard, a position its sequence number."""

    def __init__(self, stream: KinesisStream, client: Any = None) -> None:
        self._stream = stream
        self._client = client or boto3.client(
            "kinesis", region_name=stream.region, endpoint_url=stream.endpoint_url
        )
        self._shards: dict[str, _Shard] = {}
        self._durable: dict[str, int] = {}
        self._polls = 0

    async def start(self, next_positions: NextPositions) -> None:
        """Find the shards; raises FatalIngestionError when there is no such stream."""
        self._durable = dict(await asyncio.to_thread(next_positions))
        await self._find_shards()

    def undisturbed(self) -> AbstractAsyncContextManager[object]:
        """Nobody else is given shards."""
        return nullcontext()

    async def poll(self) -> Sequence[Message]:
        """What each shard has next; a parent's children begin once it was read to its end."""
        self._polls += 1
        if self._polls % LIST_EVERY_POLLS == 0:
            await self._find_shards()
        found: list[Message] = []
        for shard in list(self._shards.values()):
            if not shard.is_at_end and not any(self._is_open(parent) for parent in shard.parents):
                found += await self._read(shard)
        if not found:
            await asyncio.sleep(IDLE_SECONDS)
        return found

    async def commit(self, next_positions: Mapping[str, int]) -> None:
        """The log itself holds the positions; nothing is to be told to Kinesis."""

    async def close(self) -> None:
        """Nothing is held."""
        self._client.close()

    def _is_open(self, name: str) -> bool:
        shard = self._shards.get(name)
        return shard is not None and not shard.is_at_end

    async def _find_shards(self) -> None:
        arguments: dict[str, Any] = {"StreamName": self._stream.stream}
        while True:
            answer = await self._call(self._client.list_shards, **arguments)
            for each in answer["Shards"]:
                name = each["ShardId"]
                parents = (each.get("ParentShardId"), each.get("AdjacentParentShardId"))
                after = self._durable.get(name)
                shard = _Shard(name, tuple(parent for parent in parents if parent), after and after - 1)
                self._shards.setdefault(name, shard)
            if not answer.get("NextToken"):
                return
            arguments = {"NextToken": answer["NextToken"]}

    async def _read(self, shard: _Shard) -> list[Message]:
        if not shard.iterator:
            shard.iterator = await self._iterator(shard)
        try:
            answer = await self._call(
                self._client.get_records, ShardIterator=shard.iterator, Limit=MOST_MESSAGES
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ExpiredIteratorException":
                raise
            shard.iterator = ""
            return []
        records = [
            Message(shard.name, int(record["SequenceNumber"]), record["Data"]) for record in answer["Records"]
        ]
        shard.iterator = answer.get("NextShardIterator") or ""
        shard.is_at_end = not shard.iterator
        if records:
            shard.after = records[-1].position
        if shard.is_at_end:
            # the children may be new
            await self._find_shards()
        return records

    async def _iterator(self, shard: _Shard) -> str:
        place: dict[str, str] = {"ShardIteratorType": "TRIM_HORIZON"}
        if shard.after is not None:
            place = {
                "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
                "StartingSequenceNumber": str(shard.after),
            }
        answer = await self._call(
            self._client.get_shard_iterator, StreamName=self._stream.stream, ShardId=shard.name, **place
        )
        return str(answer["ShardIterator"])

    async def _call(self, call: Callable[..., Any], **arguments: Any) -> Any:
        """Ask Kinesis, and again while it is out of reach or we are too fast."""
        while True:
            try:
                return await asyncio.to_thread(call, **arguments)
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code == "ResourceNotFoundException":
                    raise FatalIngestionError(
                        f"There is no Kinesis stream {self._stream.stream!r} in {self._stream.region}; "
                        "create it or correct streams.yml."
                    ) from error
                if code == "ExpiredIteratorException":
                    raise
                if code not in _PASSES:
                    raise FatalIngestionError(
                        f"Kinesis refuses to be read ({code}: {error.response['Error'].get('Message', '')}); "
                        f"nothing is lost. Mend it and consume {self._stream.name!r} again."
                    ) from error
                problem = code
            except BotoCoreError as error:
                problem = type(error).__name__
            _log.warning("stream.waiting", problem=problem, seconds=WAIT_SECONDS)
            await asyncio.sleep(WAIT_SECONDS)
