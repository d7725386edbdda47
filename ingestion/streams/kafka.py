"""Kafka, by aiokafka: a member of a consumer group that commits what is durable and nothing else."""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError

from ingestion.errors import TransientIngestionError
from ingestion.streams.config import KafkaStream
from ingestion.streams.protocol import Message, NextPositions

MOST_MESSAGES = 2000
POLL_MILLISECONDS = 1000
NOT_READY_SECONDS = 0.1
_log = structlog.get_logger(__name__)


class KafkaConsumer:
    """See ingestion/streams/protocol.py. A partition is `topic/number`, a position the offset in it."""

    def __init__(self, stream: KafkaStream, credentials: tuple[str, str] | None = None) -> None:
        self._stream = stream
        self._credentials = credentials
        self._busy = asyncio.Lock()
        # The partitions that are ours and stand at the right place: only these are polled.
        self._ready: set[TopicPartition] = set()

    async def start(self, next_positions: NextPositions) -> None:
        """Join the group; raises TransientIngestionError when no server of the cluster answers."""
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=list(self._stream.bootstrap_servers),
            group_id=self._stream.group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_poll_records=MOST_MESSAGES,
            **_security(self._stream, self._credentials),
        )
        listener = _Listener(self._consumer, self._busy, self._ready, next_positions)
        self._consumer.subscribe(topics=list(self._stream.topics), listener=listener)
        try:
            await self._consumer.start()
        except KafkaConnectionError as error:
            await self._consumer.stop()
            raise TransientIngestionError(
                f"No server of stream {self._stream.name!r} answers at "
                f"{', '.join(self._stream.bootstrap_servers)}; start it or correct bootstrap_servers."
            ) from error

    def undisturbed(self) -> AbstractAsyncContextManager[object]:
        """A rebalance waits for the end of it."""
        return self._busy

    async def poll(self) -> Sequence[Message]:
        """What the topics have next."""
        if not self._ready:
            await asyncio.sleep(NOT_READY_SECONDS)
            return []
        found = await self._consumer.getmany(*self._ready, timeout_ms=POLL_MILLISECONDS)
        return [
            Message(_name(place), record.offset, record.value)
            for place, records in found.items()
            for record in records
        ]

    async def commit(self, next_positions: Mapping[str, int]) -> None:
        """Tell the group; a commit that fails is made good by the next, or by the positions in the log."""
        offsets = {_place(name): after for name, after in next_positions.items()}
        try:
            await self._consumer.commit(offsets)
        except KafkaError as error:
            _log.warning("stream.not_committed", problem=type(error).__name__)

    async def close(self) -> None:
        """Leave the group."""
        await self._consumer.stop()


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # the library ships no types
    """Lets the batch under way end before a partition goes, and begins a new one after what the log holds.

    The library fetches from a new partition while it tells us of it, from where the group committed. So
    nothing of it is polled before its place is set, and its place is not read while a batch is appended.
    """

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        busy: asyncio.Lock,
        ready: set[TopicPartition],
        next_positions: NextPositions,
    ) -> None:
        self._consumer = consumer
        self._busy = busy
        self._ready = ready
        self._next_positions = next_positions

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        self._ready.clear()
        async with self._busy:
            _log.info("stream.revoked", partitions=len(revoked))

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        self._ready.clear()
        async with self._busy:
            durable = await asyncio.to_thread(self._next_positions)
            for place in assigned:
                if _name(place) in durable:
                    self._consumer.seek(place, durable[_name(place)])
            self._ready.update(assigned)
        _log.info("stream.assigned", partitions=len(assigned))


def _name(place: TopicPartition) -> str:
    return f"{place.topic}/{place.partition}"


def _place(name: str) -> TopicPartition:
    topic, _, number = name.rpartition("/")
    return TopicPartition(topic, int(number))


def _security(stream: KafkaStream, credentials: tuple[str, str] | None) -> dict[str, Any]:
    if stream.security == "plaintext":
        return {}
    if stream.security == "tls" or credentials is None:
        return {"security_protocol": "SSL", "ssl_context": ssl.create_default_context()}
    return {
        "security_protocol": "SASL_SSL",
        "ssl_context": ssl.create_default_context(),
        "sasl_mechanism": stream.sasl_mechanism,
        "sasl_plain_username": credentials[0],
        "sasl_plain_password": credentials[1],
    }
