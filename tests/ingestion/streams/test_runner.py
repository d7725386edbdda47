"""What is polled is durable before it is committed, and is in the log once however the consumer ends."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import orjson
import pytest

from ingestion.errors import EventLogFullError
from ingestion.event_log import EventLog
from ingestion.records import Record
from ingestion.sealing import seal
from ingestion.streams.decoding import Decoder
from ingestion.streams.positions import Positions
from ingestion.streams.protocol import Message, NextPositions
from ingestion.streams.runner import Consumed, consume
from tests.ingestion.messages import NOW, House, raw

PARTITIONS = ("p/0", "p/1")


class Killed(BaseException):
    """As sudden as SIGKILL, inside one process."""


class MemoryConsumer:
    """A stream of some messages; keeps what was committed, as a broker does."""

    def __init__(self, values: Mapping[str, list[bytes]], committed: dict[str, int], size: int = 3) -> None:
        self._values = values
        self._at = {partition: committed.get(partition, 0) for partition in values}
        self._size = size
        self.committed = committed
        self.on_commit: Callable[[], None] = lambda: None
        self.is_empty = asyncio.Event()

    async def start(self, next_positions: NextPositions) -> None:
        self._at |= {name: after for name, after in next_positions().items() if name in self._values}

    def undisturbed(self) -> Any:
        return nullcontext()

    async def poll(self) -> Sequence[Message]:
        found = []
        for partition, values in self._values.items():
            at = self._at[partition]
            found += [
                Message(partition, at + n, value) for n, value in enumerate(values[at : at + self._size])
            ]
            self._at[partition] = min(at + self._size, len(values))
        if not found:
            self.is_empty.set()
            await asyncio.sleep(0.01)
        return found

    async def commit(self, next_positions: Mapping[str, int]) -> None:
        self.on_commit()
        self.committed |= next_positions

    async def close(self) -> None:
        pass


def values(count: int = 10) -> dict[str, list[bytes]]:
    return {partition: [raw(f"{partition}-{number}") for number in range(count)] for partition in PARTITIONS}


def run(house: House, consumer: MemoryConsumer, log: EventLog | None = None) -> Consumed:
    log = log or house.log

    async def until_empty() -> Consumed:
        stop = asyncio.Event()
        consumer.is_empty = stop
        return await consume(
            consumer,
            Decoder("clicks", "segment", is_avro=False, schemas=None),
            source="web",
            log=log,
            positions=Positions(log, house.folder / "streams", "clicks"),
            clock=lambda: NOW,
            stop=stop,
        )

    return asyncio.run(until_empty())


def ids(house: House) -> list[str]:
    log = house.log
    lines = b"".join(log.read(part) for batch in log.unread({}) for part in batch.slices).splitlines()
    return sorted(orjson.loads(line.split(b"\t", 2)[2])["messageId"] for line in lines)


ALL = sorted(f"{partition}-{number}" for partition in PARTITIONS for number in range(10))


def test_everything_is_in_the_log_and_committed(house: House) -> None:
    committed: dict[str, int] = {}
    assert run(house, MemoryConsumer(values(), committed)).messages == 20
    assert committed == dict.fromkeys(PARTITIONS, 10)
    assert ids(house) == ALL
    assert run(house, MemoryConsumer(values(), committed)).messages == 0


@pytest.mark.parametrize("seed", range(10))
def test_killed_anywhere_each_message_is_in_the_log_once(house: House, seed: int) -> None:
    chance = random.Random(seed)
    committed: dict[str, int] = {}

    class FlakyLog(EventLog):
        def append(self, records: Any) -> Any:
            kill = chance.choice(["before", "after", None, None])
            if kill == "before":
                raise Killed
            done = super().append(records)
            if kill == "after":
                raise Killed
            return done

    def maybe_kill() -> None:
        if chance.random() < 0.3:
            raise Killed

    for _ in range(100):
        consumer = MemoryConsumer(values(), committed, size=chance.randint(1, 4))
        consumer.on_commit = maybe_kill
        try:
            run(house, consumer, FlakyLog(house.log.root))
            break
        except Killed:
            # what the broker forgot, what our own file forgot, or a log that was sealed meanwhile
            if chance.random() < 0.3:
                committed.clear()
            if chance.random() < 0.3:
                (house.folder / "streams" / "clicks.json").unlink(missing_ok=True)
            if chance.random() < 0.3:
                seal(house.log, NOW.replace(year=2011))
    assert ids(house) == ALL


def test_a_full_disk_is_waited_out_with_nothing_committed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingestion.streams.runner.FULL_WAIT_SECONDS", 0.01)
    committed: dict[str, int] = {}
    seen: list[dict[str, int]] = []

    class FullLog(EventLog):
        def append(self, records: Any) -> Any:
            seen.append(dict(committed))
            if len(seen) < 4:
                raise EventLogFullError("full")
            return super().append(records)

    run(house, MemoryConsumer(values(), committed), FullLog(house.log.root))
    assert seen[:4] == [{}, {}, {}, {}]
    assert ids(house) == ALL


def test_told_to_stop_while_the_disk_is_full_it_leaves_with_nothing_committed(house: House) -> None:
    committed: dict[str, int] = {}
    consumer = MemoryConsumer(values(), committed)

    class FullLog(EventLog):
        def append(self, _: Any) -> Any:
            consumer.is_empty.set()
            raise EventLogFullError("full")

    assert run(house, consumer, FullLog(house.log.root)) == Consumed()
    assert committed == {}
    assert ids(house) == []


def test_positions_are_those_of_their_own_stream_only(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "log")
    notes = [("clicks", "a/0", "7"), ("orders", "a/0", "99"), ("clicks", "shard", str(10**30))]
    log.append(
        Record(NOW, "web", b"{}", dict(zip(("stream", "partition", "position"), note, strict=True)))
        for note in notes
    )
    log.append(
        [Record(NOW, "web", b'"stream":"clicks" no json'), Record(NOW, "web", b'{"x":{"stream":"clicks"}}')]
    )
    positions = Positions(log, tmp_path / "streams", "clicks")
    expected = {"a/0": 8, "shard": 10**30 + 1}
    assert positions.read() == expected
    assert positions.read() == expected
    assert Positions(log, tmp_path / "other", "clicks").read() == expected
