"""From a stream into the event log: poll, decode, append durably, and only then commit."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import structlog

from ingestion.errors import EventLogFullError
from ingestion.event_log import EventLog
from ingestion.records import Record
from ingestion.streams.decoding import Decoder
from ingestion.streams.positions import Positions
from ingestion.streams.protocol import Consumer, Message

FULL_WAIT_SECONDS = 5.0
T = TypeVar("T")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Consumed:
    """What one consumer brought in."""

    messages: int = 0
    batches: int = 0


async def consume(
    consumer: Consumer,
    decoder: Decoder,
    *,
    source: str,
    log: EventLog,
    positions: Positions,
    clock: Callable[[], datetime],
    stop: asyncio.Event,
) -> Consumed:
    """Consume until `stop` is set; what was polled and is not durable by then is polled again by the next.

    A full disk and a registry that is down are waited out with nothing committed. Errors of the consumer
    that do not pass by themselves are raised.
    """
    done = Consumed()
    await consumer.start(positions.read)
    try:
        while not stop.is_set():
            async with consumer.undisturbed():
                messages = await consumer.poll()
                if messages and await _bring_in(messages, decoder, source, log, clock, stop):
                    await consumer.commit(_next_positions(messages))
                    done = Consumed(done.messages + len(messages), done.batches + 1)
    finally:
        await consumer.close()
    _log.info("stream.stopped", messages=done.messages, batches=done.batches)
    return done


async def _bring_in(  # noqa: PLR0917 (the parts of `consume`)
    messages: Sequence[Message],
    decoder: Decoder,
    source: str,
    log: EventLog,
    clock: Callable[[], datetime],
    stop: asyncio.Event,
) -> bool:
    """Make all messages durable in one append; false when we are told to stop while that has to wait."""
    lines = await _unless(stop, asyncio.gather(*(decoder.read(message) for message in messages)))
    while lines is not None:
        received_at = clock()
        records = [Record(received_at, source, raw, note) for note, raw in lines]
        try:
            await asyncio.to_thread(log.append, records)
        except EventLogFullError as error:
            _log.warning("stream.waiting", problem=str(error), seconds=FULL_WAIT_SECONDS)
            if await _unless(stop, asyncio.ensure_future(asyncio.sleep(FULL_WAIT_SECONDS, True))) is None:
                return False
        else:
            _log.info("stream.appended", messages=len(records))
            return True
    return False


async def _unless(stop: asyncio.Event, work: "asyncio.Future[T]") -> T | None:
    """The result of the work, or nothing, and the work cancelled, when we are told to stop before."""
    told = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((work, told), return_when=asyncio.FIRST_COMPLETED)
        return work.result() if work.done() else None
    finally:
        told.cancel()
        work.cancel()


def _next_positions(messages: Sequence[Message]) -> dict[str, int]:
    found: dict[str, int] = {}
    for message in messages:
        found[message.partition] = max(message.position + 1, found.get(message.partition, 0))
    return found
